"""Equity between two answers of the venue: what was closed stands in the balance and nowhere else. Margin of hedges."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.orders import PositionState, Side
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.money import Money
from pepperstone_adapter.openapi import messages as oa

D = Decimal


def position(number: str, units: int) -> PositionState:
    return PositionState(
        position_id=number,
        symbol="EURUSD",
        side=Side.BUY,
        units=D(units),
        open_price=D("1.1"),
        opened_ns=1,
        used_margin=D(units) / 100,
    )


def money_with_two_losers() -> Money:
    """Balance 10,000.00; two positions of 1,000 units that stand at -500.00 and -200.00."""
    money = Money(Wanted(account_number="5001", environment=Environment.DEMO))
    money.trader(
        oa.Trader(ctidTraderAccountId=1, balance=1_000_000, depositAssetId=1, moneyDigits=2, traderLogin=5001), "USD", 1
    )
    answer = oa.GetPositionUnrealizedPnLRes(ctidTraderAccountId=1, moneyDigits=2)
    for number, cents in ((1, -50_000), (2, -20_000)):
        answer.positionUnrealizedPnL.add(positionId=number, grossUnrealizedPnL=cents, netUnrealizedPnL=cents)
    held = {p.position_id: p for p in (position("1", 1_000), position("2", 1_000))}
    money.unrealized(answer, held)
    money.refresh(held.values(), 2)
    return money


def equity(money: Money) -> Decimal | None:
    return money.now.equity if money.now is not None else None


def test_a_closed_position_counts_once() -> None:
    money = money_with_two_losers()
    assert equity(money) == D("9300.00")  # 10,000 - 500 - 200
    money.balance(D("9500.00"), None)  # the first was closed at -500
    money.refresh([position("2", 1_000)], 3)
    assert equity(money) == D("9300.00")  # 9,500 - 200


def test_of_a_position_closed_in_part_the_part_that_is_left_counts() -> None:
    money = money_with_two_losers()
    money.balance(D("9800.00"), None)  # two fifths of the first were closed at -200
    money.refresh([position("1", 600), position("2", 1_000)], 3)
    assert equity(money) == D("9300.00")  # 9,800 - 500 * 600 / 1,000 - 200


def test_a_position_opened_since_has_no_profit_yet() -> None:
    money = money_with_two_losers()
    money.refresh([position("1", 1_000), position("2", 1_000), position("3", 1_000)], 3)
    assert equity(money) == D("9300.00")
    money.refresh([], 4)
    assert equity(money) == D("10000.00")


RULES = oa.TotalMarginCalculationType


@pytest.mark.parametrize(
    ("rule", "used"),
    [
        (RULES.MAX, D("50.00")),  # EURUSD: the larger of 30 and 12; GBPUSD: 20
        (RULES.SUM, D("62.00")),  # 30 + 12 + 20
        (RULES.NET, D("38.00")),  # 30 - 12, and 20
        (None, D("62.00")),  # not said: what the venue states for each position, added up
    ],
)
def test_opposite_positions_share_margin_by_the_rule_of_the_account(rule: int | None, used: Decimal) -> None:
    money = Money(Wanted(account_number="5001", environment=Environment.DEMO))
    trader = oa.Trader(ctidTraderAccountId=1, balance=1_000_000, depositAssetId=1, moneyDigits=2, traderLogin=5001)
    if rule is not None:
        trader.totalMarginCalculationType = rule  # type: ignore[assignment]
    money.trader(trader, "USD", 1)
    held = [
        position("1", 1_000),  # 10.00
        position("2", 2_000),  # 20.00
        replace(position("3", 1_200), side=Side.SELL),  # 12.00
        replace(position("4", 2_000), symbol="GBPUSD", side=Side.SELL),  # 20.00
    ]
    money.refresh(held, 2)
    assert money.now is not None
    assert money.now.used_margin == used


def test_a_limited_risk_account_wants_guaranteed_stops() -> None:
    money = Money(Wanted(account_number="5001", environment=Environment.DEMO))
    trader = oa.Trader(ctidTraderAccountId=1, balance=1_000_000, depositAssetId=1, moneyDigits=2, isLimitedRisk=True)
    money.trader(trader, "USD", 1)
    assert money.now is not None
    assert (money.now.trading_allowed, money.now.guaranteed_stops) == (True, True)
