"""Names of options: the older ones that are still taken, and how messages show them."""

from __future__ import annotations

OLDER_NAMES = {"write_error_rate": "ber", "weight_error_rate": "weight_ber", "cell": "device"}
"""Option -> its older name, both as Python writes them."""


def dashed(name: str) -> str:
    """An option's name as it is typed, without the two dashes in front."""
    return name.replace("_", "-")


def shown_option(name: str) -> str:
    """An option as messages show it: with its older name, if it has one."""
    older = f" (--{dashed(OLDER_NAMES[name])})" if name in OLDER_NAMES else ""
    return f"--{dashed(name)}{older}"


RATE = shown_option("write_error_rate")
WEIGHT_RATE = shown_option("weight_error_rate")
