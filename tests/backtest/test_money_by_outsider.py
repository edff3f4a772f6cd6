"""An independent ledger recomputes the balances of random strategies from their fills and the swap table."""

from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from nautilus_trader.model import OrderSide

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SwapMode, SwapTerms
from pepperstone_adapter.simulation.plan import BarArrays, Slippage
from pepperstone_adapter.simulation.record import RunRecord
from tests.kit.ledger import Fill, Ledger, recompute, rollovers
from tests.kit.runs import EURUSD, NS, Steps, run_steps, spec, utc

D = Decimal
HOUR_NS = 3600 * NS
NOTHING = D(0)
START = utc(2024, 3, 6, 0, 0)
HOURS = 24 * 10  # over the US clock change of 10 March 2024
SWAPS = {"EURUSD": (D("-7.3"), D("2.1")), "USDJPY": (D("9.9"), D("-21.7")), "EURGBP": (D("-4.4"), D("-0.3"))}
SYMBOLS = {
    name: spec(name, swap=SwapTerms(mode=SwapMode.POINTS, long=long, short=short))
    for name, (long, short) in SWAPS.items()
}
GBPUSD, USDHKD = spec("GBPUSD"), spec("USDHKD")
LEVELS = {"EURUSD": 110_000, "USDJPY": 150_000, "EURGBP": 85_000, "GBPUSD": 129_000, "USDHKD": 780_000}
SPREADS = {"EURUSD": 7, "USDJPY": 9, "EURGBP": 11, "GBPUSD": 12, "USDHKD": 30}
MINOR = {"JPY": D(1)}


def walk(name: str, seed: int) -> BarArrays:
    rng = np.random.default_rng([seed, LEVELS[name]])
    closes = LEVELS[name] + np.cumsum(rng.integers(-60, 61, HOURS))
    opens = np.concatenate((closes[:1], closes[:-1]))
    times = START + np.arange(1, HOURS + 1) * HOUR_NS
    hour = (times // HOUR_NS + 72) % 168
    open_ = ~((hour > 4 * 24 + 21) & (hour < 6 * 24 + 22))
    return BarArrays(
        symbol=name, period="1-HOUR", ts_ns=times[open_], open=opens[open_], close=closes[open_],
        high=np.maximum(opens, closes)[open_] + 10, low=np.minimum(opens, closes)[open_] - 10,
    )  # fmt: skip


class Choices(Steps):
    """Does at each bar what it was told: open, close, cut, protect, reverse."""

    def __init__(self, choices: list[tuple[int, str, str, int]]) -> None:
        super().__init__({}, "EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL")
        self.choices: dict[int, list[tuple[str, str, int]]] = {}
        for hour, what, name, thousands in choices:
            self.choices.setdefault(hour, []).append((what, name, thousands))

    def on_bar(self, bar: Any) -> None:
        self.count += 1
        for what, name, thousands in self.choices.get(self.count, ()):
            symbol = SYMBOLS[name]
            held = sorted(self.cache.positions_open(instrument_id=self.id_of(symbol)), key=lambda p: str(p.id))
            if what in ("buy", "sell"):
                self.market(symbol, OrderSide.BUY if what == "buy" else OrderSide.SELL, thousands * 1000)
            elif held and what == "close":
                self.close_position(held[0])
            elif held and what == "cut":
                units = min(thousands * 1000, int(held[-1].quantity.as_decimal()))
                side = OrderSide.SELL if held[-1].is_long else OrderSide.BUY
                self.market(symbol, side, units, held[-1].id, reduce_only=True)
            elif held and what == "stop":
                self.stop(symbol, held[0])

    def stop(self, symbol: Any, position: Any) -> None:
        away = 0.002 * float(position.avg_px_open)
        quote = float(position.avg_px_open) - away if position.is_long else float(position.avg_px_open) + away
        side = OrderSide.SELL if position.is_long else OrderSide.BUY
        self.submit_order(
            self.order_factory.stop_market(
                self.id_of(symbol), side, position.quantity, self.px(symbol, quote), reduce_only=True
            ),
            position.id,
        )


CHOICES = st.lists(
    st.tuples(
        st.integers(0, 185),
        st.sampled_from(["buy", "sell", "buy", "sell", "close", "cut", "stop"]),
        st.sampled_from(sorted(SYMBOLS)),
        st.integers(1, 300),
    ),
    min_size=1,
    max_size=40,
)


def check(
    record: RunRecord, markets: dict[str, BarArrays], fee_percent: Decimal = NOTHING, currency: str = "USD"
) -> None:
    def middle(name: str, ts_ns: int) -> Decimal:
        data = markets[name]
        i = int(np.searchsorted(data.ts_ns, ts_ns, side="right")) - 1
        digits = {**SYMBOLS, "GBPUSD": GBPUSD, "USDHKD": USDHKD}[name].digits
        return (D(int(data.close[i])) + D(SPREADS[name]) / 2).scaleb(-digits)

    def rate(quote: str, ts_ns: int) -> Decimal:
        """From the quote currency of a symbol to the account's, over the US dollar."""
        if quote == currency:
            return D(1)
        dollars = {"USD": D(1), "JPY": 1 / middle("USDJPY", ts_ns), "GBP": middle("GBPUSD", ts_ns)}[quote]
        return dollars if currency == "USD" else dollars * middle(f"USD{currency}", ts_ns)

    quotes = {"EURUSD": "USD", "USDJPY": "JPY", "EURGBP": "GBP"}
    cent = MINOR.get(currency, D("0.01"))
    nights = rollovers(START, int(markets["EURUSD"].ts_ns[-1]))
    rates = {ts: {name: rate(quote, ts) for name, quote in quotes.items()} for ts, _ in nights}
    ledger = Ledger(
        start=record.start_balance,
        minor={name: MINOR.get(quote, D("0.01")) for name, quote in quotes.items()},
        swap={n: (*SWAPS[n], D(1).scaleb(-SYMBOLS[n].digits), 2) for n in SYMBOLS},
        foreign=frozenset(name for name, quote in quotes.items() if quote != currency),
        conversion_percent=fee_percent,
        cent=cent,
    )
    fills = [
        Fill(
            f.ts_ns,
            f.position_id,
            f.instrument_id.partition(".")[0],
            f.side,
            f.units,
            f.price,
            f.rate,
            f.commission,
            f.order_type != "MARKET" or f.reason == "stop_out",
        )
        for f in record.fills
    ]
    recompute(ledger, fills, nights, rates)
    ours = [(r.ts_ns, str(r.kind).replace("realized_pnl", "profit"), r.amount) for r in record.ledger[1:]]
    theirs = ledger.history[1:]

    def rows(of: list[tuple[int, str, Decimal]], *kinds: str) -> list[tuple[int, str, Decimal]]:
        return sorted(row for row in of if row[1] in kinds)

    assert rows(ours, "commission", "swap") == rows(theirs, "commission", "swap")
    # These follow from a profit, which may differ by its last cent.
    for (*mine, amount), (*other, expected) in zip(
        rows(ours, "conversion", "adjustment"), rows(theirs, "conversion", "adjustment"), strict=True
    ):
        assert mine == other
        assert abs(amount - expected) <= cent * (1 if mine[1] == "conversion" else len(ledger.exact))
    profits = [r.amount for r in record.ledger if r.kind == "realized_pnl"]
    assert len(profits) == len(ledger.exact)
    for booked, exact, slack in zip(profits, ledger.exact, ledger.slack, strict=True):
        assert abs(booked - exact) <= slack
    drift = sum(row[2] for row in ours) - sum(row[2] for row in theirs)
    assert record.end_balance == ledger.balance + drift
    assert abs(drift) <= 2 * sum(ledger.slack, cent)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(choices=CHOICES, seed=st.integers(0, 9), netting=st.booleans(), slips=st.booleans())
def test_an_outsider_agrees_to_the_cent(
    choices: list[tuple[int, str, str, int]], seed: int, netting: bool, slips: bool
) -> None:
    markets = {name: walk(name, seed) for name in (*SYMBOLS, "GBPUSD")}
    others = [(SYMBOLS[n], markets[n]) for n in ("USDJPY", "EURGBP")] + [(GBPUSD, markets["GBPUSD"])]
    record = run_steps(
        markets["EURUSD"], {}, symbol=SYMBOLS["EURUSD"], others=others, spread=SPREADS, strategy=Choices(choices),
        commission=CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), currency="USD"),
        mode=PositionMode.NETTING if netting else PositionMode.HEDGING,
        slippage={n: Slippage(probability=0.5, min_points=1, max_points=9) for n in SYMBOLS} if slips else {},
        start_balance=D(1_000_000),
    )  # fmt: skip
    check(record, markets)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(choices=CHOICES, seed=st.integers(0, 9), netting=st.booleans())
@example(  # a position that is sent into a stop-out, and stopped out in the same moment
    choices=[(0, "buy", "EURGBP", 4), (99, "buy", "EURGBP", 167), (166, "sell", "EURGBP", 4)], seed=8, netting=False
)
def test_an_outsider_agrees_when_the_broker_closes_positions(
    choices: list[tuple[int, str, str, int]], seed: int, netting: bool
) -> None:
    # 1,000 USD at 500:1, half of it used from the start: stop-outs, debts given back, and a fee on converted profit.
    choices = [(0, "buy", "EURGBP", 150), (1, "sell", "USDJPY", 80), *choices]
    markets = {name: walk(name, seed) for name in (*SYMBOLS, "GBPUSD")}
    others = [(SYMBOLS[n], markets[n]) for n in ("USDJPY", "EURGBP")] + [(GBPUSD, markets["GBPUSD"])]
    record = run_steps(
        markets["EURUSD"], {}, symbol=SYMBOLS["EURUSD"], others=others, spread=SPREADS, strategy=Choices(choices),
        commission=CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), currency="USD"),
        mode=PositionMode.NETTING if netting else PositionMode.HEDGING, leverage=500, start_balance=D(1_000),
        term_changes={"conversion_fee_percent": D("0.5")},
    )  # fmt: skip
    check(record, markets, D("0.5"))
    event(f"stop-outs: {min(record.stop_outs, 3)}")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(choices=CHOICES, seed=st.integers(0, 9), netting=st.booleans(), currency=st.sampled_from(["JPY", "HKD"]))
def test_an_outsider_agrees_where_money_is_converted_in_two_steps(
    choices: list[tuple[int, str, str, int]], seed: int, netting: bool, currency: str
) -> None:
    # Pounds become dollars and then yen or Hong Kong dollars. About 1,000 USD, half of it used from the start, as above.
    choices = [(0, "buy", "EURGBP", 150), (1, "sell", "USDJPY", 80), *choices]
    markets = {name: walk(name, seed) for name in (*SYMBOLS, "GBPUSD", "USDHKD")}
    others = [(SYMBOLS[n], markets[n]) for n in ("USDJPY", "EURGBP")]
    others += [(GBPUSD, markets["GBPUSD"]), (USDHKD, markets["USDHKD"])]
    record = run_steps(
        markets["EURUSD"], {}, symbol=SYMBOLS["EURUSD"], others=others, spread=SPREADS, strategy=Choices(choices),
        commission=CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), currency="USD"),
        mode=PositionMode.NETTING if netting else PositionMode.HEDGING, leverage=500, currency=currency,
        start_balance=D(150_000) if currency == "JPY" else D(7_800), term_changes={"conversion_fee_percent": D("0.5")},
    )  # fmt: skip
    check(record, markets, D("0.5"), currency)
    event(f"stop-outs: {min(record.stop_outs, 3)}")


def test_the_ledger_of_the_kit_by_hand() -> None:
    # 100,000 at 1.10000, 40,000 closed at 1.10100 with 1.40 of commission: +40.00 - 3.50 - 1.40; a Wednesday night of
    # -7 points on the other 60,000: 60,000 × -7 × 0.00001 × 3 = -12.60.
    ledger = Ledger(start=D(1000), minor={"EURUSD": D("0.01")}, swap={"EURUSD": (D(-7), D(0), EURUSD.point, 2)})
    fills = [
        Fill(START, "P", "EURUSD", "BUY", D(100_000), D("1.1"), D(1), D("3.50")),
        Fill(START + HOUR_NS, "P", "EURUSD", "SELL", D(40_000), D("1.101"), D(1), D("1.40")),
    ]
    (first, *_) = rollovers(START, START + 24 * HOUR_NS)
    recompute(ledger, fills, [first], {first[0]: {"EURUSD": D(1)}})
    assert ledger.balance == D("1022.50")
