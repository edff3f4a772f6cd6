"""What waits for the broker's answer, in a real node over the kit broker."""

from pathlib import Path

from tests.kit.node import BUY, EURUSD, Bench, px, run_bench, units


def test_exact_levels_that_found_the_link_gone_are_set_when_it_is_back(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.broker.fill_shift_points = 3  # filled at 1.08510, so the distances that were sent miss by 3 points
        b.session.gone = 1
        entry, *_ = b.bracket("1.08000", "1.09000")
        await b.reach(entry, "FILLED")
        await b.until(lambda: not b.client._events.settling, "the exact levels tried")
        (position,) = b.broker.positions.values()
        assert position.protection is not None
        assert (str(position.protection.stop_loss), str(position.protection.take_profit)) == ("1.08000", "1.09000")

    run_bench(tmp_path, script)


def test_a_level_that_a_strategy_moves_while_the_link_is_gone_is_refused_at_once(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        entry, stop, _ = b.bracket("1.08000", "1.09000")
        await b.reach(entry, "FILLED")
        await b.until(lambda: not b.client._events.settling, "the exact levels")
        b.session.gone = 1
        b.probe.modify_order(stop.client_order_id, trigger_price=px("1.08100"))
        await b.until(lambda: "ModifyRejected" in b.probe.names(stop.client_order_id), "the refusal")
        (position,) = b.broker.positions.values()
        assert position.protection is not None
        assert str(position.protection.stop_loss) == "1.08000"

    run_bench(tmp_path, script)


def test_a_change_that_the_broker_takes_and_does_not_make_leaves_no_order_waiting(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(10_000), px("1.08000"))
        b.probe.submit_order(order)
        await b.reach(order, "ACCEPTED")
        b.session.stubborn = True
        b.probe.modify_order(order.client_order_id, price=px("1.08100"))
        await b.until(lambda: b.probe.names(order.client_order_id)[-1] == "Updated", "the broker's word")
        known = await b.reach(order, "ACCEPTED")
        assert str(known.price) == "1.08000"

    run_bench(tmp_path, script)
