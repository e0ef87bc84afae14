"""What `pip install` gives: the commands and `import mtjkit`, outside a checkout."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import mtjkit
import pytest
from mtjkit_host.explore import wasm
from support.commands import finished
from support.paths import ROOT, VERSION

MOST_BYTES = 4_000_000
[EXAMPLE] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
NAMES = f"""
import mtjkit

options = mtjkit.parse_options(images=20, write_error_rate=0.05, seed=3)
assert mtjkit.__version__ == "{VERSION}"
assert "asano2024" in mtjkit.cells()
assert mtjkit.load(options.model).classes == 10
"""


def test_the_public_names_are_there():
    assert dir(mtjkit) == sorted(mtjkit.__all__)
    for name in mtjkit.__all__:
        assert getattr(mtjkit, name) is not None
    assert mtjkit.run_twin.__module__ == "mtjkit_host.runs.run"
    assert len(mtjkit.load(mtjkit.parse_options().model).layers) == 9
    with pytest.raises(AttributeError, match="no attribute 'run_train'"):
        _ = mtjkit.run_train


def build(source, folder):
    """Build wheel and sdist of a source tree; returns the files."""
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist"]
    finished(run([*command, "-d", str(folder)], source))
    return sorted(folder.iterdir())


def run(command, cwd, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MTJKIT", "MICROPY"))}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env={**env, **more}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder of the commands of an environment that holds the wheel alone."""
    folder = tmp_path_factory.mktemp("clean environment")
    [wheel] = [path for path in built if path.suffix == ".whl"]
    finished(run([sys.executable, "-m", "venv", folder / "venv"], folder))
    programs = folder / "venv" / "bin"
    done = run([programs / "python", "-m", "pip", "install", "--quiet", wheel], folder)
    if done.returncode:
        pytest.skip(f"pip cannot install here: {done.stderr.strip().splitlines()[-1]}")
    return programs


@pytest.mark.slow
def test_what_the_wheel_holds(built):
    [wheel] = [path for path in built if path.suffix == ".whl"]
    assert wheel.stat().st_size <= MOST_BYTES
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert not [name for name in names if name.endswith(".pyc") or name.startswith("tests")]
    if wasm.compiler() is not None:
        assert "mtjkit_host/built/mtjkit.wasm" in names
    if importlib.util.find_spec("vl_convert"):
        assert "mtjkit_host/built/vega-6.4.js" in names
    for name in (
        "mtjkit_host/analysis/report.html",
        "mtjkit_host/analysis/report.js",
        "mtjkit/py.typed",
        "mtjkit_host/firmware/micropython/main.py",
        "mtjkit_host/firmware/native/binary.c",
        "mtjkit_host/firmware/boards/pico/board.toml",
        "mtjkit_host/data/binary-small.mtjb",
        "mtjkit_host/data/README.md",
        f"mtjkit-{VERSION}.dist-info/licenses/LICENSE",
    ):
        assert name in names, name


@pytest.mark.slow
def test_the_sdist_gives_the_same_wheel(built, tmp_path):
    [wheel] = [path for path in built if path.suffix == ".whl"]
    [sdist] = [path for path in built if path.name.endswith(".tar.gz")]
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [again] = [
        path for path in build(tmp_path / f"mtjkit-{VERSION}", tmp_path) if path.suffix == ".whl"
    ]
    names = [set(zipfile.ZipFile(path).namelist()) for path in (wheel, again)]
    assert names[1] == {name for name in names[0] if "/built/native/" not in name}


def test_other_files_repeat_the_version():
    nets = (ROOT / "host" / "nets" / "pyproject.toml").read_text()
    assert f'\nversion = "{VERSION}"\n' in nets
    assert f'\ndependencies = ["mtjkit=={VERSION}"]\n' in nets
    assert f"\nversion: {VERSION}\n" in (ROOT / "CITATION.cff").read_text()


def test_both_packages_have_the_licence():
    licence = (ROOT / "LICENSE").read_text()
    assert (ROOT / "host" / "nets" / "LICENSE").read_text() == licence


@pytest.mark.slow
def test_on_an_index_page_the_readme_has_no_dead_links(built):
    [wheel] = [path for path in built if path.suffix == ".whl"]
    with zipfile.ZipFile(wheel) as archive:
        page = archive.read(f"mtjkit-{VERSION}.dist-info/METADATA").decode()
    assert "\nProject-URL: " in page
    assert "(https://doi.org/10.1587/transinf.2023LOP0007)" in page
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", page)
    assert "$ mtjkit run-unix" in page
    assert "./inv " not in page


@pytest.mark.slow
def test_large_nets_are_in_a_package_of_their_own(built, tmp_path):
    files = build(ROOT / "host" / "nets", tmp_path)
    [nets] = [path for path in files if path.suffix == ".whl"]
    [wheel] = [path for path in built if path.suffix == ".whl"]
    found = [
        {name for name in zipfile.ZipFile(path).namelist() if name.startswith("mtjkit_host/data/")}
        for path in (wheel, nets)
    ]
    assert not found[0] & found[1]
    data = ROOT / "host" / "mtjkit_host" / "data"
    files = {path for path in data.rglob("*") if path.is_file()}
    assert found[0] | found[1] == {f"mtjkit_host/data/{f.relative_to(data)}" for f in files}


@pytest.mark.slow
def test_an_installed_mtjkit_runs_outside_the_checkout(installed, tmp_path):
    more = {"MTJKIT_CACHE": str(tmp_path / "cache"), "PATH": f"{installed}:{os.environ['PATH']}"}
    program = installed / "mtjkit"

    def mtjkit(*words):
        return finished(run([program, *words], tmp_path, **more))

    assert mtjkit("--version") == f"mtjkit {VERSION}\n"
    assert "run-unix" in mtjkit("--help")
    assert "20, " in mtjkit("run-unix", "--images", "20")
    assert "20, " in mtjkit("twin", "--images", "20")
    mtjkit("export")
    assert list((tmp_path / "build").rglob("*.mtjb"))
    assert "pico" in mtjkit("boards")
    if wasm.compiler() is not None:  # the wheel brings what it compiled
        assert "explore" in mtjkit("explore", "--images", "20")
    accuracy = float(finished(run([installed / "python", "-c", EXAMPLE], tmp_path, **more)))
    assert 0.5 < accuracy < 0.8
    finished(run([installed / "python", "-c", NAMES], tmp_path, **more))
    if shutil.which("cc"):  # the wheel brings the library: nothing is compiled
        assert not list((tmp_path / "cache").rglob("*.so"))
