"""What stands before a live run: settings, strategies, banner and status line; no broker is asked."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from nautilus_trader.model import InstrumentId

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import LinkDown, Notice
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.market import Tick
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import load_settings
from pepperstone_adapter.ctrader.config import CTraderAccountSettings
from pepperstone_adapter.ctrader.factories import account_clients
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.node import LiveRun, banner, log_file
from pepperstone_adapter.live.settings import AccountSettings, LiveSettings, LiveStrategySettings
from pepperstone_adapter.live.status import status_line
from pepperstone_adapter.live.strategies import load_strategies
from tests.kit.broker import KitBroker, spec
from tests.kit.broker_session import KitSession

STRATEGY = Path(__file__).resolve().parents[3] / "strategies" / "ema_cross.py"


ONE: dict[str, Any] = {"accounts": [{"platform": "ctrader", "account": 1}]}


def ema(symbol: str = "EURUSD", **more: Any) -> LiveStrategySettings:
    config = {"bar_type": f"{symbol}.PEPPERSTONE-1-HOUR-BID-EXTERNAL"}
    return LiveStrategySettings(strategy=f"{STRATEGY}:EmaCross", config=config, **more)


def account(**changes: Any) -> AccountSettings:
    return AccountSettings(**({"platform": "ctrader", "account": "12345678", "symbols": ("EURUSD",)} | changes))


def test_a_strategy_claims_the_instrument_only_it_trades() -> None:
    loaded, warnings = load_strategies(
        [ema(name="a"), ema("GBPUSD", name="b"), ema("GBPUSD", name="c")], ["PEPPERSTONE"]
    )
    assert [one.claims for one in loaded] == [(InstrumentId.from_str("EURUSD.PEPPERSTONE"),), (), ()]
    assert len(warnings) == 2
    assert "stay EXTERNAL" in warnings[0]
    (alone,), _ = load_strategies([ema(claim=False)], ["PEPPERSTONE"])
    assert alone.claims == ()


def test_a_strategy_whose_configuration_names_no_instrument_is_told_that_it_gets_nothing_back(tmp_path: Path) -> None:
    # It would look for its positions after a restart, find none, and open them a second time.
    file = tmp_path / "plain.py"
    file.write_text(
        "from nautilus_trader.trading import Strategy, StrategyConfig\n\n\n"
        "class PlainConfig(StrategyConfig):\n"
        "    def __init__(self, *, symbol: str, order_id_tag: str | None = None) -> None:\n"
        "        self.symbol = symbol\n\n\n"
        "class Plain(Strategy):\n"
        "    def __init__(self, config: PlainConfig) -> None:\n"
        "        super().__init__(config)\n"
    )
    plain: dict[str, Any] = {"strategy": f"{file}:Plain", "config": {"symbol": "EURUSD"}}
    (loaded,), (warning,) = load_strategies([LiveStrategySettings(**plain)], ["PEPPERSTONE"])
    assert loaded.claims == ()
    assert warning == (
        "Plain: its config names no instrument of this node (as EURUSD.PEPPERSTONE), so positions and orders of an earlier "
        "run stay EXTERNAL, and it does not see them as its own; name what it trades, or set claim: false"
    )
    assert load_strategies([LiveStrategySettings(**plain, claim=False)], ["PEPPERSTONE"])[1] == []


def test_a_log_folder_that_cannot_be_made_is_a_setting_to_be_changed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"log\.dir: .*file.logs cannot be written \(Not a directory\)"):
        log_file(tmp_path / "file" / "logs", "run")
    log_file(tmp_path / "new" / "logs", "run")
    assert (tmp_path / "new" / "logs").is_dir()


def test_a_bad_strategy_configuration_names_the_file() -> None:
    wrong = LiveStrategySettings(strategy=f"{STRATEGY}:EmaCross", config={"fast": 3})
    with pytest.raises(ConfigurationError, match="EmaCrossConfig refused its config"):
        load_strategies([wrong], ["PEPPERSTONE"])


def test_s23_every_line_for_a_person_begins_with_an_account_real_money_first() -> None:
    said: list[str] = []
    demo, real = (
        CTraderAccountSettings(environment=kind, account=number, venue=venue, symbols=("EURUSD",))
        for kind, number, venue in (
            (Environment.DEMO, "12345678", "PEPPERSTONE"),
            (Environment.LIVE, "87654321", "REAL"),
        )
    )
    settings = LiveSettings(accounts=(demo, real), strategies=(ema(), ema(name="b")))
    confirmed = {demo: None, real: real.account}
    run = LiveRun(settings, lambda one, whole: account_clients(one, whole, confirmed[one]), said.append)
    run.describe()
    run.say("stopping")
    assert said[:2] == [line for line in banner(settings, []) if "venue" in line]
    assert "LIVE-x4321 strategy EmaCross" in said[2]
    assert said[-1] == "LIVE-x4321 stopping"
    assert all(line.startswith(("DEMO-x5678 ", "LIVE-x4321 ")) for line in said)


def test_s23_the_banner_says_which_money_and_masks_the_account() -> None:
    live = LiveSettings(accounts=(account(environment=Environment.LIVE),), strategies=())
    first = banner(live, [])[0]
    assert first.startswith("LIVE-x5678 (REAL MONEY): ctrader, venue PEPPERSTONE, EURUSD")
    assert "12345678" not in "\n".join(banner(live, []))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"accounts": []}, "accounts"),
        ({"accounts": [{"platform": "ctrader", "account": "x"}]}, "accounts.0.account"),
        ({"accounts": [{"platform": "ctrader", "account": 1, "data": False, "trading": False}]}, "both off"),
        ({"accounts": [{"platform": "a", "account": 1}, {"platform": "b", "account": 2}]}, "same venue"),
        ({"accounts": [{"platform": "ctrader", "account": 1}], "on_stop": {"orders": "sell"}}, "on_stop.orders"),
        ({"accounts": [{"platform": "ctrader", "account": 1, "password": "x"}]}, "password"),
        (
            ONE | {"engine": {"reconcilation": True}},
            "engine: the framework's engine has no option 'reconcilation'; did you",
        ),
        (ONE | {"engine": {"nonsense": 1}}, "has no option 'nonsense'; options: allow_overfills, "),
        (ONE | {"engine": {"reconciliation": "maybe"}}, "engine: reconciliation: 'maybe' is no value for this option"),
        (ONE | {"engine": {"inflight_check_interval_ms": -1}}, "inflight_check_interval_ms: -1 is no value"),
        (ONE | {"engine": {"submission_recovery_policy": "KEEP"}}, "submission_recovery_policy: 'KEEP' is no value"),
    ],
)
def test_wrong_settings_name_their_key(tmp_path: Path, content: dict[str, Any], text: str) -> None:
    path = tmp_path / "live.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError) as error:
        load_settings(path, LiveSettings)
    assert text in str(error.value)
    assert "live.yaml:" in str(error.value)


def test_the_status_line_without_an_execution_client() -> None:
    broker = KitBroker()
    connection = Connection(lambda: KitSession(broker), "PEPPERSTONE", ("EURUSD",))
    assert status_line(account(), connection, None, None) == "DEMO-x5678 | LINK DOWN | no quote yet"
    connection.up = True
    connection._on_events([Tick("EURUSD", 108_500, 108_507, 1), Tick("EURUSD", 108_600, None, 2)])
    line = status_line(account(), connection, None, None)
    assert re.match(r"DEMO-x5678 \| link up \| quote \d+\.\d s ago ", line)
    assert line.endswith("1 bad quotes held back")
    for number in (3, 2):
        connection._on_events([Notice(level="warning", text="left out", ts_ns=1, rows_left_out=number)])
    line = status_line(account(), connection, None, None)
    assert line.endswith("1 bad quotes held back | 5 bad rows left out")
    never = spec("EURUSD", hours=TradingHours(zone="UTC", intervals=()))
    connection.specs = {"EURUSD": never}
    assert " s ago (market closed)" in status_line(account(), connection, None, None)
    connection._on_events([LinkDown("revoked", 3, permanent=True)])
    assert connection.fault == "revoked"
    assert connection.quotes["EURUSD"].bid is None
