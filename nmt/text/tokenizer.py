"""Text to pieces and back, each piece with its characters in the text that the caller sent."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from random import Random
from typing import Literal, Self

import sentencepiece
from pydantic import Field

from nmt.config import Config
from nmt.errors import ModelFolderError, UnknownLanguage
from nmt.text.normalize import Form, NormalizedText, normalize
from nmt.text.resampling import BpeCutter, Resampler, UnigramCutter
from nmt.text.symbols import LONE_BYTE

PAD, UNKNOWN, BEGIN, END = 0, 1, 2, 3
"""Ids that every vocabulary shares: padding, unknown (never produced, thanks to byte fallback), start and end."""

Span = tuple[int, int]
Side = Literal["source", "target"]


class TokenizerConfig(Config):
    """How to cut text into pieces (SentencePiece: Kudo & Richardson 2018; unigram: Kudo 2018; BPE: Sennrich 2016)."""

    algorithm: Literal["unigram", "bpe", "char"] = "unigram"
    vocabulary_size: int = Field(8000, ge=270, le=64000, description="pieces a vocabulary, the 256 bytes included")
    joint: bool = Field(True, description="one vocabulary for both sides")
    normalization: Form = "nfc"


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text as pieces. `spans[i]` are the characters of piece `i` in `text`; special pieces have an empty span."""

    text: str
    ids: list[int]
    pieces: list[str]
    spans: list[Span]

    def __len__(self) -> int:
        return len(self.ids)


class Tokenizer:
    """Cuts source and target text into pieces, with one vocabulary for both sides or one each."""

    def __init__(self, config: TokenizerConfig, languages: Sequence[str], models: dict[str, bytes]) -> None:
        """`models`: serialized SentencePiece models by side, `{"joint": …}` or `{"source": …, "target": …}`."""
        self.config = config
        self.languages = tuple(languages)
        self._models = models
        self._source = _processor(models, "source")
        self._target = self._source if config.joint else _processor(models, "target")

    @property
    def source_vocabulary(self) -> int:
        """Pieces of the source vocabulary."""
        return int(self._source.get_piece_size())

    @property
    def target_vocabulary(self) -> int:
        """Pieces of the target vocabulary."""
        return int(self._target.get_piece_size())

    def equals(self, other: "Tokenizer") -> bool:
        """Whether both cut every text into the same pieces, with the same ids and tags."""
        own, others = ((t.config, t.languages, t._models) for t in (self, other))
        return own == others

    def normalize(self, text: str) -> NormalizedText:
        """The text as the model sees it."""
        return normalize(text, self.config.normalization)

    def tag(self, target_language: str) -> int:
        """Id of the source piece that asks for a target language (Johnson et al. 2017)."""
        if target_language not in self.languages:
            known = ", ".join(self.languages)
            raise UnknownLanguage(f"target language is {target_language!r}; this model knows {known}", "target")
        return int(self._source.piece_to_id(tag_piece(target_language)))

    def encode_source(self, text: str, target_language: str) -> Pieces:
        """Tag, pieces, end of sentence."""
        tag, body = self.tag(target_language), self._encode(self._source, text)
        last = body.spans[-1][1] if body.spans else 0
        return Pieces(
            text,
            [tag, *body.ids, END],
            [tag_piece(target_language), *body.pieces, "</s>"],
            [(0, 0), *body.spans, (last, last)],
        )

    def encode_target(self, text: str) -> Pieces:
        """Pieces and end of sentence."""
        body = self._encode(self._target, text)
        last = body.spans[-1][1] if body.spans else 0
        return Pieces(text, [*body.ids, END], [*body.pieces, "</s>"], [*body.spans, (last, last)])

    def source_ids(self, texts: Sequence[str], target_language: str) -> list[list[int]]:
        """`encode_source` of many texts, ids only: for training."""
        tag = self.tag(target_language)
        return [[tag, *ids, END] for ids in self._source.encode(self._normalized(texts))]

    def target_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode_target` of many texts, ids only: for training."""
        return [[*ids, END] for ids in self._target.encode(self._normalized(texts))]

    def resample(self, sentences: Sequence[Sequence[int]], side: Side, alpha: float, seed: int) -> list[list[int]]:
        """The same texts cut into other pieces at random (Kudo 2018, section 3; BPE: Provilkov et al. 2020).

        `alpha`: for unigram the smoothing, where smaller is wilder; for BPE the share of merges that are left out.
        Tag and end of sentence stay. The same seed gives the same pieces, on every machine.
        """
        if self.config.algorithm == "char":
            return [list(ids) for ids in sentences]
        processor, random = self._side(side), Random(seed)
        resample = self._resampler(side, alpha).resample
        tags = [len(ids) > 0 and processor.is_control(ids[0]) and ids[0] != END for ids in sentences]
        return [[*ids[:tag], *resample(ids[tag:-1], random), END] for ids, tag in zip(sentences, tags, strict=True)]

    def decode(self, ids: Sequence[int]) -> Pieces:
        """The text of target ids, and where in it each piece stands; for nothing special ids and a space at the end."""
        visible = [i for i in ids if i > END]
        decoded = self._target.decode(visible, return_type="offset_mapping") if visible else {}
        text: str = decoded.get("text", "")
        offsets: list[Span] = decoded.get("offsets", [])
        found = iter(_trimmed(text, [bool(self._target.is_byte(i)) for i in visible], offsets))
        spans: list[Span] = []
        for i in ids:
            at = spans[-1][1] if spans else 0
            spans.append(next(found) if i > END else (at, at))
        text = text.rstrip(" ")
        spans = [(min(start, len(text)), min(end, len(text))) for start, end in spans]
        return Pieces(text, list(ids), [self.target_piece(i) for i in ids], spans)

    def target_piece(self, piece_id: int) -> str:
        """A target piece as SentencePiece writes it, with `▁` for a space."""
        return str(self._target.id_to_piece(piece_id))

    @cache  # noqa: B019 - a tokenizer lives as long as what uses it
    def ids(self, side: Side) -> dict[str, int]:
        """The ids of a vocabulary in their order, by piece as SentencePiece writes it."""
        processor = self._side(side)
        return {str(processor.id_to_piece(i)): i for i in range(processor.get_piece_size())}

    @cached_property
    def target_symbols(self) -> list[str]:
        """What each target piece adds to a text, a space before its first word included; special ones nothing.

        A byte that is a piece is a symbol of its own, from `LONE_BYTE` on.
        """
        return [self._symbols(piece) for piece in range(self.target_vocabulary)]

    @cached_property
    def unsaid_pieces(self) -> list[int]:
        """Target pieces that no text has: special ones but the end, such as tags, and the bytes of control characters,
        such as a line break."""
        controls = {chr(ord(LONE_BYTE) + byte) for byte in (*range(0x20), 0x7F)} | {""}
        return [piece for piece, symbols in enumerate(self.target_symbols) if piece != END and symbols in controls]

    def _symbols(self, piece: int) -> str:
        if self._target.is_byte(piece):
            return chr(ord(LONE_BYTE) + int(self.target_piece(piece)[1:-1], 16))
        special = self._target.is_control(piece) or self._target.is_unknown(piece)
        return "" if special else self.target_piece(piece).replace("\u2581", " ")

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and the SentencePiece models into a folder, made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        for side, model in self._models.items():
            (folder / f"{side}.model").write_bytes(model)
        description = {"languages": self.languages, **self.config.model_dump()}
        (folder / "tokenizer.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises `ModelFolderError` where that is no tokenizer."""
        return cls.read(lambda name: (folder / name).read_bytes(), where=str(folder))

    @classmethod
    def read(cls, content: Callable[[str], bytes], where: str) -> Self:
        """From what is in the files of a folder, by their names; `where` is for messages."""
        try:
            description = json.loads(content("tokenizer.json").decode("utf-8"))
            languages = description.pop("languages")
            if not isinstance(languages, list) or not all(isinstance(language, str) for language in languages):
                raise TypeError(f"languages is {languages!r}; a list of codes is wanted")
            config = TokenizerConfig.read(description, where=f"{where}/tokenizer.json")
            sides = ("joint",) if config.joint else ("source", "target")
            return cls(config, languages, {side: content(f"{side}.model") for side in sides})
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise ModelFolderError(f"no tokenizer can be read from {where}: {error}") from error

    @cache  # noqa: B019 - a tokenizer lives as long as what uses it
    def _resampler(self, side: Side, alpha: float) -> Resampler:
        cutter = UnigramCutter if self.config.algorithm == "unigram" else BpeCutter
        return Resampler(self._side(side), cutter(self._side(side), alpha))

    def _side(self, side: Side) -> sentencepiece.SentencePieceProcessor:
        return self._source if side == "source" else self._target

    def _normalized(self, texts: Sequence[str]) -> list[str]:
        return [self.normalize(text).text for text in texts]

    def _encode(self, processor: sentencepiece.SentencePieceProcessor, text: str) -> Pieces:
        normalized = self.normalize(text)
        encoded = processor.encode(normalized.text, return_type="offset_mapping")
        ids: list[int] = encoded["ids"]
        spans = _trimmed(normalized.text, [bool(processor.is_byte(i)) for i in ids], encoded["offsets"])
        return Pieces(text, ids, encoded["pieces"], [normalized.original_span(start, end) for start, end in spans])


def _processor(models: dict[str, bytes], side: str) -> sentencepiece.SentencePieceProcessor:
    try:
        processor = sentencepiece.SentencePieceProcessor()
        processor.LoadFromSerializedProto(models.get("joint") or models[side])  # the constructor passes over b""
        return processor
    except (RuntimeError, KeyError) as error:
        raise ModelFolderError(f"the SentencePiece model of the {side} side is missing or damaged: {error}") from error


def tag_piece(language: str) -> str:
    """The source piece that asks for a target language."""
    return f"<2{language}>"


def _trimmed(text: str, is_byte: Sequence[bool], spans: Sequence[Span]) -> list[Span]:
    """Spans without the space that `▁` stands for; every byte of a character gets the whole character.

    SentencePiece gives the character to the last of its bytes and an empty span to the others.
    """
    trimmed = [(start + (text[start : start + 1] == " " and start < end), end) for start, end in spans]
    for i in range(len(trimmed) - 2, -1, -1):
        start, end = trimmed[i]
        if is_byte[i] and is_byte[i + 1] and start == end and trimmed[i + 1][0] == start:
            trimmed[i] = trimmed[i + 1]
    return trimmed
