"""Where MicroPython's sources are: a tree that the user names, or Debian's source package.

Firmware and native modules are built from it. The tree itself is never changed.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.paths import cache_dir

SUITE = "trixie"  # the Debian release whose MicroPython (1.25, .mpy 6.3) the boards are built from
_MARK = Path("py", "dynruntime.mk")  # a file that every complete tree has
_APT = Path("/etc/apt")
_ADVICE = "set MPY_DIR to a MicroPython source tree (1.25 or newer)"


def micropython_tree() -> Path:
    """Find MicroPython's source tree: $MPY_DIR, else the cached or fetched Debian source.

    Raises:
        ConfigError: $MPY_DIR is not a MicroPython tree, or the source package cannot be fetched.
    """
    named = os.environ.get("MPY_DIR")
    if named:
        tree = Path(named).resolve()
        if not (tree / _MARK).is_file():
            raise ConfigError(f"MPY_DIR={named} is not a MicroPython source tree")
        return tree
    return fetch_source("micropython", _MARK)


def fetch_source(package: str, mark: Path, kind: str = "deb-src") -> Path:
    """Fetch and unpack one of Debian's packages of sources into the cache, once.

    Args:
        package: its name.
        mark: a file inside the unpacked tree that tells it from a broken one.
        kind: "deb-src" for a source package, "deb" for a binary package that holds sources.

    Raises:
        ConfigError: apt-get is missing, knows no Debian mirror, or fails.
    """
    place = cache_dir() / f"debian-{SUITE}" / package
    for found in sorted(place.glob(f"*/{mark}")):
        return found.parents[len(mark.parts) - 1]
    for tool, debian in (("apt-get", "apt"), ("dpkg-source", "dpkg-dev")):
        if not shutil.which(tool):
            raise ConfigError(f"{tool} is missing: install {debian} (Debian), or {_ADVICE}")
    place.parent.mkdir(parents=True, exist_ok=True)
    # Unpacked aside and renamed, so that a stopped download is never taken for a tree.
    with tempfile.TemporaryDirectory(dir=place.parent) as work:
        tree = _fetch(package, Path(work), kind)
        if not (tree / mark).is_file():
            raise ConfigError(f"{package} from Debian {SUITE} lacks {mark}; {_ADVICE}")
        place.mkdir(exist_ok=True)
        target = place / tree.name
        if not target.exists():
            tree.rename(target)
    return target


def source_entry(kind: str = "deb-src", apt: Path = _APT) -> tuple[str, str]:
    """An apt entry for `SUITE`, made from the first Debian mirror that the machine itself uses.

    Returns:
        (name, text) of the sources file, with the same address, key and options.

    Raises:
        ConfigError: apt is set up for no Debian mirror.
    """
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for path in (p for p in files if p.is_file()):
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                lines = [x for x in stanza.splitlines() if x.strip() and not x.startswith("#")]
                kept = [x for x in lines if not re.match(r"(Types|Suites|Components):", x)]
                uris = re.search(r"^URIs:\s*(\S+)", "\n".join(lines), re.M)
                if uris and _is_mirror(uris[1]):
                    head = [f"Types: {kind}", f"Suites: {SUITE}", "Components: main"]
                    return "mirror.sources", "\n".join([*head, *kept]) + "\n"
        elif path.suffix == ".list":
            for line in text.splitlines():
                entry = re.match(r"\s*deb\s+(\[[^]]*\]\s+)?(\S+)\s", line)
                if entry and _is_mirror(entry[2]):
                    return "mirror.list", f"{kind} {entry[1] or ''}{entry[2]} {SUITE} main\n"
    raise ConfigError(f"apt uses no Debian mirror here: {_ADVICE}")


def _is_mirror(uri: str) -> bool:
    """True for a Debian archive's address, not its security archive or a third party's."""
    return uri.rstrip("/").endswith("/debian") and "security" not in uri


def _fetch(package: str, work: Path, kind: str) -> Path:
    """Run apt-get with lists of its own (the machine's stay as they are); returns the tree."""
    name, text = source_entry(kind)
    unpacked = work / "unpacked"
    for folder in ("lists/partial", "cache/archives/partial", "unpacked"):
        (work / folder).mkdir(parents=True)
    (work / name).write_text(text, encoding="utf-8")
    apt = ["apt-get", "-q", "-o", f"Dir::Etc::SourceList={work / name}"]
    apt += ["-o", "Dir::Etc::SourceParts=-", "-o", f"Dir::State::Lists={work / 'lists'}"]
    apt += ["-o", f"Dir::Cache={work / 'cache'}", "-o", "APT::Sandbox::User="]
    _run([*apt, "update"], unpacked, package)
    _run([*apt, "source" if kind == "deb-src" else "download", package], unpacked, package)
    for archive in unpacked.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(archive), archive.stem], unpacked, package)
    trees = [path for path in unpacked.iterdir() if path.is_dir()]
    if len(trees) != 1:
        raise ConfigError(f"Debian's {package} unpacks to {len(trees)} trees; {_ADVICE}")
    return trees[0]


def _run(command: list[str], folder: Path, package: str) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        problem = re.search(r"^E: .*", done.stderr, re.M)
        why = problem[0] if problem else f"{command[0]} failed"
        raise ConfigError(f"{package} cannot be fetched from Debian ({why}); {_ADVICE}")
