"""A demand as an automaton that reads pieces: what may come, and how far it still is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.search.reading import BYTE, LETTER, OTHER, Demand, Reader, State, kind
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
    """

    next: Tensor
    needed: Tensor
    settled: Tensor
    rest: Tensor
    lacking: Tensor

    @classmethod
    def of(cls, demand: Demand, pieces: Sequence[str]) -> "Automaton":
        """For a demand, over pieces of which `pieces` has the text (`Tokenizer.target_symbols`).

        A piece without text may not come.
        """
        reader = Reader(demand)
        states, steps = _explore(reader)
        clear = np.array([reader.clear(state) for state in states])
        stands = np.array([reader.stands(state) for state in states])
        met = np.array([state.met for state in states])
        reached = _over_pieces(steps, reader.symbols, pieces)
        reached[:, END] = np.where(clear & stands, np.arange(len(states)), DEAD)
        needed, settled = _distances(reached, clear & stands), _distances(reached, clear & met)
        idle = np.array([state.prefix is None and not state.places for state in states]) & ~met
        possible = np.array([state.prefix is None for state in states]) & ~met & (settled < FAR)
        rest = np.where(met, 0, settled[possible].max() if possible.any() else FAR)
        lacking = np.where(stands, 0, np.minimum(settled, settled[idle].min(initial=FAR)))
        vectors = [(needed, FAR), (settled, FAR), (rest, 0), (lacking, FAR)]
        return cls(torch.from_numpy(reached), *(torch.from_numpy(np.append(own, dead)) for own, dead in vectors))


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


def _over_pieces(steps: Table, symbols: Sequence[str], pieces: Sequence[str]) -> Table:
    """(S, V): the state after all symbols of a piece."""
    states = len(steps)
    table = np.vstack([steps, np.full((1, steps.shape[1]), states)]).astype(np.int32)  # one more, the dead one
    table[table == DEAD] = states
    known = {symbol: number for number, symbol in enumerate(symbols)}
    read = [[known.get(symbol, len(known) + kind(symbol)) for symbol in piece] for piece in pieces]
    reached = np.repeat(np.arange(states, dtype=np.int32)[:, None], len(pieces), axis=1)
    for at in range(max(map(len, read))):
        longer = [number for number, own in enumerate(read) if at < len(own)]
        reached[:, longer] = table[reached[:, longer], [read[number][at] for number in longer]]
    reached[:, [number for number, own in enumerate(read) if not own]] = states
    reached[reached == states] = DEAD
    return reached


def _distances(reached: Table, goal: NDArray[np.bool_]) -> Table:
    """(S,): the fewest pieces from each state to the goal, or FAR."""
    distance = np.where(goal, 0, FAR).astype(np.int32)
    while True:
        nearer = np.minimum(distance, np.append(distance, FAR)[reached].min(axis=1) + 1)
        if np.array_equal(nearer, distance):
            return distance
        distance = nearer.astype(np.int32)
