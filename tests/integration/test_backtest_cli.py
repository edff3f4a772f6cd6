"""The backtest commands from the command line to the files, with real bars, and what a person sees when it fails."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from pepperstone_adapter.catalog.store import build_samples
from pepperstone_adapter.cli.main import main

STRATEGY = """\
import os
import signal

from nautilus_trader.model import BarType, OrderSide
from nautilus_trader.trading import Strategy, StrategyConfig


class FlipConfig(StrategyConfig):
    def __init__(self, *, bar_type, units=10_000, every=24, then="", order_id_tag=None) -> None:
        self.bar_type = BarType.from_str(bar_type)
        self.units = units
        self.every = every
        self.then = then


class Flip(Strategy):
    '''Closes what it holds and takes the other side, every so many bars.'''

    def __init__(self, config: FlipConfig) -> None:
        super().__init__(config)
        self.settings = config
        self.seen = 0

    def on_start(self) -> None:
        self.subscribe_bars(self.settings.bar_type)

    def on_bar(self, bar) -> None:
        self.seen += 1
        if self.seen == 30 and self.settings.then == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if self.seen == 30 and self.settings.then == "log":
            self.log.warning("thirty bars")
        if self.seen == 30 and self.settings.then == "raise":
            raise ValueError("thirty bars are enough")
        if self.seen % self.settings.every:
            return
        instrument_id = self.settings.bar_type.instrument_id
        self.close_all_positions(instrument_id)
        side = OrderSide.BUY if self.seen // self.settings.every % 2 else OrderSide.SELL
        quantity = self.cache.instrument(instrument_id).make_qty(self.settings.units)
        self.submit_order(self.order_factory.market(instrument_id, side, quantity))
"""

type Written = Callable[..., Path]
type Run = tuple[int, str, str]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "catalog"
    build_samples(path)
    return path


@pytest.fixture
def write(tmp_path: Path, catalog: Path) -> Written:
    """Writes run.yaml (two weeks of GBPUSD, a flip a day) with changes at dotted keys."""

    def written(**changes: Any) -> Path:
        (tmp_path / "strategies").mkdir(exist_ok=True)
        (tmp_path / "strategies" / "flip.py").write_text(STRATEGY)
        document: dict[str, Any] = {
            "account": {"currency": "USD", "balance": 10_000},
            "data": {
                "catalog": str(catalog),
                "start": "2020-03-02",
                "end": "2020-03-16",
                "instruments": ["GBPUSD"],
                "resolution": "H1",
            },
            "strategies": [
                {"strategy": "flip:Flip", "config": {"bar_type": "GBPUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL"}},
            ],
            "output": {"dir": "out"},
        }
        for key, value in changes.items():
            section, name = key.split("__")
            if section == "config":
                document["strategies"][0]["config"][name] = value
            else:
                document[section][name] = value
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        return tmp_path / "run.yaml"

    return written


@pytest.fixture
def pepperstone(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def run(*arguments: object) -> Run:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_run_writes_a_result_whose_files_agree(
    write: Written, pepperstone: Callable[..., Run], tmp_path: Path
) -> None:
    code, out, err = pepperstone("backtest", write())
    assert (code, err.strip()) == (0, "")
    assert "Net profit" in out
    folder = tmp_path / "out"
    assert sorted(p.name for p in folder.iterdir()) == [
        "equity.parquet", "fills.csv", "ledger.csv", "orders.csv", "positions.csv", "report.html", "result.json",
        "settings.yaml",
    ]  # fmt: skip
    result = json.loads((folder / "result.json").read_text())
    ledger, fills = rows(folder / "ledger.csv"), rows(folder / "fills.csv")
    total = sum(Decimal(r["amount"]) for r in ledger)
    assert total == Decimal(str(result["account"]["end_balance"]))
    assert result["orders"]["fills"] == len(fills)
    # Ten trading days of 24 bars: about ten flips, each of 10,000 units and all but the last closed.
    assert 8 <= result["trades"]["count"] <= 10
    charged = -sum(Decimal(r["amount"]) for r in ledger if r["kind"] == "commission")
    assert charged == sum(Decimal(f["commission"]) for f in fills) == Decimal(str(result["costs"]["commission"]))
    closed = [p for p in rows(folder / "positions.csv") if p["closed"]]
    gross = sum(Decimal(p["gross"]) for p in closed)
    booked = sum(Decimal(r["amount"]) for r in ledger if r["kind"] == "realized_pnl")
    assert gross == booked
    # USD account and USD quotes: the gross of a position is its units times the move of its fills, to the cent.
    for position in closed:
        mine = [f for f in fills if f["position_id"] == position["position_id"]]
        paid = sum(Decimal(f["units"]) * Decimal(f["price"]) * (-1 if f["side"] == "BUY" else 1) for f in mine)
        assert abs(paid - Decimal(position["gross"])) <= Decimal("0.005")
    again = yaml.safe_load((folder / "settings.yaml").read_text())
    assert again["data"]["instruments"] == ["GBPUSD"]


def test_the_settings_as_run_run_again_to_the_same_result(
    write: Written, pepperstone: Callable[..., Run], tmp_path: Path
) -> None:
    pepperstone("backtest", write(), "--no-report")
    first = json.loads((tmp_path / "out" / "result.json").read_text())
    code, out, err = pepperstone("backtest", tmp_path / "out" / "settings.yaml", "--json", "--out", tmp_path / "two")
    assert (code, err) == (0, "")
    assert json.loads(out)["hashes"] == first["hashes"]
    assert json.loads(out)["account"] == first["account"]


def test_json_is_the_result_and_nothing_else(write: Written, pepperstone: Callable[..., Run], tmp_path: Path) -> None:
    code, out, err = pepperstone("backtest", write(), "--json", "--no-report", "--seed", "5")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((tmp_path / "out" / "result.json").read_text())
    assert json.loads(out)["engine"]["seed"] == 5
    assert not (tmp_path / "out" / "report.html").exists()


def test_chunks_do_not_change_the_result(write: Written, pepperstone: Callable[..., Run]) -> None:
    results = [
        json.loads(pepperstone("backtest", write(), "--json", "--no-report", "--set", f"data.chunk_rows={rows}")[1])
        for rows in (1_000, 500_000)
    ]
    for section in ("hashes", "account", "costs", "trades", "risk"):
        assert results[0][section] == results[1][section]


def test_runs_in_fresh_processes_agree(write: Written, pepperstone: Callable[..., Run]) -> None:
    code, _, err = pepperstone("backtest", write(), "--no-report", "--repeat", "2")
    assert code == 0, err
    assert "2 runs agree: events " in err


def test_runs_that_differ_are_a_failure(write: Written, pepperstone: Callable[..., Run], tmp_path: Path) -> None:
    settings = write()
    # A strategy that goes on from what an earlier run left is what --repeat is there to find.
    file, left = tmp_path / "strategies" / "flip.py", tmp_path / "left"
    count = f"def count() -> int:\n    with open({str(left)!r}, 'a') as file:\n        return file.write('x') + file.tell()\n"
    file.write_text(
        STRATEGY.replace("class FlipConfig", f"{count}\n\nclass FlipConfig").replace("10_000", "1_000 * count()")
    )
    code, _, err = pepperstone("backtest", settings, "--no-report", "--repeat", "2")
    assert code == 1
    assert "error: run 2 differs from run 1: events " in err


def test_show_and_compare(write: Written, pepperstone: Callable[..., Run], tmp_path: Path) -> None:
    a, b, page = tmp_path / "a", tmp_path / "b", tmp_path / "compare.html"
    pepperstone("backtest", write(), "--out", a, "--no-report")
    pepperstone("backtest", write(), "--out", b, "--no-report", "--set", "account.balance=20000")
    code, out, _ = pepperstone("report", "show", a)
    assert code == 0
    assert "Net profit" in out
    code, out, _ = pepperstone("report", "compare", a, b, "--html", page)
    assert code == 0
    assert "account.balance: 10000 | 20000" in out
    assert "data the same" in out
    assert "settings different" in out
    assert page.read_text().startswith("<!doctype html>")
    code, out, _ = pepperstone("report", "compare", a, b, "--json")
    compared = json.loads(out)
    assert compared["settings"]["account.balance"] == ["10000", "20000"]
    nets = [json.loads((folder / "result.json").read_text())["account"]["net_profit"] for folder in (a, b)]
    assert compared["figures"][0] == {
        "name": "Net profit", "key": "account.net_profit", "a": nets[0], "b": nets[1],
        "change": pytest.approx(nets[1] - nets[0], abs=0.001),
    }  # fmt: skip


def test_ctrl_c_ends_with_130_and_leaves_nothing(write: Written, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pepperstone_adapter", "backtest", str(write(config__then="interrupt"))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ})
    assert ended.returncode == 130
    assert ended.stderr.strip().splitlines()[-1] == "error: interrupted"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.yaml", "strategies"]


def test_an_exception_of_a_strategy_is_no_result(
    write: Written, pepperstone: Callable[..., Run], tmp_path: Path
) -> None:
    code, _, err = pepperstone("backtest", write(config__then="raise"))
    assert code != 0
    assert "thirty bars are enough" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"data__instrument": ["GBPUSD"]}, 2, "data.instrument: unknown key; did you mean 'instruments'?"),  # B01
        ({"data__chunk_rows": "many"}, 2, "data.chunk_rows: "),  # B03
        ({"data__catalog": "${NO_SUCH_VARIABLE}"}, 2, "NO_SUCH_VARIABLE"),  # B07
        ({"account__balance": -1}, 2, "account.balance: "),  # B12
        ({"data__instruments": ["GBPUSDD"]}, 2, "did you mean GBPUSD"),  # B15
        ({"data__instruments": ["../etc/passwd"]}, 2, "../etc/passwd"),  # B18
        ({"data__resolution": "7-MINUTE"}, 2, "'7-MINUTE' is not a bar size; use one of M1,"),  # B19
        ({"data__end": "2020-03-02"}, 2, "is not before end"),  # B20
        ({"data__start": "03/04/2025"}, 2, "write an ISO-8601 date"),  # B21
        ({"data__start": "2999-01-01", "data__end": "2999-02-01"}, 2, "lies in the future"),  # B21
        ({"data__catalog": "nowhere"}, 3, "no catalog at "),  # B60
        ({"data__resolution": "M5"}, 3, "no M5 bars of GBPUSD in the catalog"),
        ({"data__start": "2001-01-01", "data__end": "2001-02-01"}, 3, "GBPUSD begins at 2019-02-28T23:00:00Z"),  # B22
        ({"data__start": "2001-01-01"}, 3, "the stored data of GBPUSD begins at 2019-02-28T23:00:00Z"),  # B22
        ({"data__end": "2023-01-01"}, 3, "data.end is 2023-01-01T00:00:00Z; choose a period within the data"),  # B22
        ({"account__balance": "1,000.5"}, 2, "'1,000.5' is not a plain number"),  # B23
        ({"account__balance": "0.1 lot"}, 2, "'0.1 lot' is not a plain number"),  # B23
        ({"account__balance": "1e400"}, 2, "not a finite number"),  # B23
        ({"data__instruments": ["gbpusd"]}, 2, "unknown symbol 'gbpusd'; did you mean GBPUSD"),  # B16
        ({"data__instruments": ["GB\u0420USD"]}, 2, "U+0420 (CYRILLIC CAPITAL LETTER ER)"),  # B17
        ({"data__instruments": ["GBPUSD", "EURUSD"]}, 3, "no H1 bars of EURUSD in the catalog"),
        ({"account__currency": "CHF"}, 2, "add USDCHF to the instruments"),
        ({"config__units": "many"}, 1, "Flip.on_bar raised TypeError"),
        ({"config__size": 3}, 2, "FlipConfig refused its config: "),
        ({"config__bar_type": "GBPUSD.PEPPERSTONE-5-MINUTE-BID-EXTERNAL"}, 2, "which the run does not have"),
    ],
)
def test_one_line_an_exit_code_and_no_files(
    write: Written,
    pepperstone: Callable[..., Run],
    tmp_path: Path,
    changes: dict[str, Any],
    code: int | None,
    words: str,
) -> None:
    ended, out, err = pepperstone("backtest", write(**changes))
    assert words in err
    assert ended == code
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b"a: \xe9\n", "not UTF-8"),
        (b"a: 1\x00\n", "NUL"),
        (b"- 1\n", "not a list"),
    ],
)
def test_b09_a_settings_file_that_is_none(
    pepperstone: Callable[..., Run], tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "run.yaml"
    if content is not None:
        file.write_bytes(content)
    code, _, err = pepperstone("backtest", file)
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert words in err


def test_b09_a_folder_is_no_settings_file(pepperstone: Callable[..., Run], tmp_path: Path) -> None:
    assert pepperstone("backtest", tmp_path)[0] == 2


def test_b10_too_large_or_too_deep(pepperstone: Callable[..., Run], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("# " + "x" * 1_100_000)
    assert "1 MiB" in pepperstone("backtest", file)[2]
    file.write_text("a: " + "[" * 40 + "]" * 40)
    code, _, err = pepperstone("backtest", file)
    assert code == 2
    assert "deep" in err


def test_b11_a_key_twice_names_both_lines(pepperstone: Callable[..., Run], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("data: {}\naccount: {}\ndata: {}\n")
    code, _, err = pepperstone("backtest", file)
    assert code == 2
    assert "run.yaml:3" in err
    assert "1" in err.split("run.yaml:3")[1]


@pytest.mark.parametrize("strategy", ["os:system", "flip", "../flip.py:Flip", "flip:Flop", "flip:FlipConfig"])
def test_b13_a_strategy_that_is_none(
    write: Written, pepperstone: Callable[..., Run], tmp_path: Path, strategy: str
) -> None:
    code, _, err = pepperstone("backtest", write(), "--set", f"strategies.0.strategy={strategy}")
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_b14_an_output_that_cannot_be(write: Written, pepperstone: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    code, _, err = pepperstone("backtest", write(), "--out", tmp_path / "file")
    assert (code, "is a file" in err) == (2, True)
    code, _, err = pepperstone("backtest", write(), "--out", tmp_path)
    assert (code, "holds files that are not a result" in err) == (2, True)


FULL_DISK = """
import resource, signal, sys
from pepperstone_adapter.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(["backtest", sys.argv[1]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_b62_a_full_disk_leaves_the_result_that_was_there(
    write: Written, pepperstone: Callable[..., Run], tmp_path: Path
) -> None:
    # The limit on a file's size fails writes as a full disk does: the report is larger than that.
    assert pepperstone("backtest", write())[0] == 0
    before = (tmp_path / "out" / "result.json").read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(write())], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(f"error: {tmp_path / 'out'}: the result cannot be written (File too large)")
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / "out" / "result.json").read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_report_commands_name_what_is_not_there(pepperstone: Callable[..., Run], tmp_path: Path) -> None:
    for arguments in (("show", tmp_path), ("compare", tmp_path, tmp_path)):
        code, _, err = pepperstone("report", *arguments)
        assert (code, "no result here" in err) == (3, True)


@pytest.mark.parametrize(("level", "running"), [("INFO", True), ("warning", False)])
def test_what_strategies_log_is_printed_where_it_is_asked_for(write: Written, level: str, running: bool) -> None:
    settings = write(config__then="log", output__report=False)
    # A process of its own: the framework sets its log up once in each.
    command = [sys.executable, "-m", "pepperstone_adapter", "backtest", str(settings)]
    ran = subprocess.run([*command, "--log", level], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    # the first bar closes on Monday 2 March at 00:00, the thirtieth 29 hours later
    assert "2020-03-03T05:00:00.000000000Z [WARN] BACKTEST-001.Flip-001: thirty bars" in ran.stdout
    assert ("BACKTEST-001.Flip-001: Running" in ran.stdout) is running
    assert "BacktestEngine" not in ran.stdout  # the framework's own lines stay out
    assert "thirty bars" not in subprocess.run(command, capture_output=True, text=True).stdout


def test_a_log_and_json_would_share_the_output(write: Written, pepperstone: Callable[..., Run]) -> None:
    code, out, err = pepperstone("backtest", write(), "--json", "--log", "INFO")
    assert (code, out, err) == (2, "", "error: --log and --json both write to standard output; choose one\n")
