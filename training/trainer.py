"""The training loop: updates, validations, saves; it stops by plan, by patience or on request, and resumes."""

import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from nmt.errors import TrainingError
from nmt.model.seq2seq import Seq2Seq
from training.averaging import Checkpoints
from training.batches import Batch, Batches
from training.config import TrainingConfig
from training.loggers import Logger, UpdateReport
from training.objective import Objective
from training.run_state import Progress, load_state, optimizer_tensors, restore_optimizer, save_state
from training.schedule import learning_rate
from training.validation import Validator

_LARGEST_RUN_OF_SKIPS = 10


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
    ) -> None:
        self.config, self.batches, self.validator, self.loggers = config, batches, validator, loggers
        self.objective = objective or Objective(config)
        self.device = choose_device(config)
        self.model = model.to(self.device)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=0.0, betas=config.adam_betas, weight_decay=config.weight_decay, fused=True
        )
        self.progress = Progress()
        self.checkpoints = Checkpoints(folder / "checkpoints", config.validation.average)
        self._state_path = folder / "checkpoints" / "last.safetensors"
        self._autocast_type = choose_precision(config, self.device)
        self._stop_signal: int | None = None
        self._skips_in_a_row = 0

    def run(self) -> Progress:
        """Train to the end of the plan. After SIGTERM or Ctrl-C: finish the update, save, and return."""
        self._resume()
        with self._signals_caught():
            started = time.monotonic() - self.progress.seconds
            for batch in self._remaining_batches():
                report = self._update(batch)
                self.progress.seconds = time.monotonic() - started
                self._after(report)
                if self._stop_signal is not None or self._finished():
                    break
        self._save()
        for logger in self.loggers:
            logger.close(self.progress)
        return self.progress

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the run before its plan did."""
        return self._stop_signal is not None

    def _remaining_batches(self) -> Iterator[Batch]:
        """Epoch after epoch; the position is moved on before an update, so that a save after it resumes behind it."""
        while True:
            rows = self.batches.epoch(self.config.seed, self.progress.epoch)
            for number in range(self.progress.batch, len(rows)):
                self.progress.batch = number + 1
                seed = self.config.seed, self.progress.epoch, number
                yield self.objective.read(self.batches.batch(rows[number]), seed).to(self.device)
            self.progress.epoch, self.progress.batch = self.progress.epoch + 1, 0

    def _update(self, batch: Batch) -> UpdateReport:
        """One step of the optimizer. A loss or gradient that is not finite changes nothing."""
        self.progress.update += 1
        self.model.train()
        loss, likelihood, pieces = self._loss(batch)
        torch.autograd.backward(loss / pieces)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(loss))
        rate = learning_rate(self.config, self.progress.update)
        if finite:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return UpdateReport(loss.item() / pieces, likelihood.item() / pieces, norm.item(), rate, pieces, finite)

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor, int]:
        """Summed loss and negative log-likelihood of a batch, and its target pieces."""
        with self._autocast():
            return *self.objective.loss(self.model, batch), batch.target_pieces

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, self._autocast_type, enabled=self._autocast_type != torch.float32)

    def _after(self, report: UpdateReport) -> None:
        """Count, log, save and validate, each when it is due."""
        self._count_skips(report)
        for logger in self.loggers:
            logger.update(self.progress, report)
        due = self.progress.update % self.config.validation.every == 0 or self.progress.update == self.config.updates
        if due:
            self._validate()
        if due or self.progress.update % self.config.save_every == 0:
            self._save()

    def _count_skips(self, report: UpdateReport) -> None:
        self._skips_in_a_row = 0 if report.finite else self._skips_in_a_row + 1
        self.progress.skipped_updates += not report.finite
        if self._skips_in_a_row >= _LARGEST_RUN_OF_SKIPS:
            raise TrainingError(
                f"loss or gradient was not finite in {self._skips_in_a_row} updates in a row, up to update "
                f"{self.progress.update}; lower learning_rate, or set precision to float32, and start again: "
                f"the run resumes from its last checkpoint"
            )

    def _validate(self) -> None:
        """Score the model on the dev set and keep its weights if they may be needed."""
        result = self.validator.run(self.model)
        score = result.metric(self.config.validation.metric)
        if self.progress.best_score is None or score > self.progress.best_score:
            self.progress.best_score, self.progress.best_update = score, self.progress.update
            self.progress.validations_since_best = 0
        else:
            self.progress.validations_since_best += 1
        self.checkpoints.add(self.model, self.progress)
        for logger in self.loggers:
            logger.validation(self.progress, result)

    def _finished(self) -> bool:
        out_of_patience = self.progress.validations_since_best >= self.config.validation.patience
        return out_of_patience or self.progress.update >= self.config.updates

    def _save(self) -> None:
        tensors = {f"model.{name}": value for name, value in self.model.weights().items()}
        tensors |= optimizer_tensors(self.optimizer)
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        save_state(self._state_path, tensors, self.progress)

    def _resume(self) -> None:
        if not self._state_path.exists():
            return
        tensors, self.progress = load_state(self._state_path)
        weights = {name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")}
        self.model.load_weights(weights)
        restore_optimizer(self.optimizer, tensors)
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)

    @contextmanager
    def _signals_caught(self) -> Iterator[None]:
        """The first SIGTERM or SIGINT asks the loop to end; the second ends the process at once."""

        def note(number: int, _frame: FrameType | None) -> None:
            self._stop_signal = number
            for caught in before:
                signal.signal(caught, signal.SIG_DFL)

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def choose_device(config: TrainingConfig) -> torch.device:
    """`auto` takes a GPU where there is one."""
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device is cuda, but torch sees no GPU; set device to cpu, or install torch for CUDA")
    return torch.device(name)


def choose_precision(config: TrainingConfig, device: torch.device) -> torch.dtype:
    """`auto` takes bfloat16 where the processor multiplies it natively: elsewhere it is slower than float32."""
    if config.precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.precision]
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32
