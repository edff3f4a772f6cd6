"""The look-ahead must name the very row a slow search finds."""

from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.simulation.books import Ticket
from pepperstone_adapter.simulation.grid import Grid
from pepperstone_adapter.simulation.rates import Rates
from pepperstone_adapter.simulation.stop_out import MarginWatch
from pepperstone_adapter.simulation.tape import Rows, Tape

EURUSD = symbol_table.get("EURUSD")


def ticket(sign: int, units: int, price: int) -> Ticket:
    return Ticket("P", "S", Grid(EURUSD), sign, 0, units, units * price)  # a step of EURUSD is one unit


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 10_000),
    held=st.lists(
        st.tuples(st.sampled_from([1, -1]), st.integers(1, 50), st.integers(-50, 50)), min_size=1, max_size=4
    ),
    threshold=st.integers(800, 999),
    now=st.integers(0, 400),
)
def test_the_first_dangerous_row(seed: int, held: list[tuple[int, int, int]], threshold: int, now: int) -> None:
    rng = np.random.default_rng(seed)
    close = 110_000 + np.cumsum(rng.integers(-30, 31, 300))
    high, low = close + rng.integers(0, 20, 300), close - rng.integers(0, 20, 300)
    ts = np.sort(rng.choice(np.arange(1, 400), 300, replace=False)).astype(np.int64)
    tape = Tape(EURUSD)
    tape.load(Rows(ts, (close, high, low, close), (close + 5, high + 5, low + 5, close + 5)))
    tickets = [ticket(sign, 1000 * thousands, 110_000 + offset) for sign, thousands, offset in held]
    watch = MarginWatch({"EURUSD": tape}, Rates({"EURUSD": tape}), "USD")
    watch.load(1, 401)

    def equity(*prices: int) -> Decimal:
        # All tickets at one of the prices of the bar, whichever is worst; the ASK is 5 points above the BID.
        ends = ({1: Decimal(int(p)).scaleb(-5), -1: Decimal(int(p) + 5).scaleb(-5)} for p in prices)
        return Decimal(1000) + min(sum(t.profit(at[t.sign]) for t in tickets) for at in ends)

    limit = threshold + Decimal("0.001")
    slow = next((int(ts[i]) for i in range(300) if ts[i] > now and equity(low[i], high[i]) <= limit), None)
    assert watch.next_danger(tickets, 1000.0, threshold + 0.001, now) == slow
    if watch.worst_equity(tickets, Decimal(1000)) > limit:
        assert slow is None
    assert watch.worst_equity(tickets, Decimal(1000)) <= min(equity(low[i], high[i]) for i in range(300))
    slow = next((int(ts[i]) for i in range(300) if ts[i] > now and equity(close[i]) > limit), None)
    assert watch.next_relief(tickets, 1000.0, threshold + 0.001, now) == slow


def test_the_ends_of_a_window_are_exact_to_the_nanosecond() -> None:
    # Times of today are not whole in floats: 1,704,708,300,000,000,001 is not one.
    base = 1_704_708_300_000_000_000
    tape = Tape(EURUSD)
    for first, bids in ((base + 1, (100_000, 110_000)), (base + 200, (100_000, 110_000)), (base, (110_000, 100_000))):
        ts = np.array([first, first + 3_600 * 10**9], np.int64)
        bid = np.array(bids, np.int64)
        tape.rows = Rows()
        tape.load(Rows(ts, (bid,) * 4, (bid,) * 4))
        watch = MarginWatch({"EURUSD": tape}, Rates({"EURUSD": tape}), "USD")
        watch.load(int(ts[0]), int(ts[1]) + 1)
        low = int(ts[bids.index(100_000)])
        assert watch.next_danger([ticket(1, 10_000, 110_000)], 1000.0, 500.0, int(ts[0]) - 1) == low
