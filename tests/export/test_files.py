"""Files are written whole or not at all, whatever lies there; one process at a time has a lock."""

import json
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_export.files import (
    LineFile,
    Lock,
    check_writable,
    complete_lines,
    write_atomically,
    write_json,
)

posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and modes of POSIX systems")

NO_FLOCK = """
#define _GNU_SOURCE
#include <errno.h>
#include <sys/file.h>
int flock(int fd, int op) { (void) fd; (void) op; errno = ERROR; return -1; }
"""


def run(code, *words, **more):
    """Run Python code in a process of its own."""
    more = {"capture_output": True, "text": True, "timeout": 60, "check": False, **more}
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], **more)


def test_a_new_file_and_its_folder(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "file", b"new")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file"]


def test_the_longest_name_and_letters_of_all_kinds(tmp_path):
    for name in ("n" * 255, "日" * 80, " a b'\""):
        write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"


@posix
def test_permissions_stay(tmp_path):
    file = tmp_path / "file"
    for mode in (0o600, 0o640, 0o755):
        file.write_bytes(b"old")
        file.chmod(mode)
        write_atomically(file, b"new")
        assert stat.S_IMODE(file.stat().st_mode) == mode
        assert file.read_bytes() == b"new"


@posix
def test_a_new_file_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@posix
def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("folder/not-there-yet")
    for name in ("link", "dangling"):
        write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_bytes() == b"new"
    assert (tmp_path / "real").read_bytes() == b"new"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match=r"cannot write .*loop"):
        write_atomically(tmp_path / "loop", b"new")


@posix
def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    check_writable(tmp_path / "pipe")  # neither waits nor disturbs the reader
    write_atomically(tmp_path / "pipe", b"x" * 300_000)
    reader.join(timeout=20)
    assert got == [b"x" * 300_000]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@posix
def test_a_device_is_written_to(tmp_path):
    null = tmp_path / "null"
    null.symlink_to(os.devnull)
    write_atomically(null, b"new")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert null.is_symlink()


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout")
def test_stdout_takes_a_file_between_other_lines(tmp_path):
    code = (
        "from mtjkit_export.files import check_writable, write_atomically\n"
        "print('before'); check_writable('/dev/stdout')\n"
        "write_atomically('/dev/stdout', b'data\\n'); print('after')\n"
    )
    assert run(code).stdout == "before\ndata\nafter\n"  # a pipe
    with open(tmp_path / "file", "w") as file:
        run(code, capture_output=False, stdout=file)
    assert (tmp_path / "file").read_text() == "before\ndata\nafter\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_device_is_one_line():
    with pytest.raises(ConfigError, match="cannot write /dev/full: No space left on device"):
        write_atomically("/dev/full", b"x" * 100_000)


@posix
def test_a_full_disk_leaves_the_old_file(tmp_path):
    """A limit of the size of files stands for the disk: a part is written, then no more."""
    (tmp_path / "file").write_bytes(b"old")
    code = (
        "import sys; from mtjkit_export.files import write_atomically\n"
        "from mtjkit_core.errors import ConfigError\n"
        "try: write_atomically(sys.argv[1], b'x' * 100_000)\n"
        "except ConfigError as error: print(error)\n"
    )
    done = run(
        code,
        tmp_path / "file",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )
    assert done.stdout == f"cannot write {tmp_path / 'file'}: File too large\n"
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_written_is_known_before(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    wrong = [tmp_path, tmp_path / "file" / "below", Path("/proc/no/such")]
    for path in wrong:
        for write in (check_writable, lambda path: write_atomically(path, b"new")):
            with pytest.raises(ConfigError, match=f"cannot write {path}: "):
                write(path)
    check_writable(tmp_path / "new" / "folder" / "file")
    check_writable(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@posix
def test_what_is_read_only_stays_as_it_is():
    """In a process without root's rights, which may write everywhere."""
    code = (
        "import os, sys; from pathlib import Path; from filelock import FileLock, SoftFileLock\n"
        "from mtjkit_export.files import LineFile, check_writable, write_atomically\n"
        "from mtjkit_core.errors import ConfigError\n"
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "folder = Path(sys.argv[1])\n"
        "for name in ('file', 'locked/other'):\n"
        "    for what in (check_writable, lambda path: write_atomically(path, b'new'),\n"
        "                 lambda path: LineFile(path, 'busy')):\n"
        "        try: what(folder / name)\n"
        "        except ConfigError as error: print(error)\n"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is root's alone
        base = Path(folder)
        base.chmod(0o777)
        (base / "file").write_bytes(b"old")
        (base / "file").chmod(0o444)
        (base / "locked").mkdir(mode=0o555)
        lines = run(code, base).stdout.splitlines()
        assert len(lines) == 6
        for line in lines:
            assert re.fullmatch(rf"cannot (write|lock) {folder}/.*: Permission denied", line)
        assert (base / "file").read_bytes() == b"old"
        assert sorted(path.name for path in base.rglob("*")) == ["file", "locked"]


def test_json_has_no_numbers_that_json_has_not(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, 0.1]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, 0.1]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))


HOLDER = (
    "import sys; from pathlib import Path; from mtjkit_export.files import Lock\n"
    "lock = Lock(Path(sys.argv[1]), 'busy')\n"
    "print('locked', flush=True); sys.stdin.readline()\n"
    "if sys.argv[2] == 'release': lock.release()\n"
)


def hold(path, then, env=None):
    """A process that has a lock until it is told to end; `then` is release or leave."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    assert process.stdout.readline() == "locked\n"
    return process


def exclusive(path, env=None, ends=("release", "leave", "kill")):
    """A lock is had by one process, and free again after it, however the process ended."""
    attempt = (
        "import sys; from pathlib import Path; from mtjkit_export.files import Lock\n"
        "from mtjkit_core.errors import ConfigError\n"
        "try: Lock(Path(sys.argv[1]), 'busy').release()\n"
        "except ConfigError as error: print(error)\n"
    )
    for then in ends:
        with hold(path, then, env) as holder:
            assert run(attempt, path, env=env).stdout == "busy\n"
            if then == "kill":
                holder.kill()
            holder.communicate("\n")
        done = run(attempt, path, env=env)
        assert (done.stdout, done.stderr) == ("", ""), then
    assert not list(path.parent.glob("*.lock"))


def test_one_process_has_a_lock(tmp_path):
    exclusive(tmp_path / "results")


def test_one_object_has_a_lock(tmp_path):
    with (
        Lock(tmp_path / "results", "busy"),
        pytest.raises(ConfigError, match="busy"),
    ):
        Lock(tmp_path / "results", "busy")
    Lock(tmp_path / "results", "busy").release()


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
@pytest.mark.parametrize("error", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks(tmp_path, error):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler")
    (tmp_path / "none.c").write_text(NO_FLOCK)
    library = tmp_path / "none.so"
    options = ["-shared", "-fPIC", f"-DERROR={error}", "-o", library]
    subprocess.run([compiler, *options, tmp_path / "none.c"], check=True)
    ends = ("release", "leave", "kill") if error == "ENOSYS" else ("kill",)
    exclusive(tmp_path / "results", {**os.environ, "LD_PRELOAD": str(library)}, ends)


def test_a_folder_that_cannot_hold_a_lock_is_one_line():
    with pytest.raises(ConfigError, match="cannot lock /proc/results: "):
        Lock(Path("/proc/results"), "busy")


def test_lines_are_appended_and_read_again(tmp_path):
    path = tmp_path / "new" / "lines.jsonl"
    file = LineFile(path, "busy")
    file.append({"a": 1})
    file.append([2], safe=False)
    assert list(file.lines()) == [b'{"a":1}\n', b"[2]\n"]
    with pytest.raises(ConfigError, match="busy"):
        LineFile(path, "busy")
    file.close()
    file.close()
    with open(path, "ab") as torn:
        torn.write(b'{"a"')
    with open(path, "rb") as opened:
        assert list(complete_lines(opened, "lines")) == [b'{"a":1}\n', b"[2]\n"]
    assert [path.name for path in path.parent.iterdir()] == ["lines.jsonl"]


@posix
def test_a_line_that_does_not_fit_leaves_nothing(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mtjkit_export.files import LineFile\n"
        "from mtjkit_core.errors import ConfigError\n"
        "file = LineFile(Path(sys.argv[1]), 'busy')\n"
        "for n in range(3):\n"
        "    try: file.append('x' * 400)\n"
        "    except ConfigError as error: print(error)\n"
        "file.close()\n"
    )
    path = tmp_path / "lines.jsonl"
    done = run(
        code,
        path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert done.stdout == f"cannot write {path}: File too large\n"
    assert path.read_text() == ('"' + 400 * "x" + '"\n') * 2


def test_all_that_locks_works_without_fcntl(tmp_path):
    """As on Windows, which has neither fcntl nor termios."""
    code = (
        "import sys, serial  # which has a part of its own for Windows\n"
        "for name in ('fcntl', 'termios', 'tty', 'pty'): sys.modules[name] = None\n"
        "import mtjkit_export.files, mtjkit_host.campaign, mtjkit_host.runs.fleet_run\n"
        "from pathlib import Path\n"
        "mtjkit_export.files.Lock(Path(sys.argv[1]), 'busy').release()\n"
    )
    done = run(code, tmp_path / "results")
    assert (done.returncode, done.stderr) == (0, "")
