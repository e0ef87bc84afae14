"""The report while a campaign runs: what its page asks for, and the report at the end."""

import json
import socket
import struct
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

pytest.importorskip("jinja2", reason="needs the extra report")

from mtjkit_core.errors import ConfigError
from mtjkit_host.analysis import live as live_module
from mtjkit_host.analysis.live import LiveReport
from mtjkit_host.campaign.standing import Standing
from support.known_results import made_up


@pytest.fixture
def live(monkeypatch):
    monkeypatch.setattr(live_module, "vega_script", lambda: "/* vega */")
    with LiveReport(port=0) as found:
        yield found


def running(folder, records):
    """A campaign of which some records are there, and a way to add one."""
    whole = made_up(folder)
    so_far = list(whole.records[:records])
    standing = Standing(lambda: replace(whole, records=tuple(so_far)), whole.points, records)

    def more():
        so_far.append(replace(whole.records[len(so_far)], where="board 1"))
        standing.took("board 1", so_far[-1], 1)

    return standing, more


def get(live, path, **headers):
    request = urllib.request.Request(live.address.rstrip("/") + path, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def test_a_page_gets_each_new_point(live, tmp_path, capsys):
    standing, more = running(tmp_path, 20)
    live.watch(standing)
    assert live.address in capsys.readouterr().err
    page = get(live, "/")
    assert "connect-src 'self'" in page
    assert "const LIVE = true" in page
    news = json.loads(get(live, "/results.json"))
    assert (news["records"], news["standing"]["done"]) == (20, 20)
    assert news["standing"]["left_s"] is None
    assert news["content"]["curves"][0]["levels"][0]["repeats"] == 2
    assert json.loads(get(live, "/results.json?have=20"))["content"] is None
    more()
    more()
    live._kept = None  # as after a while
    news = json.loads(get(live, "/results.json?have=20"))
    assert (news["records"], news["standing"]["done"], news["ended"]) == (22, 22, False)
    assert news["content"] is not None
    [worker] = news["standing"]["workers"]
    assert (worker["name"], worker["points"]) == ("board 1", 2)
    assert news["standing"]["left_s"] > 0


def test_at_the_end_open_pages_get_the_report(live, tmp_path):
    standing, _ = running(tmp_path, 3)
    live.watch(standing)
    (tmp_path / "report.html").write_text("the report")
    live.end(tmp_path / "report.html")  # nobody has asked: nobody is waited for
    assert json.loads(get(live, "/results.json")) == {"ended": True}
    assert get(live, "/") == "the report"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/../results.jsonl", {}, 404), ("/", {"Host": "elsewhere.example:8765"}, 403)],
)
def test_nothing_else_is_given(live, tmp_path, path, headers, status):
    live.watch(running(tmp_path, 1)[0])
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(live, path, **headers)
    assert refused.value.code == status


def test_a_taken_port_is_left_to_who_has_it(live, tmp_path):
    live.watch(running(tmp_path, 1)[0])
    taken = int(live.address.rstrip("/").rpartition(":")[2])
    with LiveReport(port=taken) as other:
        other.watch(running(tmp_path, 2)[0])
        assert other.address != live.address
        assert json.loads(get(other, "/results.json"))["records"] == 2


REQUESTS = [
    b"GET //[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /results.json?have=%00&have=\xc2\xb2 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /?" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]:8765\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"\r\n" * 100,
    b"",
]


def test_requests_of_any_kind_are_answered_in_silence(live, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(live_module, "_MOST_PAGES", 4)
    live.watch(running(tmp_path, 1)[0])
    capsys.readouterr()
    place = ("127.0.0.1", int(live.address.rstrip("/").rpartition(":")[2]))
    for request in REQUESTS:
        with socket.create_connection(place, timeout=20) as line:
            line.sendall(request)
            line.shutdown(socket.SHUT_WR)
            answer = b""
            while part := _received(line):
                answer += part
        assert b"const LIVE" not in answer
    with socket.create_connection(place, timeout=20) as line:  # one that leaves at once
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    quiet = [socket.create_connection(place, timeout=20) for _ in range(8)]
    assert any(_received(line) == b"" for line in quiet[4:])  # too many: closed at once
    for line in quiet:
        line.close()
    assert _in_time(lambda: json.loads(get(live, "/results.json"))["records"] == 1)
    assert capsys.readouterr().err == ""


def test_a_page_that_cannot_be_made_says_why(live, tmp_path, monkeypatch):
    live.watch(running(tmp_path, 1)[0])

    def failing(*args, **named):
        raise ConfigError("a reason")

    monkeypatch.setattr(live_module, "render", failing)
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(live, "/")
    assert (refused.value.code, refused.value.read()) == (500, b"a reason\n")


def _received(line):
    try:
        return line.recv(1 << 16)
    except ConnectionResetError:
        return b""


def _in_time(holds):
    """Whether something holds soon: a closed connection frees its place a moment later."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if holds():
                return True
        except OSError:
            time.sleep(0.02)
    return False
