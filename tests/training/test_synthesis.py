"""Corpora of which a model has written one side: what is in them, and that no translation is made twice."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import training.synthesis
from nmt.cli import build
from nmt.config import SearchConfig
from nmt.errors import DataError, NmtError, SaveError, TrainingError
from nmt.translation import Translation
from nmt.translator import Translator
from training.corpus.config import PrepareConfig, read_corpora
from training.corpus.prepared import PreparedCorpus
from training.prepare import prepare_corpus

TEXTS = ["Der Hund schläft.", "Tom  weiß\tnicht warum.", "das Haus", "Warum?", "und der Hund"]
SEARCH = SearchConfig(beam_size=2, max_length=8)
OPTIONS = ["--beam-size", "2", "--set", "max_length=8"]


@pytest.fixture(autouse=True)
def whole_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with random weights writes half a character in nearly every line; here it writes question marks."""
    text = property(lambda translation: translation.hypotheses[0].text.replace("\ufffd", "?"))
    monkeypatch.setattr(Translation, "text", text)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """German sentences, with lines that are none."""
    (tmp_path / "mono.de").write_bytes("\n\u200b\n".join(TEXTS).encode() + b"\nbroken \xff\n")
    return tmp_path / "mono.de"


@pytest.fixture
def backtranslate(text: Path, tiny_folder: Path, tmp_path: Path) -> Callable[..., str]:
    """The command; returns what it printed."""

    def run(*options: str, text: Path = text, output: str = "back.tsv") -> str:
        arguments = ["backtranslate", str(text), "--source", "de", "--target", "en", "--model", str(tiny_folder)]
        arguments += ["--output", str(tmp_path / output), *OPTIONS, *options]
        return CliRunner().invoke(build([]), arguments, catch_exceptions=False).stderr

    return run


def rows(path: Path) -> list[list[str]]:
    """The columns of a TSV file."""
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def test_text_is_translated_back(backtranslate: Callable[..., str], tiny_folder: Path, tmp_path: Path) -> None:
    """Each sentence with the tag and the library's translation before it; empty and broken lines are passed over."""
    told = backtranslate("--tag", "<bt>")
    texts = [" ".join(text.split()) for text in TEXTS]
    expected = Translator.load(tiny_folder).translate(texts, "en", "de", SEARCH)

    assert rows(tmp_path / "back.tsv") == [[f"<bt> {t.text}", own] for t, own in zip(expected, texts, strict=True)]
    assert "5 pairs are in" in told
    assert f"lines of {tmp_path / 'mono.de'} that were left out: 1 broken encoding; if it is from Windows" in told
    assert list(tmp_path.glob(".*partial")) == []


def test_the_table_that_is_printed_names_the_corpus(
    backtranslate: Callable[..., str], text: Path, tmp_path: Path
) -> None:
    """In a list beside a real corpus, it is read, whatever the name: English to German alone, nothing split off."""
    real = f'[[corpora]]\nfiles = ["{text}"]\nsource = "en"\ntarget = "de"\n\n'
    table = backtranslate(output="back.txt")
    (tmp_path / "c.toml").write_text(real + table[table.index("[[") :])
    _, corpus = read_corpora(tmp_path / "c.toml").corpora

    assert (corpus.title, corpus.wanted, corpus.cut_sizes(1000)) == ("back", [("en", "de")], (0, 0))
    assert (corpus.files, corpus.format) == ((str(tmp_path / "back.txt"),), "tsv")


def test_what_was_stopped_goes_on_without_translating_again(
    backtranslate: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line that a kill has left is made again; other settings begin anew; the result is that of one go."""
    monkeypatch.setattr(training.synthesis, "_CHUNK", 2)
    backtranslate(output="whole.tsv")
    original, seen = Translator.translate, []

    def failing(self: Translator, texts: list[str], *rest: object) -> list[object]:
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(texts)
        return original(self, texts, *rest)

    monkeypatch.setattr(Translator, "translate", failing)
    backtranslate()
    (partial,) = tmp_path.glob(".back.tsv.*.partial")
    with partial.open("a") as file:
        file.write("half a li")
    monkeypatch.setattr(Translator, "translate", lambda *given: (seen.append(given[1]), original(*given))[1])
    backtranslate("--tag", "x", output="back.tsv")
    (tmp_path / "back.tsv").unlink()
    before = len(seen)
    backtranslate()

    assert [len(texts) for texts in seen[before:]] == [2, 1]
    assert (tmp_path / "back.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_half_characters_cost_their_own_lines_alone(
    backtranslate: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are left out and counted, also when the command goes on, and what is written can be prepared."""
    monkeypatch.setattr(training.synthesis, "_CHUNK", 20)
    stops = [KeyboardInterrupt()]

    def translate(_: Translator, texts: list[str], *__: Any) -> list[SimpleNamespace]:
        if "Zeile 20." in texts and stops:
            raise stops.pop()
        return [SimpleNamespace(text=text.replace("Zeile", "row").replace("7", "\ufffd")) for text in texts]

    monkeypatch.setattr(Translator, "translate", translate)
    (tmp_path / "rows").write_text("".join(f"Zeile {i}.\n" for i in range(60)), encoding="utf-8")
    backtranslate(text=tmp_path / "rows")
    told = backtranslate(text=tmp_path / "rows")
    own = {"files": [str(tmp_path / "back.tsv")], "source": "en", "target": "de", "dev_size": 5, "test_size": 5}
    values = {"corpora": [own], "tokenizer": {"algorithm": "char"}}
    made = prepare_corpus(PrepareConfig.read(values, where="test"), tmp_path / "data")

    assert "pairs that were left out: 6 with U+FFFD" in told
    assert "54 pairs are in" in told
    assert rows(tmp_path / "back.tsv") == [[f"row {i}.", f"Zeile {i}."] for i in range(60) if i % 10 != 7]
    assert made.training_sets[0].size == 44
    assert list(tmp_path.glob(".*partial")) == []


def test_a_full_disk(backtranslate: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do, and nothing is translated again."""
    (tmp_path / ".back.tsv.partial").symlink_to("/dev/full")

    with pytest.raises(SaveError, match=r"No space left on device; free some space, .* it goes on from what was saved"):
        backtranslate()
    monkeypatch.delattr(Translator, "translate")
    backtranslate()
    assert len(rows(tmp_path / "back.tsv")) == 5


@pytest.fixture
def corpus(tmp_path: Path) -> PreparedCorpus:
    """A few pairs."""
    lines = [f"the dog {i}\tder Hund {i}\n" for i in range(30)]
    (tmp_path / "c.tsv").write_text("".join(lines), encoding="utf-8")
    own = {"files": [str(tmp_path / "c.tsv")], "source": "en", "target": "de", "dev_size": 5, "test_size": 0}
    values = {"corpora": [own], "tokenizer": {"algorithm": "char"}}
    return prepare_corpus(PrepareConfig.read(values, where="test"), tmp_path / "data")


@pytest.mark.parametrize("direction", [("en", "de"), ("de", "en")])
def test_training_sources_are_translated(
    corpus: PreparedCorpus, tiny_folder: Path, tmp_path: Path, direction: tuple[str, str]
) -> None:
    """All of one direction, and no dev sentence, each with the translation of the model in place of the reference."""
    source, target = direction
    arguments = ["distill", str(corpus.folder), "--source", source, "--target", target, *OPTIONS]
    arguments += ["--model", str(tiny_folder), "--output", str(tmp_path / "taught.tsv")]
    CliRunner().invoke(build([]), arguments, catch_exceptions=False)
    (part,) = (part for part in corpus.training_sets if part.direction == direction)
    sources = [own for own, _ in part.pairs()]
    expected = Translator.load(tiny_folder).translate(sources, target, source, SEARCH)

    assert rows(tmp_path / "taught.tsv") == [[own, t.text] for own, t in zip(sources, expected, strict=True)]


def test_a_direction_that_was_not_prepared_is_refused(corpus: PreparedCorpus, tmp_path: Path) -> None:
    """The message lists those that were."""
    arguments = ["distill", str(corpus.folder), "--source", "en", "--target", "fr", "--output", str(tmp_path / "x")]

    with pytest.raises(DataError, match="has no direction en-fr; it has en-de, de-en"):
        CliRunner().invoke(build([]), arguments, catch_exceptions=False)


def test_a_file_that_is_there_is_not_overwritten(backtranslate: Callable[..., str], tmp_path: Path) -> None:
    """It may have taken hours."""
    (tmp_path / "back.tsv").touch()

    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'back.tsv'} is there already; remove it or choose")):
        backtranslate()


def test_two_commands_do_not_write_the_same_file(
    backtranslate: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is refused, and the first goes on."""
    original, refused = Translator.translate, []

    def with_another_beside_it(*arguments: Any) -> list[Translation]:
        monkeypatch.setattr(Translator, "translate", original)
        with pytest.raises(TrainingError, match=r"another process writes .*back.tsv; wait for it, or choose another"):
            backtranslate()
        refused.append(True)
        return original(*arguments)

    monkeypatch.setattr(Translator, "translate", with_another_beside_it)
    backtranslate()
    assert refused
    assert len(rows(tmp_path / "back.tsv")) == 5


def test_a_file_that_is_not_there_is_explained(backtranslate: Callable[..., str], tmp_path: Path) -> None:
    """By name."""
    with pytest.raises(DataError, match=r"nowhere cannot be read: No such file"):
        backtranslate(text=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "n_best=2"], "n_best is 2, but each sentence gets one translation; leave it out"),
        (["--target", "fr"], "no translation de-fr; this model has en-de, de-en"),
    ],
)
def test_what_cannot_be_translated_is_refused_at_once(
    backtranslate: Callable[..., str], tmp_path: Path, options: list[str], message: str
) -> None:
    """Before any file is there."""
    with pytest.raises(NmtError, match=message):
        backtranslate(*options)
    assert [path.name for path in tmp_path.iterdir()] == ["mono.de"]


def test_xml_is_refused(backtranslate: Callable[..., str], tmp_path: Path) -> None:
    """Its tags are no sentences."""
    (tmp_path / "x.tmx").write_text('<?xml version="1.0"?>\n<tmx/>\n')

    with pytest.raises(DataError, match=r"x\.tmx is XML, and its tags would be translated; plain text is wanted"):
        backtranslate(text=tmp_path / "x.tmx")


def test_a_file_without_text_is_refused(backtranslate: Callable[..., str], tmp_path: Path) -> None:
    """And leaves nothing behind."""
    (tmp_path / "empty").write_text("\n \n")

    with pytest.raises(DataError, match=r"there is no text in .*empty; one sentence a line is wanted"):
        backtranslate(text=tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mono.de"]
