"""The rooms' corridors run one way: this reads every import, also those inside functions."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREES = {
    "mtjkit_core": ROOT / "firmware/micropython/lib/mtjkit_core",
    "mtjkit_device": ROOT / "firmware/micropython/lib/mtjkit_device",
    "mtjkit_export": ROOT / "export/mtjkit_export",
    "mtjkit_host": ROOT / "host/mtjkit_host",
    "mtjkit": ROOT / "host/mtjkit",
}
MAY_IMPORT = {
    "mtjkit_core": {"mtjkit_core"},
    "mtjkit_device": {"mtjkit_core", "mtjkit_device"},
    "mtjkit_export": {"mtjkit_core", "mtjkit_export"},
    "mtjkit_host": {"mtjkit_core", "mtjkit_export", "mtjkit_host"},
    "mtjkit": {"mtjkit_core", "mtjkit_export", "mtjkit_host"},
}
# Each room may import from itself and from the rooms before it: docs/architecture.md.
FLOORS = (
    "paths", "machine", "option_names", "parse", "settings", "progress", "figures", "paper",
    "link", "datasets", "boards", "mtj", "simulate", "importing",
    "runs", "train", "plan", "checks", "campaign", "analysis", "explore", "cli",
)  # fmt: skip


def modules() -> dict[str, Path]:
    found = {}
    for package, folder in TREES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(module: str) -> set[str]:
    """Modules of the project that a module imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                found.add(inner if inner in MODULES else node.module)
    return {name for name in found if name.split(".")[0] in TREES}


def floor(module: str) -> int:
    return FLOORS.index(module.split(".")[1])


def test_packages_import_downwards():
    wrong = [
        f"{module} -> {other}"
        for module in MODULES
        for other in imports(module)
        if other.split(".")[0] not in MAY_IMPORT[module.split(".")[0]]
    ]
    assert not wrong


def test_host_rooms_import_downwards():
    wrong = [
        f"{module} -> {other}"
        for module in MODULES
        if module.startswith("mtjkit_host.")
        for other in imports(module)
        if other == "mtjkit_host"
        or (other.startswith("mtjkit_host.") and floor(other) > floor(module))
    ]
    assert not wrong


def test_no_circle_of_files():
    edges = {module: imports(module) - {module} for module in MODULES}
    # A package's face imports its own modules: what counts is who imports the face.
    state: dict[str, int] = defaultdict(int)

    def visit(module: str, path: tuple[str, ...]) -> None:
        state[module] = 1
        for other in sorted(edges.get(module, ())):
            assert state[other] != 1, "a circle: " + " -> ".join((*path, module, other))
            if not state[other]:
                visit(other, (*path, module))
        state[module] = 2

    for module in MODULES:
        if not state[module]:
            visit(module, ())


# C of firmware/native: each file may include, and call functions of, these and itself.
NATIVE = ROOT / "firmware/native"
HEADERS = {"mtjkit.h", "bits.h", "simd.h"}  # draws.h belongs to the memory
C_FILES = {
    "mtjkit.h": set(),
    "bits.h": set(),
    "simd.h": set(),
    "draws.h": {"mtjkit.h"},
    "draws_avx2.h": {"mtjkit.h", "simd.h"},
    "memory_avx2.h": {"mtjkit.h", "draws_avx2.h"},
    "memory_avx512.h": {"mtjkit.h", "draws_avx2.h"},
    "ones_mve.h": set(),
    "memory_mve.h": {"mtjkit.h", "ones_mve.h"},
    "memory.c": HEADERS | {"draws.h", "memory_avx2.h", "memory_avx512.h", "memory_mve.h"},
    "binary_blocks.h": {"mtjkit.h"},
    "binary_octets.h": {"mtjkit.h", "bits.h"},
    "binary_thumb1.h": set(),
    "binary_thumb2.h": set(),
    "mismatches_avx2.h": {"mtjkit.h", "simd.h", "binary_blocks.h"},
    "binary_avx2.h": {"mtjkit.h", "simd.h", "binary_blocks.h", "mismatches_avx2.h"},
    "binary_lanes.h": HEADERS | {"binary_blocks.h"},
    "binary_amx.h": {"mtjkit.h", "amx_tiles.h", "binary_blocks.h"},
    "binary_mve.h": {"mtjkit.h", "ones_mve.h"},
    "binary.c": HEADERS
    | {"binary_octets.h", "binary_avx2.h", "binary_lanes.h", "binary_amx.h"}
    | {"binary_thumb1.h", "binary_thumb2.h", "binary_mve.h"},
    "chip.c": HEADERS | {"draws.h", "rows.h"},
    "spared.c": HEADERS | {"draws.h", "draws_avx2.h", "draws_avx512.h"},
    "sums.c": {"mtjkit.h", "simd.h", "mismatches_avx2.h"},
    "fixed_avx2.h": {"mtjkit.h", "simd.h"},
    "winograd_avx2.h": {"fixed_avx2.h"},
    "wide_avx2.h": {"mtjkit.h", "simd.h"},
    "wide_winograd_avx2.h": {"wide_avx2.h", "winograd_avx2.h"},
    "runs_avx2.h": HEADERS,
    "draws_avx512.h": {"mtjkit.h", "simd.h"},
    "rows_avx512.h": {"mtjkit.h", "bits.h", "draws_avx512.h"},
    "rows.h": {"mtjkit.h", "simd.h", "runs_avx2.h", "rows_avx512.h"},
    "fixed_images.h": {"mtjkit.h"},
    "amx_tiles.h": {"simd.h"},
    "fixed_amx.h": {"mtjkit.h", "amx_tiles.h", "fixed_avx2.h"},
    "fixed.c": HEADERS | {"rows.h", "wide_winograd_avx2.h", "fixed_amx.h", "fixed_images.h"},
    "module.c": {"mtjkit.h"},
}
C_CALLS = {
    "memory": set(),
    "binary": {"memory"},
    "chip": {"memory", "binary"},
    "spared": {"memory"},
    "sums": {"memory"},
    "fixed": {"memory"},
    "module": {"memory", "binary"},
}


def c_text(name: str) -> str:
    """A C file without comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", (NATIVE / name).read_text(), flags=re.DOTALL)


def test_c_files_include_downwards():
    assert {path.name for path in NATIVE.glob("*.[ch]")} == set(C_FILES)
    for name, may in C_FILES.items():
        included = set(re.findall(r'^\s*#\s*include "([^"/]+)"', c_text(name), re.MULTILINE))
        assert included <= may, name


def test_c_files_call_downwards():
    parts = {
        part: "\n".join(c_text(f) for f in C_FILES if re.match(rf"{part}[._]", f))
        for part in C_CALLS
    }
    home = {
        function: part
        for part, text in parts.items()
        for function in re.findall(
            r"^(?!static|\s)[\w *]+\b(mtj_\w+)\([^;{]*\) \{", text, re.MULTILINE
        )
    }
    declared = set(re.findall(r"\b(mtj_\w+)\(", c_text("mtjkit.h") + c_text("simd.h")))
    assert declared == set(home)
    for part, text in parts.items():
        called = {home[name] for name in re.findall(r"\bmtj_\w+(?=\()", text)} - {part}
        assert called <= C_CALLS[part], part
