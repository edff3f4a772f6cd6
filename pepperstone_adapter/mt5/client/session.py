"""`BrokerSession` over a gateway: one MetaTrader 5 account.

The gateway pushes what changed; `Book` says what it means; this file moves both to the node's loop and turns the port's
verbs into calls. Order of a reconnect: link up → (events missed are replayed by the gateway, or) a fresh snapshot is
compared with the book → `LinkUp`. Until then the order verbs refuse without writing.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from pepperstone_adapter.broker.account import AccountSnapshot, PositionMode
from pepperstone_adapter.broker.capabilities import Capabilities
from pepperstone_adapter.broker.events import AccountChanged, BrokerEvent, LinkDown, LinkUp, Notice
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.orders import AmendRequest, Deal, OrderRequest, OrderState, Protection, TimeInForce
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.broker.session import BrokerSnapshot, FoundOrder, OnEvents
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectFailed,
    LinkLost,
    OrderRefused,
    PepperstoneError,
)
from pepperstone_adapter.mt5.client import history, parsing
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.aliases import Aliases
from pepperstone_adapter.mt5.client.book import UNREADABLE, Book
from pepperstone_adapter.mt5.client.gateway_link import GatewayLink
from pepperstone_adapter.mt5.client.history import Pause
from pepperstone_adapter.mt5.client.live_bars import LiveBars
from pepperstone_adapter.mt5.client.market_rows import WRONG_TIME, MarketRows
from pepperstone_adapter.mt5.client.probe import Finding, probe
from pepperstone_adapter.mt5.client.protocol import GatewayDown, GatewayNews, GatewayUp, kind_of
from pepperstone_adapter.mt5.client.quotes import Quotes
from pepperstone_adapter.mt5.client.server_clock import closes, symbols_to_watch
from pepperstone_adapter.mt5.client.symbols import Symbols
from pepperstone_adapter.mt5.client.trader import CAPABILITIES, Trader
from pepperstone_adapter.mt5.gateway.wire import WireError

NS: Final = 1_000_000_000
DAY_S: Final = 86_400
LOOKUP_S: Final = 0.5
SNAPSHOT_TRIES: Final = 5
SANDBOX_TRIES: Final = 4  # a simulated terminal is there at once or not at all
LISTS: Final = ("orders", "positions")
BY_TICKET: Final = frozenset({"orders_get", "positions_get", "history_orders_get", "history_deals_get"})
type OpenLink = Callable[[Callable[[Sequence[GatewayNews]], None]], GatewayLink]


class Mt5Session:
    """One account; see `broker.session` for the contract of every verb.

    Parameters
    ----------
    open_link
        Makes the link to a gateway, given where its news go; called on the node's loop.
    now_ns, pause
        The time and how to wait for it, where it is not this machine's (a broker that is simulated faster).
    """

    def __init__(
        self,
        account: Mt5Account,
        open_link: OpenLink,
        now_ns: Callable[[], int] = time.time_ns,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._now_ns = now_ns
        self._expected = account
        self._open_link = open_link
        self._clock = parse_clock(account.server_time)
        self.capabilities: Capabilities = replace(CAPABILITIES, server_clock=replace(self._clock, wall_hours=True))
        self._market_rows = MarketRows(self._emit, now_ns)
        self._quotes = Quotes(self._call, self._clock, self._market_rows, self._emit, now_ns)
        self._link: GatewayLink | None = None
        self._on_events: OnEvents = lambda _events: None
        self._rows: dict[str, Any] = {}
        self._aliases = Aliases()
        self._book = Book({}, self._clock)
        self._symbols = Symbols(account, self._rows, self._book.specs)
        self._account: AccountSnapshot | None = None
        self._up = self._started = self._down_told = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._recovering: asyncio.Task[Any] | None = None
        self._trader = Trader(
            account.login, self._call, self._book, self._rows, self._ready, self._clock_known, self._emit, now_ns
        )
        self._left_out: list[BrokerEvent] = []
        self._unready = ""  # what the terminal still lacks
        self._early: list[GatewayNews] = []  # what the gateway told while the first snapshot was read
        self._alive_s = self._now_ns() // NS
        self._bars = LiveBars(self._spec, self.history_bars, self._emit, self._clock, self._quotes.server_now_ns, pause)

    # -- connecting ---------------------------------------------------------------------------------------------------

    async def connect(self, on_events: OnEvents) -> BrokerSnapshot:
        self._on_events = on_events
        self._link = self._open_link(self._on_news)
        try:
            deadline_s = asyncio.get_running_loop().time() + self._expected.connect_timeout_s
            await self._link.open(self._expected.connect_timeout_s)
            async with asyncio.timeout_at(deadline_s):
                await self._terminal_attached()
                account = await self._read_account()
                self._early.clear()  # older than the look at the terminal that this ends with
                await self._load_symbols()
                snapshot = await self._first_snapshot(account)
        except TimeoutError:
            await self.close()
            raise self._not_ready(f"within {self._expected.connect_timeout_s:g} s") from None
        except BaseException:
            await self.close()
            raise
        self._up = self._started = True
        self._spawn(self._watch())
        # After the snapshot, which the caller has first: a deal made while it was read is in neither of the two.
        loop = asyncio.get_running_loop()
        loop.call_soon(self._emit, self._left_out)
        loop.call_soon(self._on_news, ())
        return snapshot

    async def close(self) -> None:
        self._market_rows.tell(last=True)
        self._up = self._started = False
        self._bars.close()
        for task in list(self._tasks):
            task.cancel()
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _terminal_attached(self) -> None:
        restarts: int | None = None
        while not (status := await self._call("status"))["up"]:
            restarts = status["restarts"] if restarts is None else restarts
            self._unready = str(status.get("reason", ""))
            if self._expected.sandbox and status["restarts"] - restarts >= SANDBOX_TRIES:
                raise self._not_ready(f"after {SANDBOX_TRIES} tries")
            await asyncio.sleep(0.2)

    def _not_ready(self, when: str) -> ConnectFailed:
        why = f" ({self._unready})" if self._unready else ""
        return ConnectFailed(f"the terminal was not ready {when}{why}; {self._expected.terminal_hint}")

    async def _read_account(self) -> AccountSnapshot:
        """Account and terminal switches, once the trade server is reached; refuses any other account."""
        while True:
            row = await self._call("account_info")
            terminal = await self._call("terminal_info")
            if terminal["connected"] and row["login"]:
                break
            self._unready = "logged in to no account" if terminal["connected"] else "not connected to its trade server"
            await asyncio.sleep(0.5)
        if row["login"] != self._expected.login:
            raise AuthenticationFailed(
                "WRONG_ACCOUNT",
                f"the terminal is logged in to account {row['login']}, settings say {self._expected.login}; "
                "log in there or correct the settings",
            )
        if self._expected.server and row["server"] != self._expected.server:
            raise AuthenticationFailed(
                "WRONG_SERVER", f"the terminal is on {row['server']}, settings say {self._expected.server}"
            )
        snapshot = parsing.account(row, terminal, ts_ns=self._now_ns(), sandbox=self._expected.sandbox)
        self._book.money_digits = snapshot.money_digits
        self._account = snapshot
        return snapshot

    async def _load_symbols(self) -> None:
        rows = await self._call("symbols_get")
        self._aliases.learn(self._expected.symbols, [row["name"] for row in rows])
        self._left_out += self._symbols.load(self._aliases.inbound(rows), self._now_ns())
        self._quotes.watched = symbols_to_watch(self._rows, self._expected.symbols)
        wrong = self._quotes.clock_check.newest(self._rows, self._now_ns())
        if wrong is not None:
            raise ConfigurationError(wrong)

    async def _first_snapshot(self, account: AccountSnapshot) -> BrokerSnapshot:
        for _ in range(SNAPSHOT_TRIES):
            self._early = [item for item in self._early if kind_of(item) not in LISTS]  # older than what is read now
            orders, positions = await self._call("orders_get"), await self._call("positions_get")
            window = self._deals_window()
            deals = await self._call("history_deals_get", *window)
            held = [(row["ticket"], row["volume"]) for row in await self._call("positions_get")]
            told = any(kind_of(item) in LISTS for item in self._early)  # before or after these were read
            if held == [(row["ticket"], row["volume"]) for row in positions] and not told:
                break  # no deal was made between the two: each is in both or in neither
        self._book.start(orders, positions, deals, window[0])
        return self._snapshot(account, orders, positions)

    def _snapshot(self, account: AccountSnapshot, orders: Sequence[Any], positions: Sequence[Any]) -> BrokerSnapshot:
        held = (self._book.position(row) for row in positions)
        states = (self._book.order_state(row) for row in orders)
        return BrokerSnapshot(
            account=account,
            positions=tuple(position for position in held if position is not None),
            orders=tuple(state for state in states if state is not None),
            ts_ns=self._now_ns(),
        )

    # -- news ---------------------------------------------------------------------------------------------------------

    def _on_news(self, news: Sequence[GatewayNews]) -> None:
        if not self._started:
            self._early += [item for item in news if kind_of(item) != "ticks"]
            return
        events, now_ns = list[BrokerEvent](), self._now_ns()
        early, self._early = self._early, []  # newer ones may be here sooner than `connect` hands these over
        for item in (*early, *news):
            if isinstance(item, GatewayUp):
                if not item.resumed:
                    self._quotes.broke()
                if item.terminal:
                    self._recover()
            elif isinstance(item, GatewayDown):
                events += self._down(item.reason, item.permanent, now_ns)
            else:
                try:
                    events += self._on_event(item, now_ns)
                except (*UNREADABLE, WireError) as error:  # what came with it must not be lost; an audit finds it
                    text = f"an event of the gateway ({item['k']}) cannot be read: {type(error).__name__}: {error}"
                    events.append(Notice(level="error", text=text, ts_ns=now_ns))
        self._emit(events)

    def _on_event(self, raw: Any, now_ns: int) -> list[BrokerEvent]:
        item = self._aliases.inbound(raw)
        if item.get("login", self._expected.login) != self._expected.login:
            return []  # of another account; that the terminal shows it, the event of the account says
        match item["k"]:
            case "ticks":
                return self._on_ticks(item, now_ns)
            case "deals":
                return self._book.on_deals(item["rows"], now_ns, item.get("orders", ()))
            case "orders":
                return self._book.on_orders(item["rows"], now_ns)
            case "positions":
                return self._book.on_positions(item["rows"], now_ns)
            case "terminal" if not item["row"]["connected"]:
                return self._down("the terminal has no connection to its trade server", False, now_ns)
            case "terminal" if not self._up and (self._recovering is None or self._recovering.done()):
                self._recover()
                return []
            case "account" | "terminal":
                self._spawn(self._account_changed())
                return []
            case "bad_ticks":
                self._market_rows.count(item["symbol"], f"ticks with {WRONG_TIME}", item["count"])
                return []
            case "tick_gap":
                lost = f"the terminal no longer had the ticks after {item['from_msc']}; some are missing"
                return [Notice(level="warning", text=f"{item['symbol']}: {lost}", ts_ns=now_ns)]
            case "worker" if item["up"]:
                self._recover()
                return []
            case "worker":
                return self._down(f"terminal: {item['reason']}", False, now_ns)
            case _:
                return []

    def _on_ticks(self, item: Any, now_ns: int) -> list[BrokerEvent]:
        spec = self._book.specs.get(item["symbol"])
        if spec is None:
            return []
        ticks, wrong = self._quotes.news(item, spec)
        out: list[BrokerEvent] = [*ticks]
        if wrong is not None:
            out.append(Notice(level="error", text=wrong, ts_ns=now_ns, halt=True))
            out += self._down(wrong, True, now_ns)
        return out

    def _down(self, reason: str, permanent: bool, now_ns: int) -> list[BrokerEvent]:
        self._up, self._book.heard_from_ns = False, None
        if self._recovering is not None:
            self._recovering.cancel()
            self._recovering = None  # what comes with this may begin another
        if self._down_told and not permanent:
            return []
        self._down_told = True
        return [LinkDown(reason, now_ns, permanent)]

    def _recover(self) -> None:
        if self._recovering is not None:
            self._recovering.cancel()
        self._recovering = self._spawn(self._resync())

    async def _resync(self) -> None:
        """Compare a fresh snapshot with the book, then let orders flow."""
        while True:
            try:
                await self._read_account()
                await self._quotes.again(self._now_ns() / NS - self._alive_s)
                await self._compare()
                break
            except AuthenticationFailed as error:
                self._emit(self._down(str(error), True, self._now_ns()))
                return
            except PepperstoneError:  # whatever it was, a session that is not compared must not trade: try again
                await asyncio.sleep(LOOKUP_S)
        if self._account is not None:
            self._emit([AccountChanged(account=self._account, ts_ns=self._now_ns())])
        self._up, self._down_told, self._book.heard_from_ns = True, False, self._now_ns()
        self._emit([LinkUp(self._now_ns())])

    def _deals_window(self) -> tuple[int, int]:
        """Server seconds that hold every deal we may not know: from before the link was lost to the server's future."""
        now_s = self._now_ns() // NS
        return min(now_s - 3 * DAY_S, self._alive_s - DAY_S), now_s + 2 * DAY_S

    async def _compare(self) -> None:
        for _ in range(SNAPSHOT_TRIES):
            lists = self._book.lists
            orders, positions = await self._call("orders_get"), await self._call("positions_get")
            deals = await self._call("history_deals_get", *self._deals_window())
            if self._book.lists == lists:
                break
        now_ns, newest = self._now_ns(), self._book.lists == lists  # else lists newer than these were told meanwhile
        self._emit(self._book.on_deals(deals, now_ns))
        if newest:
            self._emit([*self._book.on_orders(orders, now_ns), *self._book.on_positions(positions, now_ns)])
        await self._ask_for_ended()

    async def _watch(self) -> None:
        """Ask for vanished orders until history knows them; settle what only waiting settles; listen to the clock."""
        with contextlib.suppress(PepperstoneError):  # a link that is lost now subscribes again when it is back
            await self._quotes.watch()
        while True:
            await asyncio.sleep(LOOKUP_S)
            if self._up:
                self._alive_s = self._now_ns() // NS
            try:
                await self._ask_for_ended()
            except PepperstoneError:
                continue
            self._emit(self._book.on_time(self._now_ns()))
            self._market_rows.tell()
            await self._look_at_symbols()

    async def _look_at_symbols(self) -> None:
        if self._up and self._symbols.due(self._now_ns()):
            for name in sorted(self._quotes.wanted):
                with contextlib.suppress(PepperstoneError):  # what is known still counts
                    self._emit(self._symbols.look(await self._call("symbol_info", name), self._now_ns()))

    async def _ask_for_ended(self) -> None:
        for ticket in sorted(self._book.lookups):
            rows = await self._call("history_orders_get", {"ticket": ticket})
            self._emit(self._book.on_ended(ticket, rows, self._now_ns()))

    async def _account_changed(self) -> None:
        try:
            account = await self._read_account()
        except AuthenticationFailed as error:
            self._emit(self._down(str(error), True, self._now_ns()))
        except PepperstoneError:
            return
        else:
            self._emit([AccountChanged(account=account, ts_ns=self._now_ns())])

    def _emit(self, events: Sequence[BrokerEvent]) -> None:
        if events and self._started:
            self._on_events(events)

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _call(self, fn: str, *args: Any, key: str | None = None) -> Any:
        """One call with the user's symbol names going in and coming out; of a list, each ticket once."""
        found = self._aliases.inbound(await self._call_as_is(fn, *self._aliases.outbound(args), key=key))
        return parsing.each_once(found) if fn in BY_TICKET else found

    async def _call_as_is(self, fn: str, *args: Any, key: str | None = None) -> Any:
        if self._link is None:
            raise LinkLost(f"{fn}: not connected; nothing was sent")
        login = self._expected.login if key is not None or fn in BY_TICKET else None
        return await self._link.call(fn, *args, key=key, login=login)

    def _spec(self, symbol: str) -> SymbolSpec:
        spec = self._book.specs.get(symbol)
        if spec is None:
            raise ConfigurationError(f"the account has no symbol {symbol!r}; names must be the broker's own, exact")
        return spec

    # -- market data --------------------------------------------------------------------------------------------------

    async def symbols(self) -> Sequence[SymbolSpec]:
        return tuple(self._book.specs.values())

    async def subscribe_quotes(self, symbols: Sequence[str]) -> None:
        for symbol in symbols:
            await self._quotes.subscribe(self._spec(symbol))

    async def unsubscribe_quotes(self, symbols: Sequence[str]) -> None:
        for symbol in symbols:
            await self._quotes.unsubscribe(symbol)

    async def subscribe_depth(self, symbol: str) -> None:
        raise OrderRefused("UNSUPPORTED", f"{symbol}: MetaTrader symbols at Pepperstone have no depth of market")

    async def unsubscribe_depth(self, symbol: str) -> None:
        del symbol

    async def subscribe_bars(self, symbol: str, period: BarPeriod) -> None:
        self._bars.subscribe(symbol, period)

    async def unsubscribe_bars(self, symbol: str, period: BarPeriod) -> None:
        self._bars.unsubscribe(symbol, period)

    async def history_bars(self, symbol: str, period: BarPeriod, start_ns: int, end_ns: int) -> Sequence[Bar]:
        spec = self._spec(symbol)
        found = await history.bars(self._call, self._market_rows, spec, period, start_ns, end_ns, self._clock)
        now_ns = self._quotes.server_now_ns()
        return [bar for bar in found if history.is_closed(bar, self._clock, now_ns)]

    async def history_ticks(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Tick]:
        return await history.ticks(self._call, self._market_rows, self._spec(symbol), start_ns, end_ns, self._clock)

    # -- orders -------------------------------------------------------------------------------------------------------

    async def submit(self, request: OrderRequest) -> OrderState:
        return await self._trader.submit(request)

    async def amend(self, request: AmendRequest) -> OrderState:
        return await self._trader.amend(request)

    async def cancel(self, order_id: str, symbol: str) -> None:
        await self._trader.cancel(order_id, symbol)

    async def close_position(
        self,
        position_id: str,
        units: Decimal,
        client_order_id: str,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> OrderState:
        return await self._trader.close_position(position_id, units, client_order_id, time_in_force)

    async def close_by(self, position_id: str, other_id: str, client_order_id: str) -> OrderState:
        return await self._trader.close_by(position_id, other_id, client_order_id)

    async def set_protection(self, position_id: str, protection: Protection) -> None:
        await self._trader.set_protection(position_id, protection)

    async def _clock_known(self, request: OrderRequest | AmendRequest) -> None:
        netting = self._account is not None and self._account.mode is PositionMode.NETTING
        if not closes(request, self._book.positions.values() if netting else ()):
            await self._quotes.clock_check.wait(request.symbol, self._now_ns, self._quotes.listen)

    def _ready(self, symbol: str) -> SymbolSpec:
        if not self._up:
            raise LinkLost("no terminal to trade with right now; nothing was sent")
        return self._spec(symbol)

    async def probe(self) -> list[Finding]:
        """What only a real terminal can tell, read without changing anything (see `client.probe`)."""
        wanted = [self._aliases.theirs(name) for name in self._expected.symbols]
        return await probe(self._call_as_is, wanted, self._clock)

    async def symbol_rows(self) -> list[Any]:
        """``symbol_info`` of every symbol as the terminal has them, with the broker's own names."""
        return list(await self._call_as_is("symbols_get"))

    # -- asking -------------------------------------------------------------------------------------------------------

    async def snapshot(self) -> BrokerSnapshot:
        account = await self._read_account()
        return self._snapshot(account, await self._call("orders_get"), await self._call("positions_get"))

    async def find_order(
        self, client_order_id: str | None = None, order_id: str | None = None, since_ns: int = 0
    ) -> FoundOrder | None:
        return await self._trader.find(client_order_id, order_id, since_ns)

    async def deals(self, since_ns: int, until_ns: int) -> Sequence[Deal]:
        return await history.deals(self._call, self._book.deal, since_ns, until_ns, self._clock)
