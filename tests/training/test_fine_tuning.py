"""Fine-tuning: pieces and weights of a model folder, and a guard over what it could do."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import small_run
from typer.testing import CliRunner

from nmt.cli import build
from nmt.config import SearchConfig
from nmt.errors import ConfigError, Forgotten, ModelFolderError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.package import ModelFolder, save_model_folder, write_sums
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import Tokenizer, TokenizerConfig
from nmt.translator import BOX, Translator, default_model, load_model
from training.card import write_card
from training.config import Card, FineTune, TrainingConfig, Validation
from training.corpus.config import PrepareConfig
from training.corpus.prepared import PreparedCorpus
from training.fine_tuning import Guard, initial_model, trained_guard
from training.prepare import prepare_corpus
from training.run import run_training
from training.trainer import Trainer
from training.validation import ValidationResult

SEARCH = SearchConfig(beam_size=1, max_length=8)


@pytest.fixture(scope="module")
def tiny_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model without its bytes, which alone are no characters: what it says can be read back as a test set."""
    folder, copied = ModelFolder.load(tiny_folder), tmp_path_factory.mktemp("worded") / "tiny"
    bias = folder.weights["output.bias"].copy()
    bias[[at for piece, at in folder.tokenizer.ids("target").items() if piece.startswith("<0x")]] = -1000
    weights = {**folder.weights, "output.bias": bias}
    save_model_folder(copied, folder.description, folder.tokenizer, weights, "# A model for tests\n")
    return copied


@pytest.fixture
def corpus(tmp_path: Path, tiny_folder: Path) -> PreparedCorpus:
    """A small corpus in the pieces of the tiny model."""
    return prepare_corpus(settings(tmp_path, tokenizer_from=tiny_folder), tmp_path / "data")


def settings(folder: Path, target: str = "de", **changes: object) -> PrepareConfig:
    """For a small corpus of made-up words."""
    rng = random.Random(3)
    words = "the dog sleeps in a house".split(), "der Hund schläft im Haus nicht".split()
    rows = [[" ".join(rng.choices(side, k=rng.randint(3, 6))) for side in words] for _ in range(150)]
    (folder / "c.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    own = {"files": [str(folder / "c.tsv")], "source": "en", "target": target, "dev_size": 10, "test_size": 0}
    values = {"corpora": [{**own, "directions": "forward"}], "cleaning": {"check_languages": False}, **changes}
    return PrepareConfig.read(values, where="test")


@pytest.fixture
def recipe(corpus: PreparedCorpus, tiny_folder: Path, guard: Path) -> Callable[..., TrainingConfig]:
    """A short run from the tiny model; changes are those of `[fine_tune]`."""

    def make(rate: float = 1e-3, **changes: object) -> TrainingConfig:
        values = {
            "data": str(corpus.folder),
            "updates": 4,
            "warmup_updates": 0,
            "decay_updates": 0,
            "learning_rate": rate,
            "precision": "float32",
            "validation": {"every": 2, "sentences": 5, "search": SEARCH.model_dump(), "tokenize": "char"},
            "fine_tune": {"model": str(tiny_folder), "guard": {"de-en": str(guard)}, **changes},
        }
        return TrainingConfig.read(values, where="test")

    return make


@pytest.fixture
def guard(tmp_path: Path, tiny_folder: Path) -> Path:
    """A test set that the tiny model translates without a fault: its references are its own translations."""
    texts = ["Der Hund schläft.", "Tom weiß nicht warum.", "das Haus und der Hund", "Warum schläft Tom im Haus?"]
    done = Translator.load(tiny_folder).translate(texts, "en", "de", SEARCH)
    rows = [f"{text}\t{translation.text}\n" for text, translation in zip(texts, done, strict=True)]
    (tmp_path / "old.tsv").write_text("".join(rows), encoding="utf-8")
    return tmp_path / "old.tsv"


def test_a_corpus_in_the_pieces_of_a_model(corpus: PreparedCorpus, tiny_folder: Path) -> None:
    """The tokenizer is that of the model folder, tags of languages that the corpus lacks included."""
    own, given = Tokenizer.load(corpus.tokenizer_folder), ModelFolder.load(tiny_folder).tokenizer

    assert own.equals(given)
    assert own.languages == ("en", "de")


def test_the_pieces_of_a_model_from_the_command_line(tmp_path: Path, tiny_folder: Path) -> None:
    """`--tokenizer`, and no option of a new one beside it."""
    settings(tmp_path)
    arguments = ["prepare", str(tmp_path / "c.tsv"), "--source", "en", "--target", "de", "--any-language"]
    arguments += ["--dev-size", "5", "--test-size", "5", "--tokenizer", str(tiny_folder), "--output"]
    CliRunner().invoke(build([]), [*arguments, str(tmp_path / "out")], catch_exceptions=False)

    assert PreparedCorpus.load(tmp_path / "out").directions == [("en", "de"), ("de", "en")]
    assert Tokenizer.load(tmp_path / "out/tokenizer").equals(ModelFolder.load(tiny_folder).tokenizer)
    with pytest.raises(ConfigError, match="so settings of a new one have no place beside it"):
        CliRunner().invoke(
            build([]), [*arguments, str(tmp_path / "no"), "--vocabulary-size", "300"], catch_exceptions=False
        )


def test_a_language_that_the_model_does_not_write_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    """There is no tag to ask for it."""
    with pytest.raises(ConfigError, match=r"translates into en, de, but the corpora want en-fr; leave that direction"):
        prepare_corpus(settings(tmp_path, target="fr", tokenizer_from=tiny_folder), tmp_path / "out")


def test_a_run_begins_with_the_weights_of_the_model(
    recipe: Callable[..., TrainingConfig], corpus: PreparedCorpus, tiny_folder: Path
) -> None:
    """In its shape; `[model]` may change what is no shape, and is refused where it does not fit."""
    tokenizer, folder = Tokenizer.load(corpus.tokenizer_folder), ModelFolder.load(tiny_folder)
    config = recipe().model_copy(update={"model": {"layer_dropout": 0.05}})
    model = initial_model(config, tokenizer, load_model(config.fine_tune.model))

    assert all(np.array_equal(own, folder.weights[name]) for name, own in model.arrays().items())
    assert model.config == folder.description.model.model_copy(update={"layer_dropout": 0.05})
    config = config.model_copy(update={"model": {"decoder_size": 24, "encoder_size": 12, "tying": "two_way"}})
    message = (
        r"\[model\] has decoder_size = 24 \(there 20\), tying = two_way \(there three_way\), but fine-tuning keeps"
    )
    with pytest.raises(ConfigError, match=message):
        initial_model(config, tokenizer, load_model(config.fine_tune.model))


def test_data_in_other_pieces_are_refused(tmp_path: Path, recipe: Callable[..., TrainingConfig]) -> None:
    """With the way to the right ones."""
    other = prepare_corpus(settings(tmp_path, tokenizer={"algorithm": "char"}), tmp_path / "other")

    with pytest.raises(TrainingError, match=r"other pieces than .* knows; prepare it again with --tokenizer .* or let"):
        initial_model(recipe(), Tokenizer.load(other.tokenizer_folder), load_model(recipe().fine_tune.model))


def test_a_run_may_begin_with_other_pieces(tmp_path: Path, recipe: Callable[..., TrainingConfig]) -> None:
    """The network fits the new tokenizer; all that has no row a piece is the model's own."""
    other = prepare_corpus(settings(tmp_path, target="fr", tokenizer={"vocabulary_size": 290}), tmp_path / "other")
    config = recipe(other_pieces=True)
    tokenizer, folder = Tokenizer.load(other.tokenizer_folder), ModelFolder.load(config.fine_tune.model)
    model = initial_model(config, tokenizer, load_model(config.fine_tune.model))

    assert model.config.target_vocabulary == tokenizer.target_vocabulary != folder.tokenizer.target_vocabulary
    body = [name for name in folder.weights if name.startswith(("encoder", "decoder"))]
    assert all(np.array_equal(model.arrays()[name], folder.weights[name]) for name in body)


def test_the_guard_compares_with_the_original(tiny_folder: Path, guard: Path) -> None:
    """The original loses nothing, one of other weights all; no random number of the run is drawn."""
    folder = ModelFolder.load(tiny_folder)
    original, other = (Seq2Seq.with_weights(folder.description.model, folder.weights) for _ in range(2))
    for weight in other.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    state = torch.get_rng_state()
    config, tokenizer = FineTune(model=tiny_folder, guard={"de-en": guard}), folder.tokenizer
    own = Guard(config, folder, tokenizer, Validation(search=SEARCH, tokenize="char"))

    assert own.lost(original) == {"de-en": pytest.approx(0)}
    assert own.lost(other)["de-en"] > 50
    assert torch.equal(torch.get_rng_state(), state)


def test_a_guard_for_a_direction_that_the_model_lacks_is_refused(tiny_folder: Path, guard: Path) -> None:
    """The message lists those that it has."""
    config, folder = FineTune(model=tiny_folder, guard={"de-fr": guard}), ModelFolder.load(tiny_folder)
    with pytest.raises(ConfigError, match=r"fine_tune.guard names 'de-fr'; the directions of .* are en-de, de-en"):
        Guard(config, folder, folder.tokenizer, Validation())


def test_a_guard_for_a_language_that_the_data_cannot_ask_for_is_refused(
    tmp_path: Path, recipe: Callable[..., TrainingConfig]
) -> None:
    """Before the first update rather than at the first validation."""
    other = prepare_corpus(settings(tmp_path, target="fr", tokenizer={"vocabulary_size": 290}), tmp_path / "other")
    config = recipe(other_pieces=True).model_copy(update={"data": other.folder})

    with pytest.raises(
        ConfigError, match=r"guard names 'de-en', but the tokenizer of data has no tag for en; it has fr"
    ):
        run_training(config, "tuned", tmp_path / "run")
    assert not (tmp_path / "run/log.jsonl").exists()


def test_guard_sentences_that_are_trained_on_are_counted_aloud(
    recipe: Callable[..., TrainingConfig], corpus: PreparedCorpus, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """On either side of the corpus, whatever their case and signs; those of another language are not counted."""
    (english, german), *_ = corpus.training_sets[0].pairs()
    rows = f"«{german.upper()}!»\tx\nunheard of\tx\n{german}\tx\n{english}\tx\n"
    (tmp_path / "leaky.tsv").write_text(rows, encoding="utf-8")
    run_training(recipe(guard={"de-en": str(tmp_path / "leaky.tsv")}, largest_loss=200), "tuned", tmp_path / "run")

    said = (
        f"2 of 4 guard sentences of de-en stand in {corpus.folder}, to be trained on; prepare it with --keep-out de-en="
    )
    assert said in capfd.readouterr().err
    assert trained_guard(recipe(), corpus, None) == []


def test_the_model_in_the_box_has_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of that name goes before it."""
    assert load_model(BOX).path == default_model()

    monkeypatch.chdir(tmp_path)
    BOX.mkdir()
    with pytest.raises(ModelFolderError, match="box has no SHA256SUMS"):
        load_model(BOX)


def run_with_losses(folder: Path, lost: list[float], metric: list[float]) -> Trainer:
    """A run whose three validations find these losses of BLEU and these scores."""
    fine_tune = {"model": "unused", "guard": {"en-de": "unused"}, "largest_loss": 1.0}
    run = small_run(folder, fine_tune=fine_tune)
    results = iter(zip(lost, metric, strict=True))

    def validate(_: object) -> ValidationResult:
        loss, score = next(results)
        return ValidationResult(loss=-score, lost={"en-de": loss, "de-en": 0.0})

    run.validator.run = validate
    run.run()
    return run


def test_what_lost_too_much_is_not_the_best(tmp_path: Path) -> None:
    """However good its score: the best is that of the others, and the log says what was lost."""
    run = run_with_losses(tmp_path, [0.9, 1.1, -2.0], [1.0, 9.0, 2.0])
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]

    assert (run.progress.best_update, run.progress.best_score) == (12, 2.0)
    assert [line["lost"]["en-de"] for line in lines if line["kind"] == "validation"] == [0.9, 1.1, -2.0]


def test_patience_also_counts_what_lost_too_much(tmp_path: Path) -> None:
    """A run that only forgets ends early; its last checkpoints are kept."""
    run = run_with_losses(tmp_path, [5.0, 5.0, 5.0], [1.0, 2.0, 3.0])

    assert run.progress.best_score is None
    assert run.progress.validations_since_best == 3
    assert run.progress.kept == [8, 12]


def test_a_model_that_kept_what_it_could_do_is_written(
    recipe: Callable[..., TrainingConfig], tmp_path: Path, tiny_folder: Path
) -> None:
    """With updates too small to change anything, it is the original; the card names it. What was guarded is offered."""
    outcome = run_training(recipe(rate=1e-12, largest_loss=0.5), "tuned", tmp_path / "run")
    assert outcome.model
    tuned, original = ModelFolder.load(outcome.model), ModelFolder.load(tiny_folder)

    assert all(np.array_equal(weight, original.weights[name]) for name, weight in tuned.weights.items())
    assert tuned.description.directions == [("en", "de"), ("de", "en")]
    card = (outcome.model / "README.md").read_text()
    assert "fine-tuned from the model `tiny`" in card
    assert "Translates en to de, de to en." in card
    assert "sacreBLEU, all references, beam 1." in card


def test_the_card_says_of_the_data_what_that_of_the_original_says(
    recipe: Callable[..., TrainingConfig], corpus: PreparedCorpus, tiny_folder: Path, tmp_path: Path
) -> None:
    """Where the recipe says nothing: who trains in another one's pieces inherits also what they may do with them."""
    folder, base = (
        shutil.copytree(tiny_folder, tmp_path / "base"),
        initial_model(recipe(), Tokenizer.load(corpus.tokenizer_folder), load_model(recipe().fine_tune.model)),
    )
    (folder / "README.md").write_text("# Base\n\n## Data\n\nSome, of\nmany.\n\n## Licence\n\nCC0\n\n## Scores\n")
    write_sums(folder)
    silent, telling = (recipe().model_copy(update={"card": Card(licence=own)}) for own in ("not stated", "MIT"))
    directions = corpus.directions
    cards = [write_card("x", own, directions, base, {}, "1", ModelFolder.load(folder)) for own in (silent, telling)]

    assert "## Data\n\nnot stated; of the model `tiny`, which it began with: Some, of\nmany.\n\n## Lic" in cards[0]
    assert "## Licence\n\nnot stated; of the model `tiny`, which it began with: CC0\n\n## Sc" in cards[0]
    assert "## Licence\n\nMIT\n\n" in cards[1]
    assert "## Data\n\nnot stated\n\n" in write_card(
        "x", silent, directions, base, {}, "1", ModelFolder.load(tiny_folder)
    )


def test_a_name_that_no_model_can_have_is_refused_first(recipe: Callable[..., TrainingConfig], tmp_path: Path) -> None:
    """It is that of the recipe's file; after hours of training it would be late to say so."""
    for name in ("größe", "my model", "x" * 65):
        with pytest.raises(ConfigError, match=r"the model gets the name of its recipe, which is .*; rename the file"):
            run_training(recipe(), name, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_in_which_all_was_forgotten_says_so(recipe: Callable[..., TrainingConfig], tmp_path: Path) -> None:
    """With its own exit status; no model is written. With a larger limit, the same command writes it."""
    with pytest.raises(Forgotten, match=r"lost more than the 1 BLEU of .*; raise the limit and give the same command"):
        run_training(recipe(rate=0.5), "tuned", tmp_path / "run")
    assert Forgotten.exit_status == 6
    assert not (tmp_path / "run/model").exists()

    outcome = run_training(recipe(rate=0.5, largest_loss=200), "tuned", tmp_path / "run")
    assert outcome.was_finished
    assert outcome.model
    assert run_training(recipe(rate=0.5, largest_loss=200), "tuned", tmp_path / "run").model == outcome.model


def whole_guard_finds(monkeypatch: pytest.MonkeyPatch, *losses: float) -> list[float]:
    """A guard that in validations finds nothing lost, and on all of its sentences these losses, the last one again and
    again. Returns those that it will have found."""
    whole, seen = 1_000_000, list[float]()

    def lost(self: Guard, _: Seq2Seq) -> dict[str, float]:
        if self._validation.sentences != whole:
            return {"de-en": 0.0}
        seen.append(losses[min(len(seen), len(losses) - 1)])
        return {"de-en": seen[-1]}

    monkeypatch.setattr(Guard, "lost", lost)
    return seen


def test_the_whole_guard_has_the_last_word(
    recipe: Callable[..., TrainingConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What passed on the sentences of the validations may still fail on all of them."""
    whole_guard_finds(monkeypatch, 7.0)
    with pytest.raises(Forgotten, match=r"fine_tune.largest_loss, the least in update \d \(7.0 on de-en\)"):
        run_training(recipe(), "tuned", tmp_path / "run")


def test_another_checkpoint_takes_the_place_of_the_best_that_forgot(
    recipe: Callable[..., TrainingConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the best and the mean fail on the whole guard, and one that was kept passes."""
    seen = whole_guard_finds(monkeypatch, 7.0, 7.0, 0.5)
    outcome = run_training(recipe(), "tuned", tmp_path / "run")
    origins = list(json.loads((tmp_path / "run/scores.json").read_text()))

    assert len(seen) == len(origins) > 2
    card = (tmp_path / "run/model/README.md").read_text()
    assert any(f"the weights are those of {origin}." in card for origin in origins[2:])
    assert run_training(recipe(), "tuned", tmp_path / "run").model == outcome.model
    assert len(seen) == len(origins)


def test_a_mean_of_checkpoints_that_forgot_is_not_shipped(
    recipe: Callable[..., TrainingConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However good it is on the dev set: here it is the better, and fails on the whole guard."""
    seen = whole_guard_finds(monkeypatch, 0.0, 7.0)
    monkeypatch.setattr(ValidationResult, "metric", lambda self, _: self.lost["de-en"])
    run_training(recipe(), "tuned", tmp_path / "run")

    assert seen == [0.0, 7.0]
    assert "mean of updates" not in (tmp_path / "run/model/README.md").read_text()


def test_the_original_is_scored_in_its_own_pieces(tiny_folder: Path, guard: Path) -> None:
    """Which are not those of a run that begins with others."""
    lines = ["the dog sleeps in a house", "der Hund schläft im Haus nicht"] * 30
    other = train_tokenizer(lines, lines, ["en", "de"], TokenizerConfig(vocabulary_size=285))
    original = ModelFolder.load(tiny_folder)
    config = FineTune(model=tiny_folder, other_pieces=True, guard={"de-en": guard})
    judge = Guard(config, original, other, Validation(search=SEARCH, tokenize="char"))
    sizes = {"source_vocabulary": other.source_vocabulary, "target_vocabulary": other.target_vocabulary}
    judge.lost(Seq2Seq(original.description.model.model_copy(update=sizes)))

    assert judge._before == {"de-en": pytest.approx(100)}
