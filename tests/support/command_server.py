"""A process that has imported what commands import, and forks for each command.

Most of a short command's time goes into imports. A command that is forked from here is a process
of its own, with its own arguments, folder, environment and streams, and runs the same code.
`support.commands` starts one server for each worker of the tests: python command_server.py FD.
"""

import gc
import json
import os
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = (
    "invoke.main",
    "mtjkit_host.cli",
    "mtjkit_host.runs.fleet_run",
    "mtjkit_host.runs.run",
    "mtjkit_host.runs.run_file",
    "mtjkit_host.simulate.simulator",
    "mtjkit_host.mtj.cell_file",
    "mtjkit_host.link.fleet",
    "mtjkit_host.analysis",
    "rich.progress",
    "rich.table",
)


def serve(channel: socket.socket) -> int:
    """Answer requests until the other side closes the channel; in a command's process, its status.

    A request is JSON, with the descriptors of stdout and stderr. The answers are two lines: the
    command's process id, and its exit status as `subprocess` has it.
    """
    while True:
        data, streams, _, _ = socket.recv_fds(channel, 1 << 16, 2)
        if not data:
            return 0
        pid = os.fork()
        if not pid:
            channel.close()
            return command(streams=streams, **json.loads(data))
        for descriptor in streams:
            os.close(descriptor)
        channel.sendall(b"%d\n" % pid)
        channel.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def command(words: list[str], cwd: str, env: dict[str, str], streams: list[int]) -> int:
    """Run invoke with these words, as `python -m invoke` does; returns its status."""
    from invoke.main import program

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for target, descriptor in enumerate(streams, 1):
        os.dup2(descriptor, target)
        os.close(descriptor)
    sys.path[0] = cwd
    sys.argv = [str(Path(sys.modules["invoke"].__file__).with_name("__main__.py")), *words]
    program.run()
    return 0


if __name__ == "__main__":
    sys.path[1:1] = [str(ROOT / part) for part in ("host", "export", "firmware/micropython/lib")]
    for name in PRELOADED:
        import_module(name)
    gc.freeze()  # a command's collections leave the shared pages alone
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1]))))
