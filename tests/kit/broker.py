"""A broker in memory: a small hedging or netting account with its own matching; `broker_session` is the way to it.

It is a second implementation of the port, written apart from the venues and the sandbox, for tests of what stands above
the port. Prices are set by the test (`set_price`); orders match at the touch without slippage; commission is 3.5 per
100,000 units and side. Faults are asked for by name: an answer that is lost, an event that is dropped, a link that
falls.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from pepperstone_adapter.broker.account import AccountSnapshot, Environment, PositionMode
from pepperstone_adapter.broker.events import (
    AccountChanged,
    BrokerEvent,
    OrderChange,
    OrderChanged,
    PositionChanged,
)
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.orders import (
    Deal,
    DealEntry,
    DealReason,
    OrderRequest,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.broker.symbols import AssetClass, SwapMode, SwapTerms, SymbolSpec
from pepperstone_adapter.common.errors import OrderRefused

if TYPE_CHECKING:
    from tests.kit.broker_session import KitSession

D = Decimal


def spec(name: str, digits: int = 5, **changes: object) -> SymbolSpec:
    """An FX symbol (1,000 units steps) unless told otherwise."""
    facts: dict[str, object] = {
        "name": name,
        "description": name,
        "asset_class": AssetClass.FX,
        "base_currency": name[:3],
        "quote_currency": name[3:6],
        "digits": digits,
        "pip_position": digits - 1,
        "contract_size": D(100_000),
        "volume_min": D(1_000),
        "volume_step": D(1_000),
        "volume_max": D(10_000_000),
        "hours": TradingHours.always(),
        "swap": SwapTerms(mode=SwapMode.DISABLED),
        "leverage_class": "fx_major",
    }
    return SymbolSpec(**(facts | changes))  # type: ignore[arg-type]


SPECS = (spec("EURUSD"), spec("GBPUSD"), spec("USDJPY", 3))
PRICES = {"EURUSD": (108_500, 108_507), "GBPUSD": (126_400, 126_410), "USDJPY": (150_000, 150_008)}


@dataclass
class Order:
    state: OrderState
    request: OrderRequest | None = None
    deals: list[Deal] = field(default_factory=list)
    expires_ns: int | None = None


class KitBroker:
    """The venue: survives sessions, so a test can restart the client."""

    def __init__(self, mode: PositionMode = PositionMode.HEDGING, specs: Sequence[SymbolSpec] = SPECS) -> None:
        self.mode = mode
        self.specs = {s.name: s for s in specs}
        self.prices = dict(PRICES)
        self.balance = D(100_000)
        self.orders: dict[str, Order] = {}
        self.positions: dict[str, PositionState] = {}
        self.all_deals: list[Deal] = []
        self.now_ns = time.time_ns()  # the broker's clock stands still between events
        self.sessions: list[KitSession] = []
        self.fills_at: list[Decimal] = []  # shares of an order filled at once, for partial fills; empty = all
        self.fill_shift_points = 0  # market orders fill this many points worse than the touch
        self.reject: str | None = None  # the next order is refused with this code
        self.no_levels = False  # orders fill without the levels they carry, and setting them is refused
        self.lose_answers = 0  # so many requests are carried out and never answered
        self.swallow_requests = 0  # so many requests are lost on the way
        self.drop_events = 0  # so many order events are not delivered
        self.requests: list[str] = []  # what arrived, in order
        self._ids = 0
        self._trail: dict[str, Decimal] = {}  # position -> distance its stop keeps

    def next_id(self, prefix: int) -> str:
        self._ids += 1
        return str(prefix * 10_000 + self._ids)

    # -- market -------------------------------------------------------------------------------------------------------

    def set_price(self, symbol: str, bid: int, ask: int) -> None:
        """Move the market; resting orders and levels that are reached fill."""
        self.prices[symbol] = (bid, ask)
        self.now_ns += 1_000_000
        for session in self.sessions:
            session.tick(symbol)
        for order in [o for o in self.orders.values() if o.state.symbol == symbol and o.state.status.is_open]:
            self._try_resting(order)
        for position in [p for p in self.positions.values() if p.symbol == symbol]:
            self._try_levels(position)

    def touch(self, symbol: str, side: Side) -> Decimal:
        bid, ask = self.prices[symbol]
        return (ask if side is Side.BUY else bid) * self.specs[symbol].point

    def _try_resting(self, order: Order) -> None:
        state = order.state
        price = self.touch(state.symbol, state.side)
        if state.type is OrderType.LIMIT and (price - (state.limit_price or price)) * state.side.sign <= 0:
            self._fill(order, state.limit_price or price)
        elif state.type is OrderType.STOP and (price - (state.stop_price or price)) * state.side.sign >= 0:
            self._fill(order, price)
        elif state.type is OrderType.STOP_LIMIT and (price - (state.stop_price or price)) * state.side.sign >= 0:
            order.state = replace(state, type=OrderType.LIMIT, stop_price=None)
            self._try_resting(order)

    def protect(self, position: PositionState, protection: Protection) -> None:
        self.positions[position.position_id] = replace(position, protection=protection)
        if protection.trailing and protection.stop_loss is not None:
            price = self.touch(position.symbol, position.side.opposite)
            self._trail[position.position_id] = abs(price - protection.stop_loss)

    def _try_levels(self, position: PositionState) -> None:
        protection = position.protection
        if protection is None:
            return
        price = self.touch(position.symbol, position.side.opposite)
        sign = position.side.sign
        if protection.trailing and protection.stop_loss is not None:
            distance = self._trail.get(position.position_id, abs(price - protection.stop_loss))
            best = price - distance * sign
            if (best - protection.stop_loss) * sign > 0:
                protection = replace(protection, stop_loss=best)
                position = replace(position, protection=protection)
                self.positions[position.position_id] = position
                self.emit(PositionChanged(position=position, ts_ns=self.now_ns))
        if protection.stop_loss is not None and (price - protection.stop_loss) * sign <= 0:
            self.close_at_broker(position.position_id, price, DealReason.STOP_LOSS)
        elif protection.take_profit is not None and (price - protection.take_profit) * sign >= 0:
            self.close_at_broker(position.position_id, protection.take_profit, DealReason.TAKE_PROFIT)

    # -- what happens without us --------------------------------------------------------------------------------------

    def close_at_broker(
        self,
        position_id: str,
        price: Decimal | None = None,
        reason: DealReason = DealReason.CLIENT,
        units: object = None,
        echo: str | None = None,
    ) -> None:
        """A level was hit, a person closed by hand, or the broker stopped the account out.

        `echo`: what the venue writes on the closing order of the text the position was opened with.
        """
        position = self.positions[position_id]
        part = position.units if units is None else D(str(units))
        hit = reason in (DealReason.STOP_LOSS, DealReason.TAKE_PROFIT)
        order = self._new(
            position.symbol,
            position.side.opposite,
            OrderType.PROTECTION if hit else OrderType.MARKET,
            part,
            position_id=position_id,
            closing=True,
            stop_out=reason is DealReason.STOP_OUT,
            client_order_id=echo,
        )
        self._fill(order, price or self.touch(position.symbol, position.side.opposite), reason)

    def open_at_broker(self, symbol: str, side: Side, units: int) -> str:
        """A person opens a position by hand; returns its id."""
        order = self._new(symbol, side, OrderType.MARKET, D(units))
        self._fill(order, self.touch(symbol, side))
        return order.deals[0].position_id

    def place_at_broker(self, symbol: str, side: Side, units: int, limit: str) -> str:
        order = self._new(symbol, side, OrderType.LIMIT, D(units), limit_price=D(limit))
        self._say(OrderChange.ACCEPTED, order)
        return order.state.order_id

    def amend_at_broker(self, order_id: str, **changes: object) -> None:
        order = self.orders[order_id]
        order.state = replace(order.state, **changes)  # type: ignore[arg-type]
        self._say(OrderChange.REPLACED, order)

    def end_at_broker(self, order_id: str, change: OrderChange = OrderChange.CANCELED) -> None:
        status = OrderStatus.EXPIRED if change is OrderChange.EXPIRED else OrderStatus.CANCELED
        order = self.orders[order_id]
        order.state = replace(order.state, status=status)
        self._say(change, order)

    # -- orders -------------------------------------------------------------------------------------------------------

    def _new(self, symbol: str, side: Side, kind: OrderType, units: Decimal, **more: object) -> Order:
        self.now_ns += 1_000_000
        state = OrderState(
            order_id=self.next_id(5),
            symbol=symbol,
            side=side,
            type=kind,
            status=OrderStatus.ACCEPTED,
            units=units,
            created_ns=self.now_ns,
            updated_ns=self.now_ns,
            **more,  # type: ignore[arg-type]
        )
        order = self.orders[state.order_id] = Order(state)
        return order

    def take(self, request: OrderRequest) -> Order:
        """An order arrives."""
        self.requests.append(f"submit {request.client_order_id}")
        if self.reject is not None:
            code, self.reject = self.reject, None
            raise OrderRefused(code, "refused by the test")
        order = self._new(
            request.symbol,
            request.side,
            request.type,
            request.units,
            client_order_id=request.client_order_id,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            time_in_force=request.time_in_force,
            expires_ns=request.expires_ns,
            protection=request.protection,
            tag=request.tag,
            position_id=self.next_id(7) if self.mode is not PositionMode.NETTING else None,
        )
        order.request = request
        return order

    def work(self, order: Order) -> None:
        """Accept and try to fill."""
        self._say(OrderChange.ACCEPTED, order)
        state = order.state
        if state.type in (OrderType.MARKET, OrderType.MARKET_RANGE):
            shift = self.fill_shift_points * self.specs[state.symbol].point * state.side.sign
            self._fill(order, self.touch(state.symbol, state.side) + shift)
            return
        self._try_resting(order)
        if order.state.status.is_open and state.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self.end_at_broker(state.order_id)

    def _fill(self, order: Order, price: Decimal, reason: DealReason = DealReason.CLIENT) -> None:
        shares = self.fills_at or [D(1)]
        self.fills_at = []
        for share in shares:
            left = order.state.units - order.state.filled_units
            units = left if share == 1 else order.state.units * share
            self._deal(order, units, price, reason)

    def _deal(self, order: Order, units: Decimal, price: Decimal, reason: DealReason) -> None:
        self.now_ns += 1_000_000
        state = order.state
        held = self._target(state)
        closed = min(units, held.units) if held is not None and held.side is not state.side else D(0)
        position, entry, profit = self._book(state, units, price)
        commission = -(units / D(100_000) * D("3.5")).quantize(D("0.01"))
        self.balance += profit + commission
        filled = state.filled_units + units
        done = filled >= state.units
        order.state = replace(
            state,
            filled_units=filled,
            average_price=price,
            position_id=position.position_id,
            status=OrderStatus.FILLED if done else OrderStatus.PARTIALLY_FILLED,
            updated_ns=self.now_ns,
        )
        deal = Deal(
            deal_id=self.next_id(9),
            order_id=state.order_id,
            position_id=position.position_id,
            symbol=state.symbol,
            side=state.side,
            units=units,
            price=price,
            ts_ns=self.now_ns,
            entry=entry,
            commission=commission,
            gross_profit=profit,
            closed_units=closed,
            reason=reason,
            client_order_id=state.client_order_id,
            balance=self.balance,
            tag=state.tag,
        )
        order.deals.append(deal)
        self.all_deals.append(deal)
        self._say(OrderChange.FILLED if done else OrderChange.PARTIALLY_FILLED, order, deal, position)
        self.emit(AccountChanged(account=self.account(), ts_ns=self.now_ns))

    def _book(self, state: OrderState, units: Decimal, price: Decimal) -> tuple[PositionState, DealEntry, Decimal]:
        target = self._target(state)
        if target is None:
            protection = None if self.no_levels else state.protection
            if protection is not None and protection.distance:
                sign = state.side.sign
                protection = Protection(
                    stop_loss=None if protection.stop_loss is None else price - protection.stop_loss * sign,
                    take_profit=None if protection.take_profit is None else price + protection.take_profit * sign,
                    trailing=protection.trailing,
                )
            position = PositionState(
                position_id=state.position_id or self.next_id(7),
                symbol=state.symbol,
                side=state.side,
                units=units,
                open_price=price,
                opened_ns=self.now_ns,
                protection=protection,
                tag=state.tag,
                updated_ns=self.now_ns,
            )
            self.positions[position.position_id] = position
            return position, DealEntry.IN, D(0)
        if target.side is state.side:
            total = target.units + units
            average = (target.open_price * target.units + price * units) / total
            position = replace(target, units=total, open_price=average, updated_ns=self.now_ns)
            self.positions[position.position_id] = position
            return position, DealEntry.IN, D(0)
        closed = min(units, target.units)
        profit = ((price - target.open_price) * target.side.sign * closed).quantize(D("0.01"))
        rest = target.units - units
        if rest > 0:
            position = replace(target, units=rest, updated_ns=self.now_ns)
            self.positions[position.position_id] = position
        elif rest == 0:
            position = replace(target, units=D(0), updated_ns=self.now_ns)
            del self.positions[position.position_id]
        else:
            position = replace(target, side=state.side, units=-rest, open_price=price, updated_ns=self.now_ns)
            self.positions[position.position_id] = position
            return position, DealEntry.IN_OUT, profit
        return position, DealEntry.OUT, profit

    def _target(self, state: OrderState) -> PositionState | None:
        if self.mode is PositionMode.NETTING:
            return next((p for p in self.positions.values() if p.symbol == state.symbol), None)
        return self.positions.get(state.position_id or "")

    # -- telling ------------------------------------------------------------------------------------------------------

    def _say(
        self, change: OrderChange, order: Order, deal: Deal | None = None, position: PositionState | None = None
    ) -> None:
        if self.drop_events:
            self.drop_events -= 1
            return
        self.emit(OrderChanged(change=change, order=order.state, deal=deal, position=position, ts_ns=self.now_ns))

    def emit(self, *events: BrokerEvent) -> None:
        for session in self.sessions:
            session.push(events)

    def account(self) -> AccountSnapshot:
        used = sum((p.units * p.open_price / 30 for p in self.positions.values()), D(0)).quantize(D("0.01"))
        return AccountSnapshot(
            account_number="7654321",
            environment=Environment.SANDBOX,
            broker="Kit",
            currency="USD",
            money_digits=2,
            mode=self.mode,
            balance=self.balance,
            leverage=D(30),
            equity=self.balance,
            used_margin=used,
            ts_ns=self.now_ns,
        )

    def snapshot(self) -> BrokerSnapshot:
        working = tuple(o.state for o in self.orders.values() if o.state.status.is_open)
        return BrokerSnapshot(
            account=self.account(), positions=tuple(self.positions.values()), orders=working, ts_ns=self.now_ns
        )
