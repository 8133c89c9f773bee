"""Data parallel training: processes that torchrun has started make each update together.

Each rank takes its share of the rows of a batch, and the sums of loss and gradient meet in one all-reduce an update.
That is less than `DistributedDataParallel` does (it overlaps the sum with the backward pass, bucket by bucket), but it
divides by the pieces of all ranks instead of averaging means, needs no second way for accumulated batches, and a
network of this size is summed in a few hundredths of the time of an update.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

Value = TypeVar("Value")

# The other ranks wait while the first validates or tokenizes; a rank that has died is noticed at once all the same.
_PATIENCE = timedelta(hours=24)


@contextmanager
def joined() -> Iterator[None]:
    """Join the ranks that torchrun's environment names; without one, this process is the only rank."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    store, own, ranks = next(rendezvous("env://", timeout=_PATIENCE))
    # After a restart torchrun may hand out the same store, where the addresses of the ranks that died still stand.
    attempt = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=attempt, rank=own, world_size=ranks, timeout=_PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Which of the ranks this is; the first, 0, is the one that validates and writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """How many ranks there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def on_this_machine() -> int:
    """Which of the ranks of this machine this is: the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one type and device, in place, by their sums over the ranks."""
    if count() == 1:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    for tensor, total in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(total.view_as(tensor))


def any_of(flag: bool) -> bool:
    """Whether the flag is set on some rank: all ranks get the same answer."""
    total = torch.tensor([float(flag)])
    add_up([total])
    return bool(total.item())


def from_first(value: Value) -> Value:
    """What the first rank gave; all ranks wait for it."""
    values = [value]
    if count() > 1:
        distributed.broadcast_object_list(values, src=0)
    return values[0]


def first_then_others(work: Callable[[], Value]) -> Value:
    """Do what leaves something in a file: the first rank does it, then the others, who find it there."""
    if rank() > 0:
        from_first(None)
        return work()
    try:
        return work()
    finally:
        from_first(None)  # whatever happens here, the others must not wait for ever


def gathered(value: Value) -> list[Value]:
    """What each rank gave, in their order."""
    values = [value] * count()
    if count() > 1:
        distributed.all_gather_object(values, value)
    return values
