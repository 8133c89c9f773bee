"""`nmt` as a user runs it, a process a call."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import IO


def nmt(*arguments: object, stdin: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `nmt`; its exit status must be as said. Bytes that are no UTF-8 are surrogates, as Python has them."""
    command = [sys.executable, "-m", "nmt", *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=300, check=False
    )
    assert done.returncode == status, done.stderr
    return done


@contextmanager
def conversation(*arguments: object) -> Iterator[tuple[IO[str], IO[str]]]:
    """`nmt` with its standard input and output open; at the end it must have no more to say."""
    command, pipe = [sys.executable, "-m", "nmt", *map(str, arguments)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8") as process:
        assert process.stdin
        assert process.stdout
        watch = Timer(60, process.kill)
        watch.start()
        yield process.stdin, process.stdout
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait() == 0
        watch.cancel()


def write_capitals(corpus: Path, pairs: int, longest: int) -> None:
    """A TSV corpus of made-up words and the same in capitals, 3 to `longest` of them a line."""
    rng, words = random.Random(0), [f"w{a}{b}" for a in "abcdefgh" for b in "klmnop"]
    lines = [" ".join(rng.choices(words, k=rng.randint(3, longest))) for _ in range(pairs)]
    corpus.write_text("".join(f"{line}\t{line.upper()}\n" for line in lines), encoding="utf-8")
