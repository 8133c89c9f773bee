"""What replies look like."""

from typing import Literal

from pydantic import BaseModel, Field

from nmt.alignment import Level


class UnitReply(BaseModel):
    """A word, piece or character; `start` and `end` are offsets in code points, so `text[start:end]` is it."""

    text: str
    start: int
    end: int


class LinkReply(BaseModel):
    """Which source unit a target unit came from most."""

    source: int
    target: int
    weight: float


class AlignmentReply(BaseModel):
    """weights: target units × source units; each row sums to 1."""

    level: Level
    source: list[UnitReply]
    target: list[UnitReply]
    weights: list[list[float]]
    links: list[LinkReply]
    pharaoh: str


class TopReply(BaseModel):
    """A piece that could have stood at this place."""

    piece: str
    log_prob: float


class TokenReply(BaseModel):
    """A target piece, its place in the text, and what the model thought of it."""

    piece: str
    start: int
    end: int
    log_prob: float
    top: list[TopReply] | None = None


class WordReply(UnitReply):
    """A target word; confidence: its probability, given the words before it."""

    confidence: float


class TermReply(BaseModel):
    """A term of the glossary, and where the translation has it."""

    source: UnitReply
    target: UnitReply


class HypothesisReply(BaseModel):
    """One way to translate the text. `length` counts pieces, the end of each sentence included."""

    text: str
    score: float
    log_prob: float
    length: int
    alignment: AlignmentReply | None = None
    alignment_pieces: AlignmentReply | None = Field(None, description="with alignment: both")
    tokens: list[TokenReply] | None = None
    words: list[WordReply] | None = None
    terms: list[TermReply] | None = Field(None, description="of the glossary, where the text has them")


class SentenceReply(BaseModel):
    """A sentence of the translation, `text[start:end]`, and its confidence."""

    start: int
    end: int
    confidence: float


class QualityReply(BaseModel):
    """Signs of a good or bad translation; docs/quality.md has the formulas.

    uncovered and over_covered: source words that the translation did not look at, or so much that it may say them
    twice · warnings: which of these there are, and `low_confidence` if a sentence has less than `min_confidence`.
    """

    confidence: float
    coverage: float
    repetition: bool
    uncovered: list[UnitReply]
    over_covered: list[UnitReply]
    sentences: list[SentenceReply]
    warnings: list[Literal["low_confidence", "uncovered", "over_covered", "repetition"]]


class MetricReply(BaseModel):
    """A score, and how exactly sacreBLEU computed it; low and high bound the 95 % bootstrap interval."""

    score: float
    signature: str
    low: float | None = None
    high: float | None = None


class FieldProblem(BaseModel):
    """A field of the request, as a path with dots, and what is wrong with it."""

    field: str
    problem: str


class ProblemReply(BaseModel):
    """RFC 9457, with `error` for clients that know no problem+json."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    instance: str | None = None
    field: str | None = Field(None, description="the field of the request that is wrong, if it is one")
    errors: list[FieldProblem] | None = Field(None, description="all fields that are wrong")


class TranslationReply(BaseModel):
    """The best translation and its alternatives; or, for one bad text of a list, the `error` that is in the way."""

    text: str | None
    score: float | None = None
    detected_source: str | None = None
    hypotheses: list[HypothesisReply] = []
    quality: QualityReply | None = None
    bleu: MetricReply | None = None
    chrf: MetricReply | None = None
    error: ProblemReply | None = None


class ModelName(BaseModel):
    """Which weights answered."""

    name: str
    version: str
    sha256: str


class Timing(BaseModel):
    """How long the request waited for rows and was decoded, in milliseconds."""

    queue_ms: float
    decode_ms: float


class TranslateReply(BaseModel):
    """Translations in the order of the texts; warnings: what was left out because the reply would be too large."""

    translations: list[TranslationReply]
    bleu: MetricReply | None = None
    chrf: MetricReply | None = None
    model: ModelName
    timing: Timing
    warnings: list[str] | None = None


class ScoredReply(HypothesisReply):
    """A given translation."""

    quality: QualityReply


class BadReply(BaseModel):
    """For one bad pair of a list: the `error` that is in the way."""

    text: None
    error: ProblemReply


class ScoreReply(BaseModel):
    """The given translations, scored and aligned; warnings: what was left out because the reply would be too large."""

    scores: list[ScoredReply | BadReply]
    model: ModelName
    warnings: list[str] | None = None


class BucketReply(BaseModel):
    """BLEU of the sentences with `shortest` to `longest` source words."""

    shortest: int
    longest: int | None
    sentences: int
    bleu: float


class EvaluateReply(BaseModel):
    """Scores of a test set."""

    bleu: MetricReply
    chrf: MetricReply
    ter: MetricReply
    by_length: list[BucketReply]
    hypotheses: list[str]
    model: ModelName


class ModelReply(ModelName):
    """A model that is served."""

    directions: list[tuple[str, str]]
    parameters: int
    precision: str
    default: bool


class ModelsReply(BaseModel):
    """All models that are served."""

    models: list[ModelReply]


class LanguageReply(BaseModel):
    """A source language and what it can be translated into."""

    code: str
    name: str
    targets: list[str]


class LanguagesReply(BaseModel):
    """All source languages, and how many alternatives of a translation can be had."""

    languages: list[LanguageReply]
    max_n_best: int


class Status(BaseModel):
    """Health."""

    status: Literal["ok"] = "ok"
