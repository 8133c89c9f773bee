"""`nmt evaluate`: a test set through a model folder or a running service."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from nmt.commands import MixingOption, ModelOption, PrecisionOption, SetOption, read_search
from nmt.config import SearchConfig
from nmt.errors import ConfigError
from nmt.runtime.threads import an_engine_a_core
from nmt.scoring.alignment_error import AlignmentScore, GoldLinks
from nmt.scoring.evaluation import Evaluation, LengthBucket
from nmt.scoring.evaluation import evaluate as score_translations
from nmt.scoring.metrics import MetricScore, Tokenization
from nmt.translator import BOX, Translator, load_model
from training.corpus.test_sets import read_test_set
from training.gold_alignments import read_gold_alignments, score_alignments
from training.remote import translate_remotely
from training.report.html import Translated, check_writable, render, write_report

_CHUNK = 1000


def evaluate(
    context: typer.Context,
    test: Annotated[
        list[Path], typer.Argument(help="Parallel text, such as x.tsv or x.tmx, or SOURCE REFERENCE ... line by line.")
    ],
    source: Annotated[str, typer.Option(help="Language of the sources.")],
    target: Annotated[str, typer.Option(help="Language of the references.")],
    model: ModelOption = None,
    mixing: MixingOption = "log_linear",
    url: Annotated[str | None, typer.Option(help="Ask a running service instead.")] = None,
    beam_size: Annotated[int, typer.Option()] = 5,
    length_penalty: Annotated[float, typer.Option()] = 1.0,
    set_: SetOption = None,
    precision: PrecisionOption = "auto",
    tokenize: Annotated[
        Tokenization, typer.Option(help="How BLEU cuts words, as sacreBLEU names it; none: they are cut already.")
    ] = "13a",
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    report: Annotated[Path | None, typer.Option(help="Also write a report as one HTML file.")] = None,
    gold_alignments: Annotated[
        Path | None, typer.Option(help="Links of source and first reference, a line each: 0-0 1?2; docs/alignment.md.")
    ] = None,
) -> None:
    """Translate a test set and score it: BLEU, chrF2 and TER with 95 % intervals, BLEU by length, speed.

    With --gold-alignments, also the alignment error rate: how far the links that the model draws between each source
    and its first reference are from those that people drew.
    """
    check_writable(report)
    _check_url(context, url)
    rows = read_test_set(test, (source, target))
    pairs = [(text, own[0]) for text, own in rows]
    gold = _read_gold(gold_alignments, pairs, url)
    search = read_search({"beam_size": beam_size, "length_penalty": length_penalty}, set_)
    texts = [text for text, _ in rows]
    if url:
        translated, name, seconds = translate_remotely(url, texts, source, target, search, aligned=bool(report))
    else:
        engines, folders = an_engine_a_core(), [load_model(path) for path in model or [BOX]]
        translator = Translator.from_folders(folders, precision, mixing)
        translated, seconds = _translate_here(translator, texts, source, target, search, engines)
        name = " + ".join(folder.description.name for folder in folders)
        typer.echo(f"decoding in {translator.precision}", err=True)
    references = [own for _, own in rows]
    evaluation = score_translations(texts, [t.text for t in translated], references, tokenize=tokenize)
    summary = {**asdict(evaluation), "sentences": len(rows), "seconds": round(seconds, 2), "model": name}
    alignment = score_alignments(translator, pairs, gold, source, target) if gold else None
    if alignment:
        summary["alignment"] = asdict(alignment)
    if json_:
        print(json.dumps(summary, ensure_ascii=False, indent=2))
    else:
        print(as_text(evaluation, alignment, len(rows), seconds, name))
    if report:
        title = f"{source} to {target}: {', '.join(path.name for path in test)}"
        write_report(report, render(title, evaluation, rows, translated, seconds, name))


def _check_url(context: typer.Context, url: str | None) -> None:
    """A service has its own model, and its own way to run it."""
    sources = {f"--{name}": context.get_parameter_source(name) for name in ("model", "mixing", "precision")}
    given = [option for option, source in sources.items() if source and source.name == "COMMANDLINE"]
    if url and given:
        raise ConfigError(f"--url asks a service, which has its model already; leave out --url, or {', '.join(given)}")


def as_text(
    evaluation: Evaluation, alignment: AlignmentScore | None, sentences: int, seconds: float, model: str
) -> str:
    """The scores for a person."""
    lines = [f"model {model}: {sentences} sentences in {seconds:.1f} s, {sentences / seconds:.1f} a second"]
    for name, score in (("BLEU", evaluation.bleu), ("chrF2", evaluation.chrf), ("TER", evaluation.ter)):
        lines.append(f"{name:5} {score.score:5.1f}  {_interval(score)}  {score.signature}")
    lines.append("BLEU by source words: " + " · ".join(map(_bucket, evaluation.by_length)))
    if alignment:
        rates = f"precision {100 * alignment.precision:.1f}, recall {100 * alignment.recall:.1f}"
        lines.append(f"AER   {100 * alignment.error_rate:5.1f}  {rates}")
    return "\n".join(lines)


def _interval(score: MetricScore) -> str:
    return "" if score.low is None else f"({score.low:.1f} to {score.high:.1f})"


def _bucket(bucket: LengthBucket) -> str:
    words = f"{bucket.shortest}-{bucket.longest}" if bucket.longest else f"{bucket.shortest}+"
    return f"{words}: {bucket.bleu:.1f} ({bucket.sentences})"


def _read_gold(path: Path | None, pairs: Sequence[tuple[str, str]], url: str | None) -> list[GoldLinks]:
    if path and url:
        raise ConfigError("--gold-alignments compares a model folder's alignments; leave out --url")
    return read_gold_alignments(path, pairs) if path else []


def _translate_here(
    translator: Translator, texts: Sequence[str], source: str, target: str, search: SearchConfig, engines: int
) -> tuple[list[Translated], float]:
    """Translate with a model in memory. Returns translations and the seconds that it took."""
    started = time.perf_counter()
    done = []
    for first in range(0, len(texts), _CHUNK):
        done += translator.translate(texts[first : first + _CHUNK], target, source, search, engines)
    seconds = time.perf_counter() - started
    return [_translated(t.hypotheses[0].text, t.hypotheses[0].alignment()) for t in done], seconds


def _translated(text: str, alignment: Any) -> Translated:
    words = [[unit.text for unit in side] for side in (alignment.source, alignment.target)]
    return Translated(text, words[0], words[1], alignment.weights.tolist())
