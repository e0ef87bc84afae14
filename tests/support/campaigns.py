"""A small campaign of a tiny net, and what of its records does not depend on who measured them."""

import json
from pathlib import Path

from mtjkit_export import save
from mtjkit_host.campaign import Campaign, NetEntry, Rrmse

from support.nets import tiny_network

DATA = Path(__file__).parents[2] / "host" / "mtjkit_host" / "data" / "cifar10_test_500.bin"
CAMPAIGN = {"rates": (0.01, 0.1, 0.5), "errors": ("flip", "keep"), "repeats": 3, "images": 40}
POINTS = 1 + 2 * 2 * 3 * (3 + 1)  # error-free, memories x errors x rates x (repeats + RRMSE)


def make_net(folder):
    save(tiny_network(), folder / "tiny.mtjb")


def campaign(**changes):
    rrmse = Rrmse(images=12, repeats=1)
    nets = (NetEntry("Tiny", ("tiny",), "Binary"),)
    return Campaign("test", nets, rrmse=rrmse, **{**CAMPAIGN, **changes})


def measured(records):
    """Records, or a results file's lines, without when and where they were measured."""
    lines = [r if isinstance(r, dict) else json.loads(json.dumps(r.to_json())) for r in records]
    return {r["id"]: {k: r[k] for k in r.keys() - {"seconds", "where"}} for r in lines}
