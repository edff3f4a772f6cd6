"""Fills booked together and fills looked at one by one leave the same books.

The second way is forced by a slippage that never happens but would be ruinous: no headroom can cover it.
"""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model import OrderSide

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SwapMode, SwapTerms
from pepperstone_adapter.simulation.plan import BarArrays, Slippage
from pepperstone_adapter.simulation.record import RunRecord
from tests.kit.runs import NS, Steps, run_steps, spec, utc

D = Decimal
ROWS = 3_000
SWAPPED = spec("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D("-7.3"), short=D("2.1")))
RUINOUS = {"EURUSD": Slippage(probability=0.0, min_points=0, max_points=10**9)}
RULE = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.5"))


def walk() -> BarArrays:
    rng = np.random.default_rng(7)
    closes = 110_000 + np.cumsum(rng.integers(-40, 41, ROWS))
    opens = np.concatenate((closes[:1], closes[:-1]))
    times = utc(2024, 1, 8, 0, 0) + np.arange(1, ROWS + 1) * 60 * NS  # two days and nights
    return BarArrays(
        symbol="EURUSD", period="1-MINUTE", ts_ns=times, open=opens, close=closes,
        high=np.maximum(opens, closes) + 7, low=np.minimum(opens, closes) - 7,
    )  # fmt: skip


class Restless(Steps):
    """Opens, cuts and closes tickets by a fixed random plan."""

    def __init__(self, units: int) -> None:
        super().__init__({}, "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
        self.rng = np.random.default_rng(11)
        self.units = units

    def on_bar(self, bar: Any) -> None:
        draw = self.rng.random()
        held = sorted(self.cache.positions_open(), key=lambda p: str(p.id))
        if draw < 0.15:
            self.market(SWAPPED, OrderSide.BUY if draw < 0.075 else OrderSide.SELL, self.units)
        elif draw < 0.3 and held:
            self.close_position(held[0])


def books(units: int, leverage: int, mode: PositionMode, slippage: dict[str, Slippage]) -> RunRecord:
    return run_steps(
        walk(), {}, symbol=SWAPPED, strategy=Restless(units), spread=6, commission=RULE, mode=mode, slippage=slippage,
        start_balance=D(10_000), chunk_size=700, leverage=leverage,
    )  # fmt: skip


@pytest.mark.parametrize("mode", [PositionMode.HEDGING, PositionMode.NETTING])
@pytest.mark.parametrize(
    ("units", "leverage", "fills", "stop_outs"),
    [(1_000, 30, 600, 0), (60_000, 30, 600, 0), (600_000, 500, 10, 1)],  # far from trouble; refused at times; ruined
)
def test_both_ways_leave_the_same_books(
    units: int, leverage: int, fills: int, stop_outs: int, mode: PositionMode
) -> None:
    together, apart = books(units, leverage, mode, {}), books(units, leverage, mode, RUINOUS)
    assert len(together.fills) >= fills
    assert together.stop_outs >= stop_outs or mode is PositionMode.NETTING
    assert list(together.fills) == list(apart.fills)
    assert list(together.ledger) == list(apart.ledger)
    assert list(together.positions) == list(apart.positions)
    assert (together.end_balance, together.end_equity) == (apart.end_balance, apart.end_equity)
    assert (together.margin_calls, together.stop_outs) == (apart.margin_calls, apart.stop_outs)
    assert together.events_sha256 == apart.events_sha256
