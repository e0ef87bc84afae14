"""What MicroPython users install by: mip's package.json, and the manifest for frozen code.

`PYTHONPATH=tests python tests/host/test_packages.py` writes package.json again.
"""

import json
import re
from pathlib import Path

import pytest
from support.paths import LIB, ROOT, VERSION

MODULES = sorted(path.relative_to(LIB).as_posix() for path in LIB.glob("mtjkit_*/**/*.py"))


def mip_package():
    """Text of package.json, by which mip installs every module."""
    names = [name for name in MODULES if "zbb" not in name]  # it would crash a RISC-V without Zbb
    urls = [json.dumps([name, f"firmware/micropython/lib/{name}"]) for name in names]
    lines = ",\n".join(f"    {url}" for url in urls)
    return f'{{\n  "urls": [\n{lines}\n  ],\n  "deps": [],\n  "version": "{VERSION}"\n}}\n'


def test_mip_installs_every_module():
    assert (ROOT / "package.json").read_text() == mip_package()


@pytest.mark.parametrize(
    "path", sorted(LIB.glob("mtjkit_device/kernels/rv32_*.py")), ids=lambda p: p.stem
)
def test_risc_v_functions_have_no_multiple_of_four_labels(path):
    """MicroPython 1.25 compiles or refuses a function with them, as the memory happens to be."""
    text = path.read_text()
    labels = re.findall(r"^    label\(", text, re.M)
    assert labels
    assert len(labels) % 4
    # A viper function beside it has no branches, whose labels would count too.
    assert text.count("@micropython.asm_rv32") == 1
    assert not re.search(r"^ +(if|while|for) ", text, re.M)


@pytest.mark.parametrize(
    ("chosen", "without"),
    [
        ({}, "rv32"),
        ({"thumb": False}, "rv32|thumb"),
        ({"v7m": False}, "rv32|v7m"),
        ({"rv32": True}, "zbb"),
        ({"rv32": True, "zbb": True}, "nothing"),
    ],
)
def test_every_module_can_be_frozen(chosen, without, monkeypatch):
    monkeypatch.chdir(ROOT / "firmware")
    frozen = []

    class Options:
        def defaults(self, **usual):
            vars(self).update({**usual, **chosen})

    def package(name, files=None, base_path="."):
        folder = Path(base_path) / name
        names = [path.name for path in folder.glob("*.py")] if files is None else files
        assert all((folder / one).is_file() for one in names)
        frozen.extend(f"{name}/{one}" for one in names)

    names = {"options": Options(), "package": package}
    exec((ROOT / "firmware" / "manifest.py").read_text(), names)
    assert sorted(frozen) == [name for name in MODULES if not re.search(without, name)]


if __name__ == "__main__":
    (ROOT / "package.json").write_text(mip_package())
