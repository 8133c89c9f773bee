"""How the processor's cores are shared out."""

import math
import os
from functools import cache
from pathlib import Path

from nmt import kernels


@cache
def an_engine_a_core() -> int:
    """How many engines keep all cores busy: each has one thread. OMP_NUM_THREADS says how many cores are ours; without
    it, those that the system lets this process have, and not more than a container may use.

    A decode step is many small operations, of which the smallest are no faster on two cores than on one: two engines
    with a thread each translated 1.2 to 1.4 times as many sentences a second as one engine with two threads. Without
    kernels there is one engine: torch takes all cores by itself.
    """
    if not kernels.available():
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # behind a comma stand those of nested regions
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _quota(Path("/sys/fs/cgroup/cpu.max")) or cores)


def _quota(file: Path) -> int | None:
    """The cores that `docker run --cpus` and its like allow, rounded up: quota and period in microseconds, or `max`."""
    try:
        quota, period = file.read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return None
