"""Two traps of the framework, measured, and how the run keeps out of them."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig
from nautilus_trader.execution import FixedFeeModel
from nautilus_trader.model import (
    AccountType,
    BarType,
    Currency,
    InstrumentId,
    Money,
    OmsType,
    OrderSide,
    Price,
    Quantity,
    Venue,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.backtest.metrics import days, equity_drawdowns
from pepperstone_adapter.backtest.run import run
from pepperstone_adapter.backtest.tables import csv_tables
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.catalog.rows import BarColumns, bars_from_arrays
from pepperstone_adapter.mapping.instruments import instrument_from_spec
from pepperstone_adapter.simulation.plan import BarArrays, Latency
from pepperstone_adapter.simulation.record import RunRecord
from tests.kit.runs import (
    EURUSD,
    MINUTE_NS,
    MONDAY,
    bars,
    buy,
    plan_steps,
    run_steps,
    spec,
    utc,
)

SPREAD = 1  # a tenth of a pip
BARS = 4_000


def walk(seed: int, count: int = BARS, start: int = 110_000) -> np.ndarray:
    return start + np.cumsum(np.random.default_rng(seed).integers(-20, 21, count))


def market(closes: np.ndarray, symbol: Any = EURUSD) -> BarArrays:
    opens = np.concatenate((closes[:1], closes[:-1]))
    return BarArrays(
        symbol=symbol.name, period="1-MINUTE", ts_ns=MONDAY + np.arange(1, len(closes) + 1) * MINUTE_NS,
        open=opens, high=np.maximum(opens, closes), low=np.minimum(opens, closes), close=closes,
    )  # fmt: skip


class Momentum(Strategy):  # type: ignore[misc]
    """Buys what has just risen sells what has just fallen: worthless on a random walk, unless it fills in the past."""

    def __init__(self, listen: str, trade: str = "EURUSD") -> None:
        super().__init__(StrategyConfig())
        self.listen = listen
        self.trade = trade
        self.last: float | None = None
        self.side: OrderSide | None = None

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "Momentum":
        return super().__new__(cls, StrategyConfig())

    def on_start(self) -> None:
        for name in self.listen.split(","):
            self.subscribe_bars(BarType.from_str(name))

    def on_bar(self, bar: Any) -> None:
        close = float(bar.close)
        last, self.last = self.last, close
        if last is None or close == last:
            return
        side = OrderSide.BUY if close > last else OrderSide.SELL
        if side == self.side:
            return
        self.side = side
        for position in self.cache.positions_open():
            self.close_position(position)
        instrument = next(i for i in self.cache.instruments() if str(i.raw_symbol) == self.trade)
        self.submit_order(self.order_factory.market(instrument.id, side, instrument.make_qty(10_000)))


def bare(closes: np.ndarray, order: tuple[str, str], listen: str) -> Decimal:
    """The framework alone, BID and ASK bars of equal time in the given order; profit in USD."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggerConfig(bypass_logging=True), run_analysis=False))
    usd = Currency.from_str("USD")
    engine.add_venue(
        Venue("PEPPERSTONE"), OmsType.HEDGING, AccountType.MARGIN, [Money.from_str("100000 USD")], base_currency=usd,
        fee_model=FixedFeeModel(Money.from_str("0 USD")),
    )  # fmt: skip
    engine.add_instrument(instrument_from_spec(EURUSD))
    data = market(closes)
    for side in order:
        four = {n: getattr(data, n) + (SPREAD if side == "ASK" else 0) for n in ("open", "high", "low", "close")}
        columns = BarColumns(ts_ns=data.ts_ns, ticks=np.full(len(closes), 100), **four)
        engine.add_data(
            bars_from_arrays(f"EURUSD.PEPPERSTONE-1-MINUTE-{side}-EXTERNAL", 5, 0, columns), validate=False, sort=False
        )
    engine.sort_data()
    engine.add_strategy(Momentum(listen))
    engine.run()
    profit = engine.cache.account_for_venue(Venue("PEPPERSTONE")).balance_total(usd).as_decimal() - 100_000
    engine.dispose()
    return Decimal(profit)


def ours(closes: np.ndarray, listen: str) -> Decimal:
    plan, _ = plan_steps(market(closes), {}, spread=SPREAD, strategy=Momentum(listen), leverage=None)  # type: ignore[arg-type]
    return run(plan).end_balance - 100_000


BID = "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL"
ASK = "EURUSD.PEPPERSTONE-1-MINUTE-ASK-EXTERNAL"


def test_the_stale_side_earns_and_the_honest_one_loses() -> None:
    closes = walk(7)
    stale = bare(closes, ("BID", "ASK"), BID)
    honest = bare(closes, ("ASK", "BID"), BID)
    assert stale > 500 > 0 > honest  # the trap is real on this framework version
    assert ours(closes, BID) == honest


@pytest.mark.parametrize("listen", [ASK, f"{BID},{ASK}", f"{ASK},{BID}"])
def test_no_subscription_sees_half_a_market(listen: str) -> None:
    # With the order that is right for BID listeners, one that hears ASK acts before BID is in. Not here.
    closes = walk(7)
    assert bare(closes, ("ASK", "BID"), ASK) > 500
    assert ours(closes, listen) < 0


def test_no_symbol_lags_behind_another() -> None:
    # Two symbols with the same prices. Listening to one and trading the other must not fill at the bar before.
    closes = walk(11)
    other = spec("GBPUSD")
    for listen, trade in (("EURUSD", "GBPUSD"), ("GBPUSD", "EURUSD")):
        strategy = Momentum(f"{listen}.PEPPERSTONE-1-MINUTE-BID-EXTERNAL", trade)
        plan, _ = plan_steps(
            market(closes), {}, spread=SPREAD, strategy=strategy, leverage=None, others=[(other, market(closes, other))]
        )  # type: ignore[arg-type]
        record = run(plan)
        assert record.end_balance == 100_000 + ours(closes, BID)


def test_two_rows_a_bar_fill_as_three_do() -> None:
    # A second symbol that nobody trades makes the feed use its general form.
    closes = walk(13)
    plan, _ = plan_steps(market(closes), {}, spread=SPREAD, strategy=Momentum(BID), leverage=None)  # type: ignore[arg-type]
    short = run(plan)
    other = spec("GBPUSD")
    plan, _ = plan_steps(
        market(closes),
        {},
        spread=SPREAD,
        strategy=Momentum(BID),
        leverage=None,
        others=[(other, market(closes, other))],
    )  # type: ignore[arg-type]
    assert short.fills == run(plan).fills


# --- the growing cache


class Flipper(Momentum):
    """Counts what the cache holds while it trades, and looks up the position it has just closed."""

    def on_start(self) -> None:
        super().on_start()
        self.most = 0
        self.lost = 0

    def on_position_closed(self, event: Any) -> None:
        position = self.cache.position(event.position_id)
        self.lost += position is None or not position.is_closed
        self.most = max(self.most, self.cache.positions_total_count() + self.cache.orders_total_count())


def test_the_cache_stays_small_and_strategies_still_find_what_just_ended() -> None:
    closes = walk(3)
    strategy = Flipper(BID)
    plan, _ = plan_steps(market(closes), {}, spread=SPREAD, strategy=strategy, leverage=None)  # type: ignore[arg-type]
    record = run(plan)
    assert len(record.positions) > 1_500
    assert strategy.most < 700
    assert strategy.lost == 0


class Canceling(Flipper):
    """Between its round trips it sends and cancels ten orders a bar."""

    def on_start(self) -> None:
        super().on_start()
        self.closed: list[Any] = []
        self.far = InstrumentId.from_str("EURUSD.PEPPERSTONE")

    def on_bar(self, bar: Any) -> None:
        super().on_bar(bar)
        for _ in range(10):
            far = self.order_factory.limit(self.far, OrderSide.BUY, Quantity.from_int(1_000), Price.from_str("0.50000"))
            self.submit_order(far)
            self.cancel_order(far.client_order_id)

    def on_position_closed(self, event: Any) -> None:
        super().on_position_closed(event)
        self.closed.append(event.position_id)
        self.lost += sum(self.cache.position(i) is None for i in self.closed[-16:])


def test_orders_that_were_canceled_take_no_closed_position_out_of_the_cache() -> None:
    strategy = Canceling(BID)
    plan, _ = plan_steps(market(walk(3, 1_200)), {}, spread=SPREAD, strategy=strategy, leverage=None)  # type: ignore[arg-type]
    record = run(plan)
    assert len(strategy.closed) > 60
    assert sum(row.status == "CANCELED" for row in record.orders) > 10_000
    assert strategy.most < 700
    assert strategy.lost == 0


def test_what_is_purged_is_in_the_record_and_the_money_is_the_same() -> None:
    closes = walk(3)
    record = run_flips(closes)
    assert record.end_balance - 100_000 == bare(closes, ("ASK", "BID"), BID)  # the framework, purging nothing
    filled = [row for row in record.orders if row.status == "FILLED"]
    assert len(filled) == len(record.fills) == len({f.client_order_id for f in record.fills})
    assert len(record.positions) == len({p.position_id for p in record.positions})
    assert sum(p.net for p in record.positions if p.closed_ns) == record.end_balance - 100_000


def run_flips(closes: np.ndarray, **changes: Any) -> RunRecord:
    plan, _ = plan_steps(market(closes), {}, spread=SPREAD, strategy=Momentum(BID), leverage=None)  # type: ignore[arg-type]
    return run(replace(plan, **changes))


# --- windows


@pytest.mark.parametrize("latency", [Latency(), Latency(base_ms=70_000, jitter_ms=90_000)])
def test_windows_change_nothing(latency: Latency) -> None:
    swapped = replace(EURUSD, swap=symbol_table.get("EURUSD").swap)
    closes = walk(5, 6_000)

    def result(chunk: int | None) -> RunRecord:
        return run_flips(closes, chunk_size=chunk, specs=(swapped,), latency=latency)

    whole, pieces, crumbs = result(None), result(1_000), result(77)
    assert whole.events_sha256 == pieces.events_sha256 == crumbs.events_sha256
    assert len({row.ts_ns for row in whole.ledger if row.kind == "swap"}) == 4
    assert whole.ledger == pieces.ledger == crumbs.ledger
    assert whole.positions == pieces.positions == crumbs.positions
    assert whole.equity == pieces.equity == crumbs.equity
    assert whole.orders == pieces.orders == crumbs.orders
    assert (whole.costs_spread, whole.bars) == (crumbs.costs_spread, crumbs.bars)
    assert csv_tables(whole) == csv_tables(pieces) == csv_tables(crumbs)  # to the last digit that is written
    assert {o.average_price.as_tuple().exponent for o in whole.orders if o.average_price} == {
        -5
    }  # however it was booked


def test_a_posting_arrives_after_the_latency_and_not_with_the_next_row() -> None:
    # Rows an hour apart; the swap of Monday is posted at 22:00 UTC and arrives 300 ms later.
    swapped = replace(EURUSD, swap=symbol_table.get("EURUSD").swap)
    market = bars(swapped, [1.1] * 16, period="1-HOUR")
    record = run_steps(market, {1: buy(100_000, swapped)}, symbol=swapped, latency=Latency(base_ms=300))
    assert [row.ts_ns for row in record.ledger if row.kind == "swap"] == [utc(2024, 1, 8, 22) + 300 * 10**6]


def test_a_stop_out_is_found_in_whatever_window() -> None:
    closes = np.concatenate((np.full(500, 110_000), np.linspace(110_000, 104_000, 500).astype(np.int64)))

    def result(chunk: int | None) -> RunRecord:
        plan, _ = plan_steps(market(closes), {10: buy(30_000)}, start_balance=Decimal(1_150))
        return run(replace(plan, chunk_size=chunk))

    whole, pieces = result(None), result(64)
    assert whole.stop_outs == pieces.stop_outs == 1
    assert whole.fills == pieces.fills


def test_the_equity_curve_is_balance_and_open_profit() -> None:
    # 100,000 from 1.10000; hourly samples at 11:00 and 12:00 and the last row at 12:30, and before the first two the
    # first of the hour's lowest (10:01, nothing held yet) and of its highest (11:01).
    closes = [1.1] * 50 + [1.101] * 60 + [1.099] * 40
    record = run_steps(closes, {1: buy(100_000)})
    seen = [(p.ts_ns, p.equity, p.balance, p.open_positions) for p in record.equity]
    assert seen == [
        (utc(2024, 1, 8, 10, 1), Decimal("100000.00"), Decimal("100000.00"), 0),
        (utc(2024, 1, 8, 11, 0), Decimal("100100.00"), Decimal("100000.00"), 1),
        (utc(2024, 1, 8, 11, 1), Decimal("100100.00"), Decimal("100000.00"), 1),
        (utc(2024, 1, 8, 12, 0), Decimal("99900.00"), Decimal("100000.00"), 1),
        (utc(2024, 1, 8, 12, 30), Decimal("99900.00"), Decimal("100000.00"), 1),
    ]
    assert record.end_equity == Decimal("99900.00")


@pytest.mark.parametrize("chunk", [None, 1])
def test_the_equity_curve_ends_with_what_is_filled_behind_the_last_row(chunk: int | None) -> None:
    # 100,000 sent at the last row, 10:04, arrive 50 ms later and pay 10 points: 10 USD. Used: 110,010 / 30 = 3,667.
    record = run_steps([1.1] * 4, {3: buy(100_000)}, spread=10, latency=Latency(base_ms=50), chunk_size=chunk)
    last = record.equity[-1]
    assert last.ts_ns == record.fills[0].ts_ns == utc(2024, 1, 8, 10, 4) + 50 * 10**6
    assert (last.balance, last.equity) == (Decimal("100000.00"), Decimal("99990.00"))
    assert (last.used_margin, last.margin_level, last.open_positions) == (Decimal("3667.00"), Decimal("2726.75"), 1)
    assert (record.end_balance, record.end_equity) == (last.balance, last.equity)
    assert [p.equity for p in record.equity] == [Decimal("100000.00"), Decimal("99990.00")]


def test_what_is_filled_behind_a_last_row_that_ends_the_day_is_of_that_day() -> None:
    # The last row of the data ends at 17:00 New York, as that of a Friday does: no trading day of 50 ms follows.
    market = bars(EURUSD, [1.1] * 3, start_ns=utc(2024, 1, 12, 19), period="1-HOUR")
    record = run_steps(market, {2: buy(100_000)}, spread=10, latency=Latency(base_ms=50))
    assert record.equity[-1].ts_ns > utc(2024, 1, 12, 22)
    assert [(str(d.day), d.equity) for d in days(record)] == [("2024-01-12", Decimal("99990.00"))]


def test_the_equity_curve_ends_with_the_equity_of_the_result() -> None:
    # A hundredth of a Bitcoin is half a dollar up: half a cent, rounded up as all money is.
    btcusd = spec("BTCUSD")
    record = run_steps([50_000, 50_000, 50_000.5], {0: buy("0.01", btcusd)}, symbol=btcusd)
    assert record.equity[-1].equity == record.end_equity == Decimal("100000.01")


@pytest.mark.parametrize("chunk", [None, 7])
def test_a_fall_between_two_samples_is_a_drawdown(chunk: int | None) -> None:
    # 10,000 from 1.10: up to 1.11 (+100) and down to 1.05 (-500) within the first hour, back at its end.
    closes = [1.1] * 20 + [1.11, 1.05] + [1.1] * 60
    record = run_steps(closes, {1: buy(10_000)}, chunk_size=chunk)
    worst = equity_drawdowns(record).maximal
    assert worst is not None
    assert (worst.peak, worst.trough, worst.depth) == (Decimal("100100.00"), Decimal("99500.00"), Decimal("600.00"))
    assert len(record.equity) == 4  # highest and lowest of the hour, its last row, the last of the run
    # 99,500 of equity over 11,000 / 30 = 366.67 of margin.
    assert min(p.margin_level for p in record.equity if p.margin_level) == Decimal("27136.12")


def test_a_process_can_run_any_number_of_backtests() -> None:
    # The framework hands out 255 log guards a process; an engine that is not let go of keeps its own.
    for _ in range(260):
        run_steps([1.1, 1.1], {})
