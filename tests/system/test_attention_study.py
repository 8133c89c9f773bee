"""The study of what attention buys, end to end on made-up sentences."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from commands import nmt

from nmt.config import Score, Wiring
from nmt.package import ModelFolder

STUDY = Path(__file__).parents[1] / "benchmarks" / "attention_study.py"
RECIPE = """
updates = 4
warmup_updates = 1
decay_updates = 2
batch_pieces = 400
model = { embedding_size = 16, encoder_size = 8, decoder_size = 16, attention_size = 8 }
[validation]
every = 4
sentences = 4
tokenize = "none"
search = { beam_size = 2, max_length = 9 }
"""


def study(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = [sys.executable, str(STUDY), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a recipe, and with prepared data: `data` has a test set, `untested` none."""
    folder, rng = tmp_path_factory.mktemp("study"), random.Random(0)
    words = [f"w{a}{b}" for a in "abcdefgh" for b in "klmnop"]
    lines = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(400)]
    (folder / "corpus.tsv").write_text("".join(f"{line}\t{line.upper()}\n" for line in lines), encoding="utf-8")
    (folder / "recipe.toml").write_text(f'data = "{folder}/data"\n' + RECIPE, encoding="utf-8")
    prepare = ("prepare", folder / "corpus.tsv", "--source", "xx", "--target", "yy")
    sizes = ("--directions", "forward", "--vocabulary-size", 330, "--dev-size", 10, "--test-size")
    for output, size in (("data", 30), ("untested", 0)):
        nmt(*prepare, *sizes, size, "--output", folder / output)
    return folder


def test_every_score_and_wiring_is_trained_evaluated_and_drawn(folder: Path, tmp_path: Path) -> None:
    """A line each, with what `nmt evaluate` says; what is there already is left alone; the rest is made up for."""
    arguments = ("--recipe", folder / "recipe.toml", "--output", tmp_path / "runs", "--plot", tmp_path / "a.svg")
    done = study(*arguments)
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    models = [ModelFolder.load(tmp_path / "runs" / line["variant"] / "model") for line in lines]

    assert {model.description.model.attention for model in models} == set(get_args(Score))
    assert {model.description.model.wiring for model in models} == set(get_args(Wiring))
    assert [line["parameters"] for line in lines] == [model.parameters for model in models]
    assert {sum(bucket["sentences"] for bucket in line["by_length"]) for line in lines} == {30}
    assert all(f"{line['variant']}: {line['bleu']['score']:.1f}" in (tmp_path / "a.svg").read_text() for line in lines)

    evaluate = ("evaluate", folder / "data" / "test.xx-yy.tsv", "--source", "xx", "--target", "yy", "--json")
    search = ("--beam-size", 2, "--set", "max_length=9", "--tokenize", "none", "--precision", "fp32")
    evaluated = nmt(*evaluate, *search, "--model", models[-1].path).stdout
    assert json.loads(evaluated)["by_length"] == lines[-1]["by_length"]

    results = tmp_path / "runs" / "results.jsonl"
    results.write_text("".join(json.dumps({**line, "seed": "as it was"}) + "\n" for line in lines[:-1]))
    again = [json.loads(line) for line in study(*arguments).stdout.splitlines()]
    assert again[-1] == lines[-1]
    assert {line["seed"] for line in again[:-1]} == {"as it was"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data={}/untested", "untested has no test set for xx-yy; run nmt prepare with one"),
        ("model.decoder_size=12", "attention is dot, which compares decoder and memory directly"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_run(
    change: str, message: str, folder: Path, tmp_path: Path
) -> None:
    """One line, and no folder of a run."""
    output = tmp_path / "runs"
    done = study("--recipe", folder / "recipe.toml", "--output", output, "--set", change.format(folder))

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()
