"""Who enters the running batch next: fair to small requests, kind to interactive ones, and never starving anyone."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

Priority = Literal["interactive", "bulk"]

BULK_SHARE = 4
"""While interactive work waits, every fourth sentence to enter is a bulk one, if one waits."""


@dataclass(frozen=True, slots=True)
class Claim:
    """When a sentence wants to be decoded, and for whom.

    request: sentences that name the same one share a place in the queue; a sentence without one is a request of its
    own · priority · deadline: a time of the engine's clock after which nobody wants the answer.
    """

    request: Hashable = None
    priority: Priority = "interactive"
    deadline: float | None = None


class Waiting(Protocol):
    """What can wait."""

    @property
    def ticket(self) -> int:
        """Its number, unique."""

    @property
    def claim(self) -> Claim:
        """When it wants to be decoded, and for whom."""


Item = TypeVar("Item", bound=Waiting)


class WaitingQueue(Generic[Item]):
    """First come, first served among requests, which take turns of one sentence each.

    So a request of n sentences has entered after at most n turns of every other in its lane, however large those are:
    n × r sentences when r requests wait. Of BULK_SHARE sentences that enter, one is a bulk one while both lanes wait.
    Nobody overtakes the one whose turn it is, so a sentence that needs many rows gets them.
    """

    def __init__(self) -> None:
        # Ordered ones: a plain one looks for its first item among all those that have been taken out in front of it.
        self._lanes = dict[Priority, OrderedDict[Hashable, OrderedDict[int, Item]]](
            interactive=OrderedDict(), bulk=OrderedDict()
        )
        self._items: dict[int, Item] = {}
        self._since_bulk = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """At the end of its request, which is at the end of its lane if it is new there."""
        self._items[item.ticket] = item
        self._lanes[item.claim.priority].setdefault(_request(item), OrderedDict())[item.ticket] = item

    def peek(self) -> Item:
        """Whose turn it is."""
        requests = self._lanes[self._lane()]
        first = next(iter(requests.values()))
        return next(iter(first.values()))

    def pop(self) -> Item:
        """Take out whose turn it is; the next turn is that of another request."""
        item = self.peek()
        lane = item.claim.priority
        self.remove(item.ticket)
        self._since_bulk = 0 if lane == "bulk" else self._since_bulk + 1
        requests, request = self._lanes[lane], _request(item)
        if request in requests:
            requests.move_to_end(request)
        return item

    def remove(self, ticket: int) -> Item | None:
        """Take a sentence out wherever it stands; None when it does not wait."""
        item = self._items.pop(ticket, None)
        if item is not None:
            requests = self._lanes[item.claim.priority]
            own = requests[_request(item)]
            del own[ticket]
            if not own:
                del requests[_request(item)]
        return item

    def _lane(self) -> Priority:
        if not self._lanes["interactive"]:
            return "bulk"
        due = self._since_bulk >= BULK_SHARE - 1
        return "bulk" if due and self._lanes["bulk"] else "interactive"


def _request(item: Waiting) -> Hashable:
    return ("alone", item.ticket) if item.claim.request is None else ("request", item.claim.request)
