"""A campaign's report while the campaign runs: a page on 127.0.0.1 that asks for news.

``/`` is the page, ``/results.json`` how the campaign stands and the numbers of the points so far.
Once the campaign has ended, ``/`` is the report that stays.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from mtjkit_core.errors import ConfigError, MtjkitError

from mtjkit_host.analysis.content import content
from mtjkit_host.analysis.page import render
from mtjkit_host.analysis.summary import summarize
from mtjkit_host.analysis.vega import vega_script
from mtjkit_host.campaign.standing import Standing
from mtjkit_host.machine import tell
from mtjkit_host.mtj.cell import Cell

PORT = 8765
"""Where the page is; another port where this one is taken."""
_SHARE = 10
"""Numbers are made anew after ten times the time that making them took."""
_POLL_S = 0.1
"""How soon the server notices that it is to stop."""
_MOST_PAGES = 32
"""Connections at a time; more are closed at once."""
_QUIET_S = 10.0
"""A connection that says nothing, or takes nothing, for so long is closed."""
_PATIENCE_S = 5.0
"""How long an open page has to fetch the report at the end; a page asks every 2 s."""


class LiveReport:
    """Serves the page as long as the context lasts.

    Attributes:
        address: of the page; empty before `watch`.
    """

    def __init__(self, cell: Cell | None = None, scheme: str = "fixed", port: int = PORT) -> None:
        """See `mtjkit_host.analysis.page.write_report`.

        Raises:
            ConfigError: a package of the extra ``report`` is missing.
        """
        self.address = ""
        self._cell, self._scheme, self._port = cell or Cell(), scheme, port
        self._vega = vega_script()
        self._server: ThreadingHTTPServer | None = None
        self._standing: Standing | None = None
        self._report: bytes | None = None
        self._asked = -float("inf")  # when a page asked last
        self._fetched = threading.Event()  # the report
        self._lock = threading.Lock()
        self._kept: tuple[int, float, dict[str, Any]] | None = None  # records, until, numbers

    def watch(self, standing: Standing) -> None:
        """Begin to serve; `run_campaign` calls it.

        Raises:
            ConfigError: there is no free port.
        """
        self._standing = standing
        server = _server(self._port, _handler(self))
        self.address = f"http://127.0.0.1:{server.server_address[1]}/"
        threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True).start()
        self._server = server  # what __exit__ stops has begun, or it would wait for ever
        tell(f"the report while the campaign runs: {self.address}")

    def end(self, report: Path) -> None:
        """The campaign has ended and written its report: open pages get it.

        Raises:
            ConfigError: the report cannot be read.
        """
        try:
            self._report = report.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {report}: {error.strerror}") from None
        if time.monotonic() - self._asked < _PATIENCE_S:
            self._fetched.wait(_PATIENCE_S)

    def page(self) -> bytes:
        """What ``/`` gives."""
        if self._report is not None:
            self._fetched.set()
            return self._report
        standing = self._standing
        assert standing is not None  # the server begins with it
        result = standing.result()
        summary = summarize(result, self._cell, self._scheme)
        page = render(
            result, summary, {}, self._cell, scheme=self._scheme, vega=self._vega, live=True
        )
        return page.encode()

    def news(self, have: int) -> dict[str, Any]:
        """What ``/results.json`` gives.

        Args:
            have: records that the page's numbers are of; the same numbers are not sent again.
        """
        self._asked = time.monotonic()
        standing = self._standing
        assert standing is not None
        if self._report is not None:
            return {"ended": True}
        with self._lock:
            records, numbers = self._numbers(standing)
        told = {"ended": False, "records": records, "standing": standing.to_json()}
        return {**told, "content": None if have == records else numbers}

    def _numbers(self, standing: Standing) -> tuple[int, dict[str, Any]]:
        """Numbers of the points so far; those of a moment ago where new ones take long."""
        began = time.monotonic()
        if self._kept is not None:
            records, until, numbers = self._kept
            if records == standing.before + standing.measured or began < until:
                return records, numbers
        result = standing.result()
        summary = summarize(result, self._cell, self._scheme)
        numbers = content(result, summary, self._cell, self._scheme)
        now = time.monotonic()
        self._kept = (len(result.records), now + _SHARE * (now - began), numbers)
        return len(result.records), numbers

    def __enter__(self) -> LiveReport:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        self._free = threading.Semaphore(_MOST_PAGES)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """See `socketserver.ThreadingMixIn`; too many connections take no threads."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See `socketserver.ThreadingMixIn`."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that has left, or a bad request, does not concern the campaign."""


def _server(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    for wanted in (port, 0):
        try:
            return _Server(("127.0.0.1", wanted), handler)
        except OSError as error:
            why = error.strerror
    raise ConfigError(f"--watch: no port of 127.0.0.1 can be opened ({why})")


def _handler(live: LiveReport) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _QUIET_S

        def do_GET(self) -> None:
            # Another site's page that calls itself 127.0.0.1 by its own name server gets nothing.
            host = (self.headers.get("Host") or "").partition(":")[0]
            path, _, query = self.path.partition("?")
            if host not in ("127.0.0.1", "localhost"):
                self._give(403, "text/plain", b"this address is for 127.0.0.1 alone\n")
                return
            try:
                if path == "/":
                    self._give(200, "text/html; charset=utf-8", live.page())
                elif path == "/results.json":
                    have = query.removeprefix("have=")
                    news = live.news(int(have) if have.isdecimal() and len(have) < 20 else -1)
                    self._give(200, "application/json", json.dumps(news).encode())
                else:
                    self._give(404, "text/plain", b"there is / and /results.json\n")
            except MtjkitError as error:
                self._give(500, "text/plain", f"{error}\n".encode())

        def _give(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Requests do not concern the campaign."""

    return Handler
