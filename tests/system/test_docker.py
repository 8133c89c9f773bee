"""The container as users start it, on a real engine, answering a real request.

`make test-docker` gets an engine where none runs, and makes base images where none can be pulled.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
PROJECT = "nmt-test"
BUILD_SECONDS = 1200
READY_SECONDS = 120


def run(*command: str, environment: Mapping[str, str] | None = None, seconds: float = 120) -> str:
    """Standard output of a command; what it complained about becomes the failure of the test."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, (
        f"{' '.join(command)} exited {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    )
    return done.stdout


def succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except FileNotFoundError:
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """The command: `docker compose`, or its elder."""
    if not succeeds("docker", "info"):
        pytest.skip("no Docker engine answers `docker info`, and `make test-docker` could not start one")
    for command in (["docker", "compose"], ["docker-compose"]):
        if succeeds(*command, "version"):
            return [*command, "--project-name", PROJECT]
    pytest.skip("a Docker engine runs, but neither `docker compose` nor `docker-compose` is installed")


@pytest.fixture(scope="module")
def url(compose: list[str]) -> Iterator[str]:
    """Of the service, built and brought up as `compose.yaml` says, and taken down in the end."""
    port = free_port()
    environment = {"NMT_PORT": str(port)}
    run(*compose, "build", environment=environment, seconds=BUILD_SECONDS)
    try:
        run(*compose, "up", "--detach", environment=environment)
        yield f"http://127.0.0.1:{port}"
    finally:
        run(*compose, "down", "--volumes", environment=environment)


@pytest.fixture(scope="module")
def container(url: str, compose: list[str]) -> str:
    """Its id, once the engine has found it healthy."""
    container = run(*compose, "ps", "--quiet", "api").strip()
    give_up = time.monotonic() + READY_SECONDS
    while (health := run("docker", "inspect", "--format", "{{.State.Health.Status}}", container).strip()) != "healthy":
        logs = subprocess.run(["docker", "logs", container], capture_output=True, text=True)
        assert time.monotonic() < give_up, f"after {READY_SECONDS} s it is {health}\n{logs.stdout}{logs.stderr}"
        time.sleep(1)
    return container


def statuses(container: str, field: str) -> set[str]:
    """The values of a field of /proc/…/status over all processes in the container."""
    lines = run("docker", "exec", container, "sh", "-c", f"grep -h ^{field}: /proc/[0-9]*/status").splitlines()
    return {line.removeprefix(f"{field}:").strip() for line in lines}


@pytest.mark.usefixtures("container")
def test_translates(url: str) -> None:
    """A request from outside is answered with text, and every row of its alignment is a distribution."""
    reply = httpx.post(
        f"{url}/translate", json={"text": "A dog is sleeping.", "source": "en", "target": "de"}, timeout=60
    )

    assert reply.status_code == 200, reply.text
    best = reply.json()["translations"][0]["hypotheses"][0]
    assert best["text"].strip()
    assert best["alignment"]["weights"]
    assert [sum(row) for row in best["alignment"]["weights"]] == pytest.approx([1] * len(best["alignment"]["weights"]))


def test_is_not_root(container: str) -> None:
    """No process of the container has root's id."""
    assert statuses(container, "Uid") == {"\t".join(["10001"] * 4)}


def test_has_no_capabilities(container: str) -> None:
    """No process has a capability, nor a way to gain one."""
    assert {field: statuses(container, field) for field in ("CapPrm", "CapEff", "CapBnd")} == {
        key: {"0" * 16} for key in ("CapPrm", "CapEff", "CapBnd")
    }
    assert statuses(container, "NoNewPrivs") == {"1"}


def test_cannot_write(container: str) -> None:
    """Nobody, not even root, can write to the root file system; everybody can to /tmp."""
    command = ["docker", "exec", "--user", "0", container, "touch"]
    refused = subprocess.run([*command, "/opt/venv/new"], capture_output=True, text=True)
    allowed = subprocess.run([*command, "/tmp/new"], capture_output=True, text=True)

    assert "Read-only file system" in refused.stderr
    assert allowed.returncode == 0, allowed.stderr
