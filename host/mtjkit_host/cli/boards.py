"""Commands that prepare boards: build their firmware, put it on them."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from mtjkit_host.cli.command import command


@command(
    help={
        "port": "serial port: /dev/ttyACM0, a pty, socket://HOST:PORT; auto finds the only board",
        "model": "model that must fit the board: a file (.mtjb), or a carried one's name",
        "kernel": "kernel that will run the model; default auto",
        "weight-error-rate": "write-error rate of the weights, where they lie in mapped memory: "
        "the run's",
        "errors": "flip (default) or keep: the run's",
        "cell": "MTJ cell: the run's; it counts where a cell's directions differ",
        "scheme": "write scheme: the run's, as the cell",
        "plan": "pulse widths by layer: the run's, in place of errors, cell and scheme",
        "chip": "seed of a chip whose cells differ: the run's",
        "seed": "seed of the weights' errors: the run's; default 0",
        "replace-main": "keep a main.py of your own under another name and put mtjkit's in its "
        "place; unflash puts it back",
        "no-main": "leave main.py alone and install the package only",
    }
)
def flash(
    c: Context,
    port: str = "",
    model: str | None = None,
    kernel: str | None = None,
    weight_error_rate: str | None = None,
    errors: str | None = None,
    seed: str | None = None,
    replace_main: bool = False,
    no_main: bool = False,
    cell: str | None = None,
    scheme: str | None = None,
    plan: str | None = None,
    chip: str | None = None,
) -> Any:
    """Put the firmware on a MicroPython board, copying only what changed, and check it."""
    from mtjkit_core.errors import ConfigError

    from mtjkit_host.boards.flash import describe
    from mtjkit_host.runs.flash_for import flash_for
    from mtjkit_host.runs.parse_options import parse_options

    options = parse_options(
        model=model,
        kernel=kernel,
        weight_error_rate=weight_error_rate,
        errors=errors,
        cell=cell,
        scheme=scheme,
        plan=plan,
        chip=chip,
        seed=seed,
    )
    if replace_main and no_main:
        raise ConfigError("give --replace-main or --no-main, not both")
    main = "replace" if replace_main else "leave" if no_main else "ask"
    return describe(flash_for(options, port, main))


@command(
    help={"port": "serial port: /dev/ttyACM0, a pty, socket://HOST:PORT; auto finds the only board"}
)
def unflash(c: Context, port: str = "") -> Any:
    """Take away what `flash` put on a board, and put back the main.py that was there before."""
    from mtjkit_host.boards.unflash import describe
    from mtjkit_host.boards.unflash import unflash as run

    return describe(run(port))


@command(
    help={
        "board": "build the MicroPython of this board, for an emulator: `boards` lists them",
        "arch": "x64, armv6m, rv32imc-zbb, ...: build the native kernels for it; default all",
        "heap": "bytes of the board's heap, where they can be chosen; default as in its board.toml",
    }
)
def firmware(
    c: Context, board: str | None = None, arch: str | None = None, heap: str | None = None
) -> Any:
    """Build the native kernels (.mpy), or the firmware of an emulated board, from source."""
    from mtjkit_core.errors import ConfigError

    from mtjkit_host.boards.firmware import build_firmware
    from mtjkit_host.boards.native_module import build_native, build_natives
    from mtjkit_host.machine import tell
    from mtjkit_host.parse import whole

    if board is not None and arch is not None:
        raise ConfigError("give --board or --arch, not both")
    if board is None and heap is not None:
        raise ConfigError("--heap needs --board")
    if board is not None:
        size = 0 if heap is None else whole("--heap", heap, 1, 1 << 32)
        return str(build_firmware(board, size))
    if arch is not None:
        return str(build_native(arch))
    paths, left_out = build_natives()
    for line in left_out:
        tell(line)
    return "\n".join(map(str, paths))


@command(
    help={
        "arch": "architecture of the board's processor: armv6m, armv7m, armv7emsp, rv32imc, "
        "rv32imc-zbb, ...",
        "output": "folder of the packages, for a web server; default build/mip",
    }
)
def mip_package(c: Context, arch: str = "", output: str = "build/mip") -> Any:
    """Write a package for MicroPython's `mip install`: all modules compiled for a processor."""
    from pathlib import Path

    from mtjkit_host.boards.mip import write_mip_package
    from mtjkit_host.machine import tell, version

    path, has_kernels = write_mip_package(arch, Path(output), version())
    if not has_kernels:
        tell("without the C kernels, which are not built: `firmware` builds them")
    return str(path)


@command(help={"debian": "print the Debian packages that building and emulating them takes"})
def boards(c: Context, debian: bool = False) -> Any:
    """List the boards that are known, one on a line: name, and what it is."""
    from mtjkit_host.boards.catalog import boards as known

    if debian:
        return " ".join(sorted({name for spec in known().values() for name in spec.debian}))
    return "\n".join(
        f"{name}: {spec.title}, "
        + (f"emulated by {spec.emulator}" if spec.emulator else _UNEMULATED[spec.port == "unix"])
        for name, spec in known().items()
    )


_UNEMULATED = ("a real one", "needs no firmware")

COMMANDS = (flash, unflash, firmware, mip_package, boards)
