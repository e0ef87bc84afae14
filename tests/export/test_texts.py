"""What comes from outside is shown as printable text."""

import subprocess
import sys

import pytest
from mtjkit_export.texts import brief, file_name, printable
from support.paths import python_env

ESCAPES = "a\x1b[2J\x07\x9b31m\u202eb"
SHOWN = r"a\x1b[2J\x07\x9b31m\u202eb"


def test_escapes_are_shown_and_lines_and_letters_stay():
    assert printable(ESCAPES) == SHOWN
    for text in ("plain", "two\nlines\tand 日本 é", "\udcff.png"):
        assert printable(text) == text


def test_a_part_of_a_message_is_one_short_line():
    assert brief(ValueError(f"{ESCAPES}\n\n  c")) == SHOWN + " c"
    assert brief("x" * 500, 10) == "x" * 10 + "..."


@pytest.mark.parametrize("how", ["tell(text)", "show(text)", "show(Text(text))"])
def test_neither_messages_nor_results_move_the_cursor(how):
    code = (
        "import sys\n"
        "from rich.text import Text\n"
        "from mtjkit_host.cli.streams import show\n"
        "from mtjkit_host.machine import tell\n"
        "text = sys.argv[1]\n"
        f"{how}\n"
    )
    command = [sys.executable, "-c", code, ESCAPES]
    done = subprocess.run(command, env=python_env(), capture_output=True, text=True, check=True)
    shown = SHOWN.replace(r"\x07", "") if "Text(" in how else SHOWN  # rich leaves the bell out
    assert done.stdout + done.stderr == shown + "\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vgg-small", "vgg-small"),
        ("../../evil", "_.._evil"),
        ("/etc/passwd", "_etc_passwd"),
        (".hidden", "hidden"),
        ("..", "_"),
        ("a\\b:c$\n", "a_b_c__"),
        ("数-1.2", "数-1.2"),
    ],
)
def test_a_name_from_elsewhere_names_no_folder(name, expected):
    assert file_name(name) == expected
