"""Makes a Python look to mtjkit's modules like Windows: without what only POSIX systems have.

`python -X warn_default_encoding support/windows.py all` imports every module, and
`... windows.py COMMAND ...` runs a command. Only what mtjkit's own modules import is taken away:
the packages that they use have parts for Windows.
"""

import builtins
import importlib
import os
import pkgutil
import signal
import sys
import types
import warnings

MODULES = (
    "fcntl",
    "grp",
    "posix",
    "pty",
    "pwd",
    "readline",
    "resource",
    "syslog",
    "termios",
    "tty",
)
OS = (
    *("chown", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getpgid"),
    *("getuid", "killpg", "mkfifo", "openpty", "pread", "pwrite", "sched_getaffinity", "setsid"),
    *("statvfs", "ttyname", "uname", "wait3"),
)
SIGNALS = ("SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2", "alarm", "setitimer")
OURS = ("mtjkit", "mtjkit_core", "mtjkit_export", "mtjkit_host")

_import = builtins.__import__


def without(module, names):
    """A module that lacks names."""
    copy = types.ModuleType(module.__name__)
    copy.__dict__.update({name: v for name, v in vars(module).items() if name not in names})
    return copy


OTHERS = {"os": without(os, OS), "signal": without(signal, SIGNALS)}


def import_there(name, globals=None, locals=None, fromlist=(), level=0):
    """`import` as mtjkit's modules see it."""
    if (globals or {}).get("__name__", "").partition(".")[0] not in OURS or level:
        return _import(name, globals, locals, fromlist, level)
    if name.partition(".")[0] in MODULES:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return OTHERS[name] if name in OTHERS else _import(name, globals, locals, fromlist, level)


def all_modules():
    """Import every module; returns how many."""
    names = list(OURS)
    for name in OURS:
        places = importlib.import_module(name).__path__
        names += [found.name for found in pkgutil.walk_packages(places, f"{name}.")]
    names = [name for name in names if not name.endswith("__main__")]  # would run
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name in MODULES:
                raise
    return len(names)


def main(words):
    # Windows' own encoding is not UTF-8.
    warnings.filterwarnings("error", category=EncodingWarning, module="mtjkit")
    builtins.__import__ = import_there
    if words == ["all"]:
        print(all_modules())
        return
    sys.argv = ["mtjkit", *words]
    importlib.import_module("mtjkit_host.cli").main()


if __name__ == "__main__":
    main(sys.argv[1:])
