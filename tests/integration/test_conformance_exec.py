"""The framework's execution conformance cases (TC-E), run by its own ExecTester on the sandbox broker.

Each test is named by its case id. What the venue has no way to do must be *denied* before it is sent, with a reason; the
table in docs/ctrader.md lists every case. E72 and E73 (an order type, a time in force the venue has not) are E24 to E27
and E19. E74 to E78 (ambiguous outcomes) are made by faults of the wire, of which `tests/faults` has many more; E90 and on
are about options, which this venue has not.
"""

from pathlib import Path

import pytest
from nautilus_trader.model import OrderSide, Price, Quantity

from pepperstone_adapter.sandbox.report import books
from tests.kit import conformance as tc
from tests.kit.conformance import ACCEPTED, BUY, CASES, FILLED, MARKET, SELL, Case
from tests.kit.ctrader_node import ACCOUNT_ID, run_ctrader, sandbox
from tests.kit.faults import Trader, account, entries, requests, rule, run_live
from tests.kit.node import EURUSD, Bench


@pytest.mark.parametrize("case", CASES, ids=[f"TC-{c.id}" for c in CASES])
def test_tc(case: Case, tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, tc.reaching(case), **tc.tester(case.config))
        tc.left_as_said(case, broker.call(books, broker.ledger, ACCOUNT_ID))
        assert broker.violations() == []


def test_tc_e05_quote_quantity_is_denied(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, tc.quote_quantity_is_denied)


@pytest.mark.parametrize("case", tc.MAINTAINED, ids=[f"TC-{c}" for c in tc.MAINTAINED])
def test_tc_maintained_orders_follow_the_market(case: str, tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, tc.following(case), **tc.tester(tc.MAINTAINED[case]))
        assert broker.violations() == []


def test_tc_e36_a_modify_the_venue_cannot_do_is_rejected(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await tc.a_volume_it_cannot_have_is_rejected(b, await tc.working_limit(b), 500)

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_e40_cancel_and_e44_cancel_of_a_closed_order(tmp_path: Path) -> None:
    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, tc.cancel_and_cancel_again)


@pytest.mark.parametrize("side", [BUY, SELL], ids=["TC-E52", "TC-E53"])
def test_tc_market_entry_brackets(side: OrderSide, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        await tc.market_bracket(b, side)

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


REFUSALS = {"Rejected", "CancelRejected", "ModifyRejected", "Canceled", "Denied"}


@pytest.mark.parametrize("fault", ["mute", "cut_after"])
def test_tc_e74_a_submit_without_an_answer_is_no_refusal(fault: str, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.sandbox.add_fault(rule(fault, "NewOrderReq"))
        t = Trader(b)
        order = t.limit()
        await b.until(lambda: entries(account(b.sandbox)), "the order at the broker")
        await t.reach(order, "ACCEPTED")
        assert b.probe.names() == ["Initialized", "Submitted", "Accepted"]

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert requests(broker, "NewOrderReq") == 1


@pytest.mark.parametrize("fault", ["mute", "cut_after"])
def test_tc_e75_a_cancel_without_an_answer_is_no_refusal(fault: str, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working()
        b.sandbox.add_fault(rule(fault, "CancelOrderReq"))
        b.probe.cancel_order(order.client_order_id)
        await t.reach(order, "CANCELED")
        assert "CancelRejected" not in b.probe.names()

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert requests(broker, "CancelOrderReq") == 1


@pytest.mark.parametrize("fault", ["mute", "cut_after"])
def test_tc_e76_a_modify_without_an_answer_is_no_refusal(fault: str, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        order = await t.working("1.05000")
        b.sandbox.add_fault(rule(fault, "AmendOrderReq"))
        b.probe.modify_order(order.client_order_id, price=Price.from_str("1.06000"))
        await b.until(lambda: str(b.cache.order(order.client_order_id).price) == "1.06000", "the new price")
        assert REFUSALS.isdisjoint(b.probe.names())

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        assert requests(broker, "AmendOrderReq") == 1


def test_tc_e77_a_batch_without_an_answer_refuses_none_of_its_orders(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        orders = [await t.working(price) for price in ("1.05000", "1.05100", "1.05200")]
        b.sandbox.add_fault(rule("mute", "CancelOrderReq", times=0))
        b.probe.cancel_orders([o.client_order_id for o in orders])
        for order in orders:
            await t.reach(order, "CANCELED")
        assert "CancelRejected" not in b.probe.names()

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_tc_e78_in_a_batch_only_the_order_the_venue_names_is_refused(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        orders = [await t.working(price) for price in ("1.05000", "1.05100", "1.05200")]
        b.sandbox.add_fault(rule("error", "CancelOrderReq", after=1, text="UNABLE_TO_CANCEL_ORDER"))
        b.probe.cancel_orders([o.client_order_id for o in orders])
        for order in (orders[0], orders[2]):
            await t.reach(order, "CANCELED")
        await b.until(lambda: "CancelRejected" in b.probe.names(orders[1].client_order_id), "the refusal")
        (refused,) = [e for e in b.probe.events if type(e).__name__ == "OrderCancelRejected"]
        assert refused.client_order_id == orders[1].client_order_id
        assert "UNABLE_TO_CANCEL_ORDER" in refused.reason
        await t.reach(orders[1], "ACCEPTED")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


@pytest.mark.parametrize("unsubscribes", [True, False])
def test_tc_e83_what_a_strategy_subscribed_ends_when_it_stops(unsubscribes: bool, tmp_path: Path) -> None:
    config = {"subscribe_book": True, "can_unsubscribe": unsubscribes}

    async def script(b: Bench) -> None:
        await b.until(lambda: requests(b.sandbox, "SubscribeDepthQuotesReq"), "the tester's subscription")

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script, **tc.tester(config))
        # The order book is the tester's alone; quotes go on for the account's own sums. The link ends after it.
        ended = requests(broker, "UnsubscribeDepthQuotesReq")
        assert ended == (1 if unsubscribes else 0)
        assert broker.violations() == []


def test_tc_e84_to_e87_reconciliation_of_orders_fills_long_and_short(tmp_path: Path) -> None:
    async def first(b: Bench) -> None:
        f = b.probe.order_factory
        orders = [
            f.market(EURUSD, BUY, Quantity.from_int(10_000)),
            f.market(EURUSD, SELL, Quantity.from_int(4_000)),
            f.limit(EURUSD, BUY, Quantity.from_int(1_000), Price.from_str("1.07000")),
        ]
        for order in orders:
            b.probe.submit_order(order)
        await b.until(
            lambda: [b.cache.order(o.client_order_id).status for o in orders] == [FILLED, FILLED, ACCEPTED], "orders"
        )

    async def second(b: Bench) -> None:
        found = sorted(str(p.signed_qty) for p in b.cache.positions_open())
        assert found == ["-4000.0", "10000.0"]
        kinds = sorted((str(o.order_type), str(o.status)) for o in b.cache.orders())
        assert kinds == [("LIMIT", "ACCEPTED"), ("MARKET", "FILLED"), ("MARKET", "FILLED")]
        assert {len(o.trade_ids) for o in b.cache.orders() if o.order_type is MARKET} == {1}

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, first)
        run_ctrader(tmp_path, broker, second, claim=True)
