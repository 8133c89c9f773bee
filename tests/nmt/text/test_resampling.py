"""Cutting words at random: as often as the papers say, and the same in every process."""

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from sentencepiece import SentencePieceProcessor

from nmt.package import PRETRAINED
from nmt.text.learning import train_tokenizer
from nmt.text.resampling import BpeCutter, UnigramCutter
from nmt.text.tokenizer import END, Tokenizer, TokenizerConfig

FOLDER = next(PRETRAINED.glob("*/tokenizer"))
LINES = [f"the {a} {b} walks slowly over the {c} bridge" for a in ("old", "young", "tired") for b in ("man", "woman",
         "doctor") for c in ("wooden", "broken", "narrow")]  # fmt: skip
SCRIPT = """
import json, sys
from pathlib import Path
from nmt.text.tokenizer import Tokenizer
tokenizer = Tokenizer.load(Path(sys.argv[1]))
print(json.dumps(tokenizer.resample(json.loads(sys.argv[2]), "target", 0.3, 7)))
"""


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    """Learned from the lines above."""
    return train_tokenizer(LINES, LINES, ["en"], TokenizerConfig(algorithm="bpe", vocabulary_size=330))


def processor_of(tokenizer: Tokenizer) -> SentencePieceProcessor:
    """What it cuts with."""
    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(tokenizer._models["joint"])
    return processor


def cuts_of(word: str, ids: dict[str, int]) -> Iterator[list[int]]:
    """All ways to write a word as pieces."""
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        if word[:end] in ids:
            yield from ([ids[word[:end]], *rest] for rest in cuts_of(word[end:], ids))


def test_unigram_cuts_come_up_as_often_as_their_probability_says() -> None:
    """Against all ways to cut a short word, each with its probability to the power of alpha."""
    processor, alpha, draws = processor_of(Tokenizer.load(FOLDER)), 0.1, 20_000
    ids = {processor.id_to_piece(i): i for i in range(4, processor.get_piece_size())}
    weights = {tuple(cut): math.exp(alpha * sum(map(processor.get_score, cut))) for cut in cuts_of("▁stations", ids)}
    random, cutter = Random(0), UnigramCutter(processor, alpha)
    seen = Counter(tuple(cutter.cut("▁stations", random)) for _ in range(draws))

    assert 10 < len(weights) < 64
    for cut, weight in weights.items():
        assert seen[cut] / draws == pytest.approx(weight / sum(weights.values()), abs=0.02)


def test_bpe_without_dropout_cuts_as_sentencepiece_does(bpe: Tokenizer) -> None:
    """And with nothing but dropout, into characters."""
    processor, words = processor_of(bpe), {word for line in LINES for word in line.split()}
    all_merges, no_merges = BpeCutter(processor, 0.0), BpeCutter(processor, 1.0)

    for word in words:
        assert all_merges.cut(f"▁{word}", Random(0)) == processor.encode(word)
        assert [processor.id_to_piece(i) for i in no_merges.cut(f"▁{word}", Random(0))] == ["▁", *word]


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_another_process_cuts_the_same_way(algorithm: str, bpe: Tokenizer, tmp_path: Path) -> None:
    """So that a run that goes on in another process reads what it would have read."""
    tokenizer = bpe if algorithm == "bpe" else Tokenizer.load(FOLDER)
    tokenizer.save(tmp_path)
    sentences = tokenizer.target_ids(LINES)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), json.dumps(sentences)]
    elsewhere = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert elsewhere == tokenizer.resample(sentences, "target", 0.3, 7)
    assert elsewhere != sentences


@pytest.mark.parametrize("text", ["a ☃ b", "☃", "two  spaces", "<0xC3> spelled", ""])
def test_odd_texts_stay_what_they_are(text: str, bpe: Tokenizer) -> None:
    """Bytes for characters without a piece, empty words, and text that looks like bytes."""
    for tokenizer, alpha in ((bpe, 0.5), (Tokenizer.load(FOLDER), 0.1)):
        (own,) = tokenizer.target_ids([text])
        (cut,) = tokenizer.resample([own], "target", alpha, 3)

        assert tokenizer.decode(cut).text == tokenizer.decode(own).text
        assert cut[-1] == END


def test_characters_cannot_be_cut_further() -> None:
    """A tokenizer of characters gives back what it got."""
    tokenizer = train_tokenizer(LINES, LINES, ["en"], TokenizerConfig(algorithm="char", vocabulary_size=300))
    sentences = tokenizer.target_ids(LINES)

    assert tokenizer.resample(sentences, "target", 0.5, 1) == sentences
