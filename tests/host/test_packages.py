"""What MicroPython users install by: mip's package.json, and the manifest for frozen code."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIB = ROOT / "firmware" / "micropython" / "lib"
MODULES = sorted(str(path.relative_to(LIB)) for path in LIB.glob("*/*.py"))


def test_mip_installs_every_module():
    package = json.loads((ROOT / "package.json").read_text())
    assert package["urls"] == [[name, f"firmware/micropython/lib/{name}"] for name in MODULES]
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert package["version"] == version[1]


@pytest.mark.parametrize(
    ("chosen", "without"),
    [({}, "nothing"), ({"thumb": False}, "thumb"), ({"v7m": False}, "v7m")],
)
def test_every_module_can_be_frozen(chosen, without):
    frozen = []

    class Options:
        def defaults(self, **usual):
            vars(self).update({**usual, **chosen})

    def package(name, files=None, base_path="."):
        folder = ROOT / "firmware" / base_path / name
        names = [path.name for path in folder.glob("*.py")] if files is None else files
        assert all((folder / one).is_file() for one in names)
        frozen.extend(f"{name}/{one}" for one in names)

    names = {"options": Options(), "package": package}
    exec((ROOT / "firmware" / "manifest.py").read_text(), names)
    assert sorted(frozen) == [name for name in MODULES if without not in name]
