"""Archives are fetched from a server, checked, unpacked whole or not at all, and kept."""

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mtjkit_core.errors import LinkError
from mtjkit_host.datasets import fetch
from mtjkit_host.datasets.load import load_dataset


def archive():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in (
            ("cifar-10-batches-bin/test_batch.bin", bytes([7]) + bytes(3072)),
            ("../../outside.bin", b"x"),
        ):
            item = tarfile.TarInfo(name)
            item.size = len(data)
            tar.addfile(item, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of one archive; yields the list of paths that were asked for."""
    data, asked = archive(), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path.endswith(".tar.gz") else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{http.server_port}"
        monkeypatch.setenv("MTJKIT_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        right = hashlib.sha256(data).hexdigest()
        folder = "cifar-10-batches-bin"
        monkeypatch.setitem(
            fetch.ARCHIVES, "cifar-10", fetch.Archive(where + "/a.tar.gz", right, folder)
        )
        monkeypatch.setitem(
            fetch.ARCHIVES, "wrong", fetch.Archive(where + "/a.tar.gz", "0" * 64, "w")
        )
        monkeypatch.setitem(fetch.ARCHIVES, "gone", fetch.Archive(where + "/none", right, "gone"))
        yield asked
        http.shutdown()


def test_an_archive_is_fetched_once(server, tmp_path):
    for _ in range(2):
        found = load_dataset("cifar-10")
        assert (len(found), found.labels.tolist()) == (1, [7])
    assert server == ["/a.tar.gz"]
    assert sorted(p.name for p in (tmp_path / "cache").rglob("*") if p.is_file()) == [
        "outside.bin",
        "test_batch.bin",
    ]
    assert not (tmp_path / "outside.bin").exists()


def test_a_folder_of_that_name_comes_first(server, tmp_path):
    (tmp_path / "cifar-10").mkdir()
    (tmp_path / "cifar-10" / "test_batch.bin").write_bytes(bytes(2 * 3073))
    assert len(load_dataset("cifar-10")) == 2
    assert server == []


def test_another_archive_or_none_is_refused_and_leaves_nothing(server, tmp_path):
    with pytest.raises(LinkError, match=r"a\.tar\.gz: not the official archive"):
        load_dataset("wrong")
    with pytest.raises(LinkError, match="none: cannot be fetched"):
        load_dataset("gone")
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []
