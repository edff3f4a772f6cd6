"""Reading an account whole, and holding the book against what was read. Lives in the network thread.

Reads do not describe one instant: deals come first, then the snapshot, then single orders that are missing from it. A
thing that is absent from one answer is not gone: an order's own state is asked for, a position is given time.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.events import BrokerEvent, OrderChanged, SymbolChanged
from pepperstone_adapter.broker.orders import OrderState, PositionState
from pepperstone_adapter.broker.session import BrokerSnapshot
from pepperstone_adapter.common.errors import DataError, NotFound, VenueError
from pepperstone_adapter.ctrader.client import parsing
from pepperstone_adapter.ctrader.client.desk import Desk
from pepperstone_adapter.ctrader.client.history import AHEAD_NS, CLOCK_DOUBT_NS, History
from pepperstone_adapter.ctrader.client.symbols import Names, leverage_tiers, symbol_spec
from pepperstone_adapter.openapi import messages as oa

#: An open position may be absent from single answers of the venue for a while.
FLICKER_NS = 25 * 1_000_000_000
SYMBOL_BATCH = 200


class Reconciler:
    """Reads and comparisons of one account.

    Attributes
    ----------
    contact_ns
        When the venue last said something about this account; the gap of an outage begins there.
    """

    def __init__(self, desk: Desk, history: History) -> None:
        self._desk = desk
        self._history = history
        self._names = Names()
        self._missing_since: dict[str, int] = {}
        self.contact_ns = desk.now_ns

    async def begin(self) -> None:
        """Read everything for the first time, without events."""
        desk = self._desk
        await self.load_symbols()
        deals = await self._gap_deals()
        desk.book.mark_deals(str(entry.dealId) for entry in deals)
        await self.read_trader()
        positions, orders = await self.read_positions_and_orders()
        desk.book.load(positions, orders)
        await self.poll_equity()

    async def catch_up(self) -> None:
        """Read everything again after a gap, and emit what changed in it."""
        await self.load_symbols()
        await self.read_trader()
        await self._compare()
        await self.poll_equity()

    async def audit(self) -> None:
        """Compare on a healthy link: events that were never sent are found here."""
        found = await self._compare()
        if found:
            self._desk.notice("info", f"comparison with the venue found {found} change(s) it had not sent yet")
            self._desk.refresh_account()

    async def snapshot(self) -> BrokerSnapshot:
        """Read account, positions and orders now; the book is left alone."""
        await self.read_trader()
        positions, orders = await self.read_positions_and_orders()
        await self.poll_equity()
        return self.as_snapshot(positions, orders)

    def as_snapshot(self, positions: Sequence[PositionState], orders: Sequence[OrderState]) -> BrokerSnapshot:
        account = self._desk.money.now
        if account is None:
            raise DataError("the account has not been read yet")
        return BrokerSnapshot(
            account=account, positions=tuple(positions), orders=tuple(orders), ts_ns=self._desk.now_ns
        )

    # -- comparison -------------------------------------------------------------------------------------------------

    async def _compare(self) -> int:
        desk = self._desk
        by_order: dict[int, None] = {}
        for entry in sorted(await self._gap_deals(), key=lambda d: (d.executionTimestamp, d.dealId)):
            if not desk.book.saw_deal(str(entry.dealId)) and entry.dealStatus in parsing.FILLED_DEALS:
                by_order[entry.orderId] = None
        told: list[BrokerEvent] = []
        for order_id in by_order:
            told += await self._take_details(order_id)
        positions, orders = await self.read_positions_and_orders()
        events, missing_orders, missing_positions = desk.book.compare(positions, orders, desk.now_ns)
        desk.emit(events)
        told += events
        for missing_id in missing_orders:
            if missing_id in desk.book.orders:
                told += await self._take_details(int(missing_id))
        still_missing = self._drop_closed(missing_positions, told)
        return len(told) + self._judge_missing(still_missing)

    def _drop_closed(self, missing: Sequence[str], told: Sequence[BrokerEvent]) -> list[str]:
        """Positions that are missing because deals just learnt closed them whole: no need to wait for those."""
        desk, closed = self._desk, dict[str, Decimal]()
        missing = [key for key in missing if key in desk.book.positions]  # its end may have come while orders were read
        for event in told:
            if isinstance(event, OrderChanged) and event.deal is not None:
                key = event.deal.position_id
                closed[key] = closed.get(key, Decimal(0)) + event.deal.closed_units
        gone = {key for key in missing if closed.get(key, Decimal(0)) >= desk.book.positions[key].units}
        for position_id in sorted(gone):
            desk.emit(desk.book.drop_position(position_id, desk.now_ns))
        return [key for key in missing if key not in gone]

    async def _take_details(self, order_id: int) -> list[BrokerEvent]:
        desk = self._desk
        message = oa.OrderDetailsReq(ctidTraderAccountId=desk.account_id, orderId=order_id)
        try:
            details: oa.OrderDetailsRes = await desk.read(message, oa.OrderDetailsRes)
        except NotFound as error:
            desk.notice("warning", f"order {order_id} is in our books and the venue does not know it: {error}")
            return []
        order, deals = self._history.order_with_deals(details)
        events = desk.book.ended_order(order, deals, desk.now_ns)
        desk.emit(events)
        return events

    def _judge_missing(self, missing: Sequence[str]) -> int:
        desk, found = self._desk, 0
        for position_id in [known for known in self._missing_since if known not in missing]:
            del self._missing_since[position_id]
        for position_id in missing:
            since_ns = self._missing_since.setdefault(position_id, desk.now_ns)
            if desk.now_ns - since_ns >= FLICKER_NS:
                del self._missing_since[position_id]
                events = desk.book.drop_position(position_id, desk.now_ns)
                desk.emit(events)
                found += len(events)
                desk.notice("warning", f"position {position_id} is gone and no deal that closed it was found")
        return found

    async def _gap_deals(self) -> Sequence[oa.Deal]:
        now_ns = self._desk.now_ns
        since_ns = min(self.contact_ns, now_ns) - CLOCK_DOUBT_NS
        return await self._history.raw_deals(since_ns, now_ns + AHEAD_NS)

    # -- reads ------------------------------------------------------------------------------------------------------

    async def read_positions_and_orders(self) -> tuple[list[PositionState], list[OrderState]]:
        desk = self._desk
        message = oa.ReconcileReq(ctidTraderAccountId=desk.account_id, returnProtectionOrders=True)
        answer: oa.ReconcileRes = await desk.read(message, oa.ReconcileRes)
        spec_of, digits = desk.symbols.by_id, desk.money.digits
        positions = [parsing.position_state(entry, spec_of, digits) for entry in answer.position]
        orders = [
            parsing.order_state(entry, spec_of, desk.book.client_id_of(str(entry.orderId))) for entry in answer.order
        ]
        return [entry for entry in positions if entry is not None and entry.units], orders

    async def read_trader(self) -> None:
        message = oa.TraderReq(ctidTraderAccountId=self._desk.account_id)
        answer: oa.TraderRes = await self._desk.read(message, oa.TraderRes)
        self.take_trader(answer.trader)

    def take_trader(self, trader: oa.Trader) -> None:
        currency = self._names.assets.get(trader.depositAssetId, "")
        self._names.swap_free = trader.swapFree
        self._desk.money.trader(trader, currency, self._desk.now_ns)
        self._desk.refresh_account()

    async def poll_equity(self) -> None:
        """Ask for the unrealised profit while there is any, and work the account out."""
        desk = self._desk
        if desk.book.positions:
            message = oa.GetPositionUnrealizedPnLReq(ctidTraderAccountId=desk.account_id)
            answer: oa.GetPositionUnrealizedPnLRes = await desk.read(message, oa.GetPositionUnrealizedPnLRes)
            desk.money.unrealized(answer, desk.book.positions)
        desk.refresh_account()

    # -- symbols ----------------------------------------------------------------------------------------------------

    async def load_symbols(self) -> None:
        """Read every symbol of the account; those that changed are told."""
        desk, account_id = self._desk, self._desk.account_id
        names = Names(tiers=self._names.tiers, swap_free=self._names.swap_free)
        assets: oa.AssetListRes = await desk.read(oa.AssetListReq(ctidTraderAccountId=account_id), oa.AssetListRes)
        names.assets = {asset.assetId: asset.name for asset in assets.asset}
        classes: oa.AssetClassListRes = await desk.read(
            oa.AssetClassListReq(ctidTraderAccountId=account_id), oa.AssetClassListRes
        )
        class_names = {entry.id: entry.name for entry in classes.assetClass}
        categories: oa.SymbolCategoryListRes = await desk.read(
            oa.SymbolCategoryListReq(ctidTraderAccountId=account_id), oa.SymbolCategoryListRes
        )
        names.categories = {
            entry.id: (entry.name, class_names.get(entry.assetClassId, "")) for entry in categories.symbolCategory
        }
        light: oa.SymbolsListRes = await desk.read(oa.SymbolsListReq(ctidTraderAccountId=account_id), oa.SymbolsListRes)
        names.light = {entry.symbolId: entry for entry in light.symbol}
        self._names = names
        await self.load_specs(list(names.light))

    async def load_specs(self, symbol_ids: Sequence[int]) -> None:
        """Read full symbols; one that cannot be read is left out with a notice."""
        desk = self._desk
        as_of = datetime.fromtimestamp(desk.now_ns / 1e9, tz=UTC).date().isoformat()
        known = symbol_table.load()
        for start in range(0, len(symbol_ids), SYMBOL_BATCH):
            batch = symbol_ids[start : start + SYMBOL_BATCH]
            message = oa.SymbolByIdReq(ctidTraderAccountId=desk.account_id, symbolId=batch)
            answer: oa.SymbolByIdRes = await desk.read(message, oa.SymbolByIdRes)
            for symbol in answer.symbol:
                await self._load_tiers(symbol.leverageId)
                try:
                    spec = symbol_spec(symbol, self._names, as_of, known)
                except DataError as error:
                    desk.notice("warning", f"a symbol was left out: {error}")
                    continue
                if desk.symbols.put(spec) and desk.money.telling:
                    desk.emit([SymbolChanged(spec=spec, ts_ns=desk.now_ns)])

    async def _load_tiers(self, leverage_id: int) -> None:
        if leverage_id and leverage_id not in self._names.tiers:
            message = oa.GetDynamicLeverageByIDReq(ctidTraderAccountId=self._desk.account_id, leverageId=leverage_id)
            try:
                answer: oa.GetDynamicLeverageByIDRes = await self._desk.read(message, oa.GetDynamicLeverageByIDRes)
                self._names.tiers[leverage_id] = leverage_tiers(answer.leverage)
            except VenueError:
                self._names.tiers[leverage_id] = ()  # the account's leverage counts then
