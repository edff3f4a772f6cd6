"""`pepperstone data download` against the sandbox over real TLS: every row is that of the tape, also after kill -9."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pepperstone_adapter.backtest.settings import BacktestSettings
from pepperstone_adapter.broker.symbols import CommissionKind
from pepperstone_adapter.catalog import specs
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.server import Sandbox, settings_for_tests, start
from pepperstone_adapter.sandbox.tape import TapeTick
from tests.kit.faults import rule

NS = 1_000_000_000
MINUTE_NS, HOUR_NS, DAY_NS = 60 * NS, 3_600 * NS, 86_400 * NS
DAYS = 10
ACCOUNT = {"id": 1001, "login": 5001}
FIRST_NS = time.time_ns() // DAY_NS * DAY_NS - 20 * DAY_NS


def tape() -> list[TapeTick]:
    """A tick every 50 s: the bid moves every time, the ask every third; each time its own millisecond.

    The ask that holds at midnight was told 100 s earlier: a day asked for by itself must find it.
    """
    out = []
    for n in range(DAYS * 86_400 // 50):
        swing = (n * 37) % 211 - (n * 11) % 97
        bid = 110_000 + swing + n // 300
        ask = 110_400 + (n + 2) // 3 % 50
        out.append(TapeTick(FIRST_NS + n * 50 * NS + n % 1000 * 1_000_000, "EURUSD", bid, ask))
    return out


TAPE = tape()


def play(state_dir: Path, ticks: Sequence[TapeTick], **behaviour: object) -> Sandbox:
    settings = settings_for_tests(state_dir, accounts=[ACCOUNT], behaviour=behaviour)
    sandbox = start(settings, clock=TestClock(FIRST_NS), tape=ticks)
    wait_for(lambda: sandbox.clock.now_ns() >= ticks[-1].ts_ns)
    # Half a minute more, so that nothing is left to happen at the last tick's own instant.
    sandbox.call(lambda: None)
    return sandbox


def wait_for(condition: object, timeout_s: float = 60.0) -> None:
    pause, deadline = threading.Event(), time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not reached in time"
        pause.wait(0.005)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with play(tmp_path_factory.mktemp("sandbox"), TAPE, delta_high_bug_every=0, ticks_page=700) as sandbox:
        yield sandbox


def arguments(broker: Sandbox, catalog: Path, *more: str) -> list[str]:
    start_at = datetime.fromtimestamp(FIRST_NS // NS, UTC).date().isoformat()
    return [
        "data", "download", "--account", "5001", "--environment", "sandbox", "--symbol", "EURUSD", "--start", start_at,
        "--catalog", str(catalog), "--set", f"account.port={broker.ports.demo}", "--set",
        f"account.ca_file={broker.ca_file}", "--json", *more,
    ]  # fmt: skip


def stored_quotes(catalog: Path) -> list[tuple[int, int, int]]:
    got = CatalogStore(catalog).quotes("EURUSD")
    return list(zip(got.ts_ns.tolist(), got.bid.tolist(), got.ask.tolist(), strict=True))


def stored_bars(catalog: Path, period: str) -> list[tuple[int, ...]]:
    got = CatalogStore(catalog).bars("EURUSD", period)
    columns = (got.ts_ns, got.open, got.high, got.low, got.close, got.ticks)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def server_day(ts_ns: int) -> tuple[int, int]:
    """Beginning and end of the trading day (17:00 New York to 17:00) of an instant, worked out hour by hour."""
    zone = ZoneInfo("America/New_York")

    def day_of(ns: int) -> object:
        local = datetime.fromtimestamp(ns // NS, UTC).astimezone(zone)
        return local.toordinal() + (local.hour >= 17)

    first = last = ts_ns // HOUR_NS * HOUR_NS
    while day_of(first - HOUR_NS) == day_of(ts_ns):
        first -= HOUR_NS
    while day_of(last) == day_of(ts_ns):
        last += HOUR_NS
    return first, last


def bars_of(ticks: Sequence[TapeTick], length_ns: int | None) -> list[tuple[int, ...]]:
    """The closed bid bars of a tape by closing time; `length_ns` None for the server's day."""
    spans: dict[int, list[int]] = {}
    day = (0, 0)
    for tick in ticks:
        if length_ns is not None:
            end = (tick.ts_ns // length_ns + 1) * length_ns
        else:
            day = day if day[0] <= tick.ts_ns < day[1] else server_day(tick.ts_ns)
            end = day[1]
        spans.setdefault(end, []).append(tick.bid_points)
    return [(end, p[0], max(p), min(p), p[-1], len(p)) for end, p in spans.items() if end <= ticks[-1].ts_ns]


def test_bars_and_ticks_are_those_of_the_tape(
    broker: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--ticks", "--period", "M1", "--period", "H1", "--period", "D1", "--end", day(4)]
    assert main(arguments(broker, tmp_path, *wanted)) == 0
    told = json.loads(capsys.readouterr().out)
    part = [t for t in TAPE if t.ts_ns < FIRST_NS + 4 * DAY_NS]
    assert stored_quotes(tmp_path) == [t[:1] + t[2:] for t in part]
    whole = {"1-MINUTE": bars_of(TAPE, MINUTE_NS), "1-HOUR": bars_of(TAPE, HOUR_NS), "1-DAY": bars_of(TAPE, None)}
    for period, bars in whole.items():
        # Bars that opened before the end belong to the range, however late they close.
        length = {"1-MINUTE": MINUTE_NS, "1-HOUR": HOUR_NS, "1-DAY": DAY_NS}[period]
        opened_in = [b for b in bars if FIRST_NS <= b[0] - length < FIRST_NS + 4 * DAY_NS]
        assert stored_bars(tmp_path, period) == opened_in
    assert [entry["stored"] for entry in told] == [entry["rows"] for entry in told]
    assert told[0]["source"] == "ctrader SANDBOX-x01 Sandbox"
    assert "5001" not in json.dumps(told)


def day(n: int) -> str:
    return datetime.fromtimestamp((FIRST_NS + n * DAY_NS) // NS, UTC).date().isoformat()


def test_the_brokers_symbols_are_stored_and_backtests_take_them(broker: Sandbox, tmp_path: Path) -> None:
    assert main(arguments(broker, tmp_path, "--period", "H1")) == 0
    (answer,) = specs.answers(tmp_path, "EURUSD")
    rule = answer.spec.commission
    assert rule is not None
    assert (rule.kind, rule.rate) == (CommissionKind.PER_LOT, Decimal("3.5"))
    data = {"catalog": tmp_path, "start": day(0), "end": day(9), "instruments": ["EURUSD"]}

    def settings(specs_from: str) -> BacktestSettings:
        raw = {"data": {**data, "specs": specs_from}, "strategies": [{"strategy": "x:Y"}]}
        return BacktestSettings.model_validate(raw)

    assert settings("auto").told_specs()["EURUSD"] == answer.spec
    assert settings("stored").told_specs()["EURUSD"] == answer.spec
    assert settings("table").told_specs() == {}


def test_bars_the_server_sent_broken_are_repaired_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks = [TapeTick(FIRST_NS + n * 10 * NS, "EURUSD", 110_000 + (n * 37) % 23, 110_100) for n in range(6 * 200)]
    with play(tmp_path / "sandbox", ticks, delta_high_bug_every=1) as sandbox:
        assert main(arguments(sandbox, tmp_path / "catalog", "--period", "M1")) == 0
    told = json.loads(capsys.readouterr().out)
    want, repaired = [], 0
    for end, opened, high, low, close, volume in bars_of(ticks, MINUTE_NS):
        broken = close == low and opened > low  # what the server is known to get wrong: deltaHigh is 0
        repaired += broken
        want.append((end, opened, opened if broken else high, low, close, volume))
    assert stored_bars(tmp_path / "catalog", "1-MINUTE") == want
    assert repaired > 5
    assert told[0]["notes"] == {"repaired": repaired}


def test_a_file_somebody_deleted_is_told_and_read_again(
    broker: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [a for a in arguments(broker, tmp_path, "--period", "H1", "--end", day(5)) if a != "--json"]
    assert main(command) == 0
    want = stored_bars(tmp_path, "1-HOUR")
    (file,) = tmp_path.glob("data/bars/*/*.parquet")
    file.unlink()
    capsys.readouterr()
    assert main(command) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith(f"  {len(want)} rows stored")
    assert told[1].startswith(f"  no file holds {day(0)}T00:00:00Z to ")
    assert told[1].endswith(" any more: asked for again")
    assert stored_bars(tmp_path, "1-HOUR") == want
    assert main(command) == 0
    assert "read before, nothing asked for" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_again_and_again_it_ends_with_the_tape(broker: Sandbox, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pepperstone_adapter", *arguments(broker, tmp_path, "--ticks", "--end", day(9))]

    def days_read() -> int:
        read = 0
        for path in (tmp_path / "imports").glob("*.json"):
            read += sum(b - a for a, b in json.loads(path.read_text())["rules"]["read_ns"]) // DAY_NS
        return read

    for stop_at in (1, 3, 5):
        # Five requests a day: within its third one a run hears no more, and so cannot end before it is killed.
        broker.add_fault(rule("swallow", "GetTickDataReq", after=13, times=0))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for(lambda stop_at=stop_at, process=process: days_read() >= stop_at or process.poll() is not None)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL, "it had ended before it could be killed"
        broker.clear_faults()
        if (tmp_path / "data" / "quotes").is_dir():
            held = stored_quotes(tmp_path)
            assert held == [t[:1] + t[2:] for t in TAPE[: len(held)]]  # a beginning of the tape, nothing else
    read_before = days_read()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert stored_quotes(tmp_path) == [t[:1] + t[2:] for t in TAPE if t.ts_ns < FIRST_NS + 9 * DAY_NS]
    assert told["pieces"] <= 9 - read_before + 1  # what was read before is not asked for again
    again = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(again.stdout)[0]["pieces"] == 0


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (["--symbol", "EURUSB"], "error: EURUSB is not a symbol of this account; did you mean EURUSD"),
        (["--set", "account.account=77"], "77"),
    ],
)
def test_what_cannot_be_downloaded_is_one_line(
    broker: Sandbox, tmp_path: Path, change: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(broker, tmp_path, "--period", "H1"), *change]) in (2, 5)
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 1
    assert line in err[0]
    assert not (tmp_path / "data").exists()
