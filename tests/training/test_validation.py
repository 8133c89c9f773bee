"""How a model is validated while it is trained."""

import pytest
import torch

from nmt import kernels
from training.validation import engines_beside_training


def test_engines_beside_training_are_one_a_core_where_a_step_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own steps, on whatever device, share the cores out themselves."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(kernels, "available", lambda: ("fp32",))
    assert engines_beside_training("cpu") == 3
    assert engines_beside_training("cuda") == 1

    monkeypatch.setattr(kernels, "available", lambda: ())
    assert engines_beside_training("cpu") == 1
