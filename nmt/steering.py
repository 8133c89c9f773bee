"""From what a request says of attention to what is added to the scores of each sentence."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nmt.alignment import Unit, overlaps
from nmt.config import AttentionControl
from nmt.errors import InputError
from nmt.search.control import Control, total
from nmt.search.guides import Guide
from nmt.text.sentences import Sentence
from nmt.text.symbols import occurrences
from nmt.text.tokenizer import Pieces, Tokenizer


def steered(
    guides: Sequence[Guide],
    sentences: Sequence[Sentence],
    sources: Sequence[Pieces],
    wanted: Sequence[AttentionControl],
    tokenizer: Tokenizer,
) -> list[Guide]:
    """The guides of a text's sentences, with controls of their attention.

    Raises `InputError` for places where the text has no words, and where nothing of a sentence would be left to see.
    """
    parts = list(zip(sentences, sources, strict=True))
    if any(own.words and not tokenizer.normalize(own.words).text for own in wanted):
        raise InputError("attention has an empty phrase; send words", "search.attention")
    found = [[_control(own, *part, tokenizer) for part in parts] for own in wanted]
    for number, own in enumerate(wanted):
        if not own.words and not any(found[number]):
            raise InputError(
                f"attention {number} is for the characters {own.start} to {own.end}, where the text has no words",
                "search.attention",
            )
    steering = [tuple(filter(None, own)) for own in zip(*found, strict=True)] or [()] * len(parts)
    for controls, source in zip(steering, sources, strict=True):
        _check_left(controls, source)
    return [replace(guide, controls=own) if own else guide for guide, own in zip(guides, steering, strict=True)]


def _control(wanted: AttentionControl, sentence: Sentence, source: Pieces, tokenizer: Tokenizer) -> Control | None:
    """None where the sentence has nothing of it. Words are looked for in the model's own form, as terms are."""
    if wanted.start is not None and wanted.end is not None:
        spans = [(wanted.start - sentence.start, wanted.end - sentence.start)]
    else:
        text = tokenizer.normalize(sentence.text)
        found = occurrences(tokenizer.normalize(wanted.words).text, text.text)
        spans = [text.original_span(start, end) for start, end in found]
    units = [Unit(sentence.text, max(0, start), min(end, len(sentence.text))) for start, end in spans]
    inside = overlaps(source.spans, units).any(axis=1)
    if not inside.any():
        return None
    factor = math.log(wanted.weight) if wanted.weight else -math.inf
    return Control(np.where(inside, np.float32(factor), np.float32(0)), *wanted.steps)


def _check_left(controls: Sequence[Control], source: Pieces) -> None:
    """Some piece of the text must keep a weight; tag and end of sentence are never masked."""
    for step in {control.first for control in controls}:
        text = [start < end for start, end in source.spans]
        bias = total(controls, step)
        if bias is not None and (bias[text] == -math.inf).all():
            raise InputError(
                f"attention masks all of {source.text[:40]!r} in step {step}; leave a word to look at",
                "search.attention",
            )
