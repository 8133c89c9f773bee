"""`nmt backtranslate` and `nmt distill`: corpora of which a model has written one side."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer
from rich.console import Console

from nmt.commands import MixingOption, ModelOption, PrecisionOption, SetOption, read_search
from nmt.config import SearchConfig
from nmt.errors import ConfigError, DataError, UnknownLanguage, how_to_convert
from nmt.runtime.ensemble import Mixing
from nmt.runtime.precision import PrecisionChoice
from nmt.runtime.threads import an_engine_a_core
from nmt.text.normalize import is_blank
from nmt.translator import BOX, Translator, load_model
from training.corpus.files import TextFile, lines
from training.corpus.prepared import PreparedCorpus
from training.corpus.records import Direction, Reason, TextPair
from training.disk import key_of, replacing, reserve, writes_explained
from training.messages import messages

_CHUNK = 512
_REPLACEMENT = "\ufffd".encode()  # what pieces that are single bytes decode to where one of them is missing

OutputOption = Annotated[Path, typer.Option(help="TSV file to write.")]
BeamOption = Annotated[int, typer.Option(help="1 is greedy search.")]


def backtranslate(
    text: Annotated[Path, typer.Argument(help="Sentences, one a line, in the language to translate into later.")],
    source: Annotated[str, typer.Option(help="Language of the sentences.")],
    target: Annotated[str, typer.Option(help="Language to translate them into; the corpus has it first.")],
    output: OutputOption,
    model: ModelOption = None,
    tag: Annotated[str, typer.Option(help="A word before each translation, so that a model can tell them.")] = "",
    beam_size: BeamOption = 5,
    set_: SetOption = None,
    precision: PrecisionOption = "auto",
    mixing: MixingOption = "log_linear",
) -> None:
    """Translate plain text back (Sennrich et al. 2016), so that a model of the other direction can learn to write it.

    Sampling instead of a beam (Edunov et al. 2018): --set method=sample. A tag (Caswell et al. 2019): --tag "<bt>".
    Stopped, the same command goes on where it was.
    """
    _check_plain(TextFile(text))
    left_out = Counter[Reason]()
    texts = _sentences(TextFile(text), left_out)
    search = read_search({"beam_size": beam_size}, set_)
    teacher = Teacher(model or [BOX], (source, target), search, precision, mixing)
    count = teacher.write(output, texts, [text], lambda own, translation: (f"{tag} {translation}".strip(), own))
    if left_out:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items())
        advice = f"; {how_to_convert(text)}" if left_out[Reason.BROKEN] else ""
        typer.echo(f"lines of {text} that were left out: {reasons}{advice}", err=True)
    _report(output, count, (target, source))


def _check_plain(file: TextFile) -> None:
    first = next(lines(file), None)
    if first and first.text.startswith("<?xml"):
        raise DataError(f"{file} is XML, and its tags would be translated; plain text is wanted, one sentence a line")


def _sentences(file: TextFile, left_out: Counter[Reason]) -> Iterator[str]:
    """The lines that hold text; those that cannot be read are counted."""
    for line in lines(file):
        if line.reason:
            left_out[line.reason] += 1
        elif not is_blank(line.text):
            yield line.text


def distill(
    data: Annotated[Path, typer.Argument(help="A folder that nmt prepare made.")],
    source: Annotated[str, typer.Option(help="Language of the training sources.")],
    target: Annotated[str, typer.Option(help="Language to translate them into.")],
    output: OutputOption,
    model: ModelOption = None,
    beam_size: BeamOption = 5,
    set_: SetOption = None,
    precision: PrecisionOption = "auto",
    mixing: MixingOption = "log_linear",
) -> None:
    """Translate the training sources with a large model, so that a small one can learn from it (Kim & Rush 2016, 3.2).

    Stopped, the same command goes on where it was.
    """
    corpus, direction = PreparedCorpus.load(data), (source, target)
    sets = [part for part in corpus.training_sets if part.direction == direction]
    if not sets:
        known = ", ".join(map("-".join, corpus.directions))
        raise DataError(f"{data} has no direction {source}-{target}; it has {known}")
    texts = (own for part in sets for own, _ in part.pairs())
    search = read_search({"beam_size": beam_size}, set_)
    teacher = Teacher(model or [BOX], direction, search, precision, mixing)
    _report(output, teacher.write(output, texts, [part.path for part in sets], lambda *pair: pair), direction)


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model folder, or an ensemble of several, that writes translations for another model to learn from."""

    models: list[Path]
    direction: Direction
    search: SearchConfig
    precision: PrecisionChoice
    mixing: Mixing

    def write(
        self, output: Path, texts: Iterable[str], origins: list[Path], pair: Callable[[str, str], TextPair]
    ) -> int:
        """Write a TSV line for each text, made by `pair` of text and translation, and return how many.

        Those with characters that are not whole are left out, and told. What an earlier call has written of the same
        `origins`, files that decide all texts, is not made again.
        """
        if output.exists():
            raise DataError(f"{output} is there already; remove it or choose another --output")
        if self.search.n_best > 1:
            raise ConfigError(f"n_best is {self.search.n_best}, but each sentence gets one translation; leave it out")
        folders = [load_model(path) for path in self.models]
        translator = Translator.from_folders(folders, self.precision, self.mixing)
        if self.direction not in translator.directions:
            wanted, *known = map("-".join, (self.direction, *translator.directions))
            raise UnknownLanguage(f"no translation {wanted}; this model has {', '.join(known)}", "source")
        teachers = [folder.sha256 for folder in folders]
        made_by = teachers, self.mixing, translator.precision
        key = key_of(origins, made_by, self.direction, self.search, pair("\0", "\0"))
        partial = output.with_name(f".{output.name}.{key}.partial")
        with writes_explained(output.parent, goes_on=True), Console(stderr=True).status("") as status:
            output.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("a+b") as file:
                reserve(file, f"another process writes {output}; wait for it, or choose another --output")
                done = _whole_lines(cast(BinaryIO, file))
                for chunk in self._translated(translator, islice(texts, done, None)):
                    file.writelines("\t".join(pair(*own)).encode() + b"\n" for own in chunk)
                    file.flush()
                    done += len(chunk)
                    status.update(f"{done:,} sentences")
                if done:
                    kept = _copy_whole(partial, output)
            partial.unlink()
        if done == 0:
            raise DataError(f"there is no text in {', '.join(map(str, origins))}; one sentence a line is wanted")
        if kept < done:
            told = f"pairs that were left out: {done - kept:,} with U+FFFD, which stands for half a character"
            typer.echo(told, err=True)
        return kept

    def _translated(self, translator: Translator, texts: Iterator[str]) -> Iterator[list[TextPair]]:
        """Texts with their translations, some at a time, on one line each."""
        engines, (source, target) = an_engine_a_core(), self.direction
        while chunk := [" ".join(text.split()) for text in islice(texts, _CHUNK)]:
            found = translator.translate(chunk, target, source, self.search, engines)
            yield [(own, " ".join(done.text.split())) for own, done in zip(chunk, found, strict=True)]


def _whole_lines(file: BinaryIO) -> int:
    """How many there are; half a line at the end, which a kill has left, is cut off."""
    count = end = 0
    file.seek(0)
    for line in file:
        if line.endswith(b"\n"):
            count, end = count + 1, end + len(line)
    file.truncate(end)
    return count


def _copy_whole(partial: Path, output: Path) -> int:
    """Put the lines without U+FFFD into the output, which is there as a whole or not at all, and return how many."""
    count = 0
    with partial.open("rb") as file, replacing(output) as whole:
        for line in file:
            if _REPLACEMENT not in line:
                count += 1
                whole.write(line)
    return count


def _report(output: Path, count: int, direction: Direction) -> None:
    """What was written, and how to name it to `nmt prepare`: trained in this direction alone, and never a test set."""
    console = messages()
    console.print(
        f"""{count:,} pairs are in {output}. In the list of corpora for nmt prepare, beside the others:

[[corpora]]
name = "{output.stem}"
files = ["{output}"]
format = "tsv"
source = "{direction[0]}"
target = "{direction[1]}"
directions = "forward"
weight = 1.0
dev_size = 0
test_size = 0"""
    )
