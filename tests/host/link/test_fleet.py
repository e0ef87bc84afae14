"""Several devices, devices that die, runs that go on: the results are always the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import networks
import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError, LinkError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import FLIP, WriteErrors
from mtjkit_host.boards.serial_port import SerialPort
from mtjkit_host.boards.unix_port import UnixPort
from mtjkit_host.link.fleet import Fleet, Patience
from mtjkit_host.runs.fleet_run import complete
from mtjkit_host.runs.run_file import RunFile, identity
from mtjkit_host.runs.run_file_lines import read_head
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from support.commands import is_running
from support.paths import python_env

COUNT = 300
ERRORS = WriteErrors(9, FLIP, (100_000_000, 50_000_000))
MODEL = bytes(networks.build("pooled"))
IMAGES = np.random.default_rng(2).integers(-128, 128, (40, *Model(MODEL).input_shape), np.int8)
AGAIN = {index: IMAGES[index % 40] for index in range(COUNT)}


@pytest.fixture(scope="module")
def expected():
    indices = np.arange(COUNT, dtype=np.uint32)
    return BinaryNumpy(Model(MODEL)).run(IMAGES[indices % 40], indices, ERRORS)[0]


def collect(results):
    scores = {}
    for result in results:
        assert result.index not in scores
        scores[result.index] = result.scores
    return scores


def same(scores, expected, count=COUNT):
    return sorted(scores) == list(range(count)) and all(
        (scores[i] == expected[i]).all() for i in range(count)
    )


def ports(micropython, count):
    return [UnixPort(micropython, name=f"board {i}") for i in range(count)]


@pytest.mark.parametrize("boards", [1, 3])
def test_any_number_of_boards_gives_the_same(micropython, expected, boards):
    fleet = Fleet(ports(micropython, boards), MODEL, ERRORS)
    assert same(collect(fleet.classify(AGAIN)), expected)
    assert fleet.connections == boards
    assert fleet.programmed is not None
    assert fleet.left_out == {}


def test_a_killed_device_is_started_again_and_nothing_is_lost(micropython, expected):
    [port] = ports(micropython, 1)
    fleet = Fleet([port], MODEL, ERRORS)
    scores = {}
    for result in fleet.classify(AGAIN):
        scores[result.index] = result.scores
        if len(scores) in (50, 120):
            os.killpg(port.pid, signal.SIGKILL)
    assert same(scores, expected)
    assert fleet.connections == 3


class Mortal(UnixPort):
    """A board that nobody starts again."""

    starts = 0

    def open(self):
        self.starts += 1
        if self.starts > 1:
            raise LinkError(f"{self.name}: unplugged")
        return super().open()


def test_a_board_that_stays_away_is_left_out_and_its_images_are_redone(micropython, expected):
    mortal = Mortal(micropython, "1M", "mortal")
    patience = Patience(away_s=0.3)
    # With a slow kernel both boards are at work when one dies.
    both = [UnixPort(micropython, "1M"), mortal]
    fleet = Fleet(both, MODEL, ERRORS, "python", patience=patience)
    scores = {}
    killed = False
    few = 30
    for result in fleet.classify({i: AGAIN[i] for i in range(few)}):
        scores[result.index] = result.scores
        if not killed and all(board.programmed for board in fleet._boards):
            killed = True
            os.killpg(mortal.pid, signal.SIGKILL)
    assert killed
    assert same(scores, expected, few)


def test_when_the_last_board_stays_away_its_error_is_told(micropython):
    mortal = Mortal(micropython, name="mortal")
    fleet = Fleet([mortal], MODEL, ERRORS, patience=Patience(away_s=0.2))
    results = fleet.classify(AGAIN)
    next(results)
    os.killpg(mortal.pid, signal.SIGKILL)
    with pytest.raises(LinkError, match="unplugged"):
        list(results)
    assert fleet.left_out == {"mortal": "mortal: unplugged"}


def test_a_port_that_was_never_there_is_an_error_at_once(micropython):
    fleet = Fleet([SerialPort("/dev/ttyNONE"), *ports(micropython, 1)], MODEL)
    with pytest.raises(LinkError, match="/dev/ttyNONE: there is no such port"):
        list(fleet.classify(AGAIN))


def test_what_a_device_cannot_run_is_an_error(micropython):
    fleet = Fleet(ports(micropython, 2), MODEL, kernel="asm_thumb")
    with pytest.raises(ConfigError, match="asm_thumb"):
        list(fleet.classify(AGAIN))


def test_leaving_early_ends_the_processes(micropython):
    found = ports(micropython, 2)
    results = Fleet(found, MODEL, ERRORS).classify(AGAIN)
    next(results)
    results.close()
    for port in found:
        with pytest.raises(LinkError, match="not running"):
            _ = port.pid


def head():
    return identity(MODEL, IMAGES, COUNT, ERRORS)


def test_a_run_goes_on_where_it_stopped(micropython, expected, tmp_path):
    path = tmp_path / "build" / "run.jsonl"
    with RunFile(path, head()) as run:
        results = complete(run, Fleet(ports(micropython, 1), MODEL, ERRORS), AGAIN)
        for _ in range(100):
            next(results)
        results.close()
    with open(path, "ab") as file:
        file.write(b'{"i":299,"s":[1,2')  # a line that a killed process left
    with RunFile(path, head()) as run:
        assert len(run.results) == 100
        before = set(run.results)
        fleet = Fleet(ports(micropython, 2), MODEL, ERRORS)
        computed = []
        original = fleet.classify
        fleet.classify = lambda images: original(images, computed.append)
        assert same(collect(complete(run, fleet, AGAIN)), expected)
        assert not before & set(computed)
    with RunFile(path, head()) as run:  # complete: no device is needed any more
        assert same(collect(complete(run, Fleet([Mortal("/no/such")], MODEL), AGAIN)), expected)
    assert read_head(path)["model_sha256"] == head()["model_sha256"]


@pytest.mark.parametrize(
    "key", ["seed", "kind", "limits", "count", "model_sha256", "images_sha256"]
)
def test_another_run_is_not_mixed_in(tmp_path, key):
    path = tmp_path / "run.jsonl"
    RunFile(path, head()).close()
    with pytest.raises(
        ConfigError, match=f"the file belongs to another run \\(its {key} differs\\)"
    ):
        RunFile(path, {**head(), key: 1})


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"i":300,"s":[1,2,3,4,5],"b":[1,2,3,4,5],"us":1}',
        b'{"i":-1,"s":[1,2,3,4,5],"b":[1,2,3,4,5],"us":1}',
        b'{"i":true,"s":[1,2,3,4,5],"b":[1,2,3,4,5],"us":1}',
        b'{"i":1,"s":[1,2,3,4],"b":[1,2,3,4,5],"us":1}',
        b'{"i":1,"s":[1,2,3,4,1e99],"b":[1,2,3,4,5],"us":1}',
        b'{"i":1,"s":[1,2,3,4,5],"b":[1,2,3,4],"us":1}',
        b"[" * 100_000,
        b"x" * (2 << 20),
    ],
)
def test_damage_is_a_named_error(tmp_path, line):
    path = tmp_path / "run.jsonl"
    RunFile(path, head()).close()
    with open(path, "ab") as file:
        file.write(line + b"\n")
    with pytest.raises(FormatError, match=r"run\.jsonl: "):
        RunFile(path, head())
    path.write_bytes(line + b"\n")
    with pytest.raises(FormatError, match=r"run\.jsonl: "):
        read_head(path)


def test_a_run_file_of_version_1_is_refused_by_name(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"mtjkit_run":1,"seed":9,"threshold":1,"weight_threshold":0,"errors":0}\n')
    for read in (read_head, lambda path: RunFile(path, head())):
        with pytest.raises(
            FormatError, match="a run file of version 1, this mtjkit writes version 2"
        ):
            read(path)


def test_a_run_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(ConfigError, match=str(tmp_path)):
        RunFile(tmp_path, head())
    with pytest.raises(ConfigError, match="No such file"):
        read_head(tmp_path / "none")


def test_ctrl_c_ends_all_boards_and_keeps_the_results(micropython, tmp_path):
    code = (
        "import sys\n"
        "from test_fleet import *\n"
        "found = ports(sys.argv[1], 2)\n"
        "with RunFile('run.jsonl', head()) as run:\n"
        "    for n, _ in enumerate(complete(run, Fleet(found, MODEL, ERRORS), AGAIN)):\n"
        "        if n == 20:\n"
        "            print(*[port.pid for port in found], flush=True)\n"
        "            import time; time.sleep(60)\n"
    )
    host = subprocess.Popen(
        [sys.executable, "-c", code, micropython],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=python_env(Path(__file__).parent),
    )
    pids = [int(pid) for pid in host.stdout.readline().split()]
    host.send_signal(signal.SIGINT)
    _, errors = host.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert len(pids) == 2
    until = time.monotonic() + 10
    while any(map(is_running, pids)):
        assert time.monotonic() < until
        time.sleep(0.05)
    with RunFile(tmp_path / "run.jsonl", head()) as run:
        assert len(run.results) >= 20
