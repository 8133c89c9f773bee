"""Links between words that a training set brings, for guided alignment: read, and carried over to its pieces."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from nmt.alignment import overlaps, words
from nmt.errors import DataError
from nmt.text.tokenizer import Pieces, Tokenizer
from training.aligner import Link, read_pharaoh
from training.corpus.prepared import TrainingSet, weighted
from training.corpus.records import TextPair
from training.piece_table import Sentences


def linked_rows(part: TrainingSet, tokenizer: Tokenizer, seed: int) -> Iterator[Sentences]:
    """Source pieces, target pieces, and their links as target and source piece in turn, of each pair that is trained.

    Raises `DataError`, with the line, where the links do not fit the training set.
    """
    for (source, target), links in weighted(_linked_pairs(part), part.weight, seed):
        cut = tokenizer.encode_source(source, part.direction[1]), tokenizer.encode_target(target)
        yield cut[0].ids, cut[1].ids, piece_links(*cut, links)


def piece_links(source: Pieces, target: Pieces, links: Sequence[Link]) -> list[int]:
    """Each piece of a linked word with each piece of the other: target and source piece in turn, one list for all."""
    source_words, target_words = words(source.text), words(target.text)
    linked = np.zeros((len(target_words), len(source_words)), dtype=bool)
    linked[[t for _, t in links], [s for s, _ in links]] = True
    own, other = overlaps(target.spans, target_words) > 0, overlaps(source.spans, source_words) > 0
    both: list[int] = np.argwhere(own @ linked @ other.T).ravel().tolist()
    return both


def _linked_pairs(part: TrainingSet) -> Iterator[tuple[TextPair, list[Link]]]:
    """The pairs with their links, both read in the direction of the set."""
    for number, (pair, line) in enumerate(zip_longest(part.pairs(), _lines(part.links)), start=1):
        if pair is None or line is None:
            raise DataError(
                f"{part.links} has {'more' if pair is None else 'fewer'} lines than the {part.size:,} pairs of "
                f"{part.path}; make it again: nmt links {part.path.parent}"
            )
        yield pair, _checked(line, pair, part, number)


def _checked(line: str, pair: TextPair, part: TrainingSet, number: int) -> list[Link]:
    links = read_pharaoh(line, f"{part.links}, line {number:,}")
    if part.backward:
        links = [(other, one) for one, other in links]
    sizes = len(words(pair[0])), len(words(pair[1]))
    if any(source >= sizes[0] or target >= sizes[1] for source, target in links):
        raise DataError(
            f"{part.links}, line {number:,} links words that are not there: {' to '.join(map(str, sizes))} words of "
            f"{pair!r:.80} are counted from 0; words and signs count one each"
        )
    return links


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield line.strip()
    except FileNotFoundError as error:
        raise DataError(
            f"guided_alignment wants {path}, which is not there; make it: nmt links {path.parent}"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}; make it again: nmt links {path.parent}") from error
