"""How much work is under way, and how soon more of it would be done."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FIRST_GUESS = 10_000.0
"""Characters a second, times rows of the search: of a slow machine, until this one has been seen at work."""

_REMEMBERED = 60.0
"""Seconds of work after which what was measured counts half."""


class Load:
    """Requests that are answered in turns, by how much each asks for: characters, times the rows of its search."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._changed = clock, clock()
        self._pending = dict[object, float]()
        self._done, self._busy = _FIRST_GUESS, 1.0

    def __len__(self) -> int:
        return len(self._pending)

    @contextmanager
    def carrying(self, work: float) -> Iterator[None]:
        """While a request is under way.

        One that runs out of time tells that work is slower than was thought. One that ends early for another reason, as
        when its client goes away, tells nothing: it counts as much as would have been done in its share of the time.
        """
        ticket, began, rate = object(), self._clock(), self._done / self._busy
        self._tick()
        self._pending[ticket] = work
        try:
            yield
            self._done += work
        except TimeoutError:
            raise
        except BaseException:
            self._done += min(work, rate * (self._clock() - began) / len(self._pending))
            raise
        finally:
            self._tick()
            del self._pending[ticket]

    def seconds(self, work: float) -> float:
        """How long a request would take beside the others: as requests take turns, each is in its way for as much as
        it asks for itself, at most."""
        beside = sum(min(work, other) for other in self._pending.values())
        return (work + beside) * self._busy / self._done

    def _tick(self) -> None:
        """Time in which there was work counts; what asks for none, as scores of what has been translated, does not."""
        now = self._clock()
        if any(self._pending.values()):
            self._busy += now - self._changed
        self._changed = now
        if self._busy > _REMEMBERED:
            self._busy, self._done = self._busy / 2, self._done / 2
