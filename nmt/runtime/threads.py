"""How the processor's cores are shared out."""

from functools import cache

import torch


@cache
def an_engine_a_core() -> int:
    """Give every product of this process one thread from now on. Returns how many engines keep all cores busy then.

    A decode step is many small operations, of which the smallest are no faster on two cores than on one: two engines
    with a thread each translated 1.2 to 1.4 times as many sentences a second as one engine with two threads.
    """
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    return cores
