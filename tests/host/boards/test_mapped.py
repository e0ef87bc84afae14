"""A board whose model lies in memory that it cannot write: the host writes the weights."""

import os
import pty
import tty

import networks
import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import KEEP, NO_ERRORS, WriteErrors
from mtjkit_host.boards.unix_port import start_micropython, stop_process
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session
from mtjkit_host.simulate.binary_numpy import BinaryNumpy, program

SCRIPT = """
from mtjkit_device import board, serial_line
from mtjkit_device.server import Server

content = open({model!r}, "rb").read()
board.mapped_model = lambda: memoryview(content)  # as of a read-only file system: not writable
with serial_line.Line() as line:
    Server(line).serve()
"""

RAW = bytes(networks.build("pooled"))
ERRORS = WriteErrors(3, KEEP, 0, (1 << 27, 1 << 28))
STORED, COUNTED = program(Model(RAW), ERRORS)
WRITTEN, _, WRONG, *_ = COUNTED.tolist()
IMAGES = np.random.default_rng(1).integers(-128, 128, (9, *Model(RAW).input_shape), np.int8)


@pytest.fixture
def board(micropython, tmp_path):
    """Starts a board with a model and returns a session with it."""
    opened = []

    def start(model):
        (tmp_path / "model.mtjb").write_bytes(model)
        script = tmp_path / "mapped.py"
        script.write_text(SCRIPT.format(model=str(tmp_path / "model.mtjb")))
        master, slave = pty.openpty()
        tty.setraw(slave)
        process = start_micropython(master, micropython, script=script)
        link = Link.open(os.ttyname(slave))
        os.close(master)
        os.close(slave)
        opened.append((link, process))
        return Session(link)

    yield start
    for link, process in opened:
        link.close()
        stop_process(process)


def scores_of(model):
    return BinaryNumpy(Model(model)).run(IMAGES, np.arange(9, dtype=np.uint32))[0]


def test_the_model_in_mapped_memory_is_used(board):
    session = board(RAW)
    assert session.info.mapped
    done = session.program(RAW)
    assert (done.sent, done.bits_written, done.bits_wrong) == (False, WRITTEN, 0)
    assert (session.run(IMAGES).scores == scores_of(RAW)).all()


def test_weights_that_the_host_has_written(board):
    session = board(bytes(STORED.data))
    done = session.program(RAW, ERRORS, written_model=lambda: (STORED, COUNTED))
    assert (done.sent, done.bits_written, done.bits_wrong) == (False, WRITTEN, WRONG)
    assert WRONG > 0
    result = session.run(IMAGES)
    assert (result.scores == scores_of(bytes(STORED.data))).all()
    assert result.weight_bits_wrong == WRONG


@pytest.mark.parametrize(
    ("there", "errors"),
    [
        (bytes(networks.build("plain")), NO_ERRORS),
        (bytes(STORED.data), NO_ERRORS),
        (RAW, ERRORS),
        (bytes(STORED.data), WriteErrors(4, KEEP, 0, (1 << 27, 1 << 28))),
    ],
)
def test_another_model_lies_there(board, there, errors):
    with pytest.raises(ConfigError, match=r"another model or other weight errors; flash it with"):
        board(there).program(RAW, errors, written_model=lambda: program(Model(RAW), errors))


def test_weight_errors_of_a_mapped_model_take_the_file_with_its_weights_written(board):
    with pytest.raises(ConfigError, match="takes the file with its weights written"):
        board(bytes(STORED.data)).program(RAW, ERRORS)
