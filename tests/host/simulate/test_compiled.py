"""Compiled files in the cache: damaged ones are made anew, foreign ones are not loaded."""

import os
import shutil
import subprocess
import tempfile

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.simulate import compile, compiled
from mtjkit_host.simulate.compiled import kept

posix = pytest.mark.skipif(os.name != "posix", reason="users and modes")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MTJKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
    return tmp_path / "cache"


class Maker:
    """Writes a file, and counts how often."""

    times = 0

    def __call__(self, target):
        self.times += 1
        target.write_bytes(b"library")


def test_a_file_is_made_once(cache):
    make = Maker()
    assert kept("a.so", make) == kept("a.so", make) == cache / "native" / "a.so"
    assert make.times == 1


def cut(file):
    file.write_bytes(file.read_bytes()[:3])


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        cut,
        lambda file: file.write_bytes(b"changed"),
        lambda file: file.with_name("a.so.sha256").unlink(),
        lambda file: file.with_name("a.so.sha256").write_bytes(b"\xff\n"),
        pytest.param(lambda file: file.chmod(0o666), marks=posix),
    ],
)
def test_what_is_damaged_or_may_be_changed_is_made_anew(damage, cache):
    make = Maker()
    file = kept("a.so", make)
    damage(file)
    assert kept("a.so", make) == file
    assert make.times == 2
    assert file.read_bytes() == b"library"
    assert not file.stat().st_mode & 0o022


@posix
@pytest.mark.parametrize("which", ["", "native"])
def test_a_cache_that_others_may_write_to_is_not_loaded_from(which, cache, capfd, tmp_path):
    make = Maker()
    bad = kept("a.so", make)
    (cache / which).chmod(0o777)
    compiled._folder.cache_clear()
    file = kept("a.so", make)
    assert make.times == 2
    assert file != bad
    assert file.is_relative_to(tmp_path / "other")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"others may write to {cache / which}".rstrip("/"))
    assert "MTJKIT_CACHE" in line
    assert kept("a.so", make) == file
    assert (make.times, capfd.readouterr().err) == (2, "")


@pytest.mark.skipif(compile.compiler() is None, reason="no C compiler")
def test_a_library_of_no_bytes_is_built_again(cache, monkeypatch):
    compile.library.cache_clear()
    monkeypatch.delenv("MTJKIT_CACHE")
    compiled._folder.cache_clear()
    good = compile.library()._name
    monkeypatch.setenv("MTJKIT_CACHE", str(cache))
    monkeypatch.setattr(compile, "build", lambda *words: shutil.copy(good, words[2]))
    for _ in range(2):
        compile.library.cache_clear()
        assert compile.library().mtj_simd()
        (built,) = (cache / "native").glob("*.so")
        assert built.stat().st_size > 10_000
        built.unlink()  # so that what is loaded keeps its bytes
        built.touch()
    compile.library.cache_clear()


def test_a_cache_that_cannot_be_written_is_one_line(cache):
    cache.write_bytes(b"a file")
    with pytest.raises(ConfigError, match=r"cache/native: cannot be made"):
        kept("a.so", Maker())


@pytest.fixture
def wheel(cache, monkeypatch):
    """The file in which a wheel brings the library; there is no compiler."""
    built = cache.parent / "built"
    built.mkdir()
    monkeypatch.setattr(compile, "BUILT", built)
    monkeypatch.setattr(compile, "compiler", lambda: None)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("MTJKIT_SIMD", raising=False)
    return built / compile.library_name()


@pytest.mark.program
def test_the_library_of_a_wheel_needs_no_compiler(wheel, monkeypatch):
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    fresh = compile.library.__wrapped__
    with pytest.raises(ConfigError, match="no C compiler"):
        fresh()
    with monkeypatch.context() as there:
        there.setattr(compile, "compiler", lambda: ["cc"])
        shutil.copy(compile.compiled_library("-O0", "-s"), wheel)
    assert fresh().mtj_simd()
    with pytest.raises(ConfigError, match="no C compiler"):
        fresh("-DMTJ_PORTABLE")  # the wheel has the best one alone


def test_a_library_of_another_system_is_passed_over(wheel):
    wheel.write_bytes(b"\x7fELF of another system")
    with pytest.raises(ConfigError, match="no C compiler"):
        compile.library.__wrapped__()


@pytest.mark.program
def test_clang_compiles_every_level_too(tmp_path):
    clang = next(filter(None, map(shutil.which, ("clang", "clang-14", "clang-19"))), None)
    if not clang:
        pytest.skip("clang is missing (Debian: apt install clang)")
    for source in compile.SOURCES:
        flags = [flag for flag in compile.FLAGS if flag != "-shared"]
        command = [clang, *flags, "-Wall", "-Wextra", "-Werror", "-c"]
        command += [str(compile.SOURCE / source), "-o", str(tmp_path / "object.o")]
        subprocess.run(command, check=True, timeout=300)
