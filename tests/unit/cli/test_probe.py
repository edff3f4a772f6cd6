"""The probe against the sandbox: it tells what the server does, says so where that differs, and never trades."""

import base64
import io
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter import openapi
from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.limits import SESSION, TRADING
from pepperstone_adapter.ctrader.client.probe import READS, Finding, Probe, run_probe
from pepperstone_adapter.ctrader.client.recording import scrub
from pepperstone_adapter.network.tls import Endpoint
from pepperstone_adapter.openapi import messages as oa
from pepperstone_adapter.sandbox.report import books
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader import MemoryStore, credentials_of, sandbox

AGE = "prices: age by this machine's clock, ms"


def running(folder: Path, **changes: Any) -> Sandbox:
    broker = sandbox(folder, **changes)
    for symbol, bid, ask in (
        ("EURUSD", "1.10000", "1.10010"),
        ("GBPUSD", "1.30000", "1.30010"),
        ("USDJPY", "150.000", "150.010"),
        ("XAUUSD", "2400.00", "2400.20"),
    ):
        broker.push(symbol, bid, ask)
    return broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Sandbox]:
    with running(tmp_path / "sandbox") as started:
        yield started


@pytest.mark.parametrize("platform", ["ctrader", "mt5"])
def test_a_probe_without_an_account_asks_for_one(platform: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", platform]) == 2
    assert "no account: give --account NUMBER" in capsys.readouterr().err


@pytest.mark.parametrize("platform", ["ctrader", "mt5"])
@pytest.mark.parametrize("text", ["accounts: {a: 1}", "accounts: [abc]", "accounts: [{account: '1'}]\naccount: abc"])
def test_a_file_whose_accounts_are_none_is_a_mistake_in_the_file(
    platform: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "live.yaml"
    file.write_text(text)
    assert main(["probe", platform, str(file)]) == 2
    assert f"error: {file}: 'accounts' is a list of accounts" in capsys.readouterr().err


def probe(broker: Sandbox, *more: str) -> int:
    return main(
        [
            "probe", "ctrader", "--account", "5001", "--environment", "sandbox", "--seconds", "1", "--json", "--set",
            f"account.ca_file={broker.ca_file}", "--set", f"account.port={broker.ports.demo}", *more,
        ]
    )  # fmt: skip


def by_question(told: str) -> dict[str, dict[str, Any]]:
    return {f"{f['topic']}: {f['question']}": f for f in json.loads(told)}


@dataclass(frozen=True)
class Probed:
    broker: Sandbox
    seen: dict[str, dict[str, Any]]
    recording: Path
    elapsed_ms: float


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probed]:
    """One recorded probe; it takes its time, because it keeps to the broker's rate of historical requests."""
    folder = tmp_path_factory.mktemp("probe")
    began = time.monotonic()
    with running(folder / "sandbox") as broker:
        told = io.StringIO()
        with redirect_stdout(told):
            code = probe(broker, "--record", str(folder / "probe.jsonl"))
        assert code == 0
        elapsed_ms = 1_000 * (time.monotonic() - began)
        yield Probed(broker, by_question(told.getvalue()), folder / "probe.jsonl", elapsed_ms)


def test_a_probe_tells_what_the_server_does_and_leaves_no_trace(probed: Probed) -> None:
    seen, recording = probed.seen, probed.recording
    # How old a price is depends on when it was made here, and on how busy this machine is.
    age = seen.pop(AGE)
    median_ms, least_ms = map(int, re.fullmatch(r"median (\d+), least (\d+)", age["seen"]).groups())  # type: ignore[union-attr]
    assert 0 <= least_ms <= median_ms <= probed.elapsed_ms
    assert age["as_assumed"] or least_ms >= 1_000
    assert not [f for f in seen.values() if f["seen"].startswith("failed") or f["as_assumed"] is False]
    assert seen["account: kind"]["seen"] == "HEDGED"
    assert seen["prices: subscribing twice"]["as_assumed"] is True
    assert seen["depth: first message"]["seen"] == "5 bids, 5 asks, 0 deletions"
    # One lot of EURUSD bought at the ask of 1.10010, leverage 30: 100,000 x 1.1001 / 30 = 3,667.00.
    assert seen["leverage: margin of one lot of EURUSD"]["seen"] == "3,667.00 in account currency"
    assert seen["leverage: leverage that margin means"]["as_assumed"] is True
    assert seen["schema: fields this version does not know"]["seen"] == "Symbol #41, Trader #23"
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    sent = {line["type"] for line in lines if line["from"] == "client"}
    assert sent <= READS | SESSION
    assert not sent & TRADING
    assert {line["name"] for line in lines} >= {"TraderRes", "SpotEvent", "DepthEvent", "GetTrendbarsRes"}


def test_a_recording_holds_nothing_private(probed: Probed) -> None:
    broker, recording = probed.broker, probed.recording
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    assert all(line["payload"] is None for line in lines if line["type"] in openapi.SECRET_PAYLOADS)
    payloads = b"".join(base64.b64decode(line["payload"]) for line in lines if line["payload"])
    known = broker.credentials
    for secret in (known.access_token, known.refresh_token, known.client_secret, known.client_id):
        assert secret.encode() not in payloads
        assert secret not in recording.read_text()
    traders = [oa.TraderRes.FromString(base64.b64decode(li["payload"])) for li in lines if li["name"] == "TraderRes"]
    assert [(t.ctidTraderAccountId, t.trader.traderLogin, t.trader.balance) for t in traders] == [(1, 1, 1)]
    assert traders[0].trader.moneyDigits == 2  # what is not private is as it came
    assert openapi.unknown_numbers(traders[0].trader) == (23,)


def test_private_values_are_replaced_at_every_depth_and_nothing_is_added() -> None:
    trade = oa.TradeData(symbolId=7, volume=100, tradeSide=oa.TradeSide.BUY, label="mine", comment="")
    order = oa.Order(orderId=9, tradeData=trade, orderType=oa.OrderType.MARKET, orderStatus=1, clientOrderId="O-1")
    message = oa.ReconcileRes(ctidTraderAccountId=4711, order=[order, order])
    scrub(message)
    assert message.ctidTraderAccountId == 1
    assert [(o.tradeData.label, o.tradeData.comment, o.clientOrderId, o.orderId) for o in message.order] == [
        ("scrubbed", "scrubbed", "scrubbed", 9)
    ] * 2
    assert not message.order[0].HasField("stopLoss")
    bare = oa.ReconcileRes(ctidTraderAccountId=4711)
    scrub(bare)
    assert len(bare.order) == 0


def test_a_server_that_does_otherwise_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path, behaviour={"technical_first_spot": False, "extra_fields": False}) as broker:
        assert probe(broker) == 0
        seen = by_question(capsys.readouterr().out)
    assert seen["prices: symbols with a price at once"]["as_assumed"] is False
    assert seen["schema: fields this version does not know"]["seen"] == "none"


def test_a_probe_cannot_trade(broker: Sandbox) -> None:
    async def buy(probe: Probe) -> Sequence[Finding]:
        order = oa.NewOrderReq(symbolId=1, orderType=oa.OrderType.MARKET, tradeSide=oa.TradeSide.BUY, volume=100_000)
        await probe.get(order)
        return []

    endpoint = Endpoint(host="localhost", port=broker.ports.demo, ca_file=broker.ca_file)
    credentials = credentials_of(broker)
    wanted = Wanted(account_number="5001", environment=Environment.SANDBOX)
    (only,) = run_probe(wanted, endpoint, (MemoryStore(credentials), credentials), [("orders", buy)], observe_s=0.1)
    assert only.seen == "failed: a probe does not send NewOrderReq"
    books_now = books(broker.ledger, 1001)
    assert (books_now["orders"], books_now["deals"]) == ([], [])


def test_an_account_that_is_not_there_is_one_line(broker: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        [
            "probe", "ctrader", "--account", "99", "--environment", "sandbox", "--set",
            f"account.ca_file={broker.ca_file}", "--set", f"account.port={broker.ports.demo}",
        ]
    )  # fmt: skip
    err = capsys.readouterr().err.strip().splitlines()
    assert (code, len(err)) == (2, 1)
    assert "not among those this login may use" in err[0]
