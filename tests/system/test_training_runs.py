"""Training from the outside: stopped, watched, compared, and by several processes at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import nmt

from nmt.package import ModelFolder
from training.run_state import load_state


def wait_for_checkpoint(process: subprocess.Popen[bytes], folder: Path, update: int) -> None:
    """Until the run in a folder has saved this update; fails if it ends before."""
    path = folder / "checkpoints" / "last.safetensors"
    while not path.exists() or load_state(path)[1].update < update:
        assert process.poll() is None, "the run ended too early"
        time.sleep(0.05)


def test_a_stopped_run_goes_on_can_be_watched_and_be_compared(recipe: Path, tmp_path: Path) -> None:
    """SIGTERM ends it with status 3; the same command ends it with 0; `--watch` shows samples; `nmt runs` both runs."""
    run = tmp_path / "run"
    train = [sys.executable, "-m", "nmt", "train", str(recipe), "--output", str(run)]
    with subprocess.Popen(train, stderr=subprocess.PIPE) as process:
        wait_for_checkpoint(process, run, 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 3
        assert b"the same command goes on from there" in process.stderr.read()
    finished = nmt("train", recipe, "--output", run, "--watch")
    compared = nmt("runs", run, run, "--html", tmp_path / "runs.html")

    assert "== update 100" in finished.stderr
    assert "translation" in finished.stderr
    assert ModelFolder.load(run / "model").description.name == "recipe"
    assert "xx-yy dev BLEU" in compared.stdout
    assert "<svg" in (tmp_path / "runs.html").read_text()


def test_ctrl_c_while_a_command_is_loaded_ends_it_without_a_word() -> None:
    """With the status that a shell gives to what ends so; before it runs there is nothing to save."""
    interrupted = (
        "import nmt.cli, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's & ignores it
        "nmt.cli.build = lambda _: signal.raise_signal(signal.SIGINT); nmt.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_a_run_that_cannot_write_ends_with_status_4_and_advice(recipe: Path, tmp_path: Path) -> None:
    """A place that takes no folder: one line, no traceback."""
    done = nmt("train", recipe, "--output", "/proc/run", status=4)

    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr


def torchrun(recipe: Path, folder: Path, restarts: int) -> list[str]:
    """The command that trains with two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return [*launch, f"--max-restarts={restarts}", "-m", "nmt", "train", str(recipe), "--output", str(folder)]


@pytest.mark.slow
def test_torchrun_trains_the_same_recipe_and_a_killed_rank_is_replaced(recipe: Path, tmp_path: Path) -> None:
    """A rank that is killed takes the others down; torchrun starts all again, and they resume and finish."""
    run = tmp_path / "run"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(torchrun(recipe, run, restarts=1), stderr=subprocess.PIPE, env=environment) as process:
        wait_for_checkpoint(process, run, 4)
        ranks = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
        os.kill(int(ranks.stdout.split()[-1]), signal.SIGKILL)
        output = process.stderr.read().decode()

    assert process.returncode == 0, output
    assert ModelFolder.load(run / "model").description.name == "recipe"
    assert load_state(run / "checkpoints" / "last.safetensors")[1].update == 100


@pytest.mark.slow
def test_sigterm_to_torchrun_saves(recipe: Path, tmp_path: Path) -> None:
    """It hands the signal to the ranks, which agree on where they stop; the same command goes on."""
    run = tmp_path / "run"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(torchrun(recipe, run, restarts=0), stderr=subprocess.PIPE, env=environment) as process:
        wait_for_checkpoint(process, run, 2)
        process.send_signal(signal.SIGTERM)
        output = process.stderr.read().decode()
    stopped = load_state(run / "checkpoints" / "last.safetensors")[1].update
    again = subprocess.run(torchrun(recipe, run, restarts=0), env=environment, capture_output=True, check=False)

    assert "the same command goes on from there" in output
    assert 2 <= stopped < 100
    assert again.returncode == 0, again.stderr.decode()
    assert (run / "model").exists()
