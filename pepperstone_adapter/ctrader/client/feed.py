"""Live prices of one account: quotes, depth, bars, and what is subscribed. Lives in the network thread.

What a caller wants is kept here and asked for again after every new connection, each thing once. Bars ride on quotes,
so a bar subscription brings a quiet quote subscription with it. A bar that ends is asked for once more from history
before it is handed over: the stream's own picture of it lags; if history does not answer in time the picture is used.
Bars that ended while the link was down are read from history after it and handed over late, all of them in order,
before any later one: an indicator that misses bars is wrong for long. One window of history is read; what is older, or
cannot be read, is counted and told.
"""

from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any

from pepperstone_adapter.broker.market import Bar, BarPeriod
from pepperstone_adapter.common.errors import DataError, PepperstoneError, VenueError
from pepperstone_adapter.ctrader.client import market
from pepperstone_adapter.ctrader.client.desk import Desk
from pepperstone_adapter.ctrader.client.errors import is_benign, is_refusal
from pepperstone_adapter.ctrader.client.history import BAR_WINDOW_MS, History
from pepperstone_adapter.ctrader.client.live_bars import BarCloser, BarLine
from pepperstone_adapter.ctrader.client.symbols import UnknownSymbol
from pepperstone_adapter.openapi import messages as oa

CONFIRM_S = 2.0  # for the queue (many bars end in one second, history is asked five times in it), then for the answer
CONFIRM_DELAY_S = 1.0  # a finished bar is in history within a second
BATCH = 100
NOT_SUBSCRIBED = ("NOT_SUBSCRIBED_TO_SPOTS", "INVALID_REQUEST")


class Feed:
    """Subscriptions and their data."""

    def __init__(self, desk: Desk, history: History) -> None:
        self._desk = desk
        self._history = history
        self._quotes: set[int] = set()
        self._depth: set[int] = set()
        self._bars: dict[tuple[int, BarPeriod], BarCloser] = {}
        self._by_symbol: dict[int, list[BarCloser]] = {}
        self._lines: dict[tuple[int, BarPeriod], BarLine] = {}
        self._links_lost = 0
        self._streaming: set[int] = set()  # symbols whose spots the venue sends on this connection
        self._given_up: set[int] = set()  # streaming for bars or depth only: quotes asked for again begin anew
        self._behind_ns = 0  # how far the venue's last tick was behind this machine's clock (negative: ahead)
        self.bad_prices = 0

    # -- what is wanted ---------------------------------------------------------------------------------------------

    async def quotes(self, symbols: Sequence[str]) -> None:
        ids = [self._desk.symbols.id_of(name) for name in symbols]
        self._quotes.update(ids)
        for symbol_id in self._given_up.intersection(ids):
            await self._renew(symbol_id)
        await self._stream(ids)

    async def no_quotes(self, symbols: Sequence[str]) -> None:
        ids = [self._desk.symbols.id_of(name) for name in symbols]
        self._quotes.difference_update(ids)
        await self._stop_unused(ids)
        self._given_up.update(self._streaming.intersection(ids))

    async def depth(self, symbol: str) -> None:
        symbol_id = self._desk.symbols.id_of(symbol)
        self._depth.add(symbol_id)
        if self._desk.up:
            await self._stream([symbol_id])
            await self._depth_request([symbol_id])

    async def no_depth(self, symbol: str) -> None:
        symbol_id = self._desk.symbols.id_of(symbol)
        self._depth.discard(symbol_id)
        if self._desk.up:
            await self._end(oa.UnsubscribeDepthQuotesReq(symbolId=[symbol_id]), oa.UnsubscribeDepthQuotesRes)
        await self._stop_unused([symbol_id])

    async def bars(self, symbol: str, period: BarPeriod) -> None:
        if period not in market.PERIODS:
            raise DataError(f"this venue has no {period} bars")
        symbol_id = self._desk.symbols.id_of(symbol)
        if (symbol_id, period) not in self._bars:
            self._bars[symbol_id, period] = BarCloser(period)
            self._lines[symbol_id, period] = BarLine(period)
            self._index()
        if self._desk.up:
            await self._stream([symbol_id])
            await self._bar_request(period, [symbol_id])

    async def no_bars(self, symbol: str, period: BarPeriod) -> None:
        symbol_id = self._desk.symbols.id_of(symbol)
        self._bars.pop((symbol_id, period), None)
        self._lines.pop((symbol_id, period), None)
        self._index()
        if self._desk.up:
            message = oa.UnsubscribeLiveTrendbarReq(symbolId=symbol_id, period=market.PERIODS[period])
            await self._end(message, oa.UnsubscribeLiveTrendbarRes)
        await self._stop_unused([symbol_id])

    def reset(self) -> None:
        """The connection is gone: nothing streams any more; what is wanted stays."""
        self._streaming.clear()
        self._given_up.clear()
        self._links_lost += 1
        self._bars = {key: BarCloser(key[1]) for key in self._bars}
        self._index()
        for line in self._lines.values():
            line.interrupt()

    async def resubscribe(self) -> None:
        """Ask for everything that is wanted, once, on a new connection."""
        self._streaming.clear()
        wanted = self._quotes | self._depth | {symbol_id for symbol_id, _ in self._bars}
        await self._ask_again("quotes", wanted, lambda ids: self._stream(ids, force=True))
        await self._ask_again("order book", self._depth, self._depth_request)
        for symbol_id, period in list(self._bars):
            await self._ask_again(f"{period} bars", {symbol_id}, partial(self._bar_request, period))
        for (symbol_id, period), line in self._lines.items():
            if line.next_ns:
                self._desk.later(self._hand_over_missed(self._desk.symbols.by_id(symbol_id).name, period, line))

    async def _ask_again(
        self, what: str, symbol_ids: Collection[int], ask: Callable[[list[int]], Coroutine[Any, Any, None]]
    ) -> None:
        """Subscribe anew. What the venue refuses must keep neither orders nor other symbols waiting: it is told."""
        if not symbol_ids:
            return
        try:
            await ask(sorted(symbol_ids))
        except VenueError as error:
            if not is_refusal(error):
                raise
            if len(symbol_ids) > 1:
                for symbol_id in sorted(symbol_ids):
                    await self._ask_again(what, {symbol_id}, ask)
                return
            name = self._desk.symbols.by_id(*symbol_ids).name
            self._desk.notice(
                "error", f"{name}: the venue refuses its {what} ({error}); asked for again on the next link"
            )

    # -- what comes -------------------------------------------------------------------------------------------------

    def spot(self, event: oa.SpotEvent) -> None:
        desk, symbol_id = self._desk, event.symbolId
        try:
            spec = desk.symbols.by_id(symbol_id)
        except UnknownSymbol as error:
            self._unusable(error)
            return
        now_ns = desk.now_ns
        tick = market.tick(event, spec)
        if tick is not None:
            if symbol_id in self._quotes:
                desk.emit((tick,))
            if tick.ts_ns:
                self._behind_ns = now_ns - tick.ts_ns
                desk.venue_ns = max(desk.venue_ns, tick.ts_ns)
            if tick.bid is not None:
                for closer in self._by_symbol.get(symbol_id, ()):
                    closer.bid(tick.bid, tick.ts_ns or now_ns)
        for entry in event.trendbar:
            period = market.PERIOD_OF.get(entry.period)
            wanted = self._bars.get((symbol_id, period)) if period is not None else None
            if wanted is None or period is None:
                continue
            try:
                done = wanted.bar(market.bar(entry, spec, period, now_ns))
            except DataError as error:
                self._unusable(error)
                continue
            self._lines[symbol_id, period].seen(wanted.open_from_ns)
            if done is not None:
                desk.later(self._finish(done, self._lines[symbol_id, period]))

    def depth_event(self, event: oa.DepthEvent) -> None:
        if event.symbolId in self._depth:
            try:
                spec = self._desk.symbols.by_id(event.symbolId)
            except UnknownSymbol:
                return
            self._desk.emit((market.depth(event, spec, self._desk.now_ns),))

    async def close_due_bars(self) -> None:
        """Hand over bars whose time is over, by the venue's clock, while nothing came to end them."""
        for key, closer in list(self._bars.items()):
            done = closer.time(self._desk.now_ns - self._behind_ns)
            if done is not None:
                self._desk.later(self._finish(done, self._lines[key]))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _unusable(self, error: DataError) -> None:
        """Count a price that cannot be used; tell of the first, the tenth, the hundredth ..."""
        self.bad_prices += 1
        if str(self.bad_prices).strip("0") == "1":
            self._desk.notice("warning", f"prices that cannot be used: {self.bad_prices} so far; this one: {error}")

    async def _finish(self, picture: Bar, line: BarLine) -> None:
        """Replace the stream's picture of a finished bar by history's, if that comes in time, and hand it over.

        History is asked from the last bar that was handed over: one that had its ticks while nobody listened, and ended in
        silence, was never in the stream.
        """
        await self._desk.hub.sleep(CONFIRM_DELAY_S)
        first_ns = max(line.next_ns or picture.open_ns, picture.open_ns - BAR_WINDOW_MS[picture.period] * 1_000_000)
        closed = {picture.open_ns: picture}
        try:
            spec = self._desk.symbols.by_name(picture.symbol)
            request = oa.GetTrendbarsReq(
                ctidTraderAccountId=self._desk.account_id,
                symbolId=spec.venue_id,
                period=market.PERIODS[picture.period],
                fromTimestamp=min(first_ns, picture.open_ns) // 1_000_000,
                toTimestamp=picture.open_ns // 1_000_000,
            )
            asked = self._desk.hub.ask(request, answer_s=CONFIRM_S)
            self._desk.hub.sleep(CONFIRM_S).then(
                lambda _none: self._desk.hub.protocol.withdraw(asked), lambda _error: None
            )
            answer = await asked.promise
            if isinstance(answer, oa.GetTrendbarsRes):
                exact = market.bars(answer, spec, picture.period, self._desk.now_ns)
                closed |= {bar.open_ns: bar for bar in exact if bar.open_ns <= picture.open_ns}
        except PepperstoneError:
            pass  # the picture is what there is
        for open_ns in sorted(closed):
            self._desk.emit(line.hand(closed[open_ns]._replace(closed=True)))

    async def _hand_over_missed(self, symbol: str, period: BarPeriod, line: BarLine) -> None:
        """The bars that ended while the link was down, then what waited for them."""
        links_lost = self._links_lost
        await self._desk.hub.sleep(CONFIRM_DELAY_S)
        now_ns = self._desk.now_ns
        start_ns = max(line.next_ns, now_ns - BAR_WINDOW_MS[period] * 1_000_000)
        told = f"{symbol} {period}: "
        try:
            missed = await self._history.bars(symbol, period, start_ns, now_ns)
        except PepperstoneError as error:
            await self._desk.hub.sleep(0)  # a link that goes ends its questions first, and is told as lost after that
            if links_lost != self._links_lost:
                return  # the next connection reads them
            count = line.bars_until(now_ns)
            told += f"up to {count} bars ended while the link was down and could not be read ({error})"
            self._desk.notice("warning", f"{told}; they are left out")
            self._desk.emit(line.resume(()))
            return
        left_out = line.bars_until(start_ns - 1) + 1 if start_ns > line.next_ns else 0
        if len(missed) > 1 or left_out:
            told += f"{len(missed)} bars ended while the link was down; they are handed on late"
            too_old = f"; up to {left_out} before them are too old and left out" if left_out else ""
            self._desk.notice("warning", told + too_old)
        self._desk.emit(line.resume(missed))

    async def _stream(self, symbol_ids: Sequence[int], force: bool = False) -> None:
        if not (self._desk.up or force):
            return  # asked for when the gate opens
        new = [symbol_id for symbol_id in symbol_ids if symbol_id not in self._streaming]
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            message = oa.SubscribeSpotsReq(symbolId=batch, subscribeToSpotTimestamp=True)
            self._streaming.update(batch)
            try:
                await self._benign(message, oa.SubscribeSpotsRes)
            except PepperstoneError:
                self._streaming.difference_update(batch)
                raise

    async def _renew(self, symbol_id: int) -> None:
        """End a symbol's stream at the venue and begin it again, with the bars and the depth that ride on it.

        Whoever gives quotes up and asks for them again may have a stream that has silently died.
        """
        self._given_up.discard(symbol_id)
        if not self._desk.up:
            return
        self._streaming.discard(symbol_id)
        await self._end(oa.UnsubscribeSpotsReq(symbolId=[symbol_id]), oa.UnsubscribeSpotsRes)
        await self._stream([symbol_id])
        if symbol_id in self._depth:
            await self._depth_request([symbol_id])
        for barred_id, period in list(self._bars):
            if barred_id == symbol_id:
                await self._bar_request(period, [symbol_id])

    async def _stop_unused(self, symbol_ids: Sequence[int]) -> None:
        used = self._quotes | self._depth | {symbol_id for symbol_id, _ in self._bars}
        unused = [symbol_id for symbol_id in symbol_ids if symbol_id in self._streaming and symbol_id not in used]
        if unused and self._desk.up:
            self._streaming.difference_update(unused)
            self._given_up.difference_update(unused)
            await self._end(oa.UnsubscribeSpotsReq(symbolId=unused), oa.UnsubscribeSpotsRes)

    def _depth_request(self, symbol_ids: list[int]) -> Coroutine[Any, Any, None]:
        return self._benign(oa.SubscribeDepthQuotesReq(symbolId=symbol_ids), oa.SubscribeDepthQuotesRes)

    def _bar_request(self, period: BarPeriod, symbol_ids: list[int]) -> Coroutine[Any, Any, None]:
        (symbol_id,) = symbol_ids
        message = oa.SubscribeLiveTrendbarReq(symbolId=symbol_id, period=market.PERIODS[period])
        return self._benign(message, oa.SubscribeLiveTrendbarRes)

    async def _benign(self, message: Any, answer: type[Any]) -> None:
        message.ctidTraderAccountId = self._desk.account_id
        try:
            await self._desk.read(message, answer)
        except VenueError as error:
            if not is_benign(error):
                raise

    async def _end(self, message: Any, answer: type[Any]) -> None:
        """Unsubscribe; a venue that knows of no such subscription has what we want."""
        try:
            await self._benign(message, answer)
        except VenueError as error:
            if error.code not in NOT_SUBSCRIBED:
                raise

    def _index(self) -> None:
        self._by_symbol = {}
        for (symbol_id, _), closer in self._bars.items():
            self._by_symbol.setdefault(symbol_id, []).append(closer)
