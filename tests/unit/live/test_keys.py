"""Three keys for real money (S22): of their eight combinations exactly one may trade live."""

import itertools
import re

import pytest
from nautilus_trader.common import Clock, OrderFactory
from nautilus_trader.model import StrategyId, TraderId

from pepperstone_adapter.broker.account import AccountSnapshot, Environment, PositionMode
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.live.keys import check_reported, check_terms, label, masked, node_name
from tests.kit.broker import D

NUMBER, OTHER = "7654321", "1111111"


def reported(environment: Environment, number: str = NUMBER) -> AccountSnapshot:
    return AccountSnapshot(
        account_number=number,
        environment=environment,
        broker="Kit",
        currency="USD",
        money_digits=2,
        mode=PositionMode.HEDGING,
        balance=D(1),
        leverage=D(30),
    )


@pytest.mark.parametrize(("set_to_live", "number_equal", "confirmed"), list(itertools.product((True, False), repeat=3)))
def test_s22_only_all_three_keys_open_a_live_account(set_to_live: bool, number_equal: bool, confirmed: bool) -> None:
    environment = Environment.LIVE if set_to_live else Environment.DEMO
    number = NUMBER if number_equal else OTHER
    confirm = number if confirmed else None
    account = reported(Environment.LIVE)
    if set_to_live and number_equal and confirmed:
        check_reported(environment, number, confirm, account)
        return
    with pytest.raises(ConfigurationError) as error:
        check_reported(environment, number, confirm, account)
    assert NUMBER not in str(error.value)
    assert OTHER not in str(error.value)


def test_a_confirmation_for_another_account_is_no_key() -> None:
    with pytest.raises(ConfigurationError, match="names another account"):
        check_reported(Environment.LIVE, NUMBER, OTHER, reported(Environment.LIVE))


def test_demo_needs_no_key_and_is_never_taken_for_live() -> None:
    check_reported(Environment.DEMO, NUMBER, None, reported(Environment.DEMO))
    with pytest.raises(ConfigurationError, match="not a live account"):
        check_reported(Environment.LIVE, NUMBER, NUMBER, reported(Environment.DEMO))


def test_s23_an_account_is_shown_masked() -> None:
    assert [masked(n) for n in ("7654321", "12345678", "12", "1")] == ["x321", "x5678", "x2", "x"]
    assert label(Environment.LIVE, "12345678") == "LIVE-x5678"


def test_each_run_of_a_node_has_a_name_and_so_order_ids_of_its_own() -> None:
    def first_id(name: str) -> str:
        factory = OrderFactory(TraderId(name), StrategyId("EmaCross-000"), Clock.new_test())
        return str(factory.generate_client_order_id())

    names = {node_name(Environment.LIVE, "12345678") for _ in range(20)}
    assert len(names) >= 19  # of a million: in one of five thousand such rounds two are equal
    assert all(re.fullmatch("LIVE-x5678-[a-z2-7]{4}", name) for name in names)
    ids = {first_id(name) for name in names}  # the same second, the same count
    assert len(ids) == len(names)
    assert all(
        len(one) == len("O-19700101-000000-k3fq-000-1") for one in ids
    )  # fits a MetaTrader comment (31) as it is


def test_the_accounts_kind_must_be_the_settings() -> None:
    account = reported(Environment.DEMO)
    check_terms(account, PositionMode.HEDGING, "USD")
    with pytest.raises(ConfigurationError, match="set mode: hedging"):
        check_terms(account, PositionMode.NETTING, "USD")
    with pytest.raises(ConfigurationError, match="set currency: USD"):
        check_terms(account, PositionMode.HEDGING, "EUR")
