"""What every command shares: options with several names, one line for an error, one print."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task, task

from mtjkit_host.cli import streams
from mtjkit_host.machine import INTERRUPTED, interruptible, tell
from mtjkit_host.option_names import OLDER_NAMES, dashed

ALIASES = {dashed(name): dashed(older) for name, older in OLDER_NAMES.items()}
"""Option -> its older name, which is taken as well; both as typed."""

OUTPUTS = ("output", "json", "scores", "plot")
"""Options of all commands that name a file to write, which may be none that the command reads."""

RUN_HELP = {
    "model": "model file (.mtjb), or a carried one: binary-small (default), binary-paper, ...",
    "data": "data set: CIFAR, idx, .npz/.npy, labels.csv, folders of pictures, or cifar-10, which "
    "is fetched; default: 500 test images of CIFAR-10",
    "images": "how many images, drawn evenly over the classes (of CIFAR's files the first ones); "
    "default: all",
    "write-error-rate": "write-error rate of feature maps, 0..1; default 0.024",
    "pulse-ns": "pulse width for feature maps in ns, instead of --write-error-rate",
    "weight-error-rate": "write-error rate of weights, 0..1; default 0",
    "errors": "flip (an error inverts the written bit; default) or keep (it leaves the old bit)",
    "cell": "MTJ cell: a preset (`cell-list`) or a TOML or JSON file; default the paper's",
    "plan": "pulse widths by layer, from `plan`, in place of rate, errors, cell and scheme",
    "seed": "seed of every random stream; default 0",
    "kernel": "auto (default), python, viper, asm_thumb, asm_rv32 or native",
    "json": "write the result, unrounded, to this file",
    "scores": "write the scores to this .npy file, int32 (images, classes)",
    "scheme": "how cells are written: fixed (default), directions, terminated, word, retry:4, "
    "secded, bch:2, differential, flip-n-write, ...: docs/cells.md",
    "chip": "seed of a chip whose cells differ as the cell's [variation] says; default: each cell "
    "fails at the mean rate",
    "disturb": "how often a stored bit is read; it may be lost as the cell's [read] and "
    "[retention] say; default: none is lost",
    "cells-before": "what cells hold before an image: erased (only 0; default) or random (bits, as "
    "where nothing is erased)",
}
"""Options of every run."""


class _Text(str):
    """A value of an option with several names, which are a line of help without the value."""


class Command(Task[Callable[..., Any]]):
    """A task some of whose options have an older name as well."""

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """See `invoke.Task.arg_opts`; the older name comes second.

        Options have no letters: invoke would hand them out by order, and `-b` would mean something
        else in every command.
        """
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        new = options["names"][0]
        if new in ALIASES:
            options["names"] = [new, ALIASES[new]]
            if options.get("kind") is not list:
                options["kind"] = _Text
        return options

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """See `invoke.Task.get_arguments`, which uses the texts of help up: here they stay."""
        texts = dict(self.help)
        try:
            return super().get_arguments(ignore_unknown_help)
        finally:
            self.help = texts


def command(help: dict[str, str] | None = None, **options: Any) -> Callable[..., Any]:
    """`invoke.task` for a function that gives back what is to be printed.

    The function has done its work and written its files when it returns, so a stdout that is
    closed, full or without some letters costs no result. Errors end in one line on stderr: status 2
    for what the user can mend, 130 after Ctrl-C.

    Args:
        help: option -> one line.
        options: of `invoke.task`.
    """

    def decorate(body: Callable[..., Any]) -> Any:
        name = options.get("name") or body.__name__.replace("_", "-")
        signature = inspect.signature(body)

        @functools.wraps(body)
        def run(*args: Any, **kwargs: Any) -> None:
            streams.prepare()
            try:
                with interruptible():
                    given = signature.bind(*args, **kwargs)
                    for option, value in given.arguments.items():
                        given.arguments[option] = _expanded(value)
                    _refuse_overwriting(given.arguments)
                    shown = body(**given.arguments)
            except KeyboardInterrupt as stop:
                tell(f"{name}: {str(stop) or 'interrupted'}")
                raise Exit(code=INTERRUPTED) from None
            except BaseException as error:
                message = _message(error)
                if message is None:
                    raise
                tell(f"{name}: {message}")
                raise Exit(code=2) from None
            values = () if shown is None else shown if isinstance(shown, tuple) else (shown,)
            problem = streams.show(*values)
            if problem:
                tell(f"{name}: the result cannot be printed ({problem})")
                raise Exit(code=2)

        return task(help=help or {}, klass=Command, auto_shortflags=False, **options)(run)

    return decorate


def _expanded(value: Any) -> Any:
    """An option's value; ~ is the user's home, which shells leave alone in --option=~/file."""
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return os.path.expanduser(value) if isinstance(value, str) else value


def _refuse_overwriting(given: Mapping[str, Any]) -> None:
    """Raise ConfigError where a file to be written is one that another option names."""
    from mtjkit_core.errors import ConfigError
    from mtjkit_export.files import same_file

    for output in OUTPUTS:
        target = given.get(output)
        if not isinstance(target, str):
            continue
        for other, value in given.items():
            for file in value if isinstance(value, list) else [value]:
                if not isinstance(file, str) or other == output:
                    continue
                new = other in OUTPUTS and target == file and not os.path.exists(file)
                if new or same_file(target, file):
                    raise ConfigError(
                        f"--{output} {target} is the file of --{other.replace('_', '-')} too; "
                        "name another one, or it would be lost"
                    )


def _message(error: BaseException) -> str | None:
    """What to tell of an error that is not the program's own fault; None for one that is."""
    from mtjkit_core.errors import MtjkitError

    if isinstance(error, MtjkitError):
        return str(error)
    if isinstance(error, MemoryError):
        return "this needs more memory than there is"
    if isinstance(error, ModuleNotFoundError) and not (error.name or "mtjkit").startswith("mtjkit"):
        from mtjkit_export.needs import missing

        return missing(str(error.name), "train" if error.name in ("torch", "safetensors") else "")
    return None


def run_command(help: dict[str, str] | None = None, **more: Any) -> Callable[..., Any]:
    """`command` for a run: takes the options of `RUN_HELP` too and hands them on as **options.

    Args:
        help: option -> one line.
        more: of `command`.
    """

    def decorate(body: Callable[..., Any]) -> Any:
        own = list(inspect.signature(body).parameters.values())[:-1]
        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        shared = [
            inspect.Parameter(name.replace("-", "_"), keyword, default=None) for name in RUN_HELP
        ]
        body.__signature__ = inspect.Signature(own + shared)  # type: ignore[attr-defined]
        return command(help={**RUN_HELP, **(help or {})}, **more)(body)

    return decorate
