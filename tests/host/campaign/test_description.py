"""Campaign files: the carried ones, and every way to get one wrong."""

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.campaign import Campaign, NetEntry, Rrmse, load_campaign
from mtjkit_host.campaign.nets import find_net
from mtjkit_host.campaign.points import points_of
from mtjkit_host.paths import CARRIED
from mtjkit_host.runs.parse_options import parse_options

GOOD = """
rates = [1e-3, 0.1]
repeats = 2
images = 20
errors = ["flip", "keep"]
[rrmse]
images = 10
repeats = 1
rates = [0.1]
[[nets]]
label = "A"
model = "a"
[[nets]]
label = "B"
model = ["b", "c"]
paper = "Fxp8"
"""


def test_carried_campaigns_are_good():
    whole = load_campaign("paper")
    assert [net.paper for net in whole.nets] == ["Binary", "Binary_x3", "Fxp8", "Fxp16", "Fxp32"]
    assert (len(whole.rates), whole.repeats, whole.images) == (20, 10, 10000)
    assert whole.rates[0] == 1e-8
    assert whole.rates[-1] == 0.5
    assert whole.rrmse.images == 1000
    own = load_campaign("reproduce").nets
    assert [net.model for net in own[-2:]] == [("binary-paper",), ("fxp8-small",)]
    assert load_campaign("quick").images == 500


def test_a_file_gives_its_campaign(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    campaign = load_campaign(path)
    assert campaign == Campaign(
        name="mine",
        nets=(NetEntry("A", ("a",)), NetEntry("B", ("b", "c"), "Fxp8")),
        rates=(1e-3, 0.1),
        errors=("flip", "keep"),
        repeats=2,
        images=20,
        rrmse=Rrmse(10, 1, (0.1,)),
    )
    assert campaign.text == GOOD


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rates = [1e-3, 0.1]", "rates = [", "not valid TOML"),
        ("rates = [1e-3, 0.1]", "", "needs"),
        ("rates = [1e-3, 0.1]", "rates = [0.1, 1e-3]", "ascend"),
        ("rates = [1e-3, 0.1]", "rates = [0, 0.1]", "above 0"),
        ("rates = [1e-3, 0.1]", "rates = [0.1, 1.5]", "up to 1"),
        ("rates = [1e-3, 0.1]", "rates = []", "rates"),
        ("rates = [1e-3, 0.1]", "rates = ['many']", "numbers"),
        ("rates = [1e-3, 0.1]", "rates = 0.1", "rates cannot be"),
        ("repeats = 2", "repeats = 0", "repeats"),
        ("repeats = 2", "repeats = true", "repeats cannot be"),
        ("repeats = 2", "repeat = 2", "repeat is unknown"),
        ("repeats = 2", "seed = -1", "seed"),
        ("repeats = 2", "name = 'a/b'", "name"),
        ("repeats = 2", "memories = ['disk']", "memories"),
        ("repeats = 2", "memories = ['weights.01']", "such as weights.0"),
        ("repeats = 2", "memories = ['weights.64']", "such as weights.0"),
        ("repeats = 2", "memories = ['weights.0', 'weights.0']", "memories"),
        ("repeats = 2", "text = 'x'", "text"),
        ("images = 20", "images = 'all'", "images cannot be"),
        ('"keep"]', '"burn"]', "errors are of"),
        ("images = 10\n", "images = 1\n", "rrmse.images"),
        ("[rrmse]", "[rrms]", "rrms is unknown"),
        ('label = "A"', 'label = "B"', "label of its own"),
        ('label = "A"', "label = 3", "label cannot be"),
        ('model = "a"', "", "needs"),
        ("[[nets]]", "[nets]", "TOML"),
        ("repeats = 2", "repeats = 200_000", "the maximum is 1,000,000 points"),
        ("repeats = 2", "title = 0x" + "f" * 900, "title cannot be"),
        ("repeats = 2", "title = '" + "x" * 20000 + "'", "longer than"),
        ("repeats = 2", 'title = "\\u001b[2J"', "control characters"),
        ("repeats = 2", "seed = " + "[" * 900, "not valid TOML"),
        ("rates = [1e-3, 0.1]", "rates = [1" + "0" * 400 + "]", "too long"),
        ('model = "a"', "model = [1]", "must be strings"),
    ],
)
def test_wrong_files_end_in_one_line(tmp_path, old, new, message):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        load_campaign(path)
    assert "\n" not in str(caught.value)


def test_a_folder_of_a_carried_name_hides_nothing(tmp_path, monkeypatch):
    for name in ("quick", "digits"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_campaign("quick").name == "quick"
    for given in ("digits", "digits/"):
        assert parse_options(model=given).model == CARRIED / "digits.mtjb"


def test_an_unknown_name_lists_the_carried_ones():
    with pytest.raises(ConfigError, match=r"paper, quick, reproduce"):
        load_campaign("papers")


def test_points_have_seeds_of_their_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    campaign = load_campaign(path)
    points = points_of(campaign, {"A": "1", "B": "2"}, {20: "x", 10: "y"})
    # 2 nets x (1 error-free + 2 memories x 2 kinds x (2 rates x 2 repeats + 1 RRMSE))
    assert len(points) == 2 * (1 + 2 * 2 * (2 * 2 + 1))
    assert len({point.id for point in points}) == len({point.seed for point in points}) == 42
    assert all(0 <= point.seed < 1 << 64 for point in points)
    repeats = [point.repeat for point in points]
    assert repeats == sorted(repeats)  # stopped early, a campaign has every curve
    other = points_of(campaign, {"A": "1", "B": "3"}, {20: "x", 10: "y"})
    same = {point.id for point in points} & {point.id for point in other}
    assert same == {point.id for point in points if point.net == "A"}
    assert [p.id for p in points_of(campaign, {"A": "1"}, {20: "x", 10: "y"})] == [
        point.id for point in points if point.net == "A"
    ]


def test_a_point_s_seed_is_locked():
    campaign = Campaign("c", (NetEntry("A", ("a",)),), (0.1,), repeats=1, images=5)
    points = points_of(campaign, {"A": "0" * 64}, {5: "1" * 64})
    seeds = ["b9b99bf5808d2223", "34a9d584bb52c5d0", "c9f7cdf5aef41271"]
    assert [f"{point.seed:016x}" for point in points] == seeds


def test_a_net_lies_beside_the_file_that_names_it(tmp_path, monkeypatch):
    """Whichever folder the command runs in; ~ is the home, and a name is looked for elsewhere."""
    folders = [tmp_path / name for name in ("mine", "here", "home")]
    for folder in folders:
        folder.mkdir()
        (folder / "net.mtjb").touch()
    mine, here, home = folders
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    (mine / "c.toml").write_text(GOOD)
    beside = load_campaign(mine / "c.toml").folder
    assert find_net(["net.mtjb"], [], beside) == mine / "net.mtjb"
    assert find_net(["net"], [], beside) == mine / "net.mtjb"
    assert find_net(["~/net.mtjb"], [], beside) == home / "net.mtjb"
    assert find_net(["net"], [home]).resolve() == here / "net.mtjb"
    with pytest.raises(ConfigError, match=r"no gone in .*mine, \., .*; train it"):
        find_net(["gone"], [], beside)
