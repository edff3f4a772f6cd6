"""Money of the ledger, each sum worked out by hand in the test."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from pepperstone_adapter.broker.orders import DealReason
from pepperstone_adapter.broker.symbols import (
    CommissionKind,
    CommissionRule,
    LeverageTier,
    SwapMode,
    SwapTerms,
    Weekday,
)
from pepperstone_adapter.sandbox.ledger import (
    EventKind,
    HedgeMargin,
    LedgerRules,
    StopOutOrder,
    violations,
)
from pepperstone_adapter.sandbox.ledger.money import tiered_margin
from pepperstone_adapter.sandbox.ledger.rollover import next_rollover_ns
from tests.kit.sandbox_ledger import ACCOUNT, NS, Desk, at, btc, fx

PER_LOT = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), currency="USD")


def test_the_recorded_trade_to_the_cent() -> None:
    """The figures of a recorded demo account: 1.00 BTC bought, 0.01 closed, the rest stopped out of its level."""
    d = Desk(btc(), opening_balance=D("51223998.09"), leverage=D(100))
    d.quote("BTCUSD", "85287.20", "85287.21")
    d.buy(1, "BTCUSD")
    position = d.account.positions[5_000_001]
    # 85287.21 * 0.0325 % = 27.71834 -> 27.72 ; 85287.21 / 3.33 = 25611.7748 -> 25611.77
    assert (position.commission, position.used_margin) == (D("-27.72"), D("25611.77"))
    assert d.account.balance == D("51223998.09")  # opening changes no balance
    d.quote("BTCUSD", "85219.06", "85219.07")
    d.close(5_000_001, "0.01")
    deal = d.account.deals[-1]
    # 0.01 * (85219.06 - 85287.21) = -0.6815 -> -0.68 ; 0.01 * 85219.06 * 0.0325 % = 0.27696 -> 0.28
    # opening share 27.72 * 0.01 = 0.2772 -> 0.28 ; 51223998.09 - 0.68 - 0.28 - 0.28 = 51223996.85
    assert (deal.gross_profit, deal.commission, deal.booked_commission) == (D("-0.68"), D("-0.28"), D("-0.56"))
    assert (deal.balance, deal.balance_version) == (D("51223996.85"), 1)
    assert position.commission == D("-27.44")
    d.quote("BTCUSD", "85205.58", "85205.59")
    d.close(5_000_001, "0.99")
    deal = d.account.deals[-1]
    # 0.99 * (85205.58 - 85287.21) = -80.8137 -> -80.81 ; 0.99 * 85205.58 * 0.0325 % = 27.41490 -> 27.41
    # 27.44 + 27.41 = 54.85 ; 51223996.85 - 80.81 - 54.85 = 51223861.19
    assert (deal.gross_profit, deal.booked_commission) == (D("-80.81"), D("-54.85"))
    assert d.account.balance == D("51223861.19")
    assert violations(d.ledger) == []


def test_profit_is_converted_through_the_quote_graph() -> None:
    """A EUR account trades USDJPY: JPY -> EUR goes through USDJPY and EURUSD at mid prices."""
    d = Desk(fx("USDJPY", 3), fx("EURUSD"), currency="EUR")
    d.quote("EURUSD", "1.09990", "1.10010")  # mid 1.1
    d.quote("USDJPY", "149.990", "150.010")
    d.buy(10_000, "USDJPY")
    d.quote("USDJPY", "150.990", "151.010")  # mid 151
    d.close(5_000_001, 10_000)
    deal = d.account.deals[-1]
    # 10,000 * (150.990 - 150.010) = 9,800 JPY ; / 151 / 1.1 = 59.0006 EUR -> 59.00
    assert deal.gross_profit == D("59.00")
    assert round(deal.quote_rate, 8) == round(1 / (D(151) * D("1.1")), 8)


def test_a_direct_pair_wins_over_a_cross() -> None:
    d = Desk(fx("EURGBP"), fx("EURUSD"), fx("GBPUSD"))
    assert d.ledger.conversion_path("GBP", "USD") == ("GBPUSD",)
    assert d.ledger.conversion_path("GBP", "EUR") == ("EURGBP",)


@pytest.mark.parametrize(
    ("rule", "charge"),
    [
        (PER_LOT, "-0.35"),  # 0.1 lot * 3.50
        (CommissionRule(kind=CommissionKind.PER_MILLION, rate=D(35)), "-0.39"),  # 11,000.2 USD * 35 / 1e6 = 0.385
        (CommissionRule(kind=CommissionKind.PERCENT, rate=D("0.01")), "-1.10"),  # 11,000.2 * 0.01 % = 1.10002
        (CommissionRule(kind=CommissionKind.PER_UNIT, rate=D("0.02")), "-200.00"),  # 10,000 * 0.02
        (replace(PER_LOT, minimum=D(2)), "-2.00"),
        (CommissionRule(), "0"),
    ],
)
def test_commission_kinds(rule: CommissionRule, charge: str) -> None:
    d = Desk(fx("EURUSD", commission=rule))
    d.quote("EURUSD", "1.10000", "1.10002")
    d.buy(10_000)
    assert d.account.deals[-1].commission == D(charge)


def test_the_minimum_counts_once_an_order_however_many_fills() -> None:
    from pepperstone_adapter.sandbox.ledger.state import Liquidity

    d = Desk(fx("EURUSD", commission=replace(PER_LOT, minimum=D(2))))
    d.quote("EURUSD", "1.10000", "1.10002")
    d.ledger.set_liquidity("EURUSD", Liquidity(D(5_000)))
    d.buy(100_000)  # 1 lot = 3.50: the first fills are charged 2.00, the later ones the rest
    charges = [deal.commission for deal in d.account.deals]
    assert sum(charges) == D("-3.50")
    assert charges[0] == D("-2.00")


def test_commission_booked_per_deal_where_the_venue_does_so() -> None:
    d = Desk(fx("EURUSD", commission=PER_LOT), commission_at_close=False)
    d.quote("EURUSD", "1.10000", "1.10002")
    d.buy(100_000)
    assert d.account.balance == D("9996.50")
    d.close(5_000_001, 100_000)  # -2.00 on the spread, -3.50
    assert d.account.balance == D("9991.00")
    assert violations(d.ledger) == []


def test_conversion_fee_only_on_a_foreign_quote_currency() -> None:
    d = Desk(fx("EURUSD", conversion_fee=D("0.007")), currency="EUR")
    d.quote("EURUSD", "1.10000", "1.10000")
    d.buy(10_000)
    d.quote("EURUSD", "1.12000", "1.12000")
    d.close(5_000_001, 10_000)
    # 10,000 * 0.02 = 200 USD / 1.12 = 178.5714 -> 178.57 ; 0.7 % = 1.24999 -> 1.25
    assert (d.account.deals[-1].gross_profit, d.account.deals[-1].conversion_fee) == (D("178.57"), D("-1.25"))
    assert d.account.balance == D("10177.32")
    d.buy(10_000)
    d.quote("EURUSD", "1.10000", "1.10000")
    d.close(5_000_002, 10_000)
    # a loss pays it too: -200 USD / 1.10 = -181.8182 -> -181.82 ; 0.7 % = 1.27274 -> 1.27
    assert (d.account.deals[-1].gross_profit, d.account.deals[-1].conversion_fee) == (D("-181.82"), D("-1.27"))


# -- swap -------------------------------------------------------------------------------------------------------------


def test_server_midnight_is_17_in_new_york_through_both_changes() -> None:
    winter = 1_705_305_600 * NS  # 2024-01-15 08:00 UTC
    summer = 1_720_425_600 * NS  # 2024-07-08 08:00 UTC
    assert next_rollover_ns(winter) - winter == 14 * 3_600 * NS  # 22:00 UTC
    assert next_rollover_ns(summer) - summer == 13 * 3_600 * NS  # 21:00 UTC
    assert next_rollover_ns(next_rollover_ns(winter)) - next_rollover_ns(winter) == 86_400 * NS


def test_swap_in_points_with_the_triple_night_and_no_weekend() -> None:
    swap = SwapTerms(mode=SwapMode.POINTS, long=D("-5"), short=D("2"), triple_day=Weekday.WEDNESDAY)
    d = Desk(fx("EURUSD", swap=swap))
    d.quote("EURUSD", "1.10000", "1.10002")
    d.buy(100_000)
    position = d.account.positions[5_000_001]
    night = D("-5.00")  # 100,000 * -5 * 0.00001
    for days, nights in ((1, 1), (2, 2), (3, 5), (4, 6), (5, 7), (6, 7), (7, 7), (8, 8)):
        # Monday, Tuesday, Wednesday (three), Thursday, Friday, no Saturday, no Sunday, Monday
        d.ledger.advance(at(days * 86_400 - 6 * 3_600))
        assert position.swap == night * nights, days
    d.close(5_000_001, 40_000)
    # 40 % of -40.00 = -16.00 is booked; -24.00 stays with the position
    assert (d.account.deals[-1].swap, position.swap) == (D("-16.00"), D("-24.00"))


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        (SwapMode.PIPS, "-0.5", "-5.00"),  # 100,000 * -0.5 * 0.0001
        (SwapMode.PERCENT_ANNUAL, "-3.6", "-11.00"),  # 100,000 * 1.1 * -3.6 % / 360
        (SwapMode.MONEY_PER_LOT, "-6.66", "-6.66"),
        (SwapMode.DISABLED, "-5", "0"),
    ],
)
def test_swap_modes(mode: SwapMode, value: str, expected: str) -> None:
    d = Desk(fx("EURUSD", swap=SwapTerms(mode=mode, long=D(value))))
    d.quote("EURUSD", "1.10000", "1.10002")
    d.buy(100_000)
    d.ledger.advance(at(15 * 3_600))
    assert d.account.positions[5_000_001].swap == D(expected)


def test_swap_free_account() -> None:
    d = Desk(fx("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D(-5))), swap_free=True)
    d.quote("EURUSD", "1.10000", "1.10002")
    d.buy(100_000)
    d.ledger.advance(at(15 * 3_600))
    assert d.account.positions[5_000_001].swap == 0


# -- margin -----------------------------------------------------------------------------------------------------------


def test_leverage_tiers_take_each_slice_at_its_own_rate() -> None:
    tiers = (
        LeverageTier(up_to_usd=D(1_000), leverage=D(100)),
        LeverageTier(up_to_usd=D(3_000), leverage=D(50)),
        LeverageTier(up_to_usd=None, leverage=D(10)),
    )
    # 1,000/100 + 2,000/50 + 500/10 = 10 + 40 + 50 = 100
    assert tiered_margin(D(3_500), tiers, D(500)) == 100
    # the account allows 1:20 only: 1,000/20 + 2,000/20 + 500/10 = 50 + 100 + 50
    assert tiered_margin(D(3_500), tiers, D(20)) == 200


def test_closing_an_early_ticket_moves_a_later_one_down_the_tiers() -> None:
    tiers = (LeverageTier(up_to_usd=D(11_000), leverage=D(30)), LeverageTier(up_to_usd=None, leverage=D(10)))
    d = Desk(fx("EURUSD", tiers=tiers))
    d.quote("EURUSD", "1.10000", "1.10000")
    d.buy(10_000)  # 11,000 USD at 1:30 = 366.67
    d.buy(10_000)  # the next 11,000 at 1:10 = 1,100.00
    assert [p.used_margin for p in d.account.positions.values()] == [D("366.67"), D("1100.00")]
    d.close(5_000_001, 10_000)
    assert d.account.positions[5_000_002].used_margin == D("366.67")
    assert d.last(EventKind.MARGIN_CHANGED).position.position_id == 5_000_002


@pytest.mark.parametrize(
    ("rule", "used"), [(HedgeMargin.MAX, "733.33"), (HedgeMargin.SUM, "1100.00"), (HedgeMargin.NET, "366.66")]
)
def test_hedged_margin(rule: HedgeMargin, used: str) -> None:
    d = Desk(hedge_margin=rule)
    d.quote("EURUSD", "1.10000", "1.10000")
    d.buy(20_000)  # 22,000 / 30 = 733.33
    d.sell(10_000)  # 11,000 / 30 = 366.67
    assert d.ledger.used_margin(ACCOUNT) == D(used)


def test_a_hedge_needs_no_free_margin_under_the_larger_side_rule() -> None:
    d = Desk(opening_balance=D(400))
    d.quote("EURUSD", "1.10000", "1.10000")
    d.buy(10_000)  # uses 366.67 of 400
    d.sell(10_000)
    assert len(d.account.positions) == 2


def test_margin_calls_once_in_their_silence_and_stop_out_one_at_a_time() -> None:
    d = Desk(
        opening_balance=D(1_000),
        margin_call_levels=(D(100),),
        rules=LedgerRules(margin_call_silence_ns=600 * NS),
    )
    d.quote("EURUSD", "1.10000", "1.10000")
    d.buy(10_000)  # 366.67
    d.buy(15_000)  # 550.00 ; used 916.67
    d.quote("EURUSD", "1.09600", "1.09600")  # -40 - 60: equity 900.00, level 98.2 %
    d.quote("EURUSD", "1.09590", "1.09590")
    assert d.told().count("margin_call") == 1
    d.quote("EURUSD", "1.07800", "1.07800")  # -220 - 330: equity 450.00, level 49.1 % -> the 15,000 ticket goes
    deal = d.account.deals[-1]
    assert (deal.reason, deal.units, deal.gross_profit) == (DealReason.STOP_OUT, 15_000, D("-330.00"))
    assert len(d.account.positions) == 1  # 450.00 / 366.67 = 122.7 %: enough
    closing = d.last(EventKind.FILLED)
    assert (closing.by_server, closing.order.stop_out) == (True, True)
    assert violations(d.ledger) == []


def test_stop_out_of_the_most_losing_first() -> None:
    d = Desk(fx("EURUSD"), fx("GBPUSD"), opening_balance=D(1_000), stop_out_order=StopOutOrder.MOST_LOSING_FIRST)
    d.quote("EURUSD", "1.10000", "1.10000")
    d.quote("GBPUSD", "1.20000", "1.20000")
    d.buy(15_000)  # 550.00
    d.buy(10_000, "GBPUSD")  # 400.00
    d.quote("GBPUSD", "1.14000", "1.14000")  # -600: 400 / 950 = 42 %
    assert d.account.deals[-1].symbol == "GBPUSD"


def test_partial_stop_out_closes_only_what_is_needed() -> None:
    d = Desk(opening_balance=D(1_000), stop_out_partial=True)
    d.quote("EURUSD", "1.10000", "1.10000")
    d.buy(25_000)  # 916.67
    d.quote("EURUSD", "1.07800", "1.07800")  # -550: equity 450.00; 450 / 50 % allows 900.00 of margin
    deal = d.account.deals[-1]
    # (916.67 - 900) / 916.67 = 1.82 % of 25,000 = 455 -> one step of 1,000, and one more to be above the line
    assert deal.units == 2_000
    assert d.account.positions[5_000_001].units == 23_000


def test_a_debt_is_lifted_to_zero() -> None:
    d = Desk(opening_balance=D(400))
    d.quote("EURUSD", "1.10000", "1.10000")
    d.buy(10_000)
    d.quote("EURUSD", "1.04000", "1.04000")  # -600 on 400
    assert d.account.balance == 0
    assert d.last(EventKind.CASH).cash.amount == D("200.00")
    assert violations(d.ledger) == []


def test_equity_is_balance_and_open_profit_with_swap_and_charges() -> None:
    d = Desk(fx("EURUSD", commission=PER_LOT))
    d.quote("EURUSD", "1.10000", "1.10002")
    d.buy(100_000)
    d.quote("EURUSD", "1.10102", "1.10104")
    # 100,000 * (1.10102 - 1.10002) = 100.00 ; charge 3.50
    assert d.ledger.equity(ACCOUNT) == D("10096.50")
    profit = d.ledger.open_profit(ACCOUNT, 5_000_001)
    assert (profit.gross, profit.net) == (D("100.00"), D("96.50"))
    assert d.ledger.expected_margin(ACCOUNT, "EURUSD", D(30_000))[1] == D("1101.02")  # 30,000 * 1.10102 / 30


def test_deposit_and_withdrawal() -> None:
    d = Desk()
    d.ledger.cash(ACCOUNT, D("500.00"), at(1), note="card")
    d.ledger.cash(ACCOUNT, D("-200.00"), at(2))
    assert d.account.balance == D("10300.00")
    assert [c.balance_version for c in d.account.cash] == [1, 2]
    assert violations(d.ledger) == []


def test_yen_accounts_have_no_cents() -> None:
    d = Desk(fx("USDJPY", 3), currency="JPY", money_digits=0, opening_balance=D(1_000_000))
    d.quote("USDJPY", "150.000", "150.003")
    d.buy(1_000, "USDJPY")
    d.quote("USDJPY", "150.333", "150.336")
    d.close(5_000_001, 1_000)  # 1,000 * 0.330 = 330
    assert d.account.balance == D(1_000_330)
