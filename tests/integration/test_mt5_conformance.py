"""The framework's conformance cases (TC-E, TC-D) over MetaTrader: the same cases as over cTrader, with the answers that
differ by platform written out. The table in docs/mt5.md lists every case."""

import time
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import (
    BookType,
    OrderSide,
    OrderStatus,
    PositionId,
    Price,
    Quantity,
)

from pepperstone_adapter.sandbox.clock import RunningClock
from tests.kit import conformance as tc
from tests.kit import conformance_data as data
from tests.kit.conformance import ACCEPTED, BUY, CASES, FILLED, LIMIT, SELL, Case, all_in, denied
from tests.kit.conformance_data import HISTORY, M1
from tests.kit.mt5_node import report, run_mt5, sandbox
from tests.kit.node import EURUSD, USDJPY, Bench

#: Where MetaTrader's answer is another than cTrader's.
DIFFERENT = {
    "E13": denied("IOC"),
    "E14": denied("IOC"),
    "E15": denied("FOK"),
    "E16": denied("FOK"),
    "E19": all_in(ACCEPTED, 1, LIMIT, BUY),  # a DAY order lives to the server's midnight
}


def rejected(text: str) -> Any:
    return lambda orders: any(o.status is OrderStatus.REJECTED and text in str(o.last_event.reason) for o in orders)


DIFFERENT |= {  # the tester's limit lies beyond the stop, where MetaTrader takes none
    "E22": rejected("at or below the stop"),
    "E23": rejected("at or above the stop"),
}
MT5_CASES = [replace(case, reached=DIFFERENT.get(case.id, case.reached)) for case in CASES]


@pytest.mark.parametrize("case", MT5_CASES, ids=[f"TC-{c.id}" for c in MT5_CASES])
def test_tc(case: Case, tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, tc.reaching(case), **tc.tester(case.config))
        tc.left_as_said(case, report(broker))
        assert broker.violations() == []


def test_tc_e05_quote_quantity_is_denied_before_the_terminal_sees_it(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await tc.quote_quantity_is_denied(b)
        (order,) = b.cache.orders()
        assert "quote" in str(order.last_event.reason)

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, script)
        assert report(broker)["orders"] == []


@pytest.mark.parametrize("case", tc.MAINTAINED, ids=[f"TC-{c}" for c in tc.MAINTAINED])
def test_tc_maintained_orders_follow_the_market(case: str, tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, tc.following(case), **tc.tester(tc.MAINTAINED[case]))
        assert broker.violations() == []


def test_tc_e36_a_modify_of_the_volume_is_rejected_and_one_of_the_price_is_not(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order_id = await tc.working_limit(b)
        await tc.a_volume_it_cannot_have_is_rejected(b, order_id, 20_000)
        b.probe.modify_order(order_id, price=Price.from_str("1.08100"))
        await b.until(lambda: str(b.cache.order(order_id).price) == "1.08100", "a new price")

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, script)


def test_tc_e40_cancel_and_e44_cancel_of_a_closed_order(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, tc.cancel_and_cancel_again)


@pytest.mark.parametrize("side", [BUY, SELL], ids=["TC-E52", "TC-E53"])
def test_tc_market_entry_brackets(side: OrderSide, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        orders = await tc.market_bracket(b, side)
        ticket = b.cache.order(orders[0].client_order_id).position_id
        (position,) = report(b.sandbox)["positions"]
        levels = ("1.08000", "1.09000") if side is BUY else ("1.09000", "1.08000")
        assert (position["stop_loss"], position["take_profit"]) == levels
        # The take profit is reached: its order fills, the other one is gone, the position is closed.
        b.sandbox.push("EURUSD", *(("1.09005", "1.09012") if side is BUY else ("1.07985", "1.07992")))
        await b.until(lambda: b.cache.order(orders[2].client_order_id).status is FILLED, "take profit")
        await b.reach(orders[1], "CANCELED")
        await b.until(lambda: b.cache.position(PositionId(str(ticket))).is_closed, "closed")

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, script)
        assert broker.violations() == []


@pytest.mark.parametrize("unsubscribes", [True, False])
def test_tc_e83_what_a_strategy_subscribed_ends_when_it_stops(unsubscribes: bool, tmp_path: Path) -> None:
    # Of a symbol that is the tester's alone: nothing is quoted for the account itself.
    config = {"instrument_id": USDJPY, "can_unsubscribe": unsubscribes}

    async def script(b: Bench) -> None:
        await b.until(lambda: "USDJPY" in b.connection.quoted_symbols(), "the tester's subscription")

    with sandbox(tmp_path) as broker:
        b = run_mt5(tmp_path, broker, script, symbols=[], **tc.tester(config))
        assert ("USDJPY" in b.connection.quoted_symbols()) is not unsubscribes
        assert broker.violations() == []


def test_tc_e84_to_e87_orders_long_and_short_are_reconciled_at_the_next_start(tmp_path: Path) -> None:
    async def first(b: Bench) -> None:
        f = b.probe.order_factory
        for order in (
            f.market(EURUSD, BUY, Quantity.from_int(10_000)),
            f.market(EURUSD, SELL, Quantity.from_int(4_000)),
        ):
            b.probe.submit_order(order)
            await b.until(lambda o=order: b.cache.order(o.client_order_id).status is FILLED, "fill")  # type: ignore[misc]
        limit = f.limit(EURUSD, BUY, Quantity.from_int(1_000), Price.from_str("1.08000"))
        b.probe.submit_order(limit)
        await b.until(lambda: b.cache.order(limit.client_order_id).status is ACCEPTED, "accept")
        ended_s.append(time.time())

    ended_s: list[float] = []

    async def second(b: Bench) -> None:
        # The framework numbers orders from 1 in every run, by the second: two runs in one second share ids.
        await b.until(lambda: time.time() > ended_s[0] + 1.0, "the next second")
        await b.until(lambda: len(b.cache.positions_open()) == 2 and len(b.cache.orders_open()) == 1, "reconciled")
        assert sorted(int(p.signed_qty) for p in b.cache.positions_open()) == [-4_000, 10_000]
        for position in b.cache.positions_open():
            b.probe.close_position(position)
        b.probe.cancel_all_orders(EURUSD)
        await b.until(lambda: not b.cache.positions_open() and not b.cache.orders_open(), "flat")

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, first, claim=True)
        run_mt5(tmp_path, broker, second, claim=True)
        found = report(broker)
        assert found["positions"] == []
        assert len([o for o in found["orders"] if o["status"] == "filled"]) == 4
        # bought at 1.08507 and sold at 1.08500, then back at the same prices: 10,000 × -0.00007 + 4,000 × -0.00007,
        # and 0.28 lots charged 3.50 each: -0.98 - 0.98
        assert Decimal(found["balance"]) == Decimal(10_000) - Decimal("0.98") - Decimal("0.98")


# -- data -------------------------------------------------------------------------------------------------------------


DATA = {
    "D01 D03": data.instruments_are_requested_and_one_is_loaded_on_demand,
    "D02": data.an_instrument_is_subscribed,
    "D20 D70": data.quotes_come_until_they_are_unsubscribed,
    "D60": data.a_status_is_told,
    "D30 D31 D50-D53 D61": data.what_the_venue_has_not_ends_nothing,
}


@pytest.mark.parametrize("steps", DATA.values(), ids=[f"TC-{case}" for case in DATA])
def test_tc_data(steps: tc.Script, tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, steps)
        assert broker.failure is None


@pytest.mark.parametrize("steps", [data.past_quotes_are_in_order, data.past_bars_are_whole], ids=["TC-D21", "TC-D41"])
def test_tc_history(steps: tc.Script, tmp_path: Path) -> None:
    with sandbox(tmp_path, **HISTORY) as broker:
        run_mt5(tmp_path, broker, steps)


def test_tc_d40_live_bars(tmp_path: Path) -> None:
    minute = 60_000_000_000

    async def script(b: Bench) -> None:
        b.probe.subscribe_bars(M1)
        await b.until(lambda: len(b.probe.bars) > 2, "three closed bars")
        bars = b.probe.bars
        assert all(bar.ts_event % minute == 0 and bar.ts_event <= bar.ts_init for bar in bars)
        assert [later.ts_event - earlier.ts_event for earlier, later in pairwise(bars)] == [minute] * (len(bars) - 1)
        assert all(bar.low <= bar.open <= bar.high and bar.low <= bar.close <= bar.high for bar in bars)

    # Minutes of the broker last three seconds here; its clock starts a little behind this machine's.
    clock = RunningClock(time.time_ns() - 4 * minute, speed=20)
    with sandbox(tmp_path, clock=clock, **HISTORY) as broker:
        run_mt5(tmp_path, broker, script, speed=20)


def test_tc_d10_to_d14_a_book_the_venue_has_not_is_said_and_the_tester_runs_on(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_book_deltas(EURUSD, BookType.L2_MBP)
        await b.until(lambda: len(b.probe.quotes) > 20, "quotes")
        assert b.probe.deltas == []

    with sandbox(tmp_path, **HISTORY) as broker:
        run_mt5(tmp_path, broker, script, setup=data.add_tester)
        assert broker.failure is None
