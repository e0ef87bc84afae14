"""`invoke bench`: strings in, a text and a JSON file out."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from typing import Any

from mtjkit_export.files import check_writable, write_json
from mtjkit_export.needs import needs

from mtjkit_host import parse
from mtjkit_host.checks.bench_device import bench_device
from mtjkit_host.machine import tell

PARTS = ("twin", "device")


def run_bench(only: str | None = None, json: str | None = None, rounds: str = "9") -> str:
    """Measure, and return the numbers as JSON text.

    Args:
        only: twin or device; None for both.
        json: file to write the numbers to as well.
        rounds: how often the twin and torch are timed.

    Raises:
        ConfigError: an option is wrong, or torch is missing.
    """
    parts = PARTS if only is None else (parse.choice("--only", only, PARTS),)
    count = parse.whole("--rounds", rounds, 1, 1000)
    if json is not None:
        check_writable(json)
    numbers: dict[str, Any] = {}
    if "twin" in parts:
        with needs("train", "the twin's part (--only device does without)"):
            from mtjkit_host.checks.bench_twin import bench_twin

            numbers["twin"] = asdict(bench_twin(count, tell))
    if "device" in parts:
        numbers["device"] = bench_device(tell)
    text = jsonlib.dumps(numbers, indent=2)
    if json is not None:
        write_json(json, numbers)
    return text
