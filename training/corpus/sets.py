"""From the files of all corpora to training, dev and test sets that share no sentence."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from nmt.errors import DataError
from training.corpus.audit import Finding, near_copies, other_languages
from training.corpus.cleaning import Cleaner, CleaningReport
from training.corpus.config import CorpusConfig, PrepareConfig
from training.corpus.held_out import PairsByDirection, read_held_out, read_kept_out
from training.corpus.prepared import PairFile
from training.corpus.readers import Location, decoded, locate, read
from training.corpus.records import Direction, Reason, TextPair
from training.corpus.sentences import Sentences
from training.corpus.splitting import split

Tell = Callable[[str], None]
Part = Literal["dev", "test"]


@dataclass(frozen=True, slots=True)
class Sets:
    """Training pairs by the title of their corpus, their sides in the order of its columns; the others by direction."""

    train: dict[str, PairFile] = field(default_factory=dict)
    held_out: dict[Part, PairsByDirection] = field(default_factory=lambda: {"dev": {}, "test": {}})
    reports: dict[str, CleaningReport] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def hold_out(self, part: Part, direction: Direction, pairs: list[TextPair]) -> None:
        """Add to what the corpora before gave for this direction."""
        if pairs:
            self.held_out[part].setdefault(direction, []).extend(pairs)


def collect(config: PrepareConfig, folder: Path, tell: Tell) -> Sets:
    """Read, clean and split all corpora; the training sets go to files in `folder` as they are read.

    No dev or test sentence of any corpus is left in the training set of any other that has its language. So corpora
    that are split come first, and none gives up a sentence that one before it trains on.
    Raises `DataError` if a file cannot be read or leaves too little, and `OSError` if its own cannot be written.
    """
    sets = Sets()
    held_out, trained = Sentences(), Sentences()
    for corpus in config.corpora:
        _read_own(config, corpus, sets, held_out, tell)
    in_turn = sorted(config.corpora, key=lambda corpus: not corpus.is_split)
    working = folder / ".cleaned.tsv"
    try:
        for number, corpus in enumerate(in_turn, start=1):
            cleaned = _clean(config, corpus, working, sets, held_out, tell)
            sizes = corpus.cut_sizes(len(cleaned))
            if corpus.is_split:
                tell(f"splitting off {sizes[0]:,} dev and {sizes[1]:,} test sentences")
            parts = split(cleaned, *sizes, config.seed, trained.of(corpus.forward))
            train = sets.train[corpus.title] = PairFile.write(folder / corpus.train_file, parts.train(cleaned))
            cut: dict[Part, list[TextPair]] = {"dev": parts.dev, "test": parts.test}
            for part, own in cut.items():
                held_out.add(corpus.forward, own)
                for direction in corpus.wanted:
                    sets.hold_out(part, direction, own if direction == corpus.forward else _reversed(own))
            if any(later.is_split for later in in_turn[number:]):
                trained.add(corpus.forward, train)
    finally:
        working.unlink(missing_ok=True)
    _audit(config, sets, tell)
    return sets


def _audit(config: PrepareConfig, sets: Sets, tell: Tell) -> None:
    """Look at what was left to train on."""
    train = {corpus.train_file: (corpus.forward, sets.train[corpus.title]) for corpus in config.corpora}
    sentences: dict[str, list[str]] = {}
    for by_direction in sets.held_out.values():
        for direction, pairs in by_direction.items():
            for side, language in enumerate(direction):
                sentences.setdefault(language, []).extend(pair[side] for pair in pairs)
    tell("looking for near copies of dev and test sentences, and for other languages")
    sets.findings.extend(near_copies(train, sentences))
    if config.cleaning.check_languages:
        sets.findings.extend(other_languages(train))
    tell("\n" + "".join(finding.text() for finding in sets.findings))


def _read_own(config: PrepareConfig, corpus: CorpusConfig, sets: Sets, held_out: Sentences, tell: Tell) -> None:
    """The dev and test files that the user brings, and what is to be kept out beside them."""
    given: dict[Part, tuple[str, ...]] = {"dev": corpus.dev, "test": corpus.test}
    for part, files in given.items():
        if files:
            tell(f"reading {', '.join(files)} for {part}")
            pairs, sets.reports[f"{corpus.title} {part}"] = read_held_out(
                files, corpus.wanted, corpus.forward, corpus.format, config.tokenizer.normalization
            )
            for direction, own in pairs.items():
                held_out.add(direction, own)
                sets.hold_out(part, direction, own)
    if corpus.keep_out:
        tell(f"reading {', '.join(corpus.keep_out)} to keep it out")
        form = config.tokenizer.normalization
        for direction, own in read_kept_out(corpus.keep_out, corpus.forward, corpus.format, form):
            held_out.add(direction, own)


def _clean(
    config: PrepareConfig, corpus: CorpusConfig, working: Path, sets: Sets, held_out: Sentences, tell: Tell
) -> PairFile:
    """What is left of a corpus to train on and to split, in the file `working`."""
    cleaner = Cleaner(config.cleaning, config.tokenizer.normalization, held_out.of(corpus.forward), corpus.forward)
    locations = [location for file in corpus.files for location in locate(file, corpus.forward, corpus.format)]

    def cleaned(location: Location) -> Iterator[TextPair]:
        tell(f"reading {location} ({location.format})")
        return cleaner.clean(decoded(read(location, corpus.forward)))

    pairs = PairFile.write(working, chain.from_iterable(map(cleaned, locations)))
    report = sets.reports[corpus.title] = cleaner.report()
    tell(f"\n{report.table()}\n")
    _check_read(corpus, locations, report)
    if not pairs:
        raise DataError(f"no pair of {', '.join(corpus.files)} is left to train on\n{report.text()}")
    return pairs


def _check_read(corpus: CorpusConfig, locations: Sequence[Location], report: CleaningReport) -> None:
    """Refuse a corpus of which hardly anything was read: numbers of rows in the place of sentences, for example, or
    the languages the wrong way round."""
    swapped = report.dropped.get(Reason.SWAPPED)
    if swapped and 2 * swapped.count > report.total:
        raise DataError(
            f"{swapped.count:,} of {report.total:,} pairs of {', '.join(corpus.files)} have their sides swapped, such "
            f"as {swapped.examples[0].shown()}; exchange source, which is {corpus.source}, and target, {corpus.target}"
        )
    lost = [report.dropped[reason] for reason in (Reason.MALFORMED, Reason.WORDLESS) if reason in report.dropped]
    count = sum(dropped.count for dropped in lost)
    if 2 * count <= report.total:
        return
    first = max(lost, key=lambda dropped: dropped.count).examples[0]
    message = f"{count:,} of {report.total:,} records of {', '.join(corpus.files)} hold no two sentences, such as "
    message += first.shown()
    if any(location.format == "tsv" and str(location) == first.file for location in locations):
        message += (
            f"; of a TSV, the first column is read as {corpus.source} and the second as {corpus.target}: leave out "
            "what stands before them, and put a tab between them"
        )
    raise DataError(message)


def _reversed(pairs: list[TextPair]) -> list[TextPair]:
    return [(target, source) for source, target in pairs]
