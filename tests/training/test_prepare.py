"""`nmt prepare` from files to a folder that loads."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import training.corpus.cleaning
from nmt.errors import ConfigError, DataError, SaveError, TrainingError
from nmt.text.tokenizer import Tokenizer
from training.config import TrainingConfig
from training.corpus import vocabulary
from training.corpus.config import CorpusConfig, PrepareConfig, read_corpora
from training.corpus.prepared import PreparedCorpus, weighted, weighted_size
from training.corpus.records import TextPair
from training.corpus.sentences import Sentences, fold
from training.disk import locked
from training.prepare import prepare, prepare_corpus
from training.run_data import training_batches

EN_DE, DE_EN = ("en", "de"), ("de", "en")
CHARACTERS = {"algorithm": "char", "vocabulary_size": 400}
WHOLE = {"corpora", "cleaning", "tokenizer", "seed"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """200 pairs, and some that are to be dropped."""
    rows = [f"This is sentence {i}.\tDas ist Satz {i}." for i in range(200)]
    path = tmp_path / "corpus.tsv"
    path.write_text("\n".join([*rows, rows[7], "Tom\tTom", "no tab", "\tleer"]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def config(corpus: Path, tmp_path: Path) -> Callable[..., PrepareConfig]:
    """Settings for `corpus`, with changes of its own or of the whole."""

    def make(**changes: Any) -> PrepareConfig:
        whole = {"tokenizer": CHARACTERS, **{key: changes.pop(key) for key in WHOLE & changes.keys()}}
        own = {"files": [str(corpus)], "source": "en", "target": "de", "dev_size": 10, "test_size": 20, **changes}
        return PrepareConfig.read({"corpora": [own], **whole}, where="test")

    return make


@pytest.fixture
def prepared(config: Callable[..., PrepareConfig], tmp_path: Path) -> Callable[..., PreparedCorpus]:
    """`corpus` as a folder, with changed settings."""
    return lambda output="out", **changes: prepare_corpus(config(**changes), tmp_path / output)


def train_pairs(corpus: PreparedCorpus) -> list[TextPair]:
    return list(corpus.training_sets[0].pairs())


def test_prepared_corpus(prepared: Callable[..., PreparedCorpus]) -> None:
    """The folder that was written loads, with all pairs in their sets."""
    made = prepared()

    loaded = PreparedCorpus.load(made.folder)

    assert loaded == made
    assert loaded.directions == [EN_DE, DE_EN]
    assert [part.direction for part in loaded.training_sets] == [EN_DE, DE_EN]
    assert len(train_pairs(loaded)) == 170 == loaded.training_sets[0].size
    assert len(loaded.dev(EN_DE)) == 10
    assert len(loaded.test(DE_EN)) == 20
    assert loaded.dev(DE_EN) == [(refs[0], [source]) for source, refs in loaded.dev(EN_DE)]
    assert Tokenizer.load(loaded.tokenizer_folder).languages == ("de", "en")


def test_reports(prepared: Callable[..., PreparedCorpus]) -> None:
    """What was dropped is written down for people and for programs."""
    folder = prepared().folder

    report = json.loads((folder / "report.json").read_text())["corpora"]["en-de"]

    counts = {reason: dropped["count"] for reason, dropped in report["dropped"].items()}
    assert counts == {"duplicate": 1, "same on both sides": 1, "malformed": 1, "empty": 1}
    assert "corpus.tsv:202  Tom → Tom" in (folder / "report.txt").read_text()


def test_same_seed_same_files(prepared: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    """Preparing is deterministic."""
    one, other = (prepared(name).folder for name in ("one", "other"))

    for path in one.glob("*.*"):
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_own_dev_and_test(prepared: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    """The user's files are taken whole, and no training pair shares a sentence with them."""
    (tmp_path / "dev.tsv").write_text("THIS is sentence 3\tAnders.\nThis is sentence 4.\tDas ist Satz 4.\n")
    (tmp_path / "test.jsonl").write_text('{"en": "Other.", "de": "Das ist Satz 9"}\n')

    made = prepared(dev=[f"{tmp_path}/dev.tsv"], test=[f"{tmp_path}/test.jsonl"], dev_size=None, test_size=0)

    sides = [{fold(text) for text in side} for side in zip(*train_pairs(made), strict=True)]
    assert made.dev(EN_DE) == [("THIS is sentence 3", ["Anders."]), ("This is sentence 4.", ["Das ist Satz 4."])]
    assert made.test(DE_EN) == [("Das ist Satz 9", ["Other."])]
    assert made.training_sets[0].size == 197
    assert not sides[0] & {"this is sentence 3", "this is sentence 4"}
    assert "das ist satz 9" not in sides[1]


def test_own_dev_and_split_test(prepared: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    """What the user does not bring is split off, apart from what was brought."""
    (tmp_path / "dev.tsv").write_text("This is sentence 3.\tDas ist Satz 3.\n")

    made = prepared(dev=f"{tmp_path}/dev.tsv", dev_size=None)

    assert len(made.dev(EN_DE)) == 1
    assert len(made.test(EN_DE)) == 20
    assert made.training_sets[0].size == 179


def test_what_is_kept_out_is_neither_trained_on_nor_split_off(
    prepared: Callable[..., PreparedCorpus], tmp_path: Path
) -> None:
    """Sentences that an older model is judged by, on either side; the new one has dev and test sets of its own."""
    (tmp_path / "old.tsv").write_text("THIS is sentence 3\tAnders.\tOder so.\n")
    (tmp_path / "back.tsv").write_text("Das ist Satz 9\tOther.\n")
    (tmp_path / "other.tsv").write_text("Quatre\tThis is sentence 4\n")
    (tmp_path / "none.tsv").write_text("one column\n")

    made = prepared(keep_out=[f"{tmp_path}/old.tsv", f"de-en={tmp_path}/back.tsv", f"fr-en-GB={tmp_path}/other.tsv"])

    held_out = [*made.dev(EN_DE), *made.test(EN_DE)]
    pairs = [*train_pairs(made), *((source, references[0]) for source, references in held_out)]
    assert {f"This is sentence {i}." for i in range(200) if i not in (3, 4, 9)} == {source for source, _ in pairs}
    assert (len(made.dev(EN_DE)), len(made.test(EN_DE))) == (10, 20)
    with pytest.raises(DataError, match=r"none\.tsv has no pair en-de to keep out"):
        prepared("other", keep_out=[f"{tmp_path}/none.tsv"])


def test_no_test_set(prepared: Callable[..., PreparedCorpus]) -> None:
    """With test_size 0 there is no test set, and asking for it gives nothing."""
    assert prepared(test_size=0).test(EN_DE) == []


def test_backward_with_two_tokenizers(prepared: Callable[..., PreparedCorpus]) -> None:
    """The source tokenizer learns from the side that the model reads: here the second column."""
    made = prepared(directions="backward", tokenizer={**CHARACTERS, "joint": False})

    tokenizer = Tokenizer.load(made.tokenizer_folder)

    assert made.directions == [DE_EN]
    assert next(made.training_sets[0].pairs())[0].startswith("Das")
    # `D` occurs in German alone, so the English side has to spell it in bytes.
    assert "D" in "".join(tokenizer.encode_source("D", "en").pieces)
    assert "<0x44>" in tokenizer.encode_target("D").pieces


def test_interrupted_run_is_not_finished(
    prepared: Callable[..., PreparedCorpus], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever happens before the end, the folder does not load; the same command then succeeds."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vocabulary, "train_tokenizer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepared()

    with pytest.raises(DataError, match=r"holds no finished corpus \(corpus\.json is missing\); run nmt prepare"):
        PreparedCorpus.load(tmp_path / "out")
    assert prepared().training_sets[0].size == 170


@pytest.mark.parametrize(
    "name",
    [
        "..cleaned.tsv.partial",
        ".train.en-de.tsv.partial",
        "report.json",
        "tokenizer/tokenizer.json",
        "corpus.json.partial",
    ],
)
def test_a_full_disk(prepared: Callable[..., PreparedCorpus], tmp_path: Path, name: str) -> None:
    """Whatever is written when it happens, the error says what to do, and the same command then succeeds."""
    (tmp_path / "out" / "tokenizer").mkdir(parents=True)
    (tmp_path / "out" / name).symlink_to("/dev/full")

    with pytest.raises(SaveError, match=r"No space left on device; free some space, then give the same command again$"):
        prepared()
    (tmp_path / "out" / name).unlink(missing_ok=True)
    assert prepared().training_sets[0].size == 170


def test_finished_corpus_is_not_overwritten(prepared: Callable[..., PreparedCorpus]) -> None:
    """A run may be training on it."""
    prepared()

    with pytest.raises(DataError, match="holds a finished corpus; remove it or choose another output folder"):
        prepared()


@pytest.mark.parametrize(
    ("key", "given", "name"),
    [
        ("files", "{}/train.en-de.tsv", "train.en-de.tsv"),
        ("files", "{}/train.en-de.tsv,{}/other.de", "train.en-de.tsv"),
        ("files", "{}/link.tsv", "train.en-de.tsv"),
        ("test", "en-de={}/test.en-de.tsv", "test.en-de.tsv"),
        ("keep_out", "en-de={}/train.en-de.tsv", "train.en-de.tsv"),
        ("dev", "{}/report.txt", "report.txt"),
    ],
)
def test_what_is_read_is_not_written_over(corpus: Path, tmp_path: Path, key: str, given: str, name: str) -> None:
    """Whose corpus lies under the name of a result keeps it."""
    own = tmp_path / name
    shutil.copy(corpus, own)
    (tmp_path / "link.tsv").symlink_to(own)
    values = {"files": [str(corpus)], "source": "en", "target": "de", key: [given.replace("{}", str(tmp_path))]}

    with pytest.raises(DataError, match=rf"would be written over; choose another output folder than {tmp_path}"):
        prepare_corpus(PrepareConfig.read({"corpora": [values]}, where="x"), tmp_path)
    assert own.read_bytes() == corpus.read_bytes()


@pytest.mark.parametrize("fault", ["too many to hold out", "broken", "stopped"])
def test_a_corpus_that_is_refused_leaves_nothing(
    prepared: Callable[..., PreparedCorpus], corpus: Path, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No half of a corpus lies about, and what stood in the folder still does."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.en-de.tsv").write_text("mine")
    changes: dict[str, Any] = {"dev_size": 90} if fault == "too many to hold out" else {}
    if fault == "broken":
        corpus.write_bytes(corpus.read_text().encode() + "Grüße\tgreetings\n".encode("latin-1") * 300)
    if fault == "stopped":
        monkeypatch.setattr(training.corpus.cleaning.Cleaner, "_fault", Mock(side_effect=[None, KeyboardInterrupt]))

    with pytest.raises(KeyboardInterrupt if fault == "stopped" else DataError):
        prepared(**changes)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".lock", "train.en-de.tsv"]
    assert (tmp_path / "out" / "train.en-de.tsv").read_text() == "mine"


def test_two_at_a_time(prepared: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    """Two that prepare in one folder would mix their corpora."""
    with (
        locked(tmp_path / "out"),
        pytest.raises(TrainingError, match=r"another process works in .*out; wait for it, or choose another --output"),
    ):
        prepared()


def test_output_is_a_file(prepared: Callable[..., PreparedCorpus], corpus: Path) -> None:
    """A folder that cannot be made is an error before any work."""
    with pytest.raises(DataError, match=r"the folder .*corpus\.tsv cannot be made: File exists"):
        prepared(corpus)


def test_nothing_left(prepared: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    """If cleaning leaves nothing, the error shows why."""
    (tmp_path / "bad.tsv").write_text("SchÃ¶n\tlovely\n")

    with pytest.raises(DataError, match=r"no pair of .*bad\.tsv is left to train on\n(.*\n)*broken encoding"):
        prepared(files=[f"{tmp_path}/bad.tsv"])


def test_another_encoding(prepared: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    """A corpus, a dev or a test file of which too many lines are not UTF-8 is refused."""
    (tmp_path / "bad.tsv").write_bytes(("Grüße\tgreetings\n" * 21 + "Ja.\tYes.\n").encode("latin-1"))

    for part in ("files", "dev", "test"):
        with pytest.raises(DataError, match=r"21 of 22 lines of .*bad\.tsv are not in UTF-8; .* iconv -f WINDOWS-1252"):
            prepared(**{f"{part}": [f"{tmp_path}/bad.tsv"], "dev_size": None, "test_size": None})


@pytest.mark.parametrize("part", ["files", "dev", "test"])
def test_a_line_in_another_encoding(prepared: Callable[..., PreparedCorpus], tmp_path: Path, part: str) -> None:
    """It costs itself alone, however small the corpus, the dev or the test file."""
    rows = [f"Row {i}.\tZeile {i}.\n" for i in range(12)]
    (tmp_path / "x.tsv").write_bytes("".join([*rows, "Green.\tGrün.\n"]).encode("latin-1"))
    sizes = {"dev_size": 1 if part == "files" else None, "test_size": 1 if part == "files" else None}

    made = prepared(**{part: [f"{tmp_path}/x.tsv"], **sizes})

    sets = {"files": train_pairs(made), "dev": made.dev(EN_DE), "test": made.test(EN_DE)}
    assert len(sets[part]) == (10 if part == "files" else 12)


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ("{0}\tThis is sentence {0}.\t{0}\tDas ist Satz {0}.", ""),
        ("This is sentence {0}.", r"  \[no tab between source and target\]"),
    ],
)
def test_other_columns(prepared: Callable[..., PreparedCorpus], tmp_path: Path, row: str, detail: str) -> None:
    """Where most lines hold no two sentences, columns are in another place: the error says where they have to be."""
    good = [f"Here is number {i}.\tHier ist Nummer {i}." for i in range(90)]
    (tmp_path / "x.tsv").write_text("\n".join([*good, *(row.format(i) for i in range(100))]))

    with pytest.raises(
        DataError,
        match=rf"100 of 190 records of .*x\.tsv hold no two .*x\.tsv:91{detail}  .* first column is read as en",
    ):
        prepared(files=[f"{tmp_path}/x.tsv"])


def test_languages_the_wrong_way_round(prepared: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    """What little would be left is not what anybody wants to train on."""
    rows = [
        f"Das ist Satz Nummer {i} über ein altes Haus im Dorf.\tThis is sentence {i} about a house." for i in range(99)
    ]
    (tmp_path / "x.tsv").write_text("\n".join(rows), encoding="utf-8")

    with pytest.raises(
        DataError,
        match=r"99 of 99 pairs of .*x\.tsv have their sides swapped, such as .*x\.tsv:1 .*; exchange source, wh",
    ):
        prepared(files=[f"{tmp_path}/x.tsv"])


def test_codes_of_languages_are_written_alike() -> None:
    """Whatever their case, so that a model can be asked for what others call it."""
    values = {"files": ["x.tsv"], "source": "EN", "target": "PT-br"}

    assert CorpusConfig.model_validate(values).forward == ("en", "pt-BR")


def test_units_that_cannot_be_read(prepared: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    """Where most are lost, the error says what is wrong with the first, and nothing of columns."""
    unit = '<tu><tuv xml:lang="en"><seg>No &amp; {0}</seg></tuv><tuv xml:lang="de"><seg>&mine; {0}</seg></tuv></tu>'
    bad = "\n".join(unit.format(i) for i in range(100))
    good = "\n".join(unit.replace("&mine;", "Nein").format(i) for i in range(99))
    (tmp_path / "x.tmx").write_text(f"<tmx>{bad}\n{good}</tmx>")

    with pytest.raises(DataError) as caught:
        prepared(files=[f"{tmp_path}/x.tmx"])

    assert str(caught.value).startswith(
        f"100 of 199 records of {tmp_path}/x.tmx hold no two sentences, such as {tmp_path}/x.tmx:1  [no XML: Entity "
        "'mine' not defined]  <tu>"
    )
    assert "column" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "en"}, "source and target are both en; they must be two languages"),
        ({"target": "../de"}, r"corpora\.0\.target: '\.\./de' is no language code; write en, de, pt-BR$"),
        ({"tokenizer": {"joint": False}}, "directions are en-de, de-en, .* make the tokenizer joint, or train one"),
        ({"files": []}, "corpora.0.files is "),
        (
            {"dev": "x.tsv"},
            r"the dev sentences are those of x\.tsv, so dev_size, which is 10, has no place beside them",
        ),
        ({"test": ["x", "y"]}, r"the test sentences are those of x, y, so test_size, which is 20, has no place"),
        ({"dev_size": 0}, "no dev sentences for en-de: dev_size is 0; raise it, or name a file in dev"),
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
        (lambda folder: spoil(folder, format=3), r"is of format 3; this version reads format 2; run nmt prepare again"),
        (lambda folder: spoil(folder, colour=2), r"corpus\.json: unknown key 'colour'; known here: corpora"),
        (lambda folder: (folder / "corpus.json").write_text("[]"), r"corpus\.json is of format \[\]"),
        (lambda folder: (folder / "corpus.json").write_text("{"), r"corpus\.json cannot be read: Expecting"),
        (lambda folder: (folder / "dev.de-en.tsv").unlink(), r"dev\.de-en\.tsv is missing; run nmt prepare again"),
    ],
)
def test_altered_folder(prepared: Callable[..., PreparedCorpus], change: Callable[[Path], None], message: str) -> None:
    """A folder that is not what `prepare` wrote says so when it is loaded."""
    folder = prepared().folder
    change(folder)

    with pytest.raises(DataError, match=message):
        PreparedCorpus.load(folder)


def test_altered_files(prepared: Callable[..., PreparedCorpus]) -> None:
    """A broken line in a set, or a set that is gone, is named when it is read."""
    made = prepared()
    (made.folder / "train.en-de.tsv").write_text("A.\tB.\nno tab\n")
    (made.folder / "dev.en-de.tsv").unlink()

    with pytest.raises(DataError, match=r"train\.en-de\.tsv, line 2 has no tab; the file was altered"):
        train_pairs(made)
    with pytest.raises(DataError, match=r"dev\.en-de\.tsv cannot be read"):
        made.dev(EN_DE)


def test_unknown_direction(prepared: Callable[..., PreparedCorpus]) -> None:
    """Asking for a direction that was not prepared names those that were."""
    with pytest.raises(DataError, match="has no direction en-fr; it has en-de, de-en"):
        prepared().dev(("en", "fr"))


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(prepare)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command(corpus: Path, tmp_path: Path) -> None:
    """The command passes every option on, and says on standard error what to do next."""
    output = tmp_path / "out"
    options = f"--source en --target de --output {output} --format tsv --directions forward --dev-size 5 --test-size 0"
    more = "--vocabulary-size 400 --algorithm char --separate-tokenizers --normalization nfkc --keep-identical"
    limits = "--max-characters 300 --max-ratio 4 --keep-duplicates --any-language --seed 3"

    result = run(corpus, *options.split(), *more.split(), *limits.split())

    assert result.exit_code == 0
    assert result.stdout == ""
    assert f'set data = "{output}" in a recipe, then nmt train RECIPE' in result.stderr
    assert "204 pairs read, 202 kept, 2 dropped" in result.stderr
    made = PreparedCorpus.load(output)
    assert (made.directions, made.manifest.seed, len(made.dev(EN_DE))) == ([EN_DE], 3, 5)
    assert ("Tom", "Tom") in train_pairs(made)
    assert Tokenizer.load(made.tokenizer_folder).config.model_dump() == {
        "algorithm": "char",
        "vocabulary_size": 400,
        "joint": False,
        "normalization": "nfkc",
    }


def test_command_with_little_text(corpus: Path, tmp_path: Path) -> None:
    """Without sizes, 1 of 20 pairs is for dev and for test each, and the vocabulary fits the text; both are said."""
    result = run(corpus, "--source", "en", "--target", "de", "--output", tmp_path / "out")

    assert result.exit_code == 0
    assert "splitting off 10 dev and 10 test sentences" in result.stderr
    (largest,) = map(int, re.findall(r"the text gives at most (\d+) pieces", result.stderr))
    tried = re.findall(r"learning the tokenizer \(unigram, ([\d,]+) pieces\)", result.stderr)
    made = PreparedCorpus.load(tmp_path / "out")
    assert len(made.test(DE_EN)) == 10
    assert Tokenizer.load(made.tokenizer_folder).target_vocabulary == int(tried[1]) < largest
    assert tried[0] == "8,000"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--dev-size 90 --test-size 90",
            "--dev-size + --test-size is 180, more than half of the 200 pairs; lower them",
        ),
        ("--vocabulary-size 5000", "--vocabulary-size is 5,000, but the text of 360 lines gives at most "),
        ("--vocabulary-size 5", "options: --vocabulary-size is 5: "),
        (
            "--dev dev.tsv --dev-size 5",
            "options: the dev sentences are those of dev.tsv, so --dev-size, which is 5, has no place",
        ),
        ("--dev-size 0", "no dev sentences for en-de: --dev-size is 0; raise it"),
        ("--source english", "options: --source: 'english' is no language code; write en, de, pt-BR"),
    ],
)
def test_options_that_do_not_fit(corpus: Path, tmp_path: Path, options: str, message: str) -> None:
    """The message calls them as the user does."""
    result = run(corpus, "--source", "en", "--target", "de", "--output", tmp_path / "out", *options.split())

    assert isinstance(result.exception, ConfigError | DataError)
    assert message in str(result.exception)


@pytest.mark.parametrize(("pairs", "size"), [(1, 1), (100, 5), (15_000, 750), (1_000_000, 1000)])
def test_how_many_are_split_off(config: Callable[..., PrepareConfig], pairs: int, size: int) -> None:
    """One of twenty, but at least one and at most a thousand; none where files are given."""
    (corpus,) = config(dev_size=None, test_size=None).corpora
    (given,) = config(dev="x", test="y", dev_size=None, test_size=None).corpora

    assert corpus.cut_sizes(pairs) == (size, size)
    assert corpus.is_split
    assert given.cut_sizes(pairs) == (0, 0)
    assert not given.is_split


def test_a_file_instead_of_the_folder(corpus: Path) -> None:
    """Training and all else that takes a prepared folder says how to make one."""
    with pytest.raises(DataError, match=r"corpus\.tsv is a file; run nmt prepare on it and give the folder that it"):
        PreparedCorpus.load(corpus)


def test_command_with_an_impossible_option(corpus: Path, tmp_path: Path) -> None:
    """A value out of range is our error, not a traceback of pydantic."""
    result = run(corpus, "--source", "en", "--target", "de", "--output", tmp_path, "--max-ratio", 0.5)

    assert isinstance(result.exception, ConfigError)
    assert "options: --max-ratio is 0.5" in str(result.exception)


SEVERAL = """
seed = 3

[tokenizer]
algorithm = "char"
vocabulary_size = 400

[[corpora]]
files = ["{0}/web.tsv"]
source = "en"
target = "de"
dev = ["{0}/dev.en-de.tsv"]
test = ["en-de={0}/dev.en-de.tsv", "de-en={0}/test.de-en.tsv"]

[[corpora]]
name = "house"
files = ["{0}/house.de,{0}/house.en"]
source = "de"
target = "en"
weight = 2.5
directions = "forward"
dev_size = 10
test_size = 0

[[corpora]]
files = ["{0}/fr.jsonl"]
source = "en"
target = "fr"
dev_size = 20
test_size = 5
"""


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Three corpora that share English sentences, and a list of them."""
    (tmp_path / "web.tsv").write_text("".join(f"Sentence {i}.\tSatz {i}.\n" for i in range(100)))
    (tmp_path / "dev.en-de.tsv").write_text("Sentence 1!\tSatz 1!\n")
    (tmp_path / "test.de-en.tsv").write_text("Satz 2!\tSentence 2!\tThe second.\n")
    (tmp_path / "house.de").write_text("".join(f"Hausregel {i}.\n" for i in range(80)))
    (tmp_path / "house.en").write_text("".join(f"House rule {i}.\n" for i in range(80)))
    french = [
        (f"{word} {i}.", f"{mot} {i}.") for word, mot in (("Sentence", "Phrase"), ("More", "Plus")) for i in range(60)
    ]
    (tmp_path / "fr.jsonl").write_text("".join(json.dumps({"en": e, "fr": f}) + "\n" for e, f in french))
    (tmp_path / "corpora.toml").write_text(SEVERAL.format(tmp_path))
    return tmp_path


def test_several_corpora(several: Path) -> None:
    """One folder with one tokenizer: a set a corpus and direction, each with its weight; dev and test by direction."""
    result = run(several / "corpora.toml", "--output", several / "out")
    made = PreparedCorpus.load(several / "out")

    assert result.exit_code == 0
    assert re.search(r"train house +70 pairs, 2.5 times an epoch", result.stderr)
    assert made.directions == [EN_DE, DE_EN, ("en", "fr"), ("fr", "en")]
    assert [(part.direction, part.weight) for part in made.training_sets] == [
        (EN_DE, 1),
        (DE_EN, 1),
        (DE_EN, 2.5),
        (("en", "fr"), 1),
        (("fr", "en"), 1),
    ]
    assert all(
        german.replace("Hausregel", "House rule") == english for german, english in made.training_sets[2].pairs()
    )
    assert [part.size for part in made.training_sets] == [len(list(part.pairs())) for part in made.training_sets]
    assert {d: len(made.dev(d)) for d in made.directions} == {
        EN_DE: 1,
        DE_EN: 11,
        ("en", "fr"): 20,
        ("fr", "en"): 20,
    }
    assert {d: len(made.test(d)) for d in made.directions} == {EN_DE: 1, DE_EN: 1, ("en", "fr"): 5, ("fr", "en"): 5}
    assert Tokenizer.load(made.tokenizer_folder).languages == ("de", "en", "fr")


def test_no_held_out_sentence_is_in_any_corpus(several: Path) -> None:
    """A dev or test sentence of one language pair is in no training set that has its language."""
    made = prepare_corpus(read_corpora(several / "corpora.toml"), several / "out")
    trained = Sentences()
    for part in made.training_sets:
        trained.add(part.direction, part.pairs())

    for direction in made.directions:
        for source, references in [*made.dev(direction), *made.test(direction)]:
            assert not any((source, reference) in trained.of(direction) for reference in references)


def test_weighted() -> None:
    """All of the whole part, and a sample, without repetition, of the rest."""
    assert list(weighted(["a", "b", "c", "d"], 2.5, seed=1)).count("a") in (2, 3)
    assert len(list(weighted(["a", "b", "c", "d"], 2.5, seed=1))) == 10
    assert len(set(weighted(range(100), 0.3, seed=1))) == 30


@given(count=st.integers(0, 200), weight=st.floats(0.01, 9), seed=st.integers(0, 99))
def test_weighted_size(count: int, weight: float, seed: int) -> None:
    """As many as there are."""
    assert weighted_size(count, weight, seed) == len(list(weighted(range(count), weight, seed)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[corpora]", r"the list of corpora .* is not valid TOML"),
        ("", r"c\.toml: corpora is missing"),
        ('[[corpora]]\ncolour = 1\nfiles = ["x"]\nsource = "en"\ntarget = "de"', r"unknown key 'corpora.0.colour'"),
        (
            '[[corpora]]\nwieght = 1\nfiles = "x"\nsource = "english"\ntarget = "de"',
            r"c\.toml: corpora\.0\.source: 'english' is no language code; write en, de, pt-BR; "
            r"unknown key 'corpora\.0\.wieght'; known here: dev, dev_size, [a-z_, ]*weight$",
        ),
        ('[[corpora]]\nfiles = ["x"]\nsource = "en"\ntarget = "de"\n' * 2, "two corpora are called en-de; give each"),
        ('[[corpora]]\nfiles = ["x"]\nsource = "en"\ntarget = "de"\nname = "../x"', r"corpora\.0\.name is '\.\./x'"),
    ],
)
def test_a_list_that_does_not_fit(tmp_path: Path, text: str, message: str) -> None:
    """What is wrong with the file is said."""
    (tmp_path / "c.toml").write_text(text)

    with pytest.raises(ConfigError, match=message):
        read_corpora(tmp_path / "c.toml")


def test_a_list_that_is_not_there() -> None:
    """In the words of the system."""
    with pytest.raises(ConfigError, match=r"the list of corpora no\.toml cannot be read: No such file"):
        read_corpora(Path("no.toml"))


def test_options_beside_a_list(several: Path) -> None:
    """They would contradict it, so they are refused."""
    result = run(several / "corpora.toml", "more.tsv", "--output", several / "out", "--dev-size", 5)

    assert isinstance(result.exception, ConfigError)
    assert "says what to prepare, so more.tsv, --dev-size has no place beside it" in str(result.exception)


def test_no_languages(corpus: Path, tmp_path: Path) -> None:
    """Without a list, the languages have to be named."""
    result = run(corpus, "--output", tmp_path / "out")

    assert isinstance(result.exception, ConfigError)
    assert "name the languages with --source and --target, such as --source en --target de" in str(result.exception)


def test_a_folder_of_the_first_format(prepared: Callable[..., PreparedCorpus]) -> None:
    """What version 0.1.0 prepared can still be trained on."""
    made = prepared()
    old = {
        "format": 1,
        "source": "en",
        "target": "de",
        "directions": [["en", "de"], ["de", "en"]],
        "files": {"train": "train.en-de.tsv", "dev": {}, "test": {"en-de": "test.en-de.tsv"}},
        "counts": {"total": 204, "dropped": 4, "train": 170, "dev": {}, "test": {"en-de": 20}},
        "tokenizer": "tokenizer",
        "sources": ["corpus.tsv"],
        "seed": 1,
    }
    (made.folder / "corpus.json").write_text(json.dumps(old))

    loaded = PreparedCorpus.load(made.folder)

    assert loaded.training_sets == made.training_sets
    assert loaded.test(EN_DE) == made.test(EN_DE)
    assert loaded.test(DE_EN) == []


def test_an_epoch_has_the_weights(several: Path) -> None:
    """Training takes every set of every direction, as often as its weight says."""
    made = prepare_corpus(read_corpora(several / "corpora.toml"), several / "out")
    tokenizer = Tokenizer.load(made.tokenizer_folder)

    batches = training_batches(made, tokenizer, TrainingConfig.read({"data": str(made.folder)}, where="test"), several)

    assert len(batches) == sum(round(part.weight * part.size) for part in made.training_sets)


def test_what_one_corpus_trains_on_another_does_not_hold_out(tmp_path: Path) -> None:
    """Two corpora that both split off sets of their own, with half of their English sentences in common."""
    own = []
    for name, target, numbers in (("a", "de", range(60)), ("b", "fr", range(30, 90))):
        (tmp_path / f"{name}.tsv").write_text("".join(f"Sentence {i}.\t{name} {i}.\n" for i in numbers))
        files = {"name": name, "files": [f"{tmp_path}/{name}.tsv"], "source": "en", "target": target}
        own.append({**files, "dev_size": 5, "test_size": 5})
    values = {"corpora": own, "tokenizer": CHARACTERS, "cleaning": {"check_languages": False}}
    made = prepare_corpus(PrepareConfig.read(values, where="test"), tmp_path / "out")
    trained = {fold(pair[0]) for part in made.training_sets if part.direction[0] == "en" for pair in part.pairs()}
    held = {fold(row[0]) for way in (EN_DE, ("en", "fr")) for row in [*made.dev(way), *made.test(way)]}

    assert len(held) == 20
    assert not held & trained


def test_a_tokenizer_learns_from_no_more_than_some_pairs_of_all_of_the_corpus(
    prepared: Callable[..., PreparedCorpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evenly spaced, and those of both sides belong together: more would take memory in proportion."""
    read = list[list[str]]()
    learn = vocabulary.train_tokenizer
    monkeypatch.setattr(vocabulary, "_MOST_PAIRS", 50)
    monkeypatch.setattr(vocabulary, "train_tokenizer", lambda *own: (read.extend(own[:2]), learn(*own))[1])
    pairs = train_pairs(prepared())

    assert 25 < len(read[0]) <= 50
    assert list(zip(*read, strict=True)) == pairs[:: -(-len(pairs) // 50)]
