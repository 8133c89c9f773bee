"""What comes out: translations of whole texts, each word traceable to where it came from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nmt.alignment import Alignment, Level, Unit, align, merge, overlaps, units_of, words
from nmt.arrays import Floats
from nmt.glossary import PlacedTerm, Term, place_terms
from nmt.scoring.quality import Quality, Sign, confidence, quality
from nmt.search.control import Control
from nmt.search.guides import Guide
from nmt.search.hypothesis import Hypothesis
from nmt.text.sentences import Sentence
from nmt.text.tokenizer import Pieces


@dataclass(frozen=True, slots=True)
class Token:
    """A target piece, its place in the translation, and its log-probability."""

    piece: str
    start: int
    end: int
    log_prob: float


@dataclass(frozen=True, slots=True)
class SentencePart:
    """One sentence of a translated text: its pieces on both sides, and how they were found.

    `source_start` and `target_start` are its places in the whole texts; terms: those of the glossary that it has;
    controls: how its attention was steered.
    """

    source: Pieces
    target: Pieces
    hypothesis: Hypothesis
    source_start: int
    target_start: int
    terms: Sequence[Term] = ()
    controls: Sequence[Control] = ()

    @property
    def confidence(self) -> float:
        """The geometric mean of the probabilities of the pieces and the end of sentence."""
        return confidence(self.hypothesis.log_probs)

    @property
    def word_confidences(self) -> Floats:
        """The probability of each target word, given the words before it: the product of its pieces' probabilities."""
        inside = overlaps(self.target.spans, words(self.target.text)) > 0
        probs: Floats = np.exp(inside.T @ self.hypothesis.log_probs)
        return probs

    def align(self, level: Level) -> Alignment:
        """The alignment within the sentence."""
        source, target = self.source, self.target
        return align(level, (source.text, source.spans), (target.text, target.spans), self.hypothesis.weights)


@dataclass(frozen=True)
class TextHypothesis:
    """One way to translate a text. All offsets are code points in the whole source text and in `text`.

    log_prob is the sum over the sentences, `score` the mean of their scores, each weighed by the pieces of its source:
    so the first hypothesis has the best one, as it has of each sentence.
    """

    text: str
    parts: tuple[SentencePart, ...]

    @property
    def log_prob(self) -> float:
        """The log-probability of all pieces, in nats."""
        return sum(part.hypothesis.log_prob for part in self.parts)

    @property
    def length(self) -> int:
        """Target pieces, the end of each sentence counted."""
        return sum(len(part.hypothesis.pieces) for part in self.parts)

    @property
    def score(self) -> float:
        """What the hypothesis was ranked by; for several sentences, the mean."""
        weights = [len(part.source) for part in self.parts]
        total = sum(part.hypothesis.score * weight for part, weight in zip(self.parts, weights, strict=True))
        return total / max(1, sum(weights))

    def alignment(self, level: Level = "words") -> Alignment:
        """Which source words, pieces or characters each target word, piece or character came from.

        It can be large: the product of source and target units, whatever sentences they are in.
        """
        starts = [(part.source_start, part.target_start) for part in self.parts]
        return merge(level, [(own, *start) for own, start in zip(self._aligned(level), starts, strict=True)])

    def alignment_shape(self, level: Level = "words") -> tuple[int, int]:
        """How many target and source units `alignment(level)` has, without making it."""
        target = sum(len(units_of(level, part.target.text, part.target.spans)) for part in self.parts)
        source = sum(len(units_of(level, part.source.text, part.source.spans)) for part in self.parts)
        return target, source

    @property
    def source_words(self) -> list[Unit]:
        """The words of the whole source text, as `alignment()` counts them."""
        parts = zip(self._aligned("words"), self.parts, strict=True)
        return [unit.moved(part.source_start) for own, part in parts for unit in own.source]

    @property
    def target_words(self) -> list[Unit]:
        """The words of the whole translation, as `alignment()` counts them."""
        parts = zip(self._aligned("words"), self.parts, strict=True)
        return [unit.moved(part.target_start) for own, part in parts for unit in own.target]

    @property
    def tokens(self) -> list[Token]:
        """All target pieces in order, the end of each sentence included."""
        return [
            Token(piece, start + part.target_start, end + part.target_start, float(log_prob))
            for part in self.parts
            for piece, (start, end), log_prob in zip(
                part.target.pieces, part.target.spans, part.hypothesis.log_probs, strict=True
            )
        ]

    @property
    def terms(self) -> list[PlacedTerm]:
        """The terms of the glossary, each with its place in both texts."""
        return [
            PlacedTerm(term.source.moved(part.source_start), term.target.moved(part.target_start))
            for part in self.parts
            for term in place_terms(part.terms, part.source, part.target, part.hypothesis.weights)
        ]

    @cached_property
    def quality(self) -> Quality:
        """Signs that the translation is good, or is not; what had no word to translate is as it should be."""
        if not self.parts:
            return Quality(1.0, 1.0, repetition=False, uncovered=[], over_covered=[])
        log_probs = np.concatenate([part.hypothesis.log_probs for part in self.parts])
        looked_at = np.concatenate([own.weights.sum(axis=0) for own in self._aligned("words")])
        return quality(log_probs, looked_at, [unit.text for unit in self.target_words])

    @property
    def word_confidences(self) -> list[float]:
        """Of each of the `target_words`: the probability of its pieces, given all before them."""
        return [float(prob) for part in self.parts for prob in part.word_confidences]

    def warnings(self, min_confidence: float = 0.0) -> list[Sign]:
        """What a reader should know: a sentence with less confidence than that, words left out or said twice, loops."""
        found: dict[Sign, bool] = {
            "low_confidence": any(part.confidence < min_confidence for part in self.parts),
            "uncovered": bool(self.quality.uncovered),
            "over_covered": bool(self.quality.over_covered),
            "repetition": self.quality.repetition,
        }
        return [name for name, holds in found.items() if holds]

    def quality_report(self, min_confidence: float = 0.0) -> dict[str, Any]:
        """`quality` as a client sees it: with the words themselves, the sentences and the warnings."""
        source = self.source_words
        return {
            **asdict(self.quality),
            "uncovered": [asdict(source[number]) for number in self.quality.uncovered],
            "over_covered": [asdict(source[number]) for number in self.quality.over_covered],
            "sentences": [
                {
                    "start": part.target_start,
                    "end": part.target_start + len(part.target.text),
                    "confidence": part.confidence,
                }
                for part in self.parts
            ],
            "warnings": self.warnings(min_confidence),
        }

    def _aligned(self, level: Level) -> list[Alignment]:
        """That of each sentence; made once, as quality, warnings and replies all look at it."""
        if level not in self._alignments:
            self._alignments[level] = [part.align(level) for part in self.parts]
        return self._alignments[level]

    @cached_property
    def _alignments(self) -> dict[Level, list[Alignment]]:
        return {}


@dataclass(frozen=True, slots=True)
class Translation:
    """A translated text: the hypotheses, best first. `detected_source` is set when the language was not given."""

    source: str
    target: str
    detected_source: str | None
    hypotheses: list[TextHypothesis]

    @property
    def text(self) -> str:
        """The best translation."""
        return self.hypotheses[0].text

    @property
    def score(self) -> float:
        """The score of the best translation."""
        return self.hypotheses[0].score


@dataclass(frozen=True, slots=True)
class Job:
    """A text on its way through search: one source for the engine a sentence."""

    text: str
    source: str
    target: str
    detected_source: str | None
    sentences: list[Sentence]
    sources: list[Pieces]
    terms: list[list[Term]]
    guides: list[Guide]
