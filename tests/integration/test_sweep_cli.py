"""`pepperstone sweep` from the command line to the files: two weeks of a small market, a strategy that flips."""

import csv
import html
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import sin
from pathlib import Path
from typing import Any

import pytest
import yaml

from pepperstone_adapter.backtest.compare import FIGURES
from pepperstone_adapter.backtest.sweep import plan_sweep, run_sweep
from pepperstone_adapter.catalog.importer import import_file
from pepperstone_adapter.catalog.request import ImportRequest
from pepperstone_adapter.cli.main import main

type Run = tuple[int, str, str]
type Pepperstone = Callable[..., Run]

STRATEGY = """\
import os
import threading

from nautilus_trader.model import BarType, OrderSide
from nautilus_trader.trading import Strategy, StrategyConfig


class FlipConfig(StrategyConfig):
    def __init__(self, *, every=24, most=1000, then="", order_id_tag=None) -> None:
        if every > most:
            raise ValueError(f"every {every} is above most {most}")
        self.every = every
        self.then = then


class Flip(Strategy):
    '''Closes what it holds and takes the other side, every so many bars.'''

    def __init__(self, config: FlipConfig) -> None:
        super().__init__(config)
        self.settings = config
        self.seen = 0
        self.bars = BarType.from_str("EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL")

    def on_start(self) -> None:
        self.subscribe_bars(self.bars)
        if self.settings.then == "edit":
            with open(__file__, "a") as file:
                file.write("# edited\\n")
        if self.settings.then == "end":
            os.write(2, b"a warning\\n")
            os.kill(os.getpid(), 9)
        if self.settings.then.startswith("tell "):
            with open(self.settings.then[5:], "w") as pipe:
                pipe.write(f"{os.getpid()}\\n")
            threading.Event().wait()

    def on_bar(self, bar) -> None:
        self.seen += 1
        if self.seen == 30 and self.settings.then == "raise":
            raise ValueError("thirty bars are enough")
        if self.seen % self.settings.every:
            return
        self.close_all_positions(self.bars.instrument_id)
        side = OrderSide.BUY if self.seen // self.settings.every % 2 else OrderSide.SELL
        quantity = self.cache.instrument(self.bars.instrument_id).make_qty(10_000)
        self.submit_order(self.order_factory.market(self.bars.instrument_id, side, quantity))
"""
EVERY, MOST, THEN = (f"strategies.0.config.{name}" for name in ("every", "most", "then"))
HEADER = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EURUSD, H1, the weekdays of 13 to 24 January 2020 up to 20:00 UTC."""
    folder = tmp_path_factory.mktemp("data")
    hours = (datetime(2020, 1, 13, tzinfo=UTC) + timedelta(hours=n) for n in range(12 * 24))
    lines = []
    for n, hour in enumerate(h for h in hours if h.weekday() < 5 and h.hour < 20):
        before, after = (1.1 + 0.01 * sin(i / 7) for i in (n, n + 1))
        prices = (before, max(before, after) + 0.0003, min(before, after) - 0.0003, after)
        lines.append(f"{hour:%Y.%m.%d\t%H:%M:%S}\t" + "\t".join(f"{p:.5f}" for p in prices) + "\t5\n")
    (folder / "EURUSD.csv").write_text(HEADER + "".join(lines))
    import_file(ImportRequest(catalog=folder / "cat", file=folder / "EURUSD.csv", zone="utc"))
    return folder / "cat"


@pytest.fixture
def settings(tmp_path: Path, catalog: Path) -> Path:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "flip.py").write_text(STRATEGY)
    document: dict[str, Any] = {
        "data": {"catalog": str(catalog), "start": "2020-01-13", "end": "2020-01-25", "instruments": ["EURUSD"]},
        "strategies": [{"strategy": "flip:Flip"}],
        "output": {"dir": "out"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "run.yaml"


@pytest.fixture
def pepperstone(capsys: pytest.CaptureFixture[str]) -> Pepperstone:
    def run(*arguments: object) -> Run:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "sweep.csv").read_text().splitlines()))


@pytest.mark.slow
def test_each_row_is_the_backtest_of_its_values(settings: Path, pepperstone: Pepperstone, tmp_path: Path) -> None:
    grid = ("--over", f"{EVERY}=7:14:7", "--over", "account.balance=500,10000.50", "--set", "market.spread.scale=2")
    code, out, err = pepperstone("sweep", settings, *grid, "--jobs", 2)
    assert (code, err) == (0, "")
    folder = tmp_path / "out-sweep"
    assert sorted(p.name for p in folder.iterdir()) == ["settings.yaml", "sweep.csv", "sweep.html"]
    found = rows(folder)
    assert [(r["run"], r[EVERY], r["account.balance"], r["error"]) for r in found] == [
        ("1", "7", "500", ""), ("2", "7", "10000.50", ""), ("3", "14", "500", ""), ("4", "14", "10000.50", ""),
    ]  # fmt: skip
    assert len({r["account.net_profit"] for r in found}) > 1

    alone = ("--set", f"{EVERY}=14", "--set", "account.balance=10000.50", "--set", "market.spread.scale=2")
    assert pepperstone("backtest", settings, *alone, "--no-report", "--out", tmp_path / "alone")[0] == 0
    result = json.loads((tmp_path / "alone" / "result.json").read_text(), parse_float=Decimal)
    for _, key, kind in FIGURES:
        section, name = key.split(".")
        wanted = result[section][name]
        exact = f"{wanted:.2f}" if kind == "money" else "" if wanted is None else format(Decimal(wanted), "f")
        assert found[3][key] == exact, key
    # 200 bars give 14 orders on every fourteenth; each of the thirteen that follow closes the one before.
    assert found[3]["trades.count"] == "13"

    best = max(found, key=lambda r: Decimal(r["account.net_profit"]))
    assert "run: the best 4 of 4 by Net profit" in out
    _, header, first, *_ = out.splitlines()
    assert header.split()[:3] == ["Run", "every", "balance"]
    assert first.split()[:3] == [best["run"], best[EVERY], best["account.balance"]]
    assert "4 combinations were tried on the same data, so the best of them is partly luck" in out
    assert yaml.safe_load((folder / "settings.yaml").read_text())["market"]["spread"]["scale"] == 2

    # One process at a time ends in another order, and in the same table.
    before = (folder / "sweep.csv").read_bytes()
    code, out, err = pepperstone("sweep", settings, *grid, "--jobs", 1, "--json")
    assert (code, err) == (0, "")
    assert (folder / "sweep.csv").read_bytes() == before
    assert [r["account.net_profit"] for r in json.loads(out)] == [float(r["account.net_profit"]) for r in found]
    assert json.loads(out)[0][EVERY] == 7


def test_a_run_that_fails_and_values_that_do_not_go_together_are_rows(
    settings: Path, pepperstone: Pepperstone, tmp_path: Path
) -> None:
    grid = ("--over", f"{EVERY}=10,20", "--over", f"{MOST}=15,25", "--over", f"{THEN}=go,raise")
    code, out, err = pepperstone("sweep", settings, *grid, "--jobs", 2, "--out", tmp_path / "swept")
    assert code == 1  # that of the run: an exception in a strategy
    found = rows(tmp_path / "swept")
    reasons = [r["error"] for r in found]
    assert [bool(reason) for reason in reasons] == [False, True, False, True, True, True, False, True]
    assert [bool(r["trades.count"]) for r in found] == [not reason for reason in reasons]
    assert reasons[1] == reasons[3] == reasons[7]
    assert "Flip.on_bar raised ValueError: thirty bars are enough" in reasons[1]
    assert all("FlipConfig refused its config: every 20 is above most 15" in reason for reason in reasons[4:6])
    not_run, failed = err.splitlines()
    assert not_run.startswith("2 of 8 were not run, their values do not go together; run 5: ")
    assert failed == f"error: 3 of 8 runs failed; run 2: {reasons[1]}"
    assert "the best 3 of 8" in out


def test_values_that_do_not_go_together_are_no_failure(settings: Path, pepperstone: Pepperstone) -> None:
    code, _, err = pepperstone("sweep", settings, "--over", f"{EVERY}=10,20", "--over", f"{MOST}=15,25", "--jobs", 2)
    assert (code, len(err.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    ("over", "words"),
    [
        (f"{EVERY.replace('every', 'evry')}=10,20", "did you mean 'every'"),
        ("acount.balance=1,2", "acount: unknown key; did you mean 'account'?"),
        (f"{EVERY}=10,2000", "every 2000 is above most 1000"),
    ],
)
def test_what_no_run_would_take_costs_nothing(
    settings: Path, pepperstone: Pepperstone, tmp_path: Path, over: str, words: str
) -> None:
    code, out, err = pepperstone("sweep", settings, "--over", over)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.yaml", "strategies"]


def test_the_time_to_test_on_is_a_run_of_its_own(settings: Path, pepperstone: Pepperstone, tmp_path: Path) -> None:
    grid = (
        "--over",
        f"{EVERY}=10",
        "--test-from",
        "2020-01-20",
        "--by",
        "sharpe",
        "--keep",
        "--set",
        "output.report=false",
    )
    code, out, _ = pepperstone("sweep", settings, *grid)
    assert code == 0
    assert "ranked by the time before 2020-01-20" in out
    (row,) = rows(tmp_path / "out-sweep")
    for prefix, name, start, end in (
        ("", "0001", "2020-01-13", "2020-01-20"), ("test.", "0001-test", "2020-01-20", "2020-01-25")
    ):  # fmt: skip
        kept = tmp_path / "out-sweep" / "runs" / name
        result = json.loads((kept / "result.json").read_text())
        assert (result["period"]["start"][:10], result["period"]["end"][:10]) == (start, end)
        assert float(row[f"{prefix}account.net_profit"]) == result["account"]["net_profit"]
        assert int(row[f"{prefix}trades.count"]) == result["trades"]["count"] == 9
        # A kept result names the folder it lies in, so that its settings run again.
        assert yaml.safe_load((kept / "settings.yaml").read_text())["output"]["dir"] == str(kept)


def test_a_kept_result_names_its_folder_however_that_is_written(settings: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("far " * 30 + "away") / "R & D's sweep"
    run_sweep(plan_sweep(settings, [f"{EVERY}=10"]), folder, keep=True)
    kept = folder / "runs" / "0001"
    written = (kept / "settings.yaml").read_text()
    assert yaml.safe_load(written)["output"]["dir"] == str(kept)
    (shown,) = re.findall(r"<pre>(.*?)</pre>", (kept / "report.html").read_text(), re.DOTALL)
    assert html.unescape(shown).strip() == written.strip()


def test_code_that_is_changed_while_a_sweep_runs_is_found(
    settings: Path, pepperstone: Pepperstone, tmp_path: Path
) -> None:
    code, _, err = pepperstone(
        "sweep", settings, "--over", f"{EVERY}=10,20", "--set", f"{THEN}=edit", "--jobs", 1, "--out", tmp_path / "swept"
    )
    assert code == 2
    assert "1 of 2 runs failed; run 2: code changed while the sweep ran" in err
    assert [bool(r["trades.count"]) for r in rows(tmp_path / "swept")] == [True, False]


def test_data_that_are_replaced_while_a_sweep_runs_are_found(settings: Path, catalog: Path, tmp_path: Path) -> None:
    own = tmp_path / "cat"
    shutil.copytree(catalog, own)
    sweep = plan_sweep(settings, [f"{EVERY}=10,20"], [f"data.catalog={own}"])
    lines = (catalog.parent / "EURUSD.csv").read_text().splitlines(keepends=True)
    (tmp_path / "EURUSD.csv").write_text("".join([*lines[:-1], lines[-1].replace("\t5\n", "\t6\n")]))
    import_file(ImportRequest(catalog=own, file=tmp_path / "EURUSD.csv", zone="utc", replace=True))
    found = run_sweep(sweep, tmp_path / "swept")
    assert [r.error for r in found] == ["data changed while the sweep ran; run it again"] * 2


def test_a_run_that_the_system_ends_is_told_so_whatever_it_had_said(settings: Path, tmp_path: Path) -> None:
    """Where memory is short the system kills; the last warning before it is not the reason."""
    sweep = plan_sweep(settings, [f"{THEN}=end"])
    (row,) = run_sweep(sweep, tmp_path / "swept")
    assert (row.error, row.exit_code) == ("ended by signal 9: a warning", 1)


def end_while_two_runs_wait(settings: Path, folder: Path, by: signal.Signals) -> tuple[int, str, str, set[int]]:
    """Exit code, what was said, and the processes of the runs."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    grid = ("--over", f"{EVERY}=1:50:1", "--set", f"{THEN}=tell {pipe}", "--jobs", "2")
    command = [sys.executable, "-m", "pepperstone_adapter", "sweep", str(settings), *grid]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sweep:
        pids: set[int] = set()
        while len(pids) < 2:  # each run opens the pipe once, says who it is, and waits for good
            pids |= {int(line) for line in pipe.read_text().split()}
        sweep.send_signal(by)
        out, err = sweep.communicate(timeout=60)
    pipe.unlink()
    return sweep.returncode, out, err, pids


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended and whose starter is gone may wait for long to be taken note of.
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][1] != "Z"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with a name are POSIX")
@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_who_is_asked_to_end_ends_every_process_and_leaves_nothing(settings: Path, tmp_path: Path, by: str) -> None:
    *told, pids = end_while_two_runs_wait(settings, tmp_path, signal.Signals[by])
    assert told == [130, "", "error: interrupted\n"]
    assert not any(map(lives, pids))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.yaml", "strategies"]


@pytest.mark.skipif(sys.platform != "linux", reason="waits for processes that are no children")
def test_what_a_killed_sweep_leaves_ends_by_itself_and_is_removed_by_the_next(
    settings: Path, pepperstone: Pepperstone, tmp_path: Path
) -> None:
    code, *_, pids = end_while_two_runs_wait(settings, tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL
    ends = [os.pidfd_open(pid) for pid in pids if lives(pid)]
    assert all(select.select([end], [], [], 60)[0] for end in ends)
    assert list(tmp_path.glob(".out-sweep.*"))
    assert pepperstone("sweep", settings, "--over", f"{EVERY}=10", "--jobs", 1)[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out-sweep", "run.yaml", "strategies"]
