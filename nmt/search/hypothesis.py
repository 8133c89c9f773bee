"""A finished search path."""

from dataclasses import dataclass

from nmt.arrays import Floats


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A translation as pieces, the end of sentence last, with what the model thought of each.

    log_probs (T,) · weights (T, S): the attention behind each piece, over all source pieces, rows sum to 1.
    `score` is what it was ranked by: `log_prob` after the penalties.
    """

    pieces: list[int]
    log_probs: Floats
    weights: Floats
    score: float

    @property
    def log_prob(self) -> float:
        """The log-probability of the whole, in nats."""
        return float(self.log_probs.sum())
