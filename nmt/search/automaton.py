"""A demand as an automaton that reads pieces: what may come, and how far it still is."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.search.reading import Demand, Reader, State
from nmt.text.symbols import BYTE, LETTER, OTHER, kind
from nmt.text.tokenizer import END

DEAD = -1
FAR = 1 << 20
"""More pieces than any translation has: there is no way."""

Table = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Automaton:
    """Reads a translation piece by piece, from state 0.

    next (S, V): the state after a piece, or DEAD if it must not come; END leads back to its own state where the
    translation may end. And of each state, the last being that which DEAD points at (S + 1,):

    needed: the fewest pieces after which the translation may end · settled: after which it may, whatever comes then ·
    rest: the most pieces it takes to be settled, whatever came before; 0 when the wanted phrase stands for good ·
    lacking: how many pieces of the wanted phrase are still to come, 0 where it stands.

    opens (V,): whether a piece begins a word.
    """

    next: Tensor
    needed: Tensor
    settled: Tensor
    rest: Tensor
    lacking: Tensor
    opens: Tensor

    @classmethod
    def of(cls, demand: Demand, trie: "Trie") -> "Automaton":
        """For a demand, over the pieces of a tokenizer. A piece without text may not come."""
        reader = Reader(demand)
        states, steps = _explore(reader)
        clear = np.array([reader.clear(state) for state in states])
        stands = np.array([reader.stands(state) for state in states])
        met = np.array([state.met for state in states])
        reached = trie.read(steps, reader.symbols)
        reached[:, END] = np.where(clear & stands, np.arange(len(states)), DEAD)
        needed, settled = _distances(reached, clear & stands, clear & met)
        behind = np.array([state.prefix is None for state in states]) & ~met
        idle = behind & np.array([not state.places for state in states])
        possible = behind & (settled < FAR)
        rest = np.where(met, 0, settled[possible].max() if possible.any() else FAR)
        lacking = np.where(stands, 0, np.minimum(settled, settled[idle].min(initial=FAR)))
        return cls(
            torch.from_numpy(reached),
            _with_dead(needed, FAR),
            _with_dead(settled, FAR),
            _with_dead(rest, 0),
            _with_dead(lacking, FAR),
            trie.opens,
        )


class Trie:
    """The pieces of a tokenizer by what they begin with, so that what several begin with is read once."""

    def __init__(self, pieces: Sequence[str]) -> None:
        """pieces: the symbols of each (`Tokenizer.target_symbols`)."""
        self.opens = torch.tensor([kind(piece[:1]) == OTHER for piece in pieces])
        begun = sorted({piece[:end] for piece in pieces for end in range(1, len(piece) + 1)}, key=lambda b: (len(b), b))
        number = {"": 0, **{own: i for i, own in enumerate(begun, start=1)}}
        self._symbols = sorted({symbol for own in begun for symbol in own})
        place = {symbol: i for i, symbol in enumerate(self._symbols)}
        self._parent = np.array([number[own[:-1]] for own in begun], dtype=np.int64)
        self._last = np.array([place[own[-1]] for own in begun], dtype=np.int64)
        self._sizes = np.bincount([len(own) for own in begun])[1:]
        self._pieces = np.array([number[piece] for piece in pieces])

    def read(self, steps: Table, symbols: Sequence[str]) -> Table:
        """(S, V): the state after all symbols of a piece. steps (S, A): that after each symbol, and kind of others."""
        states = len(steps)
        known = {symbol: i for i, symbol in enumerate(symbols)}
        columns = [known.get(symbol, len(known) + kind(symbol)) for symbol in self._symbols]
        # One state more, the dead one, which all states lead to that say DEAD.
        table = np.vstack([np.where(steps == DEAD, states, steps), np.full((1, steps.shape[1]), states)])
        table = np.ascontiguousarray(table.T[columns], dtype=np.int32)
        reached = np.empty((1 + len(self._parent), states), dtype=np.int32)
        reached[0] = np.arange(states)
        begin = 0
        for size in self._sizes:
            own = slice(begin, begin + size)
            reached[own.start + 1 : own.stop + 1] = table[self._last[own, None], reached[self._parent[own]]]
            begin += size
        reached[0] = states
        after: Table = reached[self._pieces].T.copy()
        after[after == states] = DEAD
        return after


def _with_dead(values: Table, dead: int) -> Tensor:
    """Values (S,), and that of the dead state."""
    return torch.from_numpy(np.append(values, dead))


def _explore(reader: Reader) -> tuple[list[State], Table]:
    """All states that can be reached, and where each symbol leads (S, symbols and three kinds of others)."""
    symbols = [*((symbol, kind(symbol)) for symbol in reader.symbols), ("", LETTER), ("", OTHER), ("", BYTE)]
    states = {reader.start: 0}
    todo, rows = [reader.start], []
    for state in todo:
        row = []
        for symbol, sort in symbols:
            after = reader.read(state, symbol, sort)
            if after is not None and after not in states:
                states[after] = len(states)
                todo.append(after)
            row.append(DEAD if after is None else states[after])
        rows.append(row)
    return todo, np.array(rows, dtype=np.int32)


def _distances(reached: Table, *goals: NDArray[np.bool_]) -> list[Table]:
    """For each goal (S,): the fewest pieces from each state to it, or FAR."""
    states = len(reached)
    leads = np.zeros((states, states + 1), dtype=np.bool_)
    leads[np.arange(states)[:, None], reached] = True
    distances = []
    for goal in goals:
        distance, frontier = np.where(goal, 0, FAR).astype(np.int32), goal
        for pieces in itertools.count(1):
            frontier = leads[:, :states][:, frontier].any(axis=1) & (distance == FAR)
            if not frontier.any():
                break
            distance[frontier] = pieces
        distances.append(distance)
    return distances
