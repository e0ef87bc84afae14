"""Commands that are killed again and again: every result is that of a run left alone."""

import json
import random
import subprocess
import time

import numpy as np
import pytest
from mtjkit_host.datasets import cifar10
from mtjkit_host.paths import CARRIED_IMAGES
from safetensors.numpy import load_file
from support import commands

pytestmark = pytest.mark.slow

KILLS = {"run-unix": 80, "campaign": 80, "train": 40}


class RunUnix:
    """A run of 40 images, gone on with by its run file."""

    words = ("run-unix", "--images", "40", "--write-error-rate", "0.05", "--errors", "keep")

    def __init__(self, folder):
        self.folder = folder

    def command(self):
        begun = [path for path in self.folder.glob("build/runs/*.jsonl") if path.stat().st_size]
        assert len(begun) < 2
        words = ("run-unix", "--resume", begun[0]) if begun else self.words
        return (*words, "--json", "out.json")

    def result(self):
        found = json.loads((self.folder / "out.json").read_text())
        times = ("seconds", "device_us_per_image", "device_us_median")
        return {key: value for key, value in found.items() if key not in times}


class Campaign:
    """A campaign of 25 points on two processes; the same command goes on."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "mine.toml").write_text(
            "rates = [0.01, 0.1]\nerrors = ['flip', 'keep']\nrepeats = 6\nimages = 60\n"
            "[[nets]]\nlabel = 'small'\nmodel = 'binary-small'\n"
        )

    def command(self):
        words = ("campaign", "mine.toml", "--data", CARRIED_IMAGES, "--output", "out")
        return (*words, "--workers", "2")

    def result(self):
        lines = (self.folder / "out" / "results.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert len({record["id"] for record in records}) == len(records)
        return sorted(
            (record["id"], [value for key, value in record.items() if key != "seconds"])
            for record in records
        )


class Train:
    """A training of six epochs; the same command goes on."""

    def __init__(self, folder):
        self.folder = folder
        rng = np.random.default_rng(0)
        for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
            images = rng.integers(0, 256, (48, 32, 32, 3), np.uint8)
            labels = rng.integers(0, 10, 48, np.uint8)
            (folder / name).write_bytes(cifar10.encode(images, labels))

    def command(self):
        words = ("train", "--net", "binary-tiny", "--data", ".", "--run", "run", "--device", "cpu")
        return (*words, "--epochs", "6", "--batch", "16", "--threads", "1")

    def result(self):
        log = [json.loads(line) for line in (self.folder / "run" / "log.jsonl").open()]
        tensors = load_file(next((self.folder / "run").glob("last*.safetensors")))
        return [record["loss"] for record in log], {k: v.tobytes() for k, v in tensors.items()}


@pytest.mark.parametrize("kind", [RunUnix, Campaign, Train])
def test_every_result_of_a_killed_command_is_that_of_one_left_alone(kind, tmp_path, micropython):
    """A life ends at any time; a result that is complete begins the next series."""
    rng = random.Random(kind.__name__)
    (tmp_path / "alone").mkdir()
    alone = kind(tmp_path / "alone")
    began = time.monotonic()
    commands.finished(commands.ended(commands.start(*alone.command(), cwd=alone.folder)))
    whole_s = time.monotonic() - began
    kills, series = 0, 0
    needed = KILLS[alone.command()[0]]
    while kills < needed:
        folder = tmp_path / str(series)
        folder.mkdir()
        killed = kind(folder)
        limit_s = 1.5 * whole_s
        began = time.monotonic()
        while True:
            with commands.start(*killed.command(), cwd=folder) as process:
                try:
                    _, said = process.communicate(timeout=rng.uniform(0, limit_s))
                except subprocess.TimeoutExpired:
                    process.kill()
                    kills += 1
                    limit_s *= 1.1  # a machine may become slower
                    continue
            break
        whole_s = min(whole_s, time.monotonic() - began)  # or quicker
        assert process.returncode == 0, said
        assert killed.result() == alone.result()
        series += 1
    assert series > 2
    print(f"{alone.command()[0]}: {kills} kills, {series} results")
