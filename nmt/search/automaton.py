"""What a translation must begin with and must not say, as automata that read pieces."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nmt.text.tokenizer import END

DEAD = -1
_FAR = 1 << 30

Table = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Automaton:
    """Reads a translation piece by piece, from state 0.

    next (S, V): the state after a piece, or DEAD if it must not come; END leads back to its own state where the
    translation may end · needed (S,): the fewest pieces after which it may end.
    """

    next: Tensor
    needed: Tensor

    @classmethod
    def over(cls, steps: Table, ends: NDArray[np.bool_], symbols: Table) -> "Automaton":
        """From an automaton over symbols: steps (S, A), ends (S,), symbols (V, L) of each piece, filled up with A.

        A piece without symbols stands for no text, and may not come.
        """
        states, alphabet = steps.shape
        # One state more, the dead one, and one symbol more, after which nothing changes.
        own = np.arange(states + 1, dtype=np.int32)
        table = np.vstack([steps, np.full((1, alphabet), states)])
        table = np.hstack([np.where(table == DEAD, states, table), own[:, None]]).astype(np.int32)
        reached = np.repeat(own[:states, None], len(symbols), axis=1)
        for symbol in symbols.T:
            reached = table[reached, symbol]
        reached[:, symbols[:, 0] == alphabet] = states
        reached[:, END] = np.where(ends, own[:states], states)
        reached[reached == states] = DEAD
        return cls(torch.from_numpy(reached), torch.from_numpy(_needed(reached, ends)))


def begins_with(text: bytes, pieces: Sequence[bytes], more: bool) -> Automaton:
    """Accepts what begins with the text, however it is cut into pieces: `pieces` has the bytes of each.

    more: something must follow it. States count the bytes that were read; the last is that of everything longer.
    """
    size = len(text)
    steps = np.full((size + 2, 256), DEAD, dtype=np.int32)
    steps[np.arange(size), np.frombuffer(text, dtype=np.uint8)] = np.arange(1, size + 1)
    steps[size:] = size + 1
    ends = np.arange(size + 2) >= size + more
    return Automaton.over(steps, ends, _matrix(pieces, 256))


def avoids(phrases: Iterable[str], pieces: Sequence[str]) -> Automaton:
    """Accepts what has none of the phrases as whole words, in upper or lower case; `pieces` has the text of each.

    Where a phrase begins or ends with a letter or a digit, no other one may stand beside it for it to count. Characters
    that no phrase has are told apart by this alone.
    """
    wanted = sorted({phrase.lower() for phrase in phrases})
    known = {char: number for number, char in enumerate(sorted({char for phrase in wanted for char in phrase}))}
    classes = [char.isalnum() for char in known] + [True, False]
    read = [[known.get(c, len(known) + (not c.isalnum())) for c in piece.lower()] for piece in pieces]
    numbered = [tuple(known[char] for char in phrase) for phrase in wanted]
    steps, ends = _determined(numbered, classes)
    return Automaton.over(steps, ends, _matrix(read, len(classes)))


Place = tuple[int, int]
"""A phrase, and how many of its characters have been read."""


def _determined(phrases: Sequence[tuple[int, ...]], in_word: Sequence[bool]) -> tuple[Table, NDArray[np.bool_]]:
    """The subset construction: a state is the set of places at which the phrases may stand, and what came last."""
    begin = frozenset((number, 0) for number in range(len(phrases))), False
    states, rows = {begin: 0}, []
    todo = [begin]
    for places, _ in todo:
        row = []
        for symbol, letter in enumerate(in_word):
            after = _read(places, symbol, letter, phrases, in_word)
            if after is None:
                row.append(DEAD)
                continue
            state = after, letter
            if state not in states:
                states[state] = len(states)
                todo.append(state)
            row.append(states[state])
        rows.append(row)
    complete = [any(at == len(phrases[number]) for number, at in places) for places, _ in todo]
    return np.array(rows, dtype=np.int32), ~np.array(complete)


def _read(
    places: frozenset[Place], symbol: int, letter: bool, phrases: Sequence[tuple[int, ...]], in_word: Sequence[bool]
) -> frozenset[Place] | None:
    """The places after a symbol; None if a phrase stands there now for sure."""
    after = set[Place]()
    for number, at in places:
        phrase = phrases[number]
        if at == len(phrase):
            if not letter:
                return None
        elif phrase[at] == symbol:
            after.add((number, at + 1))
    for number, phrase in enumerate(phrases):
        if not letter or not in_word[phrase[0]]:
            after.add((number, 0))
        if (number, len(phrase)) in after and not in_word[phrase[-1]]:
            return None
    return frozenset(after)


def _needed(reached: Table, ends: NDArray[np.bool_]) -> Table:
    """The fewest pieces from each state to one in which the translation may end."""
    needed = np.where(ends, 0, _FAR).astype(np.int32)
    while True:
        best = np.where(reached == DEAD, _FAR, needed[reached]).min(axis=1) + 1
        shorter = np.minimum(needed, best)
        if np.array_equal(shorter, needed):
            return needed
        needed = shorter.astype(np.int32)


def _matrix(rows: Sequence[Sequence[int]], filler: int) -> Table:
    matrix = np.full((len(rows), max(1, *map(len, rows))), filler, dtype=np.int32)
    for row, symbols in zip(matrix, rows, strict=True):
        row[: len(symbols)] = list(symbols)
    return matrix
