"""Which of the compiled libraries this processor runs."""

from ctypes import CDLL
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal

from nmt.kernels.structs import ARGUMENTS

Precision = Literal["fp32", "int8"]

BUILDS = {
    "native_avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"},
    "native_avxvnni": {"avx2", "fma", "avx_vnni"},
    "native_avx2": {"avx2", "fma"},
    "native_base": set[str](),
}
"""The builds, the fastest first, and what they need of a processor."""


@cache
def library() -> CDLL | None:
    """The best build that there is for this processor, or None."""
    return next(filter(None, (load(name) for name, needed in BUILDS.items() if needed <= processor_flags())), None)


def load(name: str) -> CDLL | None:
    """One of the builds, if it was compiled; whether this processor runs it is for the caller to know."""
    files = [Path(__file__).parent / f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES]
    found = next((file for file in files if file.exists()), None)
    if found is None:
        return None
    loaded = CDLL(str(found))
    for function, arguments in ARGUMENTS.items():
        getattr(loaded, function).argtypes, getattr(loaded, function).restype = arguments, None
    return loaded


@cache
def processor_flags() -> frozenset[str]:
    """What the system says that the processor can do; nothing where it does not say so in the manner of Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def available() -> tuple[Precision, ...]:
    """The precisions that the kernels have on this processor; none without kernels."""
    loaded = library()
    if loaded is None:
        return ()
    return ("fp32", "int8") if loaded.bytes() else ("fp32",)


def native() -> CDLL:
    """That library, for those who know that it is there."""
    loaded = library()
    assert loaded, "the kernels were not compiled; `available` says so"
    return loaded
