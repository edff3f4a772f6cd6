"""Why a trade request is refused, in the trade server's order: connection, switches, trading mode, session, volume,
filling, kind, price, stops, expiration, freeze, position, limits; money and the rate of requests come last.

A return code of 0 means that the request may go on. Prices are compared in whole points.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.sandbox.ledger import Order, Position, Refusal
from pepperstone_adapter.sandbox.mt5_terminal import wall_clock
from pepperstone_adapter.sandbox.mt5_terminal.structs import FIELDS
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal

DEAL, PENDING, SLTP, MODIFY, REMOVE, CLOSE_BY = 1, 5, 6, 7, 8, 10
NS: Final = 1_000_000_000

TEXTS: Final = {
    10004: "Requote", 10006: "Request rejected", 10007: "Request canceled by trader", 10008: "Order placed",
    10009: "Request executed", 10010: "Request executed partially", 10011: "Request processing error",
    10012: "Request timed out", 10013: "Invalid request", 10014: "Invalid volume", 10015: "Invalid price",
    10016: "Invalid stops", 10017: "Trade disabled", 10018: "Market closed", 10019: "No money",
    10020: "Price changed", 10021: "No prices", 10022: "Invalid expiration", 10023: "Order state changed",
    10024: "Too many requests", 10025: "No changes", 10026: "AutoTrading disabled by server",
    10027: "AutoTrading disabled by client", 10028: "Request locked", 10029: "Order or position frozen",
    10030: "Unsupported filling mode", 10031: "No connection", 10032: "Only real accounts allowed",
    10033: "Limit of pending orders reached", 10034: "Limit of volume reached", 10035: "Invalid order",
    10036: "Position doesn't exist", 10038: "Invalid close volume", 10039: "Close order exists",
    10040: "Limit of positions reached", 10042: "Long only", 10043: "Short only", 10044: "Close only",
    10045: "FIFO close",
}  # fmt: skip

#: The ledger's own refusals, should one come through the checks above it.
REFUSALS: Final = {
    Refusal.BAD_VOLUME: 10014, Refusal.BAD_PRICE: 10015, Refusal.BAD_STOPS: 10016, Refusal.TOO_CLOSE: 10016,
    Refusal.BAD_EXPIRY: 10022, Refusal.MARKET_CLOSED: 10018, Refusal.HOLIDAY: 10018, Refusal.NO_QUOTES: 10021,
    Refusal.NO_MONEY: 10019, Refusal.MAX_EXPOSURE: 10034, Refusal.TOO_MANY_POSITIONS: 10040,
    Refusal.TRADING_DISABLED: 10017, Refusal.CLOSE_ONLY: 10044, Refusal.SHORT_NOT_ALLOWED: 10042,
    Refusal.UNKNOWN_POSITION: 10036, Refusal.NOTHING_TO_AMEND: 10025, Refusal.CANNOT_AMEND: 10029,
    Refusal.CANNOT_CANCEL: 10029,
}  # fmt: skip


@dataclass(slots=True)
class Trade:
    """A trade request with what it is about. `symbol` is the broker's own name, "" when there is none such."""

    values: dict[str, Any]
    symbol: str
    order: Order | None
    position: Position | None

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def number(self, name: str) -> Decimal:
        return Decimal(repr(self.values[name]))

    @property
    def side(self) -> Side:
        return Side.BUY if self.values["type"] % 2 == 0 else Side.SELL

    def price(self, name: str, digits: int) -> Decimal | None:
        """A level of the request; 0 means none."""
        value = self.values[name]
        return round(Decimal(repr(value)), digits) if value else None


def read(terminal: Terminal, values: list[Any]) -> Trade:
    named = {name: value for (name, _), value in zip(FIELDS["TradeRequest"], values, strict=True)}
    order = terminal.ledger.accounts[terminal.login].working.get(named["order"])
    position = terminal.position_of(named["position"]) if named["position"] else None
    symbol = terminal.symbol(named["symbol"]) or ""
    if not symbol:
        symbol = order.symbol if order else position.symbol if position else ""
    return Trade(named, symbol, order, position)


def retcode(terminal: Terminal, trade: Trade) -> int:
    """The first reason to refuse, or 0."""
    if not terminal.connected:
        return 10031
    if not terminal.trade_allowed:
        return 10027
    if not terminal.expert_allowed:
        return 10026
    if not terminal.account_may_trade:
        return 10017
    action = trade["action"]
    if action not in (DEAL, PENDING, SLTP, MODIFY, REMOVE, CLOSE_BY) or (not trade.symbol and action != REMOVE):
        return 10036 if action in (SLTP, CLOSE_BY) and trade["position"] else 10013
    if action == REMOVE and trade.order is None:
        return 10013
    steps = (_mode, _session, _volume, _filling, _kind, _price, _stops, _expiration, _frozen, _position, _limits)
    for step in steps:
        code = step(terminal, trade)
        if code:
            return code
    return 0


def _opens(terminal: Terminal, trade: Trade) -> bool:
    if trade["action"] == PENDING:
        return True
    if trade["action"] != DEAL:
        return False
    if terminal.account.mode is PositionMode.NETTING:
        held = _netted(terminal, trade)
        return held is None or held.side is trade.side or trade.number("volume") > _lots(terminal, held)
    return not trade["position"]


def _netted(terminal: Terminal, trade: Trade) -> Position | None:
    held = terminal.ledger.accounts[terminal.login].positions.values()
    return next((p for p in held if p.symbol == trade.symbol), None)


def _lots(terminal: Terminal, position: Position) -> Decimal:
    return position.units / terminal.spec(position.symbol).contract_size


def _mode(terminal: Terminal, trade: Trade) -> int:
    mode = terminal.rules[trade.symbol].trade_mode
    if mode == 0:
        return 10017
    if not _opens(terminal, trade):
        return 0
    if mode == 3:
        return 10044
    if mode == 1 and trade.side is Side.SELL:
        return 10042
    return 10043 if mode == 2 and trade.side is Side.BUY else 0


def _session(terminal: Terminal, trade: Trade) -> int:
    is_open = terminal.spec(trade.symbol).hours.is_open(terminal.now_ns())
    return 0 if is_open or trade["action"] == REMOVE else 10018


def _volume(terminal: Terminal, trade: Trade) -> int:
    if trade["action"] not in (DEAL, PENDING):
        return 0
    spec = terminal.spec(trade.symbol)
    if not trade["volume"] > 0 or trade["volume"] == float("inf"):
        return 10014
    units = trade.number("volume") * spec.contract_size
    if not spec.volume_min <= units <= spec.volume_max or units % spec.volume_step:
        return 10014
    limit = Decimal(repr(terminal.rules[trade.symbol].volume_limit_lots))
    if not limit or not _opens(terminal, trade):
        return 0
    account = terminal.ledger.accounts[terminal.login]
    held = [p.units for p in account.positions.values() if p.symbol == trade.symbol and p.side is trade.side]
    held += [o.left_units for o in account.working.values() if o.symbol == trade.symbol and o.side is trade.side]
    return 10034 if sum(held, units) > limit * spec.contract_size else 0


def _filling(terminal: Terminal, trade: Trade) -> int:
    """FOK and IOC need their flag with market and exchange execution; RETURN of a market order is the exchange's."""
    mode, rule = trade["type_filling"], terminal.rules[trade.symbol]
    if trade["action"] == PENDING:
        return 0 if mode == 2 or (mode == 3 and rule.filling & 4) or (mode < 2 and rule.filling & (mode + 1)) else 10030
    if trade["action"] != DEAL or (rule.execution < 2 and mode < 3):
        return 0
    if mode == 2:
        return 0 if rule.execution == 3 or not rule.filling & 3 else 10030
    return 0 if mode < 2 and rule.filling & (mode + 1) else 10030


def _kind(terminal: Terminal, trade: Trade) -> int:
    kind, mode = trade["type"], terminal.rules[trade.symbol].order_mode
    match trade["action"]:
        case 1:
            if kind not in (0, 1) or not mode & 1:
                return 10035
        case 5:
            if not 2 <= kind <= 7 or not mode & {2: 2, 3: 2, 4: 4, 5: 4, 6: 8, 7: 8}[kind]:
                return 10035
        case 7:
            if trade.order is None or trade.order.rest_works:  # nothing of a market order can be changed
                return 10013
        case 10:
            if not mode & 64:
                return 10035
    if trade["action"] in (DEAL, PENDING, SLTP, MODIFY) and (
        (trade["sl"] and not mode & 16) or (trade["tp"] and not mode & 32)
    ):
        return 10035
    return 0


def _price(terminal: Terminal, trade: Trade) -> int:
    prices, rule = terminal.prices[trade.symbol], terminal.rules[trade.symbol]
    action = trade["action"]
    if action in (SLTP, REMOVE, CLOSE_BY):
        return 0
    if not prices.bid or not prices.ask:
        return 10021
    price = trade["price"]
    if not price >= 0 or price == float("inf"):
        return 10015
    if action == DEAL:
        if terminal.requote:
            terminal.requote -= 1
            return 10004
        if rule.execution >= 2:
            return 0
        market = prices.ask if trade.side is Side.BUY else prices.bid
        point = 10.0 ** -terminal.spec(trade.symbol).digits
        if not price:
            return 10015
        return 10004 if abs(price - market) > (trade["deviation"] + 0.5) * point else 0
    kind = _pending_kind(trade)
    side = Side.BUY if kind % 2 == 0 else Side.SELL
    digits = terminal.spec(trade.symbol).digits
    first, then = trade.price("price", digits), trade.price("stoplimit", digits)
    if first is None or first != Decimal(repr(price)):
        return 10015
    market_price = Decimal(repr(prices.ask if side is Side.BUY else prices.bid))
    distance = (first - round(market_price, digits)) * side.sign
    least = rule.stops_level * terminal.spec(trade.symbol).point
    away = -distance if kind in (2, 3) else distance
    if away < least or away == 0:
        return 10015
    if kind in (6, 7):
        return 10015 if then is None or (then - first) * side.sign > 0 else 0
    return 0


def _pending_kind(trade: Trade) -> int:
    if trade["action"] == PENDING:
        return int(trade["type"])
    order = trade.order
    assert order is not None
    base = {"limit": 2, "stop": 4, "stop_limit": 6}[order.type.value]
    return base + (0 if order.side is Side.BUY else 1)


def _stops(terminal: Terminal, trade: Trade) -> int:
    action = trade["action"]
    if action in (REMOVE, CLOSE_BY):
        return 0
    if action == SLTP and trade.position is None:
        return 10036
    spec, prices = terminal.spec(trade.symbol), terminal.prices[trade.symbol]
    if action == SLTP and trade.position is not None:
        side = trade.position.side
    elif action == MODIFY and trade.order is not None:
        side = trade.order.side
    else:
        side = trade.side
    if action in (PENDING, MODIFY):
        reference = trade.price("stoplimit", spec.digits) or trade.price("price", spec.digits)
    else:
        reference = round(Decimal(repr(prices.bid if side is Side.BUY else prices.ask)), spec.digits)
    assert reference is not None
    least = terminal.rules[trade.symbol].stops_level * spec.point
    for name, ahead in (("sl", -1), ("tp", 1)):
        level = trade.price(name, spec.digits)
        if level is None:
            continue
        distance = (level - reference) * side.sign * ahead
        if distance <= 0 or distance < least:
            return 10016
    return 0


def _expiration(terminal: Terminal, trade: Trade) -> int:
    if trade["action"] not in (PENDING, MODIFY):
        return 0
    lifetime = trade["type_time"]
    if lifetime > 3 or not terminal.rules[trade.symbol].expiration & (1 << lifetime):
        return 10022
    if lifetime < 2:
        return 0
    return 0 if trade["expiration"] > wall_clock.server_s(terminal.now_ns()) else 10022


def _frozen(terminal: Terminal, trade: Trade) -> int:
    """Nothing near the market may be touched: a pending order's price, a position's levels."""
    level = terminal.rules[trade.symbol].freeze_level
    if not level:
        return 0
    spec, prices = terminal.spec(trade.symbol), terminal.prices[trade.symbol]
    watched: list[tuple[Decimal | None, Side]] = []
    if trade["action"] in (MODIFY, REMOVE) and trade.order is not None:
        order = trade.order
        watched = [(order.limit_price if order.type.value == "limit" else order.stop_price, order.side)]
    elif trade["action"] in (SLTP, DEAL) and trade.position is not None:
        closing = trade.position.side.opposite
        watched = [(trade.position.stop_loss, closing), (trade.position.take_profit, closing)]
    for price, side in watched:
        market = Decimal(repr(prices.ask if side is Side.BUY else prices.bid))
        if price is not None and abs(price - market) <= level * spec.point:
            return 10029
    return 0


def _position(terminal: Terminal, trade: Trade) -> int:
    action, position = trade["action"], trade.position
    if action == CLOSE_BY:
        other = terminal.position_of(trade["position_by"])
        if position is None or other is None:
            return 10036
        return 10013 if other.symbol != position.symbol or other.side is position.side else 0
    if action == SLTP and position is not None:
        digits = terminal.spec(trade.symbol).digits
        same = (position.stop_loss, position.take_profit) == (trade.price("sl", digits), trade.price("tp", digits))
        return 10025 if same else 0
    if action == MODIFY and trade.order is not None:
        return 10025 if _same_order(terminal, trade, trade.order) else 0
    if action != DEAL or not trade["position"]:
        return 0
    if position is None:
        return 10036
    if position.symbol != trade.symbol or position.side is trade.side:
        return 10013
    netting = terminal.account.mode is PositionMode.NETTING
    return 10038 if not netting and trade.number("volume") > _lots(terminal, position) else 0


def _same_order(terminal: Terminal, trade: Trade, order: Order) -> bool:
    digits = terminal.spec(trade.symbol).digits
    first = order.limit_price if order.type.value == "limit" else order.stop_price
    levels = (order.protect.stop_loss, order.protect.take_profit) if order.protect else (None, None)
    expires = wall_clock.server_s(order.expires_ns) if order.expires_ns else 0
    then = order.limit_price if order.type.value == "stop_limit" else None
    return (first, then, *levels, expires) == (
        trade.price("price", digits),
        trade.price("stoplimit", digits),
        trade.price("sl", digits),
        trade.price("tp", digits),
        trade["expiration"],
    )


def _limits(terminal: Terminal, trade: Trade) -> int:
    account = terminal.ledger.accounts[terminal.login]
    most = terminal.account.limit_orders
    if trade["action"] == PENDING and most and len(account.working) >= most:
        return 10033
    if _opens(terminal, trade) and len(account.positions) >= account.terms.max_positions:
        return 10040
    return 0
