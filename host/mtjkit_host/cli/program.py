"""All commands together, and the program `mtjkit`."""

from __future__ import annotations

import os
import re
import sys
from difflib import get_close_matches

from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from mtjkit_host.cli import boards, campaigns, cells, checks, development, nets, plan, runs, streams
from mtjkit_host.machine import tell, version
from mtjkit_host.paths import IS_CHECKOUT


def namespace() -> Collection:
    """The commands: all of them in a checkout, without those of development elsewhere."""
    groups = [runs, nets, cells, plan, boards, campaigns, checks]
    if IS_CHECKOUT:
        groups.append(development)
    return Collection(*(task for group in groups for task in group.COMMANDS))


class MtjkitProgram(Program):
    """invoke's program, whose refusals end with status 2 and name what was perhaps meant."""

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        """See `invoke.Program.run`. `COMMAND --help` works for every command."""
        words = list(sys.argv if argv is None else argv)
        if len(words) > 2 and {"--help", "-h"} & set(words[2:]) and words[1] in self._commands():
            words = [words[0], "--help", words[1]]
        super().run(words, exit)

    def parse_tasks(self) -> None:
        """See `invoke.Program.parse_tasks`."""
        try:
            super().parse_tasks()
        except ParseError as error:
            tell(f"{self.name}: {self._explained(error)}")
            raise Exit(code=2) from None

    def _commands(self) -> list[str]:
        return [*namespace().tasks]

    def _explained(self, error: ParseError) -> str:
        """What is wrong with the words typed, and what to type instead."""
        unknown = re.fullmatch(r"No idea what '(\S+)' is!", str(error))
        asked = error.context.name if error.context else None
        if unknown is None:
            return f"{error}; {self.name} --help {asked or 'COMMAND'} explains it"
        word = unknown[1]
        if error.context and asked and word.startswith("-"):
            known, what = list(error.context.flags), f"{asked} has no option {word}"
        else:
            known, what = self._commands(), f"there is no command {word}"
        near = get_close_matches(word, known, 1)
        meant = f"; perhaps {near[0]}" if near else ""
        return f"{what}{meant}; {self.name} --help {asked or ''}".rstrip() + " lists them all"


def main() -> None:
    """Run the command line, as the console script `mtjkit` and as `./inv` in a checkout."""
    streams.prepare()
    name = os.environ.get("MTJKIT_PROGRAM", "mtjkit")
    MtjkitProgram(name=name, binary=name, version=version(), namespace=namespace()).run()
