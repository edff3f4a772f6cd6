"""Refusal for want of margin, margin call, stop-out: sums by hand."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model import OrderSide
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.backtest.metrics import account, balance_drawdowns, costs, equity_drawdowns, risk_section
from pepperstone_adapter.backtest.run import run
from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, LeverageTier
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.simulation.plan import Latency
from pepperstone_adapter.simulation.record import LedgerKind
from tests.kit.orders import stop as stop_order
from tests.kit.runs import (
    EURUSD,
    Steps,
    amounts,
    bars,
    both,
    buy,
    close_all,
    plan_steps,
    run_steps,
    run_with,
    sell,
    spec,
    terms,
    utc,
)

D = Decimal
GBPUSD = spec("GBPUSD")


def denied(steps) -> list[str]:  # type: ignore[no-untyped-def]
    return [e.reason for e in steps.events if type(e).__name__ == "OrderDenied"]


def test_an_order_beyond_free_margin_is_refused() -> None:
    # 1,000 USD at 30:1 carry 30,000 USD: 27,000 EUR at 1.10 need 29,700 / 30 = 990.00; 28,000 need 1,026.67.
    market = [1.1] * 4
    record, steps = run_with(market, {1: buy(28_000)}, start_balance=D(1_000))
    assert denied(steps) == ["NOT_ENOUGH_MONEY: needs 1026.67 USD of margin, 1000.00 USD are free"]
    assert not record.fills
    (order,) = record.orders
    assert order.status == "DENIED"
    assert order.reason.startswith("NOT_ENOUGH_MONEY")
    record, steps = run_with(market, {1: buy(27_000)}, start_balance=D(1_000))
    assert denied(steps) == []
    assert record.equity[-1].used_margin == D("990.00")


def test_open_loss_eats_free_margin() -> None:
    # 27,000 long, price down 100 points: equity 1,000 - 27 = 973 < 990 used: nothing is free.
    _, steps = run_with([1.1, 1.1, 1.099, 1.099], {1: buy(27_000), 2: buy(1_000)}, start_balance=D(1_000))
    assert denied(steps) == ["NOT_ENOUGH_MONEY: needs 36.63 USD of margin, -17.00 USD are free"]


@pytest.mark.parametrize(("rule", "used"), [("max_side", "3666.67"), ("net", "1833.33"), ("sum", "5500.00")])
def test_hedged_positions_by_the_brokers_rule(rule: str, used: str) -> None:
    # 100,000 long and 50,000 short at 1.10, 30:1: sides 3,666.67 and 1,833.33.
    record = run_steps([1.1] * 4, {1: buy(100_000), 2: sell(50_000)}, term_changes={"hedged_margin": rule})
    assert record.equity[-1].used_margin == D(used)


def test_a_hedge_needs_no_margin_of_its_own() -> None:
    # 90,000 long use 3,300 of 3,400; the opposite 90,000 add nothing under max_side.
    record, steps = run_with([1.1] * 4, {1: buy(90_000), 2: sell(90_000)}, start_balance=D(3_400))
    assert denied(steps) == []
    assert len(record.fills) == 2


@pytest.mark.parametrize("rule", ["max_side", "net", "sum"])
def test_a_netting_reversal_needs_the_margin_of_what_it_leaves(rule: str) -> None:
    # 10,000 long at 1.10 use 366.67 of 1,000. 40,000 sold leave 30,000 short: 1,100.00, so 733.33 more, and 633.33 are free;
    # 35,000 leave 25,000: 916.67, so 550.00 more.
    def reversed_by(units: int) -> Any:
        return run_with(
            [1.1] * 4, {1: buy(10_000), 2: sell(units)}, start_balance=D(1_000), mode=PositionMode.NETTING,
            term_changes={"hedged_margin": rule},
        )  # fmt: skip

    _, steps = reversed_by(40_000)
    assert denied(steps) == ["NOT_ENOUGH_MONEY: needs 733.33 USD of margin, 633.33 USD are free"]
    record, steps = reversed_by(35_000)
    assert denied(steps) == []
    assert record.equity[-1].used_margin == D("916.67")


@pytest.mark.parametrize("latency_ms", [0, 50])
@pytest.mark.parametrize("chunk", [None, 1])
def test_orders_that_are_under_way_together_do_not_share_one_margin(latency_ms: float, chunk: int | None) -> None:
    # 20,000 at 1.10 need 733.33 of 1,000, so the second finds 266.67. With latency neither is filled when both are sent.
    acts = {1: both(buy(20_000), buy(20_000)), 2: close_all()}
    record, steps = run_with(
        [1.1] * 5, acts, start_balance=D(1_000), latency=Latency(base_ms=latency_ms), chunk_size=chunk
    )
    assert denied(steps) == ["NOT_ENOUGH_MONEY: needs 733.33 USD of margin, 266.67 USD are free"]
    assert [(f.side, f.units) for f in record.fills] == [("BUY", D(20_000)), ("SELL", D(20_000))]


@pytest.mark.parametrize("latency_ms", [0, 50])
def test_an_order_finds_the_margin_that_one_under_way_before_it_sets_free(latency_ms: float) -> None:
    # 27,000 held use 990.00 of 1,000; they are closed and as many are bought again, both at once.
    acts = {1: buy(27_000), 2: both(close_all(), buy(27_000)), 3: both(close_all(), sell(27_000))}
    record, steps = run_with([1.1] * 5, acts, start_balance=D(1_000), latency=Latency(base_ms=latency_ms))
    assert denied(steps) == []
    assert [f.side for f in record.fills] == ["BUY", "SELL", "BUY", "SELL", "SELL"]


@pytest.mark.parametrize("latency_ms", [0, 50])
def test_orders_at_market_of_one_list_do_not_share_one_margin(latency_ms: float) -> None:
    # 20,000 at 1.10 need 733.33 of 1,000, so two of them are refused together; a list of 10,000 twice has room, and another
    # 10,000 sent behind it finds 1,000 - 2 × 366.67.
    def together(*units: int) -> Any:
        return lambda s: s.submit_order_list(
            [s.order_factory.market(s.id_of(EURUSD), OrderSide.BUY, s.qty(EURUSD, u)) for u in units]
        )

    acts = {0: together(20_000, 20_000), 1: both(together(10_000, 10_000), buy(10_000))}
    record, steps = run_with([1.1] * 4, acts, start_balance=D(1_000), latency=Latency(base_ms=latency_ms))
    assert denied(steps) == [
        *["NOT_ENOUGH_MONEY: needs 733.33 USD of margin, 266.67 USD are free"] * 2,
        "NOT_ENOUGH_MONEY: needs 366.67 USD of margin, 266.67 USD are free",
    ]
    assert [f.units for f in record.fills] == [D(10_000)] * 2


@pytest.mark.parametrize("latency_ms", [0, 50])
@pytest.mark.parametrize("mode", [PositionMode.HEDGING, PositionMode.NETTING])
def test_a_position_that_is_closed_twice_sets_its_margin_free_once(mode: PositionMode, latency_ms: float) -> None:
    # 13,000 EURUSD at 1.10 use 476.67 of 1,000, and so do 13,000 GBPUSD. EURUSD is closed twice at once; 27,000 more need
    # 990.00, and without EURUSD 523.33 are free.
    def close_twice(s: Steps) -> None:
        close_all()(s)
        close_all()(s)

    acts = {0: both(buy(13_000), buy(13_000, GBPUSD)), 1: both(close_twice, buy(27_000))}
    record, steps = run_with(
        [1.1] * 4, acts, others=[(GBPUSD, bars(GBPUSD, [1.1] * 4))], start_balance=D(1_000), mode=mode,
        latency=Latency(base_ms=latency_ms),
    )  # fmt: skip
    assert denied(steps) == ["NOT_ENOUGH_MONEY: needs 990.00 USD of margin, 523.33 USD are free"]
    assert [f.side for f in record.fills] == ["BUY", "BUY", "SELL"]


def test_orders_under_way_act_in_the_order_in_which_they_were_sent() -> None:
    # 22,000 held at 1.10 are closed, beyond doubt, and 17,000 sold: 623.33 of 1,000. 19,000 GBPUSD need 696.67.
    def close(s: Steps) -> None:
        s.market(EURUSD, OrderSide.SELL, 22_000, reduce_only=True)

    acts = {0: buy(22_000), 2: both(close, sell(17_000), sell(19_000, GBPUSD))}
    record, steps = run_with(
        [1.1] * 4, acts, others=[(GBPUSD, bars(GBPUSD, [1.1] * 4))], start_balance=D(1_000), mode=PositionMode.NETTING
    )
    assert denied(steps) == ["NOT_ENOUGH_MONEY: needs 696.67 USD of margin, 376.67 USD are free"]
    assert record.equity[-1].used_margin == D("623.33")


def test_an_order_whose_amendment_is_refused_is_still_under_way() -> None:
    # 20,000 at 1.10 need 733.33 of 1,000, and the volume it was to have instead is no multiple of 1,000.
    def amended(s: Steps) -> None:
        order = s.order_factory.market(s.id_of(EURUSD), OrderSide.BUY, s.qty(EURUSD, 20_000))
        s.submit_order(order)
        s.modify_order(order.client_order_id, s.qty(EURUSD, 20_500))

    _, steps = run_with([1.1] * 4, {1: both(amended, buy(20_000))}, start_balance=D(1_000), latency=Latency(base_ms=50))
    assert "OrderModifyRejected" in [type(e).__name__ for e in steps.events]
    assert denied(steps) == ["NOT_ENOUGH_MONEY: needs 733.33 USD of margin, 266.67 USD are free"]


@pytest.mark.parametrize("latency_ms", [0, 50])
def test_pending_orders_that_one_bar_meets_do_not_share_one_margin(latency_ms: float) -> None:
    # 20,000 at 1.10 need 733.33 of 1,000: the second that is met finds no more than 266.67.
    acts = {0: both(stop_order(OrderSide.BUY, 1.101, 20_000), stop_order(OrderSide.BUY, 1.102, 20_000))}
    record = run_steps(
        [1.1, 1.1, 1.1, (1.1, 1.103, 1.1, 1.103), 1.103],
        acts,
        start_balance=D(1_000),
        latency=Latency(base_ms=latency_ms),
    )
    assert [f.price for f in record.fills] == [D("1.10100")]
    assert sorted((o.status, o.reason.partition(":")[0]) for o in record.orders) == [
        ("CANCELED", "NOT_ENOUGH_MONEY"), ("FILLED", "")
    ]  # fmt: skip


def test_tiers_of_leverage() -> None:
    # 200,000 EUR at 1.10 = 220,000 USD: 100,000 / 100 + 120,000 / 50 = 1,000 + 2,400 = 3,400.
    tiers = (LeverageTier(up_to_usd=D(100_000), leverage=D(100)), LeverageTier(up_to_usd=None, leverage=D(50)))
    account = replace(terms([EURUSD]), leverage={"EURUSD": tiers})
    record = run_steps([1.1] * 3, {1: buy(200_000)}, account=account)
    assert record.equity[-1].used_margin == D("3400.00")


def test_stop_out_closes_the_worst_first_one_at_a_time() -> None:
    # 3,000 USD at 30:1. Long 40,000 EURUSD at 1.10 (margin 1,466.67) and 20,000 GBPUSD at 1.30 (866.67): used 2,333.33.
    # Stop-out at equity 1,166.67, a loss of 1,833.33. EURUSD falls to 1.05: -2,000 alone. On the way from 1.10 the
    # loss is reached at 1.10 - 1,833.33 / 40,000 = 1.0541667: sold at 1.05416, -1,833.60.
    # GBPUSD stays: equity 1,166.40 over used 866.67 = 134.6 %. Then GBPUSD falls to 1.26 (-800): equity 366.40 under
    # 433.33: closed at 1.30 - 733.07 / 20,000 = 1.2633467 -> 1.26334, -733.20.
    market = [1.1, 1.1, 1.05, 1.05, 1.05]
    record = run_steps(
        market, {1: both(buy(40_000), buy(20_000, GBPUSD))}, start_balance=D(3_000),
        others=[(GBPUSD, [1.3, 1.3, 1.3, 1.26, 1.26])],
    )  # fmt: skip
    closing = record.fills[2:]
    assert [(f.instrument_id, f.price, f.reason) for f in closing] == [
        ("EURUSD.PEPPERSTONE", D("1.05416"), "stop_out"),
        ("GBPUSD.PEPPERSTONE", D("1.26334"), "stop_out"),
    ]
    assert closing[0].ts_ns < closing[1].ts_ns
    assert amounts(record, "realized_pnl") == [D("-1833.60"), D("-733.20")]
    # At 134.6 % the account was above the margin call, so there was a second one at 90 % of 866.67.
    assert (record.stop_outs, record.margin_calls) == (2, 2)
    assert record.end_balance == D("433.20")
    assert {p.exit_reason for p in record.positions} == {"stop_out"}


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_a_margin_call_counts_again_after_the_level_was_above_it(chunk: int | None) -> None:
    # 30,000 at 1.10 use 1,100 of 1,150: the call is at 990, 160 down, 1.0946667. Down to 1.09 (77 %) and 1.085 (64 %): one.
    # A bar that opens there and closes at 1.10 (105 %) is above it, the next falls to 1.09: two; that it goes on below
    # changes nothing. A bar that opens at 1.10, falls to 1.09 and comes back: three.
    market = [1.1, 1.1, 1.09, 1.085, 1.1, 1.09, 1.085, 1.09, 1.1, (1.1, 1.1, 1.09, 1.1), 1.1]
    record = run_steps(market, {1: buy(30_000)}, start_balance=D(1_150), chunk_size=chunk)
    assert (record.margin_calls, record.stop_outs) == (3, 0)


@pytest.mark.parametrize("chunk", [None, 1])
def test_a_stop_out_that_leaves_the_level_below_the_margin_call_is_followed_by_no_second_one(chunk: int | None) -> None:
    # 100,000 EURUSD at 1.10 use 3,666.67, 10,000 GBPUSD at 1.30 433.33: 4,100 of 4,150. GBPUSD gaps to 1.09: -2,100, at
    # 2,050 of equity that is the stop-out. 2,050 of 3,666.67 are 56 %: still below 90. EURUSD falls to 1.0978333: 50 %.
    record = run_steps(
        [1.1, 1.1, 1.1, 1.1, 1.09], {1: both(buy(100_000), buy(10_000, GBPUSD))}, start_balance=D(4_150),
        others=[(GBPUSD, [1.3, 1.3, (1.09,) * 4, 1.09, 1.09])], chunk_size=chunk,
    )  # fmt: skip
    assert amounts(record, "realized_pnl") == [D("-2100.00"), D("-217.00")]
    assert (record.stop_outs, record.margin_calls) == (2, 1)


def test_only_as_many_as_needed_are_closed() -> None:
    # Two longs of 20,000 from 1.10000 and 1.10500: at the stop-out the later one has the larger loss and goes; the
    # other stays. Used 733.33 + 736.67 = 1,470.00; stop-out at equity 735.00 of 1,600: loss 865 on 40,000 units with
    # cost 44,100: price (44,100 - 865) / 40,000 = 1.080875 -> 1.08087: (1.08087 - 1.105) × 20,000 = -482.60.
    # Equity after: 1,600 - 482.60 - 382.60 = 734.80 over 733.33 = 100.2 %.
    market = [1.1, 1.1, 1.105, (1.105, 1.105, 1.0805, 1.0805), 1.0805]
    record = run_steps(market, {1: buy(20_000), 2: buy(20_000)}, start_balance=D(1_600))
    assert [(f.price, f.reason) for f in record.fills[2:]] == [(D("1.08087"), "stop_out")]
    assert record.stop_outs == 1
    assert record.end_balance == D("1117.40")
    assert record.equity[-1].open_positions == 1


@pytest.mark.parametrize("latency_ms", [0, 50])
def test_a_netting_account_is_stopped_out_too(latency_ms: float) -> None:
    # 30,000 at 1.10 use 1,100 of 1,150: 600 down, at 1.08, the level is 50 %. The framework gives each strategy of a
    # netting account a position of its own, which only an order of that strategy closes.
    market = [1.1, 1.1, (1.1, 1.1, 1.06, 1.07), 1.07, 1.07]
    record = run_steps(
        market, {1: buy(30_000)}, start_balance=D(1_150), mode=PositionMode.NETTING, latency=Latency(base_ms=latency_ms)
    )
    assert [(f.price, f.reason) for f in record.fills] == [(D("1.10000"), "client"), (D("1.08000"), "stop_out")]
    assert (record.stop_outs, record.margin_calls, record.end_balance) == (1, 1, D("550.00"))
    assert [(p.gross, p.exit_reason) for p in record.positions] == [(D("-600.00"), "stop_out")]


def test_a_strategy_cannot_dodge_the_stop_out_of_its_bar() -> None:
    # The bar falls to 1.06 and comes back to 1.10; the strategy closes at its end. The broker was first.
    # 30,000 at 1.10: used 1,100, stop-out at 550 of 1,150: loss of 600: 1.10 - 0.02 = 1.08.
    market = [1.1, 1.1, (1.1, 1.1, 1.06, 1.1), 1.1]
    record = run_steps(market, {1: buy(30_000), 2: close_all()}, start_balance=D(1_150))
    assert [(f.price, f.reason) for f in record.fills] == [(D("1.10000"), "client"), (D("1.08000"), "stop_out")]


def test_a_gap_below_zero_is_given_back() -> None:
    # 30,000 from 1.10 gaps to 1.05: -1,500 of 1,150. Closed at the open; the balance of -350 is set to zero.
    market = [1.1, 1.1, (1.05, 1.05, 1.05, 1.05), 1.05, 1.05]
    record = run_steps(market, {1: buy(30_000)}, start_balance=D(1_150))
    assert amounts(record, "realized_pnl") == [D("-1500.00")]
    assert amounts(record, "adjustment") == [D("350.00")]
    assert record.end_balance == 0
    # Prices took 1,500 and the broker wrote 350 off: -1,500 + 350 = -1,150. That is no cost below zero.
    assert account(record)["adjustments"] == D("350.00")
    assert (account(record)["net_profit"], costs(record)["total"]) == (D("-1150.00"), 0)
    record = run_steps(
        market, {1: buy(30_000)}, start_balance=D(1_150), term_changes={"negative_balance_protection": False}
    )
    assert record.end_balance == D("-350.00")


def test_both_sides_of_a_hedge_go_the_same_way_inside_a_bar() -> None:
    # 100,000 long and short on 4,000 USD: used 3,666.67. The bar spans 600 points, but what one side loses the other
    # earns: equity stays 4,000 (109 %). At opposite extremes it would be 4,000 - 3,000 - 3,000.
    market = [1.1, 1.1, 1.1, (1.1, 1.13, 1.07, 1.1), 1.1]
    record = run_steps(market, {1: both(buy(100_000), sell(100_000))}, start_balance=D(4_000))
    assert (record.stop_outs, record.margin_calls, record.end_equity) == (0, 0, D("4000.00"))


def test_the_smaller_side_of_a_hedge_earns_on_the_way_to_the_stop_out() -> None:
    # 100,000 long, 40,000 short from 1.10: used 3,666.67 (larger side), stop-out at 1,833.33: 2,166.67 lost by the 60,000
    # in excess, at 1.10 - 0.0361111 = 1.0638888, sold at 1.06388: -3,612. 40,000 short use 1,466.67 then, and equity is
    # 388 + 40,000 x 0.03612 = 1,832.80 (125 %): they stay, and earn from there on.
    market = [1.1, 1.1, 1.1, (1.1, 1.1, 1.05, 1.06), 1.06]
    record = run_steps(market, {1: both(buy(100_000), sell(40_000))}, start_balance=D(4_000))
    assert [(f.side, f.price, f.reason) for f in record.fills[2:]] == [("SELL", D("1.06388"), "stop_out")]
    assert amounts(record, "realized_pnl") == [D("-3612.00")]
    assert record.end_equity == D("1988.00")  # 388 + 40,000 x 0.04


def stop(s):  # type: ignore[no-untyped-def]
    """Protect 30,000 EURUSD at 1.09."""
    s.submit_order(
        s.order_factory.stop_market(
            s.id_of(EURUSD), OrderSide.SELL, s.qty(EURUSD, 30_000), s.px(EURUSD, 1.09), reduce_only=True
        ),
        s.cache.positions_open()[0].id,
    )


@pytest.mark.parametrize("after", [[], [1.05]])
def test_a_stop_loss_that_gaps_below_zero_is_given_back(after: list[float]) -> None:
    # As above, but the client's own stop is filled at the gap: -1,500 of 1,150; also at the last row of the run.
    market = [1.1, 1.1, 1.1, (1.05, 1.05, 1.05, 1.05), *after]
    record = run_steps(market, {1: buy(30_000), 2: stop}, start_balance=D(1_150))
    assert [f.reason for f in record.fills] == ["client", "stop_loss"]
    assert amounts(record, "adjustment") == [D("350.00")]
    assert (record.end_balance, record.stop_outs) == (0, 0)


def test_what_is_given_back_covers_charges_that_are_posted_after_the_fill() -> None:
    # 100,000 USDJPY from 150 to 130: -2,000,000 JPY / 130 = -15,384.62, and 3.50 a side. 4,000 - 3.50 - 15,384.62 - 3.50.
    rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.5"), currency="USD")
    usdjpy = spec("USDJPY")
    record = run_steps(
        [150, 150, 150, (130, 130, 130, 130), 130], {1: buy(100_000, usdjpy)},
        symbol=usdjpy, commission=rule, start_balance=D(4_000),
    )  # fmt: skip
    assert amounts(record, "commission") == [D("-3.50"), D("-3.50")]
    assert amounts(record, "adjustment") == [D("11391.62")]
    assert record.end_balance == 0


def test_the_stop_loss_comes_before_the_stop_out() -> None:
    # Stop at 1.09 and stop-out at 1.08 in one bar: the order in the market is first.
    market = [1.1, 1.1, 1.1, (1.1, 1.1, 1.05, 1.06), 1.06]
    record = run_steps(market, {1: buy(30_000), 2: stop}, start_balance=D(1_150))
    assert [(f.price, f.reason) for f in record.fills[1:]] == [(D("1.09000"), "stop_loss")]
    assert record.stop_outs == 0


def test_the_lowest_margin_level_knows_of_stop_outs_inside_a_bar() -> None:
    # As in the test of the dodging strategy: closed when equity of 550 is 50 % of 1,100, and back before the bar ends.
    record = run_steps([1.1, 1.1, (1.1, 1.1, 1.06, 1.1), 1.1], {1: buy(30_000)}, start_balance=D(1_150))
    risk = risk_section(record, equity_drawdowns(record), balance_drawdowns(record))
    assert risk["min_margin_level"] == 50.0


def test_professional_stop_out_level() -> None:
    # At 20 % the same 30,000 hold until a loss of 1,150 - 220 = 930: 1.10 - 0.031 = 1.069.
    market = [1.1, 1.1, (1.1, 1.1, 1.06, 1.1), 1.1]
    record = run_steps(market, {1: buy(30_000)}, start_balance=D(1_150), term_changes={"stop_out_level": D(20)})
    assert record.fills[1].price == D("1.06900")


def test_short_positions_are_stopped_out_on_the_ask() -> None:
    # 30,000 short at BID 1.10, spread 20 points: stop-out when the ASK reaches 1.12 (loss of 600), BID 1.11980.
    market = [1.1, 1.1, (1.1, 1.13, 1.1, 1.1), 1.1]
    record = run_steps(market, {1: sell(30_000)}, start_balance=D(1_150), spread=20)
    assert (record.fills[1].price, record.fills[1].reason) == (D("1.12000"), "stop_out")


@pytest.mark.parametrize("side", [buy, sell])
def test_the_quote_of_a_stop_out_is_the_one_it_was_closed_at(side: Any) -> None:
    # The bar goes on for or against the position after that; spread 20 points.
    market = [1.1, 1.1, (1.1, 1.13, 1.07, 1.1), 1.1]
    fill = run_steps(market, {1: side(30_000)}, start_balance=D(1_150), spread=20).fills[1]
    assert fill.reason == "stop_out"
    assert (fill.ask - fill.bid, fill.slippage) == (D("0.00020"), 0)
    assert fill.price == (fill.bid if fill.side == "SELL" else fill.ask)


def test_a_closed_market_waits_for_its_opening() -> None:
    # GBPUSD closes at 12:00, EURUSD trades on. Both are held; EURUSD's loss triggers, GBPUSD cannot be closed.
    hours = TradingHours(zone="UTC", intervals=tuple((d * 86_400, d * 86_400 + 12 * 3600) for d in range(7)))
    shut = replace(GBPUSD, hours=hours)
    times = [utc(2024, 1, 8, h) for h in (10, 11, 12, 13, 14)]
    record = run_steps(
        bars(EURUSD, [1.1, 1.1, 1.1, 1.04, 1.04], times=times, period="1-HOUR"),
        {1: both(buy(20_000), buy(30_000, shut))}, start_balance=D(2_300),
        others=[(shut, bars(shut, [1.3, 1.3, 1.28], times=times[:3], period="1-HOUR"))],
    )  # fmt: skip
    assert [f.instrument_id for f in record.fills if f.reason == "stop_out"] == ["EURUSD.PEPPERSTONE"]


def test_a_stop_out_in_the_bar_in_which_the_session_ends() -> None:
    # Monday's session ends at 12:50; the hour from 12:00 falls through 1.08, where 30,000 from 1.10 are at 50 % of 1,100.
    # Its last price is of 12:50; the market is shut until Tuesday, when it opens at 1.05: there it would be -1,500.
    half_day = TradingHours(zone="UTC", intervals=((86_400, 86_400 + 46_200), (2 * 86_400, 3 * 86_400)))
    symbol = spec("EURUSD", hours=half_day)
    times = [utc(2024, 1, 8, hour) for hour in (10, 11, 12, 13)] + [utc(2024, 1, 9, 1)]
    market = bars(symbol, [1.1, 1.1, 1.1, (1.1, 1.1, 1.07, 1.075), (1.05,) * 4], times=times, period="1-HOUR")
    record = run_steps(market, {1: buy(30_000, symbol)}, symbol=symbol, start_balance=D(1_150))
    closed_ns = utc(2024, 1, 8, 12, 50)
    assert [(f.price, f.reason, f.ts_ns) for f in record.fills[1:]] == [(D("1.08000"), "stop_out", closed_ns)]
    assert record.end_balance == D("550.00")


def test_stop_out_by_quotes() -> None:
    from tests.kit.runs import quotes

    rows = [(1.1, 1.1), (1.1, 1.1), (1.085, 1.0851), (1.079, 1.0791), (1.078, 1.0781)]
    record = run_steps(quotes(EURUSD, rows), {1: buy(30_000)}, start_balance=D(1_150))
    assert (record.fills[1].price, record.fills[1].reason) == (D("1.07900"), "stop_out")
    assert [r.kind for r in record.ledger] == [LedgerKind.DEPOSIT, LedgerKind.REALIZED_PNL]


@pytest.mark.parametrize(("kind", "price"), [("stop_market", 1.105), ("limit", 1.095)])
def test_a_pending_order_without_margin_is_canceled_when_it_is_met(kind: str, price: float) -> None:
    # 1,000 USD at 30:1 carry no 100,000; the broker finds out when the price is there.
    def pending(s):  # type: ignore[no-untyped-def]
        s.submit_order(
            getattr(s.order_factory, kind)(s.id_of(EURUSD), OrderSide.BUY, s.qty(EURUSD, 100_000), s.px(EURUSD, price))
        )

    record, steps = run_with([1.1, 1.1, 1.106, 1.09, 1.1, 1.1], {1: pending}, start_balance=D(1_000))
    assert not record.fills
    (order,) = record.orders
    assert order.status == "CANCELED"
    assert order.reason.startswith("NOT_ENOUGH_MONEY: needs 36")
    assert "OrderCanceled" in [type(e).__name__ for e in steps.events]


@pytest.mark.parametrize("kind", ["limit", "limit_if_touched"])
def test_a_refused_pending_order_stays_refused_when_margin_comes_free_in_the_same_instant(kind: str) -> None:
    # 20,000 at 1.10 use 733.33 of 1,000; 20,000 more at 1.095 need 730.00 when the bar meets them. On that bar the
    # strategy closes its position: the broker has said no by then.
    def pending(s):  # type: ignore[no-untyped-def]
        prices = [s.px(EURUSD, 1.095)] * (1 if kind == "limit" else 2)
        s.submit_order(getattr(s.order_factory, kind)(s.id_of(EURUSD), OrderSide.BUY, s.qty(EURUSD, 20_000), *prices))

    market = [1.1, 1.1, 1.1, (1.1, 1.1, 1.09, 1.094), 1.094, 1.094]
    record = run_steps(market, {1: buy(20_000), 2: pending, 3: close_all()}, start_balance=D(1_000))
    assert [(f.order_type, f.reason) for f in record.fills] == [("MARKET", "client"), ("MARKET", "client")]
    (order,) = [o for o in record.orders if o.order_type != "MARKET"]
    assert (order.status, order.reason[:17]) == ("CANCELED", "NOT_ENOUGH_MONEY:")


class Second(Steps):
    """Another strategy on the same symbol."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "Second":
        return Strategy.__new__(cls, StrategyConfig(order_id_tag="B"))  # type: ignore[call-arg]


def two_strategies(first_acts: Any, second_acts: Any, **changes: Any) -> Any:
    plan, first = plan_steps([1.1, 1.1, 1.102, 1.101, 1.1, 1.1], first_acts, mode=PositionMode.NETTING, **changes)
    return run(replace(plan, strategies=(first, Second(second_acts, first.listen))))


@pytest.mark.parametrize("other", [buy(10_000), sell(5_000), sell(20_000)])
def test_two_strategies_that_hold_one_symbol_of_a_netting_account_have_no_result(other: Any) -> None:
    # The account would have one position of both, with a margin, a swap and an average price of its own.
    with pytest.raises(ConfigurationError) as error:
        two_strategies({1: buy(20_000)}, {2: other})
    assert str(error.value) == (
        "Steps-001 and Second-B hold EURUSD at the same time (2024-01-08T10:03:00Z); a netting account has one position a "
        "symbol, so what each earned is not what the account would have: set account.mode: hedging, or run each "
        "strategy in a backtest of its own"
    )


def test_two_strategies_may_hold_one_symbol_of_a_netting_account_one_after_the_other() -> None:
    # 20,000 from 1.10 to 1.102: +40.00. Then 10,000 short from 1.101 to 1.10: +10.00.
    record = two_strategies({1: buy(20_000), 2: close_all()}, {3: sell(10_000), 4: close_all()})
    assert amounts(record, "realized_pnl") == [D("40.00"), D("10.00")]
    assert record.end_balance == D("100050.00")


def test_strategies_of_a_netting_account_hold_different_symbols() -> None:
    record = two_strategies(
        {1: buy(20_000)}, {1: buy(10_000, GBPUSD)}, others=[(GBPUSD, [1.3, 1.3, 1.3, 1.3, 1.3, 1.3])]
    )
    assert [p.instrument_id.partition(".")[0] for p in record.positions] == ["EURUSD", "GBPUSD"]
