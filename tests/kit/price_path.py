"""A bare framework engine on a hand-made path of BID bars, to see what a strategy does on prices one can follow by eye.

No account profile, no commission, no swap: only the framework's matching. The ASK bar of a moment is handed over before
the BID bar, so a strategy that acts on the BID bar meets both sides of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import AccountType, Bar, BarType, Currency, Money, OmsType, Price, Quantity, QuoteTick, Venue

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.mapping.instruments import instrument_from_spec

HOUR_NS = 3_600_000_000_000
MONDAY_NS = 1_704_672_000_000_000_000  # 8 January 2024, 00:00 UTC
USD = Currency.from_str("USD")

type Ohlc = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left after a run. `balance` in USD; orders and positions in the order they were made."""

    balance: Decimal
    orders: list[Any]
    positions: list[Any]

    def filled(self) -> list[tuple[str, str, str, str]]:
        """Filled orders as (type, side, size, price), in the order of their fills."""
        done = sorted((o for o in self.orders if o.filled_qty > Quantity(0, 0)), key=lambda o: o.ts_last)
        return [(o.order_type.name, o.side.name, str(o.filled_qty), f"{o.avg_px:.5f}") for o in done]

    def open_positions(self) -> list[Any]:
        return [p for p in self.positions if p.is_open]


def bar_type(symbol: str, side: str = "BID") -> str:
    return f"{symbol}.PEPPERSTONE-1-HOUR-{side}-EXTERNAL"


def trade(
    strategy: Any,
    bars: Sequence[Ohlc],
    *,
    symbol: str = "EURUSD",
    spread: float = 0.00002,
    oms: OmsType = OmsType.HEDGING,
    balance: int = 100_000,
    away: range = range(0),
) -> Outcome:
    """Run `strategy` over hourly `bars` (BID) from Monday 00:00 UTC; the first bar closes at 01:00.

    Those whose numbers (from 0) are in `away` ended while a link was down: they are handed over together half an hour
    after the last of them, behind a quote of that moment.
    """
    instrument = instrument_from_spec(symbol_table.get(symbol), leverage=Decimal(30))
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggerConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("PEPPERSTONE"),
        oms,
        AccountType.MARGIN,
        [Money(balance, USD)],
        base_currency=USD,
        default_leverage=Decimal(1),
        fee_model=MakerTakerFeeModel(Decimal(0), Decimal(0)),
    )
    engine.add_instrument(instrument)
    digits, size = instrument.price_precision, Quantity(10_000_000, instrument.size_precision)
    data: list[Any] = []
    back_ns = MONDAY_NS + away.stop * HOUR_NS + HOUR_NS // 2
    for k, ohlc in enumerate(bars, start=1):
        ts_ns = MONDAY_NS + k * HOUR_NS
        seen_ns = back_ns if k - 1 in away else ts_ns
        if k == away.stop:
            sides = Price(ohlc[3], digits), Price(ohlc[3] + spread, digits)
            data.append(QuoteTick(instrument.id, *sides, size, size, back_ns - 1, back_ns - 1))
        for side, more in (("ASK", spread), ("BID", 0.0)):
            prices = [Price(x + more, digits) for x in ohlc]
            data.append(Bar(BarType.from_str(bar_type(symbol, side)), *prices, size, ts_ns, seen_ns))
    engine.add_data(data)
    engine.add_strategy(strategy)
    engine.run()
    outcome = Outcome(
        balance=engine.cache.account_for_venue(Venue("PEPPERSTONE")).balance_total(USD).as_decimal(),
        orders=sorted(engine.cache.orders(), key=lambda o: (o.ts_init, o.client_order_id.value)),
        positions=sorted(engine.cache.positions(), key=lambda p: p.ts_opened),
    )
    engine.dispose()
    return outcome
