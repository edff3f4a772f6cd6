"""A cTrader account in the settings and in the framework: endpoints, no secrets, lazy loading."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.ctrader.config import (
    CTraderAccountSettings,
    CTraderDataConfig,
    CTraderExecConfig,
    values_of,
)
from pepperstone_adapter.ctrader.constants import SANDBOX_LOGIN
from pepperstone_adapter.ctrader.factories import load_credentials, session_of
from pepperstone_adapter.ctrader.providers import CTraderInstrumentProvider
from pepperstone_adapter.live.providers import BrokerInstrumentProvider
from pepperstone_adapter.sandbox.server import Credentials


def test_demo_and_live_have_their_own_servers_and_the_systems_authorities() -> None:
    for environment in ("demo", "live"):
        session = session_of(CTraderDataConfig(account="1", environment=environment))
        assert (session.endpoint.host, session.endpoint.port) == (f"{environment}.ctraderapi.com", 5035)
        assert session.endpoint.ca_file is None


def test_s09_an_authority_of_its_own_is_for_the_sandbox_on_this_machine_only() -> None:
    with pytest.raises(ValidationError, match="ca_file is for environment sandbox only"):
        CTraderAccountSettings(account="1", ca_file="ca.pem")
    with pytest.raises(ValidationError, match="needs ca_file"):
        CTraderAccountSettings(account="1", environment=Environment.SANDBOX)
    with pytest.raises(ValidationError, match="is this machine"):
        CTraderAccountSettings(account="1", environment=Environment.SANDBOX, ca_file="ca.pem", host="evil.example")


@pytest.mark.parametrize("given", [{"host": "live.ctraderapi.com", "ca_file": "ca.pem"}, {"ca_file": None}])
def test_s22_a_sandbox_is_this_machine_also_for_a_node_of_ones_own_making(given: dict[str, str | None]) -> None:
    """Which accounts are live is not asked at a sandbox: a real server under that name would trade without the keys."""
    with pytest.raises(ConfigurationError, match="environment sandbox"):
        session_of(CTraderExecConfig(account="1", environment="sandbox", profile="real", **given))


def test_s03_no_configuration_holds_or_prints_a_secret() -> None:
    account = CTraderAccountSettings(account="1", environment=Environment.SANDBOX, ca_file="ca.pem")
    values = values_of(account, confirm_live=None, connect_timeout_s=5.0)
    for config in (CTraderDataConfig(**values), CTraderExecConfig(**values)):
        shown = f"{config!r} {config} {vars(config)}"
        assert not any(secret in shown for secret in SANDBOX_LOGIN.values())
        assert config.key == "ctrader-sandbox-1"


def test_the_sandboxes_login_is_the_one_it_knows() -> None:
    known = Credentials()
    assert {
        "CTRADER_CLIENT_ID": known.client_id,
        "CTRADER_CLIENT_SECRET": known.client_secret,
        "CTRADER_ACCESS_TOKEN": known.access_token,
    } == SANDBOX_LOGIN
    _, credentials = load_credentials(Environment.SANDBOX, "default")
    assert credentials.application.client_id == known.client_id


def test_s22_a_live_client_without_its_keys_is_not_even_made() -> None:
    from pepperstone_adapter.ctrader.factories import CTraderDataClientFactory

    with pytest.raises(ConfigurationError, match="three keys"):
        CTraderDataClientFactory.create(
            name="x", config=CTraderDataConfig(account="1", environment="live"), cache=None, clock=None
        )


def test_the_provider_is_the_shared_one() -> None:
    assert CTraderInstrumentProvider is BrokerInstrumentProvider


def test_the_client_loads_without_the_framework() -> None:
    code = "import sys, pepperstone_adapter.ctrader.client.session; print('nautilus_trader' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "False"
