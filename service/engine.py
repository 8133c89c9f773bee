"""asyncio on one side, the decode threads on the other: bounded admission, deadlines, cancellation."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TypeVar

from nmt import SearchConfig, Translator
from nmt.errors import DeadlineExceeded, EngineError, EngineStopped, QueueFull
from nmt.search.engine import Finished
from nmt.search.guides import FREE, Guide
from nmt.search.hypothesis import Hypothesis
from nmt.search.queue import Claim, Priority
from service.load import Load

Result = TypeVar("Result")

_PLANNING = 4  # threads; long texts that are planned share the processor with the decoding

_FAILED = "the decode engine failed on this batch; try again"
SHUTTING_DOWN = "the service is shutting down; try another copy, or again in a moment"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The hypotheses of each source, and how long the request waited and was decoded, in seconds."""

    hypotheses: list[list[Hypothesis]]
    queue_seconds: float
    decode_seconds: float


@dataclass(eq=False, slots=True)
class _Request:
    """Sources that one thread answers together."""

    sources: Sequence[tuple[Sequence[int], Guide]]
    search: SearchConfig
    deadline: float
    priority: Priority
    answer: Future[Decoded] = field(default_factory=Future)
    tickets: list[int] = field(default_factory=list)
    finished: dict[int, Finished] = field(default_factory=dict)


class Decoder:
    """The decode threads of one model: bounded admission in front of them, and each request dealt out among them."""

    def __init__(self, translator: Translator, queue_size: int, engines: int) -> None:
        self._queue_size = queue_size
        self.threads = [DecodeThread(translator) for _ in range(engines)]
        self._planning, self._scoring = ThreadPoolExecutor(_PLANNING, "plan"), ThreadPoolExecutor(engines, "score")
        self._load = Load()

    def start(self) -> None:
        """Begin to answer."""
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Finish nothing more: whoever waits gets `EngineStopped`."""
        for pool in (self._planning, self._scoring):
            pool.shutdown(wait=False, cancel_futures=True)
        for thread in self.threads:
            thread.stop()

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return all(thread.alive for thread in self.threads)

    @contextmanager
    def admitted(self, seconds: float, work: float) -> Iterator[float]:
        """A place for a request, before any work is done for it, and when it has to be answered: in so many seconds.

        work: what it asks for, as `Load` counts. Raises `EngineStopped` and `QueueFull` at once, the latter also where
        the request would take more than half of its time beside the others: what is let in gets its answer. And
        `DeadlineExceeded` when waiting takes longer than that.
        """
        if not self.alive:
            raise EngineStopped("the decode engine is not running; try again in a moment")
        waiting, expected = len(self._load), self._load.seconds(work)
        if waiting >= self._queue_size or (waiting and expected > seconds / 2):
            full = "as many as the queue holds" if waiting >= self._queue_size else "with all that can be done in time"
            wait = min(30.0, max(1.0, expected - seconds / 2))
            requests = "1 request is" if waiting == 1 else f"{waiting} requests are"
            raise QueueFull(f"{requests} waiting, {full}; try again later", wait)
        try:
            with self._load.carrying(work):
                yield time.perf_counter() + seconds
        except TimeoutError:
            raise DeadlineExceeded(f"not answered within {seconds:g} s; send less text at once") from None

    async def decode(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        deadline: float,
        guides: Sequence[Guide] = (),
        priority: Priority = "interactive",
    ) -> Decoded:
        """Search for translations of the sources. A caller who stops waiting frees the rows before the next step.

        Raises `TimeoutError` at the deadline, a time of `time.perf_counter`.
        """
        parts = self._deal(sources, guides, search, deadline, priority)
        try:
            async with asyncio.timeout(deadline - time.perf_counter()):
                return _together(await asyncio.gather(*parts))
        finally:
            for part in parts:
                part.cancel()  # what is done stays done; of a request that failed in one thread, nobody wants the rest

    async def plan(self, work: Callable[[], Result], deadline: float) -> Result:
        """Do what comes before or after the decoding in a thread."""
        return await _in_thread(self._planning, work, deadline)

    async def score(self, work: Callable[[], Result], deadline: float) -> Result:
        """Do what takes the place of decoding in a thread, as much at once as there are decode threads."""
        return await _in_thread(self._scoring, work, deadline)

    def _deal(
        self,
        sources: Sequence[Sequence[int]],
        guides: Sequence[Guide],
        search: SearchConfig,
        deadline: float,
        priority: Priority,
    ) -> list[asyncio.Future[Decoded]]:
        """One source after the other to each thread in turn, beginning with the one that has the least to do."""
        threads = sorted(self.threads, key=lambda thread: thread.pending)[: len(sources)]
        guided = list(zip(sources, guides or [FREE] * len(sources), strict=True))
        parts = [_Request(guided[first :: len(threads)], search, deadline, priority) for first in range(len(threads))]
        for thread, part in zip(threads, parts, strict=True):
            thread.put(part)
        return [asyncio.wrap_future(part.answer) for part in parts]


async def _in_thread(pool: Executor, work: Callable[[], Result], deadline: float) -> Result:
    """Raises `TimeoutError` at the deadline. Work that has begun by then goes on, and keeps its thread until it is
    done; so there is never more of it than the pool has threads."""
    async with asyncio.timeout(deadline - time.perf_counter()):
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def _together(parts: Sequence[Decoded]) -> Decoded:
    """The answer to a request from the answers to its parts."""
    hypotheses = [own for turn in zip_longest(*(part.hypotheses for part in parts)) for own in turn if own is not None]
    waited = max(part.queue_seconds for part in parts)
    done = max(part.queue_seconds + part.decode_seconds for part in parts)
    return Decoded(hypotheses, waited, done - waited)


class DecodeThread:
    """Runs a decode loop. Requests that come while it runs join the batch at its next step."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self._inbox: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._engine = translator.new_engine()
        self._owner: dict[int, _Request] = {}

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Finish nothing more."""
        self._inbox.put(None)
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive()

    @property
    def pending(self) -> int:
        """About how many sentences wait or are being decoded; a request that was not taken in yet counts as one."""
        return len(self._owner) + self._inbox.qsize()

    def put(self, request: _Request) -> None:
        """Have a request answered."""
        self._inbox.put(request)

    def _run(self) -> None:
        """The thread: take in what has come, drop what nobody waits for, step; sleep when there is nothing to do."""
        going_on = True
        while going_on:
            try:
                going_on = self._take_in()
                self._drop_cancelled()
                for finished in self._engine.step() if going_on else ():
                    self._deliver(finished)
            except Exception:
                _log.exception("a decode step failed; its requests are answered with an error")
                self._fail(EngineError(_FAILED))
        self._fail(EngineStopped(SHUTTING_DOWN))
        while not self._inbox.empty():
            if request := self._inbox.get():
                _refuse(request, EngineStopped(SHUTTING_DOWN))

    def _take_in(self) -> bool:
        """Hand waiting requests to the engine; blocks while it has nothing to do. False asks to stop."""
        while not (self._inbox.empty() and self._engine.busy):
            request = self._inbox.get()
            if request is None:
                return False
            claim = Claim(id(request), request.priority, request.deadline)
            try:
                request.tickets = [
                    self._engine.submit(source, request.search, claim, guide) for source, guide in request.sources
                ]
            except Exception:
                _refuse(request, EngineError(_FAILED))
                raise
            self._owner |= dict.fromkeys(request.tickets, request)
        return True

    def _drop_cancelled(self) -> None:
        for request in {request for request in self._owner.values() if request.answer.cancelled()}:
            self._forget(request)

    def _forget(self, request: _Request) -> None:
        self._engine.cancel(*request.tickets)
        for ticket in request.tickets:
            self._owner.pop(ticket, None)

    def _deliver(self, finished: Finished) -> None:
        request = self._owner.get(finished.ticket)
        if request is None:
            return
        if finished.expired:  # the caller gives up by the same clock, and needs no answer
            self._forget(request)
            return
        del self._owner[finished.ticket]
        request.finished[finished.ticket] = finished
        if len(request.finished) == len(request.tickets) and request.answer.set_running_or_notify_cancel():
            parts = [request.finished[ticket] for ticket in request.tickets]
            waited = max(part.queue_seconds for part in parts)
            decoded = max(part.queue_seconds + part.decode_seconds for part in parts) - waited
            request.answer.set_result(Decoded([part.hypotheses for part in parts], waited, decoded))

    def _fail(self, error: EngineError) -> None:
        """Answer all that is under way with the error, and begin with an empty engine."""
        for request in set(self._owner.values()):
            _refuse(request, error)
        self._owner.clear()
        self._engine = self._translator.new_engine()


def _refuse(request: _Request, error: EngineError) -> None:
    """Answer with the error, if anybody still waits."""
    if request.answer.set_running_or_notify_cancel():
        request.answer.set_exception(error)
