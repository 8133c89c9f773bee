"""`nmt serve` as a process: what it says at its start, clients with wishes of their own, and how it ends."""

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from serving import Service, serving


def test_sigterm_finishes_accepted_work_and_ends_with_status_0(own_service: Service) -> None:
    """The signal comes when the service has taken up a request and waits for its body: it is answered all the same, and
    what comes meanwhile is told that the service ends."""
    body = json.dumps({"text": ["Der Hund schläft im Haus."] * 20, "source": "de", "target": "en"}).encode()
    head = (
        "POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", own_service.port), timeout=120) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        own_service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert asked(own_service.url, "livez")[0] == 200
        for route in ("readyz", "models"):
            status, problem = asked(own_service.url, route)
            assert status == 503
            assert "shutting down" in problem
        connection.sendall(body)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))

    first, _, content = reply.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200")
    assert content.count(b'"hypotheses"') == 20
    assert own_service.process.wait(timeout=60) == 0


def asked(url: str, route: str) -> tuple[int, str]:
    """The status and the body of an answer."""
    try:
        with urllib.request.urlopen(f"{url}/{route}", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
def test_a_client_that_offers_another_protocol_is_answered_in_this_one(own_service: Service, offer: str) -> None:
    """As Java's own client does with each request; and its body is never taken for a request of its own."""
    body = json.dumps({"text": "Tom.", "source": "de", "target": "en", "search": {"max_length": 5}}).encode()
    head = (
        "POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Connection: Upgrade\r\nUpgrade: {offer}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", own_service.port), timeout=60) as connection:
        connection.sendall(head.encode())
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_setting_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the one that was probably meant."""
    monkeypatch.setenv("NMT_PORTT", "8000")
    with serving(tmp_path / "log"):
        pass

    assert "NMT_PORTT in the environment is no setting; did you mean NMT_PORT?" in (tmp_path / "log").read_text()
