"""Orders of one account: requests out, answers judged, lost ones found. Fills are not here: they come as deals."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.events import BrokerEvent, Notice
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.orders import (
    AmendRequest,
    Deal,
    OrderRequest,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
    Protection,
    TimeInForce,
)
from pepperstone_adapter.broker.session import FoundOrder
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.backoff import Backoff
from pepperstone_adapter.common.errors import (
    LinkLost,
    NotFound,
    OrderRefused,
    OutcomeUnknown,
    PepperstoneError,
    RateLimited,
)
from pepperstone_adapter.common.rate_limit import Pauses
from pepperstone_adapter.mt5.client import parsing, requests
from pepperstone_adapter.mt5.client.book import SERVER_REASONS, Book
from pepperstone_adapter.mt5.client.constants import COMMENT_MAX, TIMEFRAMES, Action, Filling, OrderFlag, OrderKind
from pepperstone_adapter.mt5.client.errors import NO_PYTHON, RETCODES, trade_error
from pepperstone_adapter.mt5.client.history import Pause
from pepperstone_adapter.mt5.client.identity import key_of, magic_of
from pepperstone_adapter.mt5.gateway.calls import is_new_risk
from pepperstone_adapter.mt5.gateway.dispatch import ORDER_WAIT_MAX_S

NS: Final = 1_000_000_000
DAY_S: Final = 86_400
INVALID_FILL: Final = 10030
NEW: Final = (Action.DEAL, Action.PENDING, Action.CLOSE_BY)  # what makes an order; the others change one
DONE: Final = 10009
SELECT_PAUSES_S: Final = (0.0, 0.05, 0.1, 0.2, 0.4)
THROTTLED_TRIES: Final = 3  # of what takes no new risk
THROTTLED: Final = Backoff(initial_s=1.0, max_s=8.0, jitter=0.0)
POSITION_PAUSES_S: Final = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0)

_ORDERS: Final = "order_send"
PENDING: Final = frozenset({TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD})
CAPABILITIES: Final = Capabilities(
    time_in_force={
        OrderType.MARKET: frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),
        OrderType.LIMIT: PENDING,
        OrderType.STOP: PENDING,
        OrderType.STOP_LIMIT: PENDING,
    },
    depth=False,
    bar_periods=tuple(TIMEFRAMES),
    live_bar_periods=tuple(p for p in TIMEFRAMES if p not in (BarPeriod.W1, BarPeriod.MN1)),
    absolute_protection_on_market=True,
    amend_units=False,
    close_by=True,
    client_order_id_max=200,
    tag_max=COMMENT_MAX,
)


class Trader:
    """The order verbs of the port.

    Parameters
    ----------
    login
        The account's number. It is in every order key: a gateway may have served other accounts, and a strategy may name
        its orders itself.
    call
        One call of the terminal; see `GatewayLink.call`.
    rows
        ``symbol_info`` rows by name: filling, expiration and execution flags.
    ready
        The symbol's spec, or `LinkLost` when nothing may be sent.
    clock_known
        Returns when the server's clock is confirmed or the request only closes; else `OrderRefused`.
    emit
        Where notices go.
    clock_s, pause
        Measures waits, and waits.
    """

    def __init__(
        self,
        login: int,
        call: Callable[..., Awaitable[Any]],
        book: Book,
        rows: dict[str, Any],
        ready: Callable[[str], SymbolSpec],
        clock_known: Callable[[OrderRequest | AmendRequest], Awaitable[None]],
        emit: Callable[[Sequence[BrokerEvent]], None],
        now_ns: Callable[[], int] = time.time_ns,
        clock_s: Callable[[], float] = time.monotonic,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._login = login
        self._now_ns = now_ns
        self._clock_s = clock_s
        self._pause = pause
        self._throttled = Pauses(THROTTLED)
        self._call = call
        self._book = book
        self._rows = rows
        self._ready = ready
        self._clock_known = clock_known
        self._emit = emit
        self._filling: dict[str, Filling] = {}

    async def submit(self, request: OrderRequest) -> OrderState:
        spec = self._ready(request.symbol)
        if request.type not in CAPABILITIES.time_in_force:
            raise OrderRefused("INVALID_ORDER", f"MetaTrader has no {request.type} orders")
        await self._clock_known(request)
        self._ready(request.symbol)  # the link may have gone meanwhile
        self._book.sending(request.client_order_id, request.units)
        if request.type is OrderType.MARKET:
            ticket = self._ticket(request.position_id) if request.position_id is not None else None
            answer = await self._send_market(request, spec, ticket)
            self._emit(self._book.accepted(_accepted(request, answer, self._now_ns())))
            if answer["retcode"] != DONE:  # partly done: what became of the rest; placed: what became of it
                self._book.lookups.add(int(answer["order"]))
            await self._exact_levels(request, spec, answer)
        else:
            flags = int(self._rows[request.symbol]["expiration_mode"])
            trade = requests.pending(request, spec, self._book.clock, flags)
            answer = await self._send(trade, self._key(request.client_order_id), request.symbol)
            await self._read_back(answer["order"])
            self._emit(self._book.accepted(_accepted(request, answer, self._now_ns())))
        return _accepted(request, answer, self._now_ns())

    async def _read_back(self, ticket: int) -> OrderState | None:
        """Take a working order as known, so that the next change of it is told as a change."""
        lists = self._book.lists
        try:
            rows = await self._call("orders_get", {"ticket": int(ticket)})
        except PepperstoneError:
            return None  # the next poll shows it
        self._emit(self._book.read_back(int(ticket), rows, lists, self._now_ns()))
        return self._book.order_state(rows[0]) if rows else None

    async def _exact_levels(self, request: OrderRequest, spec: SymbolSpec, answer: Any) -> None:
        """Levels given as distances went out from the price seen before; move them when the fill was another.

        Nothing here may fail the order: it is at the broker already.
        """
        wish = request.protection
        if wish is None or not wish.distance or request.position_id is not None:
            return
        try:
            position = await self._position_of(int(answer["order"]), request.symbol)
            filled = Decimal(repr(answer["price"])) if answer["price"] else position.open_price
            exact = requests.absolute(wish, request.side, filled.quantize(spec.point))
            if position.protection != exact:
                await self._send(requests.set_levels(position, exact), _once("levels"), request.symbol)
        except PepperstoneError as error:
            text = f"the levels of order {answer['order']} may be off by the slippage of its fill: {error}"
            self._emit([Notice(level="warning", text=text, ts_ns=self._now_ns())])

    async def _position_of(self, order: int, symbol: str) -> PositionState:
        """The position an order opened; the terminal may show it a moment after its answer."""
        for pause_s in POSITION_PAUSES_S:
            await asyncio.sleep(pause_s)
            for row in await self._call("positions_get", {"symbol": symbol}):
                position = self._book.position(row) if order in (row["ticket"], row["identifier"]) else None
                if position is not None:
                    return position
        raise NotFound("POSITION", f"the terminal shows no position of its own for order {order}")

    async def close_position(
        self, position_id: str, units: Decimal, client_order_id: str, time_in_force: TimeInForce = TimeInForce.GTC
    ) -> OrderState:
        position = await self._held(position_id)
        return await self.submit(
            OrderRequest(
                client_order_id=client_order_id,
                symbol=position.symbol,
                side=position.side.opposite,
                type=OrderType.MARKET,
                units=units,
                time_in_force=time_in_force,
                position_id=position_id,
            )
        )

    async def close_by(self, position_id: str, other_id: str, client_order_id: str) -> OrderState:
        one, other = await self._held(position_id), await self._held(other_id)
        spec = self._ready(one.symbol)
        if other.symbol != one.symbol or other.side is one.side:
            raise OrderRefused("INVALID", f"{position_id} and {other_id} are not opposite positions of one symbol")
        if not self._rows[one.symbol]["order_mode"] & OrderFlag.CLOSE_BY:
            raise OrderRefused("INVALID_ORDER", f"{spec.name} takes no close-by; close each with an order of its own")
        request = OrderRequest(
            client_order_id=client_order_id,
            symbol=one.symbol,
            side=one.side.opposite,
            type=OrderType.MARKET,
            units=min(one.units, other.units),
            position_id=position_id,
        )
        self._book.sending(client_order_id, request.units, half=position_id)
        trade = requests.close_by(one, other, client_order_id)
        answer = await self._send(trade, self._key(client_order_id), one.symbol)
        half = parsing.half_id(answer["order"], int(position_id))
        state = replace(_accepted(request, answer, self._now_ns()), order_id=half)
        self._emit(self._book.accepted(state))
        return state

    async def _held(self, position_id: str) -> PositionState:
        """An open position; its deal may have been told a moment before the terminal shows it."""
        for pause_s in POSITION_PAUSES_S:
            position = self._book.positions.get(position_id)
            if position is not None:
                return position
            if not self._book.dealt(position_id):
                break
            await self._pause(pause_s)
        raise NotFound("POSITION_CLOSED", f"no open position {position_id}")

    async def _send_market(self, request: OrderRequest, spec: SymbolSpec, ticket: str | None) -> Any:
        row = self._rows[request.symbol]
        choices = requests.filling_order(row["filling_mode"], row["trade_exemode"], request.time_in_force)
        known = self._filling.get(request.symbol)
        if known is not None and request.time_in_force is TimeInForce.GTC:
            choices = (known, *(mode for mode in choices if mode is not known))
        asked_s = time.monotonic()
        tick = await self._tick(request.symbol)
        waited_s = time.monotonic() - asked_s
        if waited_s > ORDER_WAIT_MAX_S and ticket is None:
            raise LinkLost(f"the terminal was busy for {waited_s:.1f} s; nothing was sent")
        price = requests.price_of(tick, request.side)
        if request.protection is not None and request.protection.distance:
            seen = Decimal(repr(price)).quantize(spec.point)
            request = replace(request, protection=requests.absolute(request.protection, request.side, seen))
        for attempt, filling in enumerate(choices):
            trade = requests.market(request, spec, filling, price, ticket)
            key = self._key(f"{request.client_order_id}/{attempt}" if attempt else request.client_order_id)
            try:
                answer = await self._send(trade, key, request.symbol)
            except OrderRefused as error:
                # Refused for its filling mode, before any execution: the next mode cannot double the order.
                if error.code != RETCODES[INVALID_FILL].name or attempt == len(choices) - 1:
                    raise
                continue
            if request.time_in_force is TimeInForce.GTC:
                self._filling[request.symbol] = filling
            return answer
        raise OrderRefused("INVALID_FILL", f"{request.symbol} takes no filling mode")

    async def _tick(self, symbol: str) -> Any:
        """The newest tick; puts the symbol into the Market Watch first, where the terminal wants that."""
        for pause_s in SELECT_PAUSES_S:
            try:
                tick = await self._call("symbol_info_tick", symbol)
            except NotFound:
                tick = None
            if tick is not None and tick["bid"] and tick["ask"]:
                return tick
            await self._call("symbol_select", symbol, True)
            await asyncio.sleep(pause_s)
        raise OrderRefused("PRICE_OFF", f"the terminal has no price of {symbol} (market closed?); nothing was sent")

    async def amend(self, request: AmendRequest) -> OrderState:
        self._ready(request.symbol)
        await self._clock_known(request)
        self._ready(request.symbol)
        row = await self._working_row(request.order_id)
        current = self._book.order_state(row)
        if current is None:
            raise NotFound("ORDER", f"no working order {request.order_id}")
        flags = int(self._rows[request.symbol]["expiration_mode"])
        trade = requests.modify(request, current, row["magic"], self._book.clock, flags)
        await self._send(trade, _once("modify"), request.symbol)
        # It is changed now: a failed look at it must not deny that, and an order filled meanwhile is told by its deals.
        return await self._read_back(int(request.order_id)) or _amended(current, request, self._now_ns())

    async def cancel(self, order_id: str, symbol: str) -> None:
        self._ready(symbol)
        try:
            await self._send(requests.remove(order_id), _once("remove"), symbol)
        except OrderRefused:
            await self._working_row(order_id)  # NotFound when there is no such order: that is the reason then
            raise

    async def set_protection(self, position_id: str, protection: Protection) -> None:
        position = await self._held(position_id)
        self._ready(position.symbol)
        await self._send(requests.set_levels(position, protection), _once("levels"), position.symbol)

    def _key(self, client_order_id: str) -> str:
        return key_of(f"{self._login}/{client_order_id}")

    async def _send(self, trade: requests.TradeRequest, key: str, symbol: str) -> Any:
        """One trade request.

        10024 (too many requests) is a definite no and begins a pause. In it orders for new risk are refused here; what
        closes, changes or removes waits for its end, and goes again when the refusal was its own.
        """
        fresh = is_new_risk(trade)
        for attempt in range(1 if fresh else THROTTLED_TRIES):
            wait_s = max(0.0, self._throttled.ready_s(_ORDERS, self._clock_s()) - self._clock_s())
            if wait_s:
                if fresh:
                    text = f"the broker refuses too many requests; nothing was sent; send again in {wait_s:.1f} s"
                    raise RateLimited("TOO_MANY_REQUESTS", text, wait_s)
                await self._pause(wait_s)
                self._ready(symbol)  # the link may have gone meanwhile
            try:
                answer = await self._send_once(trade, key_of(f"{key}/again/{attempt}") if attempt else key)
            except RateLimited as error:
                self._throttled.refuse(_ORDERS, error.retry_after_s, self._clock_s())
                refused = error
            else:
                self._throttled.succeed(_ORDERS)
                return answer
        raise refused

    async def _send_once(self, trade: requests.TradeRequest, key: str) -> Any:
        try:
            answer = await self._call("order_send", trade, key=key)
        except OrderRefused as error:
            if error.code == NO_PYTHON:
                self._halt(str(error))
            raise
        refused = trade_error(answer["retcode"], answer["comment"], new=trade["action"] in NEW)
        if refused is not None:
            known = RETCODES.get(answer["retcode"])
            if known is not None and known.halt:
                self._halt(known.text)
            raise refused
        if trade["action"] in NEW and not answer["order"]:
            raise OutcomeUnknown(f"{answer['retcode']}: taken without the order's ticket; the broker's lists decide")
        return answer

    def _halt(self, reason: str) -> None:
        self._emit([Notice(level="error", text=f"orders are refused: {reason}", ts_ns=self._now_ns(), halt=True)])

    def _ticket(self, position_id: str) -> str:
        position = self._book.positions.get(position_id)
        # A position that was opened a moment ago is known by its identifier before the first snapshot shows it.
        return position.ticket if position is not None else position_id

    async def _working_row(self, order_id: str) -> Any:
        rows = await self._call("orders_get", {"ticket": parsing.ticket_of(order_id)})
        if not rows:
            raise NotFound("ORDER", f"no working order {order_id}")
        return rows[0]

    async def find(self, client_order_id: str | None, order_id: str | None, since_ns: int) -> FoundOrder | None:
        ticket = parsing.ticket_of(order_id) if order_id is not None else None
        if ticket is None and client_order_id is not None:
            ticket = await self._find_ticket(client_order_id, since_ns)
        if ticket is None:
            return None
        rows = await self._call("orders_get", {"ticket": ticket}) or await self._call(
            "history_orders_get", {"ticket": ticket}
        )
        deals = [d for row in await self._call("history_deals_get", {"ticket": ticket}) if (d := self._book.deal(row))]
        state = self._book.order_state(rows[0]) if rows else None
        if state is None:
            if deals:
                raise OutcomeUnknown(f"order {ticket} has deals and is not in the history yet; ask again")
            return None
        if rows[0]["type"] == OrderKind.CLOSE_BY:
            return _half(state, deals, order_id)
        return FoundOrder(order=state, deals=tuple(deals))

    async def _find_ticket(self, client_order_id: str, since_ns: int) -> int | None:
        """By the gateway's kept answer, else by magic number in working orders, ended orders, deals: all of them. An answer
        to what was sent before `since_ns` (and a day, clocks differ) is that of an older order of the same name."""
        now_s = self._now_ns() // NS
        since_s = max(0, since_ns // NS - DAY_S) if since_ns else now_s - 7 * DAY_S
        kept = await self._call("order_key", self._key(client_order_id))
        older = since_ns and kept.get("sent_ns", since_ns) < since_s * NS
        if kept["state"] == "answered" and not older and (data := kept["answer"]["data"]) and data["order"]:
            return int(data["order"])
        magic = magic_of(client_order_id)
        window = (since_s, now_s + 2 * DAY_S)
        for fn, args, name in (
            ("orders_get", (), "ticket"),
            ("history_orders_get", window, "ticket"),
            ("history_deals_get", window, "order"),
        ):
            for row in await self._call(fn, *args):
                # A level's order may carry the magic number of the position it ended.
                if row["magic"] == magic and row["reason"] not in SERVER_REASONS:
                    return int(row[name])
        return None


def _accepted(request: OrderRequest, answer: Any, now_ns: int) -> OrderState:
    """What the server said yes to; fills follow as deals."""
    return OrderState(
        order_id=str(answer["order"]),
        symbol=request.symbol,
        side=request.side,
        type=request.type,
        status=OrderStatus.ACCEPTED,
        units=request.units,
        client_order_id=request.client_order_id,
        position_id=request.position_id,
        time_in_force=request.time_in_force,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        expires_ns=request.expires_ns,
        protection=request.protection,
        closing=request.position_id is not None,
        tag=request.tag,
        created_ns=now_ns,
        updated_ns=now_ns,
    )


def _half(order: OrderState, deals: Sequence[Deal], order_id: str | None) -> FoundOrder | None:
    """One half of a close-by: the one that was asked for, else the order's own."""
    wanted = order_id if order_id is not None and "/" in order_id else order.order_id
    mine = next((deal for deal in deals if deal.order_id == wanted), None)
    if mine is None:
        if order.status is OrderStatus.FILLED and not deals:
            raise OutcomeUnknown(f"the deals of close-by {wanted} are not in the history yet; ask again")
        return FoundOrder(order=order, deals=()) if wanted == order.order_id else None
    half = replace(
        order,
        order_id=wanted,
        side=mine.side,
        position_id=mine.position_id,
        units=mine.units,
        filled_units=mine.units,
        client_order_id=order.client_order_id if wanted == order.order_id else None,
    )
    return FoundOrder(order=half, deals=(mine,))


def _amended(order: OrderState, change: AmendRequest, now_ns: int) -> OrderState:
    """A working order after the server said yes to `change`."""
    wanted = {name: getattr(change, name) for name in ("limit_price", "stop_price", "expires_ns", "protection")}
    given = {name: value for name, value in wanted.items() if value is not None}
    return replace(order, **given, updated_ns=now_ns)


def _once(verb: str) -> str:
    """A key for a request that may be repeated by its caller: changing or removing twice is harmless."""
    return key_of(f"{verb}/{secrets.token_hex(16)}")
