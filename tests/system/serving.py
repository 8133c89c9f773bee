"""`nmt serve` as a process, for tests and benchmarks."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Service:
    """`nmt serve` as a process of its own."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(log: Path, *options: str) -> Iterator[Service]:
    """A service, from ready to ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "NMT_PORT": str(port), "NMT_HOST": "127.0.0.1"}
    command = [sys.executable, "-m", "nmt", "serve", *options]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    service = Service(process, port)
    try:
        wait_until_ready(service.url, process, log)
        yield service
    finally:
        process.terminate()
        process.wait(timeout=40)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until `/readyz` says ok; raises with the log if the process ends or takes more than two minutes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the service did not become ready:\n{log.read_text()}")
