"""`invoke bench`: strings in, a text and a JSON file out."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from typing import Any

from mtjkit_core.errors import ConfigError
from mtjkit_export.files import check_writable, write_json
from mtjkit_export.needs import needs

from mtjkit_host import parse
from mtjkit_host.checks.bench_device import bench_device, targets
from mtjkit_host.checks.bench_neon import bench_neon
from mtjkit_host.machine import tell

PARTS = ("twin", "neon", "device")


def run_bench(
    only: str | None = None, json: str | None = None, rounds: str = "9", clean: bool = False
) -> str:
    """Measure, and return the numbers as JSON text.

    Args:
        only: twin, neon, device (all that count their time), or the name of one; None for
            everything.
        json: file to write the numbers to as well.
        rounds: how often the twin and torch are timed.
        clean: measure devices and NEON without write errors alone.

    Raises:
        ConfigError: an option is wrong, torch is missing, or what `--only neon` needs.
    """
    devices = {target.name: target for target in targets()}
    parts = PARTS if only is None else (parse.choice("--only", only, (*PARTS, *devices)),)
    count = parse.whole("--rounds", rounds, 1, 1000)
    if json is not None:
        check_writable(json)
    numbers: dict[str, Any] = {}
    if "twin" in parts:
        with needs("train", "the twin's part (--only device does without)"):
            from mtjkit_host.checks.bench_twin import bench_twin

            numbers["twin"] = asdict(bench_twin(count, tell))
    if "neon" in parts:
        try:
            numbers["neon"] = bench_neon(tell, clean)
        except ConfigError as error:
            if only is not None:
                raise
            tell(f"neon: left out: {error}")
    chosen = (
        list(devices.values()) if "device" in parts else [devices[n] for n in parts if n in devices]
    )
    if chosen:
        numbers["device"] = bench_device(chosen, tell, clean)
    text = jsonlib.dumps(numbers, indent=2)
    if json is not None:
        write_json(json, numbers)
    return text
