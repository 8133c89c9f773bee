"""One decode loop for everything: sentences enter and leave a running batch at every step."""

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic

from nmt.config import SearchConfig
from nmt.search.beam import Frame, can_win, trace
from nmt.search.guides import FREE, Guide
from nmt.search.hypothesis import Hypothesis
from nmt.search.pool import Pool, Sentence, Ticket
from nmt.search.queue import Claim, WaitingQueue
from nmt.search.stepper import State, Stepper


@dataclass(frozen=True, slots=True)
class Finished:
    """A search that is over: the n best hypotheses, best first, and how long it waited and was decoded.

    expired: its deadline came first, and there are no hypotheses.
    """

    ticket: Ticket
    hypotheses: list[Hypothesis]
    queue_seconds: float
    decode_seconds: float
    expired: bool = False


_GROUP = 8
"""While many wait, sentences enter in groups that take about so small a part of the rows."""


class Engine(Generic[State]):
    """Searches for the translations of many sentences, with one batched decode step a `step`.

    A sentence enters when its turn comes (`WaitingQueue`) and `max_rows` rows and `max_memory` padded source pieces
    allow it, or the pool is empty. What it becomes does not depend on what else is there. Not thread-safe: one thread
    drives. `clock` gives seconds; deadlines are its times.
    """

    def __init__(
        self,
        stepper: Stepper[State],
        max_rows: int = 320,
        max_memory: int = 16384,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._stepper, self._clock = stepper, clock
        self._max_rows, self._max_memory = max_rows, max_memory
        self._waiting: WaitingQueue[Sentence] = WaitingQueue()
        self._deadlines: list[tuple[float, Ticket]] = []
        self._pool: Pool[State] | None = None
        self._frames: deque[Frame] = deque()
        self._dropped_frames = 0
        self._next_ticket = 0

    def submit(
        self, source: Sequence[int], config: SearchConfig, claim: Claim | None = None, guide: Guide = FREE
    ) -> Ticket:
        """Queue a sentence, as source pieces. `step` will hand out the ticket with its hypotheses."""
        self._next_ticket += 1
        sentence = Sentence(self._next_ticket, source, config, claim or Claim(), guide, self._clock())
        self._waiting.put(sentence)
        if sentence.claim.deadline is not None:
            heapq.heappush(self._deadlines, (sentence.claim.deadline, sentence.ticket))
        return sentence.ticket

    def cancel(self, *tickets: Ticket) -> None:
        """Forget sentences, waiting or half done; their rows are free before the next step."""
        self._drop(set(tickets))

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._waiting or self._pool)

    def step(self) -> list[Finished]:
        """Drop who is late, admit who fits, extend every row by one piece, and return who is done."""
        late = self._expire()
        self._admit()
        pool = self._pool
        if pool is None:
            return late
        parents, weights = pool.advance()
        self._frames.append(Frame(pool.beams.pieces, parents, pool.beams.log_probs, weights, pool.places))
        self._collect(pool, pool.beams.end(pool.choice))
        return late + self._release(pool)

    def run(self) -> Iterator[Finished]:
        """Step until nothing is left."""
        while self.busy:
            yield from self.step()

    def _drop(self, tickets: set[Ticket]) -> list[Sentence]:
        """Take sentences out of queue and pool. Returns those that were there."""
        dropped = [sentence for ticket in tickets if (sentence := self._waiting.remove(ticket))]
        if self._pool and len(dropped) < len(tickets):
            dropped += [sentence for sentence in self._pool.sentences if sentence.ticket in tickets]
            self._keep([i for i, sentence in enumerate(self._pool.sentences) if sentence.ticket not in tickets])
        return dropped

    def _expire(self) -> list[Finished]:
        """Let the sentences go whose deadline has passed."""
        now, late = self._clock(), set[Ticket]()
        while self._deadlines and self._deadlines[0][0] <= now:
            late.add(heapq.heappop(self._deadlines)[1])
        expired = []
        for sentence in self._drop(late) if late else []:
            entered = min(now, sentence.entered)
            expired.append(Finished(sentence.ticket, [], entered - sentence.submitted, now - entered, expired=True))
        return expired

    def _admit(self) -> None:
        """Take from the head of the queue what the budgets allow, and start it as one batch."""
        pool = self._pool
        if not self._waiting or (pool and self._crowded(pool)):
            return
        count = len(pool.sentences) if pool else 0
        rows = pool.rows if pool else 1
        longest = max((len(sentence.source) for sentence in pool.sentences), default=0) if pool else 0
        entering: list[Sentence] = []
        while self._waiting:
            sentence = self._waiting.peek()
            rows, longest, count = max(rows, sentence.config.width), max(longest, len(sentence.source)), count + 1
            if count > 1 and (rows * count > self._max_rows or longest * count > self._max_memory):
                break
            entering.append(self._waiting.pop())
        if entering:
            self._enter(entering)

    def _crowded(self, pool: Pool[State]) -> bool:
        """Whether those who wait are many for the rows that are free, and these few.

        To encode sentences one by one and join them to the others costs more than some rows that are empty for a few
        steps: entering in groups takes a tenth off the time of a long queue.
        """
        free = self._max_rows - pool.rows * len(pool.sentences)
        return free < self._max_rows // _GROUP and free < pool.rows * len(self._waiting)

    def _enter(self, entering: list[Sentence]) -> None:
        pool = self._pool
        rows = max(sentence.config.width for sentence in entering)
        if pool:
            rows = max(rows, pool.rows)
            pool = pool.select(list(range(len(pool.sentences))), rows) if rows > pool.rows else pool
        for sentence in entering:
            sentence.entered = self._clock()
            sentence.first_frame = self._dropped_frames + len(self._frames)
        new = Pool.start(self._stepper, entering, rows)
        self._pool = pool.join(new) if pool else new

    def _collect(self, pool: Pool[State], ended: list[list[int]]) -> None:
        """Trace the hypotheses that ended in this step, given the place and the row of each, where they can win."""
        frames = list(self._frames) if ended else []
        for place, row in ended:
            sentence = pool.sentences[place]
            own = frames[sentence.first_frame - self._dropped_frames :]
            if can_win(own[-1].log_probs.item(place, row), len(own), sentence.finished, sentence.config):
                sentence.finish(trace(own, sentence.ticket, row, len(sentence.source), sentence.config))

    def _release(self, pool: Pool[State]) -> list[Finished]:
        """Let the sentences go whose search is over."""
        best_live, longest = pool.beams.log_probs.max(axis=1).tolist(), pool.beams.longest.tolist()
        done: list[Finished] = []
        staying = []
        now = self._clock()
        for place, sentence in enumerate(pool.sentences):
            live = best_live[place] > float("-inf")  # and there is a free place for each row that is
            if live and can_win(best_live[place], longest[place] + 1, sentence.finished, sentence.config):
                staying.append(place)
            else:
                waited, decoded = sentence.entered - sentence.submitted, now - sentence.entered
                done.append(Finished(sentence.ticket, sentence.finished, waited, decoded))
        if done:
            self._keep(staying)
        return done

    def _keep(self, places: list[int]) -> None:
        """Shrink the pool to the sentences at those places and to the rows that their widths need."""
        pool = self._pool
        if pool is None or len(places) == len(pool.sentences):
            return
        sentences = [pool.sentences[place] for place in places]
        rows = min(pool.rows, max((sentence.config.width for sentence in sentences), default=0))
        self._pool = pool.select(places, rows) if places else None
        oldest = min((s.first_frame for s in sentences), default=self._dropped_frames + len(self._frames))
        while self._dropped_frames < oldest:
            self._frames.popleft()
            self._dropped_frames += 1


def search_all(
    stepper: Stepper[State],
    sources: Sequence[Sequence[int]],
    config: SearchConfig,
    engines: int = 1,
    guides: Sequence[Guide] | None = None,
) -> list[list[Hypothesis]]:
    """The n best hypotheses of each source, in the order of the sources; those of like length are decoded together.

    Several engines share the sources, each in a thread: `nmt.runtime.threads` says when that pays.
    """
    order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
    results: list[list[Hypothesis]] = [[] for _ in sources]
    stopped = threading.Event()

    def run(own: Sequence[int]) -> None:
        engine = Engine(stepper)
        index = {engine.submit(sources[i], config, guide=guides[i] if guides else FREE): i for i in own}
        while engine.busy and not stopped.is_set():
            for finished in engine.step():
                results[index[finished.ticket]] = finished.hypotheses

    parts = [order[first::engines] for first in range(min(engines, len(order)))]
    if len(parts) <= 1:
        run(order)  # to start a thread takes as long as some steps
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            try:
                list(pool.map(run, parts))
            finally:
                stopped.set()  # whatever ended this call ends the others' work as well
    return results
