"""Inputs that are not files, and folders that cannot be written to."""

import os
import subprocess
import sys

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.unix_port import check_version
from mtjkit_host.runs import fleet_run
from mtjkit_host.runs.fleet_run import run_unix
from mtjkit_host.runs.parse_options import parse_options
from support.commands import invoke, refused
from support.paths import python_env

READS = [
    ("twin", "--images", "1", "--model"),
    ("twin", "--images", "1", "--cell"),
    ("run-unix", "--resume"),
    ("cell-fit",),
    ("campaign",),
]


@pytest.mark.parametrize(
    "words", [READS[0], *(pytest.param(words, marks=pytest.mark.slow) for words in READS[1:])]
)
def test_a_named_pipe_is_refused(words, tmp_path):
    pipe = tmp_path / "pipe.mtjb"
    os.mkfifo(pipe)
    refused(invoke(*words, str(pipe), cwd=tmp_path, timeout_s=60), "a named pipe, not a file")


def test_a_pipe_of_the_shell_is_read(tmp_path):
    read, write = os.pipe()
    os.write(write, b"tau_ns = 10.0\ncurrent_ua = 50.0\nvoltage_v = 0.5\n")
    os.close(write)
    code = "from mtjkit_host.cli import main; main()"
    words = ["cell-show", f"/dev/fd/{read}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        pass_fds=[read], env=python_env(), cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    os.close(read)
    assert done.returncode == 0, done.stderr


def test_run_files_go_to_the_cache_where_the_folder_is_read_only(
    micropython, tmp_path, monkeypatch, capsys
):
    (tmp_path / "build").write_text("")  # as root, permissions stop nobody
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTJKIT_CACHE", str(tmp_path / "cache"))
    assert run_unix(parse_options(images="2")).scores.shape == (2, 10)
    there = tmp_path / "cache" / "runs" / "binary-small-1.jsonl"
    assert there.is_file()
    assert f"this run's is {there}" in capsys.readouterr().err
    monkeypatch.setenv("MTJKIT_CACHE", str(tmp_path / "build"))
    with pytest.raises(ConfigError, match=r"cannot write run files in build.runs.*; nor in"):
        fleet_run._new_path(parse_options(images="2"))


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("echo micropython 1 22", r"is MicroPython 1\.22; mtjkit needs 1\.23 or newer"),
        ("echo micropython 1 19", r"is MicroPython 1\.19; mtjkit needs 1\.23 or newer"),
    ],
)
def test_an_older_micropython_is_refused_by_name(says, message, tmp_path):
    program = tmp_path / "micropython"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    with pytest.raises(ConfigError, match=message):
        check_version(str(program))


@pytest.mark.parametrize("version", ["1 23", "1 30", "2 0"])
def test_newer_ones_are_taken(version, tmp_path):
    program = tmp_path / "micropython"
    program.write_text(f"#!/bin/sh\necho micropython {version}\n")
    program.chmod(0o755)
    check_version(str(program))
