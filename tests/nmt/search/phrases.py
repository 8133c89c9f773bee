"""What tests of guides share: ways to search, and whether a text says a phrase."""

import re
from collections.abc import Sequence

import numpy as np

from nmt.search.automaton import Automaton
from nmt.text.tokenizer import END

SEARCHES = [
    {"beam_size": 4, "n_best": 4},
    {"method": "greedy"},
    {"method": "sample", "n_best": 3, "seed": 5, "temperature": 3},
    {"beam_size": 4, "n_best": 4, "diversity_groups": 2},
]


def says(text: str, phrase: str, any_case: bool = True) -> bool:
    """Whether a phrase stands in a text as whole words, by a regular expression; what is wanted, and so in its case,
    not right after a sign that a space follows."""
    clear = "" if any_case else r"(?<![.,;:!?…)\]}])"
    before = r"(?<![^\W_])" + clear if phrase[0].isalnum() else ""
    after = r"(?![^\W_])" if phrase[-1].isalnum() else ""
    return re.search(before + re.escape(phrase) + after, text, re.IGNORECASE if any_case else 0) is not None


def accepts(automaton: Automaton, pieces: Sequence[int]) -> bool:
    state = np.zeros(1, np.int64)
    for piece in (*pieces, END):
        state = automaton.after(state, np.array([piece]))
    return bool(state[0] < len(automaton.next) - 1)
