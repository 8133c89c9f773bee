"""The alignments of a model against a test set that people aligned."""

from collections.abc import Sequence
from pathlib import Path

from nmt.alignment import words
from nmt.errors import DataError
from nmt.scoring.alignment_error import AlignmentScore, GoldLinks, alignment_score
from nmt.translator import Translator
from training.corpus.files import read_lines


def read_gold_alignments(path: Path, pairs: Sequence[tuple[str, str]]) -> list[GoldLinks]:
    """The gold links of each pair of texts, a line each; numbers count the words as `nmt.alignment.words` cuts them."""
    lines = read_lines(path, "the file of gold alignments")
    if len(lines) != len(pairs):
        raise DataError(f"{path} has {len(lines)} lines for {len(pairs)} lines of the test set; one each is wanted")
    return [
        _parse(f"{path}, line {number}", line, pair)
        for number, (line, pair) in enumerate(zip(lines, pairs, strict=True), 1)
    ]


def score_alignments(
    translator: Translator, pairs: Sequence[tuple[str, str]], gold: Sequence[GoldLinks], source: str, target: str
) -> AlignmentScore:
    """Force the model through each reference and compare its links with the gold ones."""
    scored = translator.score(pairs, target, source)
    found = [[(link.source, link.target) for link in hypothesis.alignment().links] for hypothesis in scored]
    return alignment_score(found, gold)


def _parse(where: str, line: str, pair: tuple[str, str]) -> GoldLinks:
    try:
        gold = GoldLinks.parse(line)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    sizes = [len(words(text)) for text in pair]
    for link in sorted(gold.possible):
        if link[0] >= sizes[0] or link[1] >= sizes[1]:
            raise DataError(
                f"{where}: link {link[0]}-{link[1]}, but the source has {sizes[0]} words and the reference {sizes[1]}, "
                f"counted from 0: {' '.join(unit.text for text in pair for unit in words(text))!r:.200}"
            )
    return gold
