"""`pepperstone sandbox`: what it prints, and its errors. Ctrl-C is tested with a real process (integration)."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.cli import sandbox_console
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import load_settings
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.server import settings_for_tests, start
from pepperstone_adapter.sandbox.settings import SandboxSettings

CONFIGS = Path(__file__).parents[3] / "configs" / "sandbox"


@pytest.mark.parametrize("name", ["default.yaml", "replay.yaml"])
def test_the_bundled_settings_are_valid(name: str) -> None:
    settings = load_settings(CONFIGS / name, SandboxSettings)
    assert settings.state_dir.parts[-2:] == ("state", "sandbox")
    assert settings.symbols.terms()


def test_json_is_one_line_a_machine_can_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox_console.serve(settings_for_tests(tmp_path), 0.0, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["ca_file"] == str(tmp_path / "ca.pem")
    assert facts["accounts"] == [2_000_001, 2_000_002, 2_000_003]


def test_the_table_and_the_status_line(tmp_path: Path) -> None:
    with start(settings_for_tests(tmp_path)) as sandbox:
        sandbox.push("EURUSD", "1.10000", "1.10002")
        console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
        console.print(sandbox_console._table(sandbox))
        console.print(sandbox.call(sandbox_console._status, sandbox))
        said = console.export_text()
    assert f"127.0.0.1:{sandbox.ports.demo} (TLS)" in said
    assert "id 1000002, demo, netting, EUR, 1:30, balance 10000" in said
    assert "0 connected | 1 ticks | 0 positions | 0 orders | 0 deals" in said


def test_the_terminal_and_its_accounts_are_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_for_tests(tmp_path, mt5={"port": 0, "accounts": [{"login": 3_000_001}]})
    sandbox_console.serve(settings, 0.0, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["mt5_accounts"] == [3_000_001]
    assert facts["mt5_port"] > 0
    with start(settings) as sandbox:
        sandbox.push("EURUSD", "1.10000", "1.10002")
        order = NewOrder(symbol="EURUSD", side=Side.BUY, type=OrderType.MARKET, units=Decimal(10_000))
        sandbox.call(sandbox.terminal.ledger.submit, 3_000_001, order, sandbox.clock.now_ns())
        console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
        console.print(sandbox_console._table(sandbox))
        console.print(sandbox.call(sandbox_console._status, sandbox))
        said = console.export_text()
    assert f"127.0.0.1:{sandbox.ports.mt5}" in said
    assert "MetaTrader 5, hedging, USD, 1:30, balance 10000" in said
    assert "1 positions | 0 orders | 1 deals" in said


def test_a_closed_market_is_told_with_its_opening(tmp_path: Path) -> None:
    saturday_ns = 1_795_240_800 * 10**9  # 2026-11-21 06:00 UTC; currencies open on Sunday at 17:01 of New York
    with start(settings_for_tests(tmp_path, symbols={"always_open": False}), clock=TestClock(saturday_ns)) as sandbox:
        assert sandbox_console._opens_at(sandbox) == "Sun 2026-11-22 22:01 UTC"
    with start(settings_for_tests(tmp_path)) as sandbox:
        assert sandbox_console._opens_at(sandbox) is None


def test_a_closed_market_is_told_with_what_plays_around_the_clock(tmp_path: Path) -> None:
    saturday_ns = 1_795_240_800 * 10**9
    settings = settings_for_tests(tmp_path, symbols={"always_open": False})  # prices that no walk makes
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    with start(settings, clock=TestClock(saturday_ns)) as sandbox:
        console.print(sandbox_console._table(sandbox))
    said = console.export_text()
    assert "22:01 UTC; around the clock: --set tape.source=walk --set symbols.always_open=true " in said


def test_a_broken_tape_ends_the_command(tmp_path: Path) -> None:
    """A tape that fails must not leave a server that only looks alive."""
    settings = settings_for_tests(tmp_path, tape={"source": "walk", "speed": 0.0, "ticks_per_s": 1000.0})
    sandbox = start(settings, tape=iter([("no", "tick")]))  # type: ignore[list-item]
    try:
        with pytest.raises(AttributeError):
            sandbox_console.run(sandbox, 10.0, as_json=True)
    finally:
        sandbox.stop()


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("accounts: [{id: 1, login: 1}, {id: 1, login: 2}]", "id and a login of its own"),
        ("host: 0.0.0.0", "loopback only"),
        ("behavior: {}", "did you mean 'behaviour'"),
        ("faults: {rules: [{kind: explode}]}", "faults.rules"),
        ("tape: {speed: -1}", "tape.speed"),
    ],
)
def test_bad_settings_are_one_clear_line(yaml: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(yaml)
    with pytest.raises(ConfigurationError, match=words):
        load_settings(tmp_path / "s.yaml", SandboxSettings)


def test_an_unknown_symbol_is_named_with_its_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="EURUSD"):
        settings_for_tests(tmp_path, symbols={"names": ["EURUSDX"]}).symbols.terms()


def test_the_fault_rules_of_the_guide_hold(tmp_path: Path) -> None:
    guide = (CONFIGS.parents[1] / "docs" / "sandbox.md").read_text()
    block = next(part for part in guide.split("```") if part.startswith("\nfaults:"))
    (tmp_path / "s.yaml").write_text(block)
    rules = load_settings(tmp_path / "s.yaml", SandboxSettings).faults.rules
    assert [rule.kind.value for rule in rules] == ["cut_after", "drop", "silence", "throttle"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("host=http://127.0.0.1", "host: the sandbox serves loopback only (127.0.0.1)"),
        ("host=0.0.0.0", "host: the sandbox serves loopback only (127.0.0.1)"),
        ("ports.demo=70000", "--set ports.demo: expected less than or equal to 65535, got 70000"),
        ("ports.live=-1", "--set ports.live: expected greater than or equal to 0, got -1"),
    ],
)
def test_b28_a_host_or_port_that_cannot_be(
    change: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["sandbox", str(CONFIGS / "default.yaml"), "--set", change, "--set", f"state_dir={tmp_path / 'state'}"])
    out, err = capsys.readouterr()
    assert (code, out, len(err.strip().splitlines())) == (2, "", 1)
    assert words in err
    assert not (tmp_path / "state").exists()
