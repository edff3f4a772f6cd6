"""One broker account's session as the data client and the execution client of a node share it.

Both clients belong to one node and one loop. Whichever connects first opens the session; the second waits for the same
answer. The session's events are handed on here: market data at once, trading events only once the execution client has
reconciled (until then they are held in order, so nothing is applied twice or lost, reliability F38).
"""

import asyncio
import difflib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nautilus_trader.common import Logger
from nautilus_trader.model import InstrumentId

from pepperstone_adapter.broker.account import AccountSnapshot
from pepperstone_adapter.broker.events import (
    AccountChanged,
    BrokerEvent,
    LinkDown,
    LinkUp,
    Notice,
    OrderChanged,
    PositionChanged,
    SymbolChanged,
)
from pepperstone_adapter.broker.market import Bar, DepthUpdate, Tick
from pepperstone_adapter.broker.session import BrokerSession, BrokerSnapshot
from pepperstone_adapter.broker.symbols import AssetClass, SymbolSpec
from pepperstone_adapter.common.errors import ConfigurationError, LinkError
from pepperstone_adapter.live.quotes import QuoteMerge
from pepperstone_adapter.mapping.instruments import Instrument, instrument_from_spec
from pepperstone_adapter.mapping.orders import MarketView

type MarketEvent = Tick | Bar | DepthUpdate | SymbolChanged | LinkUp | LinkDown
type TradingEvent = OrderChanged | PositionChanged | AccountChanged | LinkUp | LinkDown | Notice


class Connection:
    """A session with what was learnt from it.

    Parameters
    ----------
    open_session
        Makes the session; called once, on the node's loop.
    venue
        Name behind the dot of every instrument id.
    symbols
        Broker names to load and quote; empty loads every symbol and quotes those that are asked for.
    check
        Called with the broker's account before anything else may happen; raises to refuse it (three keys, design D).
    prime_timeout_s
        How long to wait for the first quote of every symbol.

    Attributes
    ----------
    up
        Orders may flow. False from a lost link until the session has reconciled.
    fault
        Why the link will not come back by itself; None while there is hope.
    """

    def __init__(
        self,
        open_session: Callable[[], BrokerSession],
        venue: str,
        symbols: Sequence[str] = (),
        check: Callable[[AccountSnapshot], None] | None = None,
        prime_timeout_s: float = 10.0,
    ) -> None:
        self._open_session = open_session
        self.venue = venue
        self._wanted = tuple(symbols)
        self._check = check
        self._prime_timeout_s = prime_timeout_s
        self._session: BrokerSession | None = None
        self._starting: asyncio.Task[None] | None = None
        self._users = 0
        self._closed = False
        self._log = Logger(f"{venue}-connection")
        self._market: list[Callable[[MarketEvent], None]] = []
        self._trading: Callable[[TradingEvent], None] | None = None
        self._held: list[TradingEvent] = []
        self._primed = asyncio.Event()
        self._reasons: defaultdict[str, set[str]] = defaultdict(set)
        self.all_specs: dict[str, SymbolSpec] = {}  # everything the broker has
        self.specs: dict[str, SymbolSpec] = {}  # what this node has loaded
        self.instruments: dict[str, Instrument] = {}
        self.quotes: defaultdict[str, QuoteMerge] = defaultdict(QuoteMerge)
        self.base_symbols: tuple[str, ...] = ()
        self.account: AccountSnapshot | None = None
        self.snapshot: BrokerSnapshot | None = None
        self.up = False
        self.fault: str | None = None
        self.error: BaseException | None = None
        self.link_losses = 0
        self.rows_left_out = 0  # of market data, by the session, because they cannot be true
        self.execution: Any = None  # this node's execution client on the connection, if it has one
        self.publishes_market = False  # a data client of this node takes this connection's market data

    @property
    def session(self) -> BrokerSession:
        if self._session is None:
            raise LinkError("not connected to the broker yet")
        return self._session

    @property
    def reconciled(self) -> bool:
        """The execution client has taken the account in and follows its events."""
        return self._trading is not None

    async def start(self) -> None:
        """Connect once for all clients; every caller gets the same outcome.

        Raises
        ------
        LinkError, VenueError, ConfigurationError
            What the session said; also kept in `error` for the launcher.
        """
        self._users += 1
        if self._closed:
            raise LinkError("this connection was closed; a new node makes a new one")
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._connect())
        with self.noting_errors():
            await asyncio.shield(self._starting)

    @contextmanager
    def noting_errors(self) -> Iterator[None]:
        """Keep what stops a client's connect in `error`: the framework itself would only say that it timed out."""
        try:
            yield
        except BaseException as error:
            self.error = self.error or error
            raise

    async def stop(self) -> None:
        """Close the session when its last client leaves, also while it is still connecting."""
        self._users = max(0, self._users - 1)
        if not self._users:
            await self.abort()

    async def abort(self) -> None:
        """Close the session for good, in any state, whoever still uses it."""
        self._closed = True
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        self.up = False
        session, self._session, self._starting = self._session, None, None
        if session is not None:
            await session.close()

    async def _connect(self) -> None:
        session = self._open_session()
        self._session = session
        snapshot = await session.connect(self._on_events)
        if self._check is not None:
            try:
                self._check(snapshot.account)
            except BaseException:
                self._session = None
                await session.close()
                raise
        self.account = snapshot.account
        self.snapshot = snapshot
        specs = {spec.name: spec for spec in await session.symbols()}
        self.all_specs = specs
        unknown = [name for name in self._wanted if name not in specs]
        if unknown:
            raise ConfigurationError(_unknown_symbols(unknown, specs))
        held = {p.symbol for p in snapshot.positions} | {o.symbol for o in snapshot.orders}
        quoted = sorted(set(self._wanted) | held)
        pairs = conversion_symbols((specs[name] for name in quoted if name in specs), specs, snapshot.account.currency)
        self.base_symbols = tuple(dict.fromkeys([*quoted, *pairs]))
        loaded = set(self.base_symbols) if self._wanted else set(specs)
        for name in loaded & set(specs):
            self._learn(specs[name])
        self.up = self.up or not self.link_losses  # one that was lost meanwhile says itself when it is back
        await self._prime()

    async def _prime(self) -> None:
        """Wait for one quote of every base symbol: without it the framework refuses orders and cannot convert money."""
        await self.want_quotes(self.base_symbols, "base")
        try:
            async with asyncio.timeout(self._prime_timeout_s):
                while self._unquoted():
                    self._primed.clear()
                    await self._primed.wait()
        except TimeoutError:
            self._log.warning(
                f"no quote within {self._prime_timeout_s:g} s for {', '.join(self._unquoted())}; market orders and "
                "profit in those currencies wait until one comes (closed market?)"
            )

    def _unquoted(self) -> list[str]:
        return [name for name in self.base_symbols if name in self.specs and self.quotes[name].bid is None]

    def _learn(self, spec: SymbolSpec) -> None:
        self.instruments[spec.name] = instrument_from_spec(spec, self.venue)  # first: it may be refused
        self.specs[spec.name] = spec

    def load(self, name: str) -> Instrument | None:
        """An instrument that was not asked for in the settings; None when the broker has no such symbol."""
        if name not in self.instruments and name in self.all_specs:
            self._learn(self.all_specs[name])
        return self.instruments.get(name)

    def symbol_of(self, instrument_id: InstrumentId) -> str:
        return instrument_id.symbol.value

    def market_view(self, symbol: str, now_ns: int) -> MarketView:
        quote, point = self.quotes[symbol], self.specs[symbol].point
        return MarketView(
            bid=None if quote.bid is None else quote.bid * point,
            ask=None if quote.ask is None else quote.ask * point,
            now_ns=now_ns,
        )

    async def want_quotes(self, symbols: Iterable[str], reason: str) -> None:
        """Subscribe what is not subscribed yet; a symbol stays subscribed while any reason is left."""
        new = [name for name in symbols if name in self.specs and not self._reasons[name]]
        for name in symbols:
            self._reasons[name].add(reason)
        if new:
            await self.session.subscribe_quotes(new)

    async def drop_quotes(self, symbol: str, reason: str) -> None:
        self._reasons[symbol].discard(reason)
        if not self._reasons[symbol]:
            await self.session.unsubscribe_quotes([symbol])

    def quoted_symbols(self) -> list[str]:
        return [name for name, reasons in self._reasons.items() if reasons]

    def on_market(self, handler: Callable[[MarketEvent], None]) -> None:
        self._market.append(handler)

    def release_trading(self, handler: Callable[[TradingEvent], None]) -> None:
        """Hand on the trading events held so far, then all that come."""
        self._trading = handler
        held, self._held = self._held, []
        for event in held:
            self._guarded(handler, event)

    def _on_events(self, events: Sequence[BrokerEvent]) -> None:
        for event in events:
            self._guarded(self._on_event, event)

    def _guarded[E: BrokerEvent](self, handle: Callable[[E], None], event: E) -> None:
        """What is wrong with one event must not lose the fills behind it."""
        try:
            handle(event)
        except Exception as error:  # noqa: BLE001 - anything
            self._log.error(f"{event} could not be handled: {type(error).__name__}: {error}")

    def _on_event(self, event: BrokerEvent) -> None:
        if isinstance(event, Tick):
            self._on_tick(event)
        elif isinstance(event, Bar | DepthUpdate):
            for market in self._market:
                market(event)
        elif isinstance(event, SymbolChanged):
            self.all_specs[event.spec.name] = event.spec
            if event.spec.name in self.specs:
                self._learn(event.spec)
            for market in self._market:
                market(event)
        else:
            self._note_state(event)
            if self._trading is None:
                self._held.append(event)
            else:
                self._trading(event)

    def _on_tick(self, tick: Tick) -> None:
        quote = self.quotes[tick.symbol]
        if not quote.update(tick.bid, tick.ask, time.monotonic_ns()):
            return
        for market in self._market:
            market(tick)
        if not self._primed.is_set():
            self._primed.set()

    def _note_state(self, event: TradingEvent) -> None:
        if isinstance(event, AccountChanged):
            self.account = event.account
        elif isinstance(event, LinkUp):
            self.up = True
            self._log.info("link up: reconciled, orders flow again")
            for market in self._market:
                market(event)
        elif isinstance(event, LinkDown):
            self.up = False
            self.link_losses += 1
            for quote in self.quotes.values():
                quote.reset()
            for market in self._market:
                market(event)
            if event.permanent:
                self.fault = event.reason
                self._log.error(f"link down for good: {event.reason}")
            else:
                self._log.warning(f"link down: {event.reason}; reconnecting")
        elif isinstance(event, Notice):
            self.rows_left_out += event.rows_left_out
            {"error": self._log.error, "warning": self._log.warning}.get(event.level, self._log.info)(event.text)


def conversion_symbols(specs: Iterable[SymbolSpec], known: dict[str, SymbolSpec], currency: str) -> list[str]:
    """FX symbols that turn profit and margin of `specs` into the account's currency, shortest way first.

    Raises nothing: a currency the broker has no way from stays unconverted, and the framework says so when it matters.
    """
    pairs: dict[frozenset[str], str] = {}
    for spec in known.values():
        if spec.asset_class is AssetClass.FX:
            pairs.setdefault(frozenset((spec.base_currency, spec.quote_currency)), spec.name)
    out: list[str] = []
    for spec in specs:
        for money in {spec.quote_currency, spec.margin_currency or spec.quote_currency} - {currency}:
            direct = pairs.get(frozenset((money, currency)))
            via = [direct] if direct else _two_steps(money, currency, pairs)
            out += [name for name in via if name not in out]
    return out


def _two_steps(money: str, currency: str, pairs: dict[frozenset[str], str]) -> list[str]:
    for middle in ("USD", "EUR", "GBP"):
        legs = [pairs.get(frozenset(step)) for step in ((money, middle), (middle, currency))]
        if all(legs):
            return [leg for leg in legs if leg]
    return []


def _unknown_symbols(unknown: Sequence[str], specs: dict[str, SymbolSpec]) -> str:
    texts = []
    for name in unknown:
        near = difflib.get_close_matches(name, specs, n=3, cutoff=0.5)
        starts = [s for s in specs if s.upper().startswith(name.upper())][:3]
        hints = list(dict.fromkeys([*near, *starts]))
        texts.append(f"{name}" + (f" (did you mean {', '.join(hints)}?)" if hints else ""))
    return f"the broker has no symbol {'; '.join(texts)}; names must be the broker's own, exact"
