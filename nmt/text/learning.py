"""Vocabularies that are learned from text."""

import io
import re
from collections.abc import Iterable, Sequence

import sentencepiece

from nmt.errors import DataError, VocabularyTooLarge
from nmt.text.normalize import normalize
from nmt.text.tokenizer import BEGIN, END, PAD, UNKNOWN, Side, Tokenizer, TokenizerConfig, tag_piece


def train_tokenizer(
    source_lines: Iterable[str], target_lines: Iterable[str], languages: Sequence[str], config: TokenizerConfig
) -> Tokenizer:
    """Learn the vocabularies from text. `languages` are those that the source tags can ask for.

    Raises `DataError` when the text is too small for the vocabulary, with the largest size that it allows.
    """
    normalized = [
        [normalize(line, config.normalization).text for line in lines] for lines in (source_lines, target_lines)
    ]
    if config.joint:
        models = {"joint": _train(normalized[0] + normalized[1], languages, config)}
    else:
        models = {side: _train(lines, languages, config) for side, lines in zip(_SIDES, normalized, strict=True)}
    return Tokenizer(config, languages, models)


_USUAL_BYTES = 4192  # what SentencePiece takes by itself
_SIDES: tuple[Side, ...] = ("source", "target")


def _train(lines: list[str], languages: Sequence[str], config: TokenizerConfig) -> bytes:
    """A serialized SentencePiece model. Normalization is ours, so that we know where each character came from."""
    if not any(lines):
        raise DataError("the tokenizer got no text to learn from; check the corpus files")
    model, longest = io.BytesIO(), max(len(line.encode()) for line in lines)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=config.algorithm,
            vocab_size=config.vocabulary_size,
            hard_vocab_limit=config.algorithm != "char",
            character_coverage=0.9999,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=max(_USUAL_BYTES, longest),  # it leaves out longer ones
            control_symbols=[tag_piece(language) for language in languages],
            pad_id=PAD,
            unk_id=UNKNOWN,
            bos_id=BEGIN,
            eos_id=END,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _too_large_or_small(str(error), config.vocabulary_size, len(lines)) from error
    return model.getvalue()


def _too_large_or_small(said: str, size: int, lines: int) -> DataError:
    """What SentencePiece says about a size that does not fit the text, for those who never heard of it."""
    if found := re.search(r"set it to a value <= (\d+)", said):
        largest = int(found[1])
        return VocabularyTooLarge(
            f"vocabulary_size is {size:,}, but the text of {lines:,} lines gives at most {largest:,} pieces; "
            "set vocabulary_size to half as many, or bring more text",
            largest,
        )
    if smallest := re.search(r"smaller than required_chars\. \d+ vs (\d+)", said):
        return DataError(
            f"vocabulary_size is {size:,}, but bytes, tags and the characters of the text alone are "
            f"{int(smallest[1]):,} pieces; set vocabulary_size to more than that"
        )
    return DataError(f"no {size:,} pieces can be learned from {lines:,} lines; SentencePiece says: {said}")
