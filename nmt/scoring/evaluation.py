"""The score of a test set: the metrics as a whole and by sentence length."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nmt.errors import InputError
from nmt.scoring.metrics import MetricScore, Tokenization, corpus_bleu, corpus_scores
from nmt.text.symbols import UNSPACED

_UNSPACED = re.compile(f"[{UNSPACED}]")
_EDGES = (5, 10, 15, 20, 30, 40, 60)


@dataclass(frozen=True, slots=True)
class LengthBucket:
    """BLEU of the sentences whose source has `shortest` to `longest` words; the last bucket has no end."""

    shortest: int
    longest: int | None
    sentences: int
    bleu: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a whole test set; `by_length` has no bucket without sentences."""

    bleu: MetricScore
    chrf: MetricScore
    ter: MetricScore
    by_length: list[LengthBucket]


def evaluate(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    bootstrap: bool = True,
    tokenize: Tokenization = "13a",
) -> Evaluation:
    """Score translations of `sources` against one or several references each."""
    if len(sources) != len(hypotheses):
        raise InputError(
            f"there are {len(sources)} sources for {len(hypotheses)} translations; one each is wanted", "sources"
        )
    scores = corpus_scores(hypotheses, references, bootstrap, tokenize)
    lengths = [max(1, _length(source)) for source in sources]  # an empty source is among the shortest
    buckets = []
    for low, high in zip((0, *_EDGES), (*_EDGES, None), strict=True):
        rows = [i for i, length in enumerate(lengths) if length > low and (high is None or length <= high)]
        if rows:
            bleu = corpus_bleu([hypotheses[i] for i in rows], [references[i] for i in rows], tokenize)
            buckets.append(LengthBucket(low + 1, high, len(rows), bleu.score))
    return Evaluation(scores["bleu"], scores["chrf"], scores["ter"], buckets)


def _length(text: str) -> int:
    """In words, as which in scripts without spaces each character counts."""
    return len(_UNSPACED.sub(" x ", text).split())
