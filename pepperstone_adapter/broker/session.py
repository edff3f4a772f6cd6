"""The port: one broker account as both venues implement it and the framework clients use it (design D6).

Rules every implementation keeps (one contract suite holds both to them):

* Every method is a coroutine called on the node's loop; events are handed to the `on_events` callback on the same loop,
  in the broker's order. No method blocks the loop, but for the moment it takes to write an order.
* `submit`, `amend`, `cancel`, `close_position`, `close_by` and `set_protection` return when the broker has *answered*,
  not when the outcome is known: fills, rejections and later changes come as events. `OrderRefused` (a `VenueError`) means
  the broker said no. `OutcomeUnknown` means the request was written and not answered: the caller must neither resend nor
  give up, but ask `find_order` until it has evidence (design D8). `LinkError` means nothing was written.
* An order verb may write its request when it is called; in any case it has when its coroutine first waits.
* After a lost link the session reconnects, authorises, resubscribes and reconciles by itself, emits what it found as
  ordinary events (each deal once per session), and only then emits `LinkUp`. Between `LinkDown` and `LinkUp` the order
  verbs raise `LinkLost` without writing.
* Reads may be retried by the session; orders never.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from pepperstone_adapter.broker.account import AccountSnapshot
from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.events import BrokerEvent
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    Deal,
    OrderRequest,
    OrderState,
    PositionState,
    Protection,
    TimeInForce,
)
from pepperstone_adapter.broker.symbols import SymbolSpec

type OnEvents = Callable[[Sequence[BrokerEvent]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSnapshot:
    """Account, open positions and working orders, read together. Protective orders of positions are included."""

    account: AccountSnapshot
    positions: tuple[PositionState, ...]
    orders: tuple[OrderState, ...]
    ts_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOrder:
    """An order and all its deals, open or ended."""

    order: OrderState
    deals: tuple[Deal, ...]


class BrokerSession(Protocol):
    """One account at one broker."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def connect(self, on_events: OnEvents) -> BrokerSnapshot:
        """Open the link, authorise, load symbols, reconcile. Raises `LinkError`, `AuthenticationFailed`,
        `ConfigurationError`; never returns half-connected."""
        ...

    async def close(self) -> None:
        """End every subscription and the link, in any state, within five seconds."""
        ...

    async def symbols(self) -> Sequence[SymbolSpec]: ...

    async def subscribe_quotes(self, symbols: Sequence[str]) -> None: ...
    async def unsubscribe_quotes(self, symbols: Sequence[str]) -> None: ...
    async def subscribe_depth(self, symbol: str) -> None: ...
    async def unsubscribe_depth(self, symbol: str) -> None: ...
    async def subscribe_bars(self, symbol: str, period: BarPeriod) -> None: ...
    async def unsubscribe_bars(self, symbol: str, period: BarPeriod) -> None: ...

    async def history_bars(self, symbol: str, period: BarPeriod, start_ns: int, end_ns: int) -> Sequence[Bar]:
        """Closed BID bars whose opening lies in ``[start_ns, end_ns)``, ascending, paged and throttled inside."""
        ...

    async def history_ticks(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Tick]:
        """Two-sided quotes in ``[start_ns, end_ns)``, ascending, paged and throttled inside."""
        ...

    async def submit(self, request: OrderRequest) -> OrderState: ...
    async def amend(self, request: AmendRequest) -> OrderState: ...
    async def cancel(self, order_id: str, symbol: str) -> None: ...
    async def close_position(
        self,
        position_id: str,
        units: Decimal,
        client_order_id: str,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> OrderState:
        """Close `units` of a position; the closing order is tied to `client_order_id` as far as the venue can.

        A `time_in_force` outside `capabilities.closing_time_in_force` is `OrderRefused`, and nothing is sent."""
        ...

    async def close_by(self, position_id: str, other_id: str, client_order_id: str) -> OrderState:
        """Close a position and an opposite one of its symbol against each other; the larger keeps the rest.

        The order tied to `client_order_id` is the half on `position_id`. The half on `other_id` is told as a nameless
        closing order of its own. Where `capabilities.close_by` is false: `OrderRefused`, and nothing is sent."""
        ...

    async def set_protection(self, position_id: str, protection: Protection) -> None:
        """Replace the whole protection of a position; a level that is None is removed."""
        ...

    async def snapshot(self) -> BrokerSnapshot: ...

    async def find_order(
        self, client_order_id: str | None = None, order_id: str | None = None, since_ns: int = 0
    ) -> FoundOrder | None:
        """Look everywhere (working, ended, deals). None only after a *complete* read found nothing; a failed read
        raises `LinkError` or `VenueError` and is never reported as "not found"."""
        ...

    async def deals(self, since_ns: int, until_ns: int) -> Sequence[Deal]:
        """All deals executed in ``[since_ns, until_ns)``, ascending by time then id."""
        ...
