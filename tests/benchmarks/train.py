"""How fast training is: `make bench-train`, with PEERS=FOLDER also JoeyNMT in turn on the same sentences.

PEERS is a folder with `setup.sh` and `joeynmt.sh`; what they install goes into PEERS_WORK, `.peers` by default. Without
it, sentences are made up, as long as those of Multi30k: the speed does not depend on what they say.
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from figures import report
from peers import VOCABULARY, Peers, made_up
from torch.utils.flop_counter import FlopCounterMode

from nmt.config import ModelConfig
from nmt.model.seq2seq import Seq2Seq
from training.batches import Batches
from training.config import TrainingConfig
from training.device import choose_precision
from training.trainer import Trainer, Work

ROUNDS = 3
MODEL = ModelConfig(
    source_vocabulary=VOCABULARY,
    target_vocabulary=VOCABULARY,
    embedding_size=256,
    encoder_size=256,
    encoder_layers=2,
    decoder_size=512,
    decoder_layers=2,
    attention="additive",
    attention_size=256,
    wiring="deep",
)


class NeverAsked:
    """A run as short as these never validates."""


def main() -> None:
    """Measure and print; ours and the peer take turns, so that a slow moment of the machine hits both."""
    peers = Peers.from_environment()
    batches = Batches(*(peers.sentences("train") if peers else made_up(29_000)), batch_pieces=2000, max_pieces=128)
    rows = list(batches.epoch(seed=1, number=0))
    with tempfile.TemporaryDirectory() as folder:
        config = TrainingConfig(data=Path(folder), warmup_updates=10, decay_updates=10)
        torch.manual_seed(1)
        trainer = Trainer(config, Seq2Seq(MODEL), batches, NeverAsked(), Path(folder), [])  # type: ignore[arg-type]
    speed(trainer, batches, rows[:5])  # warm
    ours, theirs = [], []
    for part in np.array_split(np.arange(len(rows)), ROUNDS):
        ours.append(speed(trainer, batches, [rows[i] for i in part]))
        if peers:
            theirs.append(peers.training_speed())
    mean = float(np.mean(ours))
    parameters = sum(p.numel() for p in trainer.model.parameters())
    report("train.target_tokens_per_s", mean, "tokens/s", parameters=parameters, rounds=[round(s) for s in ours])
    if peers:
        report("train.ratio_to_joeynmt", mean / float(np.mean(theirs)), "times", joeynmt_tokens_per_s=theirs)
    report("train.padding", 100 * padding(batches, rows), "% of the positions of both sides")
    reached = mean * operations_a_piece(trainer, batches, rows[:10]) / 1e9
    ceiling = product_ceiling(choose_precision(trainer.config, trainer.device))
    report("train.fraction_of_ceiling", reached / ceiling, "of matrix products", reached=reached, ceiling=ceiling)
    report("train.peak_memory_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB")


def speed(trainer: Trainer, batches: Batches, rows: list[np.ndarray]) -> float:
    """Target pieces a second, padding not counted, from the table of pieces to the end of the update."""
    started, pieces = time.perf_counter(), 0
    for own in rows:
        pieces += trainer.update([Work(0, 0, own)]).pieces
    return pieces / (time.perf_counter() - started)


def padding(batches: Batches, rows: list[np.ndarray]) -> float:
    """Share of the positions of an epoch, source and target, that hold no piece."""
    own = [batches.batch(row) for row in rows]
    real = sum(int(batch.lengths.sum()) + batch.target_pieces for batch in own)
    return 1 - real / sum(batch.source.numel() + batch.target_out.numel() for batch in own)


def operations_a_piece(trainer: Trainer, batches: Batches, rows: list[np.ndarray]) -> float:
    """Floating-point operations in matrix products, forward and backward, a target piece."""
    pieces, aten = 0, torch.ops.aten
    of_lstms = {aten.mkldnn_rnn_layer: of_an_lstm, aten.mkldnn_rnn_layer_backward: backward_of_an_lstm}
    with FlopCounterMode(display=False, custom_mapping=of_lstms) as counter:
        for row in rows:
            pieces += trainer.update([Work(0, 0, row)]).pieces
    return counter.get_total_flops() / pieces


def of_an_lstm(inputs: torch.Size, weights: torch.Size, recurrent: torch.Size, *_: object, **__: object) -> int:
    """Operations of oneDNN's LSTM, which torch does not count: inputs (T, B, I), weights (4H, I), recurrent (4H, H)."""
    return 2 * inputs[0] * inputs[1] * (weights.numel() + recurrent.numel())


def backward_of_an_lstm(*shapes: torch.Size, **_: object) -> int:
    """Of its backward pass: gradients of what goes in, and of the weights."""
    return 2 * of_an_lstm(*shapes)


def product_ceiling(precision: torch.dtype, size: int = 2048) -> float:
    """GFLOP/s of one large product in the run's precision: what the machine can do at all; the best of some tries."""
    left, right = (torch.randn(size, size).to(precision) for _ in range(2))
    best = 0.0
    for _ in range(10):
        started = time.perf_counter()
        torch.mm(left, right)
        best = max(best, 2 * size**3 / (time.perf_counter() - started) / 1e9)
    return best


if __name__ == "__main__":
    main()
