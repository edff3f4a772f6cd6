"""The demo and the example settings, as a newcomer meets them."""

import csv
import gzip
import json
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from pepperstone_adapter.backtest.plan import run_plan
from pepperstone_adapter.backtest.result import read_result
from pepperstone_adapter.backtest.settings import load_backtest
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.symbols import Weekday
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.common.resources import resource
from tests.kit.ledger import CENT, Fill, Ledger, recompute, rollovers

EXAMPLES = sorted((Path(__file__).parents[2] / "configs" / "backtest").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.stem)
def test_every_example_makes_a_plan(file: Path) -> None:
    plan = run_plan(load_backtest(file))
    assert plan.strategies
    assert plan.data


def test_the_demo_is_a_portfolio() -> None:
    settings = load_backtest(EXAMPLES[[f.stem for f in EXAMPLES].index("demo")])
    assert len({s.strategy for s in settings.strategies}) == 2
    assert len(settings.data.instruments) >= 3
    assert (settings.account.profile, settings.account.currency) == ("razor", "USD")
    assert (settings.data.end - settings.data.start).days > 3 * 365 - 10


def outsider(folder: Path) -> tuple[Ledger, list[dict[str, str]]]:
    """The demo's account by the independent ledger: from fills.csv and the swap table, and the ledger.csv it must equal.

    Of ledger.csv only the conversion rates of the nights are taken.
    """
    with (folder / "fills.csv").open(newline="") as fills_file, (folder / "ledger.csv").open(newline="") as ledger_file:
        fills, booked = list(csv.DictReader(fills_file)), list(csv.DictReader(ledger_file))
    traded = {f["instrument_id"].partition(".")[0] for f in fills}
    specs = {name: symbol_table.get(name) for name in traded}
    assert {s.swap.triple_day.value for s in specs.values()} == {Weekday.WEDNESDAY.value}
    rates: dict[int, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in booked:
        if row["kind"] == "swap":
            rates[nanoseconds(row["ts_event"])][row["instrument_id"].partition(".")[0]] = Decimal(row["rate"])
    ledger = Ledger(
        start=Decimal(booked[0]["amount"]),
        minor={name: Decimal(1) if s.quote_currency == "JPY" else CENT for name, s in specs.items()},
        swap={name: (s.swap.long, s.swap.short, s.point, 2) for name, s in specs.items()},
    )
    read = [
        Fill(
            nanoseconds(f["ts_event"]), f["position_id"], f["instrument_id"].partition(".")[0], f["side"],
            Decimal(f["units"]), Decimal(f["price"]), Decimal(f["rate"]), Decimal(f["commission"]),
            f["order_type"] != "MARKET",
        )
        for f in fills
    ]  # fmt: skip
    recompute(ledger, read, rollovers(read[0].ts_ns, nanoseconds(booked[-1]["ts_event"])), rates)
    return ledger, booked


def nanoseconds(text: str) -> int:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(fraction)


@pytest.mark.slow
def test_the_demo_from_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "demo"
    code = main(["demo", "--out", str(out), "--catalog", str(tmp_path / "catalog")])
    shown = capsys.readouterr().out
    assert code == 0
    assert str(out / "report.html") in shown.replace("\n", "")
    result = read_result(out)
    assert result["trades"]["count"] > 100
    assert len(result["trades"]["by_symbol"]) >= 3
    assert len(result["trades"]["by_strategy"]) >= 2
    # Three years of four symbols, worked out again from the files alone: nothing differs by a cent.
    ledger, booked = outsider(out)
    for kind, ours in (("profit", "realized_pnl"), ("commission", "commission"), ("swap", "swap")):
        wanted = sorted((ts, amount) for ts, what, amount in ledger.history if what == kind)
        assert wanted == sorted((nanoseconds(r["ts_event"]), Decimal(r["amount"])) for r in booked if r["kind"] == ours)
    assert ledger.balance == Decimal(str(result["account"]["end_balance"]))
    # The market data is there to be used again: a second demo imports nothing and gives the same events.
    assert main(["demo", "--out", str(out), "--catalog", str(tmp_path / "catalog"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["hashes"]
    assert (again["data"], again["events"]) == (result["hashes"]["data"], result["hashes"]["events"])
    # Whatever a user has put in place of the bundled rows stays, and the demo is still the demo.
    lines = gzip.decompress(resource("catalog/samples/GBPUSD-h1.csv.gz").read_bytes()).splitlines(keepends=True)
    (tmp_path / "GBPUSD_mine.csv").write_bytes(b"".join(lines[:99] + lines[100:200]))
    own = ["data", "import", str(tmp_path / "GBPUSD_mine.csv"), "--zone", "Europe/Athens", "--replace"]
    assert main([*own, "--catalog", str(tmp_path / "catalog")]) == 0
    assert main(["demo", "--out", str(out), "--catalog", str(tmp_path / "catalog")]) == 0
    told = capsys.readouterr().err.replace("\n", " ")
    assert "with different rows" in told
    assert str(tmp_path / "out" / "demo-catalog") in told
    assert read_result(out)["hashes"]["events"] == result["hashes"]["events"]
