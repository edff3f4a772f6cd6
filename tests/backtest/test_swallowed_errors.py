"""What the framework logs and swallows must end the run with its cause, and never give a result."""

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model import BarType
from nautilus_trader.persistence import ParquetDataCatalog

from pepperstone_adapter.backtest.run import run
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule
from pepperstone_adapter.catalog.rows import BarColumns, bars_from_arrays
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.failures import Failures, RunFailed
from pepperstone_adapter.simulation.fills import AccountFills
from pepperstone_adapter.simulation.plan import StoredBars
from tests.kit.runs import MINUTE_NS, MONDAY, Steps, bars, buy, plan_steps, run_steps, run_with, spec, utc

BARS = "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL"
MARKET = [1.1, 1.101, 1.102, 1.103, 1.104]


class Boom(Exception):
    pass


def boom(*_args: Any) -> None:
    raise Boom("user bug")


class OnStart(Steps):
    def on_start(self) -> None:
        boom()


class OnBar(Steps):
    def on_bar(self, bar: Any) -> None:
        boom()


class OnOrderEvent(Steps):
    def on_order_event(self, event: Any) -> None:
        boom()


class OnOrderFilled(Steps):
    def on_order_filled(self, event: Any) -> None:
        boom()


class OnPositionOpened(Steps):
    def on_position_opened(self, event: Any) -> None:
        boom()


class OnStop(Steps):
    def on_stop(self) -> None:
        boom()


class OnTimer(Steps):
    def on_start(self) -> None:
        super().on_start()
        self.clock.set_time_alert_ns("wake", self.clock.timestamp_ns() + 90 * 10**9, boom)


class OnDefaultTimer(Steps):
    def on_start(self) -> None:
        super().on_start()
        self.clock.set_time_alert_ns("wake", self.clock.timestamp_ns() + 90 * 10**9)

    def on_time_event(self, event: Any) -> None:
        boom()


class OnTopic(Steps):
    def on_start(self) -> None:
        super().on_start()
        self.subscribe_topic("signals", boom)

    def on_bar(self, bar: Any) -> None:
        self.publish_message("signals", "news")


class BadIndicator:
    initialized = False
    name = "bad"
    has_inputs = True

    def handle_bar(self, bar: Any) -> None:
        boom()

    def reset(self) -> None:
        pass


class OnIndicator(Steps):
    def on_start(self) -> None:
        self.register_indicator_for_bars(BarType.from_str(BARS), BadIndicator())
        super().on_start()


@pytest.mark.parametrize(
    ("cls", "where"),
    [
        (OnStart, "OnStart.on_start"),
        (OnBar, "OnBar.on_bar"),
        (OnOrderEvent, "OnOrderEvent.on_order_event"),
        (OnOrderFilled, "OnOrderFilled.on_order_filled"),
        (OnPositionOpened, "OnPositionOpened.on_position_opened"),
        (OnStop, "OnStop.on_stop"),
        (OnTimer, "OnTimer at timer wake"),
        (OnDefaultTimer, "OnDefaultTimer.on_time_event"),
        (OnTopic, "OnTopic on topic signals"),
        (OnIndicator, "indicator BadIndicator"),
    ],
)
def test_an_exception_of_a_strategy_ends_the_run(cls: Callable[..., Steps], where: str) -> None:
    with pytest.raises(RunFailed) as caught:
        run_steps(MARKET, {}, strategy=cls({1: buy(100_000)}, BARS))
    text = str(caught.value)
    assert text.startswith(f"{where} raised Boom: user bug")
    assert "test_swallowed_errors.py:" in text
    assert "no result" in text
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("callback", ["on_start", "on_bar", "on_order_filled", "on_stop"])
@pytest.mark.parametrize(
    ("raised", "ended", "words"),
    [
        (
            SystemExit(3),
            RunFailed,
            r"Leaving\.{} raised SystemExit: 3 at .*test_swallowed_errors\.py:\d+\); the run has no",
        ),
        (Boom("first line\n  second line"), RunFailed, r"Leaving\.{} raised Boom: first line second line at "),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),  # Ctrl-C in a notebook comes in whatever runs just then
    ],
)
def test_leaving_is_no_way_to_a_result(
    callback: str, raised: BaseException, ended: type[BaseException], words: str
) -> None:
    def leave(*_: Any) -> None:
        raise raised

    leaving = type("Leaving", (Steps,), {callback: leave})
    with pytest.raises(ended) as caught:
        run_steps(MARKET, {}, strategy=leaving({1: buy(100_000)}, BARS))
    assert re.match(words.format(callback), str(caught.value))
    assert "\n" not in str(caught.value)


def test_the_strategy_is_not_called_again_after_its_error() -> None:
    calls = []

    class Counting(Steps):
        def on_bar(self, bar: Any) -> None:
            calls.append(bar)
            boom()

    with pytest.raises(RunFailed):
        run_steps(MARKET, {}, strategy=Counting({}, BARS))
    assert len(calls) == 1


def test_an_error_the_strategy_handles_itself_is_its_own_business() -> None:
    class Careful(Steps):
        def on_bar(self, bar: Any) -> None:
            try:
                boom()
            except Boom:
                self.count += 1

    strategy = Careful({}, BARS)
    run_steps(MARKET, {}, strategy=strategy)
    assert strategy.count == len(MARKET) - 1


def test_an_error_of_the_fee_model_ends_the_run() -> None:
    # A rate that is no number cannot be compared with the least there is to pay.
    rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=Decimal("NaN"), currency="AUD")
    with pytest.raises(RunFailed, match="the fee model raised InvalidOperation: "):
        run_steps(MARKET, {1: buy(100_000)}, commission=rule, others=[(spec("AUDUSD"), [0.65] * len(MARKET))])


def test_an_error_of_the_fill_model_ends_the_run() -> None:
    failures = Failures()
    fills = AccountFills({}, 1, {}, lambda: 0, failures)
    assert fills.get_orderbook_for_fill_simulation(object(), object(), object(), object()) is None  # type: ignore[arg-type]
    with pytest.raises(RunFailed, match="the fill model raised AttributeError"):
        failures.raise_first()


def test_a_subscription_the_data_cannot_serve_is_refused() -> None:
    strategy = Steps({}, "EURUSD.PEPPERSTONE-5-MINUTE-BID-EXTERNAL")
    with pytest.raises(ConfigurationError, match=r"which the run does not have; it has .*1-MINUTE"):
        run_steps(MARKET, {}, strategy=strategy)
    strategy = Steps({}, "EURUSD.PEPPERSTONE", quoted=True)
    with pytest.raises(ConfigurationError, match="wants quotes of EURUSD, but the run has only bars"):
        run_steps(MARKET, {}, strategy=strategy)


def test_bars_that_nobody_asked_for_at_the_start_cannot_be_asked_for_later() -> None:
    # They would be missing without a word, or come before the other side of their time.
    for late, why in (("1-MINUTE-ASK", "ask for them in on_start"), ("5-MINUTE-BID", "which the run does not have")):
        bar_type = BarType.from_str(f"EURUSD.PEPPERSTONE-{late}-EXTERNAL")
        with pytest.raises(ConfigurationError, match=why):
            run_steps(MARKET, {1: lambda s, wanted=bar_type: s.subscribe_bars(wanted)})  # type: ignore[misc]


def test_bars_that_are_shown_can_be_asked_for_later() -> None:
    late: list[Any] = []

    class Latecomer(Steps):
        def on_bar(self, bar: Any) -> None:
            late.append(bar.ts_event)

    plan, steps = plan_steps(MARKET, {1: lambda _: latecomer.subscribe_bars(BarType.from_str(BARS))})
    latecomer = Latecomer({}, BARS)
    latecomer.on_start = lambda: None  # type: ignore[method-assign]
    run(replace(plan, strategies=(steps, latecomer)))
    assert late == [bar for bar in [MONDAY + n * MINUTE_NS for n in range(1, 6)] if bar > late[0] - 1]


def test_a_missing_conversion_is_found_before_anything_runs() -> None:
    ran = []
    dax = spec("GER40")
    strategy = Steps({0: lambda s: ran.append(s)}, "GER40.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
    with pytest.raises(ConfigurationError, match=r"no way to convert EUR to USD .* add EURUSD to the instruments"):
        run_steps([17000] * 3, {}, symbol=dax, strategy=strategy)
    assert not ran


def test_a_conversion_that_begins_too_late_is_found_before_anything_runs() -> None:
    # EURJPY from 10:01, USDJPY, which converts its profit to USD, from 10:03.
    ran = []
    eurjpy, usdjpy, eurusd = spec("EURJPY"), spec("USDJPY"), spec("EURUSD")
    late = bars(usdjpy, [150] * 3, start_ns=MONDAY + 2 * MINUTE_NS)
    strategy = Steps({0: lambda s: ran.append(s)}, "EURJPY.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
    others = [(usdjpy, late), (eurusd, [1.1] * 5)]
    with pytest.raises(ConfigurationError) as caught:
        run_steps([165] * 5, {}, symbol=eurjpy, others=others, strategy=strategy)
    assert str(caught.value) == (
        "USDJPY, which converts JPY to USD, has no prices before 2024-01-08T10:03:00Z, but those of EURJPY begin at "
        "2024-01-08T10:01:00Z; set data.start to 2024-01-08T10:03:00Z or later, or import earlier data of USDJPY"
    )
    assert not ran
    # From there on it runs.
    record = run_steps([165] * 5, {0: buy(1_000, eurjpy)}, symbol=eurjpy, others=others, start_ns=late.ts_ns[0])
    assert len(record.fills) == 1


def test_no_order_before_there_is_a_rate_to_book_it_at() -> None:
    # Bitcoin trades on a Saturday, EURUSD opens on Sunday at 22:00: until then nothing says what a dollar is in euros.
    btc, eurusd = spec("BTCUSD"), replace(spec("EURUSD"), hours=symbol_table.get("EURUSD").hours)
    saturday, hours = utc(2024, 1, 6, 12, 0), 40
    coins = bars(btc, [40_000] * hours, start_ns=saturday, period="1-HOUR")
    euros = bars(eurusd, [1.1] * hours, start_ns=saturday, period="1-HOUR")
    acts = {1: buy(1, btc), 36: buy(1, btc)}
    record, steps = run_with(coins, acts, symbol=btc, others=[(eurusd, euros)], currency="EUR")
    assert [type(e).__name__ for e in steps.events].count("OrderDenied") == 1
    assert [o.reason for o in record.orders] == ["NO_PRICE: no price of EURUSD yet to convert USD to EUR", ""]
    assert len(record.fills) == 1


def test_digits_that_differ_from_the_symbol_are_refused(tmp_path: Any) -> None:
    ts = np.arange(1, 4, dtype=np.int64) * 60 * 10**9
    four = np.array([1100, 1101, 1102], np.int64)
    columns = BarColumns(ts_ns=ts, open=four, high=four, low=four, close=four, ticks=np.ones(3, np.int64))
    ParquetDataCatalog(str(tmp_path)).write_bars(bars_from_arrays(BARS, 3, 0, columns))
    plan, _ = plan_steps(MARKET, {})
    plan = replace(plan, data=(StoredBars(catalog=tmp_path, symbol="EURUSD", period="1-MINUTE"),))
    with pytest.raises(Exception, match="stored with 3 digits, the symbol has 5") as caught:
        run(plan)
    assert getattr(caught.value, "exit_code", None) == 3
