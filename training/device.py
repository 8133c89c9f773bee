"""Where a run computes, and with which numbers."""

import torch

from nmt import kernels
from nmt.errors import TrainingError
from training import ranks
from training.config import TrainingConfig


def choose_device(config: TrainingConfig) -> torch.device:
    """`auto` takes a GPU where there is one."""
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrainingError("device is cuda, but torch sees no GPU; set device to cpu, or install torch for CUDA")
    number, gpus = ranks.on_this_machine(), torch.cuda.device_count()
    if number >= gpus:
        raise TrainingError(
            f"this machine has more than {number} ranks, but torch sees {gpus} GPUs; "
            f"set --nproc-per-node to {gpus}, or device to cpu"
        )
    return torch.device("cuda", number)


def choose_precision(config: TrainingConfig, device: torch.device) -> torch.dtype:
    """`auto` takes bfloat16 where the processor multiplies it natively: elsewhere it is slower than float32."""
    if config.precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[config.precision]
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def engines_beside_training(device: str) -> int:
    """How many engines to search with, on a device such as `cpu`, where torch keeps its threads for the next update.

    A compiled step has one thread; torch's own, and a GPU's, take all there is.
    """
    return torch.get_num_threads() if device == "cpu" and kernels.available() else 1
