"""Amendments that meet on their way (F37) on a real node, judged by the ledger.

Every amendment says the whole order: what it leaves out the venue takes away.
"""

from decimal import Decimal
from pathlib import Path

from tests.kit.ctrader_node import sandbox
from tests.kit.faults import Trader, account, run_live
from tests.kit.node import BUY, EURUSD, Bench, px, units

D = Decimal


def test_F37_amendments_of_one_order_in_one_breath_all_stand(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = await Trader(b).working("1.05000", 10_000)
        b.probe.modify_order(order.client_order_id, price=px("1.05500"))
        b.probe.modify_order(order.client_order_id, quantity=units(12_000))
        b.probe.modify_order(order.client_order_id, price=px("1.05000"), quantity=units(13_000))
        await b.until(lambda: b.probe.names(order.client_order_id).count("Updated") == 3, "three amendments")
        (working,) = account(b.sandbox).working.values()
        assert (working.limit_price, working.units) == (D("1.05000"), D(13_000))

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F37_a_working_bracket_whose_three_prices_move_in_one_breath(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        t = Trader(b)
        entry, stop, profit = b.bracket("1.04000", "1.09000", at="1.05000")
        for order in (entry, stop, profit):
            await t.reach(order, "ACCEPTED")
        b.probe.modify_order(entry.client_order_id, price=px("1.05500"))
        b.probe.modify_order(stop.client_order_id, trigger_price=px("1.04500"))
        b.probe.modify_order(profit.client_order_id, price=px("1.09500"))
        await b.until(lambda: b.probe.names().count("Updated") == 3, "three amendments")
        (working,) = account(b.sandbox).working.values()
        levels = (working.protect.stop_loss, working.protect.take_profit)
        assert (working.limit_price, *levels) == (D("1.05500"), D("1.04500"), D("1.09500"))

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)


def test_F37_each_price_of_a_stop_limit_moves_alone_and_is_told(tmp_path: Path) -> None:
    """The venue keeps the limit as a distance from the stop and never names it."""

    async def script(b: Bench) -> None:
        t = Trader(b)
        order = b.probe.order_factory.stop_limit(EURUSD, BUY, units(10_000), px("1.09150"), px("1.09100"))
        b.probe.submit_order(order)
        await t.reach(order, "ACCEPTED")

        async def moved(updates: int, stop: str, limit: str) -> None:
            names = b.probe.names
            await b.until(lambda: names(order.client_order_id).count("Updated") == updates, f"update {updates}")
            await t.reach(order, "ACCEPTED")
            (working,) = account(b.sandbox).working.values()
            assert (working.stop_price, working.limit_price) == (D(stop), D(limit))
            known = b.cache.order(order.client_order_id)
            assert (str(known.trigger_price), str(known.price)) == (stop, limit)

        b.probe.modify_order(order.client_order_id, trigger_price=px("1.09120"))
        await moved(1, "1.09120", "1.09150")
        b.probe.modify_order(order.client_order_id, price=px("1.09200"))
        await moved(2, "1.09120", "1.09200")
        b.probe.modify_order(order.client_order_id, trigger_price=px("1.09210"))  # beyond its limit
        await b.until(lambda: "ModifyRejected" in b.probe.names(order.client_order_id), "the refusal")
        await moved(2, "1.09120", "1.09200")

    async def again(b: Bench) -> None:
        (order,) = b.cache.orders_open()
        assert (str(order.trigger_price), str(order.price)) == ("1.09120", "1.09200")

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, script)
        run_live(tmp_path, broker, again, claim=True)
