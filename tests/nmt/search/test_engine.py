"""The engine under random arrivals: nobody is lost, nobody waits for ever, and neighbours change nothing."""

import random
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table import TableState, TableStepper, log_softmax

from nmt.arrays import Floats, Integers
from nmt.config import ModelConfig, SearchConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.runtime.stepper import ModelStepper, stepper_of
from nmt.search.automaton import Automaton, Trie
from nmt.search.engine import Engine, Finished, search_all
from nmt.search.guides import FREE, Guide
from nmt.search.queue import BULK_SHARE, Claim
from nmt.search.reading import Demand
from nmt.search.stepper import Step
from nmt.text.tokenizer import BEGIN, END, PAD

SHORT = SearchConfig(beam_size=2, max_length=3)
GROUPS = {"beam_size": 4, "diversity_groups": 2}
PHRASE = Guide.anywhere(Automaton.of(Demand(wanted="a"), Trie(["", "", "", "", " a", "a", " b"])))


class Clock:
    """Time that passes when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class FastTable(TableStepper):
    """The same idea as a table, without a network's cost or a loop over rows: what comes next follows from the last
    piece, the number of pieces, and the source."""

    table = log_softmax(np.random.default_rng(1).standard_normal((64, 7, 7)))

    def step(self, pieces: Integers, state: TableState, control: Floats | None = None) -> Step[TableState]:
        """Look up all rows at once."""
        history = np.concatenate([state.history, pieces[..., None]], axis=-1)
        lengths = (history != BEGIN).sum(-1)
        keys = np.array([[sum(source)] for source in state.sources])
        longest = max(map(len, state.sources))
        sizes = np.array([[len(source)] for source in state.sources])
        uniform = ((np.arange(longest) < sizes) / sizes).astype(np.float32)
        weights = np.broadcast_to(uniform[:, None], (*pieces.shape, longest))
        return Step(self.table[(keys + 7 * lengths) % 64, pieces], weights, TableState(state.sources, history))


class Watched(FastTable):
    """Notes of each step the rows and the padded source pieces, and how many sentences enter at once."""

    def __init__(self) -> None:
        self.sizes, self.entered = list[tuple[int, int]](), list[int]()

    def start(self, sources: Sequence[Sequence[int]]) -> TableState:
        self.entered.append(len(sources))
        return super().start(sources)

    def step(self, pieces: Integers, state: TableState, control: Floats | None = None) -> Step[TableState]:
        self.sizes.append((pieces.size, len(state.sources) * max(map(len, state.sources))))
        return super().step(pieces, state, control)


def test_ten_thousand_requests_at_random_are_each_answered_once() -> None:
    """Some are cancelled, some expire, the others are answered; no step has more rows or padded source pieces than the
    budgets, which both are used up at times; in the end no row, frame or place is taken."""
    rng, clock, stepper = random.Random(7), Clock(), Watched()
    engine = Engine(stepper, max_rows=300, max_memory=1000, clock=clock)
    waiting, answered, expired, cancelled = set[int](), set[int](), set[int](), set[int]()
    submitted = 0
    while submitted < 10_000 or engine.busy:
        for _ in range(rng.randint(0, min(90, 10_000 - submitted))):
            guide = PHRASE if rng.random() < 0.05 else FREE
            deadline = clock.now + rng.randint(1, 60) if rng.random() < 0.3 else None
            claim = Claim(rng.choice([None, rng.randint(0, 50)]), rng.choice(["interactive", "bulk"]), deadline)
            source = [rng.randint(4, 6)] * (20 if rng.random() < 0.003 else rng.randint(1, 5)) + [END]
            waiting.add(engine.submit(source, any_search(rng), claim, guide))
            submitted += 1
        if waiting and rng.random() < 0.3:
            gone = {rng.choice(sorted(waiting)) for _ in range(3)}
            engine.cancel(*gone)
            cancelled, waiting = cancelled | gone, waiting - gone
        for finished in engine.step():
            assert finished.ticket in waiting
            waiting.remove(finished.ticket)
            assert finished.expired == (finished.hypotheses == [])
            (expired if finished.expired else answered).add(finished.ticket)
        clock.now += 1

    assert not waiting
    assert len(answered) + len(expired) + len(cancelled) == 10_000
    assert min(map(len, (answered, expired, cancelled))) > 100
    assert not engine.busy
    assert engine._frames == type(engine._frames)()
    assert not any(engine._waiting._lanes.values())
    assert 270 < max(rows for rows, _ in stepper.sizes) <= 300
    assert 900 < max(memory for _, memory in stepper.sizes) <= 1000


def any_search(rng: random.Random) -> SearchConfig:
    size = rng.randint(1, 4)
    ways = {"beam_size": size}, {"method": "greedy"}, {"method": "sample", "n_best": size, "seed": size}, GROUPS
    return SearchConfig.model_validate({"max_length": rng.randint(1, 8), **rng.choice(ways)})


def test_who_waits_for_a_full_engine_enters_in_groups() -> None:
    """Of an eighth of the rows at least, while that many wait: to encode them one by one takes longer."""
    engine, rng = Engine(stepper := Watched(), max_rows=80), random.Random(5)
    for length in (rng.randint(1, 30) for _ in range(500)):
        engine.submit([4, END], SearchConfig(method="greedy", min_length=length, max_length=length))
    answered = len(list(engine.run()))

    assert answered == sum(stepper.entered) == 500
    assert min(stepper.entered[:-1]) >= 10


def test_a_thousand_sentences_of_a_network_alone_in_batches_and_entering_at_random() -> None:
    """The same text, and scores to 1e-4."""
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "encoder_size": 8, "decoder_size": 12, "attention_size": 8}
    model = Seq2Seq(ModelConfig(source_vocabulary=40, target_vocabulary=40, **sizes))
    with torch.no_grad():
        model.output.bias[END] += 2
    stepper, rng = stepper_of(model), random.Random(3)
    sources = [[rng.randint(4, 39) for _ in range(rng.randint(1, 9))] + [END] for _ in range(1000)]
    config = SearchConfig(beam_size=3, max_length=6)
    alone = [search_all(stepper, [source], config)[0][0] for source in sources]
    engine, order = Engine(stepper, max_rows=150), rng.sample(range(1000), 1000)
    tickets, entering = dict[int, int](), dict[int, Finished]()
    while order or engine.busy:
        for _ in range(min(len(order), rng.randint(0, 60))):
            number = order.pop()
            tickets[engine.submit(sources[number], config)] = number
        entering |= {tickets[finished.ticket]: finished for finished in engine.step()}
    batches = [hypotheses[0] for hypotheses in search_all(stepper, sources, config)]

    for number, one in enumerate(alone):
        for other in (batches[number], entering[number].hypotheses[0]):
            assert other.pieces == one.pieces
            assert other.score == pytest.approx(one.score, abs=1e-4)
            assert np.allclose(other.weights, one.weights, atol=1e-4)


@given(large=st.integers(10, 60), small=st.integers(1, 5), before=st.integers(0, 5))
@settings(max_examples=20)
def test_a_large_request_cannot_hold_up_a_small_one(large: int, small: int, before: int) -> None:
    """Of n sentences of the small request, the last enters at most n turns of each other request later."""
    engine = Engine(FastTable(), max_rows=2)
    config = SearchConfig(method="greedy", max_length=2)
    for number in range(large):
        engine.submit([4, END], config, Claim("large"))
        if number < before:
            engine.submit([4, END], config, Claim(number))
    own = {engine.submit([5, END], config, Claim("small")) for _ in range(small)}
    done = [finished.ticket for finished in engine.run()]
    last = max(done.index(ticket) for ticket in own)

    assert last <= small * 2 + before + 2


def test_bulk_waits_for_interactive_work_but_is_not_starved() -> None:
    """One of BULK_SHARE sentences that enter is a bulk one while both wait, and all when only bulk waits."""
    engine = Engine(FastTable(), max_rows=1)
    config = SearchConfig(method="greedy", max_length=1)
    bulk = [engine.submit([4, END], config, Claim("b", "bulk")) for _ in range(6)]
    interactive = [engine.submit([4, END], config, Claim("i")) for _ in range(9)]
    kinds = "".join("b" if finished.ticket in bulk else "i" for finished in engine.run())

    assert kinds[: BULK_SHARE * 3] == ("i" * (BULK_SHARE - 1) + "b") * 3
    assert kinds.count("i") == len(interactive)
    assert kinds.endswith("bbb")


def test_a_wide_search_is_not_overtaken_for_ever() -> None:
    """Whose turn it is waits for room, and those behind wait with it."""
    engine = Engine(FastTable(), max_rows=4)
    narrow = SearchConfig(method="greedy", max_length=4, min_length=4)
    first = engine.submit([4, END], narrow)
    engine.step()
    wide = engine.submit([4, END], SearchConfig(beam_size=4, max_length=2))
    later = [engine.submit([4, END], narrow) for _ in range(9)]
    order = [finished.ticket for finished in engine.run()]

    assert order[:2] == [first, wide]
    assert sorted(order[2:]) == later


def test_the_deadline_frees_the_rows_before_the_next_step() -> None:
    """One that is late in the pool and one that is late in the queue come back expired; who waited enters at once."""
    clock = Clock()
    engine = Engine(FastTable(), max_rows=2, clock=clock)
    long = SearchConfig(beam_size=2, max_length=9, min_length=9)
    decoding = engine.submit([4, END], long, Claim(deadline=5.0))
    queued = engine.submit([5, END], long, Claim(deadline=5.0))
    patient = engine.submit([6, END], SHORT, Claim(deadline=50.0))
    assert engine.step() == []
    clock.now = 5.0
    late = {finished.ticket: finished for finished in engine.step()}

    assert set(late) == {decoding, queued}
    assert all(finished.expired and not finished.hypotheses for finished in late.values())
    assert (late[decoding].queue_seconds, late[decoding].decode_seconds) == (0.0, 5.0)
    assert (late[queued].queue_seconds, late[queued].decode_seconds) == (5.0, 0.0)
    clock.now = 6.0
    assert [(finished.ticket, finished.queue_seconds) for finished in engine.run()] == [(patient, 5.0)]


def test_what_ends_a_search_on_one_engine_ends_those_beside_it() -> None:
    """Not after their own end: whoever is told to stop in a validation waits for that."""
    steps = 0

    class Failing(FastTable):
        def step(self, pieces: Integers, state: TableState, control: Floats | None = None) -> Step[TableState]:
            nonlocal steps
            if len(state.sources[0]) > 2:
                raise KeyboardInterrupt
            steps += 1
            time.sleep(0.01)
            return super().step(pieces, state, control)

    long = SearchConfig(beam_size=2, min_length=900, max_length=1000)
    with pytest.raises(KeyboardInterrupt):
        search_all(Failing(), [[4, 4, END], [4, END]], long, engines=2)
    assert steps < 100


def test_neighbours_change_nothing_for_the_stepper_of_torch() -> None:
    """That of a GPU, and where nothing was compiled; entering one by one."""
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "encoder_size": 8, "decoder_size": 12, "attention_size": 8}
    stepper = ModelStepper(Seq2Seq(ModelConfig(source_vocabulary=40, target_vocabulary=40, **sizes)))
    rng, config = random.Random(3), SearchConfig(beam_size=3, max_length=6)
    sources = [[*(rng.randint(4, 39) for _ in range(rng.randint(1, 9))), END] for _ in range(40)]
    engine, numbers, found = Engine(stepper, max_rows=30), dict[int, int](), dict[int, Finished]()
    for number, source in enumerate(sources):
        numbers[engine.submit(source, config)] = number
        found |= {numbers[done.ticket]: done for done in engine.step()}
    found |= {numbers[done.ticket]: done for done in engine.run()}

    for number, source in enumerate(sources):
        (alone,) = search_all(stepper, [source], config)[0]
        (beside,) = found[number].hypotheses
        assert beside.pieces == alone.pieces
        assert beside.score == pytest.approx(alone.score, abs=1e-4)


def test_a_step_is_asked_for_the_rows_that_are_alive_alone() -> None:
    """One a sentence at first, and of a greedy search beside a beam never more than one; the others have PAD."""
    seen = list[Integers]()

    class Seen(FastTable):
        def step(self, pieces: Integers, state: TableState, control: Floats | None = None) -> Step[TableState]:
            seen.append(pieces != PAD)
            return super().step(pieces, state, control)

    engine = Engine(Seen())
    for size in (1, 4):
        engine.submit([4, 5, END], SearchConfig(beam_size=size, min_length=3, max_length=6))
    list(engine.run())

    assert seen[0].tolist() == [[True, False, False, False]] * 2
    assert all(len(live) == 1 or live[0].sum() == 1 for live in seen)
    assert seen[1][1].sum() > 1
