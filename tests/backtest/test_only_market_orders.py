"""A run whose strategies send only orders at market: the same result from closing quotes alone, and no other order."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model import BarType, OrderSide

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SwapMode, SwapTerms
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.plan import BarArrays, Latency, Slippage
from pepperstone_adapter.simulation.record import RunRecord
from tests.kit.runs import NS, Steps, run_steps, spec, utc

D = Decimal
ROWS = 3_000
SWAP = SwapTerms(mode=SwapMode.POINTS, long=D("-7.3"), short=D("2.1"))
EURUSD, USDJPY = spec("EURUSD", swap=SWAP), spec("USDJPY", swap=SWAP)
RULE = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.5"))


def walk(symbol: str, first: int, seed: int) -> BarArrays:
    """Bars far wider than their bodies, so that what happens inside them would be seen."""
    rng = np.random.default_rng(seed)
    closes = first + np.cumsum(rng.integers(-40, 41, ROWS))
    opens = np.concatenate((closes[:1], closes[:-1]))
    times = utc(2024, 1, 8, 0, 0) + np.arange(1, ROWS + 1) * 60 * NS  # two days and nights
    return BarArrays(
        symbol=symbol, period="1-MINUTE", ts_ns=times, open=opens, close=closes,
        high=np.maximum(opens, closes) + rng.integers(0, 90, ROWS), low=np.minimum(opens, closes) - 55,
    )  # fmt: skip


class Restless(Steps):
    """Opens and closes tickets of two symbols by a fixed random plan."""

    def __init__(self, units: int) -> None:
        super().__init__({}, "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
        self.rng = np.random.default_rng(11)
        self.units = units

    def on_start(self) -> None:
        super().on_start()
        self.subscribe_bars(BarType.from_str("USDJPY.PEPPERSTONE-1-MINUTE-BID-EXTERNAL"))

    def on_bar(self, bar: Any) -> None:
        draw = self.rng.random()
        held = sorted(self.cache.positions_open(), key=lambda p: str(p.id))
        symbol = EURUSD if str(bar.bar_type).startswith("EUR") else USDJPY
        if draw < 0.1:
            self.market(symbol, OrderSide.BUY if draw < 0.05 else OrderSide.SELL, self.units)
        elif draw < 0.2 and held:
            self.close_position(held[0])


def result(only_market_orders: bool, units: int, leverage: int, changes: dict[str, Any]) -> RunRecord:
    return run_steps(
        walk("EURUSD", 110_000, 7), {}, symbol=EURUSD, others=[(USDJPY, walk("USDJPY", 140_000, 8))],
        strategy=Restless(units), spread=6, commission=RULE, start_balance=D(10_000), chunk_size=700, leverage=leverage,
        only_market_orders=only_market_orders, **changes,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mode": PositionMode.NETTING},
        {"latency": Latency(base_ms=300, jitter_ms=90_000)},
        {"slippage": {"EURUSD": Slippage(probability=0.5, min_points=1, max_points=9)}},
    ],
    ids=["hedging", "netting", "latency", "slippage"],
)
@pytest.mark.parametrize(
    ("units", "leverage", "fills", "stop_outs"),
    [(1_000, 30, 400, 0), (60_000, 30, 400, 0), (900_000, 1000, 70, 2)],  # far from trouble; refused at times; ruined
)
def test_the_result_is_that_of_the_whole_bars(
    units: int, leverage: int, fills: int, stop_outs: int, changes: dict[str, Any]
) -> None:
    closes, whole = result(True, units, leverage, changes), result(False, units, leverage, changes)
    assert len(closes.fills) >= fills
    assert closes.stop_outs >= stop_outs
    for name in ("fills", "orders", "ledger", "positions", "equity"):
        assert list(getattr(closes, name)) == list(getattr(whole, name)), name
    assert (closes.end_balance, closes.end_equity) == (whole.end_balance, whole.end_equity)
    assert (closes.margin_calls, closes.stop_outs) == (whole.margin_calls, whole.stop_outs)
    assert closes.events_sha256 == whole.events_sha256


class Stubborn(Steps):
    """Swallows whatever its order is answered with."""

    def on_bar(self, bar: Any) -> None:
        try:
            super().on_bar(bar)
        except ConfigurationError:
            return


def limit(s: Steps, **kw: Any) -> Any:
    return s.order_factory.limit(s.id_of(EURUSD), OrderSide.BUY, s.qty(EURUSD, 1_000), s.px(EURUSD, 1.09), **kw)


def bracket(s: Steps) -> None:
    s.submit_order_list(
        s.order_factory.bracket(
            s.id_of(EURUSD), OrderSide.BUY, s.qty(EURUSD, 1_000), sl_trigger_price=s.px(EURUSD, 1.09),
            tp_price=s.px(EURUSD, 1.11),
        )
    )  # fmt: skip


@pytest.mark.parametrize("act", [lambda s: s.submit_order(limit(s)), bracket], ids=["limit", "bracket"])
@pytest.mark.parametrize("strategy", [Steps, Stubborn])
def test_an_order_that_waits_for_a_price_ends_the_run(strategy: type[Steps], act: Any) -> None:
    listening = strategy({1: act}, "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
    with pytest.raises(
        ConfigurationError, match=r"sends a (limit|stop market) order, but market.only_market_orders says"
    ):
        run_steps([1.1, 1.1, 1.1, 1.1], {}, strategy=listening, only_market_orders=True)


def test_such_orders_are_taken_without_the_promise() -> None:
    record = run_steps([1.1, 1.1, 1.1, 1.08], {1: lambda s: s.submit_order(limit(s))})
    assert [row.price for row in record.fills] == [D("1.09")]
