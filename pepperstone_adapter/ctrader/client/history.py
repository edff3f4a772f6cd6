"""The past: bars, ticks, orders and deals, in pages. Lives in the network thread.

Every list comes newest first and in pages of the venue's choosing, often shorter than asked for and sometimes without
saying so; so a window counts as read only when a page comes back with nothing older in it. Windows are no longer than
the venue once documented for each kind; repeated rows at the seams are dropped by id.
"""

from collections.abc import Sequence

from pepperstone_adapter.broker.events import Notice
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.orders import Deal, OrderState
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.ctrader.client import market, parsing
from pepperstone_adapter.ctrader.client import units as u
from pepperstone_adapter.ctrader.client.desk import Desk
from pepperstone_adapter.openapi import messages as oa

WEEK_MS = 7 * 86_400_000
HOUR_NS = 3_600 * 1_000_000_000
#: Our clock is not the venue's: it may be minutes off, or an hour where a clock change was missed. What a start does not
#: see would be told as new later, and what a gap hides would stay hidden; so lists are asked for from so long before.
CLOCK_DOUBT_NS = HOUR_NS + HOUR_NS // 12
#: And until so far beyond our now (a sandbox may run many times as fast): still within one request's week.
AHEAD_NS = 6 * 24 * HOUR_NS
DEAL_ROWS = 1_000
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
            parsed = parsing.deal(entry, desk.symbols.by_id, order, desk.money.digits)
            if parsed is not None and since_ns <= parsed.ts_ns < until_ns:
                out.append(parsed)
        return sorted(out, key=lambda deal: (deal.ts_ns, int(deal.deal_id)))

    async def raw_deals(self, since_ns: int, until_ns: int) -> Sequence[oa.Deal]:
        """Every deal of a time range, all pages of all weeks."""
        desk, found = self._desk, dict[int, oa.Deal]()
        start, to = u.ms(since_ns), u.ms(until_ns - 1)
        while to >= start:
            window = max(start, to - WEEK_MS + 1)
            message = oa.DealListReq(
                ctidTraderAccountId=desk.account_id, fromTimestamp=window, toTimestamp=to, maxRows=DEAL_ROWS
            )
            answer: oa.DealListRes = await desk.read(message, oa.DealListRes)
            fresh = [entry for entry in answer.deal if entry.dealId not in found]
            found.update({entry.dealId: entry for entry in fresh})
            oldest = min((entry.executionTimestamp for entry in answer.deal), default=window)
            # The seam is asked for again, so that deals of one millisecond cannot fall between two pages.
            seam = oldest if fresh else oldest - 1
            to = seam if answer.hasMore and answer.deal else window - 1
        return list(found.values())

    async def orders(self, since_ns: int, until_ns: int) -> list[oa.Order]:
        """Every order of a time range. By which of its times the venue filters is not known: both are allowed for."""
        desk, found = self._desk, dict[int, oa.Order]()
        start, to = u.ms(since_ns), u.ms(until_ns - 1)
        while to >= start:
            window = max(start, to - WEEK_MS + 1)
            message = oa.OrderListReq(ctidTraderAccountId=desk.account_id, fromTimestamp=window, toTimestamp=to)
            answer: oa.OrderListRes = await desk.read(message, oa.OrderListRes)
            fresh = [entry for entry in answer.order if entry.orderId not in found]
            found.update({entry.orderId: entry for entry in fresh})
            if not (answer.hasMore and answer.order):
                to = window - 1
                continue
            opened = min(entry.tradeData.openTimestamp for entry in answer.order)
            updated = min(entry.utcLastUpdateTimestamp for entry in answer.order)
            later, earlier = max(opened, updated), min(opened, updated)
            to = min(to - 1, later if fresh and later < to else earlier)
        return list(found.values())

    async def orders_of_position(self, position_id: str) -> list[oa.Order]:
        """Every order of one position, newest first."""
        desk, found, to = self._desk, dict[int, oa.Order](), 0
        while True:
            message = oa.OrderListByPositionIdReq(ctidTraderAccountId=desk.account_id, positionId=int(position_id))
            if to:
                message.toTimestamp = to
            answer: oa.OrderListByPositionIdRes = await desk.read(message, oa.OrderListByPositionIdRes)
            fresh = [entry for entry in answer.order if entry.orderId not in found]
            found.update({entry.orderId: entry for entry in fresh})
            if not (answer.hasMore and fresh):
                return list(found.values())
            to = min(entry.tradeData.openTimestamp for entry in answer.order)

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
