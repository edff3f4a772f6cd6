"""The market data client, for every venue: quotes, order book, bars, instruments, status, history.

Every hook runs on the node's loop and returns quickly; history requests run beside the command queue, so that a long
download never delays a subscription. What a venue does not have is answered with an empty response and one error line
that names it, never with silence.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from nautilus_trader.common import Logger
from nautilus_trader.live import (
    BarsResponse,
    BookResponse,
    InstrumentResponse,
    InstrumentsResponse,
    QuotesResponse,
)
from nautilus_trader.model import BarType, BookType, InstrumentId, OrderBook, PriceType, Venue

from pepperstone_adapter.broker.events import LinkDown, LinkUp, SymbolChanged
from pepperstone_adapter.broker.market import Bar, BarPeriod, DepthUpdate, Tick
from pepperstone_adapter.common.errors import ConfigurationError, PepperstoneError
from pepperstone_adapter.live.absent import ClientWithoutTrades
from pepperstone_adapter.live.built_bars import BuiltBars
from pepperstone_adapter.live.config import LiveDataConfig
from pepperstone_adapter.live.connection import Connection, MarketEvent
from pepperstone_adapter.live.history import load_bars, load_quotes
from pepperstone_adapter.live.market_state import StaleFeed, market_state
from pepperstone_adapter.live.providers import BrokerInstrumentProvider
from pepperstone_adapter.mapping.data import QuoteScale, bar, bar_type_of, period_of
from pepperstone_adapter.mapping.depth import DepthBook


class BrokerDataClient(ClientWithoutTrades):
    """Market data of one connection."""

    def __init__(
        self, *, name: str, config: LiveDataConfig, cache: Any, clock: Any, connection: Connection, venue: Venue
    ) -> None:
        super().__init__(
            name=name,
            config=config,
            cache=cache,
            clock=clock,
            venue=venue,
            instrument_provider=BrokerInstrumentProvider(connection, config.instrument_provider),
        )
        self.connection = connection
        connection.publishes_market = True
        self._stale_after_s = config.stale_after_s
        self._log = Logger(name)
        self._scales: dict[str, QuoteScale] = {}
        self._books: dict[str, DepthBook] = {}
        self._deltas_of: dict[str, bool] = {}  # symbol -> by single quote (L3)
        self._depth_of: dict[str, int] = {}  # symbol -> levels of the depth snapshots
        self._bars: dict[tuple[str, BarPeriod], int] = {}  # subscribed broker bars -> last opening published
        self.built = BuiltBars(connection, self._emit_bar, clock.timestamp_ns, self._log)
        self._status: dict[str, Any] = {}
        self._last_init_ns = 0

    # -- life ---------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self.connection.on_market(self._on_market)
        await self.connection.start()
        for instrument in self.connection.instruments.values():
            self._handle_instrument(instrument)
        for symbol in self.connection.base_symbols:
            if self.connection.quotes[symbol].bid is not None:
                self._publish_quote(symbol)
        self.create_task(self._watch(), "market-watch")

    async def _disconnect(self) -> None:
        await self.connection.stop()

    # -- events -------------------------------------------------------------------------------------------------------

    def _on_market(self, event: MarketEvent) -> None:
        if self.loop is None or not self.connection.instruments:
            return  # before the first connect has finished; the priming quotes are published by `_connect`
        if isinstance(event, Tick):
            self._publish_quote(event.symbol, event)
        elif isinstance(event, Bar):
            self._on_bar(event)
        elif isinstance(event, DepthUpdate):
            self._on_depth(event)
        elif isinstance(event, SymbolChanged):
            self._on_symbol(event)
        elif isinstance(event, LinkDown):
            self._forget_books()
            self.built.interrupt()
        elif isinstance(event, LinkUp) and self.built.interrupted:
            self.create_task(self.built.fill_gaps(), "fill-bar-gaps")

    def _now_ns(self) -> int:
        """Never earlier than the last one, whatever the machine's clock does (F53)."""
        self._last_init_ns = max(self._last_init_ns, self.clock.timestamp_ns())
        return self._last_init_ns

    def _publish_quote(self, symbol: str, tick: Tick | None = None) -> None:
        """With the tick that made it, or told again, to who has just subscribed: then no bar has a tick more of it."""
        scale = self._scales.get(symbol)
        if scale is None:
            instrument = self.connection.instruments.get(symbol)
            if instrument is None:
                return
            scale = self._scales[symbol] = QuoteScale(
                instrument.id, instrument.price_precision, instrument.size_precision
            )
        quote = self.connection.quotes[symbol]
        bid, ask = quote.bid, quote.ask
        if bid is None or ask is None:
            return
        now = self._now_ns()
        book = self._books.get(symbol)
        sizes = book.best_sizes() if book is not None else (None, None)
        ts_ns = tick.ts_ns if tick is not None and tick.ts_ns else now
        self._handle_data(scale.quote(bid, ask, ts_ns, now, *sizes))
        if tick is not None and self.built:
            self.built.quote(symbol, bid, ask, ts_ns)

    def _on_bar(self, event: Bar) -> None:
        key = (event.symbol, event.period)
        last = self._bars.get(key)
        instrument = self.connection.instruments.get(event.symbol)
        if not event.closed or last is None or event.open_ns <= last or instrument is None:
            return
        self._bars[key] = event.open_ns
        self._emit_bar(event, bar_type_of(instrument.id, event.period))

    def _emit_bar(self, event: Bar, bar_type: BarType) -> None:
        instrument = self.connection.instruments[event.symbol]
        digits, size_digits = instrument.price_precision, instrument.size_precision
        clock = self.connection.session.capabilities.server_clock
        self._handle_data(bar(event, bar_type, digits, self._now_ns(), size_digits, clock))

    def _on_depth(self, event: DepthUpdate) -> None:
        book = self._books.get(event.symbol)
        if book is None:
            return
        now = self._now_ns()
        deltas = book.apply(event, self._deltas_of.get(event.symbol, False), now)
        if deltas is None:
            return
        if event.symbol in self._deltas_of:
            self._handle_data(deltas)
        if event.symbol in self._depth_of:
            self._handle_data(book.depth(self._depth_of[event.symbol], event.ts_ns or now, now))

    def _forget_books(self) -> None:
        """At once, and before anything of the next link comes: it brings the books anew, under other quote ids."""
        now = self._now_ns()
        for symbol, book in self._books.items():
            book.clear()
            if symbol in self._deltas_of:
                self._handle_data(book.snapshot(self._deltas_of[symbol], now, now))

    def _on_symbol(self, event: SymbolChanged) -> None:
        instrument = self.connection.instruments.get(event.spec.name)
        if instrument is None:
            return
        self._scales.pop(event.spec.name, None)
        self._handle_instrument(instrument)
        self._log.info(f"{event.spec.name}: the broker changed its definition; published again")

    async def _watch(self) -> None:
        """Once a second: market status changes, silent feeds, bars whose period ended without a tick."""
        stale = StaleFeed(self._stale_after_s)
        while True:
            await asyncio.sleep(1.0)
            now = self.clock.timestamp_ns()
            self.built.close_due()
            for symbol in list(self._status):
                self._publish_status(symbol, now)
            if self.connection.up:
                await self._check_stale(stale, now)

    async def _check_stale(self, stale: StaleFeed, now_ns: int) -> None:
        specs, quotes = self.connection.specs, self.connection.quotes
        trading = [
            (name, quotes[name].ts_ns)
            for name in self.connection.quoted_symbols()
            if name in specs and market_state(specs[name], now_ns).trading
        ]
        gone, back = stale.check(trading, time.monotonic_ns())
        for symbol in back:
            self._log.info(f"{symbol}: quotes are back")
        if gone:
            self._log.warning(
                f"no quote for {self._stale_after_s:g} s in an open market: {', '.join(gone)}; subscribing again"
            )
            self.built.interrupt(gone)  # prices may have passed unseen
            failed: PepperstoneError | None = None
            # Both in any case: a session that has given them up must be told of them again. A venue that was not told takes
            # them for subscribed and does nothing, which is no success.
            for ask in (self.connection.session.unsubscribe_quotes, self.connection.session.subscribe_quotes):
                try:
                    await ask(gone)
                except PepperstoneError as error:
                    failed = error
            if failed is not None:
                stale.again(gone, time.monotonic_ns())
                self._log.warning(f"could not subscribe again, tried once more in {self._stale_after_s:g} s: {failed}")
        dead = set(stale.dead_since_ns)
        if self.connection.up and self.built.to_fill(dead):  # a link that is lost meanwhile is filled when it is back
            self.create_task(self.built.fill_gaps(dead), "fill-bar-gaps")

    def _publish_status(self, symbol: str, now_ns: int) -> None:
        spec = self.connection.specs[symbol]
        state = market_state(spec, now_ns)
        if self._status.get(symbol) != state:
            self._status[symbol] = state
            self._handle_data(state.status(self.connection.instruments[symbol].id, spec.short_selling, now_ns))

    # -- subscriptions ------------------------------------------------------------------------------------------------

    def _symbol(self, instrument_id: InstrumentId) -> str:
        symbol = self.connection.symbol_of(instrument_id)
        known = symbol in self.connection.instruments
        instrument = self.connection.load(symbol)
        if instrument is None or instrument.id != instrument_id:
            raise ConfigurationError(f"{instrument_id}: no such symbol at this broker")
        if not known:
            self._handle_instrument(instrument)
        return symbol

    async def _subscribe_quotes(self, command: Any) -> None:
        symbol = self._symbol(command.instrument_id)
        await self.connection.want_quotes([symbol], "quotes")
        self._publish_quote(symbol)

    async def _unsubscribe_quotes(self, command: Any) -> None:
        await self.connection.drop_quotes(self._symbol(command.instrument_id), "quotes")

    async def _subscribe_bars(self, command: Any) -> None:
        bar_type = command.bar_type
        symbol = self._symbol(bar_type.instrument_id)
        period = period_of(bar_type)
        live = self.connection.session.capabilities.live_bar_periods
        price_type = bar_type.spec.price_type
        if period is None or period not in live:
            raise ConfigurationError(
                f"{bar_type}: the venue has no such live bars; its periods: {', '.join(p.value for p in live)} "
                "(other sizes: let the framework build them with -INTERNAL)"
            )
        if price_type is PriceType.BID:
            self._bars.setdefault((symbol, period), -1)
            await self.connection.session.subscribe_bars(symbol, period)
            return
        if price_type not in (PriceType.ASK, PriceType.MID):
            raise ConfigurationError(f"{bar_type}: the venue has BID bars; ASK and MID are built from ticks")
        self.built.begin(bar_type, symbol, period, price_type)
        await self.connection.want_quotes([symbol], str(bar_type))

    async def _unsubscribe_bars(self, command: Any) -> None:
        bar_type = command.bar_type
        symbol, period = self._symbol(bar_type.instrument_id), period_of(bar_type)
        if self.built.end(bar_type):
            await self.connection.drop_quotes(symbol, str(bar_type))
        elif period is not None and self._bars.pop((symbol, period), None) is not None:
            await self.connection.session.unsubscribe_bars(symbol, period)

    async def _subscribe_book_deltas(self, command: Any) -> None:
        symbol = self._symbol(command.instrument_id)
        by_quote = command.book_type is BookType.L3_MBO
        if self._deltas_of.get(symbol, by_quote) != by_quote:
            raise ConfigurationError(f"{command.instrument_id}: already subscribed with the other book type")
        self._deltas_of[symbol] = by_quote
        if not await self._want_book(symbol):
            now = self._now_ns()
            self._handle_data(self._books[symbol].snapshot(by_quote, now, now))

    async def _unsubscribe_book_deltas(self, command: Any) -> None:
        symbol = self._symbol(command.instrument_id)
        self._deltas_of.pop(symbol, None)
        await self._drop_book(symbol)

    async def _subscribe_book_depth(self, command: Any) -> None:
        symbol = self._symbol(command.instrument_id)
        self._depth_of[symbol] = command.depth or 10
        await self._want_book(symbol)

    async def _unsubscribe_book_depth(self, command: Any) -> None:
        symbol = self._symbol(command.instrument_id)
        self._depth_of.pop(symbol, None)
        await self._drop_book(symbol)

    async def _want_book(self, symbol: str) -> bool:
        """Subscribe the venue's depth; True when it was not subscribed before."""
        if not self.connection.session.capabilities.depth:
            self._deltas_of.pop(symbol, None)
            self._depth_of.pop(symbol, None)
            raise ConfigurationError(f"{symbol}: the venue has no order book for this account")
        if symbol in self._books:
            return False
        instrument = self.connection.instruments[symbol]
        self._books[symbol] = DepthBook(instrument.id, instrument.price_precision, instrument.size_precision)
        await self.connection.session.subscribe_depth(symbol)
        return True

    async def _drop_book(self, symbol: str) -> None:
        if symbol not in self._deltas_of and symbol not in self._depth_of and self._books.pop(symbol, None) is not None:
            await self.connection.session.unsubscribe_depth(symbol)

    async def _subscribe_instrument(self, command: Any) -> None:
        self._handle_instrument(self.connection.instruments[self._symbol(command.instrument_id)])

    async def _unsubscribe_instrument(self, command: Any) -> None:
        """Definitions are published whenever they change; there is nothing to end."""

    async def _subscribe_instruments(self, command: Any) -> None:  # noqa: ARG002 - the framework's signature
        for instrument in self.connection.instruments.values():
            self._handle_instrument(instrument)

    async def _unsubscribe_instruments(self, command: Any) -> None:
        """As for one instrument."""

    async def _subscribe_instrument_status(self, command: Any) -> None:
        symbol = self._symbol(command.instrument_id)
        self._status[symbol] = None
        self._publish_status(symbol, self._now_ns())

    async def _unsubscribe_instrument_status(self, command: Any) -> None:
        self._status.pop(self._symbol(command.instrument_id), None)

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _request_instrument(self, request: Any) -> None:
        symbol = self._symbol(request.instrument_id)
        self._handle_response(
            InstrumentResponse(
                self.client_id,
                request.instrument_id,
                self.connection.instruments[symbol],
                request.request_id,
                self._now_ns(),
                request.start_ns,
                request.end_ns,
                request.params,
            )
        )

    async def _request_instruments(self, request: Any) -> None:
        self._handle_response(
            InstrumentsResponse(
                self.client_id,
                self.venue or Venue(self.connection.venue),
                list(self.connection.instruments.values()),
                request.request_id,
                self._now_ns(),
                request.start_ns,
                request.end_ns,
                request.params,
            )
        )

    async def _request_bars(self, request: Any) -> None:
        async def answer() -> None:
            instrument = self.connection.instruments[self._symbol(request.bar_type.instrument_id)]
            spec = self.connection.specs[instrument.id.symbol.value]
            bars = await self._or_empty(
                f"bars {request.bar_type}",
                lambda: load_bars(
                    self.connection.session,
                    spec,
                    request.bar_type,
                    instrument.size_precision,
                    request.start_ns,
                    request.end_ns,
                    request.limit,
                    self.clock.timestamp_ns(),
                ),
            )
            self._handle_response(
                BarsResponse(
                    self.client_id,
                    request.bar_type,
                    bars,
                    request.request_id,
                    self._now_ns(),
                    request.start_ns,
                    request.end_ns,
                    request.params,
                )
            )

        self.create_task(answer(), f"request-bars-{request.bar_type}")

    async def _request_quotes(self, request: Any) -> None:
        async def answer() -> None:
            instrument = self.connection.instruments[self._symbol(request.instrument_id)]
            scale = QuoteScale(instrument.id, instrument.price_precision, instrument.size_precision)
            quotes = await self._or_empty(
                f"quotes {request.instrument_id}",
                lambda: load_quotes(
                    self.connection.session,
                    instrument.id.symbol.value,
                    scale,
                    request.start_ns,
                    request.end_ns,
                    request.limit,
                    self.clock.timestamp_ns(),
                ),
            )
            self._handle_response(
                QuotesResponse(
                    self.client_id,
                    request.instrument_id,
                    quotes,
                    request.request_id,
                    self._now_ns(),
                    request.start_ns,
                    request.end_ns,
                    request.params,
                )
            )

        self.create_task(answer(), f"request-quotes-{request.instrument_id}")

    async def _or_empty[T](self, what: str, load: Callable[[], Awaitable[list[T]]]) -> list[T]:
        """An asked-for history, or nothing and an error line: a waiting strategy must get its answer either way."""
        try:
            return await load()
        except PepperstoneError as error:
            self._log.error(f"request of {what} failed: {error}")
            return []

    async def _request_book_snapshot(self, request: Any) -> None:
        symbol = self._symbol(request.instrument_id)
        book = OrderBook(request.instrument_id, BookType.L2_MBP)
        now = self._now_ns()
        if symbol in self._books:
            book.apply_deltas(self._books[symbol].snapshot(by_quote=False, ts_event_ns=now, ts_init_ns=now))
        else:
            self._log.error(f"{request.instrument_id}: subscribe to its order book before asking for a snapshot")
        self._handle_response(
            BookResponse(
                self.client_id, request.instrument_id, book, request.request_id, now, None, None, request.params
            )
        )


def publish_quotes(client: Any, connection: Connection) -> None:
    """Publish a connection's instruments and quotes through an execution client.

    For an account without a data client of its own (its quotes are taken from another venue): the framework still
    needs a price of its instruments before it lets an order through.
    """
    scales: dict[str, QuoteScale] = {}
    for instrument in connection.instruments.values():
        client._handle_instrument(instrument)

    def on_market(event: MarketEvent) -> None:
        if not isinstance(event, Tick):
            return
        instrument, quote = connection.instruments.get(event.symbol), connection.quotes[event.symbol]
        if instrument is None or quote.bid is None or quote.ask is None:
            return
        scale = scales.get(event.symbol)
        if scale is None:
            scale = scales[event.symbol] = QuoteScale(
                instrument.id, instrument.price_precision, instrument.size_precision
            )
        now = client.clock.timestamp_ns()
        client._handle_data(scale.quote(quote.bid, quote.ask, event.ts_ns or now, now))

    connection.on_market(on_market)
    for symbol in connection.base_symbols:
        on_market(Tick(symbol, None, None, 0))
