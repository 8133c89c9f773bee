"""Long texts as sentences, and back without losing a space or a line break."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise, takewhile

import regex
import sentencex

from nmt.text.languages import base_language
from nmt.text.normalize import visible_span
from nmt.text.symbols import UNSPACED

_LINES = re.compile(r"[^\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_SPACE = re.compile(r"\s")
_ADDRESS = re.compile(r"\b(?:https?://|www\.)[!-;=?-~]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII | re.IGNORECASE)
_LONGEST_SENTENCE = 400  # characters; the models are trained on sentences, and get lost in what is much longer
_CLAUSE_END = re.compile(r"[,;:–—،]\s|[、，；：]")
_WITHOUT_SPACE = re.compile(rf"[{UNSPACED}\u3000-\u303f\uff00-\uffef]")  # letters and signs after which none is written

# What the splitter takes for the end of a sentence, and is none: titles, and numbers that a full stop makes ordinals,
# unless a word follows that mostly begins a sentence, of which we know German ones.
_TITLES = {
    "fr": re.compile(r"\b(?:M|MM|Mlle|Mgr|Dr|Pr|St|Ste|J)\.$"),
    "en": re.compile(r"\b(?:approx|ca)\.$"),
}
_ORDINAL = re.compile(r"(?<![.!?:]\s)\b\d{1,2}\.$")
_LONGEST_END = 12  # characters that decide, so that no long line is searched again and again
_WITH_ORDINALS = frozenset({"cs", "da", "de", "et", "fi", "hr", "hu", "is", "lv", "nb", "nn", "no", "pl", "sk", "sl"})
_BEGINNINGS = re.compile(
    r"(?:Aber|Am|Auch|Auf|Bei|Bis|Da|Danach|Dann|Das|Dem|Den|Der|Die|Dies\w*|Doch|Du|Ein\w*|Er|Es|Ich|Ihr|Im|In|Ja|Jetzt"
    r"|Mit|Nach|Nein|Nun|Sie|So|Und|Von|Vor|War\w*|Was|Wenn|Wer|Wie|Wir|Wo|Zu\w?)\b"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, and its place `[start, end)` in the text that it is from; begins and ends with what can be seen."""

    text: str
    start: int
    end: int


def split(text: str, language: str) -> list[Sentence]:
    """The sentences of a text, in order. Between them there is no word; `join` puts back what there is.

    So what has none, such as a smiley, a rule, the number of an item or an address of the web, stays as it is: no
    network learns what to make of it.
    """
    sentences = []
    for line in _LINES.finditer(text):
        for span in _split_line(line.group(), language):
            start, end = visible_span(line.group(), *span)
            own = line.group()[start:end]
            if any(map(str.isalpha, _ADDRESS.sub("", own))):
                sentences.append(Sentence(own, line.start() + start, line.start() + end))
    return sentences


def join(text: str, sentences: list[Sentence], translations: list[str]) -> tuple[str, list[int]]:
    """The text with each of its sentences replaced, and where in the result each translation starts.

    Where no space stands between two of a script that writes none, one does between translations into another script.
    """
    parts, starts, length, done = list[str](), list[int](), 0, 0
    for sentence, translation in zip(sentences, translations, strict=True):
        gap = text[done : sentence.start]
        if starts and not gap and _WITHOUT_SPACE.match(text, done - 1):
            gap = " " * (not _WITHOUT_SPACE.search(parts[-1][-1:] + translation[:1]))
        starts.append(length + len(gap))
        parts += [gap, translation]
        length += len(gap) + len(translation)
        done = sentence.end
    return "".join([*parts, text[done:]]), starts


def _split_line(line: str, language: str) -> Iterator[tuple[int, int]]:
    """Spans that together are the line: sentences, and the parts of overlong ones."""
    base = base_language(language)
    # Of white space it gets blanks, of which it knows where they end: it fails at some others, behind an initial.
    segments = sentencex.segment(base, _SPACE.sub(" ", line))
    start, ends = 0, list(accumulate(map(len, segments)))
    for end, following in pairwise([*ends, len(line)]):
        if end < following and _goes_on(line[start:end], line[end:following], base):
            continue
        while end - start > _LONGEST_SENTENCE:
            cut = start + _cut(line[start:end])
            yield start, cut
            start = cut
        yield start, end
        start = end
    if start < len(line):
        yield start, len(line)


def _goes_on(text: str, following: str, base: str) -> bool:
    """Whether a sentence is not yet over where the splitter says so."""
    text = text.rstrip()
    end = text[-_LONGEST_END:]
    if base in _TITLES and _TITLES[base].search(end):
        return True
    number = _ORDINAL.search(end) if base in _WITH_ORDINALS else None
    if number is None or _BEGINNINGS.match(following):
        return False
    before = len(text) - len(number.group())
    return any(map(str.isalnum, text[:before]))  # else it is that of an item


def _cut(text: str) -> int:
    """Where the first part of an overlong sentence ends: near an even share of it behind a clause, else behind a word,
    else behind a character."""
    share = len(text) // -(-len(text) // _LONGEST_SENTENCE)
    for pattern in (_CLAUSE_END, _SPACE):
        ends = [found.end() for found in pattern.finditer(text, 0, _LONGEST_SENTENCE)]
        nearest = min(ends, key=lambda end: abs(end - share), default=0)
        if nearest > share // 2:
            return nearest
    return _character_end(text)


def _character_end(text: str) -> int:
    """Where the last character ends that fits, with its marks and joiners; one that is longer by itself is cut."""
    ends = accumulate(len(own.group()) for own in regex.finditer(r"\X", text))
    return max(takewhile(lambda end: end <= _LONGEST_SENTENCE, ends), default=_LONGEST_SENTENCE)
