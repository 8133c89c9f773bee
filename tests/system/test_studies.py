"""Studies, end to end on made-up sentences: each variant is trained and measured as `nmt train` and evaluate do."""

import copy
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from commands import nmt, write_capitals

from nmt.config import Score, Wiring, set_value
from nmt.package import PRETRAINED, ModelFolder
from nmt.text.tokenizer import Tokenizer
from training.config import TrainingConfig

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "training" / "recipes" / "studies"
STUDY = """
[recipe]
data = "{folder}/data"
updates = 4
warmup_updates = 1
decay_updates = 2
batch_pieces = 400
model = {{ embedding_size = 16, encoder_size = 8, decoder_size = 16, attention_size = 8 }}
[recipe.validation]
every = 2
sentences = 4
tokenize = "none"
search = {{ beam_size = 2, max_length = 9 }}
[variants]
plain = {{}}
dot = {{ set = ["model.attention=dot"] }}
longer = {{ after = "dot", set = ["updates=6", "label_smoothing=0"] }}
ensemble = {{ ensemble = "dot" }}
"""


def study(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "study.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a study, and with prepared data: `data` has a test set, `untested` none."""
    folder = tmp_path_factory.mktemp("study")
    write_capitals(folder / "corpus.tsv", 400, 9)
    (folder / "study.toml").write_text(STUDY.format(folder=folder), encoding="utf-8")
    prepare = ("prepare", folder / "corpus.tsv", "--source", "xx", "--target", "yy")
    sizes = ("--directions", "forward", "--vocabulary-size", 330, "--dev-size", 10, "--test-size")
    for output, size in (("data", 30), ("untested", 0)):
        nmt(*prepare, *sizes, size, "--output", folder / output)
    return folder


def test_every_variant_is_trained_measured_and_drawn(folder: Path, tmp_path: Path) -> None:
    """With what `nmt evaluate` says; what is measured is left alone, what is missing made up for."""
    runs, drawing = tmp_path / "runs", tmp_path / "a.svg"
    arguments = (folder / "study.toml", "--output", runs, "--seeds", 1, 2)
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in study(*arguments, "--plot", drawing).stdout.splitlines()
    ]
    found = [(line["variant"], str(line["seed"]), line["part"]) for line in lines]
    seeds = {"plain": "12", "dot": "12", "longer": "12", "ensemble": ["[1, 2]"]}
    expected = [(name, seed, part) for name, own in seeds.items() for seed in own for part in ("dev", "test")]
    assert found == expected
    assert {line["part"]: sum(own["sentences"] for own in line["by_length"]) for line in lines} == {
        "dev": 10,
        "test": 30,
    }
    drawn = [line for line in lines if line["part"] == "test" and line["seed"] == 1]
    assert all(f"{line['variant']}: {line['bleu']['score']:.1f}" in drawing.read_text() for line in drawn)

    last = {own.name: json.loads((own / "config.json").read_text()) for own in runs.iterdir()}
    updates = {name: (config["updates"], config["label_smoothing"]) for name, config in last.items()}
    assert updates == {
        f"{n}.{s}": (6, 0) if n == "longer" else (4, 0.1) for n in ("plain", "dot", "longer") for s in "12"
    }
    assert ModelFolder.load(runs / "longer.1" / "model").description.model.attention == "dot"

    evaluate = ("evaluate", folder / "data" / "test.xx-yy.tsv", "--source", "xx", "--target", "yy", "--json")
    search = ("--beam-size", 2, "--set", "max_length=9", "--tokenize", "none", "--precision", "fp32")
    members = [option for seed in (1, 2) for option in ("--model", runs / f"dot.{seed}" / "model")]
    evaluated = nmt(*evaluate, *search, *members).stdout
    assert json.loads(evaluated)["by_length"] == lines[-1]["by_length"]

    measured = runs / "plain.1" / "result.jsonl"
    measured.write_text(measured.read_text().replace('"settings": []', '"settings": "as it was"'))
    (runs / "longer.2" / "result.jsonl").unlink()
    again = [json.loads(line) for line in study(*arguments).stdout.splitlines()]
    assert [line["settings"] for line in again[:3]] == ["as it was", "as it was", []]
    assert again[2:] == lines[2:]


def test_the_table_has_the_gain_over_the_first_variant_seed_by_seed(folder: Path, tmp_path: Path) -> None:
    """Means and deviations of the lines that the study prints without `--table`."""
    arguments = (folder / "study.toml", "--output", tmp_path, "--seeds", 1, 2, "--variants", "plain", "dot")
    lines = [json.loads(line) for line in study(*arguments).stdout.splitlines()]
    plain, dot = (
        [line["bleu"]["score"] for line in lines if line["variant"] == name and line["part"] == "test"]
        for name in ("plain", "dot")
    )
    first, second = dot[0] - plain[0], dot[1] - plain[1]
    gain = f"{(first + second) / 2:+.1f} ± {abs(first - second) / 2**0.5:.1f}"
    rows = study(*arguments, "--table").stdout.splitlines()
    assert rows[2].startswith("| plain, xx-yy | 2 |")
    assert rows[3].split(" | ")[5] == gain


def test_the_study_of_attention_has_every_score_and_wiring() -> None:
    """So that one added is not forgotten there."""
    values = tomllib.loads((STUDIES / "attention.toml").read_text(encoding="utf-8"))
    settings = [change for variant in values["variants"].values() for change in variant["set"]]
    for key, known in (("model.attention", get_args(Score)), ("model.wiring", get_args(Wiring)[1:])):
        assert {change.partition("=")[2] for change in settings if change.startswith(f"{key}=")} == set(known)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "training" / "recipes" / "studies").glob("*.toml")), ids=lambda p: p.stem
)
def test_every_variant_of_our_studies_is_a_recipe(path: Path) -> None:
    """Which would else be said in the night in which it is to be trained."""
    study = tomllib.loads(path.read_text(encoding="utf-8"))
    for name, variant in study["variants"].items():
        values = copy.deepcopy(study["recipe"])
        for change in variant.get("set", ()):
            set_value(values, change)
        config = TrainingConfig.read(values, where=name)

        assert {variant.get("after", name), variant.get("ensemble", name)} <= study["variants"].keys()
        assert config.model_config_for(Tokenizer.load(PRETRAINED / "tatoeba" / "tokenizer"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "data={}/untested"), "untested has no test set for xx-yy; run nmt prepare with one"),
        (("--set", "model.decoder_size=12"), "attention is dot, which compares decoder and memory directly"),
        (("--variants", "does"), "--variants names 'does'; the variants are plain, dot, longer, ensemble"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_run(
    arguments: tuple[str, ...], message: str, folder: Path, tmp_path: Path
) -> None:
    """One line, and no folder of a run."""
    output = tmp_path / "runs"
    done = study(folder / "study.toml", "--output", output, *(argument.format(folder) for argument in arguments))

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()
