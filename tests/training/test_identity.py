"""A run goes on with what it was begun with, or not at all; what may change between two starts may; what it ends with
stays."""

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from nmt.errors import Diverged, SaveError, TrainingError
from nmt.package import ModelFolder
from training.config import TrainingConfig
from training.corpus.config import PrepareConfig
from training.prepare import prepare_corpus
from training.run import Outcome, run_training
from training.run_state import Progress, load_identity, load_progress, load_state, save_tensors

STATE = Path("checkpoints/last.safetensors")
SHAPE = {"embedding_size": 8, "encoder_size": 8, "decoder_size": 16, "attention_size": 8}
VALIDATION = {"every": 2, "search": {"beam_size": 1, "max_length": 8}, "tokenize": "char"}


def prepare(folder: Path, output: Path, seed: int = 3) -> Path:
    """A small corpus of made-up words; `seed` decides which."""
    rng, words = random.Random(seed), "the dog sleeps in a house and Tom does not know why".split()
    lines = [" ".join(rng.choices(words, k=rng.randint(3, 6))) for _ in range(150)]
    (folder / "c.tsv").write_text("".join(f"{line}\t{line.upper()}\n" for line in lines), encoding="utf-8")
    own = {"files": [str(folder / "c.tsv")], "source": "xx", "target": "yy", "dev_size": 8, "test_size": 0}
    values = {"corpora": [{**own, "directions": "forward"}], "tokenizer": {"vocabulary_size": 305}}
    prepare_corpus(PrepareConfig.read(values, where="test"), output)
    return output


def train(folder: Path, data: str = "data", **changes: object) -> Outcome:
    """A run in `folder`, of a few updates; `changes` are keys of the recipe."""
    values = {"updates": 4, "warmup_updates": 0, "decay_updates": 0, "precision": "float32", "model": SHAPE}
    config = TrainingConfig.read({"data": folder / data, "validation": VALIDATION, **values, **changes}, where="test")
    return run_training(config, "name", folder / "run")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a corpus and a run that has ended."""
    folder = tmp_path_factory.mktemp("finished")
    prepare(folder, folder / "data")
    train(folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, in another place."""
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2}, r"the run in .*run cannot go on: seed was 1 and is now 2. Give it what it .* another --output"),
        ({"model": {**SHAPE, "decoder_size": 32}}, "model.decoder_size was 16 and is now 32"),
        ({"model": {**SHAPE, "residual": True}}, "model.residual was False and is now True"),
        ({"validation": {**VALIDATION, "metric": "loss"}}, "validation.metric was bleu and is now loss"),
        ({"validation": {**VALIDATION, "sentences": 3}}, "validation.sentences was 500 and is now 3"),
        ({"validation": {**VALIDATION, "tokenize": "none"}}, "validation.tokenize was char and is now none"),
    ],
    ids=str,
)
def test_another_recipe_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    """With what it was and what it is now; the folder still says what the run is."""
    before = (folder / "run/config.json").read_bytes()

    with pytest.raises(TrainingError, match=message):
        train(folder, **changes)
    assert (folder / "run/config.json").read_bytes() == before


def test_other_data_in_the_same_folder_are_refused(folder: Path) -> None:
    """And so are other pieces for the same texts."""
    shutil.rmtree(folder / "data")
    prepare(folder, folder / "data", seed=4)
    with pytest.raises(
        TrainingError, match=r"data was .*data \(texts [0-9a-f]{8}\) and is now .*data \(texts .*--output"
    ):
        train(folder)

    shutil.rmtree(folder / "data")
    prepare(folder, folder / "data")
    (folder / "data/tokenizer/tokenizer.json").write_text(
        (folder / "data/tokenizer/tokenizer.json").read_text() + "\n", encoding="utf-8"
    )
    with pytest.raises(
        TrainingError, match=r"cannot go on: tokenizer was .*/tokenizer \(files [0-9a-f]{8}\) and is now"
    ):
        train(folder)


def test_a_fine_tuning_recipe_in_the_folder_of_another_run_is_refused(folder: Path) -> None:
    """Its weights would never be those of the model that it names."""
    base = shutil.copytree(folder / "run/model", folder / "base")

    with pytest.raises(TrainingError, match=r"fine_tune.model was none and is now .*base \(weights [0-9a-f]{8}\)"):
        train(folder, model={}, fine_tune={"model": base})


def test_the_same_data_in_another_place_are_the_same(folder: Path) -> None:
    """Moved there, and prepared again from a file of another name."""
    (folder / "data").rename(folder / "moved")
    (folder / "elsewhere").mkdir()
    prepare(folder / "elsewhere", folder / "again")

    assert [train(folder, data=data).progress.update for data in ("moved", "again")] == [4, 4]


def test_what_may_change_between_two_starts_may(folder: Path) -> None:
    """The run goes on, with another loss as well; then the new settings stand in its folder."""
    changes = {"updates": 6, "learning_rate": 1e-4, "decay_updates": 2, "consistency": 1.0, "batch_pieces": 500}
    more = {"save_every": 3, "ema_decay": 0.9, "subword_sampling": 0.1, "card": {"title": "Another"}}
    outcome = train(folder, **changes, **more, model={**SHAPE, "word_dropout": 0.1})

    assert (outcome.progress.update, outcome.was_finished) == (6, False)
    assert json.loads((folder / "run/config.json").read_text())["updates"] == 6


def test_a_state_of_an_earlier_version_goes_on(folder: Path) -> None:
    """It did not note down what it was begun with; from now on it does."""
    _, progress = load_state(folder / "run" / STATE)
    noted = load_identity(folder / "run" / STATE)
    metadata = {"progress": json.dumps({name: getattr(progress, name) for name in Progress.__slots__})}
    save_tensors(folder / "run" / STATE, load_file(folder / "run" / STATE), metadata)

    assert load_identity(folder / "run" / STATE) == {}
    assert train(folder, updates=5).progress.update == 5
    assert {name: own.value for name, own in load_identity(folder / "run" / STATE).items()} == {
        name: own.value for name, own in noted.items()
    }


def test_a_run_that_is_finished_trains_nothing_and_says_so(folder: Path) -> None:
    """By its plan, or because its patience is at an end."""
    assert train(folder).was_finished
    assert not train(folder, updates=6).was_finished
    validation = {**VALIDATION, "patience": 1}
    stuck = train(folder, updates=60, learning_rate=1e-12, validation=validation)

    assert stuck.progress.update < 60
    assert train(folder, updates=60, learning_rate=1e-12, validation=validation).was_finished


def test_a_run_that_is_out_of_patience_says_so(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """When, since when, and by which key; one that went to the end of its plan has nothing to say."""
    validation = {**VALIDATION, "patience": 2}
    outcome = train(folder, updates=1000, learning_rate=1e-12, validation=validation)
    update, best = outcome.progress.update, outcome.progress.best_update
    assert (
        f"ended at update {update} of 1,000: no better validation since update {best} (validation.patience = 2)\n"
        in capfd.readouterr().err
    )

    train(folder, updates=update + 2, validation={**VALIDATION, "patience": 50})
    assert "ended at" not in capfd.readouterr().err


def test_a_run_that_is_finished_leaves_its_model_alone(folder: Path) -> None:
    """Not a byte of it is written again, and it is what the run ends with."""
    before = {file: file.stat().st_ino for file in (folder / "run/model").rglob("*")}
    outcome = train(folder)

    assert outcome.model == folder / "run/model"
    assert {file: file.stat().st_ino for file in (folder / "run/model").rglob("*")} == before


@pytest.mark.parametrize(
    "harm",
    [
        lambda run: (run / "model/README.md").write_text("Ours."),
        lambda run: (run / "model").rename(run / ".model.before"),
        lambda run: (run / "scores.json").write_text('{"update 2": {}}'),
    ],
    ids=["altered", "aside after a kill", "of an earlier end"],
)
def test_a_finished_run_writes_its_model_where_that_is_not_whole_or_not_its_own(
    folder: Path, harm: Callable[[Path], object]
) -> None:
    """From the checkpoints that are there: it is the model of before, and so are its scores."""
    run, before = folder / "run", ModelFolder.load(folder / "run/model").sha256
    scores = (run / "scores.json").read_bytes()
    harm(run)
    train(folder)

    assert ModelFolder.load(run / "model").sha256 == before
    assert (run / "scores.json").read_bytes() == scores
    assert not [path for path in run.iterdir() if path.name.startswith(".model")]


def test_weights_that_a_model_folder_cannot_hold_are_named(folder: Path) -> None:
    """In float16 they would be infinite; the status is that of numbers that are not finite."""
    for checkpoint in (folder / "run/checkpoints").glob("update-*"):
        weights = load_file(checkpoint)
        weights["output.bias"][0] = -70_000
        save_tensors(checkpoint, weights)
    shutil.rmtree(folder / "run/model")
    message = r"no model was written: output.bias of update \d is 70000 somewhere, and float16, .* ends at 65504; lower"

    with pytest.raises(Diverged, match=message):
        train(folder)
    assert not (folder / "run/model").exists()


def test_a_run_that_blows_up_while_its_weights_stay_finite_says_so(folder: Path) -> None:
    """At its first validation, and again if the same command goes on with what was saved."""
    shutil.rmtree(folder / "run")
    for _ in range(2):
        with pytest.raises(Diverged, match=r"the loss on the dev set is .* nats a piece: .*; lower learning_rate"):
            train(folder, learning_rate=1e30, save_every=1)
    assert Diverged.exit_status == 5
    assert load_progress(folder / "run" / STATE).best_score is None


def test_a_model_that_could_not_be_written_is_written_by_the_same_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the error says: what was saved before is whole, the model of before included."""
    before, rename = ModelFolder.load(folder / "run/model").sha256, os.rename

    def fail(path: Path, to: Path) -> None:
        if path.name == ".model.partial":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        rename(path, to)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", fail)
        with pytest.raises(
            SaveError, match=r"model.partial could not be written: .*; check the disk, then give the same"
        ):
            train(folder, updates=6)
    assert ModelFolder.load(folder / "run/model").sha256 == before

    assert train(folder, updates=6).was_finished
    assert ModelFolder.load(folder / "run/model").sha256 != before


def test_pairs_that_are_too_long_are_counted_aloud(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """On the screen and in the log; nothing is said where there are none."""
    train(folder)
    assert "left out" not in capfd.readouterr().err
    train(folder, max_pieces=9)
    said = "pairs have more than 9 pieces on a side and are left out; raise max_pieces to train on them"
    records = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    (note,) = [record["text"] for record in records if record["kind"] == "note"]

    assert said in note
    assert note in capfd.readouterr().err
