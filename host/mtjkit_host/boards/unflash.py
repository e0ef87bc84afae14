"""Take away what flashing has put on a board."""

from __future__ import annotations

from dataclasses import dataclass

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.device_files import device_folders, library, main_path
from mtjkit_host.boards.flash import clear_mapped_model, read_list
from mtjkit_host.boards.installed import LIST_NAME
from mtjkit_host.boards.prompt import Board, resolve_port


@dataclass(frozen=True)
class Unflashed:
    """What `unflash` has done."""

    machine: str
    """What the board calls itself."""
    removed: tuple[str, ...]
    """Files taken away."""
    left: tuple[str, ...]
    """Files that were changed since they were flashed: they are the user's now."""
    restored_main: str
    """Path that the user's main.py had meanwhile; "" if there was none to put back."""


def unflash(port: str) -> Unflashed:
    """Remove from a board the files that flashing wrote, and put the user's main.py back.

    Only what is still as it was written goes. The model in mapped memory goes too.

    Args:
        port: as for `flash`.

    Raises:
        ConfigError: nothing that was flashed is listed on the board.
        LinkError: the port is not there or busy, or the board does not answer.
    """
    with Board(resolve_port(port)) as board:
        known = read_list(board)
        if known.is_empty:
            board.leave()
            raise ConfigError(
                f"{board.name}: the board has no list of flashed files ({LIST_NAME}): flash it "
                "once more, which writes one"
            )
        main = main_path(board.info)
        there = dict(zip(known.files, board.digests(list(known.files)), strict=True))
        removed = [path for path, digest in there.items() if known.owns(path, digest)]
        left = [path for path, digest in there.items() if digest and path not in removed]
        clear_mapped_model(board, known.mapped_model)
        folders = list(reversed(device_folders(board.info)))
        # main.py first: what is cut short never starts a server without its modules.
        removed.sort(key=lambda path: path != main)
        board.execute(f"remove(*{removed!r})")
        restored = ""
        if known.kept_main and main not in left and board.digests([known.kept_main])[0]:
            board.execute(f"os.rename({known.kept_main!r}, {main!r})")
            restored = known.kept_main
        board.execute(f"remove({library(board.info) + '/' + LIST_NAME!r}, *{folders!r})")
        machine = board.info.machine
        board.restart()
    return Unflashed(machine, tuple(removed), tuple(left), restored)


def describe(done: Unflashed) -> str:
    """What `unflash` has done, in a few lines."""
    lines = [f"{done.machine}: {len(done.removed)} files removed"]
    if done.left:
        lines.append(f"left alone, as they were changed since: {', '.join(done.left)}")
    if done.restored_main:
        lines.append(f"your main.py is back; it was {done.restored_main}")
    return "\n".join(lines)
