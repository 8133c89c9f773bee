"""From what a request asks of a translation to a guide for each of its sentences, or a clear no."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock

import numpy as np

from nmt.alignment import Unit, overlaps
from nmt.arrays import Floats
from nmt.config import SearchConfig
from nmt.errors import InputError
from nmt.glossary import Term, find_terms
from nmt.search.automaton import FAR, Automaton, Trie, check_states
from nmt.search.guides import FREE, Guide
from nmt.search.reading import Demand
from nmt.text.tokenizer import Pieces, Tokenizer

_MOST_READ = 4000
"""Bytes of phrases that the automata of a text may read together."""

_MOST_STATES = 8000
"""Of the automata of a text together: phrases that are alike in part have many more than characters, and to make a
thousand takes up to a second. Of the automata that were made last, so many states are kept for the next text."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """A phrase that is to stand in a translation, which field asks for it, and the terms that it translates."""

    phrase: str
    field: str
    terms: tuple[Term, ...] = ()


class Guidance:
    """Makes guides over the target pieces of a tokenizer. Raises `InputError` for what contradicts itself or has no
    room."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._lock = tokenizer, Lock()
        self._kept: dict[Demand, Automaton] = {}  # the one that was wanted last is the last

    def terms(self, sources: Sequence[Pieces], glossary: Mapping[str, str]) -> list[list[Term]]:
        """The terms that each sentence has, by a glossary from terms to their translations."""
        texts = [self._normalized(side, "glossary") for side in (list(glossary), list(glossary.values()))]
        normalized = dict[str, str]()
        for term, own, target in zip(glossary, *texts, strict=True):
            if normalized.setdefault(own, target) != target:
                raise InputError(
                    f"glossary has {term!r} twice, spelled alike, as {normalized[own]!r} and as {target!r}; send one",
                    "search.glossary",
                )
        return [find_terms(self._tokenizer.normalize(source.text), normalized) for source in sources]

    def guides(self, sources: Sequence[Pieces], terms: Sequence[Sequence[Term]], search: SearchConfig) -> list[Guide]:
        """Of each sentence of a text, which begins as its first sentence does, and includes what it must in the first
        one that has room for all of it."""
        if not sources:
            if asked := [field for field in ("prefix", "include") if getattr(search, field)]:
                raise InputError(f"{asked[0]} asks for words, but the text has none to translate", f"search.{asked[0]}")
            return []
        excluded = tuple(sorted(set(self._normalized(search.exclude, "exclude"))))
        included = [_Wish(own, "include") for own in dict.fromkeys(self._normalized(search.include, "include"))]
        demands = [Demand(self._prefix(search), excluded=excluded), *[Demand(excluded=excluded)] * (len(sources) - 1)]
        wanted = [_wishes(own) for own in terms]
        _check_size(demands, [[*own, *included] for own in wanted])
        guides, options, longest = [], [], [search.lengths(len(source))[1] for source in sources]
        made = dict[Demand, Automaton]()

        def automaton(demand: Demand) -> Automaton:
            made[demand] = made.get(demand) or self._automaton(demand)
            check_states(made.values(), _MOST_STATES)
            return made[demand]

        for source, room, demand, wishes in zip(sources, longest, demands, wanted, strict=True):
            _check_prefix(_guide(source, demand, [], automaton), search.prefix, room)
            guides.append(_guide(source, demand, wishes, automaton))
            _check_room(guides[-1], room, "glossary")
            options.append(_guide(source, demand, [*wishes, *included], automaton))
        if included:
            excess = [max(0, option.fewest - room) for option, room in zip(options, longest, strict=True)]
            place = excess.index(min(excess))
            _check_room(options[place], longest[place], "include")
            guides[place] = options[place]
        return guides

    def _prefix(self, search: SearchConfig) -> str:
        """As the model begins a text: with a space, which the text loses."""
        text = self._tokenizer.normalize(search.prefix).text
        return f" {text}{' ' * search.prefix[-1].isspace()}" if text else ""

    def _normalized(self, phrases: Sequence[str], field: str) -> list[str]:
        normalized = [self._tokenizer.normalize(phrase).text for phrase in phrases]
        if "" in normalized:
            raise InputError(f"{field} has an empty phrase; send words", f"search.{field}")
        return normalized

    @cached_property
    def _trie(self) -> Trie:
        return Trie(self._tokenizer.target_symbols)

    def _automaton(self, demand: Demand) -> Automaton:
        with self._lock:
            found = self._kept.pop(demand, None)
        found = found or Automaton.of(demand, self._trie)
        with self._lock:
            self._kept[demand] = found
            states = sum(len(own.needed) for own in self._kept.values())
            for oldest in list(self._kept):
                if states <= _MOST_STATES:
                    break
                states -= len(self._kept.pop(oldest).needed)
        return found


def _wishes(terms: Sequence[Term]) -> list[_Wish]:
    """Terms with the same translation are one wish: it stands there once at least."""
    targets = dict.fromkeys(term.target for term in terms)
    return [_Wish(target, "glossary", tuple(term for term in terms if term.target == target)) for target in targets]


def _guide(source: Pieces, demand: Demand, wishes: Sequence[_Wish], automaton: Callable[[Demand], Automaton]) -> Guide:
    """All wishes beside the demand."""
    if not wishes:
        return FREE if demand == Demand() else Guide.anywhere(automaton(demand))
    automata = tuple(map(automaton, _demands(demand, wishes)))
    for wish, own in zip(wishes, automata, strict=True):
        if own.needed[0] >= FAR:
            raise InputError(
                f"{wish.field} has {wish.phrase!r}, which exclude leaves no place for; send one of both",
                f"search.{wish.field}",
            )
    return Guide(automata, np.stack([_anchor(source, wish.terms) for wish in wishes]))


def _demands(demand: Demand, wishes: Sequence[_Wish]) -> list[Demand]:
    """With each of the wishes in turn."""
    return [replace(demand, wanted=wish.phrase, capital=bool(wish.terms)) for wish in wishes]


def _anchor(source: Pieces, terms: Sequence[Term]) -> Floats:
    """(S,), as in `Guide.anchors`."""
    if not terms:
        return np.zeros(len(source), np.float32)
    own = overlaps(source.spans, [Unit(term.source, term.start, term.end) for term in terms]).any(axis=1)
    starts, ends = np.array(source.spans).T
    anchor: Floats = np.where(starts == ends, 0, np.where(own, 1, -1)).astype(np.float32)
    return anchor


def _check_size(demands: Sequence[Demand], wishes: Sequence[Sequence[_Wish]]) -> None:
    """Of each sentence. A demand with a wish has an automaton of its own, which reads all the rest as well."""
    different = {*demands, *(own for pair in zip(demands, wishes, strict=True) for own in _demands(*pair))}
    size = sum(demand.size for demand in different)
    if size > _MOST_READ:
        raise InputError(
            f"prefix, include, exclude and the terms of the glossary that the text has are {len(different)} demands of "
            f"{size} bytes together, with prefix and exclude in each, and can have {_MOST_READ}; send less text, or "
            "less of one of them",
            "search",
        )


def _check_prefix(guide: Guide, prefix: str, longest: int) -> None:
    if guide.fewest >= FAR:
        raise InputError(f"prefix {prefix!r} has a phrase that exclude forbids; send one of both", "search.prefix")
    if guide.fewest > longest:
        raise InputError(
            f"prefix has at least {guide.fewest} pieces, but the translation may have {longest}; raise max_length",
            "search.prefix",
        )


def _check_room(guide: Guide, longest: int, field: str) -> None:
    if guide.fewest > longest:
        raise InputError(
            f"{field} takes up to {guide.fewest} pieces, with prefix and what must stand between, but the translation "
            f"of a sentence may have {longest}; raise max_length or ask for less",
            f"search.{field}",
        )
