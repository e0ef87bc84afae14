"""Files of the whole project: written whole or not at all, appended line by line, locked.

Three things may lie at a path that is written to: nothing or a regular file, which is replaced in
one step; a link, whose target is; anything else (a pipe, a terminal, /dev/null), which is written
to. Every error of the file system ends in one ConfigError that names the file and the cause.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from mtjkit_core.errors import ConfigError, FormatError

LONGEST_LINE = 1 << 20
"""Bytes of one line of a `LineFile`."""

_LINES = json.JSONEncoder(separators=(",", ":"))
_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EROFS)


@contextlib.contextmanager
def file_errors(path: str | os.PathLike[str], what: str = "write") -> Iterator[None]:
    """What the file system says of a file, as a ConfigError: "cannot write x: Disk full"."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot {what} {path}: {error.strerror or error}") from None


def refuse_pipe(path: str | os.PathLike[str]) -> None:
    """Raise ConfigError at a named pipe, whose opening would wait for a writer, perhaps for ever.

    A pipe that a shell has opened (`<(command)`, /dev/stdin) is read.
    """
    there = _status(Path(path))
    if there is None or not stat.S_ISFIFO(there.st_mode):
        return
    if not os.path.abspath(path).startswith(("/dev/", "/proc/")):
        raise ConfigError(f"{path}: a named pipe, not a file; write what it gives into a file")


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that readers see the old content or the new, nothing else.

    The folder is made where it is missing, and a file that is there keeps its permissions. The data
    are on the disk before the name changes.

    Raises:
        ConfigError: the file cannot be written there; what was there is unchanged.
    """
    target = Path(path)
    with file_errors(target):
        there = _status(target)
        if there is None or (stat.S_ISREG(there.st_mode) and _stream(there) is None):
            _replace(Path(os.path.realpath(target)), data, there)
        else:
            with _opened(target, there) as file:
                file.write(data)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as indented JSON, as `write_atomically` does.

    Raises:
        ConfigError: the file cannot be written there.
    """
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out before long work whether `write_atomically` can write there; leaves nothing behind.

    Raises:
        ConfigError: it cannot.
    """
    target = Path(path)
    with file_errors(target):
        there = _status(target)
        if there is not None and not stat.S_ISREG(there.st_mode):
            if stat.S_ISDIR(there.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            _check_permission(target)
            return
        real = Path(os.path.realpath(target))
        made = [folder for folder in real.parents if not folder.exists()]
        try:
            _replace(real, None, there)
        finally:
            for folder in made:  # the deepest first
                with contextlib.suppress(OSError):
                    folder.rmdir()


def same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to one regular file that is there, by whatever names and links."""
    there = []
    for path in (one, other):
        try:
            there.append(os.stat(path))
        except (OSError, ValueError):
            return False
    return stat.S_ISREG(there[0].st_mode) and os.path.samestat(*there)


def _status(path: Path) -> os.stat_result | None:
    """What lies at a path, links followed; None for nothing."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _check_permission(path: Path) -> None:
    effective = os.access in os.supports_effective_ids
    if not os.access(path, os.W_OK, effective_ids=effective):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _replace(target: Path, data: bytes | None, there: os.stat_result | None) -> None:
    """Write a regular file beside the target and give it the target's name; None only tries it."""
    if there is not None:
        _check_permission(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{secrets.token_hex(8)}.part")
    number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        with open(number, "wb") as file:
            if data is not None:
                file.write(data)
                file.flush()
                sync(file.fileno())
        if there is not None:
            _keep_owner(part, there)
        if data is not None:
            os.replace(part, target)
            _sync_folder(target.parent)
    finally:  # an interrupt too leaves nothing behind
        part.unlink(missing_ok=True)


def _keep_owner(part: Path, there: os.stat_result) -> None:
    """Give a new file the permissions, and where that is allowed the owner, of the old one."""
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(part, there.st_uid, there.st_gid)
    os.chmod(part, stat.S_IMODE(there.st_mode))


def sync(number: int) -> None:
    """Have an open file's data on the disk, where what it lies on knows of that.

    Raises:
        OSError: the data could not be written.
    """
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _sync_folder(folder: Path) -> None:
    """Have a new name on the disk, where that is possible."""
    with contextlib.suppress(OSError):  # Windows opens no folder
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _stream(there: os.stat_result) -> int | None:
    """1 or 2 where the file is what stdout or stderr lead to (/dev/stdout, or by its own name)."""
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(number), there):
                return number
    return None


def _opened(target: Path, there: os.stat_result) -> BinaryIO:
    """A pipe, a device or the file of a stream, to be written from where it stands."""
    number = _stream(there)
    if number is None:
        return open(target, "wb")
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    return open(os.dup(number), "wb")


class Lock:
    """A lock that one process at a time has, as a file beside what it guards; a context.

    The system drops the lock with the process, however that ends. A file system without locks gets
    a file that tells the process, which is taken over once that process is gone.

    Args:
        path: the file or folder to guard; the lock is the file `path`.lock.
        busy: the message if another process has the lock.

    Raises:
        ConfigError: another process has the lock, or the lock's file cannot be made.
    """

    def __init__(self, path: Path, busy: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import filelock  # here, so that what locks nothing needs no package

        self._path = path.with_name(f"{path.name}.lock")
        kinds = [filelock.FileLock, filelock.SoftFileLock]
        while kinds:
            self._lock: Any = kinds.pop(0)(self._path, timeout=0, thread_local=False)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that a file has to do for a lock
                    self._lock.acquire()
                return
            except filelock.Timeout:
                if self._path.exists():
                    raise ConfigError(busy) from None
                raise ConfigError(f"cannot lock {path}: {self._path} cannot be made") from None
            except NotImplementedError:
                self._remove_empty()
            except OSError as error:
                if error.errno not in _NO_LOCKS or not kinds:
                    raise ConfigError(f"cannot lock {path}: {error.strerror or error}") from None
                self._remove_empty()

    def _remove_empty(self) -> None:
        """Remove the lock's file, unless it tells a process, which then has to do so itself."""
        with contextlib.suppress(OSError):
            if not self._path.stat().st_size and os.name == "posix":
                self._path.unlink()

    def release(self) -> None:
        """Let other processes have the lock; doing it twice does no harm."""
        if self._lock.is_locked:
            self._remove_empty()  # before it is free: later it may be another process's
            self._lock.release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class LineFile:
    """A file of lines of JSON that one process at a time appends to.

    A line is in the file, whole, when `append` returns. A kill may tear the last line. `lines`
    leaves that line out, and `cut` removes it before the file goes on.

    Args:
        path: the file. It is made if it is not there, with its folder.
        busy: the message if another process has it open.

    Raises:
        ConfigError: the file cannot be opened, or another process has it open.
    """

    def __init__(self, path: Path, busy: str) -> None:
        self.path = path
        refuse_pipe(path)
        with file_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(path, busy)
        try:
            with file_errors(path):
                self._file = open(path, "a+b", buffering=0)  # noqa: SIM115
        except ConfigError:
            self._lock.release()
            raise

    def lines(self) -> Iterator[bytes]:
        """The complete lines, from the first one.

        Raises:
            ConfigError: the file cannot be read.
            FormatError: a line is too long.
        """
        with file_errors(self.path, "read"), open(self.path, "rb") as file:
            yield from complete_lines(file, str(self.path))

    def start(self) -> bytes:
        """The file's first bytes, complete line or not.

        Raises:
            ConfigError: the file cannot be read.
        """
        with file_errors(self.path, "read"), open(self.path, "rb") as file:
            return file.read(LONGEST_LINE)

    def cut(self, size: int) -> None:
        """Cut the file off after this many bytes.

        Raises:
            ConfigError: the file cannot be written.
        """
        with file_errors(self.path):
            self._file.truncate(size)

    def append(self, value: Any, safe: bool = True) -> None:
        """Append a value as one line; if that fails, no part of the line is left.

        Args:
            value: anything that JSON holds.
            safe: whether the line must survive a power cut as soon as this returns.

        Raises:
            ConfigError: the line cannot be written: the disk is full, say.
        """
        left = memoryview(to_line(value))
        with file_errors(self.path):
            before = os.fstat(self._file.fileno()).st_size
            try:
                while left:  # a disk that is nearly full takes a part
                    left = left[self._file.write(left) or 0 :]
                if safe:
                    sync(self._file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(before)
                raise

    def close(self) -> None:
        """Make sure that the lines survive a power cut, close the file, release the lock.

        Raises:
            ConfigError: the lines could not be written.
        """
        try:
            if not self._file.closed:
                with file_errors(self.path), self._file:
                    sync(self._file.fileno())
        finally:
            self._lock.release()


def to_line(value: Any) -> bytes:
    """A value as one line of JSON."""
    return _LINES.encode(value).encode() + b"\n"


def complete_lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The complete lines from where an open file stands.

    Raises:
        FormatError: a line is too long.
    """
    while line := file.readline(LONGEST_LINE):
        if not line.endswith(b"\n"):
            if len(line) == LONGEST_LINE:
                raise FormatError(f"{name}: a line is longer than {LONGEST_LINE} bytes")
            return
        yield line
