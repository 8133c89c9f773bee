"""The learning rate over a run."""

from training.config import TrainingConfig


def learning_rate(config: TrainingConfig, update: int) -> float:
    """The rate of an update, counted from 1: up over the warm-up, level, then down to zero over the decay."""
    rising = update / max(1, config.warmup_updates)
    falling = (config.updates - update + 1) / max(1, config.decay_updates)
    return config.learning_rate * min(1.0, rising, falling)
