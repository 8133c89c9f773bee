"""The container as users start it, on a real engine, answering real requests.

`make test-docker` gets an engine where none runs, and makes base images where none can be pulled.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from nmt.kernels import builds
from nmt.package import write_sums
from nmt.translator import default_model

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 1800
READY_SECONDS = 120


@dataclass(frozen=True)
class Service:
    """A healthy container."""

    url: str
    container: str


def run(*command: str, environment: Mapping[str, str] | None = None, seconds: float = 120) -> str:
    """Standard output of a command; what it complained about becomes the failure of the test."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
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
    """The command, `docker compose` or its elder, after the image is built."""
    if not succeeds("docker", "info"):
        pytest.skip("no Docker engine answers `docker info`, and `make test-docker` could not start one")
    for command in (["docker", "compose"], ["docker-compose"]):
        if succeeds(*command, "version"):
            run(*command, "build", seconds=BUILD_SECONDS)
            return command
    pytest.skip("a Docker engine runs, but neither `docker compose` nor `docker-compose` is installed")


@contextmanager
def serving(compose: list[str], **settings: str) -> Iterator[Service]:
    """The service, brought up as `compose.yaml` says with these variables, and taken down in the end."""
    port = free_port()
    project = [*compose, "--project-name", f"nmt-test-{port}"]
    environment = {"NMT_PORT": str(port), **settings}
    try:
        run(*project, "up", "--detach", environment=environment)
        container = run(*project, "ps", "--quiet", "api", environment=environment).strip()
        wait_until_healthy(container)
        yield Service(f"http://127.0.0.1:{port}", container)
    finally:
        run(*project, "down", "--volumes", environment=environment)


def wait_until_healthy(container: str) -> None:
    """Until the engine, which asks the image's own health check, says so."""
    give_up = time.monotonic() + READY_SECONDS
    while (health := run("docker", "inspect", "--format", "{{.State.Health.Status}}", container).strip()) != "healthy":
        logs = subprocess.run(["docker", "logs", container], capture_output=True, text=True)
        assert time.monotonic() < give_up, f"{health} after {READY_SECONDS} s\n{logs.stdout}{logs.stderr}"
        time.sleep(1)


@pytest.fixture(scope="module")
def service(compose: list[str]) -> Iterator[Service]:
    with serving(compose) as service:
        yield service


def process_statuses(container: str, field: str) -> set[str]:
    """The values of a field of /proc/…/status, over all processes in the container."""
    lines = run("docker", "exec", container, "sh", "-c", f"grep -h ^{field}: /proc/[0-9]*/status").splitlines()
    return {line.removeprefix(f"{field}:").strip() for line in lines}


def test_translates(service: Service) -> None:
    """A request from outside is answered with text, and each row of its alignment sums to 1."""
    request = {"text": "A dog is sleeping.", "source": "en", "target": "de"}
    reply = httpx2.post(f"{service.url}/translate", json=request, timeout=60)

    assert reply.status_code == 200, reply.text
    best = reply.json()["translations"][0]["hypotheses"][0]
    assert best["text"].strip()
    sums = [sum(row) for row in best["alignment"]["weights"]]
    assert sums
    assert sums == pytest.approx([1] * len(sums), abs=2e-3)  # the reply rounds


def test_decodes_with_kernels(service: Service) -> None:
    """They were compiled into the image, in the same builds as here: the best one that the processor runs."""
    asked = "from nmt.kernels import builds; print(*builds.available(), builds.native()._name)"
    there = run("docker", "exec", service.container, "python3", "-c", asked).split()

    assert (*there[:-1],) == builds.available()
    assert Path(there[-1]).name.split(".")[0] == Path(builds.native()._name).name.split(".")[0]


def test_is_not_root(service: Service) -> None:
    """No process of the container has root's id."""
    assert process_statuses(service.container, "Uid") == {"\t".join(["10001"] * 4)}


@pytest.mark.parametrize("field", ["CapPrm", "CapEff", "CapBnd", "CapAmb"])
def test_has_no_capabilities(service: Service, field: str) -> None:
    """No process has a capability, or may get one."""
    assert process_statuses(service.container, field) == {"0" * 16}


def test_gains_no_privileges(service: Service) -> None:
    """No program that is started in it, such as one with the setuid bit, can have more rights than its caller."""
    assert process_statuses(service.container, "NoNewPrivs") == {"1"}


def test_cannot_write(service: Service) -> None:
    """Not even root can write to the root file system; /tmp is there for all."""
    touch = ["docker", "exec", "--user", "0", service.container, "touch"]
    refused = subprocess.run([*touch, "/opt/venv/new"], capture_output=True, text=True)
    allowed = subprocess.run([*touch, "/tmp/new"], capture_output=True, text=True)

    assert "Read-only file system" in refused.stderr
    assert allowed.returncode == 0, allowed.stderr


def test_serves_a_mounted_model(compose: list[str], tmp_path: Path) -> None:
    """A model folder of the host is served instead of the model in the box."""
    mine = tmp_path / "models" / "mine"
    shutil.copytree(default_model(), mine)
    description = (mine / "config.json").read_text()
    (mine / "config.json").write_text(description.replace(f'"{default_model().name}"', '"mine"'))
    write_sums(mine)

    with serving(compose, NMT_MODEL_DIR=str(mine.parent), NMT_MODELS='["/models/mine"]') as service:
        models = httpx2.get(f"{service.url}/models", timeout=60).json()

    assert [model["name"] for model in models["models"]] == ["mine"]
