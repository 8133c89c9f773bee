"""How `nmt serve` ends."""

import json
import signal
import socket

from serving import Service


def test_sigterm_finishes_accepted_work_and_ends_with_status_0(own_service: Service) -> None:
    """The signal comes when the service has taken up a request and waits for its body: it is answered all the same."""
    body = json.dumps({"text": ["Der Hund schläft im Haus."] * 20, "source": "de", "target": "en"}).encode()
    head = (
        "POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", own_service.port), timeout=120) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        own_service.process.send_signal(signal.SIGTERM)
        connection.sendall(body)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))

    status, _, content = reply.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 200")
    assert content.count(b'"hypotheses"') == 20
    assert own_service.process.wait(timeout=60) == 0
