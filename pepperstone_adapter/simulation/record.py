"""What happened in a run, as plain rows: filled while the run goes, read by results and reports.

Money is Decimal in account currency, prices and sizes Decimal (sizes in units), times UTC nanoseconds. Rows are in the
order things happened (orders: in the order they ended, those still open last). Nothing here holds a framework object, so a
row outlives the engine and its cache. Rows are written once and never changed; they are not `frozen` because that makes them
three times as slow to create. A run keeps its rows in tables (`table`), which make the objects when they are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class LedgerKind(StrEnum):
    DEPOSIT = "deposit"
    REALIZED_PNL = "realized_pnl"
    COMMISSION = "commission"
    SWAP = "swap"
    CONVERSION = "conversion"  # conversion fee on profit in a foreign currency
    STOP_OUT_FEE = "stop_out_fee"
    ADJUSTMENT = "adjustment"  # e.g. negative balance protection


@dataclass(slots=True)
class LedgerRow:
    """One change of the balance. `rate` converts `currency` (of the cause) to account currency; `amount` is in account
    currency, already rounded to its cents."""

    ts_ns: int
    kind: LedgerKind
    amount: Decimal
    balance_after: Decimal
    currency: str
    rate: Decimal
    instrument_id: str = ""
    position_id: str = ""
    trade_id: str = ""


@dataclass(slots=True)
class FillRow:
    """One execution with what an outsider needs to recompute the ledger.

    `bid`, `ask` are the market at the fill (before slippage); `rate` converts quote currency to account currency at the
    fill; `commission` is positive when charged; `slippage` is the cost in quote currency per unit (positive = worse).
    """

    ts_ns: int
    trade_id: str
    client_order_id: str
    venue_order_id: str
    position_id: str
    strategy_id: str
    instrument_id: str
    order_type: str
    side: str  # BUY | SELL
    units: Decimal
    price: Decimal
    bid: Decimal
    ask: Decimal
    quote_currency: str
    rate: Decimal
    commission: Decimal
    slippage: Decimal
    reason: str  # client | stop_loss | take_profit | stop_out | trailing_stop


@dataclass(slots=True)
class OrderRow:
    client_order_id: str
    venue_order_id: str
    strategy_id: str
    instrument_id: str
    side: str
    order_type: str
    time_in_force: str
    units: Decimal
    filled_units: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    average_price: Decimal | None
    status: str
    reason: str  # why denied, rejected, expired or canceled
    position_id: str
    tags: str
    created_ns: int
    ended_ns: int


@dataclass(slots=True)
class PositionRow:
    """A position ticket from open to close (still open ones at the end have `closed_ns` = 0).

    `mae`, `mfe`: worst and best profit while it was held, in account currency (mae <= 0, gross <= mfe): what was realized
    so far, and the range of prices times the size held at the time, from the moment of the fill (less the spread) on.
    `net` = `gross` + `swap` - `commission`.
    """

    position_id: str
    strategy_id: str
    instrument_id: str
    side: str  # LONG | SHORT
    units: Decimal  # largest size held
    opened_ns: int
    closed_ns: int
    open_price: Decimal
    close_price: Decimal | None
    gross: Decimal
    commission: Decimal
    swap: Decimal
    net: Decimal
    mae: Decimal
    mfe: Decimal
    exit_reason: str


@dataclass(slots=True, kw_only=True)
class EquityPoint:
    """The account at the close of a row: of each step of time the last row, its lowest and its highest equity.

    `margin_level` is percent, None without used margin.
    """

    ts_ns: int
    balance: Decimal
    equity: Decimal
    used_margin: Decimal
    margin_level: Decimal | None
    open_positions: int


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """Everything a run leaves behind.

    `costs_spread`, `costs_slippage`: what spread and slippage took, in account currency (positive = cost): half of the
    spread on each fill, against the mid.
    `events`: how many order events there were after the submissions; `events_sha256`: hash over them and every posting, in
    order and without random ids: equal for equal runs.
    """

    account_currency: str
    start_balance: Decimal
    venue: str = "PEPPERSTONE"
    end_balance: Decimal = Decimal(0)
    end_equity: Decimal = Decimal(0)
    start_ns: int = 0
    end_ns: int = 0
    bars: int = 0
    ticks: int = 0
    closed_rows: int = 0  # rows stamped outside a symbol's trading hours: left out of the run
    crossed_rows: int = 0  # ASK below BID: quotes left out, bars given the ASK of the spread table
    lone_ask_rows: int = 0  # ASK bars without a BID bar of their time: left out
    events: int = 0
    margin_calls: int = 0
    stop_outs: int = 0
    lowest_stop_out_level: Decimal | None = None  # margin level in percent at which a position was closed by force
    costs_spread: Decimal = Decimal(0)
    costs_slippage: Decimal = Decimal(0)
    elapsed_s: float = 0.0
    events_sha256: str = ""
    ledger: Sequence[LedgerRow] = field(default_factory=list)
    fills: Sequence[FillRow] = field(default_factory=list)
    orders: Sequence[OrderRow] = field(default_factory=list)
    positions: Sequence[PositionRow] = field(default_factory=list)
    equity: Sequence[EquityPoint] = field(default_factory=list)
