"""Campaigns on dask's workers and on boards: the records are those of the local processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import mtjkit_core
import pytest
from mtjkit_core.errors import ConfigError, LinkError
from mtjkit_host.boards.flash import flash
from mtjkit_host.campaign import cluster, run_campaign
from mtjkit_host.campaign.build import Build, sha256_of_files, this_build
from mtjkit_host.campaign.cluster import Cluster, parse_cluster
from mtjkit_host.campaign.measure import measure
from mtjkit_host.campaign.remote import PORT, Content, Task, check_build, measure_there
from support.campaigns import DATA, campaign, make_net, measured
from support.paths import python_env

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")

MASTER = {
    "cls": distributed.Scheduler,
    "options": {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"},
}
SMALL = {"rates": (0.1,), "repeats": 1, "images": 12}


@contextmanager
def scheduler(**options):
    """A scheduler, and two workers in this process; yields the scheduler's address."""
    worker = {"cls": distributed.Worker, "options": {"nthreads": 1, "dashboard": False, **options}}
    with distributed.SpecCluster({0: worker, 1: worker}, MASTER) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A folder with the net, and what a local process measures at a point."""
    folder = tmp_path_factory.mktemp("local")
    make_net(folder)

    def expected(records):
        return measured(measure(r.point, folder / "tiny.mtjb", DATA) for r in records)

    return folder, expected


def run(folder, out="out", cluster="", on_boards=False, ports=(), workers=0, limit_s=0, **changes):
    return run_campaign(
        campaign(**changes),
        data=DATA,
        models=[folder],
        folder=folder / out,
        workers=workers,
        limit_s=limit_s,
        cluster=cluster,
        on_boards=on_boards,
        ports=ports,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local:2", Cluster(workers=2)),
        ("local:0@0.0.0.0:8786", Cluster(host="0.0.0.0", port=8786)),
        ("local:1@[::1]", Cluster(workers=1, host="::1")),
        ("tcp://node7:8786", Cluster(address="tcp://node7:8786")),
    ],
)
def test_where_a_cluster_is(text, expected):
    assert parse_cluster(text) == expected
    assert Cluster().host == "127.0.0.1"


@pytest.mark.parametrize("text", ["", "local", "local:0", "local:257", "node7:8786", "tcp://node7"])
def test_other_words_are_refused(text):
    with pytest.raises(ConfigError, match="--cluster"):
        parse_cluster(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("{", "not valid JSON"),
        ("[1]", "not a table"),
        ("{}", "its address is 'None'"),
        ('{"address": 5}', "its address is '5'"),
        ('{"address": "file:///etc/passwd"}', "not a scheduler's file"),
        ("x" * 20_000, "longer than"),
    ],
)
def test_a_file_that_is_no_schedulers_is_refused(tmp_path, text, said):
    file = tmp_path / "scheduler.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        parse_cluster(str(file))


@pytest.mark.parametrize(
    ("sent", "said"),
    [(b"", "timed out"), (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "not a message of")],
)
def test_a_server_that_is_no_scheduler_is_left_in_time(monkeypatch, sent, said):
    monkeypatch.setattr(cluster, "_CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            line, _ = server.accept()
            with line:
                line.sendall(sent)
                line.settimeout(30)
                while line.recv(4096):
                    pass

        threading.Thread(target=serve, daemon=True).start()
        where = Cluster(address=f"tcp://127.0.0.1:{server.getsockname()[1]}")
        pool = cluster.cluster_pool(where, None)
        with pytest.raises(LinkError, match=f"no scheduler answers there.*{said}"), pool:
            pass


def test_a_schedulers_file_says_where_it_is(tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text('{"type": "Scheduler", "address": "tcp://10.0.0.7:8786"}')
    assert parse_cluster(str(file)) == Cluster(address="tcp://10.0.0.7:8786")


def test_ports_are_this_machines(tmp_path):
    assert parse_cluster("local:0", ["/dev/ttyACM0"]).ports == ("/dev/ttyACM0",)
    with pytest.raises(ConfigError, match=f"set {PORT} there"):
        parse_cluster("tcp://node7:8786", ["/dev/ttyACM0"])
    with pytest.raises(ConfigError, match="add --on boards"):
        run(tmp_path, ports=["/dev/ttyACM0"])


def test_another_mtjkit_is_refused_by_name(tmp_path):
    here = this_build()
    check_build(here, this_build(), "worker tcp://node7:1")
    for other in (
        Build("0.0.9", here.code, here.library),
        Build(here.version, "0" * 64, here.library),
        Build(here.version, here.code, "0" * 64),
    ):
        with pytest.raises(ConfigError, match="worker tcp://node7:1 runs mtjkit"):
            check_build(here, other, "worker tcp://node7:1")
        content = Content("0" * 64, b"")
        with pytest.raises(ConfigError, match="install the same"):
            measure_there(Task(other, None, None, False), content, content, "tcp://node7:1")
    source = tmp_path / "one.c"
    source.write_text("int x;")
    before = sha256_of_files([source])
    source.write_text("int y;")
    assert sha256_of_files([source]) != before


def test_damaged_contents_are_refused():
    task = Task(this_build(), None, None, False)
    net = Content("0" * 64, (Path(DATA).parent / "digits.mtjb").read_bytes())
    with pytest.raises(LinkError, match="a net has arrived damaged"):
        measure_there(task, net, net, "tcp://node7:1")


def test_a_clusters_records_are_the_local_ones(local):
    folder, expected = local
    with scheduler() as address:
        result = run(folder, "cluster", address, **SMALL)
        assert result.complete
        assert measured(result.records) == expected(result.records)
        assert len(result.records) == 1 + 4 * 2
        assert {r.where.split(":")[0] for r in result.records} == {"worker tcp"}
        assert result.environment["cluster"] == address
        some = run(folder, "limited", address, limit_s=1e-9, **SMALL)
        assert not some.complete
        with pytest.raises(ConfigError, match="no worker has a board"):
            run(folder, "boards", address, on_boards=True, **SMALL)


def test_boards_measure_what_they_can(local, micropython, monkeypatch):
    folder, expected = local
    monkeypatch.setenv(PORT, "unix")
    with scheduler(resources={"board": 1}) as address:
        result = run(folder, "on", address, on_boards=True, **SMALL)
    assert measured(result.records) == expected(result.records)
    for record in result.records:
        kind = "board unix of worker" if record.point.kind == "accuracy" else "worker"
        assert record.where.startswith(kind + " tcp://")


def test_a_board_that_is_gone_is_left_out(local, monkeypatch, capfd):
    folder, expected = local
    monkeypatch.delenv(PORT, raising=False)
    with scheduler(resources={"board": 1}) as address:
        result = run(folder, "gone", address, on_boards=True, **SMALL)
    assert result.complete
    assert measured(result.records) == expected(result.records)
    assert capfd.readouterr().err.count("left out: the environment variable MTJKIT_PORT") == 2


def test_without_a_scheduler(local, monkeypatch):
    folder, _ = local
    monkeypatch.setattr("mtjkit_host.campaign.cluster._CONNECT_S", 0.5)
    with pytest.raises(LinkError, match="no scheduler answers there"):
        run(folder, "none", "tcp://127.0.0.1:1", **SMALL)


def workers_of(process):
    """Processes that a campaign has started for its workers."""
    psutil = pytest.importorskip("psutil")
    children = psutil.Process(process).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def wait_for(results, lines, alive=lambda: True):
    deadline = time.monotonic() + 300
    while not results.exists() or results.read_bytes().count(b"\n") < lines:
        assert alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(local):
    folder, _ = local
    expected = measured(run(folder, "alone", repeats=15).records)
    results = folder / "killed" / "results.jsonl"
    at_kill = []

    def kill():
        wait_for(results, 10)
        workers_of(os.getpid())[0].send_signal(signal.SIGKILL)
        at_kill.append(results.read_bytes().count(b"\n"))

    killer = threading.Thread(target=kill)
    killer.start()
    result = run(folder, "killed", "local:2", repeats=15)
    killer.join()
    assert at_kill[0] < len(expected) - 20
    assert result.complete
    assert measured(result.records) == expected
    assert results.read_bytes().count(b"\n") == len(expected)


@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_the_local_processes_go_on(local, tmp_path):
    folder, _ = local
    script = (
        "from pathlib import Path\n"
        "import test_cluster as t\n"
        "if __name__ == '__main__':\n"
        f"    t.run(Path({str(folder)!r}), 'stopped', 'local:2', repeats=15)\n"
    )
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"],
        env=python_env(Path(__file__).parent),
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    results = folder / "stopped" / "results.jsonl"
    wait_for(results, 10, lambda: process.poll() is None)
    before = results.read_bytes()
    workers = workers_of(process.pid)
    assert len(workers) == 2
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert time.monotonic() - began < 20
    deadline = time.monotonic() + 20
    while any(worker.is_running() for worker in workers):
        assert time.monotonic() < deadline, "workers outlive their campaign"
        time.sleep(0.05)
    done = results.read_bytes()
    assert done.startswith(before)
    result = run(folder, "stopped", repeats=15)
    assert results.read_bytes().startswith(done)
    assert measured(result.records) == measured(run(folder, "alone", repeats=15).records)


@pytest.mark.slow
def test_a_worker_with_another_mtjkit_is_named(local, tmp_path):
    folder, _ = local
    core = tmp_path / "mtjkit_core"
    shutil.copytree(Path(mtjkit_core.__file__).parent, core)
    (core / "errors.py").write_text((core / "errors.py").read_text() + "\n# Another version.\n")
    with distributed.SpecCluster({}, MASTER) as cluster:
        address = cluster.scheduler_address
        command = ["-m", "distributed.cli.dask_worker", address, "--nthreads", "1"]
        worker = subprocess.Popen(
            [sys.executable, *command, "--no-dashboard", "--no-nanny"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            stderr=subprocess.DEVNULL,
        )
        try:
            with pytest.raises(
                ConfigError, match=r"worker tcp://.* runs mtjkit .* install the same"
            ):
                run(folder, "other", address, **SMALL)
        finally:
            worker.terminate()
            worker.wait()


@pytest.mark.slow
def test_two_emulated_boards_measure_a_campaign(local, emulator):
    folder, expected = local
    with emulator("mps2-an385") as one, emulator("mps2-an385") as two:
        for port in (one, two):
            flash(port, (folder / "tiny.mtjb").read_bytes())
        result = run(folder, "boards", on_boards=True, ports=[one, two], **SMALL)
    assert result.complete
    assert measured(result.records) == expected(result.records)
    places = {r.where.split(" of ")[0] for r in result.records if r.point.kind == "accuracy"}
    assert places == {f"board {one}", f"board {two}"}
