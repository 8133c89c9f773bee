"""From the weights of a model to those for other pieces: embeddings of a vocabulary that it never saw."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nmt.text.tokenizer import Side, Tokenizer

_SIDES: dict[str, Side] = {
    "source_embedding.weight": "source",
    "target_embedding.weight": "target",
    "output.weight": "target",
    "output.bias": "target",
}
"""The weights that have a row a piece, and whose pieces these are."""


def transferred(weights: Mapping[str, Tensor], known: Tokenizer, wanted: Tokenizer) -> dict[str, Tensor]:
    """The weights for the pieces of `wanted`, from those of a model with the pieces of `known`.

    A piece that the model knows keeps its row. Another begins with the mean of the rows of the pieces that spell it
    (Gee et al. 2022, section 3), so that what is known of words carries over; the tag of a new language, with the mean
    of all tags. The weights that have no row a piece stay as they are.
    """
    rows = {side: _rows(known, wanted, side) for side in set(_SIDES.values())}
    return {name: _mixed(weight, rows[_SIDES[name]]) if name in _SIDES else weight for name, weight in weights.items()}


def _mixed(weight: Tensor, rows: Sequence[Sequence[int]]) -> Tensor:
    """Row i is the mean of the rows[i] of the weight."""
    return torch.stack([weight[list(own)].float().mean(dim=0) for own in rows])


def _rows(known: Tokenizer, wanted: Tokenizer, side: Side) -> list[list[int]]:
    """The known pieces that each wanted one begins with."""
    ids, tags = known.ids(side), {wanted.tag(language) for language in wanted.languages}
    all_tags = [known.tag(language) for language in known.languages]
    pieces = wanted.ids(side).items()
    return [all_tags if piece not in ids and own in tags else _spelling(piece, ids) for piece, own in pieces]


def _spelling(piece: str, ids: Mapping[str, int]) -> list[int]:
    """Pieces that say the same: always the longest one that fits, and bytes for a character that is none."""
    found, rest = list[int](), piece
    while rest:
        size = next((end for end in range(len(rest), 0, -1) if rest[:end] in ids), 0)
        found += [ids[rest[:size]]] if size else [ids[f"<0x{byte:02X}>"] for byte in rest[0].encode()]
        rest = rest[max(size, 1) :]
    return found
