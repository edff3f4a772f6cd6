"""`order_send` and `order_check`: a checked request becomes one verb of the ledger."""

import math
from decimal import Decimal
from typing import Any, Final

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import OrderType, Side, TimeInForce
from pepperstone_adapter.sandbox.ledger import NewOrder, Order, Protect, Refused
from pepperstone_adapter.sandbox.ledger.rollover import next_rollover_ns
from pepperstone_adapter.sandbox.mt5_terminal import checks, wall_clock
from pepperstone_adapter.sandbox.mt5_terminal.checks import REFUSALS, TEXTS, Trade
from pepperstone_adapter.sandbox.mt5_terminal.reads import funds
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Answer, Terminal

API_DISABLED: Final = (-8, "Auto-Trading using Python API disabled in Terminal")
PLACED, DONE, DONE_PARTIAL, REJECT = 10008, 10009, 10010, 10006
ACCEPTED: Final = (PLACED, DONE, DONE_PARTIAL)
ORDER: Final = 2  # where an answer has the order's ticket
RETURN, EXCHANGE = 2, 3
NS: Final = 1_000_000_000
_TYPES: Final = {2: OrderType.LIMIT, 4: OrderType.STOP, 6: OrderType.STOP_LIMIT}
_FILLING: Final = {0: TimeInForce.FOK, 1: TimeInForce.IOC, RETURN: TimeInForce.GTC}


def order_send(terminal: Terminal, values: list[Any]) -> Answer:
    if terminal.tradeapi_disabled:
        return Answer(None, error=API_DISABLED)
    code = _throttled(terminal)
    trade = checks.read(terminal, values)
    code = code or _nan(trade) or checks.retcode(terminal, trade)
    if code:
        return result(terminal, trade, code)
    try:
        return _ACTIONS[trade["action"]](terminal, trade)
    except Refused as refused:
        return result(terminal, trade, REFUSALS.get(refused.reason, REJECT))


def order_check(terminal: Terminal, values: list[Any]) -> Answer:
    """The same checks without the deed; 0 is yes here."""
    trade = checks.read(terminal, values)
    code = _nan(trade) or checks.retcode(terminal, trade)
    money = funds(terminal)
    margin = Decimal(0)
    if not code and trade["action"] == checks.DEAL and not trade["position"]:
        units = trade.number("volume") * terminal.spec(trade.symbol).contract_size
        try:
            buy, sell = terminal.ledger.expected_margin(terminal.login, trade.symbol, units)
            margin = buy if trade.side is Side.BUY else sell
        except Refused as refused:
            code = REFUSALS.get(refused.reason, REJECT)
        if not code and float(margin) > money["margin_free"]:
            code = 10019
    used = money["margin"] + float(margin)
    level = round(money["equity"] / used * 100, 2) if used else 0.0
    text = "Done" if not code else TEXTS[code]
    return Answer([code, money["balance"], money["equity"], money["profit"], used, money["equity"] - used, level, text])


def result(terminal: Terminal, trade: Trade, code: int, order: Order | None = None, text: str = "") -> Answer:
    """An answer of `order_send`, without the echo that the module adds."""
    prices = terminal.prices.get(trade.symbol)
    bid, ask = (prices.bid, prices.ask) if prices else (0.0, 0.0)
    deal, volume, price = 0, 0.0, 0.0
    ticket = order.order_id if order is not None else 0
    if order is not None and order.filled_units:
        volume = float(order.filled_units / terminal.spec(order.symbol).contract_size)
        price = float(order.average_price or 0)
        if terminal.settings.deal_in_answer and not terminal.settings.deal_lag_ms:
            deals = terminal.ledger.accounts[terminal.login].deals
            deal = next((d.deal_id for d in reversed(deals) if d.order_id == ticket), 0)
    elif code in (DONE, PLACED):
        volume = float(trade["volume"])
    number = terminal.next_request_id
    terminal.next_request_id += 1
    return Answer([code, deal, ticket, volume, price, bid, ask, text or TEXTS.get(code, ""), number, 0])


def _throttled(terminal: Terminal) -> int:
    most = terminal.settings.requests_per_s
    if not most:
        return 0
    now_ns = terminal.clock.now_ns()
    while terminal.sent_ns and terminal.sent_ns[0] <= now_ns - NS:
        terminal.sent_ns.popleft()
    if len(terminal.sent_ns) >= most:
        return 10024
    terminal.sent_ns.append(now_ns)
    return 0


def _nan(trade: Trade) -> int:
    """NaN passes the module's own checks; the server refuses it."""
    if math.isnan(trade["volume"]):
        return 10014
    if any(math.isnan(trade[name]) for name in ("price", "stoplimit")):
        return 10015
    return 10016 if any(math.isnan(trade[name]) for name in ("sl", "tp")) else 0


def _protect(trade: Trade, digits: int) -> Protect | None:
    stop, target = trade.price("sl", digits), trade.price("tp", digits)
    return Protect(stop_loss=stop, take_profit=target) if stop is not None or target is not None else None


def _comment(terminal: Terminal, trade: Trade) -> str:
    own = terminal.settings.overwrite_comment
    return own if own is not None else str(trade["comment"])


def _deal(terminal: Terminal, trade: Trade) -> Answer:
    spec = terminal.spec(trade.symbol)
    position = trade.position
    hedging = terminal.account.mode is not PositionMode.NETTING
    request = NewOrder(
        symbol=trade.symbol,
        side=trade.side,
        type=OrderType.MARKET,
        units=trade.number("volume") * spec.contract_size,
        time_in_force=_FILLING[trade["type_filling"]],
        protect=_protect(trade, spec.digits),
        position_id=position.position_id if hedging and position is not None else 0,
        comment=_comment(terminal, trade),
        magic=trade["magic"],
        origin="expert",
        rest_works=trade["type_filling"] == RETURN and terminal.rules[trade.symbol].execution == EXCHANGE,
    )
    order = terminal.ledger.submit(terminal.login, request, terminal.now_ns())
    terminal.filling[order.order_id] = trade["type_filling"]
    if not order.filled_units:
        return result(terminal, trade, PLACED if order.status.is_open else REJECT, order)
    return result(terminal, trade, DONE if order.filled_units >= order.units else DONE_PARTIAL, order)


def _pending(terminal: Terminal, trade: Trade) -> Answer:
    spec = terminal.spec(trade.symbol)
    kind = _TYPES[trade["type"] // 2 * 2]
    first, then = trade.price("price", spec.digits), trade.price("stoplimit", spec.digits)
    expires_ns, lifetime = _expiry(trade)
    request = NewOrder(
        symbol=trade.symbol,
        side=trade.side,
        type=kind,
        units=trade.number("volume") * spec.contract_size,
        limit_price=first if kind is OrderType.LIMIT else then,
        stop_price=None if kind is OrderType.LIMIT else first,
        time_in_force=lifetime,
        expires_ns=expires_ns,
        protect=_protect(trade, spec.digits),
        comment=_comment(terminal, trade),
        magic=trade["magic"],
        origin="expert",
    )
    order = terminal.ledger.submit(terminal.login, request, terminal.now_ns())
    terminal.filling[order.order_id] = trade["type_filling"]
    return result(terminal, trade, DONE, order)


def _expiry(trade: Trade) -> tuple[int | None, TimeInForce]:
    match trade["type_time"]:
        case 0:
            return None, TimeInForce.GTC
        case 1:
            return None, TimeInForce.DAY
        case 2:
            return wall_clock.utc_ns(trade["expiration"]), TimeInForce.GTD
        case _:
            # To the end of the server's day the moment falls in.
            return next_rollover_ns(wall_clock.utc_ns(trade["expiration"])), TimeInForce.GTD


def _modify(terminal: Terminal, trade: Trade) -> Answer:
    """Everything is set to what the request says: a level left out is gone, an expiry left out is good till canceled."""
    order = trade.order
    assert order is not None
    digits = terminal.spec(trade.symbol).digits
    first, then = trade.price("price", digits), trade.price("stoplimit", digits)
    expires_ns, lifetime = _expiry(trade)
    if lifetime is TimeInForce.DAY:
        expires_ns = next_rollover_ns(terminal.now_ns())
    terminal.ledger.amend(
        terminal.login,
        order.order_id,
        terminal.now_ns(),
        limit_price=first if order.type is OrderType.LIMIT else then,
        stop_price=None if order.type is OrderType.LIMIT else first,
        expires_ns=expires_ns,
        protect=_protect(trade, digits) or Protect(),
    )
    order.time_in_force = lifetime
    if lifetime is TimeInForce.GTC:
        order.expires_ns = None  # the timer finds nothing to expire
    return result(terminal, trade, DONE, order)


def _remove(terminal: Terminal, trade: Trade) -> Answer:
    assert trade.order is not None
    order = terminal.ledger.cancel(terminal.login, trade.order.order_id, terminal.now_ns())
    return result(terminal, trade, DONE, order)


def _levels(terminal: Terminal, trade: Trade) -> Answer:
    assert trade.position is not None
    digits = terminal.spec(trade.symbol).digits
    wish = _protect(trade, digits) or Protect()
    terminal.ledger.protect(terminal.login, trade.position.position_id, wish, terminal.now_ns())
    return result(terminal, trade, DONE)


def _close_by(terminal: Terminal, trade: Trade) -> Answer:
    other = terminal.position_of(trade["position_by"])
    assert trade.position is not None
    assert other is not None
    order = terminal.ledger.close_by(
        terminal.login,
        trade.position.position_id,
        other.position_id,
        terminal.now_ns(),
        comment=_comment(terminal, trade),
        magic=trade["magic"],
        origin="expert",
    )
    return result(terminal, trade, DONE, order)


_ACTIONS: Final = {
    checks.DEAL: _deal,
    checks.PENDING: _pending,
    checks.SLTP: _levels,
    checks.MODIFY: _modify,
    checks.REMOVE: _remove,
    checks.CLOSE_BY: _close_by,
}
