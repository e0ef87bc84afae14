"""Campaigns run, are killed and go on; their results do not depend on it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from mtjkit_core.chip_errors import RANDOM, ChipErrors
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.write_errors import FLIP, KEEP, WriteErrors, fail_limit
from mtjkit_export.files import file_sha256
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_host.analysis import summarize
from mtjkit_host.analysis.sections import by_layer
from mtjkit_host.analysis.tradeoff import tradeoffs
from mtjkit_host.campaign import Campaign, NetEntry, execute, run_campaign
from mtjkit_host.campaign.measure import errors_of, measure_with
from mtjkit_host.campaign.points import POINT_VERSION, RRMSE, Planned, Point, points_of
from mtjkit_host.campaign.records import Record, ResultsFile
from mtjkit_host.datasets.images import load_images
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.cell_file import load_cell
from mtjkit_host.mtj.chip import class_limits
from mtjkit_host.mtj.pulse_plan import PulsePlan, layer_pulses
from mtjkit_host.mtj.scheme import Traffic
from mtjkit_host.mtj.schemes import parse_scheme
from mtjkit_host.runs.options import EXPECTED, KINDS
from mtjkit_host.simulate.simulator import open_simulator
from support.campaigns import DATA, POINTS, campaign, make_net, measured
from support.paths import python_env


def run(folder, out="out", watch=None, **changes):
    return run_campaign(
        campaign(**changes), data=DATA, models=[folder], folder=folder / out, workers=2,
        watch=watch,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    make_net(folder)
    standings = []
    result = run(folder, watch=standings.append)
    stands = standings[0].to_json()
    assert (stands["done"], sum(one["points"] for one in stands["workers"])) == (POINTS, POINTS)
    assert {one["name"] for one in stands["workers"]} <= {"process 1", "process 2"}
    return folder, result


def a_plan(folder, rates=(0.05, 0.2, 0.1)):
    """A plan for the tiny net, with weights that fail too."""
    scheme = parse_scheme("fixed")
    layers = tuple(layer_pulses(Cell(), scheme, rate, Traffic()) for rate in rates)
    weights = tuple(layer_pulses(Cell(), scheme, 0.01, Traffic()) for _ in range(4))
    sha256 = file_sha256(folder / "tiny.mtjb")
    plan = PulsePlan("tiny", sha256, "keep", Cell(), "fixed", layers, {}, weights, sha256)
    (folder / "plan.toml").write_text(plan.to_toml())
    return plan


def test_a_plan_is_a_net_more_with_the_plans_errors(tmp_path):
    make_net(tmp_path)
    plan = a_plan(tmp_path)
    options = {"data": DATA, "models": [tmp_path], "folder": tmp_path / "out", "workers": 1}
    small = campaign(repeats=2, errors=("keep",), memories=("feature_maps",), rates=(0.1,))
    result = run_campaign(small, plans=[tmp_path / "plan.toml"], **options)
    assert result.complete
    entry = result.campaign.nets[1]
    assert entry.label == "tiny, plan"
    records = [r for r in result.records if r.point.net == entry.label]
    assert [r.point.memory for r in records] == ["none", "feature_maps", "feature_maps"]
    net = load(tmp_path / "tiny.mtjb")
    data = load_images(DATA, net, 40)
    for record in records[1:]:
        errors = WriteErrors(record.point.seed, KEEP, plan.limits, plan.weight_limits)
        stored, _ = open_simulator(net).program(errors)
        scores, counts = stored.run(data.images, errors=errors)
        assert record.correct == int((scores.argmax(1) == data.labels).sum())
        assert record.bits.wrong == counts[:, 2].sum() > 0
    # Without plans, points are the ones that they were.
    ids = {r.point.id for r in result.records if r.point.net == "Tiny"}
    lines = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert all(
        ("plan_sha256" in line) == (line["net"] != "Tiny" and line["memory"] != "none")
        for line in lines
    )
    assert ids == {r.point.id for r in run_campaign(small, **options).records}
    fields = {"version": POINT_VERSION, **asdict(result.records[0].point)}
    assert fields.pop("plan_sha256") == ""
    assert (fields.pop("chip"), fields.pop("class_limits")) == (None, ())
    assert fields.pop("cells_before") == "erased"
    text = json.dumps(fields, sort_keys=True).encode()
    assert result.records[0].point.id == hashlib.sha256(text).hexdigest()
    (line,) = [one for one in summarize(result).tradeoffs if one.is_plan]
    bits = [layer.map_bits for layer in net.layers[:-1]]
    pj = [Cell().write_energy_pj(layer.pulses.down_ns) for layer in plan.layers]
    assert line.spots[0].energy_pj == pytest.approx(np.dot(bits, pj) / sum(bits))
    assert (line.net, line.errors, line.scheme) == ("Tiny", "keep", "fixed")
    state = json.loads((tmp_path / "out" / "campaign.json").read_text())
    assert state["campaign"]["nets"][0]["plan"] == ""
    assert result.nets[entry.label]["plan"]["scheme"] == "fixed"


def test_repeats_are_chips_whose_cells_differ(tmp_path):
    make_net(tmp_path)
    options = {"data": DATA, "models": [tmp_path], "folder": tmp_path / "out", "workers": 1}
    nets = (NetEntry("Tiny", ("tiny",)),)
    memories = ("weights", "feature_maps", "feature_maps.1")
    small = Campaign("test", nets, (0.1,), memories, repeats=2, images=40, seed=7)
    result = run_campaign(small, chips="asano2024-spread", **options)
    assert result.complete
    cell = load_cell("asano2024-spread")
    scheme = parse_scheme("fixed")
    limits = class_limits(cell, scheme, scheme.pulses_for(cell, 0.1, EXPECTED), EXPECTED)
    assert sum(up for _, up in limits) == pytest.approx(4 * fail_limit(0.1), rel=1e-6)
    net = load(tmp_path / "tiny.mtjb")
    simulator = open_simulator(net)
    data = load_images(DATA, net, 40)
    chips = set()
    for record in result.records:
        point = record.point
        chips.add(point.chip)
        if point.memory == "none":
            continue
        its = [limits] * (len(net.layers) - (point.memory != "weights"))
        if point.memory == "feature_maps.1":
            its = [limits if n == 1 else [(0, 0)] * 4 for n in range(len(its))]
        what = "weight_classes" if point.memory == "weights" else "classes"
        classes = {what: [list(pairs) for pairs in zip(*its, strict=True)]}
        errors = ChipErrors(point.seed, FLIP, chip=7 + point.repeat, **classes)
        stored, of_weights = simulator.program(errors)
        scores, counts = stored.run(data.images, errors=errors)
        wrong = of_weights[2] if what == "weight_classes" else counts[:, 2].sum()
        assert record.bits.wrong == wrong > 0
        assert record.correct == int((scores.argmax(1) == data.labels).sum())
        assert Record.from_json(json.loads(json.dumps(record.to_json())), point) == record
    assert chips == {None, 7, 8}
    # The same without chips: other points.
    plain = {r.point.id for r in run_campaign(small, **options).records}
    assert len(plain & {r.point.id for r in result.records}) == 1  # without errors
    with pytest.raises(ConfigError, match="cell asano2024 has no"):
        run_campaign(small, chips="asano2024", **options)
    plan = a_plan(tmp_path)
    planned = {"chips": "asano2024-spread", "plans": [tmp_path / "plan.toml"], **options}
    with pytest.raises(ConfigError, match="on chips a plan has pulses for feature maps alone"):
        run_campaign(small, **planned)
    (tmp_path / "plan.toml").write_text(replace(plan, weights=()).to_toml())
    result = run_campaign(small, **planned)
    found = [r for r in result.records if r.point.plan_sha256]
    assert [r.point.chip for r in found] == [7, 8]
    each = [class_limits(cell, scheme, layer.pulses, EXPECTED) for layer in plan.layers]
    classes = [list(pairs) for pairs in zip(*each, strict=True)]
    for record in found:
        point = record.point
        errors = ChipErrors(point.seed, KEEP, chip=point.chip, classes=classes)
        scores, counts = simulator.run(data.images, errors=errors)
        assert record.correct == int((scores.argmax(1) == data.labels).sum())
        assert record.bits.wrong == counts[:, 2].sum() > 0
    assert all("chips of asano2024-spread" in line.population for line in tradeoffs(result, cell))


def test_points_over_random_bits(tmp_path):
    make_net(tmp_path)
    net = load(tmp_path / "tiny.mtjb")
    simulator, data = open_simulator(net), load_images(DATA, net, 40)
    small = campaign(
        repeats=1, errors=("keep",), memories=("weights", "feature_maps.1"), rates=(0.1,),
        cells_before="random",
    )  # fmt: skip
    small = replace(small, rrmse=None)
    hashes = {"Tiny": "0" * 64}, {small.images: data.sha256}
    points = points_of(small, *hashes)
    erased = points_of(replace(small, cells_before="erased"), *hashes)
    assert ["cells_before" in point.to_json() for point in points] == [False, False, True]
    assert not any("cells_before" in point.to_json() for point in erased)
    point = points[-1]
    record = measure_with(simulator, point, data)
    limit = fail_limit(0.1)
    limits = [(limit if layer == 1 else 0,) * 2 for layer in range(len(net.layers) - 1)]
    errors = ChipErrors(point.seed, KEEP, limits, before=RANDOM)
    _, counts = simulator.run(data.images, errors=errors)
    assert record.bits.toggled == counts[:, 1].sum()
    assert record.bits.wrong == counts[:, 2].sum() > 0
    plans = {"Tiny": Planned("1" * 64, "keep", 0.1, cells_before="random")}
    planned = points_of(replace(small, cells_before="erased"), *hashes, plans)
    assert [one.cells_before for one in planned if one.plan_sha256] == ["random"]
    with pytest.raises(ConfigError, match="cells_before is one of erased, random"):
        campaign(cells_before="full")


def test_errors_in_one_layer_alone(tmp_path):
    make_net(tmp_path)
    options = {"data": DATA, "models": [tmp_path], "folder": tmp_path / "out", "workers": 1}
    memories = ("weights", "weights.2", "feature_maps.1")
    result = run_campaign(campaign(repeats=1, rates=(0.2,), memories=memories), **options)
    assert result.complete
    net = load(tmp_path / "tiny.mtjb")
    simulator = open_simulator(net)
    limit = fail_limit(0.2)
    seen = set()
    for record in result.records:
        point = record.point
        if "." not in point.memory or point.kind == RRMSE:
            continue
        of_layers = [(0, 0)] * (len(net.layers) - (point.memory == "feature_maps.1"))
        of_layers[int(point.memory[-1])] = limit, limit
        weights = of_layers if point.memory == "weights.2" else 0
        maps = 0 if weights else of_layers
        errors = WriteErrors(point.seed, KINDS[point.errors], maps, weights)
        stored, of_weights = simulator.program(errors)
        scores, counts = stored.run(load_images(DATA, net, 40).images, errors=errors)
        wrong = of_weights[2] if weights else counts[:, 2].sum()
        assert record.bits.wrong == wrong > 0
        labels = load_images(DATA, net, 40).labels
        assert record.correct == int((scores.argmax(1) == labels).sum())
        seen.add((point.memory, point.errors))
    assert len(seen) == 4
    assert {r.point.memory for r in result.records if r.point.kind == RRMSE} == {"weights"}
    summary = summarize(result)
    assert {entry.memory for entry in summary.by_layer} == {"weights.2", "feature_maps.1"}
    assert {entry.memory for entry in summary.acceptable} == {"weights"}
    assert {curve.memory for curve in summary.accuracy} == {"weights"}
    assert [row[1] for row in by_layer(summary).rows[::2]] == [
        "weights of layer 2",
        "feature maps of layer 1",
    ]
    with pytest.raises(ConfigError, match=r"^Tiny has no feature maps of layer 3 in the memory"):
        run_campaign(campaign(memories=("feature_maps.3",)), **options)


def test_a_plan_for_another_net_is_refused(tmp_path):
    make_net(tmp_path)
    plan = a_plan(tmp_path)
    (tmp_path / "other.toml").write_text(plan.to_toml().replace(plan.sha256, "0" * 64))
    options = {"data": DATA, "models": [tmp_path], "folder": tmp_path / "out", "workers": 1}
    with pytest.raises(ConfigError, match=r"other.toml: its model is neither other.mtjb beside"):
        run_campaign(campaign(), plans=[tmp_path / "other.toml"], **options)
    nets = (NetEntry("Tiny", ("tiny",), plan=str(tmp_path / "other.toml")),)
    with pytest.raises(ConfigError, match=r"Tiny: .*other.toml is a plan for another model"):
        run_campaign(Campaign("test", nets, rates=(0.1,), images=40), **options)


@pytest.mark.program
def test_every_point_is_there_once(whole):
    folder, result = whole
    lines = (folder / "out" / "results.jsonl").read_text().splitlines()
    assert result.complete
    assert len(result.records) == len(lines) == POINTS
    assert len({json.loads(line)["id"] for line in lines}) == POINTS
    state = json.loads((folder / "out" / "campaign.json").read_text())
    assert state["nets"]["Tiny"]["weight_bits"] == 135 + 270 + 33 * 384 + 330
    assert state["campaign"]["seed"] == 0
    assert state["environment"]["versions"]["numpy"] == np.__version__


def test_records_say_what_was_asked_and_what_happened(whole):
    _, result = whole
    for record in map(Record.to_json, result.records):
        bits = record["bits"]
        assert record["achieved_rate"] == bits["wrong"] / bits["written"]
        if record["memory"] == "none":
            assert (bits["wrong"], record["rate"]) == (0, 0)
        elif record["memory"] == "feature_maps":
            assert bits["written"] == record["images"] * (16 * 16 * 5 + 8 * 8 * 6 + 33)
        n, p = bits["written"], record["threshold"] / 2**32
        if record["errors"] == "keep" and "toggled" in bits:
            n = bits["toggled"]  # each bit that must toggle fails with p
        if record["errors"] == "flip" or "toggled" in bits:
            assert abs(bits["wrong"] - n * p) <= 5 * (n * p * (1 - p)) ** 0.5
        if record["kind"] == "rrmse":
            assert record["rrmse_by_layer"][0] == 0
            total = sum(share**2 for share in record["rrmse_by_layer"]) ** 0.5
            assert record["rrmse"] == pytest.approx(total)
            assert len(record["rrmse_by_layer"]) == 4
        else:
            assert record["accuracy"] == record["correct"] / 40


def test_a_finished_campaign_computes_nothing(whole):
    folder, result = whole
    before = (folder / "out" / "results.jsonl").read_bytes()
    assert run(folder).records == result.records
    assert (folder / "out" / "results.jsonl").read_bytes() == before


@pytest.mark.program
def test_more_repeats_keep_what_is_there(whole):
    folder, result = whole
    more = run(folder, repeats=4)
    assert len(more.records) == POINTS + 12
    assert measured(result.records).items() <= measured(more.records).items()


@pytest.mark.slow
def test_killed_and_resumed_it_loses_and_repeats_nothing(whole, tmp_path):
    _, result = whole
    make_net(tmp_path)
    script = (
        "from pathlib import Path\n"
        "import test_runner as t\n"
        "if __name__ == '__main__':\n"
        f"    t.run(Path({str(tmp_path)!r}))\n"
    )
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"], env=python_env(Path(__file__).parent)
    )
    results = tmp_path / "out" / "results.jsonl"
    try:
        deadline = time.monotonic() + 120
        while not results.exists() or results.read_bytes().count(b"\n") < 5:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        with pytest.raises(ConfigError, match="is writing to it"):
            run(tmp_path)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "workers outlive their campaign"
        time.sleep(0.05)
    done = results.read_bytes()
    assert 5 <= done.count(b"\n") < POINTS
    results.write_bytes(done + b'{"id":"torn')  # what a kill in the middle of a write leaves
    resumed = run(tmp_path)
    assert results.read_bytes().startswith(done)
    lines = results.read_text().splitlines()
    assert len(lines) == POINTS
    assert measured(resumed.records) == measured(result.records)
    assert measured(json.loads(line) for line in lines) == measured(result.records)


def _alive(pid):
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.program
def test_a_time_limit_stops_early_and_goes_on_later(whole, tmp_path):
    make_net(tmp_path)
    arguments = {"data": DATA, "models": [tmp_path], "folder": tmp_path / "out", "workers": 1}
    some = run_campaign(campaign(), limit_s=1e-9, **arguments)
    assert len(some.records) < POINTS
    assert not some.complete
    rest = run_campaign(campaign(), **arguments)
    assert measured(rest.records) == measured(whole[1].records)


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"id":"a"}\n{"id":\n{"id":"c"}\n')
    with pytest.raises(FormatError, match="line 2"):
        ResultsFile(path)


def test_a_missing_net_is_an_error_or_a_remark(tmp_path):
    make_net(tmp_path)
    nets = (NetEntry("Tiny", ("tiny",)), NetEntry("Gone", ("gone",)))
    two = Campaign("two", nets, (0.1,), repeats=1, images=5)
    arguments = {"data": DATA, "models": [tmp_path], "folder": tmp_path / "out", "workers": 1}
    with pytest.raises(ConfigError, match="no gone"):
        run_campaign(two, **arguments)
    assert not (tmp_path / "out").exists()
    result = run_campaign(two, skip_missing=True, **arguments)
    assert result.complete
    assert list(result.missing) == ["Gone"]
    with pytest.raises(ConfigError, match="all of its nets are missing"):
        run_campaign(
            Campaign("one", nets[1:], (0.1,)), data=DATA, models=[tmp_path], skip_missing=True
        )


def test_bad_input_ends_before_the_work_begins(tmp_path):
    make_net(tmp_path)
    arguments = {"models": [tmp_path], "folder": tmp_path / "out"}
    with pytest.raises(ConfigError, match="501 images asked for"):
        run_campaign(campaign(images=501), data=DATA, **arguments)
    with pytest.raises(ConfigError, match="no such file"):
        run_campaign(campaign(), data=tmp_path / "none", **arguments)
    (tmp_path / "tiny.mtjb").write_bytes(b"MTJB" + bytes(99))
    with pytest.raises(FormatError):
        run_campaign(campaign(), data=DATA, **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_ctrl_c_leaves_no_process(tmp_path):
    make_net(tmp_path)
    script = (
        "from pathlib import Path\n"
        "import test_runner as t\n"
        "if __name__ == '__main__':\n"
        f"    t.run(Path({str(tmp_path)!r}), repeats=2000)\n"
    )
    (tmp_path / "script.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"],
        env=python_env(Path(__file__).parent),
        start_new_session=True,
    )
    results = tmp_path / "out" / "results.jsonl"
    deadline = time.monotonic() + 120
    while not results.exists() or results.read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    deadline = time.monotonic() + 30
    while _group_lives(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_processes_and_their_threads_never_outnumber_the_cores(monkeypatch):
    for there in range(1, 9):
        monkeypatch.setattr(execute, "cores", lambda n=there: n)
        for workers in range(12):
            for points in (1, 2, 5, 99):
                processes, threads = execute.share_cores(workers, points)
                assert 1 <= processes <= min(workers or there, points)
                assert threads == there // processes


def test_points_of_a_net_share_what_no_error_reaches(tmp_path):
    make_net(tmp_path)
    net = load(tmp_path / "tiny.mtjb")
    simulator, layers = open_simulator(net), len(net.layers)
    images = load_images(DATA, net, 40)
    rates = (0.0, 1e-9, 1e-6, 1e-4, 0.01)
    for number, (memory, rate) in enumerate(product(("weights", "feature_maps"), rates)):
        point = Point(
            "accuracy", "Tiny", "", "", 40, memory, "flip", rate, repeat=number, campaign_seed=1
        )
        record = measure_with(simulator, point, images)
        stored, counts = simulator.program(errors_of(point, layers))
        scores, of_maps = stored.run(images.images, errors=errors_of(point, layers))
        assert record.correct == int((scores.argmax(1) == images.labels).sum())
        found = of_maps.sum(axis=0)
        if memory == "weights":
            found = counts if rate else np.zeros(5, int)  # nothing is written at all
        assert list(vars(record.bits).values()) == found.tolist()


@pytest.mark.program
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no signal masks")
def test_processes_never_get_ctrl_c_and_end_while_they_begin():
    context = execute.processes(execute.Work({}, {}, Path(), 1), 2)
    pool = context.__enter__()
    masks = pool._executor.submit(signal.pthread_sigmask, signal.SIG_BLOCK, [])
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.SIGINT in masks.result()
    pool._executor.submit(time.sleep, 600)
    began = time.monotonic()
    assert not context.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)  # it goes on
    assert time.monotonic() - began < 20
