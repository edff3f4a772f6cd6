"""A node on the simulated terminal, where the platform does what the framework has no word for."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import Price, Quantity

from pepperstone_adapter.sandbox.ledger.rollover import _reopen
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.conformance import BUY, FILLED, SELL
from tests.kit.mt5 import NETTING
from tests.kit.mt5_node import LOGIN, report, run_mt5, sandbox
from tests.kit.node import EURUSD, Bench

D = Decimal


def close_by(broker: Sandbox, one: str, other: str) -> None:
    """As a person does it in the terminal."""
    ledger, now_ns = broker.terminal.ledger, broker.clock.now_ns()
    broker.call(lambda: ledger.close_by(LOGIN, int(one), int(other), now_ns, origin="mobile"))


def test_a_close_by_made_by_hand_closes_both_positions_of_the_node_and_stays_closed(tmp_path: Path) -> None:
    async def first(b: Bench) -> None:
        for side, units in ((BUY, 10_000), (SELL, 4_000)):
            order = b.probe.order_factory.market(EURUSD, side, Quantity.from_int(units))
            b.probe.submit_order(order)
            await b.until(lambda o=order: b.cache.order(o.client_order_id).status is FILLED, "fill")  # type: ignore[misc]
        long, short = sorted(b.cache.positions_open(), key=lambda p: -p.signed_qty)
        close_by(b.sandbox, str(long.id), str(short.id))
        await b.until(lambda: not b.cache.position(short.id).is_open, "the short is closed")
        await b.until(lambda: int(b.cache.position(long.id).signed_qty) == 6_000, "the long has 6,000 left")
        # Two halves of one order, each filled once.
        halves = [o for o in b.cache.orders() if "/" in str(o.venue_order_id)]
        assert sorted((str(o.side), o.filled_qty.as_decimal()) for o in halves) == [
            ("BUY", Decimal(4_000)),
            ("SELL", Decimal(4_000)),
        ]
        assert len({str(o.venue_order_id).partition("/")[0] for o in halves}) == 1

    async def second(b: Bench) -> None:
        await b.until(lambda: len(b.cache.positions_open()) == 1, "reconciled")
        (left,) = b.cache.positions_open()
        assert int(left.signed_qty) == 6_000

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, first, claim=True)
        (position,) = report(broker)["positions"]
        assert Decimal(position["units"]) == 6_000
        run_mt5(tmp_path, broker, second, claim=True)
        assert broker.violations() == []


def test_a_position_that_another_program_closes_in_parts_leaves_no_order_open(tmp_path: Path) -> None:
    """Its deals carry the magic number of the position, which is that of the strategy's order."""

    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(10_000))
        b.probe.submit_order(order)
        await b.until(lambda: b.cache.order(order.client_order_id).status is FILLED, "fill")
        (position,) = b.cache.positions_open()
        ledger = b.sandbox.terminal.ledger
        for units, left in ((D(4_000), 6_000), (D(6_000), 0)):
            b.sandbox.call(ledger.close, LOGIN, int(str(position.id)), units, b.sandbox.clock.now_ns())
            await b.until(lambda left=left: int(b.cache.position(position.id).signed_qty) == left, f"{left} left")  # type: ignore[misc]
        closes = [o for o in b.cache.orders() if o.client_order_id != order.client_order_id]
        assert [(o.status, o.quantity.as_decimal()) for o in closes] == [(FILLED, D(4_000)), (FILLED, D(6_000))]
        assert {str(o.strategy_id) for o in closes} == {"EXTERNAL"}

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, script)
        assert broker.violations() == []


def test_a_close_by_hand_that_fills_in_parts_closes_all_of_them(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(10_000))
        b.probe.submit_order(order)
        await b.until(lambda: b.cache.order(order.client_order_id).status is FILLED, "fill")
        (position,) = b.cache.positions_open()
        ledger, now_ns = b.sandbox.terminal.ledger, b.sandbox.clock.now_ns()

        def close() -> None:  # 3,000 and 3,000 are there, the rest is canceled
            ledger.set_liquidity("EURUSD", Liquidity(D(3_000), fills_left=2))
            ledger.close(LOGIN, int(str(position.id)), D(10_000), now_ns, origin="mobile", comment="")

        b.sandbox.call(close)
        await b.until(lambda: int(b.cache.position(position.id).signed_qty) == 4_000, "both parts")
        await b.until(lambda: not b.cache.orders_open(), "its end")
        (closing,) = [o for o in b.cache.orders() if o.client_order_id != order.client_order_id]
        assert (closing.quantity.as_decimal(), closing.filled_qty.as_decimal()) == (D(10_000), D(6_000))

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, script)
        assert broker.violations() == []


def test_a_take_profit_that_fills_in_parts_closes_all_of_its_position_also_over_a_restart(tmp_path: Path) -> None:
    async def part(b: Bench) -> None:
        *_, profit = b.bracket("1.08000", "1.08600")
        await b.until(lambda: len(b.cache.positions_open()) == 1 and len(b.cache.orders_open()) == 2, "a bracket")
        b.sandbox.call(b.sandbox.terminal.ledger.set_liquidity, "EURUSD", Liquidity(D(2_000), fills_left=1))
        b.sandbox.push("EURUSD", "1.08610", "1.08617")
        await b.until(lambda: [int(p.quantity) for p in b.cache.positions_open()] == [8_000], "a part")
        await b.until(lambda: sorted(int(o.quantity) for o in b.cache.orders_open()) == [8_000, 10_000], "its size")
        assert int(b.cache.order(profit.client_order_id).filled_qty) == 2_000

    async def rest(b: Bench) -> None:
        await b.until(lambda: [int(p.quantity) for p in b.cache.positions_open()] == [8_000], "reconciled")
        b.sandbox.call(b.sandbox.terminal.ledger.set_liquidity, "EURUSD", None)
        b.sandbox.push("EURUSD", "1.08620", "1.08627")
        await b.until(lambda: not b.cache.positions_open() and not b.cache.orders_open(), "closed, and no order open")

    async def whole(b: Bench) -> None:
        await part(b)
        await rest(b)

    for folder, runs in (("one", (whole,)), ("two", (part, rest))):
        with sandbox(tmp_path / folder) as broker:
            for script in runs:
                run_mt5(tmp_path / folder, broker, script)
            assert report(broker)["positions"] == []
            assert broker.violations() == []


async def hedged(b: Bench, long: int, short: int) -> tuple[Any, Any]:
    """Two opposite positions of the strategy, bought at 1.08507 and sold at 1.08500."""
    for side, units in ((BUY, long), (SELL, short)):
        order = b.probe.order_factory.market(EURUSD, side, Quantity.from_int(units))
        b.probe.submit_order(order)
        await b.until(lambda o=order: b.cache.order(o.client_order_id).status is FILLED, "fill")  # type: ignore[misc]
    one, other = sorted(b.cache.positions_open(), key=lambda p: -p.signed_qty)
    return one, other


@pytest.mark.parametrize("smaller_first", [True, False], ids=["the smaller by the larger", "the larger by the smaller"])
def test_a_strategy_closes_a_position_by_another_and_both_tickets_have_their_true_deals(
    smaller_first: bool, tmp_path: Path
) -> None:
    async def first(b: Bench) -> None:
        long, short = await hedged(b, 10_000, 4_000)
        one, other = (short, long) if smaller_first else (long, short)
        b.probe.close_position(one, params={"close_by": str(other.id)})
        await b.until(lambda: not b.cache.position(short.id).is_open, "the short is closed")
        await b.until(lambda: int(b.cache.position(long.id).signed_qty) == 6_000, "the long has 6,000 left")
        halves = {o.position_id: o for o in b.cache.orders() if "/" in str(o.venue_order_id)}
        assert len({str(o.venue_order_id).partition("/")[0] for o in halves.values()}) == 1  # one order at the broker
        assert [(o.status, o.quantity, o.filled_qty, o.trade_ids[1:]) for o in halves.values()] == [
            (FILLED, Quantity.from_int(4_000), Quantity.from_int(4_000), [])
        ] * 2
        assert (halves[one.id].strategy_id, str(halves[other.id].strategy_id)) == (b.probe.strategy_id, "EXTERNAL")
        # An order for all of the larger position is told to be for what the smaller one has.
        told = ["Initialized", "Submitted", "Accepted", "Filled"]
        await b.names(halves[one.id].client_order_id, *(told if smaller_first else [*told[:3], "Updated", told[3]]))
        assert sorted(type(e).__name__ for e in b.probe.position_events[2:]) == ["PositionChanged", "PositionClosed"]
        # Both go at the opening price of the other one. 3.50 a lot were charged for 0.10 and 0.04 lots at their opening;
        # the close-by is free. Long by short: 4,000 × (1.08500 - 1.08507) = -0.28 on the long, 0 on the short.
        # Short by long: the short, sold at 1.08500, goes at 1.08507: -0.28 on the short, 0 on the long.
        on_long, on_short = (D(0), D("-0.28")) if smaller_first else (D("-0.28"), D(0))
        assert b.cache.position(long.id).realized_pnl.as_decimal() == D("-0.35") + on_long
        assert b.cache.position(short.id).realized_pnl.as_decimal() == D("-0.14") + on_short

    async def second(b: Bench) -> None:
        await b.until(lambda: len(b.cache.positions_open()) == 1, "reconciled")
        (left,) = b.cache.positions_open()
        assert int(left.signed_qty) == 6_000

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, first)
        found = report(broker)
        assert [D(p["units"]) for p in found["positions"]] == [6_000]
        assert D(found["balance"]) == D(10_000) - D("0.35") - D("0.14") - D("0.28")
        run_mt5(tmp_path, broker, second, claim=True)
        assert len(report(broker)["deals"]) == 4
        assert broker.violations() == []


def test_a_netting_account_adds_reduces_turns_round_in_one_deal_and_comes_back_after_a_restart(tmp_path: Path) -> None:
    account = {"account": str(NETTING), "mode": "netting", "currency": "EUR"}

    def signed(b: Bench) -> list[int]:
        return [int(p.signed_qty) for p in b.cache.positions_open()]

    async def first(b: Bench) -> None:
        for side, units, held in (
            (BUY, 10_000, 10_000),
            (BUY, 5_000, 15_000),
            (SELL, 4_000, 11_000),
            (SELL, 20_000, -9_000),
        ):
            order = b.probe.order_factory.market(EURUSD, side, Quantity.from_int(units))
            b.probe.submit_order(order)
            await b.reach(order, "FILLED")
            await b.until(lambda held=held: signed(b) == [held], f"{held} units")  # type: ignore[misc]
        told = [type(event).__name__ for event in b.probe.position_events]
        assert told == ["PositionOpened", "PositionChanged", "PositionChanged", "PositionClosed", "PositionOpened"]
        # At the broker the last one is a single deal of 20,000, which closes 11,000 and opens 9,000 on the same position.
        deals = report(broker, NETTING)["deals"]
        assert [D(d["units"]) for d in deals] == [10_000, 5_000, 4_000, 20_000]
        assert len({d["position_id"] for d in deals}) == 1

    async def second(b: Bench) -> None:
        await b.until(lambda: signed(b) == [-9_000], "the same after a restart")
        b.probe.close_position(b.cache.positions_open()[0])
        await b.until(lambda: signed(b) == [], "flat")

    with sandbox(tmp_path) as broker:
        broker.call(setattr, broker.terminal, "login", NETTING)
        run_mt5(tmp_path, broker, first, **account)
        run_mt5(tmp_path, broker, second, claim=True, **account)
        assert report(broker, NETTING)["positions"] == []
        assert broker.violations() == []


def test_a_netting_account_has_nothing_to_close_by(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(10_000))
        b.probe.submit_order(order)
        await b.until(lambda: b.cache.order(order.client_order_id).status is FILLED, "fill")
        (position,) = b.cache.positions_open()
        b.probe.close_position(position, params={"close_by": "1"})
        await b.until(lambda: b.probe.names()[-1] == "Denied", "denial")
        assert "a netting account has one position a symbol" in str(b.probe.events[-1].reason)

    with sandbox(tmp_path) as broker:
        broker.call(setattr, broker.terminal, "login", NETTING)
        run_mt5(tmp_path, broker, script, account=str(NETTING), mode="netting", currency="EUR")
        assert len(report(broker, NETTING)["orders"]) == 1


def test_a_position_that_the_broker_opens_again_at_midnight_stops_new_risk_and_is_closed_by_its_new_ticket(
    tmp_path: Path,
) -> None:
    def midnight() -> None:
        """One that counts a night (swap mode 7), now."""
        ledger = broker.terminal.ledger
        account = ledger.accounts[LOGIN]
        (position,) = account.positions.values()
        _reopen(ledger.state, ledger._execution, account, position, 1, broker.terminal.now_ns())

    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(10_000))
        b.probe.submit_order(order)
        await b.reach(order, "FILLED")
        (held,) = b.cache.positions_open()
        broker.call(midnight)
        await b.until(lambda: b.client.halted, "new risk is stopped")
        assert "closed position" in str(b.client.halted)
        owners = lambda: [str(p.strategy_id) for p in b.cache.positions_open()]  # noqa: E731
        await b.until(lambda: owners() == ["EXTERNAL"], "opened again")
        (again,) = b.cache.positions_open()
        assert (again.id, int(again.signed_qty)) == (held.id, 10_000)
        assert [type(event).__name__ for event in b.probe.position_events] == ["PositionOpened", "PositionClosed"]
        b.probe.close_position(again)
        await b.until(lambda: not b.cache.positions_open(), "closed")

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, script)
        found = report(broker)
        assert found["positions"] == []
        assert len(found["deals"]) == 4
        assert broker.violations() == []


def test_a_close_by_that_cannot_be_done_is_denied_before_the_terminal_sees_it(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        long, short = await hedged(b, 10_000, 4_000)
        again = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(1_000))
        b.probe.submit_order(again)
        await b.until(lambda: b.cache.order(again.client_order_id).status is FILLED, "fill")
        same = next(p for p in b.cache.positions_open() if p.id not in (long.id, short.id))
        seen = len(b.cache.orders())
        sell = lambda units: b.probe.order_factory.market(EURUSD, SELL, Quantity.from_int(units))  # noqa: E731
        stop = b.probe.order_factory.stop_market(
            EURUSD, SELL, Quantity.from_int(10_000), Price.from_str("1.08000"), reduce_only=True
        )
        for order, ticket, by, reason in (
            (sell(10_000), long.id, "77", "no open position 77"),
            (sell(10_000), long.id, same.id, "two opposite positions"),
            (sell(10_000), long.id, long.id, "two opposite positions"),
            (sell(10_000), None, short.id, "needs position_id"),
            (sell(3_000), long.id, short.id, "4000 units go, the whole of the smaller position, not 3000"),
            (stop, long.id, short.id, "takes a MARKET order"),
        ):
            b.probe.submit_order(order, position_id=ticket, params={"close_by": str(by)})
            await b.names(order.client_order_id, "Initialized", "Denied")
            assert reason in str(b.probe.events[-1].reason)
        assert len(b.cache.orders()) == seen + 6
        assert len(b.cache.positions_open()) == 3

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, script)
        assert len(report(broker)["orders"]) == 3


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        ("trade_allowed", "Algo Trading"),
        ("tradeapi_disabled", "via Python"),
        ("expert_allowed", "automated trading"),
        ("account_may_trade", "the account may not trade"),
    ],
)
def test_f75_an_order_is_denied_by_the_name_of_the_switch_before_the_terminal_sees_it(
    switch: str, words: str, tmp_path: Path
) -> None:
    async def script(b: Bench) -> None:
        terminal = b.sandbox.terminal
        b.sandbox.call(setattr, terminal, switch, switch == "tradeapi_disabled")
        await b.until(lambda: not b.connection.account.trading_allowed, "the switch is seen")
        order = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(10_000))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Denied")
        assert words in str(b.cache.order(order.client_order_id).last_event.reason)
        b.sandbox.call(setattr, terminal, switch, switch != "tradeapi_disabled")
        await b.until(lambda: b.connection.account.trading_allowed, "the switch is back")
        again = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(10_000))
        b.probe.submit_order(again)
        await b.until(lambda: b.cache.order(again.client_order_id).status is FILLED, "a fill")

    with sandbox(tmp_path) as broker:
        run_mt5(tmp_path, broker, script)
        assert len(report(broker)["orders"]) == 1


def test_f81_a_node_that_starts_while_a_deal_is_not_listed_yet_tells_its_fill_once(tmp_path: Path) -> None:
    """The order of an earlier run fills while no node runs; the terminal shows its position, and its deal seconds later."""
    ids: dict[str, Any] = {}

    async def first(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, Quantity.from_int(10_000), Price.from_str("1.08400"))
        b.probe.submit_order(order)
        await b.reach(order, "ACCEPTED")
        ids["order"] = order.client_order_id

    async def second(b: Bench) -> None:
        (position,) = b.cache.positions_open()
        assert int(position.signed_qty) == 10_000
        deals = report(b.sandbox)["deals"]
        await b.until(lambda: b.client.table._deals.keys() >= {str(d["deal_id"]) for d in deals}, "its deal")
        for _ in range(2):
            await b.client.reconciler.audit()
        order = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(1_000))
        b.probe.submit_order(order)  # when it is filled, whatever was told before has been taken in
        await b.reach(order, "FILLED")
        await b.until(lambda: sum(int(p.signed_qty) for p in b.cache.positions_open()) == 11_000, "both, each once")
        assert [str(t) for t in b.cache.position(position.id).trade_ids()] == [str(d["deal_id"]) for d in deals]
        assert b.cache.order(ids["order"]).status is FILLED

    with sandbox(tmp_path, mt5={"deal_lag_ms": 2_500.0}) as broker:
        run_mt5(tmp_path, broker, first)
        broker.push("EURUSD", "1.08390", "1.08397")
        run_mt5(tmp_path, broker, second, claim=True)
        assert broker.violations() == []
