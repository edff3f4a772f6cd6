"""What `pepperstone data download` refuses before it connects, and what it takes from options and from a file."""

from pathlib import Path

import pytest

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.cli.download_console import DownloadSettings
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.common.resources import resource_root
from pepperstone_adapter.common.settings import load_settings

DAY_NS = 86_400_000_000_000
BASE = ("--account", "1234567", "--symbol", "EURUSD", "--start", "2024-01-01")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (BASE, "nothing is asked for"),
        ((*BASE, "--period", "M7"), "periods"),
        ((*BASE, "--period", "M1", "--end", "2023-01-01"), "swap them"),
        ((*BASE[:-1], "2199-01-01", "--ticks"), "lies in the future"),
        ((*BASE[:-1], "01/02/2024", "--ticks"), "can be read in more than one way"),
        ((*BASE[2:], "--ticks"), "give --account NUMBER"),
        ((*BASE[:2], *BASE[4:], "--ticks"), "symbols"),
        ((*BASE, "--ticks", "--set", "account.tls=off"), "account.tls"),
        ((*BASE, "--ticks", "--environment", "sandbox", "--set", "account.ca_file=ca.pem"), "catalog of their own"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_2(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["data", "download", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]


def test_options_alone_are_enough() -> None:
    overrides = ["account.account=1234567", "symbols=[EURUSD, XAUUSD]", "periods=[M1, H1]", "ticks=true"]
    settings = load_settings(None, DownloadSettings, [*overrides, "start=2024-01-02", "end=2024-01-05"])
    assert settings.account.environment is Environment.DEMO
    start_ns = 19_724 * DAY_NS  # 2024-01-02 is day 19,724 after 1970-01-01
    told = [(w.symbol, w.period, w.start_ns, w.end_ns) for w in settings.wishes(0)]
    periods = (BarPeriod.M1, BarPeriod.H1, None)
    assert told == [(s, p, start_ns, start_ns + 3 * DAY_NS) for s in ("EURUSD", "XAUUSD") for p in periods]


def test_without_an_end_it_is_now_and_the_start_may_have_a_time() -> None:
    settings = load_settings(
        None,
        DownloadSettings,
        ["account.account=1", "symbols=[EURUSD]", "ticks=true", "start=2024-01-02T09:30:00+02:00"],
    )
    (wish,) = settings.wishes(now_ns=77)
    assert (wish.start_ns - 19_724 * DAY_NS, wish.end_ns) == (27_000 * 1_000_000_000, 77)  # 07:30 UTC


@pytest.mark.parametrize("name", ["ctrader-demo.yaml", "ctrader-sandbox.yaml"])
def test_the_files_that_come_with_it_hold_and_options_change_them(name: str) -> None:
    file = resource_root() / "configs" / "download" / name
    settings = load_settings(file, DownloadSettings, ["account.account=42", "symbols=[GER40]"])
    assert (settings.account.account, settings.symbols) == ("42", ("GER40",))
    assert settings.catalog is not None
