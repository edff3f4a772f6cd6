"""The past: bars, ticks, orders and deals, in pages. Lives in the network thread.

Everything comes in pages of the venue's choosing, bars often shorter than asked for and without saying so; so a window of
them counts as read only when a page comes back with nothing older in it. Lists of deals and orders are read by `paging`.
Windows are no longer than the venue once documented for each kind; repeated rows at the seams are dropped by id.
"""

from collections.abc import Sequence

from pepperstone_adapter.broker.events import Notice
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.orders import Deal, OrderState
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.ctrader.client import market, parsing
from pepperstone_adapter.ctrader.client import units as u
from pepperstone_adapter.ctrader.client.desk import Desk
from pepperstone_adapter.ctrader.client.paging import WEEK_MS, PagedList
from pepperstone_adapter.ctrader.client.symbols import UnknownSymbol
from pepperstone_adapter.openapi import messages as oa

HOUR_NS = 3_600 * 1_000_000_000
#: Our clock is not the venue's: it may be minutes off, or an hour where a clock change was missed. What a start does not
#: see would be told as new later, and what a gap hides would stay hidden; so lists are asked for from so long before.
CLOCK_DOUBT_NS = HOUR_NS + HOUR_NS // 12
#: And until so far beyond our now (a sandbox may run many times as fast): still within one request's week.
AHEAD_NS = 6 * 24 * HOUR_NS
DEAL_ROWS = 1_000
FOREVER_MS = 1 << 62
BAR_WINDOW_MS = {
    **dict.fromkeys((BarPeriod.M1, BarPeriod.M2, BarPeriod.M3, BarPeriod.M4, BarPeriod.M5), 5 * WEEK_MS),
    **dict.fromkeys((BarPeriod.M10, BarPeriod.M15, BarPeriod.M30, BarPeriod.H1), 35 * WEEK_MS),
    **dict.fromkeys((BarPeriod.H4, BarPeriod.H12, BarPeriod.D1), 52 * WEEK_MS),
    **dict.fromkeys((BarPeriod.W1, BarPeriod.MN1), 260 * WEEK_MS),
}
#: Before the first quote of a range both sides must be known: ticks are asked for from a little earlier.
TICK_LEAD_MS = 60_000


class History:
    """Reads of one account's past."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.repaired_bars = 0
        self._withdrawn: set[int] = set()  # symbols whose deals are left out

    # -- market -----------------------------------------------------------------------------------------------------

    async def bars(
        self, symbol: str, period: BarPeriod, start_ns: int, end_ns: int, background: bool = True
    ) -> list[Bar]:
        """Closed bars whose opening lies in ``[start_ns, end_ns)``, ascending."""
        desk = self._desk
        spec = desk.symbols.by_name(symbol)
        if period not in market.PERIODS:
            raise DataError(f"this venue has no {period} bars")
        found: dict[int, Bar] = {}
        start, to = u.ms(start_ns), u.ms(end_ns - 1)
        while to >= start:
            window = max(start, to - BAR_WINDOW_MS[period])
            message = oa.GetTrendbarsReq(
                ctidTraderAccountId=desk.account_id,
                symbolId=spec.venue_id,
                period=market.PERIODS[period],
                fromTimestamp=window,
                toTimestamp=to,
            )
            answer: oa.GetTrendbarsRes = await desk.read(message, oa.GetTrendbarsRes, background=background)
            page = [bar for bar in market.bars(answer, spec, period, desk.now_ns) if u.ms(bar.open_ns) <= to]
            found.update({bar.open_ns: bar for bar in page})
            oldest = u.ms(page[0].open_ns) if page else window
            to = (window if not page or oldest <= window else oldest) - 1
        closed = [found[at] for at in sorted(found) if start_ns <= at < end_ns and found[at].closed]
        repaired = sum(bar.repaired for bar in closed)
        if repaired:
            self.repaired_bars += repaired
            text = f"{symbol} {period}: {repaired} of {len(closed)} bars came without a usable high and were repaired"
            desk.emit([Notice(level="warning", text=text, ts_ns=desk.now_ns, of_rows=True)])
            desk.flush()
        return closed

    async def ticks(self, symbol: str, start_ns: int, end_ns: int) -> list[Tick]:
        """Two-sided quotes in ``[start_ns, end_ns)``, ascending."""
        spec = self._desk.symbols.by_name(symbol)
        start, end = u.ms(start_ns), u.ms(end_ns)
        bids = await self._side_from(spec.venue_id or 0, oa.QuoteType.BID, start, end)
        asks = await self._side_from(spec.venue_id or 0, oa.QuoteType.ASK, start, end)
        return market.merge_ticks(bids, asks, spec, start, end)

    async def _side_from(self, symbol_id: int, side: oa.QuoteType, start: int, end: int) -> list[tuple[int, int]]:
        """One side's ticks in ``[start, end)``, with the price it had at `start` where one can be found: without it the
        other side's first ticks could not be told."""
        found = await self._side(symbol_id, side, start - TICK_LEAD_MS, end - 1)
        if found and found[0][0] > start:
            before = await self._page(symbol_id, side, start - WEEK_MS, start - TICK_LEAD_MS - 1)
            found[:0] = market.tick_chain(before.tickData)[:1]
        return found

    async def _side(self, symbol_id: int, side: oa.QuoteType, start: int, to: int) -> list[tuple[int, int]]:
        out: list[tuple[int, int]] = []
        while to >= start:
            window = max(start, to - WEEK_MS + 1)
            answer = await self._page(symbol_id, side, window, to)
            page = market.tick_chain(answer.tickData)
            out += page
            oldest = page[-1][0] if page else window
            to = oldest - 1 if answer.hasMore and page and oldest <= to else window - 1
        out.reverse()
        return out

    async def _page(self, symbol_id: int, side: oa.QuoteType, first: int, last: int) -> oa.GetTickDataRes:
        message = oa.GetTickDataReq(
            ctidTraderAccountId=self._desk.account_id,
            symbolId=symbol_id,
            type=side,
            fromTimestamp=first,
            toTimestamp=last,
        )
        answer: oa.GetTickDataRes = await self._desk.read(message, oa.GetTickDataRes, background=True)
        return answer

    # -- deals and orders -------------------------------------------------------------------------------------------

    async def deals(self, since_ns: int, until_ns: int) -> list[Deal]:
        """Deals executed in ``[since_ns, until_ns)``, ascending by time then id; each once."""
        desk = self._desk
        out: list[Deal] = []
        for entry in await self.raw_deals(since_ns, until_ns):
            order = desk.book.order(str(entry.orderId))
            try:
                parsed = parsing.deal(entry, desk.symbols.by_id, order, desk.money.digits)
            except UnknownSymbol as error:  # withdrawn since: nothing is open in it; of a new one a message will tell
                self._leave_out(error.symbol_id)
                continue
            if parsed is not None and since_ns <= parsed.ts_ns < until_ns:
                out.append(parsed)
        return sorted(out, key=lambda deal: (deal.ts_ns, int(deal.deal_id)))

    def _leave_out(self, symbol_id: int) -> None:
        if symbol_id not in self._withdrawn:
            self._withdrawn.add(symbol_id)
            text = f"deals in a symbol that the venue does not list (any more) are left out: symbol id {symbol_id}"
            self._desk.notice("warning", text)
            self._desk.flush()

    async def raw_deals(self, since_ns: int, until_ns: int) -> Sequence[oa.Deal]:
        """Every deal of a time range, all pages of all weeks."""

        async def page(first: int, last: int) -> tuple[Sequence[oa.Deal], bool]:
            message = oa.DealListReq(
                ctidTraderAccountId=self._desk.account_id, fromTimestamp=first, toTimestamp=last, maxRows=DEAL_ROWS
            )
            answer: oa.DealListRes = await self._desk.read(message, oa.DealListRes)
            return answer.deal, answer.hasMore

        found = PagedList(page, lambda deal: (deal.dealId, deal.executionTimestamp, deal.executionTimestamp))
        await found.read_weeks(u.ms(since_ns), u.ms(until_ns - 1))
        return found.rows

    async def orders(self, since_ns: int, until_ns: int) -> Sequence[oa.Order]:
        """Every order of a time range, by its creation or its last change: which of them the venue goes by is not known."""

        async def page(first: int, last: int) -> tuple[Sequence[oa.Order], bool]:
            message = oa.OrderListReq(ctidTraderAccountId=self._desk.account_id, fromTimestamp=first, toTimestamp=last)
            answer: oa.OrderListRes = await self._desk.read(message, oa.OrderListRes)
            return answer.order, answer.hasMore

        found = PagedList(page, _order_times)
        await found.read_weeks(u.ms(since_ns), u.ms(until_ns - 1))
        return found.rows

    async def orders_of_position(self, position_id: str) -> Sequence[oa.Order]:
        """Every order of one position."""

        async def page(first: int, last: int) -> tuple[Sequence[oa.Order], bool]:
            message = oa.OrderListByPositionIdReq(
                ctidTraderAccountId=self._desk.account_id, positionId=int(position_id)
            )
            if first:
                message.fromTimestamp = first
            if last != FOREVER_MS:
                message.toTimestamp = last
            answer: oa.OrderListByPositionIdRes = await self._desk.read(message, oa.OrderListByPositionIdRes)
            return answer.order, answer.hasMore

        found = PagedList(page, _order_times)
        await found.read(0, FOREVER_MS)
        return found.rows

    async def order_details(self, order_id: str) -> tuple[OrderState, list[Deal]]:
        """One order, open or ended, with its deals. Raises `NotFound` where the venue does not know it."""
        message = oa.OrderDetailsReq(ctidTraderAccountId=self._desk.account_id, orderId=int(order_id))
        details: oa.OrderDetailsRes = await self._desk.read(message, oa.OrderDetailsRes)
        return self.order_with_deals(details)

    def order_with_deals(self, details: oa.OrderDetailsRes) -> tuple[OrderState, list[Deal]]:
        desk = self._desk
        tied = desk.book.client_id_of(str(details.order.orderId))
        order = desk.claim(parsing.order_state(details.order, desk.symbols.by_id, tied))
        parsed = [parsing.deal(entry, desk.symbols.by_id, order, desk.money.digits) for entry in details.deal]
        deals = [entry for entry in parsed if entry is not None]
        return order, sorted(deals, key=lambda deal: (deal.ts_ns, int(deal.deal_id)))


def _order_times(order: oa.Order) -> tuple[int, int, int]:
    return order.orderId, order.tradeData.openTimestamp, order.utcLastUpdateTimestamp
