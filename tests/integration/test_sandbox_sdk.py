"""The official SDK's real client, in a process of its own, trades on the sandbox: authorise, subscribe, trade, reconcile."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.sandbox.server import settings_for_tests, start

ACCOUNT = 1_000_001
SCRIPT = Path(__file__).parents[1] / "kit" / "sdk_client.py"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the SDK's client saw, and the sandbox's own books afterwards."""
    settings = settings_for_tests(tmp_path_factory.mktemp("sandbox"))
    with start(settings) as sandbox:
        sandbox.push("EURUSD", "1.10000", "1.10002")
        symbol_id = sandbox.venue.directory.symbol_ids["EURUSD"]
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(sandbox.ports.demo), str(ACCOUNT), str(symbol_id)],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        told["ledger"] = [(str(d.units), str(d.price), d.client_id) for d in sandbox.ledger.accounts[ACCOUNT].deals]
        told["violations"] = sandbox.violations()
        return told


@pytest.mark.slow
def test_it_authorises_and_reads_reference_data(seen: Any) -> None:
    assert seen["errors"] == []
    assert seen["accounts"] == [[1_000_001, False], [1_000_002, False], [1_000_003, True]]
    assert "EURUSD" in seen["symbols"]
    assert seen["lot_size"] == 10_000_000


@pytest.mark.slow
def test_it_gets_the_fields_its_older_schema_requires(seen: Any) -> None:
    assert seen["trendbar_timestamp"] is True


@pytest.mark.slow
def test_it_subscribes_and_hears_the_first_spot(seen: Any) -> None:
    assert seen["spots"] == 1


@pytest.mark.slow
def test_it_trades_and_hears_the_recorded_sequence(seen: Any) -> None:
    assert seen["executions"] == [
        ["ORDER_ACCEPTED", "MARKET", False],
        ["ORDER_FILLED", "MARKET", False],
        ["ORDER_ACCEPTED", "STOP_LOSS_TAKE_PROFIT", True],
        ["ORDER_ACCEPTED", "MARKET", False],
        ["ORDER_FILLED", "MARKET", False],
        ["ORDER_CANCELLED", "STOP_LOSS_TAKE_PROFIT", True],
    ]


@pytest.mark.slow
def test_it_reconciles_and_lists_deals_as_the_ledger_has_them(seen: Any) -> None:
    assert seen["reconciled"] == [1_000_000, 1.10002, 1.09502]  # 1.10002 - 500 / 100000
    assert seen["deals"] == [[1_000_000, 1.1, True], [1_000_000, 1.10002, False]]  # newest first
    assert seen["ledger"] == [("10000.00", "1.10002", "sdk-1"), ("10000.00", "1.10000", "sdk-1")]
    assert seen["violations"] == []
