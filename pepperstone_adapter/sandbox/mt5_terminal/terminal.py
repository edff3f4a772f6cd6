"""The terminal with its broker behind it: what it knows, what it shows, what changes it. No sockets here.

The books (`ledger`) are the trade server's. The terminal adds what a terminal has: a Market Watch, ticks and bars, the
account it is logged in to, switches, a connection that may be down, and views that may lag behind the books.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from pepperstone_adapter.broker.orders import DealEntry, DealReason
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.sandbox.clock import BrokerClock
from pepperstone_adapter.sandbox.ledger import (
    Deal,
    EventKind,
    Ledger,
    LedgerEvent,
    Order,
    Position,
    Refused,
    SymbolTerms,
)
from pepperstone_adapter.sandbox.ledger.state import Account
from pepperstone_adapter.sandbox.mt5_terminal import rows
from pepperstone_adapter.sandbox.mt5_terminal.dump import LIVE, Dumped, load
from pepperstone_adapter.sandbox.mt5_terminal.faults import Mt5Faults
from pepperstone_adapter.sandbox.mt5_terminal.prices import Prices
from pepperstone_adapter.sandbox.mt5_terminal.rollover import dealt
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Account, Mt5Settings, Mt5Symbol
from pepperstone_adapter.sandbox.mt5_terminal.structs import FIELDS
from pepperstone_adapter.sandbox.mt5_terminal.wall_clock import SUMMER_S, WINTER_S, server_s
from pepperstone_adapter.sandbox.tape import TapeBar

OK: Final = (1, "Success")
NOT_FOUND: Final = (-4, "Terminal: Not found")
BAD_PARAMS: Final = (-2, "Terminal: Invalid params")
NS: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
ZERO_TICK_MS: Final = 100


class Answer(NamedTuple):
    """What goes back through the pipe; `kind` names a struct, ``*Struct`` a tuple of them, an array type, or nothing."""

    value: Any
    kind: str | None = None
    error: tuple[int, str] = OK


class Terminal:
    """
    Parameters
    ----------
    terms
        Symbols by the broker's own names, without the suffix.
    """

    def __init__(self, settings: Mt5Settings, terms: Sequence[SymbolTerms], clock: BrokerClock, seed: int = 1) -> None:
        self.settings = settings
        self.clock = clock
        self.accounts: dict[int, Mt5Account] = {a.login: a for a in settings.accounts}
        dumped = load(settings.symbol_dump, list(terms), settings.symbols) if settings.symbol_dump is not None else []
        self._dumped: dict[str, Dumped] = {symbol.own: symbol for symbol in dumped}
        self.rules: dict[str, Mt5Symbol] = {d.own: d.rule for d in dumped} or {
            t.name: settings.of(t.name) for t in terms
        }
        terms = [d.terms for d in dumped] or terms
        symbols = [dealt(t, self.rules[t.name]) for t in terms]
        self.ledger = Ledger(symbols, [a.terms() for a in settings.accounts], settings.rules(seed))
        self.ledger.listen(self._on_event)
        self.prices = {t.name: Prices(t.spec.digits, settings.keep_ticks, settings.tick_flag_bits) for t in terms}
        self.faults = Mt5Faults()
        self.login: int = settings.login or settings.accounts[0].login
        self.began_ns = clock.now_ns()
        self.selected = set(settings.selected)
        self.selected_ns: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        self.connected = self.trade_allowed = self.expert_allowed = self.account_may_trade = True
        self.tradeapi_disabled = False
        self.blank = False  # it began without its server and has not reached it since
        self.logging_in = False  # a terminal that is not done with its login: initialize asks again until its timeout
        self.talking = asyncio.Event()  # cleared: a terminal that shows a dialog and says nothing at login
        self.answers = asyncio.Event()  # cleared: a terminal that hangs; whatever is asked waits
        self.talking.set()
        self.answers.set()
        self.build = settings.build
        self.filling: dict[int, int] = {}
        self.sent_ns: deque[int] = deque()
        self.requote = 0
        self.next_request_id = 1
        self._tickets: dict[int, int] = {}
        self._deal_rows: dict[int, list[Any]] = {}
        self._views: deque[tuple[int, int, list[list[Any]]]] = deque()
        for symbol in dumped:
            self._first_price(symbol)

    # -- what happens outside -----------------------------------------------------------------------------------------

    def push(self, symbol: str, bid_points: int, ask_points: int, ts_ns: int | None = None) -> None:
        """A new price at the broker, in points of the sandbox's own symbol."""
        at_ns = self.clock.now_ns() if ts_ns is None else ts_ns
        if symbol not in self.prices:
            return  # a symbol that the loaded terminal does not have
        bid_points, ask_points = self._points(symbol, bid_points), self._points(symbol, ask_points)
        self.prices[symbol].push(bid_points, ask_points, at_ns)
        self.ledger.quote(symbol, bid_points, ask_points, at_ns)

    def load_bar(self, bar: TapeBar) -> None:
        """A minute of the past."""
        if bar.symbol in self.prices:
            o, h, low, c = (self._points(bar.symbol, price) for price in (bar.open, bar.high, bar.low, bar.close))
            self.prices[bar.symbol].load_bar(bar.minute, o, h, low, c, bar.volume)

    def _points(self, symbol: str, points: int) -> int:
        """Points of the sandbox's own symbol in those of a loaded one, which may have other digits."""
        loaded = self._dumped.get(symbol)
        if loaded is None or loaded.own_digits == loaded.terms.spec.digits:
            return points
        return round(points * 10.0 ** (loaded.terms.spec.digits - loaded.own_digits))

    def _first_price(self, symbol: Dumped) -> None:
        """The price at which the dump was made, where no tape can have another."""
        bid, ask = symbol.record.get("bid", 0.0), symbol.record.get("ask", 0.0)
        if not symbol.on_tape and 0 < bid <= ask:
            scale, now_ns = 10.0**symbol.terms.spec.digits, self.clock.now_ns()
            self.prices[symbol.own].push(round(bid * scale), round(ask * scale), now_ns)
            self.ledger.quote(symbol.own, round(bid * scale), round(ask * scale), now_ns)

    def now_ns(self) -> int:
        """The broker's time, with everything done that was due before it."""
        now_ns = self.clock.now_ns()
        self.ledger.advance(now_ns)
        return self.ledger.state.now_ns

    def by_hand(self, origin: str = "mobile") -> str:
        """The mark of a trade a person makes in an app of the platform; pass it as `NewOrder.origin`."""
        if origin not in rows.ORIGINS:
            raise ValueError(f"unknown origin {origin!r}")
        return origin

    def _on_event(self, event: LedgerEvent) -> None:
        position = event.position
        if position is not None:
            rule = self.rules[position.symbol]
            deal = event.deal
            turned = deal is not None and deal.entry is DealEntry.IN_OUT
            opened_again = deal is not None and deal.entry is DealEntry.IN and deal.reason is DealReason.ROLLOVER
            if (turned or opened_again) and event.order is not None:
                self._tickets[position.position_id] = event.order.order_id
            elif event.kind is EventKind.SWAP and rule.swap_reopens:
                self._tickets[position.position_id] = self.ledger.state.new_order_id()
        if self.settings.position_lag_ms and event.account_id == self.login:
            self._views.append((event.ts_ns, event.account_id, self._position_rows()))

    # -- names --------------------------------------------------------------------------------------------------------

    def shown(self, symbol: str) -> str:
        loaded = self._dumped.get(symbol)
        return symbol + self.settings.suffix if loaded is None else str(loaded.record["name"])

    def symbol(self, shown: str) -> str | None:
        """The broker's own name of a shown one; None when there is no such symbol."""
        if self._dumped:
            return next((own for own, loaded in self._dumped.items() if loaded.record["name"] == shown), None)
        suffix = self.settings.suffix
        name = shown.removesuffix(suffix) if suffix else shown
        return name if name in self.rules and self.shown(name) == shown else None

    def spec(self, symbol: str) -> SymbolSpec:
        return self.ledger.symbols[symbol].spec

    @property
    def account(self) -> Mt5Account:
        return self.accounts[self.login]

    @property
    def books(self) -> Account:
        """What the terminal shows of its account: nothing as long as it is `blank`."""
        self.blank = self.blank and not self.connected
        known = self.ledger.accounts[self.login]
        return Account(known.terms, Decimal(0)) if self.blank else known

    # -- rows ---------------------------------------------------------------------------------------------------------

    def order_row(self, order: Order, working: bool) -> list[Any]:
        prices, spec = self.prices[order.symbol], self.spec(order.symbol)
        filling = self.filling.get(order.order_id, 2 if rows.is_pending(order) else 0)
        return rows.order_row(order, spec, prices, filling, working, self.shown(order.symbol))

    def working_rows(self) -> list[list[Any]]:
        return [self.order_row(o, True) for o in self.books.working.values()]

    def ended_rows(self) -> list[list[Any]]:
        """Orders in the history, as far as the history has caught up."""
        account = self.books
        until_ns = self._history_ns()
        return [
            self.order_row(o, False)
            for o in account.orders.values()
            if o.order_id not in account.working and o.closed_ns <= until_ns
        ]

    def deals(self, low_s: int, high_s: int) -> list[Deal]:
        """Visible deals of these seconds of the server's clock."""
        deals = self.books.deals
        seen_ns = self._history_ns()

        def before(utc_s: int) -> int:
            return bisect_left(deals, min(utc_s * NS, seen_ns + 1), key=lambda deal: deal.ts_ns)

        # The clock is two or three hours ahead of UTC: only in the hour at either end must each deal be looked at.
        first, last = before(low_s - SUMMER_S), before(high_s + 1 - WINTER_S)
        inner = min(before(low_s - WINTER_S), last)
        outer = max(before(high_s + 1 - SUMMER_S), inner)
        edges = [
            [d for d in part if low_s <= server_s(d.ts_ns) <= high_s]
            for part in (deals[first:inner], deals[outer:last])
        ]
        return edges[0] + deals[inner:outer] + edges[1]

    def cash_rows(self, low_s: int, high_s: int) -> list[list[Any]]:
        """Deals that are no trades: the opening balance first, then what else changed it."""
        account, seen_ns = self.books, self._history_ns()
        if self.blank:
            return []
        found = [rows.opening_row(account.terms.opening_balance, self.began_ns)]
        found += [rows.cash_row(c) for c in account.cash if c.ts_ns <= seen_ns]
        return [row for row in found if low_s <= row[2] <= high_s]

    def visible_deals(self) -> list[Deal]:
        until_ns = self._history_ns()
        return [deal for deal in self.books.deals if deal.ts_ns <= until_ns]

    def deal_row(self, deal: Deal) -> list[Any]:
        found = self._deal_rows.get(deal.deal_id)  # a deal never changes
        if found is None:
            keep = self.settings.level_deals_keep_magic
            found = rows.deal_row(deal, self.spec(deal.symbol), self.shown(deal.symbol), keep)
            self._deal_rows[deal.deal_id] = found
        return found

    def _history_ns(self) -> int:
        return self.now_ns() - round(self.settings.deal_lag_ms * NS_PER_MS)

    def ticket(self, position: Position) -> int:
        return self._tickets.get(position.position_id, position.position_id)

    def position_of(self, ticket: int) -> Position | None:
        """An open position by the ticket it has now."""
        held = self.ledger.accounts[self.login].positions.values()
        return next((p for p in held if self.ticket(p) == ticket), None)

    def position_rows(self) -> list[list[Any]]:
        """Open positions as the terminal shows them, perhaps late."""
        lag_ns = round(self.settings.position_lag_ms * NS_PER_MS)
        if not lag_ns:
            return self._position_rows()
        until_ns, seen = self.now_ns() - lag_ns, None
        while self._views and self._views[0][0] <= until_ns:
            seen = self._views.popleft()
        if seen is not None:
            self._views.appendleft(seen)
        mine = [view for view in self._views if view[1] == self.login]
        if not mine:
            return self._position_rows()
        return mine[0][2] if mine[0][0] <= until_ns else []

    def _position_rows(self) -> list[list[Any]]:
        out = []
        for position in self.books.positions.values():
            prices = self.prices[position.symbol]
            price = prices.bid if position.side.sign > 0 else prices.ask
            gross = float(self.ledger.open_profit(self.login, position.position_id).gross)
            out.append(
                rows.position_row(
                    position,
                    self.spec(position.symbol),
                    self.shown(position.symbol),
                    self.ticket(position),
                    price,
                    gross,
                )
            )
        return out

    def symbol_row(self, symbol: str) -> list[Any]:
        spec = self.spec(symbol)
        try:
            rate = self.ledger.rate(spec.quote_currency, self.account.currency)
        except Refused:
            rate = Decimal(0)
        value = float(spec.point * spec.contract_size * rate)
        row = rows.symbol_row(
            spec, self.rules[symbol], self.shown(symbol), self.prices[symbol], symbol in self.selected, value
        )
        loaded = self._dumped.get(symbol)
        if loaded is None:
            return row
        fields = [name for name, _ in FIELDS["SymbolInfo"]]
        return [v if n in LIVE else loaded.record.get(n, v) for n, v in zip(fields, row, strict=True)]

    def zero_tick(self, symbol: str) -> bool:
        """Whether a symbol was selected so recently that it has no price yet."""
        since_ns = self.selected_ns.get(symbol, 0)
        return self.settings.first_tick_zero and self.clock.now_ns() - since_ns < ZERO_TICK_MS * NS_PER_MS
