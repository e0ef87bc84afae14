"""Training of binary and fixed-point networks (needs the extra ``train``).

``train`` runs or resumes a training, `load_net` brings its net back, and
`mtjkit_host.train.lower` turns that into integers.
"""

from mtjkit_host.train.architectures import NETS, WIDTHS, NetSpec
from mtjkit_host.train.config import EpochRecord, TrainConfig, TrainResult
from mtjkit_host.train.modules import Net, build_net
from mtjkit_host.train.predict import evaluate, predict
from mtjkit_host.train.state import load_net
from mtjkit_host.train.trainer import train

__all__ = [
    "NETS",
    "WIDTHS",
    "EpochRecord",
    "Net",
    "NetSpec",
    "TrainConfig",
    "TrainResult",
    "build_net",
    "evaluate",
    "load_net",
    "predict",
    "train",
]
