"""What mkdocs asks for: the repository's pages at their own places, and a reference from the code.

Links between pages are relative to the repository, so they lead to the same places on the site, in
a checkout and on a page that shows one file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {".venv", "build", "node_modules"}
LINK = re.compile(r"\]\(([^)#\s]+)")

sys.path[:0] = [str(ROOT / folder) for folder in ("host", "export", "firmware/micropython/lib")]


def on_files(files: Files, config: Any) -> Files:
    """Add every page of the repository, what pages link to, and the generated pages."""
    pages = [
        path
        for path in sorted(ROOT.rglob("*.md"))
        if not OUTSIDE & set(path.relative_to(ROOT).parts) and path.parent != ROOT / "host/nets"
    ]
    linked = {
        (page.parent / target).resolve()
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target
    }
    others = [path for path in sorted(linked) if path.is_file() and path.suffix != ".md"]
    for path in [*pages, *others]:
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for name, text in (("commands", commands()), ("python", python())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def commands() -> str:
    """A page of all commands with their options, as the program itself declares them."""
    from mtjkit_host.cli.program import described, namespace

    lines = [
        "# Commands",
        "",
        "`./inv COMMAND` in a checkout, `mtjkit COMMAND` where the package is installed. "
        "`--help` after a command prints what stands here.",
        "",
    ]
    for name, task in sorted(namespace().tasks.items()):
        lines += [f"## {name}", "", *(line.strip() for line in (task.__doc__ or "").splitlines())]
        words, options = described(task.get_arguments())
        lines += ["", *(f"`{word}`: {help}" for word, help in words), ""]
        if options:
            lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{option}` | {(help or '').replace('|', '/')} |" for option, help in options]
        lines.append("")
    return "\n".join(lines)


def python() -> str:
    """A page of the public names, from their docstrings."""
    import mtjkit

    lines = ["# Python", "", "What `import mtjkit` hands out.", ""]
    for module, attribute in mtjkit._PLACES.values():
        lines += [f"::: {module}.{attribute}", ""]
    return "\n".join(lines)
