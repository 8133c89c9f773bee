"""A demand as an automaton that reads pieces: what may come, and how far it still is."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nmt.arrays import Flags, Integers
from nmt.errors import InputError
from nmt.search.reading import Demand, Reader, State
from nmt.text.symbols import BYTE, CLOSING, LETTER, OTHER, kind
from nmt.text.tokenizer import END

FAR = 1 << 20
"""More pieces than any translation has: there is no way."""

_DEAD = -1
_KINDS = (LETTER, OTHER, BYTE, CLOSING)  # by their numbers
_MOST_STATES = 4000

Table = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Automaton:
    """Reads a translation piece by piece, from state 0.

    next (S, C): the state after a piece, by its class; END leads back to its own state where the translation may end.
    The last state is dead: there lead the pieces that must not come. classes (V,): that of each piece; those of a class
    lead to the same state from each. And of each state (S,):

    needed: the fewest pieces after which the translation may end, in the dead state FAR · settled: after which it may,
    whatever comes then · rest: the most pieces it takes to be settled, whatever came before; 0 when the wanted phrase
    stands for good · lacking: how many pieces of the wanted phrase are still to come, 0 where it stands.

    opens (V,): whether a piece begins a word · most: the largest `settled` of all but the dead state.
    """

    next: Table
    classes: Integers
    needed: Table
    settled: Table
    rest: Table
    lacking: Table
    opens: Flags
    most: int

    @classmethod
    def of(cls, demand: Demand, trie: "Trie") -> "Automaton":
        """For a demand, over the pieces of a tokenizer. A piece without text may not come."""
        reader = Reader(demand)
        states, steps = _explore(reader)
        facts = [(reader.clear(s), reader.stands(s), s.met, s.prefix is None, not s.places) for s in states]
        clear, stands, met, behind, idle = np.array([*facts, (False, False, True, False, False)]).T
        dead = len(states)
        reached, classes = trie.read(steps, reader.symbols)
        ends = np.where(clear & stands, np.arange(dead + 1), dead)
        reached, classes[END] = np.column_stack([reached, ends]).astype(np.int32), reached.shape[1]
        needed, settled = _distances(reached, clear & stands, clear & met)
        reached[(needed >= FAR)[reached]] = dead
        possible = behind & ~met & (settled < FAR)
        rest = np.where(met, 0, settled[possible].max() if possible.any() else FAR)
        lacking = np.where(stands, 0, np.minimum(settled, settled[idle & behind & ~met].min(initial=FAR)))
        return cls(
            next=reached,
            classes=classes,
            needed=needed,
            settled=settled,
            rest=rest,
            lacking=lacking,
            opens=trie.opens,
            most=int(settled[:dead].max()),
        )

    def after(self, states: Integers, pieces: Integers) -> Table:
        """(K,): the states after pieces (K,), from states (K,)."""
        return self.next[states, self.classes[pieces]]

    def ahead(self, states: Integers, name: str | None = None) -> Table:
        """(K, V): the state after each piece, from states (K,), or what is known of that."""
        different, own = np.unique(states, return_inverse=True)  # mostly one or two, of all rows
        reached = self.next[different]
        known: Table = reached if name is None else getattr(self, name)[reached]
        return known.take(self.classes, axis=1)[own]


class Trie:
    """The pieces of a tokenizer by what they begin with, so that what several begin with is read once."""

    def __init__(self, pieces: Sequence[str]) -> None:
        """pieces: the symbols of each (`Tokenizer.target_symbols`)."""
        self.opens = np.array([kind(piece[:1]) in (OTHER, CLOSING) for piece in pieces])
        begun = sorted({piece[:end] for piece in pieces for end in range(1, len(piece) + 1)}, key=lambda b: (len(b), b))
        number = {"": 0, **{own: i for i, own in enumerate(begun, start=1)}}
        self._symbols = sorted({symbol for own in begun for symbol in own})
        place = {symbol: i for i, symbol in enumerate(self._symbols)}
        self._parent = np.array([0, *(number[own[:-1]] for own in begun)])
        self._last = np.array([0, *(place[own[-1]] for own in begun)])
        self._sizes = np.bincount([len(own) for own in begun])[1:]
        self._pieces = np.array([number[piece] for piece in pieces])

    def read(self, steps: Table, symbols: Sequence[str]) -> tuple[Table, Integers]:
        """(S, C): the state after all symbols of a piece, by its class; and the class of each piece (V,). steps (S, A):
        the state after each symbol, and kind of others; the last one is dead.

        What leads to the same state from each is a class: of ten thousand pieces these are some dozens, for most have
        nothing to do with what is asked, so that hardly anything has to be read.
        """
        table, states = np.ascontiguousarray(steps.T), np.arange(len(steps), dtype=np.int32)
        known = {symbol: i for i, symbol in enumerate(symbols)}
        column = np.array([known.get(symbol, len(known) + kind(symbol)) for symbol in self._symbols])
        reached, number = list[Table](), dict[bytes, int]()

        def class_of(after: Table) -> int:
            own = number.setdefault(after.tobytes(), len(reached))
            if own == len(reached):
                reached.append(after)
            return own

        @cache
        def read(before: int, symbol: int) -> int:
            return class_of(table[symbol][reached[before]])

        own, begin = np.full(len(self._parent), class_of(states)), 1
        for size in self._sizes:
            at = slice(begin, begin + size)
            pairs = own[self._parent[at]] * len(table) + column[self._last[at]]
            different, inverse = np.unique(pairs, return_inverse=True)
            own[at] = np.array([read(*divmod(pair, len(table))) for pair in different.tolist()])[inverse]
            begin += size
        own[0] = class_of(np.full_like(states, states[-1]))  # no piece may come without text
        there, classes = np.unique(own[self._pieces], return_inverse=True)
        return np.array([reached[one] for one in there.tolist()]).T, classes.astype(np.min_scalar_type(len(there)))


def _explore(reader: Reader) -> tuple[list[State], Table]:
    """All states that can be reached, and where each symbol leads (S + 1, symbols and kinds of others); the last state
    is the dead one."""
    kinds = np.array([*map(kind, reader.symbols), *_KINDS])
    places = {symbol: i for i, symbol in enumerate(reader.symbols)}
    states = {reader.start: 0}
    todo, rows = [reader.start], []

    def after(state: State, symbol: str, sort: int) -> int:
        found = reader.read(state, symbol, sort)
        if found is None:
            return _DEAD
        if found not in states:
            states[found] = len(states)
            todo.append(found)
        return states[found]

    for state in todo:
        if len(todo) > _MOST_STATES:
            raise _too_many(_MOST_STATES)
        row = np.array([after(state, "", sort) for sort in _KINDS])[kinds]
        for symbol in reader.telling(state):
            row[places[symbol]] = after(state, symbol, kind(symbol))
        rows.append(row)
    steps = np.array([*rows, np.full(len(kinds), _DEAD)], dtype=np.int32)
    return todo, np.where(steps == _DEAD, len(todo), steps).astype(np.int32)


def check_states(automata: Iterable[Automaton], most: int) -> None:
    """Refuse automata that have more states together."""
    if sum(len(own.needed) for own in automata) > most:
        raise _too_many(most)


def _too_many(most: int) -> InputError:
    return InputError(
        "prefix, include, exclude and glossary ask for too much together: there would be more than "
        f"{most} states to keep apart; send fewer or shorter phrases",
        "search",
    )


def _distances(reached: Table, *goals: NDArray[np.bool_]) -> list[Table]:
    """For each goal (S,): the fewest pieces from each state to it, or FAR."""
    leads = np.zeros((len(reached), len(reached)), dtype=np.bool_)
    leads[np.arange(len(reached))[:, None], reached] = True
    distances = []
    for goal in goals:
        distance, frontier = np.where(goal, 0, FAR).astype(np.int32), goal
        for pieces in itertools.count(1):
            frontier = leads[:, frontier].any(axis=1) & (distance == FAR)
            if not frontier.any():
                break
            distance[frontier] = pieces
        distances.append(distance)
    return distances
