"""The simulated terminal finds deals and ticks by search; here against looking at every row, where the server's clock jumps."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.mt5_terminal.prices import Prices
from pepperstone_adapter.sandbox.mt5_terminal.settings import Mt5Account, Mt5Settings
from pepperstone_adapter.sandbox.mt5_terminal.terminal import Terminal
from pepperstone_adapter.sandbox.mt5_terminal.wall_clock import server_s
from tests.kit.mt5_terminal import LOGIN
from tests.kit.sandbox_ledger import fx

NS = 1_000_000_000
MINUTE_S = 60
HOUR_S = 3600
SPRING_S = int(datetime(2026, 3, 8, 7, tzinfo=UTC).timestamp())  # 02:00 in New York becomes 03:00
AUTUMN_S = int(datetime(2026, 11, 1, 6, tzinfo=UTC).timestamp())  # 02:00 in New York becomes 01:00
ROWS = 400
FALL_MS = HOUR_S * 1000


@pytest.mark.parametrize("change_s", [SPRING_S, AUTUMN_S])
@pytest.mark.parametrize("lag_s", [0, 100 * MINUTE_S])
def test_deals_of_a_window_around_a_clock_change(change_s: int, lag_s: int) -> None:
    clock = TestClock((change_s - 5 * HOUR_S) * NS)
    settings = Mt5Settings(accounts=(Mt5Account(login=LOGIN, balance=Decimal(20_000)),), deal_lag_ms=lag_s * 1000)
    terminal = Terminal(settings, [fx("EURUSD", hours=TradingHours.always())], clock)
    for at_s in range(change_s - 4 * HOUR_S, change_s + 4 * HOUR_S + 1, 20 * MINUTE_S):
        clock.set(at_s * NS)
        terminal.push("EURUSD", 110_000, 110_010)
        order = NewOrder(symbol="EURUSD", side=Side.BUY, type=OrderType.MARKET, units=Decimal(1_000))
        terminal.ledger.submit(LOGIN, order, at_s * NS)
    made = terminal.ledger.accounts[LOGIN].deals
    assert len(made) == 25
    seen = [deal for deal in made if deal.ts_ns <= clock.now_ns() - lag_s * NS]
    assert len(seen) == 25 - lag_s // (20 * MINUTE_S)
    noon_s = change_s + 2 * HOUR_S  # of the server, about
    ends = sorted({*range(noon_s - 6 * HOUR_S, noon_s + 7 * HOUR_S, 27 * MINUTE_S), *(server_s(d.ts_ns) for d in made)})
    for low in ends:
        for high in ends:
            found = [deal.deal_id for deal in terminal.deals(low, high)]
            assert found == [deal.deal_id for deal in seen if low <= server_s(deal.ts_ns) <= high], (low, high)


def agree(prices: Prices, stamps_ms: list[int], keep: int, ends_s: list[int]) -> None:
    """Both searches find what a look at every kept row finds; a row's bid is its number."""
    kept = list(enumerate(stamps_ms))[-keep:]

    def numbers(rows: Any) -> list[int]:
        return np.rint(rows["bid"] * 100_000).astype(int).tolist()

    for low in ends_s:
        first = next((place for place, (_, stamp) in enumerate(kept) if stamp // 1000 >= low), len(kept))
        for count in (1, 50, 10 * ROWS):
            assert numbers(prices.ticks_from(low, count)) == [number for number, _ in kept[first : first + count]]
        for high in ends_s:
            wanted = [number for number, stamp in kept if low * 1000 <= stamp <= high * 1000]
            assert numbers(prices.ticks_range(low, high)) == wanted, (low, high)


@pytest.mark.parametrize("falls", [(), (4,), (3, 9), (5, 6)])
@pytest.mark.parametrize("keep", [900, 3 * ROWS, 20 * ROWS])
def test_ticks_whose_stamps_go_back_also_when_old_ones_are_gone(falls: tuple[int, ...], keep: int) -> None:
    rng = np.random.default_rng(3)
    prices = Prices(5, keep, 0)
    begin_ms = AUTUMN_S * 1000
    stamps: list[int] = []
    for part in range(11):  # more rows than the store begins with
        begin_ms += (300_000 if stamps else 0) - FALL_MS * (part in falls)
        added = np.sort(rng.integers(begin_ms, begin_ms + 300_000, ROWS)).astype(np.int64)
        at = np.arange(len(stamps), len(stamps) + ROWS)
        prices.extend(at, at + 10, added)
        stamps += added.tolist()
        if part in (4, 6, 10):
            ends = np.linspace(min(stamps) // 1000 - 60, max(stamps) // 1000 + 60, 16, dtype=int).tolist()
            agree(prices, stamps, keep, [*ends, stamps[-1] // 1000])


@pytest.mark.parametrize("keep", [10, 100])
def test_single_ticks_through_the_hour_that_happens_twice(keep: int) -> None:
    prices, stamps = Prices(5, keep, 0), []
    for number, at_s in enumerate(range(AUTUMN_S - 2 * HOUR_S, AUTUMN_S + 2 * HOUR_S, 6 * MINUTE_S)):
        prices.push(number, number + 10, at_s * NS)
        stamps.append(server_s(at_s * NS) * 1000)
    assert sum(later < earlier for earlier, later in pairwise(stamps)) == 1
    agree(prices, stamps, keep, list(range(min(stamps) // 1000 - 60, max(stamps) // 1000 + 60, 7 * MINUTE_S)))
