"""Training from the outside: stopped, watched, compared, and by several processes at once."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nmt.package import ModelFolder
from training.run_state import load_state


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with its data: a hundred updates of a small network."""
    folder, rng = tmp_path_factory.mktemp("training"), random.Random(0)
    words = [f"w{a}{b}" for a in "abcdefgh" for b in "klmnop"]
    lines = [" ".join(rng.choices(words, k=rng.randint(3, 7))) for _ in range(600)]
    (folder / "corpus.tsv").write_text("".join(f"{line}\t{line.upper()}\n" for line in lines), encoding="utf-8")
    (folder / "recipe.toml").write_text(
        f"""
data = "{folder}/data"
updates = 100
warmup_updates = 2
decay_updates = 4
batch_pieces = 400
save_every = 2
[model]
embedding_size = 16
encoder_size = 8
decoder_size = 16
attention_size = 8
[validation]
every = 50
sentences = 4
search = {{ beam_size = 2, max_length = 12 }}
"""
    )
    prepare = ("prepare", folder / "corpus.tsv", "--source", "xx", "--target", "yy", "--output", folder / "data")
    sizes = ("--vocabulary-size", 360, "--dev-size", 20, "--test-size", 20)
    subprocess.run([sys.executable, "-m", "nmt", *map(str, prepare + sizes)], check=True, capture_output=True)
    return folder / "recipe.toml"


def nmt(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "nmt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, check=False)


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
        assert process.wait(timeout=100) == 3
        assert b"the same command goes on from there" in process.stderr.read()
    finished = nmt("train", recipe, "--output", run, "--watch")
    compared = nmt("runs", run, run, "--html", tmp_path / "runs.html")

    assert finished.returncode == 0, finished.stderr
    assert "== update 100" in finished.stderr
    assert "translation" in finished.stderr
    assert ModelFolder.load(run / "model").description.name == "recipe"
    assert compared.returncode == 0, compared.stderr
    assert "xx-yy dev BLEU" in compared.stdout
    assert "<svg" in (tmp_path / "runs.html").read_text()


def test_a_run_that_cannot_write_ends_with_status_4_and_advice(recipe: Path, tmp_path: Path) -> None:
    """A place that takes no folder: one line, no traceback."""
    done = nmt("train", recipe, "--output", "/proc/run")

    assert done.returncode == 4
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
