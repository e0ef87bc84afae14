"""Building mtjkit_native.mpy: what is missing is named, and nothing half-built is found."""

import shutil
from functools import cache

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards import native_module

pytestmark = pytest.mark.program


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Builds an architecture's module from the sources as they are, once; gives its folder."""
    place = tmp_path_factory.mktemp("built")

    @cache
    def once(architecture):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native_module, "BUILD", place / architecture)
            return build(architecture).parent

    return once


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Sources and builds of this test's own."""
    monkeypatch.setattr(native_module, "BUILD", tmp_path / "build")
    source = tmp_path / "native"
    shutil.copytree(native_module.SOURCE, source)
    monkeypatch.setattr(native_module, "SOURCE", source)


def there(folder):
    """A build of this test's own, copied."""
    return shutil.copytree(folder, native_module.BUILD / "native" / folder.name)


def build(architecture):
    try:
        return native_module.build_native(architecture)
    except ConfigError as error:
        if "does not build" in str(error):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("architecture", "code"),
    [
        ("x64", 2),
        ("armv6m", 4),
        ("armv7m", 5),
        ("armv7emsp", 7),
        ("armv7emsp-mve", 7),
        ("xtensawin", 10),
        ("rv32imc", 11),
        ("rv32imc-zbb", 11),
    ],
)
def test_it_is_built_for_the_architecture(architecture, code, built):
    path = there(built(architecture)) / native_module.MODULE
    header = path.read_bytes()[:3]
    assert header[:2] == b"M\x06"  # .mpy, version 6
    assert header[2] == code << 2 | 3  # native code of this architecture, sub-version 3
    assert native_module.find_native(architecture.partition("-")[0], architecture) == path
    assert build(architecture) == path


def test_a_build_of_other_sources_is_not_found(built):
    there(built("armv7m"))
    assert native_module.find_native("armv7m")
    with (native_module.SOURCE / "binary.c").open("a") as source:
        source.write("/* changed */\n")
    assert native_module.find_native("armv7m") is None


def test_a_thumb_board_takes_what_smaller_cores_run(built):
    path = there(built("armv7m")) / native_module.MODULE
    assert native_module.find_native("armv6m") is None
    assert native_module.find_native("armv7emdp") == path
    assert native_module.find_native("xtensawin") is None


def test_a_build_with_more_instructions_is_taken_only_where_it_is_asked_for():
    both = ("rv32imc-zbb", "rv32imc")
    zbb, plain = (native_module._folder(name) / native_module.MODULE for name in both)
    zbb.parent.mkdir(parents=True)
    zbb.touch()
    assert native_module.find_native("rv32imc") is None
    assert native_module.find_native("rv32imc", "rv32imc-zbb") == zbb
    plain.parent.mkdir()
    plain.touch()
    assert native_module.find_native("rv32imc") == plain
    assert native_module.find_native("rv32imc", "rv32imc-zbb") == zbb


def test_sources_that_do_not_compile_leave_nothing_behind():
    with (native_module.SOURCE / "mtjkit.h").open("a") as source:
        source.write("#error broken\n")
    with pytest.raises(ConfigError, match=r"x64 does not build .*broken.* see .*x64\.log"):
        build("x64")
    assert native_module.find_native("x64") is None
    assert not [path for path in (native_module.BUILD / "native").iterdir() if path.is_dir()]


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ConfigError, match="'z80' is unknown: one of x64, armv6m"):
        native_module.build_native("z80")


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"no native .*make is missing \(Debian: .* gcc make\)"):
        native_module.build_natives()
    missing = r"make is missing \(Debian: .* gcc-arm-none-eabi .*\), needed to build"
    with pytest.raises(ConfigError, match=missing):
        native_module.build_native("armv7m")
