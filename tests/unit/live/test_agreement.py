"""A position that differs for good between the framework and the broker: nothing else has seen to it, so new risk ends."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import Side
from tests.kit.broker import KitBroker
from tests.kit.node import BUY, EURUSD, Bench, run_bench, units

MODES = pytest.mark.parametrize("mode", [PositionMode.HEDGING, PositionMode.NETTING])


async def bought(b: Bench, number: int = 10_000) -> str:
    order = b.probe.order_factory.market(EURUSD, BUY, units(number))
    b.probe.submit_order(order)
    await b.reach(order, "FILLED")
    return next(iter(b.broker.positions))


@MODES
@pytest.mark.parametrize("lost", ["part of it", "all of it", "one more"])
def test_what_no_deal_explains_ends_new_risk_once(tmp_path: Path, mode: PositionMode, lost: str) -> None:
    async def script(b: Bench) -> None:
        b.client.reconciler.agreement.patience_s = 0.3
        ticket = await bought(b)
        position = b.broker.positions[ticket]
        if lost == "part of it":
            b.broker.positions[ticket] = replace(position, units=Decimal(4_000))
        elif lost == "all of it":
            del b.broker.positions[ticket]
        else:
            b.broker.positions["79999"] = replace(position, position_id="79999", symbol="EURUSD", side=Side.SELL)
        await b.until(lambda: b.client.halted, "the end of new risk")
        there, here = {"part of it": (4_000, 10_000), "all of it": (0, 10_000)}.get(lost, (-10_000, 0))
        if lost == "one more" and mode is PositionMode.NETTING:
            there, here = 0, 10_000  # 10,000 bought and 10,000 sold
        assert b.client.halted is not None
        assert f"is {there} at the broker and {here} in the framework" in b.client.halted
        order = b.probe.order_factory.market(EURUSD, BUY, units(1_000))
        b.probe.submit_order(order)
        await b.reach(order, "DENIED")

    run_bench(tmp_path, script, KitBroker(mode))


@MODES
def test_what_comes_right_in_time_or_may_be_explained_ends_nothing(tmp_path: Path, mode: PositionMode) -> None:
    now_s = 0.0

    async def script(b: Bench) -> None:
        nonlocal now_s
        agreement = b.client.reconciler.agreement
        agreement._clock_s = lambda: now_s
        ticket = await bought(b)
        await b.until(lambda: b.cache.positions_open(), "the position")
        position = b.broker.positions[ticket]
        odd = replace(position, units=position.units + Decimal("0.4"))  # less than can be traded
        for shown in (position, odd):
            b.broker.positions[ticket] = shown
            assert agreement.check(b.broker.snapshot()) == []
            now_s += 3_600.0
        b.broker.positions[ticket] = replace(position, units=Decimal(4_000))
        assert agreement.check(b.broker.snapshot()) == []
        now_s += agreement.patience_s - 1.0
        assert agreement.check(b.broker.snapshot()) == []
        assert agreement.check(b.broker.snapshot(), {"EURUSD", ticket}) == []  # news of it: neither better nor worse
        now_s += 1.0
        assert agreement.check(b.broker.snapshot(), {"EURUSD", ticket}) == []
        agreement.wait()  # a request is unanswered
        now_s += 2.0
        assert agreement.check(b.broker.snapshot()) == []
        b.broker.positions[ticket] = replace(position, units=Decimal(5_000))  # still on the move
        now_s += agreement.patience_s
        assert agreement.check(b.broker.snapshot()) == []
        now_s += agreement.patience_s
        assert agreement.check(b.broker.snapshot(), {"EURUSD", ticket}) == []
        assert len(agreement.check(b.broker.snapshot())) == 1
        assert agreement.check(b.broker.snapshot()) == []  # told once
        b.broker.positions[ticket] = position

    run_bench(tmp_path, script, KitBroker(mode), audit_interval_s=3600.0)


@MODES
def test_what_fills_while_an_audit_reads_is_no_difference(tmp_path: Path, mode: PositionMode) -> None:
    """A strategy that is in the market and out again all day: the snapshot is a moment older than the framework, twice."""
    now_s = 0.0

    async def script(b: Bench) -> None:
        nonlocal now_s
        b.client.reconciler.agreement._clock_s = lambda: now_s
        read = b.session.deals

        async def meanwhile(since_ns: int, until_ns: int) -> Any:
            await bought(b)
            await b.until(lambda: b.cache.positions_open(), "the position")
            return await read(since_ns, until_ns)

        for _ in range(2):
            b.session.deals = meanwhile  # type: ignore[method-assign]
            await b.client.reconciler.audit()
            b.session.deals = read  # type: ignore[method-assign]
            b.probe.close_position(b.cache.positions_open()[0])
            await b.until(lambda: not b.cache.positions_open(), "nothing")
            now_s += 60.0
        assert b.client.halted is None

    run_bench(tmp_path, script, KitBroker(mode), audit_interval_s=3600.0)
