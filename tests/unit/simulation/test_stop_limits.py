"""Which stop-limit orders are looked at again with each bar, by their number."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from pepperstone_adapter.simulation.tape import Rows
from pepperstone_adapter.simulation.venue import SimulatedVenue
from tests.kit.orders import BUY
from tests.kit.runs import EURUSD, MINUTE_NS, MONDAY, bars, plan_steps, quotes

ORDERS = 300


@contextmanager
def following(market: Any, *windows: Rows) -> Iterator[Any]:
    """The stop-limit orders of a venue, on whose tape lie some windows of a market, one after the other."""
    plan, strategy = plan_steps(market, {})
    venue = SimulatedVenue(plan, MONDAY)
    venue.add_strategy(strategy)
    for rows in windows:
        venue.tapes["EURUSD"].load(rows)
    followed = venue.broker.stop_limits
    for _ in range(ORDERS):
        followed.watch(
            strategy.order_factory.stop_limit(
                strategy.id_of(EURUSD), BUY, strategy.qty(EURUSD, 1_000), strategy.px(EURUSD, 1.106),
                strategy.px(EURUSD, 1.105),
            )
        )  # fmt: skip
    yield followed
    venue.close()


def test_those_of_a_symbol_with_quotes_are_not_followed() -> None:
    market = quotes(EURUSD, [(1.1, 1.1)] * 4)
    for cuts in ([0, 4], [0, 2, 4]):
        windows = (Rows(market.ts_ns[a:b], (market.bid[a:b],) * 4, (market.ask[a:b],) * 4) for a, b in pairwise(cuts))
        with following(market, *windows) as followed:
            assert len(followed) == 0


def test_those_that_have_ended_are_dropped_with_the_next_bar() -> None:
    market = bars(EURUSD, [1.1] * 4)
    side = (market.open, market.high, market.low, market.close)
    with following(market, Rows(market.ts_ns, side, side)) as followed:
        assert (len(followed), followed.due_ns) == (ORDERS, MONDAY + MINUTE_NS)
        followed.execute(followed.due_ns)  # none of them is in the framework's cache
        assert len(followed) == 0
