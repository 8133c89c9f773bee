"""Resident memory while the corpus grows, as JSON lines: `python tests/benchmarks/memory.py [PAIRS ...]`.

Each size is a process of its own, which makes a corpus by repeating made-up sentences, cuts it into pieces, goes
through the batches of an epoch, and makes some updates of a small network; after each it says the highest so far. With
`--prepare` it prepares such a corpus instead, whose pairs are numbered, so that no two are the same.
"""

import argparse
import contextlib
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import torch

from nmt.config import ModelConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import Tokenizer, TokenizerConfig
from training.batches import Batches
from training.config import TrainingConfig
from training.corpus.config import PrepareConfig
from training.piece_table import Sentences, stored_tables
from training.prepare import prepare_corpus
from training.trainer import Trainer
from training.validation import ValidationResult

_LINES = 4096


class _NoValidation:
    def run(self, model: Seq2Seq) -> ValidationResult:
        return ValidationResult(loss=0.0)


def main() -> None:
    """Print one line a size and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="*", type=int, default=[100_000, 3_000_000])
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--prepare", action="store_true", help="measure `nmt prepare` instead of training")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for pairs in arguments.pairs:
        if not arguments.here:
            options = ["--updates", str(arguments.updates), *(["--prepare"] if arguments.prepare else [])]
            subprocess.run([sys.executable, __file__, "--here", str(pairs), *options], check=True)
        elif arguments.prepare:
            _prepare(pairs)
        else:
            _train(pairs, arguments.updates)


def _prepare(count: int) -> None:
    lines = _lines()
    corpus = {"files": ("corpus.tsv",), "source": "xx", "target": "yy"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        with Path("corpus.tsv").open("w") as file:
            file.writelines(f"{line} {number}\t{number} {line}\n" for number, line in zip(range(count), cycle(lines)))
        prepare_corpus(PrepareConfig(corpora=(corpus,)), Path("made"))
    _report(f"prepare.peak_memory.{count}", _peak())


def _train(count: int, updates: int) -> None:
    lines = _lines()
    tokenizer = train_tokenizer(lines, lines, ["xx", "yy"], TokenizerConfig(vocabulary_size=1000))
    with tempfile.TemporaryDirectory() as folder:
        tables = stored_tables(Path(folder), "pieces", islice(_pairs(tokenizer, lines), count))
        _report(f"train.peak_memory_cutting.{count}", _peak())
        batches = Batches(*tables, batch_pieces=2000, max_pieces=100)
        for number, rows in enumerate(batches.epoch(1, 0)):
            if number % 100 == 0:
                batches.batch(rows)
        _report(f"train.peak_memory_streaming.{count}", _peak())
        config = TrainingConfig(
            data=Path(folder),
            updates=updates,
            warmup_updates=1,
            decay_updates=1,
            validation={"metric": "loss"},
        )
        shape = {"embedding_size": 64, "encoder_size": 64, "decoder_size": 64, "attention_size": 64}
        model = Seq2Seq(ModelConfig(source_vocabulary=1000, target_vocabulary=1000, **shape))
        Trainer(config, model, batches, _NoValidation(), Path(folder), []).run()
    _report(f"train.peak_memory.{count}", _peak())


def _lines() -> list[str]:
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(3000)]
    return [" ".join(rng.choices(words, k=min(60, 3 + int(rng.expovariate(0.12))))) for _ in range(20_000)]


def _pairs(tokenizer: Tokenizer, lines: list[str]) -> Iterator[Sentences]:
    sources, targets = tokenizer.source_ids(lines, "yy"), tokenizer.target_ids(lines)
    while True:
        yield from zip(sources, targets, strict=True)


def _peak() -> int:
    """The most memory, in kB, that this process ever had resident, pages of mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _report(name: str, kilobytes: int) -> None:
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(json.dumps({"name": name, "value": round(kilobytes / 1024), "unit": "MB", "machine": machine}), flush=True)


if __name__ == "__main__":
    main()
