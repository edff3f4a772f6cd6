"""What strategies may do beside trading: shut the system down, name things as they like, use what a backtest lacks."""

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model import ExecAlgorithmId, OrderSide

from pepperstone_adapter.broker.symbols import SwapMode, SwapTerms
from pepperstone_adapter.simulation.failures import RunFailed
from tests.kit.runs import MINUTE_NS, Steps, amounts, bars, buy, run_steps, run_with, spec, utc

D = Decimal
BARS = "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL"
MARKET = [1.1, 1.101, 1.102, 1.103, 1.104]
EURUSD = spec("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D("-10"), short=D(0)))


def protected(s: Any) -> None:
    s.submit_order_list(
        s.order_factory.bracket(
            s.id_of(EURUSD), OrderSide.BUY, s.qty(EURUSD, 100_000), sl_trigger_price=s.px(EURUSD, 1.095),
            tp_price=s.px(EURUSD, 1.2), tp_post_only=False,
        )
    )  # fmt: skip


class Stops(Steps):
    """Counts what it hears after its stop."""

    stopped = 0
    heard = 0

    def on_start(self) -> None:
        super().on_start()
        self.clock.set_timer_ns("minute", MINUTE_NS, callback=self.on_minute)

    def on_minute(self, _event: Any) -> None:
        self.heard += self.stopped

    def on_bar(self, bar: Any) -> None:
        super().on_bar(bar)
        self.heard += self.stopped

    def on_order_event(self, event: Any) -> None:
        super().on_order_event(event)
        self.heard += self.stopped

    def on_stop(self) -> None:
        assert str(self.strategy_id) == "Stops-001"
        self.stopped += 1


def test_a_system_that_is_shut_down_leaves_its_stop_and_its_nights_to_the_broker() -> None:
    # 17:00 New York lies between the third and the fourth bar: a night of 100,000 at ten points, 10.00; then the stop.
    start_ns = utc(2024, 1, 8, 21, 57)
    strategy = Stops({0: protected, 1: lambda s: s.shutdown_system("enough")}, BARS)
    market = bars(EURUSD, [1.1, 1.1, 1.1, 1.1, 1.09, 1.08], start_ns=start_ns)
    record = run_steps(market, {}, symbol=EURUSD, strategy=strategy)
    assert [(f.price, f.reason) for f in record.fills] == [(D("1.10000"), "client"), (D("1.09500"), "stop_loss")]
    assert amounts(record, "swap") == [D("-10.00")]
    assert (strategy.stopped, strategy.heard, strategy.count) == (1, 0, 1)


def test_names_of_ones_own_stay_what_they_are() -> None:
    class Own(Steps):
        on_hours = (8, 17)
        on_order_size = 1_000

        @property
        def on_cooldown(self) -> bool:
            return False

        def on_order_signal(self, side: str, units: int) -> str:
            return f"{side} {units}"

        def on_bar(self, bar: Any) -> None:
            super().on_bar(bar)
            self.met = self.on_hours, self.on_cooldown, self.on_order_signal("buy", self.on_order_size)

    own = Own({}, BARS)
    run_steps(MARKET, {}, strategy=own)
    assert own.met == ((8, 17), False, "buy 1000")


def test_an_exception_after_a_market_exit_ends_the_run() -> None:
    class Exit(Steps):
        def post_market_exit(self) -> None:
            raise ValueError("user bug")

    with pytest.raises(RunFailed, match=r"Exit.post_market_exit raised ValueError: user bug"):
        run_steps(MARKET, {}, strategy=Exit({1: buy(1_000), 2: lambda s: s.market_exit()}, BARS))


def test_an_order_for_an_execution_algorithm_that_is_not_there_is_refused() -> None:
    def act(s: Any) -> None:
        s.market(EURUSD, OrderSide.BUY, 1_000, exec_algorithm_id=ExecAlgorithmId("TWAP"))

    record, steps = run_with(MARKET, {1: act}, symbol=EURUSD)
    assert [type(e).__name__ for e in steps.events] == ["OrderInitialized", "OrderDenied"]
    assert steps.events[-1].reason == "UNSUPPORTED_ORDER: no execution algorithm TWAP is there to take it"
    assert [row.status for row in record.orders] == ["DENIED"]


def test_an_order_is_sent_once() -> None:
    def first(s: Any) -> None:
        s.kept = s.order_factory.market(s.id_of(EURUSD), OrderSide.BUY, s.qty(EURUSD, 1_000))
        s.submit_order(s.kept)

    with pytest.raises(RunFailed, match=r"raised ValueError: order O-\S+ was sent before; make a new one"):
        run_steps(MARKET, {}, strategy=Steps({1: first, 2: lambda s: s.submit_order(s.kept)}, BARS))
    with pytest.raises(RunFailed, match=r"raised ValueError: order O-\S+ was sent before; make a new one"):
        run_steps(MARKET, {}, strategy=Steps({1: first, 2: lambda s: s.submit_order_list([s.kept])}, BARS))
