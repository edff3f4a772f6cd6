"""A connection to a `KitBroker`: the port, with links that fall and answers that get lost as the test asks.

Nothing is awaited but the loop itself, so a test waits for conditions, not for time.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.events import (
    AccountChanged,
    BrokerEvent,
    LinkDown,
    LinkUp,
    OrderChange,
    OrderChanged,
    PositionChanged,
)
from pepperstone_adapter.broker.market import Bar, BarPeriod, DepthLevel, DepthUpdate, Tick
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    Deal,
    OrderRequest,
    OrderState,
    OrderStatus,
    OrderType,
    Protection,
    TimeInForce,
)
from pepperstone_adapter.broker.session import BrokerSnapshot, FoundOrder, OnEvents
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import LinkLost, NotFound, OrderRefused, OutcomeUnknown
from tests.kit.broker import KitBroker

PENDING = frozenset({TimeInForce.GTC, TimeInForce.GTD})


class KitSession:
    """A connection to a `KitBroker`."""

    def __init__(self, broker: KitBroker, **capabilities: object) -> None:
        self.broker = broker
        self._on_events: OnEvents | None = None
        self._quotes: set[str] = set()
        self._depth: set[str] = set()
        self._bars: set[tuple[str, BarPeriod]] = set()
        self.up = False
        self.fail_connect: Exception | None = None
        self.missed: list[BrokerEvent] = []
        self.bars: dict[tuple[str, BarPeriod], list[Bar]] = {}
        self.ticks: dict[str, list[Tick]] = {}
        self.no_history: Exception | None = None
        self.stuck: Exception | None = None  # what the next end of a subscription ends with, which leaves a dead one
        self.dead: set[str] = set()  # subscribed, and without a word
        self.stubborn = False  # takes every change of an order, and leaves it as it is
        self.gone = 0  # so many levels find the link gone, of which nobody has been told yet
        self.unheard: Exception | None = None  # what a subscription of quotes ends with, though the broker has it
        facts: dict[str, object] = {
            "time_in_force": {
                OrderType.MARKET: frozenset({TimeInForce.IOC, TimeInForce.FOK}),
                OrderType.MARKET_RANGE: frozenset({TimeInForce.IOC}),
                OrderType.LIMIT: PENDING | {TimeInForce.IOC, TimeInForce.FOK},
                OrderType.STOP: PENDING,
                OrderType.STOP_LIMIT: PENDING,
            },
            "closing_time_in_force": frozenset({TimeInForce.GTC, TimeInForce.IOC}),
            "depth": True,
            "bar_periods": tuple(BarPeriod),
            "live_bar_periods": tuple(BarPeriod),
            "trailing_stop": True,
        }
        self.capabilities = Capabilities(**(facts | capabilities))  # type: ignore[arg-type]

    # -- life ---------------------------------------------------------------------------------------------------------

    async def connect(self, on_events: OnEvents) -> BrokerSnapshot:
        if self.fail_connect is not None:
            raise self.fail_connect
        await asyncio.sleep(0)
        self._on_events = on_events
        self.broker.sessions.append(self)
        self.up = True
        return self.broker.snapshot()

    async def close(self) -> None:
        self.up = False
        self._on_events = None
        if self in self.broker.sessions:
            self.broker.sessions.remove(self)

    def push(self, events: Sequence[BrokerEvent]) -> None:
        """Events reach the client on its loop, in order, after the current step."""
        if not self.up:
            self.missed += [e for e in events if isinstance(e, OrderChanged | PositionChanged | AccountChanged)]
            return
        asyncio.get_running_loop().call_soon(self._deliver, tuple(events))

    def _deliver(self, events: Sequence[BrokerEvent]) -> None:
        if self._on_events is not None and self.up:
            self._on_events(events)

    def tick(self, symbol: str) -> None:
        if symbol in self._quotes and symbol not in self.dead:
            bid, ask = self.broker.prices[symbol]
            self.push([Tick(symbol, bid, ask, self.broker.now_ns)])

    def lose_link(self, reason: str = "cut by the test", permanent: bool = False) -> None:
        if self._on_events is not None:
            self._on_events([LinkDown(reason, self.broker.now_ns, permanent)])
        self.up = False

    def restore_link(self) -> None:
        """Back again: what was missed is told as ordinary events, then `LinkUp`."""
        self.up = True
        missed, self.missed = self.missed, []
        self.push([*missed, LinkUp(self.broker.now_ns)])
        for symbol in self._quotes:
            self.tick(symbol)

    def _linked(self) -> None:
        if not self.up:
            raise LinkLost("the link is down")

    # -- market -------------------------------------------------------------------------------------------------------

    async def symbols(self) -> Sequence[SymbolSpec]:
        return list(self.broker.specs.values())

    async def subscribe_quotes(self, symbols: Sequence[str]) -> None:
        self._linked()
        for symbol in symbols:
            self._quotes.add(symbol)
            self.tick(symbol)
        if self.unheard is not None:
            raise self.unheard

    async def unsubscribe_quotes(self, symbols: Sequence[str]) -> None:
        stuck, self.stuck = self.stuck, None
        if stuck is not None:
            self.dead |= set(symbols)
            raise stuck
        self.dead -= set(symbols)
        self._quotes -= set(symbols)

    async def subscribe_depth(self, symbol: str) -> None:
        self._depth.add(symbol)
        bid, ask = self.broker.prices[symbol]
        levels = (DepthLevel(1, True, bid, 50_000_000), DepthLevel(2, False, ask, 70_000_000))
        self.push([DepthUpdate(symbol, levels, (), self.broker.now_ns)])

    async def unsubscribe_depth(self, symbol: str) -> None:
        self._depth.discard(symbol)

    async def subscribe_bars(self, symbol: str, period: BarPeriod) -> None:
        self._bars.add((symbol, period))

    async def unsubscribe_bars(self, symbol: str, period: BarPeriod) -> None:
        self._bars.discard((symbol, period))

    def subscriptions(self) -> tuple[set[str], set[str], set[tuple[str, BarPeriod]]]:
        return self._quotes, self._depth, self._bars

    async def history_bars(self, symbol: str, period: BarPeriod, start_ns: int, end_ns: int) -> Sequence[Bar]:
        return [b for b in self.bars.get((symbol, period), []) if start_ns <= b.open_ns < end_ns]

    async def history_ticks(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Tick]:
        if self.no_history is not None:
            raise self.no_history
        return [t for t in self.ticks.get(symbol, []) if start_ns <= t.ts_ns < end_ns]

    # -- orders -------------------------------------------------------------------------------------------------------

    async def submit(self, request: OrderRequest) -> OrderState:
        self._linked()
        await self._way()
        order = self.broker.take(request)
        self.broker.work(order)
        return await self._answer(replace(order.state, status=OrderStatus.ACCEPTED))

    async def amend(self, request: AmendRequest) -> OrderState:
        self._linked()
        await self._way()
        self.broker.requests.append(f"amend {request.order_id}")
        order = self.broker.orders.get(request.order_id)
        if order is None or not order.state.status.is_open:
            raise NotFound("ORDER_NOT_FOUND", f"order {request.order_id}")
        state = order.state
        if self.stubborn:
            return await self._answer(state)
        order.state = replace(
            state,
            units=request.units or state.units,
            limit_price=request.limit_price or state.limit_price,
            stop_price=request.stop_price or state.stop_price,
            protection=request.protection or state.protection,
        )
        self.broker._say(OrderChange.REPLACED, order)
        return await self._answer(order.state)

    async def cancel(self, order_id: str, symbol: str) -> None:
        self._linked()
        await self._way()
        self.broker.requests.append(f"cancel {order_id}")
        order = self.broker.orders.get(order_id)
        if order is None or not order.state.status.is_open:
            raise NotFound("ORDER_NOT_FOUND", f"order {order_id}")
        self.broker.end_at_broker(order_id)
        await self._answer(order.state)

    async def close_by(self, position_id: str, other_id: str, client_order_id: str) -> OrderState:
        raise OrderRefused("UNSUPPORTED", "this broker has no close-by")

    async def close_position(
        self,
        position_id: str,
        units: Decimal,
        client_order_id: str,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> OrderState:
        self._linked()
        if time_in_force not in self.capabilities.closing_time_in_force:
            raise OrderRefused("UNSUPPORTED", f"no {time_in_force.name} for a close")
        await self._way()
        wish = "" if time_in_force is TimeInForce.GTC else f" {time_in_force.name}"
        self.broker.requests.append(f"close {position_id} {units}{wish}")
        position = self.broker.positions.get(position_id)
        if position is None:
            raise NotFound("POSITION_NOT_FOUND", f"position {position_id}")
        order = self.broker._new(
            position.symbol,
            position.side.opposite,
            OrderType.MARKET,
            units,
            client_order_id=client_order_id,
            position_id=position_id,
            closing=True,
        )
        self.broker.work(order)
        return await self._answer(replace(order.state, status=OrderStatus.ACCEPTED))

    async def set_protection(self, position_id: str, protection: Protection) -> None:
        self._linked()
        if self.gone:
            self.gone -= 1
            raise LinkLost("the link is gone")
        await self._way()
        self.broker.requests.append(f"levels {position_id} {protection.stop_loss} {protection.take_profit}")
        position = self.broker.positions.get(position_id)
        if position is None:
            raise NotFound("POSITION_NOT_FOUND", f"position {position_id}")
        if self.broker.no_levels:
            raise OrderRefused("TRADING_BAD_STOPS", "refused by the test")
        self.broker.protect(position, protection)
        self.broker.emit(PositionChanged(position=self.broker.positions[position_id], ts_ns=self.broker.now_ns))
        await self._answer(None)

    async def _way(self) -> None:
        await asyncio.sleep(0)
        if self.broker.swallow_requests:
            self.broker.swallow_requests -= 1
            raise OutcomeUnknown("written and not answered")

    async def _answer[T](self, value: T) -> T:
        await asyncio.sleep(0)
        if self.broker.lose_answers:
            self.broker.lose_answers -= 1
            raise OutcomeUnknown("written and not answered")
        return value

    # -- questions ----------------------------------------------------------------------------------------------------

    async def snapshot(self) -> BrokerSnapshot:
        self._linked()
        await asyncio.sleep(0)
        return self.broker.snapshot()

    async def find_order(
        self, client_order_id: str | None = None, order_id: str | None = None, since_ns: int = 0
    ) -> FoundOrder | None:
        self._linked()
        await asyncio.sleep(0)
        for order in self.broker.orders.values():
            state = order.state
            if (order_id and state.order_id == order_id) or (
                client_order_id and state.client_order_id == client_order_id
            ):
                return FoundOrder(order=state, deals=tuple(order.deals))
        return None

    async def deals(self, since_ns: int, until_ns: int) -> Sequence[Deal]:
        self._linked()
        await asyncio.sleep(0)
        return [d for d in self.broker.all_deals if since_ns <= d.ts_ns < until_ns]
