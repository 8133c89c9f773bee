"""Long texts as sentences, and back without losing a space or a line break."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, takewhile

import regex
import sentencex

from nmt.text.normalize import visible_span

_LINES = re.compile(r"[^\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_SPACE = re.compile(r"\s")
_LONGEST_SENTENCE = 400  # characters; the models are trained on sentences, and get lost in what is much longer
_CLAUSE_END = re.compile(r".*[,;:–—،、，；：]\s", re.DOTALL)
_WORD_END = re.compile(r".*\s", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, and its place `[start, end)` in the text that it is from; begins and ends with what can be seen."""

    text: str
    start: int
    end: int


def split(text: str, language: str) -> list[Sentence]:
    """The sentences of a text, in order. Between them nothing can be seen; `join` puts it back."""
    sentences = []
    for line in _LINES.finditer(text):
        for span in _split_line(line.group(), language):
            start, end = visible_span(line.group(), *span)
            if start < end:
                own = line.group()[start:end]
                sentences.append(Sentence(own, line.start() + start, line.start() + end))
    return sentences


def join(text: str, sentences: list[Sentence], translations: list[str]) -> tuple[str, list[int]]:
    """The text with each of its sentences replaced, and where in the result each translation starts."""
    parts, starts, length, done = [], [], 0, 0
    for sentence, translation in zip(sentences, translations, strict=True):
        gap = text[done : sentence.start]
        starts.append(length + len(gap))
        parts += [gap, translation]
        length += len(gap) + len(translation)
        done = sentence.end
    return "".join([*parts, text[done:]]), starts


def _split_line(line: str, language: str) -> Iterator[tuple[int, int]]:
    """Spans that together are the line: sentences, and the parts of overlong ones."""
    start = 0
    # Of white space it gets blanks, of which it knows where they end: it fails at some others, behind an initial.
    for sentence in sentencex.segment(language, _SPACE.sub(" ", line)):
        end = start + len(sentence)
        while end - start > _LONGEST_SENTENCE:
            window = line[start : start + _LONGEST_SENTENCE]
            found = _CLAUSE_END.match(window) or _WORD_END.match(window)
            cut = start + (found.end() if found else _character_end(line[start:end]))
            yield start, cut
            start = cut
        yield start, end
        start = end
    if start < len(line):
        yield start, len(line)


def _character_end(text: str) -> int:
    """Where the last character ends that fits, with its marks and joiners; one that is longer by itself is cut."""
    ends = accumulate(len(own.group()) for own in regex.finditer(r"\X", text))
    return max(takewhile(lambda end: end <= _LONGEST_SENTENCE, ends), default=_LONGEST_SENTENCE)
