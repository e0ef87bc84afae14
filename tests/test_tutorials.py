"""The tutorials: their commands and programs run, in their order."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from mtjkit_host.paths import CARRIED
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.run import run_twin
from support.commands import INVOKE
from support.micropython import micropython_or_skip
from support.paths import LIB, ROOT

PAGE = (ROOT / "docs" / "tutorial-own-net.md").read_text()
COMMANDS = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
PROGRAM = "".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.usefixtures("micropython")
def test_the_program_for_a_board_names_the_classes_of_a_run(tmp_path):
    """On MicroPython's Unix port, with the carried net of the same windows."""
    shutil.copy(CARRIED / "gestures.mtjb", tmp_path / "own-net.mtjb")
    options = parse_options(model="gestures", images=4, write_error_rate=0)
    result = run_twin(options)
    for window, number in zip(result.images.images, result.predictions, strict=True):
        (tmp_path / "window.bin").write_bytes(window.tobytes())
        (tmp_path / "main.py").write_text(PROGRAM)
        done = subprocess.run(
            [micropython_or_skip(), "-X", "heapsize=1M", "main.py"],
            cwd=tmp_path,
            env={**os.environ, "MICROPYPATH": f".frozen:{LIB}"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == result.model.class_names[number]
    assert len(set(result.predictions.tolist())) > 1


@pytest.mark.slow
def test_the_commands_up_to_the_board_run(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    local = [line for line in COMMANDS if "--port" not in line and "--board" not in line]
    assert len(local) == 5
    for line in local:
        words = shlex.split(line)
        if words[0] == "python":
            words = [sys.executable, str(ROOT / words[1]), *words[2:]]
        else:
            words = [*INVOKE, *words[1:]]
        done = subprocess.run(list(map(str, words)), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    result = run_twin(parse_options(
        model=tmp_path / "build/own-net.mtjb", data=tmp_path / "build/gestures.npz",
        write_error_rate=0,
    ))  # fmt: skip
    assert len(result.images) == 2000
    assert result.error_free_correct > 1000
    arrays = np.load(tmp_path / "build/gestures.npz")
    assert tuple(arrays["classes"]) == tuple(result.model.class_names)
