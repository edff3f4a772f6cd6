"""The start of an execution client: what it waits for, and what it does not wait for for ever."""

from pathlib import Path

from nautilus_trader.model import ClientOrderId

from pepperstone_adapter.live.mass_status import StartState
from pepperstone_adapter.live.startup import Startup
from tests.kit.node import BUY, EURUSD, Bench, px, run_bench, units


def test_an_order_the_framework_leaves_out_stops_new_risk_and_holds_back_no_fill(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, units(10_000), px("1.08000"))
        b.probe.submit_order(order)
        await b.reach(order, "ACCEPTED")
        client, instrument = b.client, b.connection.instruments["EURUSD"]
        assert client._store is not None
        assert client._emitter is not None
        start = Startup(
            client, client._store, client._reports, client._events, client._emitter, client._log, patience_s=0.1
        )
        state = next(iter(b.broker.orders.values())).state
        known, unknown = (
            client._reports.order(state, instrument, 1, client_order_id=cid)
            for cid in (str(order.client_order_id), "O-LEFT-OUT")
        )
        assert unknown.client_order_id == ClientOrderId("O-LEFT-OUT")
        b.connection._trading = None  # as before the start: what the broker says is held
        b.broker.set_price("EURUSD", 107_990, 107_997)
        await start.release(StartState(orders=[known]))
        assert client.halted is None
        await b.reach(order, "FILLED")
        await start.release(StartState(orders=[known, unknown]))
        assert client.halted is not None
        assert "O-LEFT-OUT" in client.halted
        b.probe.close_position(b.cache.positions_open()[0])
        await b.until(lambda: not b.cache.positions_open(), "events that flow")

    run_bench(tmp_path, script)
