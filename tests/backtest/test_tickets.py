"""Orders for one ticket of a hedging account close it, and do nothing else."""

from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model import OrderSide

from pepperstone_adapter.simulation.plan import Latency
from tests.kit.orders import BUY, SELL, position_of, reasons
from tests.kit.runs import (
    EURUSD,
    Act,
    Steps,
    both,
    buy,
    close_all,
    run_steps,
    run_with,
    sell,
)

D = Decimal
DAY_S = 86_400


def for_ticket(side: OrderSide, *sizes: int, **kw: Any) -> Act:
    """Market orders for the ticket there is, or was."""

    def act(s: Steps) -> None:
        ticket = (s.cache.positions_open() or s.cache.positions_closed())[0].id
        for units in sizes:
            s.market(EURUSD, side, units, ticket, **kw)

    return act


def stop_for_ticket(units: int) -> Act:
    def act(s: Steps) -> None:
        stop = s.order_factory.stop_market(s.id_of(EURUSD), SELL, s.qty(EURUSD, units), s.px(EURUSD, 1.09))
        s.submit_order(stop, position_of(s))

    return act


@pytest.mark.parametrize("latency_ms", [0, 5])
@pytest.mark.parametrize(
    ("side", "sizes", "reason", "left"),
    [
        (
            SELL, (150_000,),
            "INVALID_CLOSE_VOLUME: position {} has 100000 units (1 lots) to close, not 150000 units (1.5 lots)", 100_000,
        ),
        (
            SELL, (70_000, 70_000),
            "INVALID_CLOSE_VOLUME: position {} has 30000 units (0.3 lots) left to close, not 70000 units (0.7 lots)", 30_000,
        ),
        (
            BUY, (10_000,),
            "INVALID_POSITION: position {} cannot be added to; send the order without position_id", 100_000,
        ),
    ],
)  # fmt: skip
def test_a_ticket_is_closed_and_not_turned_round(
    side: OrderSide, sizes: tuple[int, ...], reason: str, left: int, latency_ms: int
) -> None:
    # The volume has passed the desk before, so that it is not looked at closely again.
    acts = {
        0: both(buy(150_000), buy(70_000), buy(10_000)),
        1: close_all(),
        2: buy(100_000),
        3: for_ticket(side, *sizes),
    }
    record, steps = run_with([1.1] * 6, acts, latency=Latency(base_ms=latency_ms))
    ticket = record.positions[-1].position_id
    assert reasons(steps) == [reason.format(ticket)]
    assert sum(f.units if f.side == "BUY" else -f.units for f in record.fills if f.position_id == ticket) == left


def test_a_ticket_that_is_closed_is_not_opened_again() -> None:
    record, steps = run_with([1.1] * 5, {1: buy(100_000), 2: close_all(), 3: for_ticket(SELL, 100_000)})
    assert reasons(steps) == [f"POSITION_NOT_FOUND: no open position {record.positions[0].position_id}"]
    assert len(record.positions) == 1


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (for_ticket(SELL, 40_000), "has 60000 units (0.6 lots) to close, not 100000 units (1 lots)"),
        (close_all(), "no open position"),
    ],
)
def test_a_stop_for_more_than_is_left_of_its_ticket_is_canceled_when_it_is_met(meanwhile: Act, reason: str) -> None:
    acts = {1: buy(100_000), 2: stop_for_ticket(100_000), 3: meanwhile}
    record = run_steps([1.1, 1.1, 1.1, 1.1, 1.08, 1.08], acts)
    (stop,) = (o for o in record.orders if o.order_type == "STOP_MARKET")
    assert stop.status == "CANCELED"
    assert reason in stop.reason
    assert len(record.positions) == 1


def test_a_stop_for_a_ticket_needs_no_margin() -> None:
    # 100,000 at 1.10 hold 3,666.67 of 5,000 USD; where both sides of a hedge count, a second 100,000 would be too many.
    acts = {1: buy(100_000), 2: stop_for_ticket(100_000)}
    record = run_steps(
        [1.1, 1.1, 1.1, 1.089, 1.089], acts, start_balance=D(5_000), term_changes={"hedged_margin": "sum"}
    )
    assert [(f.price, f.reason) for f in record.fills[1:]] == [(D("1.09000"), "stop_loss")]


def test_a_close_by_is_not_simulated_and_closes_nothing() -> None:
    def by(s: Steps) -> None:
        one, other = s.cache.positions_open()
        s.close_position(one, params={"close_by": str(other.id)})

    record, steps = run_with([1.1] * 5, {1: buy(100_000), 2: sell(100_000), 3: by})
    assert reasons(steps) == [
        "UNSUPPORTED_PARAMETER: close_by is not simulated; close each of the two with an order of its own"
    ]
    assert len(record.fills) == 2


@pytest.mark.parametrize(("params", "refused"), [({"slippage_point": 1}, True), ({"slippage_points": 1}, False)])
def test_a_parameter_that_live_trading_does_not_know_is_refused(params: dict[str, int], refused: bool) -> None:
    def act(s: Steps) -> None:
        s.submit_order(s.order_factory.market(s.id_of(EURUSD), BUY, s.qty(EURUSD, 100_000)), params=params)

    record, steps = run_with([1.1] * 4, {1: act})
    assert ["slippage_point; known: slippage_points, base_price" in r for r in reasons(steps)] == [True] * refused
    assert len(record.fills) == (not refused)


def test_a_list_with_a_parameter_that_live_trading_does_not_know_is_refused_as_a_whole() -> None:
    def bracket(s: Steps) -> None:
        orders = s.order_factory.bracket(
            s.id_of(EURUSD), BUY, s.qty(EURUSD, 100_000), sl_trigger_price=s.px(EURUSD, 1.09),
            tp_price=s.px(EURUSD, 1.12), tp_post_only=False,
        )  # fmt: skip
        s.submit_order_list(orders, params={"slippage_point": 1})

    record, steps = run_with([1.1] * 4, {1: bracket})
    assert reasons(steps) == ["UNSUPPORTED_PARAMETER: slippage_point; known: slippage_points, base_price"] * 3
    assert record.fills == []


def test_an_order_for_an_open_position_takes_no_parameter_of_an_entry() -> None:
    # Live trading denies it: a close is no market range.
    def close(s: Steps) -> None:
        s.close_position(s.cache.positions_open()[0], params={"slippage_points": 5})

    record, steps = run_with([1.1] * 4, {1: buy(100_000), 2: close})
    assert reasons(steps) == ["UNSUPPORTED_PARAMETER: an order for an open position takes no slippage_points"]
    assert len(record.fills) == 1
