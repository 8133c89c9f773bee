"""Dev and test files that the user brings, for one direction or both."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from nmt.errors import DataError
from nmt.text.normalize import Form
from training.corpus.cleaning import Cleaner, CleaningConfig, CleaningReport
from training.corpus.files import is_file
from training.corpus.readers import Format, Location, decoded, locate, read
from training.corpus.records import Direction, Line, Pair, TextPair

_NO_LIMIT = 1_000_000
# A test set stays what it is: only lines that cannot be used at all are dropped.
_LENIENT = CleaningConfig(
    max_characters=_NO_LIMIT,
    max_ratio=_NO_LIMIT,
    drop_identical=False,
    drop_duplicates=False,
    drop_wordless=False,
    ratio_floor=1,
)

_CODE = r"([a-z]{2,3}(?:-[A-Z0-9]\w+)*)"
_LABEL = re.compile(f"{_CODE}-{_CODE}")

PairsByDirection = dict[Direction, list[TextPair]]


def read_held_out(
    files: Sequence[str], directions: Sequence[Direction], forward: Direction, stated: Format | None, form: Form
) -> tuple[PairsByDirection, CleaningReport]:
    """The pairs of each direction, each read as source and target of that direction.

    A file is `FILE`, which is in the `forward` direction, or `en-de=FILE`. A plain one with single references serves
    the other direction as well, reversed, unless that one has a file of its own.
    Raises `DataError` when a direction gets no pairs, and as the readers do.
    """
    placed = [place for file in files for place in _placed(file, directions, forward, stated)]
    own = {direction for direction, _ in placed}
    cleaner = Cleaner(_LENIENT, form)
    pairs: PairsByDirection = {direction: [] for direction in directions}
    for direction, location in placed:
        if direction:
            pairs[direction] += cleaner.clean(_lines(location, direction))
            continue
        lines = list(_lines(location, forward))
        found = list(cleaner.clean(lines))
        if forward in pairs:
            pairs[forward] += found
        backward = forward[::-1]
        if backward in pairs and backward not in own:
            _check_single(lines, location, backward)
            pairs[backward] += [(target, source) for source, target in found]
    for direction, found in pairs.items():
        if not found:
            name = "-".join(direction)
            raise DataError(f"{', '.join(files)}: no pair for the direction {name}; add {name}=FILE")
    return pairs, cleaner.report()


def read_kept_out(
    files: Sequence[str], forward: Direction, stated: Format | None, form: Form
) -> list[tuple[Direction, list[TextPair]]]:
    """The pairs of each file, `FILE` or `en-de=FILE`, in its direction. Raises `DataError` for one without any, and as
    the readers do."""
    cleaner, kept_out = Cleaner(_LENIENT, form), []
    for file in files:
        named = _LABEL.fullmatch(file.partition("=")[0])  # of any languages: one of them may be that of the corpus
        known = [forward, forward[::-1], *([(named[1], named[2])] if named else [])]
        for stated_direction, location in _placed(file, known, forward, stated):
            direction = stated_direction or forward
            pairs = list(cleaner.clean(_lines(location, direction)))
            if not pairs:
                raise DataError(
                    f"{location} has no pair {'-'.join(direction)} to keep out; if it has others: xx-yy=FILE"
                )
            kept_out.append((direction, pairs))
    return kept_out


def _placed(
    file: str, directions: Sequence[Direction], forward: Direction, stated: Format | None
) -> list[tuple[Direction | None, Location]]:
    """The direction that the user stated, if any, and the file, or the files of an archive."""
    label, equals, rest = file.partition("=")
    if not equals or is_file(Path(file)):
        return [(None, location) for location in locate(file, forward, stated)]
    known = {"-".join(direction): direction for direction in directions}
    if label not in known:
        raise DataError(f"{file} is for the direction {label}, but what is prepared is {', '.join(known)}")
    return [(known[label], location) for location in locate(rest, known[label], stated)]


def _lines(location: Location, direction: Direction) -> Iterator[Line]:
    return decoded(read(location, direction, references=True))


def _check_single(lines: Sequence[Line], location: Location, backward: Direction) -> None:
    several = next((line for line in lines if isinstance(line, Pair) and len(line.targets) > 1), None)
    if several:
        name = "-".join(backward)
        raise DataError(
            f"{location} has several references in line {several.line:,}, so it cannot be reversed for {name}; "
            f"name it {'-'.join(backward[::-1])}={location} and add {name}=FILE, or prepare one direction only"
        )
