"""`nmt prepare` from files to a folder that loads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import training.prepare
from nmt.errors import ConfigError, DataError
from nmt.text.tokenizer import Tokenizer
from training.corpus.prepared import PreparedCorpus
from training.corpus.splitting import fold
from training.prepare import PrepareConfig, prepare, prepare_corpus

EN_DE, DE_EN = ("en", "de"), ("de", "en")
CHARACTERS = {"algorithm": "char", "vocabulary_size": 400}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """200 pairs, and some that are to be dropped."""
    rows = [f"This is sentence {i}.\tDas ist Satz {i}." for i in range(200)]
    path = tmp_path / "corpus.tsv"
    path.write_text("\n".join([*rows, rows[7], "Tom\tTom", "no tab", "\tleer"]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def config(corpus: Path, tmp_path: Path) -> Callable[..., PrepareConfig]:
    """Settings for `corpus`, with changes."""

    def make(**changes: Any) -> PrepareConfig:
        values = {"corpora": [str(corpus)], "source": "en", "target": "de", "output": tmp_path / "out"}
        sizes = {"dev_size": 10, "test_size": 20, "tokenizer": CHARACTERS}
        return PrepareConfig.read({**values, **sizes, **changes}, where="test")

    return make


def test_prepared_corpus(config: Callable[..., PrepareConfig]) -> None:
    """The folder that was written loads, with all pairs in their sets."""
    made = prepare_corpus(config())

    loaded = PreparedCorpus.load(made.folder)

    assert loaded == made
    assert loaded.directions == [EN_DE, DE_EN]
    assert loaded.languages == EN_DE
    assert len(list(loaded.train_pairs())) == 170 == loaded.manifest.counts.train
    assert len(loaded.dev(EN_DE)) == 10
    assert len(loaded.test(DE_EN)) == 20
    assert loaded.dev(DE_EN) == [(refs[0], [source]) for source, refs in loaded.dev(EN_DE)]
    assert Tokenizer.load(loaded.tokenizer_folder).languages == ("de", "en")


def test_reports(config: Callable[..., PrepareConfig]) -> None:
    """What was dropped is written down for people and for programs."""
    folder = prepare_corpus(config()).folder

    report = json.loads((folder / "report.json").read_text())["corpus"]

    counts = {reason: dropped["count"] for reason, dropped in report["dropped"].items()}
    assert counts == {"duplicate": 1, "same on both sides": 1, "malformed line": 1, "empty": 1}
    assert "corpus.tsv:202  Tom → Tom" in (folder / "report.txt").read_text()


def test_same_seed_same_files(config: Callable[..., PrepareConfig], tmp_path: Path) -> None:
    """Preparing is deterministic."""
    one, other = (prepare_corpus(config(output=tmp_path / name)).folder for name in ("one", "other"))

    for path in one.glob("*.*"):
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_own_dev_and_test(config: Callable[..., PrepareConfig], tmp_path: Path) -> None:
    """The user's files are taken whole, and no training pair shares a sentence with them."""
    (tmp_path / "dev.tsv").write_text("THIS is sentence 3\tAnders.\nThis is sentence 4.\tDas ist Satz 4.\n")
    (tmp_path / "test.jsonl").write_text('{"en": "Other.", "de": "Das ist Satz 9"}\n')

    made = prepare_corpus(config(dev=[f"{tmp_path}/dev.tsv"], test=[f"{tmp_path}/test.jsonl"]))

    sides = [{fold(text) for text in side} for side in zip(*made.train_pairs(), strict=True)]
    assert made.dev(EN_DE) == [("THIS is sentence 3", ["Anders."]), ("This is sentence 4.", ["Das ist Satz 4."])]
    assert made.test(DE_EN) == [("Das ist Satz 9", ["Other."])]
    assert made.manifest.counts.train == 197
    assert not sides[0] & {"this is sentence 3", "this is sentence 4"}
    assert "das ist satz 9" not in sides[1]


def test_own_dev_and_split_test(config: Callable[..., PrepareConfig], tmp_path: Path) -> None:
    """What the user does not bring is split off, apart from what was brought."""
    (tmp_path / "dev.tsv").write_text("This is sentence 3.\tDas ist Satz 3.\n")

    made = prepare_corpus(config(dev=[f"{tmp_path}/dev.tsv"]))

    assert len(made.dev(EN_DE)) == 1
    assert len(made.test(EN_DE)) == 20
    assert made.manifest.counts.train == 179


def test_no_test_set(config: Callable[..., PrepareConfig]) -> None:
    """With test_size 0 there is no test set, and asking for it gives nothing."""
    assert prepare_corpus(config(test_size=0)).test(EN_DE) == []


def test_backward_with_two_tokenizers(config: Callable[..., PrepareConfig]) -> None:
    """The source tokenizer learns from the side that the model reads: here the second column."""
    made = prepare_corpus(config(directions="backward", tokenizer={**CHARACTERS, "joint": False}))

    tokenizer = Tokenizer.load(made.tokenizer_folder)

    assert made.directions == [DE_EN]
    assert next(made.train_pairs())[0].startswith("This")
    # `D` occurs in German alone, so the English side has to spell it in bytes.
    assert "D" in "".join(tokenizer.encode_source("D", "en").pieces)
    assert "<0x44>" in tokenizer.encode_target("D").pieces


def test_interrupted_run_is_not_finished(config: Callable[..., PrepareConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens before the end, the folder does not load; the same command then succeeds."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.prepare, "train_tokenizer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare_corpus(config())

    with pytest.raises(DataError, match=r"holds no finished corpus \(corpus\.json is missing\); run nmt prepare"):
        PreparedCorpus.load(config().output)
    assert prepare_corpus(config()).manifest.counts.train == 170


def test_finished_corpus_is_not_overwritten(config: Callable[..., PrepareConfig]) -> None:
    """A run may be training on it."""
    prepare_corpus(config())

    with pytest.raises(DataError, match="holds a finished corpus; remove it or choose another output folder"):
        prepare_corpus(config())


def test_output_is_a_file(config: Callable[..., PrepareConfig], corpus: Path) -> None:
    """A folder that cannot be made is an error before any work."""
    with pytest.raises(DataError, match=r"the folder .*corpus\.tsv cannot be made: File exists"):
        prepare_corpus(config(output=corpus))


def test_nothing_left(config: Callable[..., PrepareConfig], tmp_path: Path) -> None:
    """If cleaning leaves nothing, the error shows why."""
    (tmp_path / "bad.tsv").write_bytes("Grüße\tgreetings\n".encode("utf-16"))

    with pytest.raises(DataError, match=r"no pair of .*bad\.tsv is left to train on\n(.*\n)*broken encoding"):
        prepare_corpus(config(corpora=[f"{tmp_path}/bad.tsv"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "en"}, "source and target are both en; they must be two languages"),
        ({"target": "../de"}, "target is '../de'"),
        ({"tokenizer": {"joint": False}}, "directions is both, .* make the tokenizer joint, or choose the direction"),
        ({"corpora": []}, "corpora is "),
        ({"dev_size": 0}, "dev_size is 0"),
    ],
)
def test_settings_that_do_not_fit(config: Callable[..., PrepareConfig], changes: dict[str, Any], message: str) -> None:
    """Settings check themselves."""
    with pytest.raises(ConfigError, match=message):
        config(**changes)


def spoil(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "corpus.json").read_text())
    (folder / "corpus.json").write_text(json.dumps({**manifest, **changes}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: spoil(folder, format=2), r"is of format 2; this version reads format 1; run nmt prepare again"),
        (lambda folder: spoil(folder, colour=2), r"corpus\.json: unknown key 'colour'; known here: counts"),
        (lambda folder: (folder / "corpus.json").write_text("[]"), r"corpus\.json is of format \[\]"),
        (lambda folder: (folder / "corpus.json").write_text("{"), r"corpus\.json cannot be read: Expecting"),
        (lambda folder: (folder / "dev.de-en.tsv").unlink(), r"dev\.de-en\.tsv is missing; run nmt prepare again"),
    ],
)
def test_altered_folder(config: Callable[..., PrepareConfig], change: Callable[[Path], None], message: str) -> None:
    """A folder that is not what `prepare` wrote says so when it is loaded."""
    folder = prepare_corpus(config()).folder
    change(folder)

    with pytest.raises(DataError, match=message):
        PreparedCorpus.load(folder)


def test_altered_files(config: Callable[..., PrepareConfig]) -> None:
    """A broken line in a set, or a set that is gone, is named when it is read."""
    made = prepare_corpus(config())
    (made.folder / "train.tsv").write_text("A.\tB.\nno tab\n")
    (made.folder / "dev.en-de.tsv").unlink()

    with pytest.raises(DataError, match=r"train\.tsv, line 2 has no tab; the file was altered"):
        list(made.train_pairs())
    with pytest.raises(DataError, match=r"dev\.en-de\.tsv cannot be read"):
        made.dev(EN_DE)


def test_unknown_direction(config: Callable[..., PrepareConfig]) -> None:
    """Asking for a direction that was not prepared names those that were."""
    with pytest.raises(DataError, match="has no direction en-fr; it has en-de, de-en"):
        prepare_corpus(config()).dev(("en", "fr"))


def test_command(corpus: Path, tmp_path: Path) -> None:
    """The command passes every option on, and says on standard error what to do next."""
    app = typer.Typer()
    app.command()(prepare)
    output = tmp_path / "out"
    options = f"--source en --target de --output {output} --format tsv --directions forward --dev-size 5 --test-size 0"
    more = "--vocabulary-size 400 --algorithm char --separate-tokenizers --normalization nfkc --keep-identical"
    limits = "--max-characters 300 --max-ratio 4 --keep-duplicates --seed 3"

    result = CliRunner().invoke(app, [str(corpus), *options.split(), *more.split(), *limits.split()])

    assert result.exit_code == 0
    assert result.stdout == ""
    assert f'set data = "{output}" in a recipe, then nmt train RECIPE' in result.stderr
    assert "204 pairs read, 202 kept, 2 dropped" in result.stderr
    made = PreparedCorpus.load(output)
    assert (made.directions, made.manifest.seed, len(made.dev(EN_DE))) == ([EN_DE], 3, 5)
    assert ("Tom", "Tom") in made.train_pairs()
    assert Tokenizer.load(made.tokenizer_folder).config.model_dump() == {
        "algorithm": "char",
        "vocabulary_size": 400,
        "joint": False,
        "normalization": "nfkc",
    }


def test_command_with_an_impossible_option(corpus: Path) -> None:
    """A value out of range is our error, not a traceback of pydantic."""
    with pytest.raises(ConfigError, match=r"options: cleaning\.max_ratio is 0\.5"):
        prepare([str(corpus)], "en", "de", Path("unused"), max_ratio=0.5)
