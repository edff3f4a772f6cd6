"""What a strategy is told of its account: profit of the whole run, though old positions leave the cache, and margin."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model import Currency, MarginAccount, OrderSide, Venue

from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, SymbolSpec
from tests.kit.runs import EURUSD, Steps, both, buy, close_all, run_steps, sell, spec

D = Decimal
RULE = CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.5"))
USD, EUR = Currency.from_str("USD"), Currency.from_str("EUR")
USDJPY = spec("USDJPY")


class RoundTrips(Steps):
    """Buys at even rows, closes at odd ones and, at every row, first asks the portfolio."""

    def __init__(self, symbol: SymbolSpec, units: int) -> None:
        super().__init__({}, f"{symbol.name}.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
        self.symbol, self.size = symbol, units
        self.told: list[dict[str, Any]] = []

    def on_bar(self, bar: Any) -> None:
        of, all_of = self.id_of(self.symbol), Venue("PEPPERSTONE")
        self.told.append(
            {
                "realized": self.portfolio.realized_pnl(of),
                "realized in EUR": self.portfolio.realized_pnl(of, target_currency=EUR),
                "all realized": self.portfolio.realized_pnls(all_of),
                "total": self.portfolio.total_pnl(of),
                "all": self.portfolio.total_pnls(all_of),
                "open": self.portfolio.unrealized_pnl(of),
            }
        )
        if len(self.told) % 2:
            self.market(self.symbol, OrderSide.BUY, self.size)
        else:
            for position in self.cache.positions_open():
                self.close_position(position)


def told(symbol: SymbolSpec, units: int, prices: Sequence[float], **kw: Any) -> tuple[RoundTrips, Any]:
    strategy = RoundTrips(symbol, units)
    return strategy, run_steps(prices, {}, symbol=symbol, strategy=strategy, commission=RULE, **kw)


def test_realized_profit_is_of_the_whole_run() -> None:
    # A lot bought at 1.10000 and sold at 1.10100 earns 100.00 and costs 3.50 twice: 93.00 a round trip, 1.1 dollars a euro.
    strategy, record = told(EURUSD, 100_000, [1.1, 1.101] * 60)
    for row, answers in enumerate(strategy.told):
        trips, is_open = divmod(row, 2)
        realized = 93 * trips - D("3.50") * is_open
        assert answers["realized"].as_decimal() == realized
        assert answers["all realized"][USD].as_decimal() == realized
        assert answers["open"].as_decimal() == 100 * is_open
        assert answers["total"].as_decimal() == answers["all"][USD].as_decimal() == realized + 100 * is_open
    assert str(strategy.told[100]["realized in EUR"]) == "4227.27 EUR"  # 50 × 93.00 / 1.1
    assert record.end_balance == 100_000 + 60 * 93


def test_it_is_what_was_booked_when_it_was_realized() -> None:
    # 10,000 dollars bought at 140.00 yen and sold at 140.60: 6,000 yen, 42.67 dollars at 140.60; 0.35 a side. Whatever the
    # yen is worth later.
    strategy, _ = told(USDJPY, 10_000, [140.0, 140.6, 151.0, 151.0, 139.0])
    assert [str(answers["realized"]) for answers in strategy.told] == [
        "0.00 USD", "-0.35 USD", "41.97 USD", "41.62 USD", "41.27 USD",
    ]  # fmt: skip


def test_a_currency_without_a_rate_is_no_number() -> None:
    class Asks(Steps):
        def on_bar(self, bar: Any) -> None:
            self.seen.append(self.portfolio.realized_pnl(self.id_of(EURUSD), target_currency=Currency.from_str("CHF")))

    strategy = Asks({}, "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
    run_steps([1.1, 1.1], {}, strategy=strategy)
    assert strategy.seen == [None, None]


def test_the_account_shows_the_margin_in_use() -> None:
    # 100,000 at the ASK of 1.10010 take 110,010 / 30 = 3,667.00; the second ticket at 1.10110 3,670.33 more, after which
    # 7,337.33 are locked of 100,000.00. What is open counts in equity, not here, as live. The first closes at 1.10200 with
    # 190.00, the second with 90.00.
    class Asks(Steps):
        def on_bar(self, bar: Any) -> None:
            super().on_bar(bar)
            account = self.portfolio.account(Venue("PEPPERSTONE"))
            sums = account.balance_total(USD), account.balance_locked(USD), account.balance_free(USD)
            assert isinstance(account, MarginAccount)
            assert account.account_initial_margin(USD) == sums[1]
            self.seen.append([str(money.as_decimal()) for money in sums])

    strategy = Asks({0: buy(100_000), 1: buy(100_000), 2: close_all()}, "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
    run_steps([1.1, 1.101, 1.102, 1.102], {}, strategy=strategy, spread=10)
    assert strategy.seen == [
        ["100000.00", "0.00", "100000.00"],  # it fills when the callback is over
        ["100000.00", "3667.00", "96333.00"],
        ["100000.00", "7337.33", "92662.67"],
        ["100280.00", "0.00", "100280.00"],
    ]


@pytest.mark.parametrize("only_market_orders", [False, True])
def test_open_profit_is_at_the_prices_that_would_close(only_market_orders: bool) -> None:
    # Sold at the BID of 1.10000; bought back at the ASK, ten points above the BID that the bar shows. 10,000 dollars were
    # bought at the ASK of 140.010, ten points of a thousandth above; at 141 they have won 9,900 yen, 70.21 dollars at the
    # middle of 141.005.
    class Asks(Steps):
        def on_bar(self, bar: Any) -> None:
            super().on_bar(bar)
            folio = self.portfolio
            one, other = folio.unrealized_pnl(self.id_of(EURUSD)), folio.unrealized_pnl(self.id_of(USDJPY))
            together, equity = folio.unrealized_pnls(Venue("PEPPERSTONE")), folio.equity(Venue("PEPPERSTONE"))
            given = folio.unrealized_pnl(self.id_of(EURUSD), self.px(EURUSD, 1.2))
            assert folio.total_pnl(self.id_of(EURUSD)) == one + folio.realized_pnl(self.id_of(EURUSD))
            self.seen.append([str(money.as_decimal()) for money in (one, other, together[USD], equity[USD], given)])

    acts = {0: both(sell(100_000), buy(10_000, USDJPY)), 2: both(close_all(), close_all(USDJPY))}
    strategy = Asks(acts, "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
    run_steps(
        [1.1, 1.101, 1.102, 1.102], {}, others=[(USDJPY, [140.0, 141.0, 141.0, 141.0])], spread=10, strategy=strategy,
        only_market_orders=only_market_orders,
    )  # fmt: skip
    assert strategy.seen == [
        ["0.00", "0.00", "0.00", "100000.00", "0.00"],
        ["-110.00", "70.21", "-39.79", "99960.21", "-10000.00"],
        ["-210.00", "70.21", "-139.79", "99860.21", "-10000.00"],
        ["0.00", "0.00", "0.00", "99860.21", "0.00"],  # a profit in yen is booked at the BID: 9,900 / 141.000 = 70.21
    ]


@pytest.mark.parametrize("name", ["net_position", "is_net_flat"])
def test_the_rest_is_the_frameworks(name: str) -> None:
    class Asks(Steps):
        def on_bar(self, bar: Any) -> None:
            self.seen.append(getattr(self.portfolio, name)(self.id_of(EURUSD)))

    strategy = Asks({}, "EURUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL")
    run_steps([1.1, 1.1], {}, strategy=strategy)
    assert strategy.seen == {"net_position": [D(0), D(0)], "is_net_flat": [True, True]}[name]
