"""BLEU, chrF2 and TER as sacreBLEU computes them, always with the signature that says how."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.tokenizers.tokenizer_base import BaseTokenizer

from nmt.errors import InputError

BOOTSTRAP_SAMPLES = 1000

Tokenization = Literal["13a", "intl", "char", "zh", "none"]
"""How BLEU cuts text into words, by sacreBLEU's names: those that need nothing more installed or downloaded.

`none` is for text that is tokenized already, as in papers that give tokenized BLEU. chrF2 knows no words, and TER those
that spaces part, with `zh` also characters.
"""

Metric = Literal["bleu", "chrf", "ter"]

_HIGHEST = {"BLEU": 100.0, "chrF2": 100.0, "TER": math.inf}


@dataclass(frozen=True, slots=True)
class MetricScore:
    """A score from 0 to 100 (TER may exceed it), its sacreBLEU signature, and its 95 % bootstrap interval if asked;
    the interval always contains the score."""

    score: float
    signature: str
    low: float | None = None
    high: float | None = None


def corpus_scores(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    bootstrap: bool = False,
    tokenize: Tokenization = "13a",
    metrics: Sequence[Metric] = ("bleu", "chrf", "ter"),
) -> dict[str, MetricScore]:
    """`bleu`, `chrf` and `ter` of a test set; a sentence may have any number of references, at least one.

    Papineni et al. 2002, Popović 2015, Snover et al. 2006; Post 2018. `bootstrap` adds intervals (Koehn 2004). TER of
    sentences of some hundred words takes seconds each.
    """
    chinese = tokenize == "zh"
    ter = TER(asian_support=chinese, normalized=chinese)
    known: dict[Metric, Any] = {"bleu": bleu(tokenize), "chrf": CHRF(), "ter": ter}
    return {name: _corpus_score(known[name], hypotheses, references, bootstrap) for name in metrics}


def sentence_scores(hypothesis: str, references: Sequence[str]) -> dict[str, MetricScore]:
    """`bleu` (with effective order, as befits one sentence) and `chrf` of one translation."""
    return {
        name: _corpus_score(metric, [hypothesis], [references], bootstrap=False)
        for name, metric in (("bleu", bleu(of_sentences=True)), ("chrf", CHRF()))
    }


def corpus_bleu(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], tokenize: Tokenization = "13a"
) -> MetricScore:
    """BLEU alone."""
    return corpus_scores(hypotheses, references, tokenize=tokenize, metrics=("bleu",))["bleu"]


def bleu(tokenize: Tokenization = "13a", *, of_sentences: bool = False) -> BLEU:
    """Of corpora, or, with effective order, of sentences.

    Without sacreBLEU's warning about text that looks tokenized where that is what was asked for.
    """
    return BLEU(tokenize=tokenize, force=tokenize == "none", effective_order=of_sentences)


def _corpus_score(
    metric: Any, hypotheses: Sequence[str], references: Sequence[Sequence[str]], bootstrap: bool
) -> MetricScore:
    samples = {"n_bootstrap": BOOTSTRAP_SAMPLES} if bootstrap and len(hypotheses) > 1 else {}
    _return_floats(metric)
    try:
        result = metric.corpus_score(list(hypotheses), _streams(hypotheses, references), **samples)
    finally:
        forget_lines()
    score, signature = min(_HIGHEST[result.name], float(result.score)), str(metric.get_signature())
    if not samples:
        return MetricScore(score, signature)
    low, high = max(0.0, result._mean - result._ci), min(_HIGHEST[result.name], result._mean + result._ci)
    # sacreBLEU's interval is around the mean of the samples, which for few sentences may be far from the score.
    return MetricScore(score, signature, min(score, low), max(score, high))


def forget_lines() -> None:
    """sacreBLEU's tokenizers keep tens of thousands of lines each, which are somebody's text, and of no more use."""
    for tokenizer in BaseTokenizer.__subclasses__():
        getattr(tokenizer.__call__, "cache_clear", lambda: None)()


def _return_floats(metric: Any) -> None:
    """Make a metric's scores Python floats: some are, some are NumPy's, and bootstrapping fails on the mixture."""
    compute = metric._compute_score_from_stats

    def compute_floats(stats: Any) -> Any:
        result = compute(stats)
        result.score = float(result.score)
        return result

    metric._compute_score_from_stats = compute_floats


def _streams(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """References the way sacreBLEU wants them: the first of each sentence, the second of each, …"""
    if len(hypotheses) != len(references):
        raise InputError(
            f"there are {len(references)} lists of references for {len(hypotheses)} translations; one each is wanted",
            "references",
        )
    if not hypotheses:
        raise InputError("there are no translations to score; at least one is wanted")
    for number, own in enumerate(references):
        if not own:
            raise InputError(f"translation {number} has no reference; at least one is wanted", "references")
    most = max(len(own) for own in references)
    return [[own[i] if i < len(own) else None for own in references] for i in range(most)]
