"""Rows that cannot be true are left out, counted and told; the rows beside them go on, whatever the others are."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker.events import Notice
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.market import BarPeriod, Tick
from pepperstone_adapter.broker.server_time import UTC_CLOCK
from pepperstone_adapter.mt5.client import parsing
from pepperstone_adapter.mt5.client.market_rows import MarketRows
from pepperstone_adapter.mt5.gateway.wire import RATES_DTYPE, TICKS_DTYPE
from tests.kit.mt5_rows import EURUSD, spec

NS = 1_000_000_000
NOW_S = 1_700_000_000
NAN, INF = float("nan"), float("inf")


class Desk:
    def __init__(self) -> None:
        self.now_ns = NOW_S * NS
        self.told: list[str] = []
        self.numbers: list[int] = []
        self.rows = MarketRows(self.take, lambda: self.now_ns)

    def take(self, events: Any) -> None:
        assert all(isinstance(e, Notice) and e.level == "warning" for e in events)
        self.told += [e.text for e in events]
        self.numbers += [e.rows_left_out for e in events]

    def ticks(self, *rows: tuple[float, float, int]) -> list[Tick]:
        """Bid, ask and the server's seconds of each; EURUSD has five digits."""
        read = np.zeros(len(rows), TICKS_DTYPE)
        for i, (bid, ask, at_s) in enumerate(rows):
            read[i]["bid"], read[i]["ask"], read[i]["time"], read[i]["time_msc"] = bid, ask, at_s, at_s * 1000
        return self.rows.ticks(read, spec(), lambda ms: ms * 1_000_000)

    def bars(self, *rows: tuple[float, float, float, float, int]) -> list[int]:
        """The openings of the bars that are left."""
        read = np.zeros(len(rows), RATES_DTYPE)
        for i, row in enumerate(rows):
            read[i]["open"], read[i]["high"], read[i]["low"], read[i]["close"], read[i]["time"] = row
        return [bar.open_ns // NS for bar in self.rows.bars(read, spec(), BarPeriod.M1, UTC_CLOCK)]


@pytest.mark.parametrize(
    ("bid", "ask", "at_s", "fault"),
    [
        (NAN, 1.1, NOW_S, "no positive price"),
        (1.1, NAN, NOW_S, "no positive price"),
        (INF, INF, NOW_S, "no positive price"),
        (1e300, 1e308, NOW_S, "no positive price"),
        (-1.1, 1.1, NOW_S, "no positive price"),
        (0.0, 0.0, NOW_S, "no positive price"),
        (1.100004, 1.1001, NOW_S, "more digits than the symbol has"),
        (1.1002, 1.1001, NOW_S, "a bid above the ask"),
        (1.1, 1.1001, 0, "an impossible time"),
        (1.1, 1.1001, -5, "an impossible time"),
        (1.1, 1.1001, NOW_S + 3 * 86_400, "an impossible time"),
        (1.1, 1.1001, 9_200_000_000_000_000, "an impossible time"),
    ],
)
def test_a_tick_that_cannot_be_true_is_left_out_and_its_neighbours_are_not(
    bid: float, ask: float, at_s: int, fault: str
) -> None:
    desk = Desk()
    found = desk.ticks((1.1, 1.1001, NOW_S - 1), (bid, ask, at_s), (1.2, 1.2, NOW_S))
    assert found == [
        Tick("EURUSD", 110_000, 110_010, (NOW_S - 1) * NS),
        Tick("EURUSD", 120_000, 120_000, NOW_S * NS),
    ]
    assert desk.rows.left_out["EURUSD"] == {f"ticks with {fault}": 1}
    (told,) = desk.told
    assert f"1 ticks with {fault}" in told


def test_a_side_that_did_not_come_is_no_fault_and_server_clocks_run_ahead() -> None:
    desk = Desk()
    assert [(t.bid, t.ask) for t in desk.ticks((1.1, 0.0, NOW_S), (0.0, 1.1, NOW_S + 3 * 3600))] == [
        (110_000, None),
        (None, 110_000),
    ]
    assert desk.ticks() == []
    assert desk.told == []


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=20), st.integers(0, 8))
def test_no_price_on_the_grid_is_ever_left_out(points: list[int], digits: int) -> None:
    desk = Desk()
    read = np.zeros(len(points), TICKS_DTYPE)
    read["bid"] = read["ask"] = [float(f"{p}e-{digits}") for p in points]
    read["time_msc"] = NOW_S * 1000
    symbol = parsing.symbol_spec(EURUSD | {"digits": digits}, TradingHours.always(), "other", "test")
    found = desk.rows.ticks(read, symbol, lambda ms: ms * 1_000_000)
    assert [t.bid for t in found] == points
    assert desk.rows.left_out == {}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ((NAN, 1.2, 1.0, 1.1, NOW_S), "no positive price"),
        ((1.1, 1.2, 0.0, 1.1, NOW_S), "no positive price"),
        ((1.1, 1.0, 1.0, 1.1, NOW_S), "open or close outside high and low"),
        ((1.1, 1.2, 1.0, 0.9, NOW_S), "open or close outside high and low"),
        ((1.1, 1.200001, 1.0, 1.1, NOW_S), "more digits than the symbol has"),
        ((1.1, 1.2, 1.0, 1.1, 0), "an impossible time"),
    ],
)
def test_a_bar_that_cannot_be_true_is_left_out(row: Any, fault: str) -> None:
    desk = Desk()
    sound = (1.1, 1.2, 1.0, 1.1)
    assert desk.bars((*sound, NOW_S - 60), row, (*sound, NOW_S)) == [NOW_S - 60, NOW_S]
    assert desk.rows.left_out["EURUSD"] == {f"M1 bars with {fault}": 1}


def test_what_was_left_out_is_told_at_once_and_then_summed_up_once_a_minute() -> None:
    desk = Desk()
    for _ in range(3):
        desk.ticks((NAN, 1.1, NOW_S))
        desk.rows.tell()
    assert len(desk.told) == 1
    desk.now_ns += 60 * NS
    desk.rows.tell()
    desk.rows.tell()
    assert [text.split("so far ")[1] for text in desk.told] == [
        "1 ticks with no positive price",
        "3 ticks with no positive price",
    ]
    desk.ticks((1.2, 1.1, NOW_S))
    desk.rows.tell(last=True)
    assert desk.told[-1].endswith("3 ticks with no positive price; 1 ticks with a bid above the ask")
    assert desk.numbers == [1, 2, 1]  # each row is in one of them
