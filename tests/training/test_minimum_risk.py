"""Minimum-risk tuning: the expected cost against its definition, and whether it makes better translations likely."""

import itertools
import math

import pytest
import torch

from nmt.config import ModelConfig, SearchConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.stepper import stepper_of
from nmt.scoring.forced import score_forced
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import PAD, Tokenizer, TokenizerConfig
from nmt.translator import Translator
from training.batches import Batch, Batches
from training.config import TrainingConfig
from training.minimum_risk import expected_costs, sentence_bleu, sequence_log_probs
from training.objective import Objective

LINES = [" ".join(words) for words in itertools.permutations(["red", "green", "blue", "white"], 3)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Of some colours."""
    return train_tokenizer(LINES, LINES, ["xx"], TokenizerConfig(vocabulary_size=278))


@pytest.fixture
def model(tokenizer: Tokenizer) -> Seq2Seq:
    """Untrained, without dropout, in training mode."""
    torch.manual_seed(0)
    rates = {"embedding_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0}
    sizes = {"embedding_size": 16, "encoder_size": 16, "decoder_size": 32, "attention_size": 16}
    vocabulary = tokenizer.source_vocabulary
    return Seq2Seq(ModelConfig(source_vocabulary=vocabulary, target_vocabulary=vocabulary, **sizes, **rates)).train()


@pytest.fixture
def batch(tokenizer: Tokenizer) -> Batch:
    """Some lines, to be copied."""
    batches = Batches(tokenizer.source_ids(LINES[:5], "xx"), tokenizer.target_ids(LINES[:5]), 1000, 100)
    return batches.batch(next(batches.epoch(1, 0)))


def learn_to_copy(model: Seq2Seq, batch: Batch, updates: int) -> torch.optim.Optimizer:
    """Some plain training, and what did it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    sources, targets = ([[i for i in row if i] for row in side.tolist()] for side in (batch.source, batch.target_out))
    for _ in range(updates):
        optimizer.zero_grad()
        torch.autograd.backward(-sequence_log_probs(model, sources, targets).mean())
        optimizer.step()
    return optimizer


def test_log_probabilities_are_those_of_forced_decoding(model: Seq2Seq, tokenizer: Tokenizer) -> None:
    """Of targets of different lengths."""
    sources, targets = tokenizer.source_ids(LINES[:3], "xx"), tokenizer.target_ids(["red", "green blue", "white red"])
    expected = [forced.log_probs.sum() for forced in score_forced(stepper_of(model), sources, targets)]

    assert sequence_log_probs(model, sources, targets).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_cost_is_the_mean_under_the_models_own_choice(model: Seq2Seq, batch: Batch, tokenizer: Tokenizer) -> None:
    """By the definition, from an n-best search and forced scores; and searching leaves the model in training mode."""
    learn_to_copy(model, batch, updates=20)
    search = SearchConfig(beam_size=3, n_best=3, max_length=2 * batch.source.size(1))
    translator = Translator([stepper_of(model)], tokenizer, [("yy", "xx")])
    lines = [tokenizer.decode(row).text for row in batch.target_out.tolist()]
    found = translator.translate(lines, "xx", "yy", search)
    expected = 0.0
    for line, translation in zip(lines, found, strict=True):
        odds = [math.exp(hypothesis.log_prob) for hypothesis in translation.hypotheses]
        costs = [1 - sentence_bleu(hypothesis.text, line) for hypothesis in translation.hypotheses]
        expected += sum(o * c for o, c in zip(odds, costs, strict=True)) / sum(odds) / len(lines)
    model.train()

    assert expected_costs(model, batch, tokenizer, count=3).mean().item() == pytest.approx(expected, abs=1e-4)
    assert model.training


def test_sentence_bleu_is_one_for_the_reference_itself() -> None:
    """Also of one word; and less for less."""
    assert sentence_bleu("red", "red") == pytest.approx(1)
    assert 0 < sentence_bleu("red green white blue", "red green blue white") < 1


def test_the_cost_is_of_words_as_the_recipe_cuts_them(model: Seq2Seq, batch: Batch, tokenizer: Tokenizer) -> None:
    """By its `validation.tokenize`: of characters, what is near costs less, also where nobody writes spaces."""
    assert sentence_bleu("我喜欢吃梨。", "我喜欢吃苹果。") == 0
    assert sentence_bleu("我喜欢吃梨。", "我喜欢吃苹果。", "char") > 0.4

    learn_to_copy(model, batch, updates=20)
    values = {"data": ".", "validation": {"tokenize": "char"}, "minimum_risk": {"weight": 1.0, "hypotheses": 3}}
    loss, _ = Objective(TrainingConfig.model_validate(values), tokenizer).loss(model, batch)
    pieces = (batch.target_out != PAD).sum(dim=1)
    of_characters, of_words = (expected_costs(model, batch, tokenizer, 3, own) for own in ("char", "13a"))
    assert loss.item() == pytest.approx((pieces * of_characters).sum().item(), rel=1e-5)
    assert abs(of_characters - of_words).min() > 0.01


def test_tuning_lowers_the_expected_cost(model: Seq2Seq, batch: Batch, tokenizer: Tokenizer) -> None:
    """From a model that has begun to copy, on the same sentences."""
    optimizer = learn_to_copy(model, batch, updates=60)
    before = expected_costs(model, batch, tokenizer, count=6).mean()
    for group in optimizer.param_groups:
        group["lr"] = 0.002
    for _ in range(25):
        optimizer.zero_grad()
        expected_costs(model, batch, tokenizer, count=6).mean().backward()
        optimizer.step()
    after = expected_costs(model, batch, tokenizer, count=6).mean()

    assert 0.02 < before.item() < 0.98
    assert after.item() < before.item() - 0.01


def test_the_recipe_mixes_cost_and_likelihood(model: Seq2Seq, batch: Batch, tokenizer: Tokenizer) -> None:
    """A weight of ¼: the loss is a quarter of the costs, each for the sentence's pieces, and the rest as ever; so the
    losses of two halves of a batch add up to that of the whole."""
    plain, mixed = (
        TrainingConfig.model_validate({"data": ".", "minimum_risk": {"weight": weight, "hypotheses": 3}})
        for weight in (0.0, 0.25)
    )
    likelihood, _ = Objective(plain).loss(model, batch)
    objective = Objective(mixed, tokenizer)
    loss, _ = objective.loss(model, batch)
    pieces = (batch.target_out != PAD).sum(dim=1)
    costs = expected_costs(model, batch, tokenizer, count=3)
    halves = [
        objective.loss(model, batch.map(lambda part, own=own: part[own]))[0] for own in (slice(2), slice(2, None))
    ]

    assert loss.item() == pytest.approx((0.75 * likelihood + 0.25 * (pieces * costs).sum()).item(), rel=1e-5)
    assert sum(halves).item() == pytest.approx(loss.item(), rel=1e-5)
