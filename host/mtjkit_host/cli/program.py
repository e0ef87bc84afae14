"""All commands together, and the program `mtjkit`."""

from __future__ import annotations

import inspect
import os
import re
import sys
import textwrap
from collections.abc import Iterable
from difflib import get_close_matches

from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.program import Program

from mtjkit_host.cli import boards, campaigns, cells, checks, development, nets, plan, runs, streams
from mtjkit_host.machine import INTERRUPTED, leave, tell, version
from mtjkit_host.paths import IS_CHECKOUT

Described = tuple[str, str | None]
"""What is typed, such as --pulse-ns=NS, and a line of help."""


def namespace() -> Collection:
    """The commands: all of them in a checkout, without those of development elsewhere."""
    groups = [runs, nets, cells, plan, boards, campaigns, checks]
    if IS_CHECKOUT:
        groups.append(development)
    return Collection(*(task for group in groups for task in group.COMMANDS))


class MtjkitProgram(Program):
    """invoke's program, whose refusals end with status 2 and name what was perhaps meant.

    Its help leaves out what invoke offers beside the commands.
    """

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        """See `invoke.Program.run`. `COMMAND --help` works for every command."""
        words = list(sys.argv if argv is None else argv)
        if len(words) > 2 and {"--help", "-h"} & set(words[2:]) and words[1] in self._commands():
            words = [words[0], "--help", words[1]]
        super().run(words, exit)

    def core_args(self) -> list[Argument]:
        """See `invoke.Program.core_args`. Of its letters only -h, -l and -V are left.

        A letter of invoke's own, such as -e, would be taken after any command and do nothing.
        """
        arguments: list[Argument] = super().core_args()
        for one in arguments:
            if one.names[0] not in ("help", "list", "version"):
                one.names = one.names[:1]
        return arguments

    def parse_tasks(self) -> None:
        """See `invoke.Program.parse_tasks`."""
        try:
            super().parse_tasks()
        except ParseError as error:
            tell(f"{self.name}: {self._explained(error)}")
            raise Exit(code=2) from None

    def print_help(self) -> None:
        """See `invoke.Program.print_help`."""
        print(f"Usage: {self.binary} COMMAND [OPTIONS]\n")
        self.list_tasks()
        print(f"`{self.binary} COMMAND --help` explains a command, `--version` says which this is.")

    def print_task_help(self, name: str) -> None:
        """See `invoke.Program.print_task_help`."""
        words, options = described(self.parser.contexts[name].args.values())
        usage = [self.binary, name, *(word for word, _ in words), "[OPTIONS]" if options else ""]
        print(" ".join(["Usage:", *usage]).rstrip(), end="\n\n")
        text = inspect.getdoc(self.collection[name]) or ""
        print(*(textwrap.fill(part, 79) for part in text.split("\n\n")), sep="\n\n", end="\n\n")
        if words + options:
            self.print_columns(words + options)

    def task_list_opener(self, extra: str = "") -> str:
        """See `invoke.Program.task_list_opener`."""
        return "Commands"

    def _commands(self) -> list[str]:
        return [*namespace().tasks]

    def _explained(self, error: ParseError) -> str:
        """What is wrong with the words typed, and what to type instead."""
        unknown = re.fullmatch(r"No idea what '(\S+)' is!", str(error))
        asked = error.context.name if error.context else None
        missing = re.fullmatch(r"'(\S+)' did not receive required positional.*: (.*)", str(error))
        if missing:
            asked, what = missing[1], missing[2].replace("'", "").upper()
            return f"{asked} takes {what}; {self.name} --help {asked} explains it"
        if unknown is None:
            return f"{error}; {self.name} --help {asked or 'COMMAND'} explains it"
        word = unknown[1]
        if error.context and asked and word.startswith("-"):
            known, what = list(error.context.flags), f"{asked} has no option {word}"
        elif error.context and asked:
            return f"{asked} takes no further word, {word}; {self.name} --help {asked} explains it"
        else:
            known, what = self._commands(), f"there is no command {word}"
        near = get_close_matches(word, known, 1)
        meant = f"; perhaps {near[0]}" if near else ""
        return f"{what}{meant}; {self.name} --help {asked or ''}".rstrip() + " lists them all"


def described(arguments: Iterable[Argument]) -> tuple[list[Described], list[Described]]:
    """The words and the options that a command takes, each with its line of help."""
    words: list[Described] = []
    options: list[Described] = []
    for one in arguments:
        name, help = one.names[0].replace("_", "-"), one.help or ""
        if one.positional and one.kind is not list:
            words.append((name.upper(), help))
            continue
        value = "" if one.kind is bool else f"={name.rpartition('-')[2].upper()}"
        also = "".join(f" (or --{other})" for other in one.names[1:])
        options.append((f"--{name}{value}", f"{help}{also}"))
    return words, sorted(options)


def main() -> None:
    """Run the command line, as the console script `mtjkit` and as `./inv` in a checkout."""
    streams.prepare()
    name = os.environ.get("MTJKIT_PROGRAM", "mtjkit")
    program = MtjkitProgram(name=name, binary=name, version=version(), namespace=namespace())
    try:
        program.run()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            leave(INTERRUPTED)
        raise
