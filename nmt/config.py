"""Settings that check themselves: whoever holds one may trust it.

Every settings class of the project derives from `Config`: frozen, keyword-only, unknown keys are errors.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

from nmt.errors import ConfigError


class Config(BaseModel):
    """Base of all settings. `read` turns a mapping from a file into one, with errors a person can act on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str) -> Self:
        """Check `values`; `where` names their origin in the message of the `ConfigError`."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{where}: {describe(error, cls)}") from error


def describe(error: ValidationError, config: type[BaseModel]) -> str:
    """One line a problem: which key, what is wrong with it, what was given, and which keys exist."""
    lines = []
    problems = error.errors()
    for problem in problems:
        if problem["type"] == "too_short" and any(_is_within(other["loc"], problem["loc"]) for other in problems):
            continue  # those that do not fit were not counted
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {key!r}; known here: {', '.join(_known_keys(config, problem['loc']))}")
        elif problem["type"] == "missing":
            lines.append(f"{key} is missing")
        elif problem["type"] == "value_error":  # from a check of our own, which says what was given
            lines.append(": ".join(filter(None, [key, problem["msg"].removeprefix("Value error, ")])))
        else:
            lines.append(
                f"{key} is {problem['input']!r}: {_wanted(problem['type'], problem['input']) or problem['msg']}"
            )
    return "; ".join(lines)


def _wanted(kind: str, given: Any) -> str:
    """What to write instead of a value of another kind, in TOML, as `--set` and recipes have it; "" for most kinds."""
    text = "{key=value}" if isinstance(given, dict) else f'"{given}"' if isinstance(given, str) else f"{given}"
    return {
        "tuple_type": f"wanted: a list, such as [{text}]",
        "dict_type": 'wanted: a table, such as {"Tür"="door"}',
        "model_type": "wanted: a table, such as {key=value}",
        "string_type": f'wanted: a text in quotes, such as "{given}"',
    }.get(kind, "")


def _known_keys(config: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the settings class that `location` leads into."""
    for part in location[:-1]:
        field = config.model_fields.get(str(part))
        config = (_settings_in(field.annotation) if field else None) or config
    return sorted(config.model_fields)


def _settings_in(annotation: Any) -> type[BaseModel] | None:
    """The settings class that a type is, or holds, as a tuple of them does."""
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_settings_in, get_args(annotation))), None)


def _is_within(inner: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def read_toml(path: Path, what: str, changes: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a TOML file, `what` in messages, after changes such as `model.decoder_size=256`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows puts a mark before UTF-8
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path} is not valid TOML: {error}") from error
    for change in changes:
        set_value(values, change)
    return values


def set_value(values: dict[str, Any], change: str) -> None:
    """Set one key as `--set` has it, written `table.key=value`; what is no TOML value counts as a string, unless it
    begins as a table or a list."""
    key, equals, text = change.partition("=")
    if not equals:
        raise ConfigError(f"--set got {change!r}; it takes key=value, for example updates=1000")
    *tables, name = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {change}: {table!r} is a value, not a table")
    try:
        values[name] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text.lstrip().startswith(("{", "[")):
            raise ConfigError(
                f"--set {key} is no table or list of TOML ({error}); write it on one line, with texts and keys in "
                """quotes, such as {"Tür"="door", "the dog"="der Hund"} or ["a", "b"]"""
            ) from error
        values[name] = text


Score = Literal["additive", "dot", "scaled_dot", "general", "concat", "none"]
Wiring = Literal["deep", "input_feeding", "conditional"]
Tying = Literal["none", "two_way", "three_way"]


class ModelConfig(Config):
    """The shape of a `Seq2Seq`; stored in the model folder beside the weights.

    `tying`: `two_way` shares the decoder's input and output embeddings (Press & Wolf 2017); `three_way` shares the
    encoder's with them as well and needs a joint vocabulary.
    """

    source_vocabulary: int = Field(ge=8)
    target_vocabulary: int = Field(ge=8)
    embedding_size: int = Field(256, ge=1)
    encoder_size: int = Field(256, ge=1, description="hidden units a direction")
    encoder_layers: int = Field(2, ge=1, le=8)
    decoder_size: int = Field(512, ge=1)
    decoder_layers: int = Field(2, ge=1, le=8)
    attention: Score = "additive"
    attention_size: int = Field(256, ge=1, description="size of queries and keys, over all heads")
    attention_heads: int = Field(1, ge=1, le=16)
    wiring: Wiring = "deep"
    tying: Tying = "three_way"
    residual: bool = False
    layer_norm: bool = Field(False, description="of what leaves each recurrent layer")
    gate_norm: bool = Field(False, description="layer normalization a gate, inside the recurrent layers")
    embedding_dropout: float = Field(0.3, ge=0, lt=1)
    layer_dropout: float = Field(0.3, ge=0, lt=1, description="between recurrent layers")
    output_dropout: float = Field(0.3, ge=0, lt=1)
    word_dropout: float = Field(0.0, ge=0, lt=1, description="whole pieces that are not seen, on both sides")
    recurrent_dropout: float = Field(0.0, ge=0, lt=1, description="of hidden states, the same units at all steps")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.tying == "three_way" and self.source_vocabulary != self.target_vocabulary:
            raise ValueError(
                f"tying is three_way, but the vocabularies differ ({self.source_vocabulary} source and "
                f"{self.target_vocabulary} target pieces); train one joint tokenizer, or set tying to two_way"
            )
        if self.attention == "dot" and self.decoder_size != self.memory_size:
            raise ValueError(
                f"attention is dot, which compares decoder and memory directly, but decoder_size is "
                f"{self.decoder_size} and 2 × encoder_size is {self.memory_size}; make them equal or choose general"
            )
        for name in ("attention_size", "decoder_size", "memory_size"):
            if getattr(self, name) % self.attention_heads:
                raise ValueError(f"{name} is {getattr(self, name)}, not a multiple of {self.attention_heads} heads")
        return self

    @property
    def memory_size(self) -> int:
        """Features a source piece: both directions of the last encoder layer."""
        return 2 * self.encoder_size


_MOST_CHARACTERS = 500
"""Of phrases: their automata take time and memory in proportion."""

LONGEST = 1000
"""Pieces of a sentence's translation, whatever a search asks for."""

Phrase = Annotated[str, Field(max_length=100)]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
"""A search comes from a program as often as from a person: `"5"`, `5.0` or `true` for a number is a mistake in it."""


class AttentionControl(Config):
    """How much attention some of the source gets: `weight` times what it would get, in the steps [first, last).

    The source: all places where `words` stand, or the characters [start, end) of the text. Steps count the pieces of a
    sentence's translation from 0.
    """

    words: Phrase = ""
    start: Whole | None = Field(None, ge=0)
    end: Whole | None = Field(None, ge=1)
    steps: tuple[Annotated[Whole, Field(ge=0)], Annotated[Whole, Field(ge=1)]] = (0, LONGEST + 1)
    weight: Number = Field(ge=0, le=1_000, description="0 masks it")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        spans = None not in (self.start, self.end)
        if bool(self.words) == spans or (self.start is None) != (self.end is None):
            raise ValueError("wanted: words, or start and end, of the source that the weight is for")
        for name, (first, last) in {"start": (self.start or 0, self.end or 1), "steps": self.steps}.items():
            if first >= last:
                raise ValueError(f"{name} is {first}, not before {last}, where it ends")
        return self


class SearchConfig(Config):
    """How to search for a translation. docs/search.md has the formulas.

    Lengths count target pieces, the end of sentence not among them; ratios are of the source's pieces, tag and end of
    sentence among them.
    """

    method: Literal["beam", "greedy", "sample"] = "beam"
    beam_size: Whole = Field(5, ge=1, le=32)
    n_best: Whole = Field(
        1,
        ge=1,
        le=32,
        description="hypotheses to return, at most beam_size, fewer where two are one text; how many samples to draw",
    )
    length_penalty: Number = Field(1.0, ge=0, le=5, description="exponent; 0 ranks by plain log-probability")
    length_penalty_form: Literal["power", "gnmt"] = "power"
    coverage_penalty: Number = Field(0.0, ge=0, le=5)
    end_penalty: Number = Field(0.0, ge=0, le=5, description="how much an end that comes as a surprise costs")
    max_length: Whole = Field(200, ge=1, le=LONGEST)
    min_length: Whole = Field(0, ge=0, le=LONGEST)
    max_length_ratio: Number | None = Field(None, gt=0, le=50)
    min_length_ratio: Number = Field(0.0, ge=0, le=10)
    no_repeat_ngram: Whole = Field(0, ge=0, le=10, description="no run of that many pieces stands twice; 0 allows it")
    max_repeats: Whole = Field(0, ge=0, le=20, description="how often a unit may stand in a row; 0 allows any number")
    diversity_groups: Whole = Field(1, ge=1, le=32, description="parts of the beam that avoid each other's pieces")
    diversity_penalty: Number = Field(0.5, ge=0, le=10)
    temperature: Number = Field(1.0, ge=1e-6, le=10, description="of samples")
    top_k: Whole = Field(0, ge=0, le=100_000, description="samples take one of the k likeliest pieces; 0 takes any")
    top_p: Number = Field(1.0, gt=0, le=1, description="samples take one of the fewest pieces that hold this mass")
    seed: Whole | None = Field(None, ge=0, lt=2**63, description="the same seed draws the same samples")
    prefix: str = Field("", max_length=500, description="how the translation begins, also in the middle of a word")
    include: tuple[Phrase, ...] = Field((), max_length=10, description="words and phrases that must stand in it")
    glossary: dict[Phrase, Phrase] = Field({}, max_length=1000, description="terms, each with its only translation")
    exclude: tuple[Phrase, ...] = Field((), max_length=50, description="words and phrases that must not stand in it")
    attention: tuple[AttentionControl, ...] = Field((), max_length=50, description="raise or mask source words")
    mbr: Literal["none", "chrf", "bleu"] = Field(
        "none", description="rank all that the search keeps by how like the others they are, by this measure"
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.n_best > self.width:
            more = "raise beam_size" if self.method == "beam" else "choose the method beam or sample"
            raise ValueError(f"n_best is {self.n_best}, but {self.method} search keeps {self.width}; {more}")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length is {self.min_length}, above max_length, which is {self.max_length}")
        if self.max_length_ratio is not None and self.min_length_ratio > self.max_length_ratio:
            raise ValueError(
                f"min_length_ratio is {self.min_length_ratio:g}, above max_length_ratio, "
                f"which is {self.max_length_ratio:g}"
            )
        characters = sum(map(len, (*self.include, *self.exclude)))
        if characters > _MOST_CHARACTERS:
            raise ValueError(
                f"include and exclude have {characters:,} characters in all; send at most {_MOST_CHARACTERS:,}"
            )
        if self.diversity_groups > 1 and (self.method != "beam" or self.beam_size % self.diversity_groups):
            raise ValueError(
                f"diversity_groups is {self.diversity_groups} for {self.method} search with beam_size "
                f"{self.beam_size}; wanted: a beam, whose size is a multiple of the groups"
            )
        return self

    @property
    def guided(self) -> bool:
        """Whether it asks for more than the likeliest: for what a translation says, looks at, or is worth."""
        asked = self.prefix, self.include, self.exclude, self.glossary, self.attention
        return any(asked) or self.mbr != "none"

    @property
    def width(self) -> int:
        """Rows that the search holds: 1 for greedy search, whatever `beam_size` says; one a sample."""
        return {"greedy": 1, "beam": self.beam_size, "sample": self.n_best}[self.method]

    @property
    def kept(self) -> int:
        """Hypotheses that the search hands over: those that are returned, or those to choose them from."""
        return self.n_best if self.mbr == "none" else self.width

    @property
    def group_size(self) -> int:
        """Rows that compete with each other: those of a beam, or of a group of it; a sample has no competitor."""
        return 1 if self.method == "sample" else self.width // self.diversity_groups

    def lengths(self, source_pieces: int) -> tuple[int, int]:
        """The shortest and the longest translation of a source with that many pieces; the longest has precedence."""
        longest = self.max_length
        if self.max_length_ratio is not None:
            longest = min(longest, max(1, math.ceil(round(self.max_length_ratio * source_pieces, 9))))
        return min(longest, max(self.min_length, math.floor(round(self.min_length_ratio * source_pieces, 9)))), longest
