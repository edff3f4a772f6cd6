"""A node on the simulated terminal, where the platform does what the framework has no word for."""

from decimal import Decimal
from pathlib import Path

import pytest
from nautilus_trader.model import Quantity

from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.conformance import BUY, FILLED, SELL
from tests.kit.mt5_node import LOGIN, report, run_mt5, sandbox
from tests.kit.node import EURUSD, Bench


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
