"""What the parts of one account share: its link, its book, its symbols, and a way to ask and to tell.

`account` owns a desk and decides; `signin`, `reconcile`, `feed`, `orders` and `history` work at it.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from google.protobuf.message import Message

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import BrokerEvent, Notice
from pepperstone_adapter.broker.orders import OrderState, OrderType
from pepperstone_adapter.common.errors import DataError, LinkError, LinkLost, PepperstoneError, RateLimited, VenueError
from pepperstone_adapter.ctrader.client.book import Book
from pepperstone_adapter.ctrader.client.errors import is_session_lost
from pepperstone_adapter.ctrader.client.hub import Hub
from pepperstone_adapter.ctrader.client.limits import DEMO_CAPS, MinuteCaps
from pepperstone_adapter.ctrader.client.money import Money
from pepperstone_adapter.ctrader.client.protocol import Request
from pepperstone_adapter.ctrader.client.symbols import SymbolBook
from pepperstone_adapter.network.promises import Cancelled, spawn

log = logging.getLogger(__name__)
READ_TRIES = 4

type Notify = Callable[[Sequence[BrokerEvent]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which account, and where it must be.

    Attributes
    ----------
    account_number
        The number a person knows (trader login); the venue's internal id is taken as well.
    """

    account_number: str
    environment: Environment

    @property
    def live(self) -> bool:
        return self.environment is Environment.LIVE


#: An order made later than this after a close was asked for is another's.
CLAIM_NS = 600 * 1_000_000_000


@dataclass(slots=True)
class Closing:
    """A close that has no answer. The venue keeps no id of ours with it: this is how it is known.

    Attributes
    ----------
    known_orders
        Orders of the position that were there before.
    asked_ns
        When it was asked for, by the clock that is ahead: ours, or the venue's as far as its stamps tell it.
    under_way
        Its answer may still come, and will name the order.
    """

    position_id: str
    units: Decimal
    known_orders: frozenset[str]
    asked_ns: int
    under_way: bool = True

    def fits(self, order: OrderState) -> bool:
        same = order.position_id == self.position_id and order.units == self.units
        return same and order.order_id not in self.known_orders and order.created_ns <= self.asked_ns + CLAIM_NS


@dataclass(frozen=True, slots=True)
class Tie:
    """Ties the closing order that answers a request to an id of ours."""

    client_order_id: str


class Desk(ABC):
    """One account's desk. Every method runs in the network thread.

    Parameters
    ----------
    notify
        Takes batches of events out of the thread.
    """

    def __init__(self, hub: Hub, wanted: Wanted, notify: Notify) -> None:
        self.hub = hub
        self.wanted = wanted
        self.account_id = 0
        self.book = Book()
        self.symbols = SymbolBook()
        self.money = Money(wanted)
        self.caps = MinuteCaps({} if wanted.live else DEMO_CAPS)
        self.closings: dict[str, Closing] = {}  # by our id
        self.venue_ns = 0  # the newest time the venue has put on a price or an order: its clock, at least
        self.up = False
        self._notify = notify
        self._out: list[BrokerEvent] = []
        self._held: list[tuple[Message, Request | None]] | None = None

    @property
    def now_ns(self) -> int:
        return self.hub.clock.now_ns()

    def require_up(self) -> None:
        if not self.up:
            raise LinkLost("the account is not connected and reconciled; nothing was sent")

    def claim(self, order: OrderState) -> OrderState:
        """Tie a closing order to the unanswered close of ours that it must be; give any other back as it is.

        While a close that it may be is still under way nothing is decided: the answer will name the order.
        """
        if not order.closing or order.type is OrderType.PROTECTION or order.client_order_id is not None:
            return order
        fitting = {ours: closing for ours, closing in self.closings.items() if closing.fits(order)}
        if not fitting or order.order_id in self.book.tied or any(c.under_way for c in fitting.values()):
            return order
        ours = next(iter(fitting))
        self.tie(order.order_id, ours)
        return replace(order, client_order_id=ours)

    def tie(self, order_id: str, client_order_id: str) -> None:
        """Remember that a closing order is that close of ours: one order for one close, and the first word stands."""
        if order_id not in self.book.tied and client_order_id not in self.book.tied.values():
            self.book.tied[order_id] = client_order_id
            self.closings.pop(client_order_id, None)

    async def read(self, message: Message, answer: type[Message], **options: Any) -> Any:
        """Ask for something that changes nothing; wait out rate limits, repeat after a lost answer."""
        tries = 0
        while True:
            request = self.hub.ask(message, **options)
            try:
                got = await request.promise
            except RateLimited:
                tries += 1  # the queue holds this kind of request back as long as the venue wants
                if tries >= 2 * READ_TRIES:
                    raise
                continue
            except VenueError as error:
                if is_session_lost(error):
                    if self.up:  # while signing in this is no news, and must not begin the signing in again
                        self.shut(f"the venue no longer knows this session: {error}")
                    raise LinkLost(f"the account's session was lost: {error}") from error
                raise
            except LinkError:
                tries += 1
                if tries >= READ_TRIES or not self.hub.ready:
                    raise
                continue
            if not isinstance(got, answer):
                raise DataError(f"asked for {answer.__name__}, was given {type(got).__name__}")
            return got

    # -- telling ----------------------------------------------------------------------------------------------------

    def emit(self, events: Sequence[BrokerEvent]) -> None:
        """Add events to the batch that `flush` sends."""
        self._out.extend(events)

    def notice(self, level: str, text: str, halt: bool = False) -> None:
        self.emit([Notice(level=level, text=text, ts_ns=self.now_ns, halt=halt)])

    def flush(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self._notify(out)

    def hold(self) -> None:
        """Keep what the venue pushes from now on, until the gate opens."""
        if self._held is None:
            self._held = []

    def refresh_account(self) -> None:
        """Work the account out anew from balance, positions and profit; tell of a change."""
        self.emit(self.money.refresh(self.book.positions.values(), self.now_ns))

    # -- tasks ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def shut(self, reason: str) -> None:
        """Shut the gate and recover; the account does it."""

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something beside the message at hand; its failure is a notice."""

        async def quietly() -> None:
            try:
                await work
            except PepperstoneError as error:
                self.notice("warning", str(error))
            self.flush()

        spawn(quietly(), lambda _none: None, self.log_bug)

    def log_bug(self, error: BaseException) -> None:
        """Say loudly that something of ours broke, and go on."""
        if not isinstance(error, Cancelled):
            log.error("%r broke", self, exc_info=error)
            self.notice("error", f"a part of the connection broke: {type(error).__name__}: {error}", halt=True)
            self.flush()
