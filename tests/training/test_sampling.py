"""Subword sampling: other pieces, the same text."""

import pytest
import torch

from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import BEGIN, END, PAD, Tokenizer, TokenizerConfig
from training.batches import Batch, Batches
from training.sampling import resampled

LINES = [f"the {a} {b} walks slowly over the {c} bridge" for a in ("old", "young", "tired") for b in ("man", "woman",
         "doctor") for c in ("wooden", "broken", "narrow")]  # fmt: skip


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Learned from the lines above."""
    config = TokenizerConfig(algorithm=request.param, vocabulary_size=285)
    return train_tokenizer(LINES, LINES, ["en", "de"], config)


@pytest.fixture
def batch(tokenizer: Tokenizer) -> Batch:
    """All lines, both sides the same."""
    batches = Batches(tokenizer.source_ids(LINES, "de"), tokenizer.target_ids(LINES), 10_000, 1000)
    return batches.batch(next(batches.epoch(1, 0)))


def rows(table: torch.Tensor) -> list[list[int]]:
    """Without the padding."""
    return [[i for i in row if i != PAD] for row in table.tolist()]


def test_sampled_sentences_say_the_same(tokenizer: Tokenizer, batch: Batch) -> None:
    """Text, tag, start and end stay; lengths fit; some words are cut in another way."""
    sampled = resampled(batch, tokenizer, 0.3, (1, 0, 0))
    sources, targets, inputs = rows(sampled.source), rows(sampled.target_out), rows(sampled.target_in)

    assert [tokenizer.decode(ids).text for ids in targets] == [
        tokenizer.decode(ids).text for ids in rows(batch.target_out)
    ]
    assert [tokenizer.decode(ids[1:]).text for ids in sources] == [tokenizer.decode(ids).text for ids in targets]
    assert {ids[0] for ids in sources} == {tokenizer.tag("de")}
    assert inputs == [[BEGIN, *ids[:-1]] for ids in targets]
    assert {ids[-1] for ids in sources + targets} == {END}
    assert sampled.lengths.tolist() == [len(ids) for ids in sources]
    assert targets != rows(batch.target_out)


def test_the_seed_decides(tokenizer: Tokenizer, batch: Batch) -> None:
    """The same one gives the same pieces, whatever was drawn in between; another one gives others."""
    first, other, again = (
        resampled(batch, tokenizer, 0.3, seed).target_out for seed in ((1, 0, 0), (1, 0, 1), (1, 0, 0))
    )

    assert torch.equal(first, again)
    assert rows(first) != rows(other)


def test_lengths_are_bounded(tokenizer: Tokenizer, batch: Batch) -> None:
    """However wild the sampling, no sentence grows by more than half."""
    wildest = {"unigram": 0.0, "bpe": 1.0}[tokenizer.config.algorithm]
    sampled = resampled(batch, tokenizer, wildest, (1,))
    before, after = (sum(map(len, rows(own.target_out))) for own in (batch, sampled))

    for new, old in zip(rows(sampled.target_out), rows(batch.target_out), strict=True):
        assert len(new) <= 1.5 * len(old) + 1
    assert after <= 1.5 * before + len(LINES)
