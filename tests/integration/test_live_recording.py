"""Recording a live run into the catalog, and what is left of a run that was killed."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pytest

from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader_node import sandbox
from tests.kit.live_process import read_until, running, settings, traded, until


@pytest.mark.slow
def test_a_run_with_record_leaves_quotes_in_the_catalog_and_its_fills_beside_them(tmp_path: Path) -> None:
    catalog = tmp_path / "recorded"
    with (
        sandbox(tmp_path) as broker,
        running(settings(tmp_path, broker, record={"catalog": str(catalog)})) as process,
    ):
        until(lambda: traded(broker), "position and order", process)
        (folder,) = (catalog / "live").iterdir()
        read_until(process, "| link up")
        until(_recorded(broker, folder), "quotes on the disk", process)
        process.send_signal(signal.SIGTERM)
        out = process.communicate(timeout=60)[0]
        assert process.returncode == 130, out[-3000:]
        assert f"quotes and bars into {catalog}" in out
    (series,) = CatalogStore(catalog).series()
    assert (series.identifier, series.rows >= 20) == ("EURUSD.PEPPERSTONE", True)
    assert list((catalog / "live").glob("*/order_filled/*.feather"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_run_leaves_a_recording_that_the_next_start_names_and_a_command_keeps(tmp_path: Path) -> None:
    catalog = tmp_path / "recorded"

    def pepperstone(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pepperstone_adapter", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})

    with sandbox(tmp_path) as broker:
        path = settings(tmp_path, broker, record={"catalog": str(catalog)})
        with running(path) as process:
            until(lambda: traded(broker), "position and order", process)
            (folder,) = (catalog / "live").iterdir()
            until(lambda: (folder / "recording.json").exists(), "note", process)
            busy = pepperstone("data", "recorded", str(folder))
            assert (busy.returncode, "in use by PID" in busy.stderr) == (2, True), busy
            until(_recorded(broker, folder), "quotes on the disk", process)
            process.kill()
            process.wait(10)
        # The first price is published again to each new subscriber; the catalog has it once.
        whole = list(dict.fromkeys(_recorded_bids(folder)))
        assert not (catalog / "data").exists()
        with running(path, "--set", "record.quotes=false") as process:
            assert f"pepperstone data recorded {folder}" in read_until(process, "not in the catalog yet")
    (quotes,) = (folder / "quotes").glob("*.feather.partial")
    with quotes.open("ab") as torn:  # the machine went down in the middle of a write
        torn.write(b"\xff\xff\xff\xff\x40\x01\x00\x00torn")
    done = pepperstone("data", "recorded", "--catalog", str(catalog))
    assert done.returncode == 0, done.stderr
    assert f"recorded {len(whole)} quotes and bars into {catalog}" in done.stdout
    stored = CatalogStore(catalog).quotes("EURUSD")
    assert [f"{bid / 100_000:.5f}" for bid in stored.bid] == whole
    assert whole[:3] == ["1.08500", "1.08600", "1.08601"]
    assert pepperstone("data", "recorded", "--catalog", str(catalog)).stdout.startswith("no recording is left")
    again = pepperstone("data", "recorded", str(folder))
    assert (again.returncode, "no recording that is left" in again.stderr) == (2, True)


def _recorded(broker: Sandbox, folder: Path) -> Callable[[], bool]:
    """Asked again and again: whether twenty more quotes than the first have reached the disk; each time there is one more.

    The framework writes out what it holds when a quote comes a second after the last time it did.
    """
    bids = itertools.count(8_600)

    def on_the_disk() -> bool:
        bid = next(bids)
        broker.push("EURUSD", f"1.{bid:05}", f"1.{bid + 7:05}")
        return len(_recorded_bids(folder)) >= 21

    return on_the_disk


def _recorded_bids(folder: Path) -> list[str]:
    """What has reached the disk so far."""
    found: list[str] = []
    for file in (folder / "quotes").glob("*.feather.partial"):
        with contextlib.suppress(pa.ArrowInvalid, EOFError), pa.ipc.open_stream(file) as stream:
            for batch in stream:
                found += [f"{value.as_py():.5f}" for value in batch["bid_price"]]
    return found
