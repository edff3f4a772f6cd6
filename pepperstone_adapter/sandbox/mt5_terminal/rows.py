"""Records of the ledger as the terminal shows them: lots, floats, server time, the module's numbers."""

from decimal import Decimal
from typing import Any, Final

from pepperstone_adapter.broker.orders import DealEntry, DealReason, OrderStatus, OrderType, Side, TimeInForce
from pepperstone_adapter.broker.symbols import AssetClass, SwapMode, SymbolSpec
from pepperstone_adapter.sandbox.ledger import Cash, Deal, Order, Position
from pepperstone_adapter.sandbox.ledger.records import CashKind
from pepperstone_adapter.sandbox.mt5_terminal.prices import Prices
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Symbol
from pepperstone_adapter.sandbox.mt5_terminal.structs import row
from pepperstone_adapter.sandbox.mt5_terminal.wall_clock import server_ms

CASH_TICKET: Final = 50_000_000  # deals of the balance are numbered below the others
ORIGINS: Final = {"": 3, "expert": 3, "client": 0, "mobile": 1, "web": 2}
_KIND: Final = {
    (OrderType.LIMIT, Side.BUY): 2, (OrderType.LIMIT, Side.SELL): 3, (OrderType.STOP, Side.BUY): 4,
    (OrderType.STOP, Side.SELL): 5, (OrderType.STOP_LIMIT, Side.BUY): 6, (OrderType.STOP_LIMIT, Side.SELL): 7,
}  # fmt: skip
_STATE: Final = {
    OrderStatus.ACCEPTED: 1, OrderStatus.CANCELED: 2, OrderStatus.PARTIALLY_FILLED: 3, OrderStatus.FILLED: 4,
    OrderStatus.REJECTED: 5, OrderStatus.EXPIRED: 6,
}  # fmt: skip
_ENTRY: Final = {DealEntry.IN: 0, DealEntry.OUT: 1, DealEntry.IN_OUT: 2, DealEntry.OUT_BY: 3}
_REASON: Final = {DealReason.STOP_LOSS: 4, DealReason.TAKE_PROFIT: 5, DealReason.STOP_OUT: 6, DealReason.ROLLOVER: 7}
_LIFETIME: Final = {TimeInForce.DAY: 1, TimeInForce.GTD: 2}
_SWAP: Final = {
    SwapMode.DISABLED: 0, SwapMode.POINTS: 1, SwapMode.PIPS: 1, SwapMode.MONEY_PER_LOT: 4,
    SwapMode.PERCENT_ANNUAL: 5,
}  # fmt: skip
_CASH: Final = {CashKind.DEPOSIT: 2, CashKind.WITHDRAW: 2, CashKind.DIVIDEND: 15, CashKind.PROTECTION: 5}
_FOLDER: Final = {
    AssetClass.FX: "Forex", AssetClass.METAL: "Metals", AssetClass.INDEX: "Indices", AssetClass.ENERGY: "Energies",
    AssetClass.CRYPTO: "Crypto", AssetClass.SHARE: "Shares", AssetClass.OTHER: "Other",
}  # fmt: skip


def lots(units: Decimal, spec: SymbolSpec) -> float:
    return float(units / spec.contract_size)


def is_pending(order: Order) -> bool:
    return order.type in (OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT)


def order_row(order: Order, spec: SymbolSpec, prices: Prices, filling: int, working: bool, name: str) -> list[Any]:
    buy = order.side is Side.BUY
    kind = 0 if buy else 1
    price, stop_limit = order.average_price or Decimal(0), Decimal(0)
    if order.counter_position_id:
        kind = 8
    elif is_pending(order):
        limit, stop = order.limit_price or Decimal(0), order.stop_price or Decimal(0)
        turned = order.type is OrderType.STOP_LIMIT and order.triggered
        kind = (2 if buy else 3) if turned else _KIND[order.type, order.side]
        price = limit if turned or order.type is OrderType.LIMIT else stop
        stop_limit = limit if order.type is OrderType.STOP_LIMIT and not turned else Decimal(0)
    protect = order.protect
    setup, done = server_ms(order.created_ns), 0 if working else server_ms(order.closed_ns or order.updated_ns)
    return row(
        "TradeOrder",
        ticket=order.order_id,
        time_setup=setup // 1000,
        time_setup_msc=setup,
        time_done=done // 1000,
        time_done_msc=done,
        time_expiration=server_ms(order.expires_ns) // 1000 if order.expires_ns else 0,
        type=kind,
        type_time=_LIFETIME.get(order.time_in_force, 0) if is_pending(order) else 0,
        type_filling=filling,
        state=_STATE[order.status],
        magic=order.magic,
        position_id=0 if working and not order.closing else order.position_id,
        position_by_id=order.counter_position_id,
        reason=_REASON.get(order.reason, ORIGINS[order.origin]),
        volume_initial=lots(order.units, spec),
        volume_current=lots(order.left_units, spec),
        price_open=float(price),
        sl=float(protect.stop_loss or 0) if protect else 0.0,
        tp=float(protect.take_profit or 0) if protect else 0.0,
        price_current=prices.ask if buy else prices.bid,
        price_stoplimit=float(stop_limit),
        symbol=name,
        comment=_comment(order.comment, order.reason, order.stop_price, order.limit_price),
    )


def deal_row(deal: Deal, spec: SymbolSpec, name: str, keep_magic: bool) -> list[Any]:
    at = server_ms(deal.ts_ns)
    level = deal.reason in (DealReason.STOP_LOSS, DealReason.TAKE_PROFIT)
    return row(
        "TradeDeal",
        ticket=deal.deal_id,
        order=deal.order_id,
        time=at // 1000,
        time_msc=at,
        type=0 if deal.side is Side.BUY else 1,
        entry=_ENTRY[deal.entry],
        magic=0 if level and not keep_magic else deal.magic,
        position_id=deal.position_id,
        reason=_REASON.get(deal.reason, ORIGINS[deal.origin]),
        volume=lots(deal.units, spec),
        price=float(deal.price),
        commission=float(deal.commission),
        swap=float(deal.swap),
        profit=float(deal.gross_profit),
        fee=float(deal.conversion_fee),
        symbol=name,
        comment=_comment(deal.comment, deal.reason, deal.price, deal.price),
    )


def cash_row(cash: Cash) -> list[Any]:
    at = server_ms(cash.ts_ns)
    return row(
        "TradeDeal",
        ticket=CASH_TICKET + cash.cash_id,
        time=at // 1000,
        time_msc=at,
        type=_CASH[cash.kind],
        profit=float(cash.amount),
        comment=cash.note,
    )


def opening_row(balance: Decimal, utc_ns: int) -> list[Any]:
    """The first deal of every account: its opening balance."""
    at = server_ms(utc_ns)
    return row(
        "TradeDeal", ticket=CASH_TICKET, time=at // 1000, time_msc=at, type=2, profit=float(balance), comment="Deposit"
    )


def position_row(
    position: Position, spec: SymbolSpec, name: str, ticket: int, price: float, profit: float
) -> list[Any]:
    opened, updated = server_ms(position.opened_ns), server_ms(position.updated_ns or position.opened_ns)
    return row(
        "TradePosition",
        ticket=ticket,
        time=opened // 1000,
        time_msc=opened,
        time_update=updated // 1000,
        time_update_msc=updated,
        type=0 if position.side is Side.BUY else 1,
        magic=position.magic,
        identifier=position.position_id,
        reason=ORIGINS[position.origin],
        volume=lots(position.units, spec),
        price_open=float(position.open_price),
        sl=float(position.stop_loss or 0),
        tp=float(position.take_profit or 0),
        price_current=price,
        swap=float(position.swap),
        profit=profit,
        symbol=name,
        comment=position.comment,
    )


def symbol_row(
    spec: SymbolSpec, rule: Mt5Symbol, name: str, prices: Prices, selected: bool, tick_value: float
) -> list[Any]:
    point = 10.0**-spec.digits
    swap = rule.swap_mode if rule.swap_mode is not None else _SWAP[spec.swap.mode]
    live = prices if selected else Prices(spec.digits, 1, 0)
    triple = spec.swap.triple_day
    return row(
        "SymbolInfo",
        select=selected,
        visible=selected,
        time=live.time_msc // 1000,
        digits=spec.digits,
        spread=round((live.ask - live.bid) / point),
        spread_float=True,
        trade_calc_mode=0 if spec.asset_class is AssetClass.FX else 4,
        trade_mode=rule.trade_mode,
        trade_stops_level=rule.stops_level,
        trade_freeze_level=rule.freeze_level,
        trade_exemode=rule.execution,
        swap_mode=swap,
        # The terminal counts from Sunday = 0.
        swap_rollover3days=(triple.number + 1) % 7 if triple is not None else 0,
        expiration_mode=rule.expiration,
        filling_mode=rule.filling,
        order_mode=rule.order_mode,
        bid=live.bid,
        ask=live.ask,
        point=point,
        trade_tick_value=tick_value,
        trade_tick_value_profit=tick_value,
        trade_tick_value_loss=tick_value,
        trade_tick_size=point,
        trade_contract_size=float(spec.contract_size),
        volume_min=lots(spec.volume_min, spec),
        volume_max=lots(spec.volume_max, spec),
        volume_step=lots(spec.volume_step, spec),
        volume_limit=rule.volume_limit_lots,
        swap_long=float(spec.swap.long),
        swap_short=float(spec.swap.short),
        margin_hedged=float(spec.contract_size),
        currency_base=spec.base_currency,
        currency_profit=spec.quote_currency,
        currency_margin=spec.margin_currency or spec.base_currency,
        description=spec.description,
        name=name,
        path=f"{_FOLDER[spec.asset_class]}\\{name}",
    )


def tick_row(prices: Prices) -> list[Any]:
    return row(
        "Tick",
        time=prices.time_msc // 1000,
        bid=prices.bid,
        ask=prices.ask,
        time_msc=prices.time_msc,
        flags=prices.flags,
    )


def _comment(own: str, reason: DealReason, stop: Decimal | None, target: Decimal | None) -> str:
    match reason:
        case DealReason.STOP_LOSS:
            return f"[sl {stop}]"
        case DealReason.TAKE_PROFIT:
            return f"[tp {target}]"
        case DealReason.STOP_OUT:
            return "[so 50.00%]"
        case _:
            return own
