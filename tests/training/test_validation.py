"""How a model is validated while it is trained."""

import pytest
import torch

from nmt import kernels
from nmt.scoring.metrics import MetricScore
from training.validation import ValidationResult, engines_beside_training


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
