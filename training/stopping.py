"""A request to stop, by SIGTERM or Ctrl-C, that loses nothing."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


class _Abandoned(BaseException):
    """Raised by the signal handler inside of work that may be left half done."""


class StopRequest:
    """Whether somebody wants the run to end. Without `stop_signals` nobody ever does."""

    def __init__(self) -> None:
        self.requested = False
        self._abandonable = False

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        """The result of `work`, or None if a request came before its end: then it is left where it was, at once.

        For what takes long and leaves nothing behind, such as a validation; not for a write or an update.
        """
        try:
            self._abandonable = True
            try:
                return None if self.requested else work()
            finally:
                self._abandonable = False
        except _Abandoned:
            return None

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler: from now on the default applies, so that a second signal ends the process at once."""
        self.requested = True
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if self._abandonable:
            raise _Abandoned


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Turn the first SIGTERM or SIGINT into a request; the second ends the process at once."""
    stop = StopRequest()
    before = {number: signal.signal(number, stop.note) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
