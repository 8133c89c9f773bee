"""The training loop: updates, validations, saves; it stops by plan, by patience or on request, and resumes."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nmt.errors import Diverged
from nmt.model.seq2seq import Seq2Seq
from training import ranks
from training.averaging import Checkpoints, MovingAverage
from training.batches import Batch, Batches
from training.config import TrainingConfig
from training.device import choose_device, choose_precision
from training.identity import Identity
from training.loggers import Ending, Logger, UpdateReport
from training.memory import keep_freed_memory
from training.objective import Objective
from training.run_state import STATE, Progress, load_state, optimizer_tensors, restore_optimizer, save_state
from training.schedule import learning_rate
from training.stopping import StopRequest
from training.validation import ValidationResult, Validator

_LARGEST_RUN_OF_SKIPS = 10
_SEED_STEP = 1_000_003


class Work(NamedTuple):
    """A batch, as rows of the training set, and where in the run it stands."""

    epoch: int
    number: int
    rows: np.ndarray


class Trainer:
    """One run in one folder. `run` starts it, or goes on where the folder says that it stopped."""

    def __init__(
        self,
        config: TrainingConfig,
        model: Seq2Seq,
        batches: Batches,
        validator: Validator,
        folder: Path,
        loggers: list[Logger],
        objective: Objective | None = None,
        begun: Identity | None = None,
    ) -> None:
        """`begun`: what the run is begun with, to be noted in what it saves."""
        self.config, self.batches, self.validator, self.loggers = config, batches, validator, loggers
        self.objective = objective or Objective(config)
        self.device = choose_device(config)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.model = model.to(self.device)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=0.0, betas=config.adam_betas, weight_decay=config.weight_decay, fused=True
        )
        self.average = MovingAverage(self.model, config.ema_decay) if config.ema_decay else None
        self.progress, self._begun = Progress(), begun or {}
        self.checkpoints = Checkpoints(folder / "checkpoints", config.validation.average)
        self._state_path = folder / STATE
        self._autocast_type = choose_precision(config, self.device)
        self.interrupted = False
        """Whether a request to stop ended the run before its plan did."""
        self.was_finished = False
        """Whether there was nothing left to train when the run was started."""
        self._stop = StopRequest()
        self._work = self._remaining_work()

    @property
    def judged(self) -> Seq2Seq:
        """What is validated, kept and shipped: the moving average of the weights if the recipe asks for it."""
        return self.average.model if self.average else self.model

    def run(self, stop: StopRequest | None = None) -> Progress:
        """Train to the end of the plan. After a request to stop: finish the update, save, and return."""
        self._stop = stop or self._stop
        with ExitStack() as closing:
            for logger in self.loggers:
                closing.callback(self._close, logger)
            self._resume()
            self.was_finished = self.ending is not None
            started = time.monotonic() - self.progress.seconds
            while not self.ending:
                if self._validation_is_due():
                    self._validate()
                else:
                    self._train()
                self.progress.seconds = time.monotonic() - started
                self.interrupted = ranks.any_of(self._stop.requested)
            self._save()
        return self.progress

    def _close(self, logger: Logger) -> None:
        logger.close(self.progress, self.ending)

    @property
    def ending(self) -> Ending | None:
        """Why the run is at its end; None while it is not."""
        config, progress = self.config, self.progress
        if self.interrupted:
            return "signal"
        if self._validation_is_due():
            return None
        if progress.update >= config.updates:
            return "updates"
        return "patience" if progress.validations_since_best >= config.validation.patience else None

    def _validation_is_due(self) -> bool:
        update = self.progress.update
        due = update > 0 and (update % self.config.validation.every == 0 or update >= self.config.updates)
        return due and self.progress.validated_update != update

    def _train(self) -> None:
        """One update, logged, and saved if that is due; a request to stop may come before it, but not cut it short."""
        work = self._stop.attempt(lambda: list(islice(self._work, self.config.accumulate)))
        if ranks.any_of(work is None) or work is None:
            return
        *_, last = work
        self.progress.epoch, self.progress.batch = last.epoch, last.number + 1
        report = self.update(work)
        self._count_skips(report)
        for logger in self.loggers:
            logger.update(self.progress, report)
        if self.progress.update % self.config.save_every == 0:
            self._save()

    def _remaining_work(self) -> Iterator[Work]:
        """Epoch after epoch, from where the run stands."""
        epoch, number = self.progress.epoch, self.progress.batch
        while True:
            rows = islice(self.batches.epoch(self.config.seed, epoch), number, None)
            yield from (Work(epoch, number, own) for number, own in enumerate(rows, start=number))
            epoch, number = epoch + 1, 0

    def update(self, work: Sequence[Work]) -> UpdateReport:
        """One step of the optimizer on some batches, of whose rows each rank takes its share.

        Loss and gradient are summed, then divided by the pieces of all batches and ranks, so that the numbers are those
        of one large batch. A loss or gradient that is not finite changes nothing.
        """
        self.progress.update += 1
        self.model.train()
        sums = torch.zeros(3, device=self.device)
        for part in work:
            if len(share := part.rows[ranks.rank() :: ranks.count()]):
                seed = self.config.seed, part.epoch, part.number, ranks.rank()
                batch = self.objective.read(self.batches.batch(share), seed).to(self.device)
                loss, likelihood, pieces = self._loss(batch)
                torch.autograd.backward(loss)
                sums += torch.stack([loss.detach(), likelihood, torch.full_like(likelihood, pieces)])
        gradients = self._gradients()
        ranks.add_up([sums, *gradients])
        loss_sum, likelihood_sum, pieces_sum = sums.tolist()
        norm = float(torch.nn.utils.get_total_norm(gradients)) / pieces_sum
        rate = learning_rate(self.config, self.progress.update)
        finite = math.isfinite(norm) and math.isfinite(loss_sum)
        if finite:
            for gradient in gradients:
                gradient.mul_(min(1.0, self.config.clip_norm / max(norm, 1e-6)) / pieces_sum)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            if self.average:
                self.average.add(self.model, self.progress.update - self.progress.skipped_updates)
        self.optimizer.zero_grad(set_to_none=True)
        return UpdateReport(loss_sum / pieces_sum, likelihood_sum / pieces_sum, norm, rate, int(pieces_sum), finite)

    def _gradients(self) -> list[Tensor]:
        """Of all weights in their order; those of a rank that had no row of so small a batch are zero."""
        if ranks.count() > 1:
            for parameter in self.model.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        return [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor, int]:
        """Summed loss and negative log-likelihood of a batch, and its target pieces."""
        with self._autocast():
            return *self.objective.loss(self.model, batch), batch.target_pieces

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, self._autocast_type, enabled=self._autocast_type != torch.float32)

    def _count_skips(self, report: UpdateReport) -> None:
        progress = self.progress
        progress.skips_in_a_row = 0 if report.finite else progress.skips_in_a_row + 1
        progress.skipped_updates += not report.finite
        if progress.skips_in_a_row >= _LARGEST_RUN_OF_SKIPS:
            raise Diverged(
                f"loss or gradient was not finite in {progress.skips_in_a_row} updates in a row, up to update "
                f"{progress.update}; lower learning_rate, or set precision to float32, and start again: "
                f"the run resumes from its last checkpoint"
            )

    def _validate(self) -> None:
        """Score the model on the dev set; the first rank does, and the others learn what came of it."""
        if ranks.rank() == 0:
            result = self._stop.attempt(lambda: self.validator.run(self.judged))
            if result:
                self._take(result)
        self.progress = ranks.from_first(self.progress)
        if not self._validation_is_due():
            self._save()
            if ranks.rank() == 0:  # the others do not wait for what it saves, which still names them until then
                self.checkpoints.prune(self.progress)

    def _take(self, result: ValidationResult) -> None:
        """Note a validation, and keep the weights if they may be needed."""
        score, progress = result.metric(self.config.validation.metric), self.progress
        allowed = self.config.fine_tune is None or self.config.fine_tune.allows(result.lost)
        better = progress.best_score is None or not score <= progress.best_score  # or one that is no number
        if allowed and math.isfinite(score) and better:
            progress.best_score, progress.best_update = score, progress.update
            progress.validations_since_best = 0
        else:
            progress.validations_since_best += 1
        self.checkpoints.add(self.judged, progress)
        progress.validated_update = progress.update
        for logger in self.loggers:
            logger.validation(progress, result)

    def _save(self) -> None:
        """Write all that a resume needs; the first rank writes, with the random states of all."""
        states = ranks.gathered(_random_states(self.device))
        if ranks.rank() > 0:
            return
        tensors = {f"model.{name}": value for name, value in self.model.weights().items()}
        if self.average:
            tensors |= {f"average.{name}": value for name, value in self.average.model.weights().items()}
        tensors |= optimizer_tensors(self.optimizer)
        for rank, own in enumerate(states):
            tensors |= {f"random.{name}.{rank}": state for name, state in own.items()}
        save_state(self._state_path, tensors, self.progress, self._begun)

    def _resume(self) -> None:
        """Take up what the folder has. All ranks have read it before the first may write it anew."""
        tensors: dict[str, Tensor] = {}
        if self._state_path.exists():
            tensors, self.progress = load_state(self._state_path)
            weights = _under("model.", tensors)
            self.model.load_weights(weights)
            if self.average:  # one that was saved without begins at the weights of now
                self.average.model.load_weights(_under("average.", tensors) or weights)
            restore_optimizer(self.optimizer, tensors)
        _restore_random_states(tensors, self.config.seed + self.progress.update, self.device)
        self.progress = ranks.from_first(self.progress)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _random_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _restore_random_states(tensors: Mapping[str, Tensor], seed: int, device: torch.device) -> None:
    """Those of this rank; a rank that was not there when they were saved begins with a seed of its own."""
    rank = ranks.rank()
    if f"random.cpu.{rank}" in tensors:
        torch.set_rng_state(tensors[f"random.cpu.{rank}"])
    elif rank:
        torch.manual_seed(seed + _SEED_STEP * rank)
    if device.type == "cuda" and f"random.cuda.{rank}" in tensors:
        torch.cuda.set_rng_state(tensors[f"random.cuda.{rank}"], device)
