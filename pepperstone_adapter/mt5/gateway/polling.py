"""Looking for changes beside the terminal, where a call costs 0.15 ms; `now_ns` is an argument, nothing sleeps here.

Ticks: the last tick of a symbol is the cheap gate; when it differs, and at least once a second, the tick history is
read from the cursor (see `ticks`). A hundred symbols that all moved are two hundred calls, some 30 ms, and a terminal may
be slower: so a turn ends with its time (`TURN_S`), and the next one goes on with the next symbol. Whatever the number of
symbols, an order waits for one turn at most, and trades are looked at in each.

Trades: the number of deals in a window that reaches into the server's future is a cheap counter that only grows; when it or
the number of orders or positions changes, and at least once a second, a snapshot is taken, orders first, positions
second, deals last, and repeated when the counter moved meanwhile. Deals are read from the newest known one back, further
where the counter knows of more. Deals are the only source of fills; each ticket is emitted once. A person may log in to
another account at any moment: what a snapshot says is said with the login that was there before and after it. What is
shown without the trade server is not the account (a terminal that began without it shows nothing), so it is not told.

Server clocks run hours ahead of UTC, so a window that ends "now" hides the newest deals: it ends two days ahead.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pepperstone_adapter.mt5.gateway.calls import plain
from pepperstone_adapter.mt5.gateway.ticks import (
    PAGE,
    PAGE_MAX,
    TickCursor,
    TickPage,
    advance,
    advance_again,
    both_passes,
    fall,
    in_second_pass,
    in_time,
    may_be,
)
from pepperstone_adapter.mt5.gateway.wire import Message, pack_array

NS: Final = 1_000_000_000
GUARD_NS: Final = NS
DAY_S: Final = 86_400
COPY_TICKS_INFO: Final = 1
DEALS_BACK_S: Final = 2 * DAY_S
DEALS_AHEAD_S: Final = 2 * DAY_S
#: How far before the newest known deal new ones are looked for: for those of the same moment, then for those made after
#: the server's clock went back an hour, then for any.
LOOKS_BACK_S: Final = (60, 2 * 3600, 7 * DAY_S)
SNAPSHOT_TRIES: Final = 5
ORDERS_MAX: Final = 50  # whose sizes are read with their deals: a call each
TURN_S: Final = 0.010  # for the ticks of one turn
POLL_TICK_ROWS: Final = 1 << 17  # about 8 MiB: after a long stop the ticks of hours come in several frames


class TerminalGone(Exception):
    """The terminal did not answer; carries ``last_error``."""

    def __init__(self, fn: str, error: tuple[int, str]) -> None:
        super().__init__(f"{fn}: {error[0]} {error[1]}")
        self.error = error


@dataclass(slots=True)
class _Feed:
    cursor: TickCursor | None
    page: int = PAGE
    seen: tuple[Any, ...] | None = None
    read_ns: int = 0
    bad: int = 0  # rows with impossible stamps in the last read
    unread: bool = True  # never answered yet: the terminal may have to fetch its ticks from the server


@dataclass(slots=True)
class _Trades:
    login: int | None = None
    counters: tuple[int, int, int] | None = None
    read_ns: int = 0
    deals: set[int] = field(default_factory=set)
    orders: list[Message] | None = None
    positions: list[Message] | None = None
    window_from_s: int | None = None
    newest_s: int = 0  # of the deals, by the server's clock


class Poller:
    """Finds what changed since the last poll, as plain events.

    Events are maps with ``k``: ``ticks`` (symbol, array, cursor, `polled_ns` when they were read, and `made_ns`, our time
    when the last row has just been made, None while catching up), ``tick_gap``, ``bad_ticks`` (symbol, how many more rows had
    impossible stamps), ``deals`` (with the ended `orders` of them), ``orders``, ``positions`` (these with the `login` they are
    of), ``account``, ``terminal``.

    Parameters
    ----------
    terminal
        The MetaTrader5 module or its stand-in.
    clock_s
        Measures how long a turn takes.
    reading
        Called before a read that may take long, some 45 s at worst.
    """

    def __init__(
        self,
        terminal: Any,
        clock_s: Callable[[], float] = time.perf_counter,
        reading: Callable[[], None] = lambda: None,
    ) -> None:
        self._terminal = terminal
        self._clock_s = clock_s
        self._reading = reading
        self._turn_ends_s = 0.0
        self._feeds: dict[str, _Feed] = {}
        self._left: list[str] = []  # symbols of this pass that the turns so far did not come to, the next one last
        self._trades = _Trades()
        self._account: Message | None = None
        self._state: Message | None = None
        self._state_ns = 0
        self._rows_left = 0
        self._bad = 0

    def subscribe(self, symbol: str, cursor: TickCursor | None) -> None:
        """Read on at `cursor` (after a worker was replaced), or start with the newest tick."""
        self._feeds[symbol] = _Feed(cursor)

    def unsubscribe(self, symbol: str) -> None:
        self._feeds.pop(symbol, None)

    @property
    def halfway(self) -> bool:
        """Whether the last poll's time was over before every symbol had its turn: the next one should follow at once."""
        return bool(self._left)

    def poll(self, now_ns: int) -> list[Message]:
        """One turn: what changed of the symbols it comes to, and of everything else.

        Raises
        ------
        TerminalGone
            A call failed; events found before it in this poll are lost to the caller but not to the cursors, which
            only move when their rows are in the returned list.
        """
        events: list[Message] = []
        moved: list[tuple[_Feed, TickCursor, int]] = []
        self._rows_left, self._turn_ends_s = POLL_TICK_ROWS, self._clock_s() + TURN_S
        self._left = self._left or [*reversed(self._feeds)]
        while self._left and not self._turn_over():
            symbol = self._left.pop()
            if (feed := self._feeds.get(symbol)) is not None:
                self._poll_ticks(symbol, feed, now_ns, events, moved)
        trades = self._poll_trades(now_ns, events)
        self._poll_state(now_ns, events)
        for feed, cursor, page in moved:
            feed.cursor, feed.page = cursor, page
        if trades is not None:
            self._trades = trades
        return events

    def _turn_over(self) -> bool:
        return self._rows_left <= 0 or self._clock_s() >= self._turn_ends_s

    def _poll_ticks(
        self,
        symbol: str,
        feed: _Feed,
        now_ns: int,
        events: list[Message],
        moved: list[tuple[_Feed, TickCursor, int]],
    ) -> None:
        tick = self._terminal.symbol_info_tick(symbol)
        if tick is None:
            self._raise_if_gone("symbol_info_tick")
            if not _just_read(feed.read_ns, now_ns):
                feed.read_ns = now_ns
                self._terminal.symbol_select(symbol, True)  # a person has taken it out of the Market Watch
            return
        now_seen = (tick.time_msc, tick.bid, tick.ask)
        if now_seen == feed.seen and _just_read(feed.read_ns, now_ns):
            return
        if feed.unread:
            self._reading()
        cursor, page = feed.cursor, feed.page
        newest_msc = tick.time_msc if may_be(tick.time_msc, now_ns) else 0
        if cursor is None:
            if not newest_msc:
                return
            cursor = self._begin(symbol, newest_msc, page, now_ns)
        newest_msc = newest_msc or cursor.time_msc
        self._bad = 0
        if newest_msc < cursor.time_msc and not cursor.first_until_msc and _just_read(feed.read_ns, now_ns):
            return  # the server's clock went back: ask for its second pass once a second until there is one
        more = True
        while more:
            result = self._read(symbol, cursor, page, newest_msc, now_ns)
            if result is None:
                self._raise_if_gone("copy_ticks")
                break  # what earlier pages gave is told, so it counts as read
            feed.unread = False
            if result.lost:
                events.append({"k": "tick_gap", "symbol": symbol, "from_msc": cursor.time_msc})
            cursor, page = result.cursor, result.page
            if len(result.rows):
                events.append(
                    {
                        "k": "ticks",
                        "symbol": symbol,
                        "rows": pack_array(result.rows),
                        "cursor": [cursor.time_msc, cursor.taken, cursor.first_until_msc],
                        "polled_ns": now_ns,
                        "made_ns": None if result.more or feed.seen is None else now_ns,
                    }
                )
            self._rows_left -= len(result.rows)
            if (more := result.more) and self._turn_over():
                self._left.insert(0, symbol)  # again in this pass, after the others
                break
        feed.seen, feed.read_ns = None if more else now_seen, now_ns
        if self._bad > feed.bad:
            events.append({"k": "bad_ticks", "symbol": symbol, "count": self._bad - feed.bad})
        feed.bad = self._bad
        moved.append((feed, cursor, page))

    def _begin(self, symbol: str, newest_msc: int, page: int, now_ns: int) -> TickCursor:
        """Start with the newest tick itself, so that a fresh subscriber has a price at once."""
        cursor = TickCursor(newest_msc)
        read = self._terminal.copy_ticks_from(symbol, cursor.second, page, COPY_TICKS_INFO)
        read = read if read is None else in_time(cursor, read, now_ns)
        turn = 0 if read is None else fall(read)
        if read is None or turn == len(read):
            return cursor
        return TickCursor(newest_msc, 0, int(read["time_msc"][turn - 1]))

    def _read(self, symbol: str, cursor: TickCursor, page: int, newest_msc: int, now_ns: int) -> TickPage | None:
        """New ticks after `cursor`; None when the terminal gave no answer."""
        if not in_second_pass(cursor, newest_msc):
            read = self._terminal.copy_ticks_from(symbol, cursor.second, page, COPY_TICKS_INFO)
            if read is None:
                return None
            found = in_time(cursor, read, now_ns)
            bad = len(read) - len(found)
            if fall(found) == len(found):
                self._bad += bad
                result = advance(cursor, found, page)
                if not bad or len(read) < page:
                    return result
                # The page was full before: the next one must reach beyond what is left out again.
                return replace(result, page=min(page * 2, PAGE_MAX))
        read = self._terminal.copy_ticks_range(symbol, *both_passes(cursor, newest_msc), COPY_TICKS_INFO)
        if read is None:
            return None
        found = in_time(cursor, read, now_ns)
        self._bad += len(read) - len(found)
        return advance_again(cursor, found, newest_msc, page, self._rows_left)

    def _poll_trades(self, now_ns: int, events: list[Message]) -> _Trades | None:
        known = self._trades
        now_s = now_ns // NS
        from_s = known.window_from_s
        if from_s is None or now_s - from_s > DEALS_BACK_S + DAY_S:
            # Fixed for a day at a time, so that the counter only grows, and moved on, so that a snapshot stays small.
            from_s = now_s - DEALS_BACK_S
        until_s = now_s + DEALS_AHEAD_S
        counters = self._counters((from_s, until_s))
        moved = from_s != known.window_from_s
        if counters == known.counters and not moved and _just_read(known.read_ns, now_ns):
            return None
        login = self._login()
        if login is None:
            return None
        if login != known.login:
            known, moved = _Trades(), True  # tickets of another account are other tickets
        seen, newest_s = (set[int](), from_s) if moved else (known.deals, known.newest_s)
        deals: dict[int, Message] = {}
        for _ in range(SNAPSHOT_TRIES):
            orders = self._structs("orders_get")
            positions = self._structs("positions_get")
            self._read_deals(max(from_s, newest_s - LOOKS_BACK_S[0]), until_s, deals)
            before, counters = counters, self._counters((from_s, until_s))
            if counters == before:
                break
            newest_s = _newest_s(deals, newest_s)
        # What the counter knew before the last look should have been in it; what came meanwhile is the next turn's.
        for back_s in LOOKS_BACK_S[1:]:
            if len(seen) + len(deals.keys() - seen) < before[0]:
                self._read_deals(max(from_s, newest_s - back_s), until_s, deals)
        if self._login() != login:
            return None  # switched or disconnected in between: the next turn reads it anew
        # In order of ticket: stamps fall where the server's clock goes back.
        fresh = [deals[ticket] for ticket in sorted(deals.keys() - known.deals)]
        # Deals before state: whoever reads in order sees the fill, then what it changed. A new poller emits the whole
        # window: deals made while a worker was replaced must not be lost, and readers know the tickets they have seen.
        if fresh:
            ended = [] if known.counters is None else self._orders_of(fresh)  # a new poller tells what is mostly known
            events.append({"k": "deals", "rows": fresh, "login": login, "orders": ended})
        if orders != known.orders:
            events.append({"k": "orders", "rows": orders, "login": login})
        if positions != known.positions:
            events.append({"k": "positions", "rows": positions, "login": login})
        # A short answer (lagging history) must not be taken for seen: remember tickets, never counts.
        newest_s = _newest_s(deals, newest_s)
        return _Trades(login, before, now_ns, seen | deals.keys(), orders, positions, from_s, newest_s)

    def _orders_of(self, deals: list[Message]) -> list[Message]:
        """The ended orders of some deals, as far as the history has them: a deal does not say how large its order is."""
        tickets = {ticket for deal in deals if (ticket := deal.get("order"))}
        if len(tickets) > ORDERS_MAX:
            return []
        found: list[Message] = []
        for ticket in sorted(tickets):
            rows = self._terminal.history_orders_get(ticket=ticket)
            if rows is None:
                self._raise_if_gone("history_orders_get")
            found += [plain(row) for row in rows or ()]
        return found

    def _login(self) -> int | None:
        """Whose lists are shown; None without the trade server."""
        login: int = self._struct("account_info")["login"]
        return login if self._struct("terminal_info")["connected"] else None

    def _read_deals(self, from_s: int, until_s: int, into: dict[int, Message]) -> None:
        into.update((deal["ticket"], deal) for deal in self._structs("history_deals_get", from_s, until_s))

    def _poll_state(self, now_ns: int, events: list[Message]) -> None:
        if self._state is not None and _just_read(self._state_ns, now_ns):
            return
        account = self._struct("account_info")
        state = self._struct("terminal_info")
        if account != self._account:
            events.append({"k": "account", "row": account})
        if _switches(state) != _switches(self._state):
            events.append({"k": "terminal", "row": state})
        self._account, self._state, self._state_ns = account, state, now_ns

    def _counters(self, window: tuple[int, int]) -> tuple[int, int, int]:
        deals = self._terminal.history_deals_total(*window)
        orders = self._terminal.orders_total()
        positions = self._terminal.positions_total()
        if deals is None or orders is None or positions is None:
            raise TerminalGone("history_deals_total", self._terminal.last_error())
        return deals, orders, positions

    def _structs(self, fn: str, *args: int) -> list[Message]:
        rows = getattr(self._terminal, fn)(*args)
        if rows is None:
            raise TerminalGone(fn, self._terminal.last_error())
        return [plain(row) for row in rows]

    def _struct(self, fn: str) -> Message:
        row = getattr(self._terminal, fn)()
        if row is None:
            raise TerminalGone(fn, self._terminal.last_error())
        out: Message = plain(row)
        return out

    def _raise_if_gone(self, fn: str) -> None:
        error = self._terminal.last_error()
        if error[0] <= -10_000:
            raise TerminalGone(fn, error)


def _just_read(read_ns: int, now_ns: int) -> bool:
    """Whether a look can wait; never because our clock has been set back."""
    return 0 <= now_ns - read_ns < GUARD_NS


def _newest_s(deals: dict[int, Message], before_s: int) -> int:
    return max((deal["time"] for deal in deals.values()), default=before_s)


def _switches(state: Message | None) -> Message | None:
    """What matters of the terminal's state; ping times change all the time and do not."""
    if state is None:
        return None
    return {name: state.get(name) for name in ("connected", "trade_allowed", "tradeapi_disabled", "build", "path")}
