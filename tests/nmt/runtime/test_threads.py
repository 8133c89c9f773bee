"""How many engines share out the cores."""

from pathlib import Path

import pytest

from nmt import kernels
from nmt.runtime import threads
from nmt.runtime.threads import an_engine_a_core

engines = an_engine_a_core.__wrapped__


def test_there_is_an_engine_for_each_core_that_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """OMP_NUM_THREADS says how many; without a number there, those that the system lets us have."""
    monkeypatch.setattr(kernels, "available", lambda: ("fp32",))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {2, 3, 5}, raising=False)
    monkeypatch.setattr(threads, "_quota", lambda _: None)
    found = []
    for wanted in ("2", "2,1", "", "0", "many", "²"):
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        found.append(engines())

    assert found == [2, 2, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("said", "cores"), [("150000 100000\n", 2), ("5000 100000\n", 1), ("max 100000\n", None), ("", None), (None, None)]
)
def test_a_container_may_have_fewer(said: str | None, cores: int | None, tmp_path: Path) -> None:
    """Its quota, as cgroups have it; none where there is no such file."""
    file = tmp_path / "cpu.max"
    if said is not None:
        file.write_text(said)

    assert threads._quota(file) == cores


def test_without_kernels_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch takes all cores for it."""
    monkeypatch.setattr(kernels, "available", lambda: ())
    monkeypatch.setenv("OMP_NUM_THREADS", "8")

    assert engines() == 1
