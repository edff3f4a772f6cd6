"""What a live run saw becomes catalog data: in the catalog's own stamps and names, beside downloads and imports."""

import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow.ipc
from nautilus_trader.model import BarType, OrderSide, Quantity

from pepperstone_adapter.catalog import specs as spec_store
from pepperstone_adapter.catalog.recorded import keep
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.live.recording import run_folder, streaming_config
from pepperstone_adapter.live.settings import RecordSettings
from pepperstone_adapter.sandbox.clock import RunningClock
from tests.kit.ctrader_node import run_ctrader, sandbox
from tests.kit.node import EURUSD, Bench

MINUTES = BarType.from_str("EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
SOURCE = "ctrader SANDBOX-x001 Sandbox"


def kept(record: RecordSettings, instance: str, specs: dict[str, Any]) -> list[str]:
    folder = run_folder(record, instance)
    return list(keep(folder, record.catalog, specs, platform="ctrader", source=SOURCE, now_ns=time.time_ns()))


def test_quotes_are_kept_by_the_brokers_time_once_each_and_fills_stay_with_the_run(tmp_path: Path) -> None:
    record = RecordSettings(catalog=tmp_path / "catalog")
    instance: list[str] = []
    specs: dict[str, Any] = {}
    stamps: list[int] = []

    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, OrderSide.BUY, Quantity.from_int(10_000))
        b.probe.submit_order(order)
        await b.until(lambda: b.probe.names(order.client_order_id)[-1:] == ["Filled"], "a fill")
        for i in range(20):
            b.sandbox.push("EURUSD", f"1.08{600 + i}", f"1.08{607 + i}")
        await b.until(lambda: str(b.probe.quotes[-1].bid_price) == "1.08619", "the last quote")
        specs.update(b.connection.specs)
        stamps.extend(q.ts_event for q in b.probe.quotes if str(q.bid_price) >= "1.08600")

    with sandbox(tmp_path) as broker:
        run_ctrader(
            tmp_path,
            broker,
            script,
            node_options={"streaming": streaming_config(record)},
            setup=lambda node: instance.append(str(node.instance_id)),
        )
    said = kept(record, instance[0], specs)
    assert [line.split(" into")[0] for line in said] == ["recorded 21 quotes and bars"]  # the first price, and twenty
    store = CatalogStore(record.catalog)
    quotes = store.quotes("EURUSD")
    assert quotes.bid.tolist() == [108_500, *range(108_600, 108_620)]
    assert quotes.ask.tolist() == [108_507, *range(108_607, 108_627)]
    assert quotes.ts_ns[1:].tolist() == stamps
    assert str(store.instrument("EURUSD").id) == "EURUSD.PEPPERSTONE"
    assert [a.source for a in spec_store.answers(record.catalog, "EURUSD")] == [SOURCE]
    run = run_folder(record, instance[0])
    (fills,) = (run / "order_filled").glob("*.feather")
    with pyarrow.ipc.open_stream(fills) as stream:
        assert stream.read_all().num_rows == 1
    assert kept(record, instance[0], specs)[-1].startswith("recorded 0 ")  # the same once more adds nothing
    shutil.rmtree(run)
    assert kept(record, instance[0], specs) == [f"recording: nothing was written for run {instance[0]}"]


def test_bars_are_kept_at_their_close(tmp_path: Path) -> None:
    record = RecordSettings(catalog=tmp_path / "catalog", quotes=False, orders=False)
    seen: list[Any] = []
    specs: dict[str, Any] = {}

    async def script(b: Bench) -> None:
        b.probe.subscribe_bars(MINUTES)
        await b.until(lambda: len(b.probe.bars) > 2, "three bars")
        seen.extend((bar.ts_event, str(bar.close)) for bar in b.probe.bars[:3])
        specs.update(b.connection.specs)

    clock = RunningClock(time.time_ns() - 20 * 60 * 10**9, speed=20)  # minutes of three seconds
    tape = {"source": "walk", "history_days": 1, "ticks_per_s": 40.0}
    with sandbox(tmp_path, clock, behaviour={"client_silence_s": 0}, tape=tape) as broker:
        run_ctrader(
            tmp_path,
            broker,
            script,
            node_options={"streaming": streaming_config(record)},
            setup=lambda node: seen.append(str(node.instance_id)),
        )
    kept(record, seen.pop(0), specs)
    bars = CatalogStore(record.catalog).framework_bars("EURUSD", "1-MINUTE")
    assert [(bar.ts_event, str(bar.close)) for bar in bars][:3] == seen
    assert all(bar.ts_init == bar.ts_event for bar in bars)
