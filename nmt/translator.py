"""The one place where all parts meet: text in, `Translation` out."""

from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

import numpy as np

from nmt.arrays import Arrays
from nmt.config import SearchConfig
from nmt.directions import AUTO, Direction, Directions
from nmt.errors import InputError, ModelFolderError, UnknownLanguage
from nmt.guidance import Guidance
from nmt.package import PRETRAINED, ModelFolder
from nmt.runtime.ensemble import Mixing, ensemble_of
from nmt.runtime.precision import PrecisionChoice, new_stepper
from nmt.scoring.forced import ForcedScore, score_forced
from nmt.scoring.risk import Utility, by_expected_utility
from nmt.search.engine import Engine, search_all
from nmt.search.hypothesis import Hypothesis
from nmt.search.penalties import final_score
from nmt.steering import steered
from nmt.text import sentences
from nmt.text.normalize import SURROGATE, is_blank
from nmt.text.sentences import Sentence
from nmt.text.tokenizer import Pieces, Tokenizer
from nmt.translation import Job, SentencePart, TextHypothesis, Translation

if TYPE_CHECKING:
    from nmt.runtime.packed import PackedStepper
    from nmt.runtime.stepper import ModelStepper

BOX = Path("box")
"""What the model in the box may be called wherever a model folder is named."""
Given = ParamSpec("Given")
Made = TypeVar("Made")


class Translator:
    """Translates with one model, or with several as an ensemble.

    `translate` does all, `attempt` all it can; `plan` and `assemble` are their two ends, for those who own the engine
    between them, as the service does.
    """

    def __init__(
        self,
        steppers: Sequence["PackedStepper | ModelStepper"],
        tokenizer: Tokenizer,
        directions: Sequence[Direction],
        mixing: Mixing = "log_linear",
    ) -> None:
        """steppers: of models with one tokenizer; `mixing` says how several decide together."""
        self.tokenizer, self._known = tokenizer, Directions(directions)
        self.precision = ", ".join(sorted({stepper.precision for stepper in steppers}))
        self._stepper = ensemble_of(steppers, mixing)
        self._guidance = Guidance(tokenizer)

    @classmethod
    def load(cls, *paths: Path | str, precision: PrecisionChoice = "fp32", mixing: Mixing = "log_linear") -> Self:
        """From a model folder, or from several as an ensemble; without one, the model in the box.

        precision: what to decode in (`nmt.runtime.precision`); `auto` takes the fastest on this machine.
        """
        return cls.from_folders([load_model(Path(path)) for path in paths or [BOX]], precision, mixing)

    @classmethod
    def from_folders(
        cls, folders: Sequence[ModelFolder], precision: PrecisionChoice = "fp32", mixing: Mixing = "log_linear"
    ) -> Self:
        """From model folders that are in memory already. Raises `ModelFolderError` when they do not fit together."""
        directions = _common_directions(folders)
        steppers = [new_stepper(folder.description.model, _speakable(folder), precision) for folder in folders]
        return cls(steppers, folders[0].tokenizer, directions, mixing)

    @property
    def directions(self) -> list[Direction]:
        """What it translates: pairs of source and target."""
        return self._known.pairs

    def new_engine(self) -> Engine[Any]:
        """A decode engine over the models."""
        return Engine(self._stepper)

    def translate(
        self,
        texts: Sequence[str],
        target: str,
        source: str = AUTO,
        search: SearchConfig | None = None,
        engines: int = 1,
    ) -> list[Translation]:
        """Translate texts of any length; they are decoded together, and do not influence each other."""
        if isinstance(texts, str):
            raise InputError("texts is a single text, and would be translated letter by letter; give a list", "text")
        search = search or SearchConfig()
        jobs = [self.plan(text, source, target, search) for text in texts]
        found = self._search(jobs, search, engines)
        return [self.assemble(job, own, search) for job, own in zip(jobs, found, strict=True)]

    def attempt(
        self, texts: Sequence[str], target: str, source: str, search: SearchConfig, engines: int = 1
    ) -> list[Translation | InputError]:
        """As `translate`, but a text that cannot be translated becomes its error, and the others their translation.

        Raises `UnknownLanguage`, which is wrong with all of them.
        """
        plans = [attempted(self.plan, text, source, target, search) for text in texts]
        found = iter(self._search([plan for plan in plans if isinstance(plan, Job)], search, engines))
        return [
            attempted(self.assemble, plan, next(found), search) if isinstance(plan, Job) else plan for plan in plans
        ]

    def _search(self, jobs: Sequence[Job], search: SearchConfig, engines: int) -> list[list[list[Hypothesis]]]:
        """The hypotheses of each sentence of each job; all are decoded together."""
        sources = [pieces.ids for job in jobs for pieces in job.sources]
        guides = [guide for job in jobs for guide in job.guides]
        found = iter(search_all(self._stepper, sources, search, engines, guides))
        return [[next(found) for _ in job.sources] for job in jobs]

    def plan(self, text: str, source: str, target: str, search: SearchConfig) -> Job:
        """Find the language, split into sentences, cut into pieces, prepare what the search asks of the translation.

        Raises `InputError` for bad input.
        """
        _check_text(text, "text")
        detected = None
        if source == AUTO:
            detected = source = self._known.detect(text, target)
        self._known.check(source, target)
        found = sentences.split(text, source)
        encoded = [self.tokenizer.encode_source(sentence.text, target) for sentence in found]
        terms = self._guidance.terms(encoded, search.glossary)
        guides = self._guidance.guides(encoded, terms, search)
        guides = steered(guides, found, encoded, search.attention, self.tokenizer)
        return Job(text, source, target, detected, found, encoded, terms, guides)

    def assemble(self, job: Job, found: Sequence[Sequence[Hypothesis]], search: SearchConfig) -> Translation:
        """Put the hypotheses of a job's sentences, as the search found them, together into those of its text.

        The n-th alternative of a text takes each sentence's n-th, or its last where it has fewer. What a beam found
        twice, cut into other pieces, is one alternative.
        """
        if not all(found):
            raise InputError(
                "no translation within max_length satisfies prefix, include, glossary and exclude; raise max_length or "
                "ask for less",
                "search",
            )
        written = [[(own, self.tokenizer.decode(own.pieces)) for own in hypotheses] for hypotheses in found]
        if search.mbr != "none":
            written = [_by_risk(own, search) for own in written]
        if search.method != "sample":
            written = [_different(own) for own in written]
        written = [own[: search.n_best] for own in written]
        ranks = range(max(map(len, written), default=1))
        hypotheses = [_join(job, [own[min(rank, len(own) - 1)] for own in written]) for rank in ranks]
        return Translation(job.source, job.target, job.detected_source, hypotheses)

    def score(self, pairs: Sequence[tuple[str, str]], target: str, source: str) -> list[TextHypothesis]:
        """What the model thinks of given translations: pairs of source text and translation.

        Sentence by sentence, as `translate` would have found them, where both have as many; else as one sentence.
        `alternatives` says what the model would have written instead.
        """
        self._known.check(source, target)
        for number, pair in enumerate(pairs):
            check_pair(pair, f" {number}" if len(pairs) > 1 else "")
        parts = [_paired(text, translation, source, target) for text, translation in pairs]
        sentence_pairs = list(chain(*parts))
        sources = [self.tokenizer.encode_source(own.text, target) for own, _ in sentence_pairs]
        targets = [self.tokenizer.encode_target(own.text) for _, own in sentence_pairs]
        forced = score_forced(self._stepper, [own.ids for own in sources], [own.ids for own in targets])
        done = map(_forced_part, sentence_pairs, sources, targets, forced)
        return [
            TextHypothesis(translation, tuple(islice(done, len(own))))
            for (_, translation), own in zip(pairs, parts, strict=True)
        ]

    def alternatives(self, hypothesis: TextHypothesis, count: int) -> list[list[tuple[str, float]]]:
        """For each token of a hypothesis, the likeliest pieces at its place with their log-probabilities; none that is
        impossible."""
        sources = [part.source.ids for part in hypothesis.parts]
        targets = [part.hypothesis.pieces for part in hypothesis.parts]
        controls = [part.controls for part in hypothesis.parts]
        return [
            [(self.tokenizer.target_piece(piece), log_prob) for piece, log_prob in place if log_prob > -np.inf]
            for forced in score_forced(self._stepper, sources, targets, count, controls)
            for place in forced.top
        ]


def attempted(make: Callable[Given, Made], *given: Given.args, **named: Given.kwargs) -> Made | InputError:
    """What `make` makes of one text among others, or what is wrong with that text. Raises `UnknownLanguage`."""
    try:
        return make(*given, **named)
    except UnknownLanguage:
        raise
    except InputError as error:
        return error


Written = tuple[Hypothesis, Pieces]
"""A hypothesis of a sentence, and its text."""


def _join(job: Job, chosen: Sequence[Written]) -> TextHypothesis:
    text, starts = sentences.join(job.text, job.sentences, [pieces.text for _, pieces in chosen])
    parts = zip(job.sources, chosen, job.sentences, starts, job.terms, job.guides, strict=True)
    return TextHypothesis(
        text,
        tuple(
            SentencePart(source, target, hypothesis, own.start, at, terms, guide.controls)
            for source, (hypothesis, target), own, at, terms, guide in parts
        ),
    )


def _different(written: Sequence[Written]) -> list[Written]:
    """Of those with the same text the first."""
    first = dict[str, Written]()
    for own in written:
        first.setdefault(own[1].text, own)
    return list(first.values())


def _by_risk(written: Sequence[Written], search: SearchConfig) -> list[Written]:
    """Samples weigh the same; of a beam each hypothesis weighs what the model gives it."""
    log_probs = np.array([0.0 if search.method == "sample" else own.log_prob for own, _ in written])
    weights = np.exp(log_probs - log_probs.max())
    order = by_expected_utility([pieces.text for _, pieces in written], weights.tolist(), cast(Utility, search.mbr))
    return [written[i] for i in order]


def _common_directions(folders: Sequence[ModelFolder]) -> list[Direction]:
    """What all of them translate, in the order of the first."""
    first = folders[0]
    for other in folders[1:]:
        if not first.tokenizer.equals(other.tokenizer):
            raise ModelFolderError(
                f"{first.path} and {other.path} cut text into different pieces; an ensemble wants models that were "
                "trained on one prepared folder, with one tokenizer"
            )
    common = [pair for pair in first.description.directions if all(pair in o.description.directions for o in folders)]
    if not common:
        known = "; ".join(f"{o.path}: {', '.join(map('-'.join, o.description.directions))}" for o in folders)
        raise ModelFolderError(f"the models of the ensemble have no direction in common ({known})")
    return common


def check_pair(pair: tuple[str, str], place: str = "") -> None:
    """Refuse a text and its translation if one of them cannot be read; `place` is which of several they are."""
    for own, field in zip(pair, ("text", "translation"), strict=True):
        _check_text(own, field, f"{field}{place}")


def _check_text(text: str, field: str, called: str = "") -> None:
    """Refuse what has nothing to translate, and what no UTF-8 reply could hold."""
    called = called or field
    if is_blank(text):
        raise InputError(f"{called} is empty; send at least one character that can be seen", field)
    surrogate = SURROGATE.search(text)
    if surrogate:
        raise InputError(f"{called} has half a surrogate pair at {surrogate.start()}; send valid Unicode", field)


def _speakable(folder: ModelFolder) -> Arrays:
    """The weights, such that what no text has is impossible: a line break would make two lines of a translation, and
    a tag would be a piece without text."""
    bias = folder.weights["output.bias"].astype(np.float32)
    bias[folder.tokenizer.unsaid_pieces] = -np.inf
    return folder.weights | {"output.bias": bias}


def _paired(text: str, translation: str, source: str, target: str) -> list[tuple[Sentence, Sentence]]:
    """The sentences of both, if they are as many and nothing stands beside them, or each text as one."""
    both = text, translation
    found = [sentences.split(own, language) for own, language in zip(both, (source, target), strict=True)]
    beside = [sentences.join(own, parts, [""] * len(parts))[0] for own, parts in zip(both, found, strict=True)]
    if len(found[0]) != len(found[1]) or not all(map(is_blank, beside)):
        found = [[Sentence(own, 0, len(own))] for own in both]
    return list(zip(*found, strict=True))


def _forced_part(place: tuple[Sentence, Sentence], source: Pieces, target: Pieces, forced: ForcedScore) -> SentencePart:
    score = final_score(forced.log_probs, forced.weights, SearchConfig())
    hypothesis = Hypothesis(target.ids, forced.log_probs, forced.weights, score)
    return SentencePart(source, target, hypothesis, place[0].start, place[1].start)


def load_model(path: Path) -> ModelFolder:
    """A model folder; `box` names the one in the box, unless there is a folder of that name."""
    return ModelFolder.load(default_model() if path == BOX and not BOX.exists() else path)


def default_model() -> Path:
    """The folder of the model in the box."""
    found = sorted(PRETRAINED.glob("*/config.json"))
    if not found:
        raise ModelFolderError(f"there is no model in {PRETRAINED}; name a model folder, or train one with `nmt train`")
    return found[0].parent
