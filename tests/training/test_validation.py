"""How a model is validated while it is trained."""

import numpy as np
import pytest
import torch
from tasks import COPY, REVERSE, letter_tokenizer, sentences
from torch.nn import functional

from nmt import kernels
from nmt.config import ModelConfig, SearchConfig
from nmt.errors import Diverged
from nmt.model.seq2seq import Seq2Seq
from nmt.scoring.metrics import MetricScore
from training.batches import Batches
from training.config import Validation
from training.device import engines_beside_training
from training.validation import ValidationResult, Validator


def test_engines_beside_training_are_one_a_core_where_a_step_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own steps, on whatever device, share the cores out themselves."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(kernels, "available", lambda: ("fp32",))
    assert engines_beside_training("cpu") == 3
    assert engines_beside_training("cuda") == 1

    monkeypatch.setattr(kernels, "available", lambda: ())
    assert engines_beside_training("cpu") == 1


def test_the_metric_is_the_mean_over_the_directions() -> None:
    """A model of several must not be chosen by one of them."""
    scores = {direction: {"bleu": MetricScore(own, "")} for direction, own in (("a-b", 10.0), ("b-a", 40.0))}

    assert ValidationResult(1.0, scores).metric("bleu") == 25


def test_the_loss_is_that_of_each_piece_with_nothing_dropped() -> None:
    """Sentence by sentence, with the library's loss; the scores know every reference."""
    tokenizer, lines = letter_tokenizer(), sentences(7, seed=5)
    sizes = {"embedding_size": 8, "encoder_size": 8, "decoder_size": 16, "attention_size": 8}
    vocabularies = {side: getattr(tokenizer, side) for side in ("source_vocabulary", "target_vocabulary")}
    torch.manual_seed(0)
    model = Seq2Seq(ModelConfig.model_validate({**vocabularies, **sizes})).train()
    dev = {COPY: [(line, ["x", line]) for line in lines], REVERSE: [(line, [line]) for line in lines]}
    result = Validator(tokenizer, dev, Validation(search=SearchConfig(beam_size=1, max_length=4))).run(model)
    losses, pieces = 0.0, 0
    for (_, target), rows in dev.items():
        for source, references in rows:
            pair = tokenizer.source_ids([source], target), tokenizer.target_ids(references[:1])
            batch = Batches(*pair, batch_pieces=1000, max_pieces=1000).batch(np.array([0]))
            vectors, _ = model.eval()(batch.source, batch.lengths, batch.target_in)
            loss = functional.cross_entropy(model.logits(vectors[0]), batch.target_out[0], reduction="sum")
            losses, pieces = losses + loss.item(), pieces + batch.target_pieces

    assert result.loss == pytest.approx(losses / pieces, rel=1e-4)
    assert "nrefs:2" in result.scores["xx-cp"]["bleu"].signature


@pytest.mark.parametrize(("scale", "loss"), [(3e3, r"\d\S+"), (1e30, r"\S+e\+\d\d"), (float("inf"), "nan")])
def test_a_hopeless_loss_is_said_before_anything_is_translated(scale: float, loss: str) -> None:
    """No search finds anything then, and what it would say is no help to anybody who trains."""
    tokenizer, lines = letter_tokenizer(), sentences(3, seed=5)
    vocabularies = {side: getattr(tokenizer, side) for side in ("source_vocabulary", "target_vocabulary")}
    sizes = {"embedding_size": 8, "encoder_size": 8, "decoder_size": 8, "attention_size": 8}
    torch.manual_seed(0)
    model = Seq2Seq(ModelConfig.model_validate({**vocabularies, **sizes}))
    for weight in model.parameters():
        weight.data *= scale
    validator = Validator(tokenizer, {COPY: [(line, [line]) for line in lines]}, Validation())

    with pytest.raises(Diverged, match=rf"the loss on the dev set is {loss} nats a piece: .* in another folder"):
        validator.run(model)
