"""Which of the compiled libraries this processor runs."""

import hashlib
import warnings
from collections.abc import Iterator
from ctypes import CDLL
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal

from nmt.kernels.structs import ARGUMENTS

Precision = Literal["fp32", "int8"]

_FOLDER = Path(__file__).parent

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
    """One of the builds, if it was compiled; whether this processor runs it is for the caller to know.

    A build that cannot be used, such as one of older sources, is left out with a warning: it would not fail, but write
    where it should not.
    """
    return next(filter(None, map(_loaded, _files(name))), None)


def _files(name: str) -> Iterator[Path]:
    files = (_FOLDER / f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES)
    return (file for file in files if file.exists())


def _loaded(file: Path) -> CDLL | None:
    sources = sorted(_FOLDER.glob("*.[ch]"))  # which are not there where the project came compiled
    # As `setup.py` works it out for what it compiles.
    made_of = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    if sources and made_of.encode() not in file.read_bytes():
        _warn(f"{file} was compiled from other sources and is left out")
        return None
    try:
        loaded = CDLL(str(file))
        for function, arguments in ARGUMENTS.items():
            getattr(loaded, function).argtypes, getattr(loaded, function).restype = arguments, _done
    except (OSError, AttributeError) as error:
        _warn(f"{file} cannot be loaded and is left out ({error})")
        return None
    return loaded


def _done(status: int) -> None:
    """What a kernel returns."""
    if status:
        raise MemoryError("there is not enough memory for so much text at once; send less, or fewer texts at once")


def _warn(what: str) -> None:
    warnings.warn(f"{what}: install the project again", stacklevel=2)


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
