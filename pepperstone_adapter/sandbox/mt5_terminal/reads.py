"""Calls that change nothing in the books: symbols, prices, lists, the account. One function a call of the module."""

from collections.abc import Callable
from decimal import Decimal
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import Any, Final

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import Side
from pepperstone_adapter.sandbox.ledger import Refused
from pepperstone_adapter.sandbox.mt5_terminal import rows
from pepperstone_adapter.sandbox.mt5_terminal.prices import TIMEFRAME_S
from pepperstone_adapter.sandbox.mt5_terminal.structs import FIELDS, RATES, row
from pepperstone_adapter.sandbox.mt5_terminal.terminal import BAD_PARAMS, NOT_FOUND, Answer, Terminal

_AT: Final = {name: {field: i for i, (field, _) in enumerate(fields)} for name, fields in FIELDS.items()}
_SHORT: Final = 10  # what a second look at a history still being loaded finds


def _version(terminal: Terminal) -> Answer:
    return Answer([500, terminal.build, "20 Nov 2026"])


def _terminal_info(terminal: Terminal) -> Answer:
    return Answer(
        row(
            "TerminalInfo",
            connected=terminal.connected,
            dlls_allowed=False,
            trade_allowed=terminal.trade_allowed,
            tradeapi_disabled=terminal.tradeapi_disabled,
            build=terminal.build,
            maxbars=terminal.settings.maxbars,
            ping_last=12_345,
            company=terminal.settings.company,
            name="MetaTrader 5 (sandbox)",
            language="English",
            path="C:\\sandbox",
            data_path="C:\\sandbox",
            commondata_path="C:\\sandbox",
        ),
        "TerminalInfo",
    )


def _account_info(terminal: Terminal) -> Answer:
    account = terminal.account
    money = funds(terminal)
    return Answer(
        row(
            "AccountInfo",
            login=account.login,
            trade_mode=account.kind,
            leverage=int(account.leverage),
            limit_orders=account.limit_orders,
            trade_allowed=terminal.account_may_trade,
            trade_expert=terminal.expert_allowed,
            margin_mode=0 if account.mode is PositionMode.NETTING else 2,
            currency_digits=2,
            margin_so_call=90.0,
            margin_so_so=50.0,
            name="Sandbox Trader",
            server=terminal.settings.server,
            currency=account.currency,
            company=terminal.settings.company,
            **money,
        ),
        "AccountInfo",
    )


def funds(terminal: Terminal) -> dict[str, float]:
    """Balance, profit, equity and margins in account currency."""
    terminal.now_ns()
    ledger, login = terminal.ledger, terminal.login
    balance = ledger.accounts[login].balance
    equity, margin = ledger.equity(login), ledger.used_margin(login)
    return {
        "balance": float(balance),
        "profit": float(equity - balance),
        "equity": float(equity),
        "margin": float(margin),
        "margin_free": float(equity - margin),
        "margin_level": float(round(equity / margin * 100, 2)) if margin else 0.0,
    }


# -- symbols and prices -----------------------------------------------------------------------------------------------


def _symbols_total(terminal: Terminal) -> Answer:
    return Answer(len(terminal.rules))


def _symbols_get(terminal: Terminal, group: str) -> Answer:
    names = [name for name in terminal.rules if in_group(terminal.shown(name), group)]
    return Answer([terminal.symbol_row(name) for name in names], "*SymbolInfo")


def _symbol_info(terminal: Terminal, shown: str) -> Answer:
    symbol = terminal.symbol(shown)
    if symbol is None:
        return Answer(None, error=NOT_FOUND)
    return Answer(terminal.symbol_row(symbol), "SymbolInfo")


def _symbol_info_tick(terminal: Terminal, shown: str) -> Answer:
    symbol = terminal.symbol(shown)
    if symbol is None or symbol not in terminal.selected:
        return Answer(None, error=NOT_FOUND)
    if terminal.zero_tick(symbol):
        return Answer(row("Tick"), "Tick")
    return Answer(rows.tick_row(terminal.prices[symbol]), "Tick")


def _symbol_select(terminal: Terminal, shown: str, enable: bool) -> Answer:
    symbol = terminal.symbol(shown)
    if symbol is None:
        return Answer(False, error=NOT_FOUND)
    if enable and symbol not in terminal.selected:
        terminal.selected.add(symbol)
        terminal.selected_ns[symbol] = terminal.clock.now_ns()
    elif not enable:
        terminal.selected.discard(symbol)
    return Answer(True)


def _book(terminal: Terminal, shown: str) -> Answer:
    known = terminal.symbol(shown) is not None
    return Answer(known) if known else Answer(False, error=NOT_FOUND)


def _book_get(terminal: Terminal, shown: str) -> Answer:
    # ticks_bookdepth is 0: these symbols have no depth of market.
    return Answer([], "*BookInfo") if terminal.symbol(shown) else Answer(None, error=NOT_FOUND)


def _rates(terminal: Terminal, shown: str, timeframe: int, pick: Callable[[Any], Any]) -> Answer:
    symbol = terminal.symbol(shown)
    if symbol is None:
        return Answer(None, error=NOT_FOUND)
    if timeframe not in TIMEFRAME_S:
        return Answer(None, error=BAD_PARAMS)
    looked = _looked(terminal, f"rates/{symbol}/{timeframe}")
    if looked == 0:
        return Answer(None, error=(-1, "Terminal: Call failed"))
    bars = pick(terminal.prices[symbol].rates(timeframe)[-terminal.settings.maxbars :])
    if looked == 1:
        bars = bars[-_SHORT:]
    return Answer(bars.astype(RATES).tobytes(), "rates")


def _looked(terminal: Terminal, what: str) -> int:
    """How often this history was asked for before: it is loaded by the first question."""
    if not terminal.settings.first_history_empty:
        return 2
    looked = terminal.asked.get(what, 0)
    terminal.asked[what] = looked + 1
    return looked


def _rates_from(terminal: Terminal, shown: str, timeframe: int, until: int, count: int) -> Answer:
    if count <= 0:
        return Answer(None, error=BAD_PARAMS)
    return _rates(terminal, shown, timeframe, lambda bars: bars[bars["time"] <= until][-count:])


def _rates_from_pos(terminal: Terminal, shown: str, timeframe: int, start: int, count: int) -> Answer:
    if start < 0 or count <= 0:
        return Answer(None, error=BAD_PARAMS)
    return _rates(
        terminal, shown, timeframe, lambda bars: bars[max(0, len(bars) - start - count) : max(0, len(bars) - start)]
    )


def _rates_range(terminal: Terminal, shown: str, timeframe: int, low: int, high: int) -> Answer:
    return _rates(terminal, shown, timeframe, lambda bars: bars[(bars["time"] >= low) & (bars["time"] <= high)])


def _ticks(terminal: Terminal, shown: str, flags: int, pick: Callable[[Any], Any]) -> Answer:
    symbol = terminal.symbol(shown)
    if symbol is None:
        return Answer(None, error=NOT_FOUND)
    if flags not in (-1, 1, 2):
        return Answer(None, error=BAD_PARAMS)
    looked = _looked(terminal, f"ticks/{symbol}")
    prices = terminal.prices[symbol]
    # COPY_TICKS_TRADE wants ticks with a last price, and these symbols have none.
    found = prices.ticks[:0] if flags == 2 or looked == 0 or terminal.zero_tick(symbol) else pick(prices)
    return Answer((found[:_SHORT] if looked == 1 else found).tobytes(), "ticks")


def _ticks_from(terminal: Terminal, shown: str, second: int, count: int, flags: int) -> Answer:
    if count <= 0:
        return Answer(None, error=BAD_PARAMS)
    return _ticks(terminal, shown, flags, lambda prices: prices.ticks_from(second, count))


def _ticks_range(terminal: Terminal, shown: str, low: int, high: int, flags: int) -> Answer:
    return _ticks(terminal, shown, flags, lambda prices: prices.ticks_range(low, high))


# -- lists ------------------------------------------------------------------------------------------------------------


def _orders_total(terminal: Terminal) -> Answer:
    terminal.now_ns()
    return Answer(len(terminal.books.working))


def _positions_total(terminal: Terminal) -> Answer:
    return Answer(len(terminal.position_rows()))


def _orders_get(terminal: Terminal, name: str, value: Any) -> Answer:
    terminal.now_ns()
    return Answer(_chosen("TradeOrder", terminal.working_rows(), name, value), "*TradeOrder")


def _positions_get(terminal: Terminal, name: str, value: Any) -> Answer:
    return Answer(_chosen("TradePosition", terminal.position_rows(), name, value), "*TradePosition")


def _chosen(struct: str, found: list[list[Any]], name: str, value: Any) -> list[list[Any]]:
    at = _AT[struct]
    if name == "group":
        return [r for r in found if in_group(r[at["symbol"]], value)]
    return [r for r in found if r[at[name]] == value] if name else found


def _orders_between(terminal: Terminal, low: int, high: int) -> list[list[Any]]:
    done = _AT["TradeOrder"]["time_done"]
    return [r for r in terminal.ended_rows() if low <= r[done] <= high]


def _history_orders_total(terminal: Terminal, low: int, high: int) -> Answer:
    return Answer(len(_orders_between(terminal, low, high)))


def _history_deals_total(terminal: Terminal, low: int, high: int) -> Answer:
    return Answer(len(terminal.cash_rows(low, high)) + len(terminal.deals(low, high)))


def _history_orders_get(terminal: Terminal, low: int, high: int, name: str, value: Any) -> Answer:
    at = _AT["TradeOrder"]
    if name == "group":
        found = [r for r in _orders_between(terminal, low, high) if in_group(r[at["symbol"]], value)]
    else:
        field = at["ticket" if name == "ticket" else "position_id"]
        found = [r for r in terminal.ended_rows() if r[field] == value]
    return Answer(found, "*TradeOrder")


def _history_deals_get(terminal: Terminal, low: int, high: int, name: str, value: Any) -> Answer:
    at = _AT["TradeDeal"]
    if name == "group":
        found = [*terminal.cash_rows(low, high), *map(terminal.deal_row, terminal.deals(low, high))]
        found = [r for r in found if in_group(r[at["symbol"]], value)]
    else:
        # `ticket` is the order's ticket here, not the deal's.
        of = attrgetter("order_id" if name == "ticket" else "position_id")
        found = [terminal.deal_row(deal) for deal in terminal.visible_deals() if of(deal) == value]
    return Answer(found, "*TradeDeal")


def in_group(name: str, group: str) -> bool:
    """``*USD*, !EUR*``: patterns from left to right, ``!`` takes away; no pattern takes all."""
    patterns = [p.strip() for p in group.split(",") if p.strip()]
    chosen = not patterns or all(p.startswith("!") for p in patterns)
    for pattern in patterns:
        if pattern.startswith("!"):
            chosen = chosen and not fnmatchcase(name, pattern[1:])
        else:
            chosen = chosen or fnmatchcase(name, pattern)
    return chosen


# -- sums -------------------------------------------------------------------------------------------------------------


def _order_calc_margin(terminal: Terminal, action: int, shown: str, volume: float, price: float) -> Answer:
    symbol = terminal.symbol(shown)
    if symbol is None or action not in (0, 1) or volume <= 0 or price <= 0:
        return Answer(None, error=BAD_PARAMS if symbol else NOT_FOUND)
    units = Decimal(repr(volume)) * terminal.spec(symbol).contract_size
    try:
        buy, sell = terminal.ledger.expected_margin(terminal.login, symbol, units)
    except Refused:
        return Answer(None, error=(-1, "Terminal: Call failed"))
    return Answer(float(buy if action == 0 else sell))


def _order_calc_profit(
    terminal: Terminal, action: int, shown: str, volume: float, opened: float, closed: float
) -> Answer:
    symbol = terminal.symbol(shown)
    if symbol is None or action not in (0, 1) or volume <= 0:
        return Answer(None, error=BAD_PARAMS if symbol else NOT_FOUND)
    spec = terminal.spec(symbol)
    side = Side.BUY if action == 0 else Side.SELL
    moved = (Decimal(repr(closed)) - Decimal(repr(opened))) * side.sign
    try:
        rate = terminal.ledger.rate(spec.quote_currency, terminal.account.currency)
    except Refused:
        return Answer(None, error=(-1, "Terminal: Call failed"))
    return Answer(float(round(moved * Decimal(repr(volume)) * spec.contract_size * rate, 2)))


READS: Final[dict[str, Callable[..., Answer]]] = {
    "version": _version,
    "terminal_info": _terminal_info,
    "account_info": _account_info,
    "symbols_total": _symbols_total,
    "symbols_get": _symbols_get,
    "symbol_info": _symbol_info,
    "symbol_info_tick": _symbol_info_tick,
    "symbol_select": _symbol_select,
    "market_book_add": _book,
    "market_book_release": _book,
    "market_book_get": _book_get,
    "copy_rates_from": _rates_from,
    "copy_rates_from_pos": _rates_from_pos,
    "copy_rates_range": _rates_range,
    "copy_ticks_from": _ticks_from,
    "copy_ticks_range": _ticks_range,
    "orders_total": _orders_total,
    "positions_total": _positions_total,
    "orders_get": _orders_get,
    "positions_get": _positions_get,
    "history_orders_total": _history_orders_total,
    "history_deals_total": _history_deals_total,
    "history_orders_get": _history_orders_get,
    "history_deals_get": _history_deals_get,
    "order_calc_margin": _order_calc_margin,
    "order_calc_profit": _order_calc_profit,
}
