"""The sub-commands of the library: `nmt translate` and `nmt score`."""

import json
import os
import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from select import select
from typing import Annotated, Any, Literal

import typer

from nmt.alignment import Level
from nmt.config import SearchConfig, set_value
from nmt.directions import AUTO
from nmt.errors import InputError, how_to_convert
from nmt.runtime.ensemble import Mixing
from nmt.runtime.precision import PrecisionChoice
from nmt.runtime.threads import an_engine_a_core
from nmt.text.normalize import is_blank
from nmt.translation import TextHypothesis, Translation
from nmt.translator import Translator, attempted

Alignments = Literal["pharaoh", "json"]

_CHUNK = 512  # lines that are decoded together; bounds the memory, whatever the size of the input
_BLOCK = 1 << 16  # bytes that are read at once

ModelOption = Annotated[
    list[Path] | None,
    typer.Option("--model", help="Model folder; several are an ensemble. Default: the model in the box."),
]
MixingOption = Annotated[Mixing, typer.Option(help="How the models of an ensemble decide together.")]
PrecisionOption = Annotated[
    PrecisionChoice,
    typer.Option(envvar="NMT_PRECISION", help="Of the products: fp32, int8, or auto, the fastest here."),
]
TargetOption = Annotated[str, typer.Option(help="Language to translate into, such as en.")]
LevelOption = Annotated[Level, typer.Option("--level", help="Of the alignments: words, pieces or characters.")]
MinConfidenceOption = Annotated[
    float, typer.Option(min=0, max=1, help="Warn of lines that have a sentence with less, on stderr and in JSON.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting of the search; see docs/search.md.")
]

_LONE_BYTE = re.compile("[\udc80-\udcff]")  # what stands for a byte that is no UTF-8


def translate(
    target: TargetOption,
    source: Annotated[str, typer.Option(help="Language of the input, or auto.")] = AUTO,
    model: ModelOption = None,
    beam_size: Annotated[int, typer.Option(help="1 is greedy search.")] = 5,
    n_best: Annotated[int, typer.Option(help="Alternatives a line.")] = 1,
    length_penalty: Annotated[float, typer.Option()] = 1.0,
    coverage_penalty: Annotated[float, typer.Option()] = 0.0,
    max_length: Annotated[int, typer.Option(help="In pieces, a sentence.")] = 200,
    set_: SetOption = None,
    precision: PrecisionOption = "auto",
    alignments: Annotated[Alignments | None, typer.Option(help="Write them, too.")] = None,
    level: LevelOption = "words",
    mixing: MixingOption = "log_linear",
    min_confidence: MinConfidenceOption = 0.0,
) -> None:
    """Translate standard input, line by line, to standard output.

    A line in, a line out, before the next one has to come; an empty line stays empty. With --n-best N, N lines
    `number ||| text ||| score` a line, the number from 0. With --alignments pharaoh, a tab and the links follow; with
    json, each line is an object with all there is. With --min-confidence, standard error says which lines have a
    sentence with less.

    A line that is not UTF-8, or that a setting does not fit, such as a prefix longer than max_length, stays empty;
    standard error says why, and the status is 2.
    """
    values = {
        "beam_size": beam_size,
        "n_best": n_best,
        "length_penalty": length_penalty,
        "coverage_penalty": coverage_penalty,
        "max_length": max_length,
    }
    search = read_search(values, set_)
    engines = an_engine_a_core()
    translator = _load(model, precision, mixing)
    refused = False
    for first, lines in line_groups(sys.stdin.fileno()):
        wanted = [line for line in lines if not is_blank(line)]
        done = iter(translator.attempt(wanted, target, source, search, engines))
        for number, line in enumerate(lines, start=first):
            outcome = None if is_blank(line) else next(done)
            outcome = _not_utf_8() if _LONE_BYTE.search(line) else outcome
            refused |= isinstance(outcome, InputError)
            _write(number, outcome, search, alignments, level, min_confidence)
            if outcome:
                _warn(number, outcome if isinstance(outcome, InputError) else outcome.hypotheses[0], min_confidence)
    if refused:
        raise typer.Exit(2)


def read_search(values: dict[str, Any], changes: Sequence[str] | None) -> SearchConfig:
    """The settings of a search from a command's options and its `--set`."""
    for change in changes or ():
        set_value(values, change)
    return SearchConfig.read(values, where="options")


def score(
    target: TargetOption,
    source: Annotated[str, typer.Option(help="Language of the source column.")],
    model: ModelOption = None,
    mixing: MixingOption = "log_linear",
    json_: Annotated[bool, typer.Option("--json", help="Print all there is, an object a line.")] = False,
    alternatives: Annotated[int, typer.Option(min=1, help="With --json: likeliest pieces at each place.")] = 5,
    level: LevelOption = "words",
    precision: PrecisionOption = "auto",
    min_confidence: MinConfidenceOption = 0.0,
) -> None:
    """Score given translations: lines `source TAB translation` in, lines `log-probability TAB score` out.

    With --json, also alignment, quality, the probability of each piece and what the model would have written instead.
    With --min-confidence, standard error says which lines have a sentence with less.

    A line that is no pair, or not UTF-8, stays empty, or has its error in the JSON; standard error says why, and the
    status is 2.
    """
    translator = _load(model, precision, mixing)
    refused = False
    for first, lines in line_groups(sys.stdin.fileno()):
        pairs = [attempted(_pair, line) for line in lines]
        done = iter(translator.score([pair for pair in pairs if not isinstance(pair, InputError)], target, source))
        for number, pair in enumerate(pairs, start=first):
            outcome = pair if isinstance(pair, InputError) else next(done)
            if isinstance(outcome, InputError):
                refused, text = True, _json_line(number, {"error": str(outcome)}) if json_ else ""
            elif json_:
                tokens = tokens_json(outcome, translator.alternatives(outcome, alternatives))
                text = _json_line(number, hypothesis_json(outcome, level, min_confidence) | {"tokens": tokens})
            else:
                text = f"{outcome.log_prob:.4f}\t{outcome.score:.4f}"
            print(text, flush=True)
            _warn(number, outcome, min_confidence)
    if refused:
        raise typer.Exit(2)


def translation_json(outcome: Translation | InputError | None, level: Level, min_confidence: float) -> dict[str, Any]:
    """What became of a line, as JSON: its hypotheses and the language that was found, or its error, or nothing."""
    if outcome is None:
        return {"hypotheses": []}
    if isinstance(outcome, InputError):
        return {"hypotheses": [], "error": str(outcome)}
    hypotheses = [hypothesis_json(own, level, min_confidence) for own in outcome.hypotheses]
    return {"detected_source": outcome.detected_source, "hypotheses": hypotheses}


def hypothesis_json(hypothesis: TextHypothesis, level: Level, min_confidence: float) -> dict[str, Any]:
    """Text, scores, alignment, quality, and the confidence of each word and each piece, as JSON."""
    words = zip(hypothesis.target_words, hypothesis.word_confidences, strict=True)
    return {
        "text": hypothesis.text,
        "log_prob": hypothesis.log_prob,
        "score": hypothesis.score,
        "alignment": alignment_json(hypothesis, level),
        "quality": hypothesis.quality_report(min_confidence),
        "terms": [asdict(term) for term in hypothesis.terms],
        "words": [{**asdict(word), "confidence": round(value, 4)} for word, value in words],
        "tokens": [asdict(token) for token in hypothesis.tokens],
    }


def tokens_json(hypothesis: TextHypothesis, top: Sequence[Sequence[tuple[str, float]]]) -> list[dict[str, Any]]:
    """Each piece with its probability and the likeliest ones at its place, as JSON."""
    return [
        {**asdict(token), "top": [{"piece": piece, "log_prob": log_prob} for piece, log_prob in likeliest]}
        for token, likeliest in zip(hypothesis.tokens, top, strict=True)
    ]


def alignment_json(hypothesis: TextHypothesis, level: Level) -> dict[str, Any]:
    """The alignment, as JSON."""
    alignment = hypothesis.alignment(level)
    return {
        "source": [asdict(unit) for unit in alignment.source],
        "target": [asdict(unit) for unit in alignment.target],
        "weights": [[round(float(weight), 4) for weight in row] for row in alignment.weights],
        "links": [asdict(link) for link in alignment.links],
        "pharaoh": alignment.pharaoh,
    }


def _load(models: list[Path] | None, precision: PrecisionChoice, mixing: Mixing) -> Translator:
    """Standard error says what `auto` has chosen. From here on, output is UTF-8 as the input is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    translator = Translator.load(*models or (), precision=precision, mixing=mixing)
    if precision == "auto":
        print(f"decoding in {translator.precision}", file=sys.stderr, flush=True)
    return translator


def _warn(number: int, outcome: TextHypothesis | InputError, min_confidence: float) -> None:
    """Say on standard error what is wrong with a line, or that it has little confidence."""
    if isinstance(outcome, InputError):
        print(f"line {number + 1}: {outcome}", file=sys.stderr, flush=True)
    elif "low_confidence" in outcome.warnings(min_confidence):
        least = min(part.confidence for part in outcome.parts)
        print(f"line {number + 1}: low confidence, {least:.2f}", file=sys.stderr, flush=True)


def line_groups(descriptor: int) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file or a pipe in groups, each with the number of its first line, counted from 0.

    A group has what there is without waiting, a line at least: who writes one and waits for the answer gets it. Text is
    UTF-8, whatever the locale says; a line that is not has a `_LONE_BYTE`. Raises `InputError` for UTF-16.
    """
    number, lines, begun, block = 0, list[bytes](), b"", b"\n"
    while block or lines:
        while block and (not lines or (len(lines) < _CHUNK and select([descriptor], [], [], 0)[0])):
            block = os.read(descriptor, _BLOCK)
            if not (number or lines or begun) and block.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
                raise InputError("the input is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 FILE > converted", "text")
            *ended, begun = (begun + block).split(b"\n")
            lines += ended if block else [begun] * bool(begun)
        own, lines = lines[:_CHUNK], lines[_CHUNK:]
        if own:
            yield number, [line.decode("utf-8", "surrogateescape").rstrip("\r\n") for line in own]
        number += len(own)


def _not_utf_8() -> InputError:
    return InputError(f"not UTF-8; {how_to_convert('FILE')}", "text")


def _pair(line: str) -> tuple[str, str]:
    if _LONE_BYTE.search(line):
        raise _not_utf_8()
    text, tab, translation = line.partition("\t")
    if not tab or is_blank(text) or is_blank(translation):
        raise InputError(f"{line[:60]!r} is no pair; wanted: source, a tab, translation")
    return text, translation


def _json_line(number: int, values: dict[str, Any]) -> str:
    return json.dumps({"line": number, **values}, ensure_ascii=False)


def _write(
    number: int,
    outcome: Translation | InputError | None,
    search: SearchConfig,
    alignments: Alignments | None,
    level: Level,
    min_confidence: float,
) -> None:
    if alignments == "json":
        print(_json_line(number, translation_json(outcome, level, min_confidence)), flush=True)
        return
    hypotheses = outcome.hypotheses if isinstance(outcome, Translation) else []
    if not hypotheses:
        print(flush=True)
    for hypothesis in hypotheses:
        line = hypothesis.text if search.n_best == 1 else f"{number} ||| {hypothesis.text} ||| {hypothesis.score:.4f}"
        if alignments:  # the columns of which a tab of the text would break
            line = line.replace("\t", " ") + f"\t{hypothesis.alignment(level).pharaoh}"
        print(line, flush=True)
