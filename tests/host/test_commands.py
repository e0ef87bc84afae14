"""The commands as a user types them: real processes, real MicroPython, one line for bad input."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mtjkit_host.cli import namespace
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from support.commands import INVOKE, OF_ITS_BACKEND, invoke, refused

pytestmark = pytest.mark.program

ROOT = Path(__file__).resolve().parents[2]
TIMES = OF_ITS_BACKEND


def test_every_option_has_help(tmp_path):
    listed = invoke("--list", "--list-format", "json", cwd=tmp_path)
    names = {task["name"] for task in json.loads(listed.stdout)["tasks"]}
    assert names >= {
        *("train", "export", "info", "run-unix", "twin", "flash", "run", "test", "check", "bench")
    }
    for name in names:
        command = namespace()[name]
        for argument in (*command.get_arguments(), *command.get_arguments()):
            assert argument.help, f"{name} --{argument.name}"
    shown = invoke("twin", "--help", cwd=tmp_path).stdout
    options = [line for line in shown.splitlines() if line.lstrip().startswith("-")]
    assert len(options) > 8
    assert all(len(line.split("  ")) > 2 for line in options), shown


@pytest.mark.parametrize(
    "words",
    [
        ("--ber", "0.024"),
        ("--pulse-ns", "40", "--errors", "keep", "--seed", "7"),
        ("--ber", "0", "--weight-ber", "0.01"),
    ],
)
def test_run_unix_gives_the_twins_json(tmp_path, micropython, words):
    shared = ("--images", 5, *words)
    device = invoke("run-unix", *shared, "--json", "device.json", cwd=tmp_path)
    host = invoke("twin", *shared, "--json", "host.json", cwd=tmp_path)
    assert device.returncode == host.returncode == 0, device.stderr + host.stderr
    a = json.loads((tmp_path / "device.json").read_text())
    b = json.loads((tmp_path / "host.json").read_text())
    assert (a["backend"], b["backend"]) == ("unix", "twin")
    for name in TIMES:
        del a[name], b[name]
    assert a == b
    assert a["images"] == 5
    assert a["bits"]["written"] == 5 * 72192
    assert "accuracy" in device.stdout
    assert "bits written" in device.stdout


@pytest.mark.parametrize("task", ["run-unix", "twin"])
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--ber", "-0.1"), ("--ber", "0 to 1")),
        (("--ber", "1.5"), ("--ber", "0 to 1")),
        (("--ber", "much"), ("--ber", "error rate")),
        (("--ber", "nan"), ("--ber", "error rate")),
        (("--ber", "0.1", "--pulse-ns", "3"), ("--ber", "--pulse-ns")),
        (("--weight-ber", "2"), ("--weight-ber",)),
        (("--images", "ten"), ("--images", "whole number")),
        (("--images", "501"), ("501", "500")),
        (("--seed", "-1"), ("--seed",)),
        (("--errors", "swap"), ("--errors", "flip, keep")),
        (("--kernel", "fast"), ("--kernel", "viper")),
        (("--model", "no.mtjb"), ("no.mtjb",)),
        (("--data", "nowhere"), ("nowhere",)),
        (("--device", "no.toml"), ("no.toml",)),
        (("--json", "."), ("--json",)),
    ],
)
def test_bad_options_end_in_one_line(tmp_path, task, words, parts):
    refused(invoke(task, *words, cwd=tmp_path), *parts)
    assert not list(tmp_path.iterdir())


def test_bad_models_end_in_one_line(tmp_path):
    good = CARRIED_MODEL.read_bytes()
    flipped = bytearray(good)
    flipped[5000] ^= 4
    broken = {
        "truncated": good[:-100],
        "checksum": bytes(flipped),
        "not an .mtjb": b"\x89PNG\r\n\x1a\n" + good,
        "version": good[:4] + b"\x09" + good[5:],
    }
    for part, data in broken.items():
        file = tmp_path / "broken.mtjb"
        file.write_bytes(data)
        for words in (("twin", "--model", file), ("info", file)):
            refused(invoke(*words, cwd=tmp_path), "broken.mtjb", part)


def test_images_of_the_wrong_shape(tmp_path):
    file = tmp_path / "test_batch.bin"
    file.write_bytes(CARRIED_IMAGES.read_bytes()[:5000])
    refused(invoke("twin", "--data", file, cwd=tmp_path), "test_batch.bin")


def test_a_port_that_is_not_there(tmp_path):
    refused(invoke("run", "--port", "/dev/ttyNONE9", cwd=tmp_path), "/dev/ttyNONE9")


def test_no_micropython(tmp_path):
    env = {"MICROPYTHON": str(tmp_path / "nothing")}
    refused(invoke("run-unix", cwd=tmp_path, env=env), "MICROPYTHON", "nothing")


@pytest.mark.slow
def test_ctrl_c_stops_the_device(tmp_path, micropython):
    """Interrupted in the middle of a run: no process stays, nothing is half-written."""
    own = tmp_path / "micropython"  # a name that only this test's processes carry
    shutil.copy(micropython, own)
    with subprocess.Popen(
        [*INVOKE, "run-unix", "--kernel", "python", "--json", "out.json"],
        cwd=tmp_path,
        env={**os.environ, "MICROPYTHON": str(own)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not _processes(str(own)) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(2)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        try:
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert "Traceback" not in stderr
    assert process.returncode != 0
    deadline = time.monotonic() + 10
    while _processes(str(own)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _processes(str(own))
    assert not (tmp_path / "out.json").exists()
    assert not list(tmp_path.rglob("*.part"))
    [run_file] = (tmp_path / "build" / "runs").iterdir()
    again = invoke("run-unix", "--resume", run_file, "--ber", "0.1", cwd=tmp_path)
    refused(again, "--resume", "--ber")


def _processes(word):
    """Processes with `word` on their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in entry.read_text() and entry.parent.name != str(os.getpid()):
                found.append(entry.parent.name)
        except OSError:
            continue
    return found
