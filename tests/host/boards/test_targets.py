"""One model file on all targets: the same options, the same JSON, the same scores as the twin."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mtjkit_host.boards.catalog import boards
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from support.commands import OF_ITS_BACKEND

OWN = OF_ITS_BACKEND  # what may differ from the twin's
OPTIONS = {
    "--model": CARRIED_MODEL,
    "--data": CARRIED_IMAGES,
    "--images": 2,
    "--pulse-ns": 40,
    "--weight-ber": 0.002,
    "--errors": "keep",
    "--device": "cell.toml",
    "--seed": 7,
    "--kernel": "auto",
}


@pytest.mark.emulated
@pytest.mark.parametrize(
    "target",
    [
        name
        for name, spec in boards().items()
        if name != "pico"  # test_pico.py has it: it is slow, and shared
        and (spec.emulator or spec.port == "unix")
    ],
)
def test_a_run_is_the_twins(target, invoke, tmp_path, request):
    if target == "unix":
        request.getfixturevalue("micropython")
    else:
        request.getfixturevalue("emulator")(target)
    (tmp_path / "cell.toml").write_text("tau_ns = 12.5\n")
    options = [word for option in OPTIONS.items() for word in option]
    invoke("run", "--board", target, *options, "--json", "device.json")
    invoke("twin", *options, "--json", "twin.json")
    ours = json.loads((tmp_path / "device.json").read_text())
    theirs = json.loads((tmp_path / "twin.json").read_text())
    assert ours["backend"] == target
    assert ours["kernel"] in ("native", "asm_thumb", "asm_rv32", "viper", "python")
    assert ours["weights"]["bits_wrong"] > 0
    assert {**ours, **dict.fromkeys(OWN)} == {**theirs, **dict.fromkeys(OWN)}


def test_all_take_the_same_options(invoke):
    def options(command):
        lines = invoke(command, "--help").splitlines()
        return {
            name
            for line in lines
            if line.startswith("  -")
            for name in re.findall(r"--[a-z-]+", line.strip().split("  ")[0])
        }

    shared = options("twin") - {"--ensemble"}
    assert shared >= {*OPTIONS, "--ber", "--json"}
    assert options("run-pico") == shared
    assert options("run-qemu") - {"--machine"} == shared
    assert options("run-unix") - {"--boards", "--resume"} == shared
    assert options("run") - {"--port", "--board", "--resume"} == shared


@pytest.mark.parametrize("after_s", [0.2, 4])
def test_ctrl_c_ends_host_and_emulator(after_s, emulator):
    """While the board is flashed, and while it runs."""
    emulator("mps2-an385")
    code = (
        "from mtjkit_host.runs.emulated import run_board\n"
        "from mtjkit_host.runs.parse_options import parse_options\n"
        "print('started', flush=True)\nrun_board(parse_options(), 'mps2-an385')\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    host = subprocess.Popen([sys.executable, "-c", code], **pipes)
    host.stdout.readline()
    time.sleep(after_s)
    children = _children(host.pid)
    host.send_signal(signal.SIGINT)
    try:
        _, messages = host.communicate(timeout=20)
    finally:
        host.kill()
    assert messages.splitlines()[-1].startswith("KeyboardInterrupt")  # or with how to go on
    for pid in children:
        _ended(pid)


def test_a_killed_host_leaves_no_emulator(emulator):
    emulator("mps2-an385")
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux ends a process with its parent")
    code = (
        "import time\nfrom mtjkit_host.boards.catalog import board_named\n"
        "from mtjkit_host.boards.emulate import emulate\n"
        "from mtjkit_host.boards.firmware import find_firmware\n"
        "e = emulate(board_named('mps2-an385'), find_firmware('mps2-an385'))\n"
        "print(e.open(), e.pid, flush=True)\ntime.sleep(60)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(host.stdout.readline().split()[1])
    os.kill(pid, 0)
    host.kill()
    host.wait()
    _ended(pid)


def _children(pid):
    """Processes that a process has started (Linux; elsewhere none are found)."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(one) for one in found.stdout.split()]


def _ended(pid):
    """Wait for the end of a process; fail if it goes on."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":  # ended; nobody has asked how
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still runs")
