"""What a translation must begin with, must have in it and must not say: read character by character."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from nmt.text.symbols import BYTE, CLOSING, LETTER, LONE_BYTE, kind

Place = tuple[int, int, str]
"""A phrase, how many of its characters have been read, and the bytes that have been read of the next one."""

_WANTED, _CAPITAL = range(2)  # the numbers of the phrases that may do; those from there on are excluded
_START = -1  # the kind of what stands before the first word


@dataclass(frozen=True, slots=True)
class Demand:
    """What a translation has to satisfy, all of it at once, in the normal form of the model's text.

    prefix: how it begins, with the space before its first word; after one at its end something must follow · wanted: a
    phrase that stands in it, in this case, or with `capital` with its first letter in upper case where it is the first
    word · excluded: phrases that do not stand in it, in any case.

    Phrases count as whole words: where one begins or ends with a letter or a digit, no other one may stand beside it.
    A wanted one that begins so does not begin right after a sign that a space follows, as in `home.light`.
    """

    prefix: str = ""
    wanted: str = ""
    capital: bool = False
    excluded: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of text that there are to read."""
        return sum(len(text.encode()) for text in (self.prefix, self.wanted, *self.excluded))


@dataclass(frozen=True, slots=True)
class State:
    """What has been read.

    prefix: how many of its characters, and the bytes of the next one; None when it is behind · places: where phrases
    may stand now · last: the kind of the last character, or none · met: the wanted phrase stands, whatever comes.
    """

    prefix: tuple[int, str] | None
    places: frozenset[Place]
    last: int
    met: bool


class Reader:
    """Reads for a demand. `symbols`: the characters and lone bytes that it tells apart by more than their kind."""

    def __init__(self, demand: Demand) -> None:
        capital = demand.wanted[:1].upper() + demand.wanted[1:] if demand.capital else ""
        phrases = [demand.wanted, capital, *demand.excluded]
        self._more = demand.prefix.endswith(" ")
        self._prefix = [_spellings({c}) for c in demand.prefix]
        if demand.prefix:
            self._prefix[0] = {demand.prefix[0]}  # a text loses the space that it begins with, but not as a lone byte
        self._phrases = [[_spellings({c}) for c in phrase] for phrase in phrases[: _CAPITAL + 1]]
        self._phrases += [[_spellings(_cases().get(c, {c})) for c in phrase] for phrase in demand.excluded]
        spelled = [{" "}, *self._prefix, *(one for phrase in self._phrases for one in phrase)]
        self.symbols = sorted({symbol for same in spelled for one in same for symbol in one})
        self._opens = [kind(phrase[:1]) == LETTER for phrase in phrases]
        self._closes = [kind(phrase[-1:]) == LETTER for phrase in phrases]
        self._first = defaultdict[str, list[int]](list)
        for number, phrase in enumerate(self._phrases):
            for symbol in {one[:1] for one in phrase[0]} if phrase else ():
                self._first[symbol].append(number)
        self.start = State((0, "") if demand.prefix else None, frozenset(), _START, not demand.wanted)

    def read(self, state: State, symbol: str, sort: int) -> State | None:
        """The state after a symbol of that kind; None if the demand cannot be satisfied any more."""
        prefix = self._prefix_after(state.prefix, symbol) if state.prefix else None
        if state.prefix and not prefix:
            return None
        after, found = set[Place](), set[int]()
        for number, at, begun in (*state.places, *self._beginning(state, symbol)):
            phrase = self._phrases[number]
            if at == len(phrase):
                found |= set() if _glues(sort, number) else {number}
            elif further := _further(phrase[at], at, begun, symbol):
                whole = further[0] == len(phrase) and not self._closes[number]
                found |= {number} if whole else set()
                after |= set() if whole else {(number, *further)}
        if any(number > _CAPITAL for number in found):
            return None
        met = state.met or bool(found)
        places = frozenset(place for place in after if not (met and place[0] <= _CAPITAL))
        last = _START if state.last == _START and symbol == " " else sort
        return State(None if prefix == _BEHIND else prefix, places, last, met)

    def telling(self, state: State) -> set[str]:
        """The symbols that may be read otherwise, in this state, than all others of their kind."""
        next_ones = [(self._phrases[n][at], begun) for n, at, begun in state.places if at < len(self._phrases[n])]
        if state.prefix and state.prefix[0] < len(self._prefix):
            next_ones.append((self._prefix[state.prefix[0]], state.prefix[1]))
        further = {one[len(begun)] for spellings, begun in next_ones for one in spellings if one.startswith(begun)}
        return {" ", *self._first, *further}

    def stands(self, state: State) -> bool:
        """Whether the wanted phrase stands in the text if no letter follows."""
        return state.met or self._whole(state, wanted=True)

    def clear(self, state: State) -> bool:
        """Whether the text may end, but for the wanted phrase."""
        return state.prefix is None and not self._whole(state, wanted=False)

    def _whole(self, state: State, wanted: bool) -> bool:
        """Whether a phrase stands there, wanted or excluded, but for the letter that may follow."""
        return any(at == len(self._phrases[n]) for n, at, _ in state.places if (n <= _CAPITAL) == wanted)

    def _prefix_after(self, prefix: tuple[int, str], symbol: str) -> tuple[int, str] | None:
        at, begun = prefix
        if at == len(self._prefix):
            return _BEHIND
        further = _further(self._prefix[at], at, begun, symbol)
        return _BEHIND if further == (len(self._prefix), "") and not self._more else further

    def _beginning(self, state: State, symbol: str) -> list[Place]:
        """The phrases that may begin with the symbol."""
        numbers = [n for n in self._first.get(symbol, []) if not (self._opens[n] and _clings(state.last, n))]
        unfit = {_WANTED, _CAPITAL} if state.met else {_CAPITAL} if state.last != _START else set()
        return [(number, 0, "") for number in numbers if number not in unfit]


_BEHIND = (-1, "")


def _clings(sort: int, number: int) -> bool:
    """Whether a phrase after a character of that kind would lack the space before it."""
    return _glues(sort, number) or (sort == CLOSING and number <= _CAPITAL)


def _glues(sort: int, number: int) -> bool:
    """Whether a character beside a phrase makes it part of a longer word. Of a byte we do not know, so what is wanted
    has not been found for certain, and what is excluded may have been."""
    return sort == LETTER or (sort == BYTE and number <= _CAPITAL)


def _further(spellings: set[str], at: int, begun: str, symbol: str) -> tuple[int, str] | None:
    """The place in a phrase after a symbol, if that is, or begins, its character `at`; "" stands for all others."""
    more = begun + symbol
    if more in spellings:
        return at + 1, ""
    return (at, more) if symbol and any(one.startswith(more) for one in spellings) else None


@cache
def _cases() -> dict[str, set[str]]:
    """For each letter that has cases, those that it may be in another one, such as ß and ẞ, σ, ς and Σ, i, I, ı and İ.

    Two letters have the same ones or none in common: else a phrase of letters that are alike in part, such as s and ſ,
    would have states without number.
    """
    same: dict[str, set[str]] = {}
    for letter in (one for one in map(chr, range(_BEHIND_CASES)) if not one.lower() == one == one.upper()):
        forms = letter, letter.upper(), letter.lower().removesuffix(_DOT)
        own = {form for form in forms if len(form) == 1}
        own |= {other for one in own & same.keys() for other in same[one]}
        same |= dict.fromkeys(own, own)
    return same


_BEHIND_CASES = 0x1E944  # where no letter of Unicode has a case
_DOT = "\u0307"  # which İ keeps in lower case


def _spellings(characters: set[str]) -> set[str]:
    """Each character as itself and as lone bytes."""
    single = {character for character in characters if len(character) == 1}
    return single | {"".join(chr(ord(LONE_BYTE) + byte) for byte in one.encode()) for one in single}
