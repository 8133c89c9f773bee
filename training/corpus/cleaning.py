"""Drop what would teach a model wrong things, and count every dropped pair by its reason."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator

from pydantic import Field

from nmt.config import Config
from nmt.text.languages import detect, is_known, name
from nmt.text.normalize import Form, normalize
from training.corpus.records import Direction, Line, Reason, Rejected, TextPair
from training.corpus.sentences import digest

_EXAMPLES = 5  # kept a reason
_SHOWN = 80  # characters of an example a side

_SEVERAL_WORDS, _SEVERAL_LETTERS = 3, 20  # the latter for scripts without spaces

# How sure the detection of languages has to be, from 0 to 1, and of how many characters.
_SURE_OF_BOTH, _SURE_OF_ONE, _CLEAR = 0.6, 0.9, 40

_LINE_BREAKS = re.compile(r"[\t\n\r\v\f\u2028\u2029]+")
_UNREADABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd-\uffff\ud800-\udfff]")

# UTF-8 that was read as Latin-1 or Windows-1252: its lead bytes become these letters, the others these signs.
_SIGNS = "\xa0-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE = re.compile(
    rf"[ÂÃ][{_SIGNS}]"  # Western letters: Ã¤ for ä
    r"|[ÄÅ][€ƒ†‡ˆ‰ŠŒŽšœžŸ¡-¨±´¶¸¼-¾]"  # Central European, without the signs that may follow a real Å, such as ²
    rf"|â€|â[‚„][{_SIGNS}]"  # quotes, dashes, the euro sign: â€œ for “
    # Other scripts come in runs; a single match may be real, such as é before a quote.
    rf"|(?:[ÎÏÐÑ×ØÙ][{_SIGNS}]|[à-ï][{_SIGNS}]{{2}}){{2}}"
)


class CleaningConfig(Config):
    """What a pair must be to stay. Lengths are in characters."""

    max_characters: int = Field(500, ge=1, description="of a side")
    max_ratio: float = Field(3.0, ge=1, description="of the longer side to the shorter")
    ratio_floor: int = Field(20, ge=1, description="a shorter side counts as this long, so that short pairs stay")
    check_languages: bool = Field(True, description="drop pairs whose sides are swapped or in the same language")
    drop_identical: bool = True
    drop_duplicates: bool = True
    drop_wordless: bool = Field(True, description="drop pairs with letters on one side alone, if in several words")


class Example(Config):
    """A dropped pair: where it stands, what is wrong with it, and its shortened text."""

    file: str
    line: int
    detail: str
    text: str

    def shown(self) -> str:
        """All of it on one line."""
        detail = f"  [{self.detail}]" if self.detail else ""
        return f"{self.file}:{self.line}{detail}  {self.text}"


class Dropped(Config):
    """How many pairs a reason cost, and the first of them."""

    count: int
    examples: tuple[Example, ...]


class CleaningReport(Config):
    """What cleaning did: `total` = `kept` + all that was dropped."""

    total: int
    kept: int
    dropped: dict[Reason, Dropped]

    def table(self) -> str:
        """A line a reason, the most frequent first, with the place of its first example."""
        dropped = self.total - self.kept
        lines = [f"{self.total:,} pairs read, {self.kept:,} kept, {dropped:,} dropped"]
        if dropped:
            lines += ["", f"{'reason':<22}{'pairs':>12}{'share':>9}   first at"]
        for reason, found in self._by_count():
            place = f"{found.examples[0].file}:{found.examples[0].line}"
            lines.append(f"{reason:<22}{found.count:>12,}{found.count / self.total:>9.2%}   {place}")
        return "\n".join(lines)

    def text(self) -> str:
        """The table, then the examples of each reason."""
        lines = [self.table()]
        for reason, found in self._by_count():
            lines += ["", f"{reason} ({len(found.examples)} of {found.count:,})"]
            lines += [f"  {example.shown()}" for example in found.examples]
        return "\n".join(lines) + "\n"

    def _by_count(self) -> list[tuple[Reason, Dropped]]:
        return sorted(self.dropped.items(), key=lambda item: -item[1].count)


class Cleaner:
    """Passes good pairs on and remembers the others; one cleaner sees a whole corpus, in however many files."""

    def __init__(
        self,
        config: CleaningConfig,
        form: Form = "nfc",
        held_out: Container[TextPair] = (),
        languages: Direction | None = None,
    ) -> None:
        """`form` is how texts are normalized before they are compared; `held_out` are pairs that must not stay.

        The languages are checked if they are given, and if the two can be told apart.
        """
        self._config, self._form, self._held_out = config, form, held_out
        self._languages = languages if config.check_languages and languages and _differ(*languages) else None
        self._seen: set[int] = set()
        self._kept = 0
        self._counts: Counter[Reason] = Counter()
        self._examples: dict[Reason, list[Example]] = {}

    def clean(self, lines: Iterable[Line]) -> Iterator[TextPair]:
        """The good pairs, each text on one line; a pair with several targets gives one for each."""
        for line in lines:
            if isinstance(line, Rejected):
                self._drop(line.reason, line.detail, line, line.text)
                continue
            source = _one_line(line.source)
            for target in map(_one_line, line.targets):
                if fault := self._fault(source, target):
                    self._drop(*fault, line, f"{shortened(source)} → {shortened(target)}")
                else:
                    self._kept += 1
                    yield source, target

    def report(self) -> CleaningReport:
        """What has been read and dropped up to now."""
        dropped = {
            reason: Dropped(count=self._counts[reason], examples=tuple(examples))
            for reason, examples in self._examples.items()
        }
        return CleaningReport(total=self._kept + self._counts.total(), kept=self._kept, dropped=dropped)

    def _fault(self, source: str, target: str) -> tuple[Reason, str] | None:
        """Why this pair must go, or None; remembers it for the search of duplicates."""
        config = self._config
        if sign := _broken(source) or _broken(target):
            return Reason.BROKEN, sign
        pair = normalize(source, self._form).text, normalize(target, self._form).text
        lengths = len(source), len(target)
        if not all(pair):
            return Reason.EMPTY, ""
        if max(lengths) > config.max_characters:
            return Reason.TOO_LONG, f"{max(lengths):,} characters"
        if config.drop_wordless and (_is_wordless(source, target) or _is_wordless(target, source)):
            return Reason.WORDLESS, ""
        if self._unlike(source, target):
            return Reason.RATIO, f"{lengths[0]} to {lengths[1]} characters"
        if config.drop_identical and pair[0] == pair[1]:
            return Reason.IDENTICAL, ""
        if (source, target) in self._held_out:
            return Reason.HELD_OUT, ""
        known = config.drop_duplicates and digest("\t".join(pair))
        if known in self._seen:
            return Reason.DUPLICATE, ""
        if self._languages and (fault := _misplaced(pair, self._languages)):
            return fault
        if config.drop_duplicates:
            self._seen.add(known)
        return None

    def _unlike(self, source: str, target: str) -> bool:
        """Whether the lengths differ too much both in characters and in bytes.

        Chinese has few characters, Hindi many bytes; either measure alone would drop good pairs with English.
        """
        return all(self._ratio(*sides) > self._config.max_ratio for sides in _lengths(source, target))

    def _ratio(self, one: int, other: int) -> float:
        return max(one, other) / max(min(one, other), self._config.ratio_floor)

    def _drop(self, reason: Reason, detail: str, line: Line, text: str) -> None:
        self._counts[reason] += 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            shown = shortened(text, 2 * _SHOWN)
            examples.append(Example(file=line.file, line=line.line, detail=detail, text=shown))


def _is_wordless(text: str, other: str) -> bool:
    """Whether a text has no letter and the other a sentence's worth of words: a number of a row, say."""
    if any(map(str.isalpha, text)):
        return False
    words = sum(any(map(str.isalpha, word)) for word in other.split())
    return words >= _SEVERAL_WORDS or sum(map(str.isalpha, other)) >= _SEVERAL_LETTERS


def _broken(text: str) -> str:
    """What shows that the text was decoded wrongly somewhere on its way, or nothing."""
    if found := _UNREADABLE.search(text):
        return f"U+{ord(found[0]):04X}"
    if not text.isascii() and (found := _MOJIBAKE.search(text)):
        return f"mojibake {found[0]!r}"
    return ""


def _differ(source: str, target: str) -> bool:
    """Whether the detector knows both languages, and does not take them for one."""
    return is_known(source) and is_known(target) and name(source) != name(target)


def _misplaced(pair: TextPair, languages: Direction) -> tuple[Reason, str] | None:
    """Whether the sides are swapped, or both in one of the two languages.

    Of 434,000 good pairs of Tatoeba (English with German, French, Spanish) this drops 3; of pairs that were swapped on
    purpose it finds 98 %. A single side needs more letters to be judged.
    """
    source, sure_of_source = detect(pair[0], languages)
    if source == languages[0] and len(pair[1]) < _CLEAR:
        return None  # whatever the target is: half of the work of a corpus of short sentences
    target, sure_of_target = detect(pair[1], languages)
    if (source, target) == languages[::-1]:
        return (Reason.SWAPPED, "") if min(sure_of_source, sure_of_target) >= _SURE_OF_BOTH else None
    wrong, sure, text = (
        (source, sure_of_source, pair[0]) if source != languages[0] else (target, sure_of_target, pair[1])
    )
    if source == target and sure >= _SURE_OF_ONE and len(text) >= _CLEAR:
        return Reason.LANGUAGE, f"both sides look like {name(wrong)}"
    return None


def _lengths(source: str, target: str) -> Iterator[tuple[int, int]]:
    yield len(source), len(target)
    yield len(source.encode()), len(target.encode())


def _one_line(text: str) -> str:
    return _LINE_BREAKS.sub(" ", text).strip()


def shortened(text: str, limit: int = _SHOWN) -> str:
    """Short, and safe for a terminal and for UTF-8: what cannot be printed is escaped."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short)
