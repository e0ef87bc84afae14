"""A vote: of passes with other errors, of nets; what it costs and what one pass would do."""

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.runs.ensemble import Ensemble, run_ensemble
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.run import run_twin


@pytest.fixture(scope="module")
def vote():
    return run_ensemble(parse_options(images="30", ber="0.1", seed=2**64 - 1), "3")


def test_passes_are_runs_with_the_seeds_that_follow(vote):
    assert [one.options.seed for one in vote.passes] == [2**64 - 1, 0, 1]
    again = run_twin(parse_options(images="30", ber="0.1", seed=1))
    assert vote.passes[2].scores_sha256 == again.scores_sha256
    assert len({one.scores_sha256 for one in vote.passes}) == 3


def test_most_votes_win_and_the_lowest_class_on_a_tie(vote):
    each = np.array([one.predictions for one in vote.passes])
    expected = [min(sorted(set(v)), key=lambda c: (-list(v).count(c), c)) for v in each.T.tolist()]
    assert vote.predictions.tolist() == expected
    labels = vote.passes[0].images.labels
    assert vote.correct == sum(a == b for a, b in zip(expected, labels.tolist(), strict=True))
    assert any(len(set(v)) > 1 for v in each.T.tolist())


def test_the_energy_is_that_of_all_passes(vote):
    assert vote.total_pj == pytest.approx(3 * vote.passes[0].energy.total_pj)
    one = vote.passes[0].saving_percent
    assert vote.saving_percent == pytest.approx(100 - 3 * (100 - one))
    # Eq. 2: three times the pulse has the third power of the rate.
    assert vote.equal_energy_rate == pytest.approx(0.1**3)
    values = vote.to_json()
    assert values["ensemble"]["accuracy"] == vote.correct / 30
    assert [member["seed"] for member in values["members"]] == [2**64 - 1, 0, 1]
    text = " ".join(str(cell) for column in vote.table().columns for cell in column._cells)
    assert "has a write-error rate of 0.1 %" in text


def test_nets_vote_too():
    options = parse_options(images="5", ber="0")
    both = run_ensemble(options, "binary-small, binary-small")
    assert both.predictions.tolist() == both.passes[0].predictions.tolist()
    assert (both.total_pj, both.saving_percent, both.equal_energy_rate) == (None, None, None)
    assert isinstance(both, Ensemble)
    assert len(both.passes) == 3


@pytest.mark.parametrize("text", ["0", "1", "102", "no-such-net", ""])
def test_what_is_neither_a_number_nor_models_ends_in_one_line(text):
    with pytest.raises((ConfigError), match=r"--ensemble|no-such-net|--model"):
        run_ensemble(parse_options(images="2"), text)
