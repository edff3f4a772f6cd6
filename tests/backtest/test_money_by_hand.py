"""Money worked out on paper, to the cent. Each test's comment is the sum; the run must agree."""

import csv
import io
from dataclasses import replace
from decimal import Decimal

import pytest
from nautilus_trader.model import OrderSide, PositionId

from pepperstone_adapter.backtest.tables import csv_tables
from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SwapMode, SwapTerms, Weekday
from pepperstone_adapter.simulation.record import LedgerKind
from tests.kit.runs import (
    EURUSD,
    MONDAY,
    NS,
    amounts,
    bars,
    both,
    buy,
    close_all,
    quotes,
    reduce,
    run_steps,
    sell,
    spec,
    utc,
)

D = Decimal
PER_LOT = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), currency="USD")


def test_account_currency_is_the_quote_currency() -> None:
    # Long 100,000 EURUSD at ASK 1.10010, closed at BID 1.10250: 240 points × 100,000 × 0.00001 = 240.00 USD.
    record = run_steps([1.1, 1.1, 1.1025, 1.1025], {1: buy(100_000), 2: close_all()}, spread=10)
    assert [f.price for f in record.fills] == [D("1.10010"), D("1.10250")]
    assert record.end_balance == D("100240.00")


def test_account_currency_is_the_base_currency() -> None:
    # Long 100,000 USDJPY at ASK 150.010, closed at BID 151.000: 0.990 × 100,000 = 99,000 JPY.
    # A sale converts at the BID of JPY: 1 / ASK of USDJPY = 1 / 151.010: 99,000 / 151.010 = 655.585... = 655.59 USD.
    usdjpy = spec("USDJPY")
    record = run_steps([150, 150, 151, 151], {1: buy(100_000, usdjpy), 2: close_all(usdjpy)}, symbol=usdjpy, spread=10)
    assert amounts(record, "realized_pnl") == [D("655.59")]
    assert record.end_balance == D("100655.59")
    assert record.fills[1].rate.quantize(D("1e-12")) == (1 / D("151.010")).quantize(D("1e-12"))


def test_a_commission_in_the_base_currency_leaves_the_position_whole() -> None:
    # 24,000 USDJPY is 0.24 lots; 3.50 USD a lot and side: 0.84 USD. The position must close to nothing, by the ticket.
    usdjpy = spec("USDJPY")
    record = run_steps(
        [150, 150, 151, 151],
        {1: buy(24_000, usdjpy), 2: close_all(usdjpy)},
        symbol=usdjpy,
        commission=PER_LOT,
        spread=10,
    )
    assert [fill.units for fill in record.fills] == [D(24_000), D(24_000)]
    assert amounts(record, "commission") == [D("-0.84"), D("-0.84")]
    # Profit: (151.000 - 150.010) x 24,000 = 23,760 JPY, / 151.010 = 157.34 USD.
    assert record.end_balance == D("100000") + D("157.34") - D("1.68")
    assert [position.closed_ns > 0 for position in record.positions] == [True]
    assert record.positions[0].commission == D("1.68")
    assert {row.trade_id for row in record.ledger if row.kind == "commission"} == {f.trade_id for f in record.fills}


def test_account_currency_is_neither() -> None:
    # Short 100,000 EURGBP at BID 0.85000, bought back at ASK 0.84910: 90 points × 100,000 = 90.00 GBP.
    # A purchase converts at the ASK of GBPUSD, 1.29020: 90 × 1.29020 = 116.118 = 116.12 USD.
    eurgbp, gbpusd = spec("EURGBP"), spec("GBPUSD")
    record = run_steps(
        [0.85, 0.85, 0.849, 0.849], {1: sell(100_000, eurgbp), 2: close_all(eurgbp)}, symbol=eurgbp,
        others=[(gbpusd, [1.27, 1.28, 1.29, 1.30])], spread={"EURGBP": 10, "GBPUSD": 20},
    )  # fmt: skip
    assert amounts(record, "realized_pnl") == [D("116.12")]
    assert record.end_balance == D("100116.12")


def test_a_yen_account_has_whole_yen_everywhere() -> None:
    # Long 100,000 USDJPY at ASK 150.010, closed at BID 151.000: 99,000 JPY. Commission 3.50 USD a side at the middle:
    # 3.50 × 150.005 = 525.02 = 525, and 3.50 × 151.005 = 528.52 = 529. Swap -10.5 points: -1,050.
    usdjpy = spec("USDJPY", swap=SwapTerms(mode=SwapMode.POINTS, long=D("-10.5")))
    market = bars(
        usdjpy, [150, 150, 151, 151], times=[utc(2024, 1, 8, hour) for hour in (20, 21, 23)] + [utc(2024, 1, 9)]
    )
    rule = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), currency="USD")
    record = run_steps(
        market, {0: buy(100_000, usdjpy), 2: close_all(usdjpy)}, symbol=usdjpy, spread=10, commission=rule,
        currency="JPY", start_balance=D(10_000_000),
    )  # fmt: skip
    assert [str(row.amount) for row in record.ledger] == ["10000000", "-525", "-1050", "99000", "-529"]
    tables = {name: list(csv.DictReader(io.StringIO(text))) for name, text in csv_tables(record).items()}
    assert [row["balance_after"] for row in tables["ledger.csv"]][-1] == "10096896"
    assert [row["commission"] for row in tables["fills.csv"]] == ["525", "529"]
    (position,) = tables["positions.csv"]
    money = {name: position[name] for name in ("gross", "commission", "swap", "net", "mae", "mfe")}
    assert money | {"mae": "", "mfe": ""} == {
        "gross": "99000", "commission": "1054", "swap": "-1050", "net": "96896", "mae": "", "mfe": "",
    }  # fmt: skip
    assert not [text for text in money.values() if "." in text]
    points = [(str(p.balance), str(p.equity), str(p.used_margin)) for p in record.equity]
    assert not [text for point in points for text in point if "." in text]
    assert (str(record.end_balance), str(record.end_equity)) == ("10096896", "10096896")


def test_gold() -> None:
    # 100 oz of XAUUSD, one lot: bought at ASK 2000.20, sold at BID 2005.00: 4.80 × 100 = 480.00 USD.
    gold = spec("XAUUSD")
    record = run_steps([2000, 2000, 2005, 2005], {1: buy(100, gold), 2: close_all(gold)}, symbol=gold, spread=20)
    assert record.end_balance == D("100480.00")


def test_euro_index_on_a_dollar_account() -> None:
    # 10 contracts of GER40: bought at 17001.0, sold at 17011.0: 10.0 × 10 = 100.00 EUR.
    # A sale converts at the BID of EURUSD, 1.11000: 111.00 USD.
    dax = spec("GER40")
    record = run_steps(
        [17000, 17000, 17011, 17011], {1: buy(10, dax), 2: close_all(dax)}, symbol=dax,
        others=[(EURUSD, [1.10, 1.10, 1.11, 1.11])], spread={"GER40": 10**dax.digits, "EURUSD": 10},
    )  # fmt: skip
    assert amounts(record, "realized_pnl") == [D("111.00")]


def test_commission_per_lot_on_both_sides() -> None:
    # 250,000 units = 2.5 lots: 2.5 × 3.50 = 8.75 USD to open and the same to close; price unchanged, no spread.
    record = run_steps([1.1] * 4, {1: buy(250_000), 2: close_all()}, commission=PER_LOT)
    assert amounts(record, "commission") == [D("-8.75"), D("-8.75")]
    assert record.end_balance == D("99982.50")


def test_commission_in_another_currency() -> None:
    # 3.50 AUD per lot on a USD account, AUDUSD at BID 0.65000, ASK 0.65020, middle 0.65010:
    # 3.50 × 0.65010 = 2.27535 = 2.28 USD a side.
    rule = replace(PER_LOT, currency="AUD")
    record = run_steps(
        [1.1] * 4, {1: buy(100_000), 2: close_all()}, commission=rule,
        others=[(spec("AUDUSD"), [0.65] * 4)], spread={"AUDUSD": 20},
    )  # fmt: skip
    assert amounts(record, "commission") == [D("-2.28"), D("-2.28")]
    assert record.ledger[1].rate == D("0.65010")


def test_commission_per_million() -> None:
    # 30 USD per million: 100,000 EUR at 1.10000 = 110,000 USD: 110,000 / 1,000,000 × 30 = 3.30 USD.
    rule = CommissionRule(kind=CommissionKind.PER_MILLION, rate=D(30), currency="USD")
    record = run_steps([1.1] * 3, {1: buy(100_000)}, commission=rule)
    assert amounts(record, "commission") == [D("-3.30")]


def test_commission_percent_with_a_minimum() -> None:
    # 0.1 % of 110 EUR = 0.11 EUR, the least is 5 EUR: 5 × 1.10 (middle of 1.10, no spread) = 5.50 USD.
    rule = CommissionRule(kind=CommissionKind.PERCENT, rate=D("0.1"), currency="EUR", minimum=D(5))
    dax = spec("GER40", volume_min=D("0.1"), volume_step=D("0.1"))
    record = run_steps(
        [110.0] * 3, {1: buy(1, dax)}, symbol=dax, others=[(EURUSD, [1.1] * 3)], commission=rule
    )  # fmt: skip
    assert amounts(record, "commission") == [D("-5.50")]


def week_of_hours(start: tuple[int, ...], hours: int) -> list[int]:
    first = utc(*start)
    return [first + i * 3600 * NS for i in range(hours)]


@pytest.mark.parametrize(
    ("start", "rollovers"),
    [
        # US clocks go forward on Sunday 2024-03-10: 17:00 New York is 22:00 UTC before and 21:00 UTC after.
        (
            (2024, 3, 6, 17, 0),
            ["03-06 22:00 ×3", "03-07 22:00", "03-08 22:00", "03-11 21:00", "03-12 21:00", "03-13 21:00 ×3"],
        ),
        # US clocks go back on Sunday 2024-11-03: 21:00 UTC before, 22:00 UTC after.
        (
            (2024, 10, 30, 17, 0),
            ["10-30 21:00 ×3", "10-31 21:00", "11-01 21:00", "11-04 22:00", "11-05 22:00", "11-06 22:00 ×3"],
        ),
    ],
)
def test_a_week_of_swaps_over_a_clock_change(start: tuple[int, ...], rollovers: list[str]) -> None:
    # Long 100,000 at -7 points a night: 100,000 × -7 × 0.00001 = -7.00 USD, on Wednesday three times. No weekend data.
    # Six rollovers, ten nights: -70.00 USD.
    swapped = spec("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D(-7), short=D(3)))
    times = [t for t in week_of_hours(start, 24 * 7 + 12) if not _weekend(t)]
    record = run_steps(
        bars(swapped, [1.1] * len(times), times=times, period="1-HOUR"), {1: buy(100_000, swapped)}, symbol=swapped
    )
    rows = [r for r in record.ledger if r.kind is LedgerKind.SWAP]
    year = start[0]
    wanted = []
    for text in rollovers:
        day, clock, *triple = text.split()
        wanted.append((utc(year, *map(int, day.split("-")), *map(int, clock.split(":"))), D(-21) if triple else D(-7)))
    assert [(r.ts_ns, r.amount) for r in rows] == wanted
    assert record.end_balance == D("99930.00")


def _weekend(ts_ns: int) -> bool:
    # Hours after Friday 22:00 UTC and before Sunday 22:00 UTC carry no data.
    hour = (ts_ns // (3600 * NS) + 72) % 168  # Monday 00:00 is 0
    return 4 * 24 + 21 < hour < 6 * 24 + 22


def test_swap_modes() -> None:
    # One night (Monday) for 100,000 EURUSD at 1.10000, no spread, short:
    # pips: 100,000 × 0.5 × 0.0001 = 5.00; percent: 100,000 × 1.1 × -3.6 / 100 / 360 = -11.00;
    # money: one lot × 4.20 = 4.20; disabled: nothing.
    times = [utc(2024, 1, 8, 20, 0), utc(2024, 1, 8, 21, 0), utc(2024, 1, 9, 1, 0)]
    for mode, rate, wanted in (
        (SwapMode.PIPS, "0.5", ["5.00"]),
        (SwapMode.PERCENT_ANNUAL, "-3.6", ["-11.00"]),
        (SwapMode.MONEY_PER_LOT, "4.20", ["4.20"]),
        (SwapMode.DISABLED, "9", []),
    ):
        swapped = spec("EURUSD", swap=SwapTerms(mode=mode, short=D(rate)))
        record = run_steps(
            bars(swapped, [1.1] * 3, times=times, period="1-HOUR"), {0: sell(100_000, swapped)}, symbol=swapped
        )
        assert amounts(record, "swap") == [D(w) for w in wanted], mode


def test_swap_of_a_foreign_quote_currency() -> None:
    # 100,000 USDJPY, -10 points: 100,000 × -10 × 0.001 = -1,000 JPY at the middle of 149.990 and 150.010:
    # -1,000 / 150.000 = -6.666... = -6.67 USD.
    usdjpy = spec("USDJPY", swap=SwapTerms(mode=SwapMode.POINTS, long=D(-10)))
    times = [utc(2024, 1, 8, 20, 0), utc(2024, 1, 8, 21, 0), utc(2024, 1, 9, 1, 0)]
    record = run_steps(
        bars(usdjpy, [149.99] * 3, times=times, period="1-HOUR"), {0: buy(100_000, usdjpy)}, symbol=usdjpy, spread=20
    )
    assert amounts(record, "swap") == [D("-6.67")]


def test_crypto_pays_every_night_of_the_week() -> None:
    swapped = spec("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D(-1), weekend=True, triple_day=None))
    times = week_of_hours((2024, 1, 12, 12, 0), 24 * 4)  # Friday noon to Tuesday noon: four nights
    record = run_steps(
        bars(swapped, [1.1] * len(times), times=times, period="1-HOUR"), {0: buy(100_000, swapped)}, symbol=swapped
    )
    assert amounts(record, "swap") == [D("-1.00")] * 4


def test_the_triple_day_of_a_symbol() -> None:
    swapped = spec("EURUSD", swap=SwapTerms(mode=SwapMode.POINTS, long=D(-1), triple_day=Weekday.FRIDAY))
    times = week_of_hours((2024, 1, 10, 12, 0), 24 * 3)  # Wednesday to Saturday noon
    record = run_steps(
        bars(swapped, [1.1] * len(times), times=times, period="1-HOUR"), {0: buy(100_000, swapped)}, symbol=swapped
    )
    assert amounts(record, "swap") == [D("-1.00"), D("-1.00"), D("-3.00")]


def test_a_stop_gaps_through() -> None:
    # Long 100,000 at 1.10000, stop at 1.09000. The next bar opens at 1.08000: sold there, -2,000.00 USD.
    def stop(s):  # type: ignore[no-untyped-def]
        s.submit_order(
            s.order_factory.stop_market(
                s.id_of(EURUSD), OrderSide.SELL, s.qty(EURUSD, 100_000), s.px(EURUSD, 1.09), reduce_only=True
            ),
            s.cache.positions_open()[0].id,
        )

    market = [1.1, 1.1, 1.1, (1.08, 1.082, 1.079, 1.081), 1.081]
    record = run_steps(market, {1: buy(100_000), 2: stop})
    assert [(f.price, f.reason) for f in record.fills] == [(D("1.10000"), "client"), (D("1.08000"), "stop_loss")]
    assert record.end_balance == D("98000.00")


def test_partial_closes() -> None:
    # 100,000 at 1.10000: 30,000 closed at 1.10100 = 30.00; 50,000 at 1.10200 = 100.00; 20,000 at 1.09900 = -20.00.
    record = run_steps(
        [1.1, 1.1, 1.101, 1.102, 1.099, 1.099],
        {1: buy(100_000), 2: reduce(30_000), 3: reduce(50_000), 4: close_all()},
        commission=PER_LOT,
    )
    assert amounts(record, "realized_pnl") == [D("30.00"), D("100.00"), D("-20.00")]
    # 3.50 to open; 1.05 + 1.75 + 0.70 to close.
    assert amounts(record, "commission") == [D("-3.50"), D("-1.05"), D("-1.75"), D("-0.70")]
    assert record.end_balance == D("100103.00")
    (row,) = record.positions
    assert (row.gross, row.commission, row.net) == (D("110.00"), D("7.00"), D("103.00"))
    # close price: (30,000 × 1.101 + 50,000 × 1.102 + 20,000 × 1.099) / 100,000 = 1.1011
    assert row.close_price == D("1.1011")


def test_a_netting_reversal() -> None:
    # Long 100,000 at 1.10000, sell 250,000 at 1.10100: closes with 100.00 and leaves 150,000 short,
    # closed at 1.10000: 150.00.
    record = run_steps(
        [1.1, 1.1, 1.101, 1.1, 1.1], {1: buy(100_000), 2: sell(250_000), 3: close_all()}, mode=PositionMode.NETTING
    )
    assert amounts(record, "realized_pnl") == [D("100.00"), D("150.00")]
    assert record.end_balance == D("100250.00")
    assert [(p.side, p.units, p.gross) for p in record.positions] == [
        ("LONG", D(100_000), D("100.00")),
        ("SHORT", D(150_000), D("150.00")),
    ]


def test_hedged_tickets_close_by_their_own_id() -> None:
    # Two longs at 1.10000 and 1.10100; the second one is closed at 1.10200: 100.00, not 200.00.
    def close_second(s):  # type: ignore[no-untyped-def]
        second = sorted(s.cache.positions_open(), key=lambda p: p.ts_opened)[1]
        s.market(EURUSD, OrderSide.SELL, 100_000, PositionId(str(second.id)))

    record = run_steps([1.1, 1.1, 1.101, 1.102, 1.102], {1: buy(100_000), 2: buy(100_000), 3: close_second})
    assert amounts(record, "realized_pnl") == [D("100.00")]
    assert record.end_equity == D("100300.00")  # the first is 200.00 ahead


def test_a_conversion_fee() -> None:
    # 90.00 GBP of profit at 1.29020 = 116.12 USD; a fee of 0.5 % of it: 0.5806 = 0.58 USD.
    eurgbp, gbpusd = spec("EURGBP"), spec("GBPUSD")
    record = run_steps(
        [0.85, 0.85, 0.849, 0.849, 0.849], {1: sell(100_000, eurgbp), 2: close_all(eurgbp)}, symbol=eurgbp,
        others=[(gbpusd, [1.27, 1.28, 1.29, 1.30, 1.30])], spread={"EURGBP": 10, "GBPUSD": 20},
        term_changes={"conversion_fee_percent": D("0.5")},
    )  # fmt: skip
    assert amounts(record, "conversion") == [D("-0.58")]
    assert record.end_balance == D("100115.54")


def test_quotes_fill_at_their_own_sides() -> None:
    # Bought at 1.10020, sold at 1.10050: 30.00 USD.
    rows = [(1.1, 1.1001), (1.1001, 1.1002), (1.1003, 1.1004), (1.1005, 1.1007), (1.1005, 1.1007)]
    record = run_steps(quotes(EURUSD, rows), {1: buy(100_000), 3: close_all()})
    assert record.end_balance == D("100030.00")
    assert record.ticks == 5


def test_the_ledger_adds_up() -> None:
    record = run_steps(
        [1.1, 1.101, 1.099, 1.102, 1.1, 1.1], {1: buy(100_000), 2: sell(50_000), 3: both(buy(30_000)), 4: close_all()},
        commission=PER_LOT, spread=7,
    )  # fmt: skip
    assert sum(row.amount for row in record.ledger) == record.end_balance == record.ledger[-1].balance_after
    assert [row.ts_ns for row in record.ledger] == sorted(row.ts_ns for row in record.ledger)
    assert record.ledger[0].kind is LedgerKind.DEPOSIT
    assert record.ledger[0].ts_ns < MONDAY + 61 * NS


def test_average_prices_have_two_digits_more_than_prices() -> None:
    # 10,000 at 1.10000 and 20,000 at 1.10001: 33,000.20 / 30,000 = 1.1000066..; one half of it would be 1.100005 exactly.
    record = run_steps([1.1, 1.1, 1.10001, 1.1], {1: buy(10_000), 2: buy(20_000)}, mode=PositionMode.NETTING)
    assert [str(p.open_price) for p in record.positions] == ["1.1000067"]
    record = run_steps([1.1, 1.1, 1.10001, 1.1], {1: buy(10_000), 2: buy(10_000)}, mode=PositionMode.NETTING)
    assert [str(p.open_price) for p in record.positions] == ["1.100005"]
    record = run_steps([1.1, 1.1, 1.1, 1.1], {1: buy(10_000), 2: buy(20_000)}, mode=PositionMode.NETTING)
    assert [str(p.open_price) for p in record.positions] == ["1.10000"]
