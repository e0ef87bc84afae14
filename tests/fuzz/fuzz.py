"""Coverage-guided fuzzing: `python tests/fuzz/fuzz.py TARGET --seconds 60` (needs atheris).

It stops at the first input that ends in anything but one of the project's errors, takes more than
10 s, or more memory than --rss-mb, and keeps that input in build/fuzz/TARGET. With `--both N` it
needs no atheris: N seeded mutations, and what guided runs have found, go through CPython and
MicroPython, which must say the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "build" / "fuzz"
FOLDERS = ("host", "export", "firmware/micropython/lib", "tests", "tests/vectors", "tests/fuzz")
sys.path[:0] = [str(ROOT / folder) for folder in FOLDERS]


def guided(name: str, seconds: int, rss_mb: int, count: int) -> None:
    """Fuzz one target; ends the process, with status 0 if nothing was found."""
    try:
        import atheris
    except ImportError:
        sys.exit("fuzz: atheris is missing: pip install atheris (Linux, x86-64)")
    with atheris.instrument_imports(
        include=[
            "mtjkit_core",
            "mtjkit_export",
            "mtjkit_host",
            "both",
            "arrays",
            "importing",
            "tomllib",
            "json",
        ]
    ):
        import targets
    import inputs
    import networks

    _check(name, targets.TARGETS)
    folder = FOUND / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(inputs.seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
        if number == 0:
            targets.attempt(name, seed)  # what is compiled once counts for no input's time

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        """The mutation of atheris; of models, mostly with the size and checksum set right."""
        changed = atheris.Mutate(data, max_size)
        return networks.sealed(changed) if seed % 8 else changed

    more: dict[str, Any] = {"custom_mutator": mutate} if name.startswith("model") else {}
    options = [
        f"-max_total_time={seconds}",
        f"-runs={count}",
        f"-rss_limit_mb={rss_mb}",
        # A file on which HDF5's library runs for ever is given up by the reader, after READ_S.
        f"-timeout={90 if name == 'import-h5' else 10}",
        f"-max_len={600 if name in ('frames', 'messages') else 16384}",
        "-print_final_stats=1",
        f"-artifact_prefix={folder}/",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *options], lambda data: targets.attempt(name, data), **more)
    atheris.Fuzz()


def both_ways(name: str, count: int) -> None:
    """Compare CPython and MicroPython on seeded mutations of one target."""
    import inputs
    from port import NUMBERS, compare

    _check(name, NUMBERS)
    corpus = [(name, inputs.mutated(name, Random(f"{name} {n}"))) for n in range(count)]
    corpus += [(name, path.read_bytes()) for path in sorted((FOUND / name / "corpus").glob("*"))]
    taken = compare(corpus)
    print(
        f"{name}: {len(corpus)} inputs, {taken} taken, CPython and MicroPython say the same of all"
    )


def _check(name: str, known: Iterable[str]) -> None:
    if name not in known:
        sys.exit(f"fuzz: no target {name}: one of {', '.join(known)}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("target", help="see tests/fuzz/README.md")
    parser.add_argument("--seconds", type=int, default=60, help="how long; default 60")
    parser.add_argument("--rss-mb", type=int, default=1024, help="memory limit; default 1024")
    parser.add_argument("--inputs", type=int, default=-1, metavar="N", help="no more than N")
    parser.add_argument("--both", type=int, metavar="N", help="N inputs against MicroPython")
    given = parser.parse_args()
    if given.both is None:
        guided(given.target, given.seconds, given.rss_mb, given.inputs)
    else:
        both_ways(given.target, given.both)


if __name__ == "__main__":
    main()
