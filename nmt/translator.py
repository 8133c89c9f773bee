"""The one place where all parts meet: text in, `Translation` out."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from nmt.config import SearchConfig
from nmt.errors import InputError, ModelFolderError, UnknownLanguage
from nmt.model.seq2seq import Seq2Seq
from nmt.package import PRETRAINED, ModelFolder
from nmt.runtime.stepper import ModelState, ModelStepper
from nmt.scoring.forced import ForcedScore, score_forced
from nmt.search.engine import Engine, search_all
from nmt.search.hypothesis import Hypothesis
from nmt.search.penalties import final_score
from nmt.text import languages, sentences
from nmt.text.tokenizer import Pieces, Tokenizer
from nmt.translation import Job, SentencePart, TextHypothesis, Translation

Direction = tuple[str, str]
AUTO = "auto"

_SURROGATE = re.compile("[\ud800-\udfff]")


class Translator:
    """Translates with one model. `translate` does all; `plan` and `assemble` are its two ends, for those who own the
    engine between them, as the service does."""

    def __init__(self, model: Seq2Seq, tokenizer: Tokenizer, directions: Sequence[Direction]) -> None:
        self.model, self.tokenizer, self.directions = model.eval(), tokenizer, list(directions)
        self._stepper = ModelStepper(model)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """From a model folder; without one, the model in the box."""
        return cls.from_folder(ModelFolder.load(path or default_model()))

    @classmethod
    def from_folder(cls, folder: ModelFolder) -> Self:
        """From a model folder that is in memory already."""
        return cls(folder.build(), folder.tokenizer, folder.description.directions)

    def new_engine(self) -> Engine[ModelState]:
        """A decode engine over this model."""
        return Engine(self._stepper)

    def translate(
        self, texts: Sequence[str], target: str, source: str = AUTO, search: SearchConfig | None = None
    ) -> list[Translation]:
        """Translate texts of any length; they are decoded together, and do not influence each other."""
        search = search or SearchConfig()
        jobs = [self.plan(text, source, target) for text in texts]
        found = iter(search_all(self._stepper, [pieces.ids for job in jobs for pieces in job.sources], search))
        return [self.assemble(job, [next(found) for _ in job.sources]) for job in jobs]

    def plan(self, text: str, source: str, target: str) -> Job:
        """Find the language, split into sentences, cut into pieces. Raises `InputError` for bad input."""
        _check_text(text, "text")
        detected = None
        if source == AUTO:
            candidates = sorted({pair[0] for pair in self.directions if pair[1] == target})
            self._check_target(target)
            detected = source = languages.detect(text, candidates)[0]
        self._check(source, target)
        found = sentences.split(text, source)
        encoded = [self.tokenizer.encode_source(sentence.text, target) for sentence in found]
        return Job(text, source, target, detected, found, encoded)

    def assemble(self, job: Job, found: Sequence[Sequence[Hypothesis]]) -> Translation:
        """Put the hypotheses of a job's sentences together into those of its text.

        The n-th alternative of a text takes each sentence's n-th, or its last where it has fewer.
        """
        count = max((len(hypotheses) for hypotheses in found), default=0)
        ranks = range(max(1, count))
        hypotheses = [self._join(job, [own[min(rank, len(own) - 1)] for own in found]) for rank in ranks]
        return Translation(job.text, job.source, job.target, job.detected_source, hypotheses)

    def score(self, pairs: Sequence[tuple[str, str]], target: str, source: str) -> list[TextHypothesis]:
        """What the model thinks of given translations: pairs of source text and translation, each as one sentence.

        `alternatives` says what it would have written instead.
        """
        self._check(source, target)
        for text, translation in pairs:
            _check_text(text, "text")
            _check_text(translation, "translation")
        encoded = [self.tokenizer.encode_source(text, target) for text, _ in pairs]
        wanted = [self.tokenizer.encode_target(translation) for _, translation in pairs]
        forced = score_forced(self.model, [p.ids for p in encoded], [p.ids for p in wanted])
        return [
            TextHypothesis(target_pieces.text, (_forced_part(source_pieces, target_pieces, result),))
            for source_pieces, target_pieces, result in zip(encoded, wanted, forced, strict=True)
        ]

    def alternatives(self, hypothesis: TextHypothesis, count: int) -> list[list[tuple[str, float]]]:
        """For each token of a hypothesis, the likeliest pieces at its place with their log-probabilities."""
        sources = [part.source.ids for part in hypothesis.parts]
        targets = [part.hypothesis.pieces for part in hypothesis.parts]
        return [
            [(self.tokenizer.target_piece(piece), log_prob) for piece, log_prob in place]
            for forced in score_forced(self.model, sources, targets, count)
            for place in forced.top
        ]

    def _join(self, job: Job, chosen: Sequence[Hypothesis]) -> TextHypothesis:
        decoded = [self.tokenizer.decode(hypothesis.pieces) for hypothesis in chosen]
        text, starts = sentences.join(job.text, job.sentences, [pieces.text for pieces in decoded])
        parts = zip(job.sources, decoded, chosen, job.sentences, starts, strict=True)
        return TextHypothesis(text, tuple(SentencePart(s, t, h, where.start, at) for s, t, h, where, at in parts))

    def _check(self, source: str, target: str) -> None:
        self._check_target(target)
        if (source, target) not in self.directions:
            raise UnknownLanguage(
                f"no translation from {source!r} to {target!r}; this model has {self._known()}", "source"
            )

    def _check_target(self, target: str) -> None:
        if target not in {pair[1] for pair in self.directions}:
            raise UnknownLanguage(f"no translation into {target!r}; this model has {self._known()}", "target")

    def _known(self) -> str:
        return ", ".join(f"{source} to {target}" for source, target in self.directions)


def _check_text(text: str, field: str) -> None:
    """Refuse what has nothing to translate, and what no UTF-8 reply could hold."""
    if not text.strip():
        raise InputError(f"{field} is empty; send at least one character that is not white space", field)
    surrogate = _SURROGATE.search(text)
    if surrogate:
        raise InputError(f"{field} has half a surrogate pair at {surrogate.start()}; send valid Unicode", field)


def _forced_part(source: Pieces, target: Pieces, forced: ForcedScore) -> SentencePart:
    score = final_score(forced.log_probs, forced.weights, SearchConfig())
    return SentencePart(source, target, Hypothesis(target.ids, forced.log_probs, forced.weights, score), 0, 0)


def default_model() -> Path:
    """The folder of the model in the box."""
    found = sorted(PRETRAINED.glob("*/config.json"))
    if not found:
        raise ModelFolderError(f"there is no model in {PRETRAINED}; name a model folder, or train one with `nmt train`")
    return found[0].parent
