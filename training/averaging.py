"""Means of weights: over the updates, as training goes on, and over the checkpoints that are kept."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nmt.errors import TrainingError
from nmt.model.seq2seq import Seq2Seq
from training.run_state import Progress, save_tensors


class MovingAverage:
    """A model whose weights are the mean over all updates so far, each counting `decay` times as much as the next.

    After update t that is Σ decayᵗ⁻ⁱ wᵢ / Σ decayᵗ⁻ⁱ, i from 1 to t: an exponential moving average without the pull
    towards its start (Kingma & Ba 2015, sections 3 and 7.2).
    """

    def __init__(self, model: Seq2Seq, decay: float) -> None:
        self.model, self._decay = copy.deepcopy(model).requires_grad_(False), decay

    @torch.no_grad()
    def add(self, model: Seq2Seq, update: int) -> None:
        """Take in the weights after update `update`, the first being 1; those that were skipped do not count."""
        share = (1 - self._decay) / (1 - self._decay**update)
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), share)


class Checkpoints:
    """The weights of the validations around the best one: as many as may enter the mean, and no more."""

    def __init__(self, folder: Path, average: int) -> None:
        self.folder, self.average = folder, average

    def path(self, update: int) -> Path:
        """Where the weights of an update are."""
        return self.folder / f"update-{update:07d}.safetensors"

    def add(self, model: Seq2Seq, progress: Progress) -> None:
        """Keep the weights of now, and note in `progress` which are still in reach of the best."""
        save_tensors(self.path(progress.update), model.weights())
        kept = sorted({*progress.kept, progress.update})
        near = around(kept, progress.best_update, self.average) if progress.best_update in kept else []
        progress.kept = sorted({*near, *kept[-self.average :]})

    def prune(self, progress: Progress) -> None:
        """Delete what `progress` no longer names, once it is saved: whoever resumes finds all that it does name."""
        wanted = {self.path(update) for update in progress.kept}
        for path in {*self.folder.glob("update-*.safetensors"), *self.folder.glob(".update-*.partial")} - wanted:
            path.unlink(missing_ok=True)

    def load(self, update: int) -> dict[str, Tensor]:
        """The weights of an update. Raises `TrainingError` if they are missing or damaged."""
        try:
            return load_file(self.path(update))
        except (OSError, SafetensorError) as error:
            raise TrainingError(
                f"the checkpoint {self.path(update)} is not there as a whole ({error}), and the run cannot end without "
                "it; put it back, or train in another folder"
            ) from error

    def mean(self, updates: Sequence[int]) -> dict[str, Tensor]:
        """The mean of several checkpoints' weights, which lies nearer the middle of the valley than each of them."""
        total = self.load(updates[0])
        for update in updates[1:]:
            for name, value in self.load(update).items():
                total[name] += value
        return {name: value / len(updates) for name, value in total.items()}


def around(updates: Sequence[int], best: int, count: int) -> list[int]:
    """The `count` updates nearest to the best one, the later first where two are equally near."""
    places = sorted(range(len(updates)), key=lambda i: (abs(i - updates.index(best)), -i))
    return sorted(updates[i] for i in places[:count])
