"""What a request is told of the work that is before it."""

from contextlib import ExitStack, suppress

import pytest

from service.load import Load


class Clock:
    """Time that passes when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def worked(rate: float, seconds: int = 200) -> tuple[Load, Clock]:
    """One that has seen so much work done a second."""
    clock = Clock()
    load = Load(clock)
    for _ in range(seconds):
        with load.carrying(rate):
            clock.now += 1
        clock.now += 50  # nothing to do
    return load, clock


@pytest.mark.parametrize("rate", [100.0, 60_000.0])
def test_the_time_of_a_request_alone_follows_what_was_seen(rate: float) -> None:
    """Whatever the first guess was; time without work does not count."""
    load, _ = worked(rate)

    assert load.seconds(rate) == pytest.approx(1, rel=0.1)


def test_requests_that_take_turns_are_in_each_others_way_for_as_much_as_they_ask() -> None:
    """A small one beside a large one takes twice its time; a large one waits for all the small ones."""
    load, _ = worked(100)
    alone = load.seconds(1)
    with ExitStack() as open_requests:
        for work in (1000, 1, 1):
            open_requests.enter_context(load.carrying(work))
        small, large = load.seconds(1), load.seconds(1000)

    assert small == pytest.approx(4 * alone)
    assert large == pytest.approx(2002 * alone)
    assert len(load) == 0


@pytest.mark.parametrize("others", [0, 3])
def test_what_its_client_leaves_tells_nothing_of_the_speed(others: int) -> None:
    """However much it had asked for, and however many were under way: who asks next is not refused for it."""
    load, clock = worked(100)
    before = load.seconds(100)
    for _ in range(20):
        with ExitStack() as open_requests:
            for _ in range(others):
                open_requests.enter_context(load.carrying(100))
            with suppress(ConnectionError), load.carrying(1e9):
                clock.now += others + 1
                raise ConnectionError

    assert load.seconds(100) == pytest.approx(before, rel=0.1)


def test_what_its_deadline_ends_tells_that_work_is_slow() -> None:
    """It was not done, but took its time."""
    load, clock = worked(100)
    before = load.seconds(100)
    with suppress(TimeoutError), load.carrying(1e9):
        clock.now += 5
        raise TimeoutError

    assert load.seconds(100) > before


def test_time_in_which_nothing_is_decoded_tells_nothing() -> None:
    """To score what others have translated takes its time, and no work of a decoder."""
    load, clock = worked(100)
    before = load.seconds(100)
    for _ in range(100):
        with load.carrying(0):
            clock.now += 10

    assert load.seconds(100) == before
