"""`pepperstone live` before it connects: help, `--check`, and the keys on the command line."""

from pathlib import Path

import pytest

from pepperstone_adapter.cli.live_console import installed, live_file
from pepperstone_adapter.cli.main import main
from pepperstone_adapter.live.settings import LiveSettings

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "live"


@pytest.mark.parametrize("name", ["ctrader-sandbox.yaml", "ctrader-demo.yaml"])
def test_the_shipped_settings_hold(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ca_file = tmp_path / "ca.pem"  # the sandbox writes it when it starts
    changes = [] if "demo" in name else ["--set", f"accounts.0.ca_file={ca_file}"]
    if changes:
        assert main(["live", str(CONFIGS / name), "--check", *changes]) == 2
        assert "start `pepperstone sandbox" in capsys.readouterr().err
        ca_file.touch()
    assert main(["live", str(CONFIGS / name), "--check", *changes]) == 0
    assert "no real money" in capsys.readouterr().out


def test_live_needs_its_confirmation_and_a_confirmation_needs_live(capsys: pytest.CaptureFixture[str]) -> None:
    demo = str(CONFIGS / "ctrader-demo.yaml")
    assert main(["live", demo, "--check", "--confirm-live", "1234567"]) == 2
    assert "no account of the settings has environment: live" in capsys.readouterr().err
    assert main(["live", demo, "--set", "accounts.0.environment=live"]) == 2
    assert "three keys" in capsys.readouterr().err
    assert main(["live", demo, "--set", "accounts.0.environment=live", "--confirm-live", "7"]) == 2
    assert "names another account" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--confirm-live" in out
    assert "pepperstone sandbox" in out


def test_an_account_is_checked_by_its_platform(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ctrader" in installed()
    assert set(live_file().model_fields) == set(LiveSettings.model_fields)
    path = tmp_path / "live.yaml"
    path.write_text("accounts:\n  - {platform: metastock, account: 1}\n")
    assert main(["live", str(path), "--check"]) == 2
    assert "live.yaml:2" in capsys.readouterr().err
