"""Checkpoints that are kept, and their mean."""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from nmt.model.seq2seq import Seq2Seq
from training.run_state import Progress, write_atomically


class Checkpoints:
    """The weights of the validations around the best one: as many as may enter the mean, and no more."""

    def __init__(self, folder: Path, average: int) -> None:
        self.folder, self.average = folder, average

    def path(self, update: int) -> Path:
        """Where the weights of an update are."""
        return self.folder / f"update-{update:07d}.safetensors"

    def add(self, model: Seq2Seq, progress: Progress) -> None:
        """Keep the weights of now, and drop those that have fallen out of reach of the best."""
        weights = {name: value.cpu().contiguous() for name, value in model.weights().items()}
        write_atomically(self.path(progress.update), save(weights))
        progress.kept.append(progress.update)
        wanted = {*around(progress.kept, progress.best_update, self.average), *progress.kept[-self.average :]}
        for update in sorted(set(progress.kept) - wanted):
            self.path(update).unlink(missing_ok=True)
        progress.kept = sorted(wanted)

    def load(self, update: int) -> dict[str, Tensor]:
        """The weights of an update."""
        return load_file(self.path(update))

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
