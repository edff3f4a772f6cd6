"""Worst and best profit of a position (MAE, MFE), worked out by hand."""

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model import OrderSide

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.simulation.plan import Latency, Slippage
from tests.kit.runs import EURUSD, Steps, buy, close_all, reduce, run_steps, sell, spec


def test_excursions_of_a_position() -> None:
    # Long 100,000 from 1.10000: as low as 1.09700 (-300), as high as 1.10250 (+250), closed at 1.10100.
    rows: list[Any] = [1.1, 1.1, (1.1, 1.1025, 1.1, 1.102), (1.102, 1.102, 1.097, 1.1), 1.101, 1.2]

    def close(s: Steps) -> None:
        s.close_position(s.cache.positions_open()[0])

    (row,) = run_steps(rows, {1: buy(100_000), 4: close}).positions
    assert (row.mae, row.mfe) == (Decimal("-300.00"), Decimal("250.00"))
    assert row.gross == Decimal("100.00")


def test_excursions_hold_the_profit_itself() -> None:
    # Short 100,000 USDJPY at BID 150.000, bought back at ASK 152.000: -200,000 JPY. A purchase converts at the BID,
    # / 151.000 = -1,324.50 USD; at the middle it would be / 151.500 = -1,320.13: never less bad than the end itself.
    usdjpy = spec("USDJPY")
    acts = {1: sell(100_000, usdjpy), 2: close_all(usdjpy)}
    (row,) = run_steps([150, 150, 151, 151], acts, symbol=usdjpy, spread=1000).positions
    assert (row.gross, row.mae, row.mfe) == (Decimal("-1324.50"), Decimal("-1324.50"), Decimal("0.00"))


@pytest.mark.parametrize("chunk", [None, 1])
def test_excursions_count_the_size_of_the_time(chunk: int | None) -> None:
    # Long 100,000 at 1.10. At 1.12 it is 2,000 up; 90,000 are sold for +1,800. The other 10,000 fall to 1.05: -500.
    # Worst 0 (at the opening), best 2,000; at the end 1,300. With 100,000 all the time it would have been -5,000.
    rows: list[Any] = [1.1, 1.1, 1.12, 1.12, (1.12, 1.12, 1.05, 1.05), 1.05]
    (row,) = run_steps(rows, {1: buy(100_000), 2: reduce(90_000), 4: close_all()}, chunk_size=chunk).positions
    assert (row.mae, row.mfe, row.gross) == (Decimal("0.00"), Decimal("2000.00"), Decimal("1300.00"))
    assert row.units == 100_000


@pytest.mark.parametrize("chunk", [None, 1])
def test_excursions_of_a_position_that_grows_and_is_still_open(chunk: int | None) -> None:
    # Long 10,000 at 1.10, down to 1.09: -100. 90,000 more at 1.10; from there 100,000 go down to 1.0995 (-50) and up to
    # 1.101 (+100). 60,000 sold at 1.10 for 0; the other 40,000 go up to 1.11: +400, and down to 1.0990: -40.
    rows: list[Any] = [
        1.1, 1.1, (1.1, 1.1, 1.09, 1.1), (1.1, 1.101, 1.0995, 1.1), (1.1, 1.11, 1.099, 1.105), 1.105,
    ]  # fmt: skip
    acts = {1: buy(10_000), 2: buy(90_000), 3: reduce(60_000)}
    (row,) = run_steps(rows, acts, mode=PositionMode.NETTING, chunk_size=chunk).positions
    assert (row.mae, row.mfe, row.closed_ns) == (Decimal("-100.00"), Decimal("400.00"), 0)


def test_the_rest_of_a_position_is_held_through_the_bar_of_a_partial_target() -> None:
    # Short 100,000 at 1.10. The bar falls to 1.08 and rises to 1.13: a limit takes 80,000 at 1.09 (+800), and 20,000
    # see all of the bar: 800 + 400 to 800 - 600; at 1.09 all were 1,000 up, after it at least 20,000 were there.
    rows: list[Any] = [1.1, 1.1, (1.1, 1.13, 1.08, 1.1), 1.1, 1.1]

    def target(s: Steps) -> None:
        order = s.order_factory.limit(
            s.id_of(EURUSD), OrderSide.BUY, s.qty(EURUSD, 80_000), s.px(EURUSD, 1.09), reduce_only=True
        )
        s.submit_order(order, s.cache.positions_open()[0].id)

    (row,) = run_steps(rows, {0: sell(100_000), 1: target, 3: close_all()}).positions
    assert (row.mae, row.mfe, row.gross) == (Decimal("0.00"), Decimal("1200.00"), Decimal("800.00"))


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("after", [[], [1.06]], ids=["last", "not-last"])  # whether it is the last bar of the data
@pytest.mark.parametrize("latency_ms", [0, 50])
def test_the_bar_of_a_stop_out_goes_on_without_the_position(
    latency_ms: float, after: list[float], chunk: int | None
) -> None:
    # 30,000 at 1.10 use 1,100 of 1,150: the stop-out at 550 closes them at 1.08, 600 down. The bar falls on to 1.05.
    rows: list[Any] = [1.1, 1.1, 1.1, (1.1, 1.1, 1.05, 1.06), *after]
    latency = Latency(base_ms=latency_ms)
    (row,) = run_steps(
        rows, {1: buy(30_000)}, start_balance=Decimal(1_150), latency=latency, chunk_size=chunk
    ).positions
    assert (row.gross, row.mae, row.mfe) == (Decimal("-600.00"), Decimal("-600.00"), Decimal("0.00"))


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("latency_ms", [0, 50])
def test_the_bar_of_a_stop_out_goes_on_without_what_was_left_of_the_position(
    latency_ms: float, chunk: int | None
) -> None:
    # 60,000 at 1.10; 30,000 of them sold at 1.085 for -450: 1,800 left, the rest uses 1,100. The stop-out at 550 is 1,250
    # down, 0.0416667: sold at 1.05833 for -1,250.10. The bar falls on to 1.04.
    rows: list[Any] = [1.1, 1.1, 1.085, 1.085, (1.085, 1.085, 1.04, 1.045), 1.045]
    acts = {1: buy(60_000), 2: reduce(30_000)}
    latency = Latency(base_ms=latency_ms)
    (row,) = run_steps(rows, acts, start_balance=Decimal(2_250), latency=latency, chunk_size=chunk).positions
    assert (row.exit_reason, row.gross, row.mae) == ("stop_out", Decimal("-1700.10"), Decimal("-1700.10"))


def test_a_limit_that_fills_when_it_is_sent_leaves_at_the_end_of_its_bar() -> None:
    # Long 10,000 at 1.10; a bar falls to 1.05 (-500), rises to 1.12 (+200) and closes at 1.10. Then a limit of 1.09 sells at
    # 1.10: the position was held through all of that bar.
    rows: list[Any] = [1.1, 1.1, (1.1, 1.12, 1.05, 1.1), 1.1]

    def leave(s: Steps) -> None:
        order = s.order_factory.limit(
            s.id_of(EURUSD), OrderSide.SELL, s.qty(EURUSD, 10_000), s.px(EURUSD, 1.09), reduce_only=True
        )
        s.submit_order(order, s.cache.positions_open()[0].id)

    (row,) = run_steps(rows, {1: buy(10_000), 2: leave}).positions
    assert (row.close_price, row.gross) == (Decimal("1.10000"), Decimal("0.00"))
    assert (row.mae, row.mfe) == (Decimal("-500.00"), Decimal("200.00"))


def test_a_limit_that_fills_when_it_is_amended_leaves_at_the_end_of_its_bar() -> None:
    # As above, but the limit waits at 1.20 since the bar before, and is brought down to 1.09 at the end of that bar.
    rows: list[Any] = [1.1, 1.1, 1.1, (1.1, 1.12, 1.05, 1.1), 1.1]
    waiting: list[Any] = []

    def wait(s: Steps) -> None:
        waiting.append(
            s.order_factory.limit(
                s.id_of(EURUSD), OrderSide.SELL, s.qty(EURUSD, 10_000), s.px(EURUSD, 1.2), reduce_only=True
            )
        )
        s.submit_order(waiting[0], s.cache.positions_open()[0].id)

    def leave(s: Steps) -> None:
        s.modify_order(waiting[0].client_order_id, price=s.px(EURUSD, 1.09))

    (row,) = run_steps(rows, {1: buy(10_000), 2: wait, 3: leave}).positions
    assert (row.close_price, row.gross) == (Decimal("1.10000"), Decimal("0.00"))
    assert (row.mae, row.mfe) == (Decimal("-500.00"), Decimal("200.00"))


def test_excursions_in_another_currency() -> None:
    # Long 100,000 USDJPY at 150: up to 151, half sold: 50,000 JPY / 151 = 331.13 USD. The rest gaps to 149:
    # -50,000 JPY / 149 = -335.57, together -4.44; best 100,000 / 151 = 662.25.
    usdjpy = spec("USDJPY")
    acts = {1: buy(100_000, usdjpy), 2: reduce(50_000, usdjpy), 3: close_all(usdjpy)}
    (row,) = run_steps([150, 150, 151, (149, 149, 149, 149), 149], acts, symbol=usdjpy).positions
    assert (row.gross, row.mae, row.mfe) == (Decimal("-4.44"), Decimal("-4.44"), Decimal("662.25"))


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize(("side", "trigger", "fall"), [(OrderSide.BUY, "1.101", 1), (OrderSide.SELL, "1.099", -1)])
def test_a_stop_that_enters_inside_a_bar_has_lost_the_spread(
    side: OrderSide, trigger: str, fall: int, chunk: int | None
) -> None:
    # 100,000 are entered where the stop is met, 10 points from the side that closes them: -10. The market then goes on, to
    # 20 and more points beyond the stop, and never comes back.
    def enter(s: Steps) -> None:
        s.submit_order(
            s.order_factory.stop_market(s.id_of(EURUSD), side, s.qty(EURUSD, 100_000), s.px(EURUSD, trigger))
        )

    prices = [1.1, 1.1, *(round(1.1 + fall * move, 4) for move in (0.002, 0.003, 0.003))]
    (row,) = run_steps(prices, {0: enter, 3: close_all()}, spread=10, chunk_size=chunk).positions
    assert row.open_price == Decimal(trigger)
    assert row.mae == Decimal("-10.00")
    assert row.mfe == row.gross > 0


def test_what_a_fill_slips_is_lost_with_its_spread() -> None:
    # Long 100,000 at ASK 1.10010 and 5 points more; the BID is 1.10000: -15. The next bar opens above that.
    slips = {"EURUSD": Slippage(probability=1.0, min_points=5, max_points=5)}
    rows: list[Any] = [1.1, 1.1, (1.105,) * 4, 1.105]
    (row,) = run_steps(rows, {1: buy(100_000), 2: close_all()}, spread=10, slippage=slips).positions
    assert (row.open_price, row.mae) == (Decimal("1.10015"), Decimal("-15.00"))


@pytest.mark.parametrize("chunk", [None, 1])
def test_what_is_added_to_a_position_has_lost_its_spread_too(chunk: int | None) -> None:
    # Long 10,000 at ASK 1.10010; at BID 1.10020 it is 1 up, and 90,000 more at 1.10030 are 9 down: -8. Then it only rises.
    rows: list[Any] = [1.1, 1.1, 1.1002, (1.105,) * 4, 1.105]
    acts = {1: buy(10_000), 2: buy(90_000), 3: close_all()}
    (row,) = run_steps(rows, acts, spread=10, mode=PositionMode.NETTING, chunk_size=chunk).positions
    assert row.mae == Decimal("-8.00")
