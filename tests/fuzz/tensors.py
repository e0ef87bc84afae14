"""Good checkpoints and fixed-point nets, small ones, as the trainer writes them."""

from __future__ import annotations

import json

import torch
from mtjkit_export.formats.safetensors import encode_fixed
from mtjkit_host.train.architectures import NetSpec
from mtjkit_host.train.lower import fold_fixed
from mtjkit_host.train.modules import build_net
from safetensors.torch import save


def _spec(bits: int) -> NetSpec:
    return NetSpec.vgg("mini", bits, (2, 2), (3,), classes=2, input_shape=(4, 4, 1))


def checkpoint_seed() -> tuple[bytes, ...]:
    """A record and, after a zero, its tensors; one with other types of tensors."""
    tensors = {f"net.{k}": v.contiguous() for k, v in build_net(_spec(1)).state_dict().items()}
    record = {
        "version": 1,
        "tensors": "t.safetensors",
        "epoch": 2,
        "config": {"epochs": 3, "net": _spec(1).to_json()},
        "history": [{"epoch": 1, "lr": 0.1}],
    }
    head = json.dumps(record).encode() + b"\0"
    kinds = {f"t{n}": torch.zeros(3).to(kind) for n, kind in enumerate(_KINDS)}
    return head + save(tensors), head + save({**tensors, **kinds}), head


_KINDS = (torch.bfloat16, torch.float64, torch.bool, torch.int8, torch.float8_e4m3fn)


def fixed_seed() -> tuple[bytes, ...]:
    """Two nets of 8 and 32 bits."""
    return tuple(encode_fixed(fold_fixed(build_net(_spec(bits)).eval())) for bits in (8, 32))
