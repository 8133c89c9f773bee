"""`nmt links`: word links of a prepared corpus, made with eflomal, for guided alignment."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from nmt.alignment import words
from nmt.errors import DataError
from training.corpus.prepared import PreparedCorpus, TrainingSet
from training.disk import write_atomically, writes_explained
from training.messages import messages

Link = tuple[int, int]
"""Source and target word, counted from 0."""

_PHARAOH = re.compile(r"(?:\d+-\d+(?: |$))*")
_NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


def links(data: Annotated[Path, typer.Argument(help="A folder that nmt prepare made.")]) -> None:
    """Link the words of all training pairs, so that a recipe can ask for guided_alignment.

    Writes links.NAME.txt beside each train.NAME.tsv: a line a pair, such as 0-0 1-2, source word - target word. Words
    and signs count one each, from 0. Uses eflomal (pip install eflomal; it is compiled then, which takes gcc).
    """
    console = messages()
    for part in {part.path: part for part in PreparedCorpus.load(data).training_sets}.values():
        console.print(f"aligning {part.size:,} pairs of {part.path}")
        found = (" ".join(f"{s}-{t}" for s, t in sorted(own)) for own in align_words(part))
        with writes_explained(data):
            write_atomically(part.links, "".join(f"{line}\n" for line in found).encode())
        console.print(f"the links are in {part.links}")


def align_words(part: TrainingSet) -> Iterator[set[Link]]:
    """Links of each pair in the order of the file's columns: aligned both ways (Östling & Tiedemann 2016), joined."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("first", "second", "forward", "backward")]
        for column, path in enumerate(paths[:2]):
            lines = (pair[column != part.backward] for pair in part.pairs())
            with path.open("w", encoding="utf-8") as file:
                file.writelines(" ".join(word.text for word in words(line)) + "\n" for line in lines)
        _run_eflomal(*paths)
        forward, backward = (_written(path, part.size) for path in paths[2:])
        for one, other in zip(forward, backward, strict=True):
            yield grow_diagonally(_links(one), _links(other))


def read_pharaoh(line: str, where: str) -> list[Link]:
    """The links of such a line as `0-0 1-2`. Raises `DataError`, with where it stands, if it is none."""
    if not _PHARAOH.fullmatch(line):
        raise DataError(f"{where} is {line!r:.80}; wanted source-target pairs, such as 0-0 1-2")
    return [(int(source), int(target)) for source, target in (link.split("-") for link in line.split())]


def grow_diagonally(forward: set[Link], backward: set[Link]) -> set[Link]:
    """What both ways say, and what one says beside it if a word has no link yet (`grow-diag`, Koehn et al. 2005)."""
    joined, candidates = forward & backward, sorted(forward | backward)
    growing = True
    while growing:
        growing = False
        for source, target in candidates:
            new = (source, target) not in joined
            beside = any((source + i, target + j) in joined for i, j in _NEIGHBOURS)
            bare = all(s != source for s, _ in joined) or all(t != target for _, t in joined)
            if new and beside and bare:
                joined.add((source, target))
                growing = True
    return joined


def _run_eflomal(first: Path, second: Path, forward: Path, backward: Path) -> None:
    program = shutil.which("eflomal-align", path=Path(sys.executable).parent) or shutil.which("eflomal-align")
    if program is None:
        raise DataError(
            "eflomal-align is not installed, and without it no links can be made; install it with `pip install "
            "eflomal` (needs gcc), or write the files links.NAME.txt with another aligner"
        )
    arguments = ("-s", first, "-t", second, "-f", forward, "-r", backward, "--overwrite")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"eflomal-align ended with status {done.returncode}: {done.stderr.strip()[-500:]}")


def _written(path: Path, size: int) -> list[str]:
    """The lines that the aligner wrote, one a pair."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if len(lines) != size:
        raise DataError(
            f"eflomal-align ended well, but wrote {len(lines):,} lines of {path.name} links for {size:,} pairs; "
            "install it anew, or write the files links.NAME.txt with another aligner"
        )
    return lines


def _links(line: str) -> set[Link]:
    return set(read_pharaoh(line.strip(), "a line of eflomal-align"))
