"""Rows of the terminal (maps of its struct fields) as `broker` structs.

Lots become units by the contract size, floats become Decimals at the symbol's digits, server stamps become UTC by the
clock's rule. A symbol's path in the terminal's tree tells its asset class, because the module has no field for it.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pepperstone_adapter.broker.account import AccountSnapshot, Environment, PositionMode
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.orders import (
    Deal,
    DealEntry,
    DealReason,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
    Protection,
    Side,
    TimeInForce,
)
from pepperstone_adapter.broker.server_time import ServerClock
from pepperstone_adapter.broker.symbols import AssetClass, SwapMode, SwapTerms, SymbolSpec, TradingMode, Weekday
from pepperstone_adapter.common.errors import DataError
from pepperstone_adapter.mt5.client.constants import (
    VOLUME_DIGITS,
    AccountKind,
    DealKind,
    Entry,
    Lifetime,
    MarginMode,
    OrderKind,
    OrderStateCode,
    Reason,
    TradeMode,
)
from pepperstone_adapter.mt5.client.errors import PYTHON_SWITCH
from pepperstone_adapter.mt5.client.swaps import swap_rates

type Row = Mapping[str, Any]

MS_NS: Final = 1_000_000
S_NS: Final = 1_000_000_000

_SIDE: Final = {
    OrderKind.BUY: Side.BUY,
    OrderKind.BUY_LIMIT: Side.BUY,
    OrderKind.BUY_STOP: Side.BUY,
    OrderKind.BUY_STOP_LIMIT: Side.BUY,
}
_TYPE: Final = {
    OrderKind.BUY: OrderType.MARKET,
    OrderKind.SELL: OrderType.MARKET,
    OrderKind.BUY_LIMIT: OrderType.LIMIT,
    OrderKind.SELL_LIMIT: OrderType.LIMIT,
    OrderKind.BUY_STOP: OrderType.STOP,
    OrderKind.SELL_STOP: OrderType.STOP,
    OrderKind.BUY_STOP_LIMIT: OrderType.STOP_LIMIT,
    OrderKind.SELL_STOP_LIMIT: OrderType.STOP_LIMIT,
    OrderKind.CLOSE_BY: OrderType.MARKET,
}
_STATUS: Final = {
    OrderStateCode.STARTED: OrderStatus.ACCEPTED,
    OrderStateCode.PLACED: OrderStatus.ACCEPTED,
    OrderStateCode.CANCELED: OrderStatus.CANCELED,
    OrderStateCode.PARTIAL: OrderStatus.PARTIALLY_FILLED,
    OrderStateCode.FILLED: OrderStatus.FILLED,
    OrderStateCode.REJECTED: OrderStatus.REJECTED,
    OrderStateCode.EXPIRED: OrderStatus.EXPIRED,
    OrderStateCode.REQUEST_ADD: OrderStatus.ACCEPTED,
    OrderStateCode.REQUEST_MODIFY: OrderStatus.ACCEPTED,
    OrderStateCode.REQUEST_CANCEL: OrderStatus.ACCEPTED,
}
_LIFETIME: Final = {
    Lifetime.GTC: TimeInForce.GTC,
    Lifetime.DAY: TimeInForce.DAY,
    Lifetime.SPECIFIED: TimeInForce.GTD,
    Lifetime.SPECIFIED_DAY: TimeInForce.GTD,
}
_ENTRY: Final = {
    Entry.IN: DealEntry.IN,
    Entry.OUT: DealEntry.OUT,
    Entry.INOUT: DealEntry.IN_OUT,
    Entry.OUT_BY: DealEntry.OUT_BY,
}
_REASON: Final = {
    Reason.SL: DealReason.STOP_LOSS,
    Reason.TP: DealReason.TAKE_PROFIT,
    Reason.SO: DealReason.STOP_OUT,
    Reason.ROLLOVER: DealReason.ROLLOVER,
}
_CLASSES: Final = (
    ("crypto", AssetClass.CRYPTO),
    ("metal", AssetClass.METAL),
    ("index", AssetClass.INDEX),
    ("indices", AssetClass.INDEX),
    ("energ", AssetClass.ENERGY),
    ("commodit", AssetClass.ENERGY),
    ("share", AssetClass.SHARE),
    ("stock", AssetClass.SHARE),
    ("equit", AssetClass.SHARE),
    ("forex", AssetClass.FX),
    ("fx", AssetClass.FX),
)


def number(value: float, digits: int | None = None) -> Decimal:
    """A float of the terminal as the decimal a person reads; rounded to `digits` where given."""
    exact = Decimal(repr(float(value)))
    return round(exact, digits) if digits is not None else exact


def units_of(lots: float, contract_size: Decimal) -> Decimal:
    """Lots of the terminal in units. The server counts 10^-8 lots; what a float has beyond that is its own noise."""
    return number(lots, VOLUME_DIGITS) * contract_size


def price(value: float, digits: int) -> Decimal | None:
    """A price; the terminal writes 0.0 for "none"."""
    return number(value, digits) if value else None


def symbol_spec(row: Row, hours: TradingHours, leverage_class: str, source: str) -> SymbolSpec:
    """``symbol_info`` of one symbol. Trading sessions and leverage classes are not in the module: they are given.

    Raises
    ------
    DataError
        A row that nothing could be traded by: no contract size, no volume step, a mode the module does not have.
    """
    for name in ("trade_contract_size", "volume_step"):
        if not row[name] > 0:
            raise DataError(f"symbol {row['name']}: {name} is {row[name]}")
    if row["trade_mode"] not in tuple(TradeMode):
        raise DataError(f"symbol {row['name']}: trade_mode {row['trade_mode']} is none the module has")
    contract = number(row["trade_contract_size"]).normalize()
    digits = int(row["digits"])
    asset_class = asset_class_of(row["path"])
    triple = int(row["swap_rollover3days"])
    mode = TradeMode(row["trade_mode"])
    swap_mode, swap_long, swap_short = swap_rates(row) or (SwapMode.DISABLED, Decimal(0), Decimal(0))
    return SymbolSpec(
        name=row["name"],
        description=row["description"],
        asset_class=asset_class,
        base_currency=row["currency_base"] or row["name"],
        quote_currency=row["currency_profit"],
        digits=digits,
        # FX is quoted in tenths of a pip when it has an odd number of digits.
        pip_position=digits - 1 if asset_class is AssetClass.FX and digits % 2 else digits,
        contract_size=contract,
        volume_min=units_of(row["volume_min"], contract),
        volume_step=units_of(row["volume_step"], contract),
        volume_max=units_of(row["volume_max"], contract),
        hours=hours,
        swap=SwapTerms(
            mode=swap_mode,
            long=swap_long,
            short=swap_short,
            # The terminal counts from Sunday = 0, we from Monday.
            triple_day=list(Weekday)[(triple - 1) % 7],
            weekend=asset_class is AssetClass.CRYPTO,
        ),
        leverage_class=leverage_class,
        trading_mode={TradeMode.DISABLED: TradingMode.DISABLED, TradeMode.CLOSE_ONLY: TradingMode.CLOSE_ONLY}.get(
            mode, TradingMode.ENABLED
        ),
        short_selling=mode is not TradeMode.LONG_ONLY,
        stops_distance_points=int(row["trade_stops_level"]),
        margin_currency=row["currency_margin"] or None,
        source=source,
    )


def asset_class_of(path: str) -> AssetClass:
    """From the folders above the symbol, ``Forex\\Majors\\EURUSD``; the first folder that tells wins."""
    for folder in path.lower().replace("/", "\\").split("\\")[:-1]:
        for word, asset_class in _CLASSES:
            if word in folder:
                return asset_class
    return AssetClass.OTHER


def each_once(rows: list[Row]) -> list[Row]:
    """Orders, positions or deals by their tickets: a history being loaded may show a row twice."""
    return list({row["ticket"]: row for row in rows}.values())


def account(row: Row, terminal: Row, ts_ns: int, sandbox: bool = False) -> AccountSnapshot:
    """``account_info`` with the terminal's switches; the note names the switch to press.

    Closing is allowed exactly where trading is: each of these switches makes the terminal refuse every request, a close
    and a removal too (-8, 10017, 10026, 10027, 10031). What may only be closed is told per symbol (``trade_mode`` 3).
    """
    notes = []
    if not row["trade_allowed"]:
        notes.append("the account may not trade (investor password, or disabled by the broker)")
    if not row["trade_expert"]:
        notes.append("the broker does not allow automated trading on this account")
    if not terminal["trade_allowed"]:
        notes.append("press the 'Algo Trading' button in the terminal's toolbar so that it is green")
    if terminal["tradeapi_disabled"]:
        notes.append(PYTHON_SWITCH)
    if not terminal["connected"]:
        notes.append("the terminal has no connection to the trade server")
    digits = int(row["currency_digits"])
    real = AccountKind(row["trade_mode"]) is AccountKind.REAL
    netting = MarginMode(row["margin_mode"]) is not MarginMode.RETAIL_HEDGING
    return AccountSnapshot(
        account_number=str(row["login"]),
        environment=Environment.SANDBOX if sandbox else Environment.LIVE if real else Environment.DEMO,
        broker=row["company"],
        currency=row["currency"],
        money_digits=digits,
        mode=PositionMode.NETTING if netting else PositionMode.HEDGING,
        balance=number(row["balance"], digits),
        leverage=Decimal(row["leverage"]),
        equity=number(row["equity"], digits),
        used_margin=number(row["margin"], digits),
        trading_allowed=not notes,
        closing_allowed=not notes,
        trading_note="; ".join(notes),
        ts_ns=ts_ns,
    )


def half_id(order: int, position: int) -> str:
    """A close-by is one order with a deal on each of two positions. Everywhere else an order has one side and one
    position, so it is told as two halves: ``order/position``. Its own half is the one on the position it names first."""
    return f"{order}/{position}"


def ticket_of(order_id: str) -> int:
    """The terminal's ticket behind an order id, also behind one half of a close-by."""
    return int(order_id.partition("/")[0])


def order(row: Row, spec: SymbolSpec, clock: ServerClock, client_order_id: str | None) -> OrderState:
    """A working or ended order (``TradeOrder``)."""
    kind = OrderKind(row["type"])
    status = _STATUS[OrderStateCode(row["state"])]
    units = units_of(row["volume_initial"], spec.contract_size)
    left = units_of(row["volume_current"], spec.contract_size)
    filled = units - left
    if status is OrderStatus.ACCEPTED and filled > 0:
        status = OrderStatus.PARTIALLY_FILLED
    stop_limit = kind in (OrderKind.BUY_STOP_LIMIT, OrderKind.SELL_STOP_LIMIT)
    first = price(row["price_open"], spec.digits)
    is_limit = kind in (OrderKind.BUY_LIMIT, OrderKind.SELL_LIMIT)
    is_stop = stop_limit or kind in (OrderKind.BUY_STOP, OrderKind.SELL_STOP)
    return OrderState(
        order_id=half_id(row["ticket"], row["position_id"]) if kind is OrderKind.CLOSE_BY else str(row["ticket"]),
        symbol=row["symbol"],
        side=_SIDE.get(kind, Side.SELL),
        type=_TYPE[kind],
        status=status,
        units=units,
        filled_units=filled,
        client_order_id=client_order_id,
        position_id=str(row["position_id"]) if row["position_id"] else None,
        time_in_force=_LIFETIME[Lifetime(row["type_time"])],
        limit_price=price(row["price_stoplimit"], spec.digits) if stop_limit else first if is_limit else None,
        stop_price=first if is_stop else None,
        expires_ns=clock.to_utc_ns(row["time_expiration"] * S_NS) if row["time_expiration"] else None,
        protection=protection(row, spec.digits),
        closing=bool(row["position_id"]) and row["position_id"] != row["ticket"],
        stop_out=row["reason"] == Reason.SO,
        comment=row["comment"],
        created_ns=clock.to_utc_ns(row["time_setup_msc"] * MS_NS),
        updated_ns=clock.to_utc_ns((row["time_done_msc"] or row["time_setup_msc"]) * MS_NS),
    )


def protection(row: Row, digits: int) -> Protection | None:
    """Levels of an order or a position; None when it has none."""
    stop_loss, take_profit = price(row["sl"], digits), price(row["tp"], digits)
    if stop_loss is None and take_profit is None:
        return None
    return Protection(stop_loss=stop_loss, take_profit=take_profit)


def is_trade(row: Row) -> bool:
    """Whether a deal is an execution; balance, credit and fee rows are not."""
    return row["type"] in (DealKind.BUY, DealKind.SELL)


def deal(row: Row, spec: SymbolSpec, clock: ServerClock, money_digits: int, client_order_id: str | None) -> Deal:
    """An execution (``TradeDeal``); commission and fee are this deal's own, in account currency, negative = charge.

    Each deal of a close-by names its half of the order (`half_id`).
    """
    units = units_of(row["volume"], spec.contract_size)
    entry = _ENTRY[Entry(row["entry"])]
    return Deal(
        deal_id=str(row["ticket"]),
        order_id=half_id(row["order"], row["position_id"]) if entry is DealEntry.OUT_BY else str(row["order"]),
        position_id=str(row["position_id"]),
        symbol=row["symbol"],
        side=Side.BUY if row["type"] == DealKind.BUY else Side.SELL,
        units=units,
        price=number(row["price"], spec.digits),
        ts_ns=clock.to_utc_ns(row["time_msc"] * MS_NS),
        entry=entry,
        commission=number(row["commission"] + row["fee"], money_digits),
        gross_profit=number(row["profit"], money_digits),
        swap=number(row["swap"], money_digits),
        closed_units=units if entry in (DealEntry.OUT, DealEntry.OUT_BY) else Decimal(0),
        reason=_REASON.get(row["reason"], DealReason.CLIENT),
        client_order_id=client_order_id,
        tag=row["comment"],
    )


def position(row: Row, spec: SymbolSpec, clock: ServerClock, money_digits: int) -> PositionState:
    """An open position (``TradePosition``): `identifier` is who it is, `ticket` what a request must name."""
    return PositionState(
        position_id=str(row["identifier"]),
        symbol=row["symbol"],
        side=Side.BUY if row["type"] == DealKind.BUY else Side.SELL,
        units=units_of(row["volume"], spec.contract_size),
        open_price=number(row["price_open"]),
        opened_ns=clock.to_utc_ns(row["time_msc"] * MS_NS),
        swap=number(row["swap"], money_digits),
        protection=protection(row, spec.digits),
        ticket=str(row["ticket"]),
        comment=row["comment"],
        updated_ns=clock.to_utc_ns((row["time_update_msc"] or row["time_msc"]) * MS_NS),
    )
