"""Whatever is done to the ledger, its books add up; and the same deeds give the same events."""

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pepperstone_adapter.broker.account import PositionMode
from pepperstone_adapter.broker.orders import OrderType, Side, TimeInForce
from pepperstone_adapter.broker.symbols import CommissionKind, CommissionRule, LeverageTier, SwapMode, SwapTerms
from pepperstone_adapter.sandbox.ledger import HedgeMargin, LedgerRules, NewOrder, Protect, Refused, violations
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from tests.kit.sandbox_ledger import ACCOUNT, Desk, at, fx

KINDS = [OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_RANGE]
STEP = st.one_of(
    st.tuples(st.just("quote"), st.sampled_from(["EURUSD", "GBPUSD"]), st.integers(-400, 400), st.integers(0, 20)),
    st.tuples(
        st.just("order"),
        st.sampled_from(["EURUSD", "GBPUSD"]),
        st.sampled_from(list(Side)),
        st.sampled_from(KINDS),
        st.integers(1, 40),
        st.integers(-60, 60),
        st.sampled_from([TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.DAY]),
        st.sampled_from([None, 20, 100]),
        st.booleans(),
    ),
    st.tuples(st.just("close"), st.integers(0, 5), st.integers(1, 40)),
    st.tuples(st.just("reduce_by_order"), st.integers(0, 5), st.integers(1, 40)),
    st.tuples(st.just("close_by"), st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("protect"), st.integers(0, 5), st.integers(-80, 80), st.integers(-80, 80), st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("amend"), st.integers(0, 5), st.integers(-60, 60), st.integers(1, 40)),
    st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.just("liquidity"), st.sampled_from([None, (5, 1), (3, 4), (7, None)])),
    st.tuples(st.just("cash"), st.integers(-300, 300)),
)
RULES = st.builds(
    LedgerRules,
    execution_delay_ns=st.sampled_from([0, 138_000_000]),
    protection_orders=st.booleans(),
    slippage_points_max=st.sampled_from([0, 3]),
    seed=st.integers(0, 5),
)
ACCOUNTS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from([PositionMode.HEDGING, PositionMode.NETTING]),
        "currency": st.sampled_from(["USD", "EUR", "GBP"]),
        "hedge_margin": st.sampled_from(list(HedgeMargin)),
        "stop_out_partial": st.booleans(),
        "commission_at_close": st.booleans(),
        "opening_balance": st.sampled_from([D(300), D(5_000)]),
    }
)


class Random:
    """Applies drawn steps to a ledger; a refusal is an answer like any other."""

    def __init__(self, rules: LedgerRules, account: dict[str, Any]) -> None:
        tiers = (LeverageTier(up_to_usd=D(20_000), leverage=D(30)), LeverageTier(up_to_usd=None, leverage=D(10)))
        terms = {
            "commission": CommissionRule(kind=CommissionKind.PER_LOT, rate=D("3.50"), minimum=D("0.10")),
            "swap": SwapTerms(mode=SwapMode.POINTS, long=D(-7), short=D(3)),
            "conversion_fee": D("0.005"),
            "tiers": tiers,
        }
        self.desk = Desk(fx("EURUSD", **terms), fx("GBPUSD", **terms), rules=rules, **account)
        self.mid = {"EURUSD": 110_000, "GBPUSD": 127_000}
        for symbol in self.mid:
            self.quote(symbol, 0, 2)

    @property
    def now_ns(self) -> int:
        return at(self.desk.now)

    def quote(self, symbol: str, move: int, spread: int) -> None:
        self.mid[symbol] += move
        self.desk.now += 1
        self.desk.ledger.quote(symbol, self.mid[symbol], self.mid[symbol] + spread, self.now_ns)

    def ticket(self, index: int) -> int:
        tickets = list(self.desk.account.positions)
        return tickets[index % len(tickets)] if tickets else 1

    def price(self, symbol: str, points: int) -> D:
        return D(self.mid[symbol] + points).scaleb(-5)

    def order(
        self,
        symbol: str,
        side: Side,
        kind: OrderType,
        size: int,
        away: int,
        tif: TimeInForce,
        level: int | None,
        trailing: bool,
    ) -> None:
        protect = Protect(stop_distance=D(level).scaleb(-5), trailing=trailing) if level else None
        price = self.price(symbol, away)
        request = NewOrder(
            symbol=symbol,
            side=side,
            type=kind,
            units=D(size * 1_000),
            limit_price=price if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
            stop_price=price if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else None,
            base_price=price,
            slippage_points=10,
            time_in_force=tif,
            protect=protect,
        )
        self.desk.ledger.submit(ACCOUNT, request, self.now_ns)

    def close(self, index: int, size: int) -> None:
        self.desk.ledger.close(ACCOUNT, self.ticket(index), D(size * 1_000), self.now_ns)

    def reduce_by_order(self, index: int, size: int) -> None:
        ticket = self.ticket(index)
        position = self.desk.account.positions.get(ticket)
        side = position.side.opposite if position is not None else Side.BUY
        symbol = position.symbol if position is not None else "EURUSD"
        request = NewOrder(symbol=symbol, side=side, type=OrderType.MARKET, units=D(size * 1_000), position_id=ticket)
        self.desk.ledger.submit(ACCOUNT, request, self.now_ns)

    def close_by(self, one: int, other: int) -> None:
        self.desk.ledger.close_by(ACCOUNT, self.ticket(one), self.ticket(other), self.now_ns)

    def protect(self, index: int, stop: int, target: int, trailing: bool) -> None:
        ticket = self.ticket(index)
        position = self.desk.account.positions.get(ticket)
        symbol = position.symbol if position is not None else "EURUSD"
        levels = Protect(stop_loss=self.price(symbol, stop), take_profit=self.price(symbol, target), trailing=trailing)
        self.desk.ledger.protect(ACCOUNT, ticket, levels, self.now_ns)

    def _order_id(self, index: int) -> int:
        working = list(self.desk.account.working)
        return working[index % len(working)] if working else 1

    def cancel(self, index: int) -> None:
        self.desk.ledger.cancel(ACCOUNT, self._order_id(index), self.now_ns)

    def amend(self, index: int, away: int, size: int) -> None:
        price = self.price("EURUSD", away)
        self.desk.ledger.amend(
            ACCOUNT, self._order_id(index), self.now_ns, limit_price=price, stop_price=price, units=D(size * 1_000)
        )

    def wait(self, hours: int) -> None:
        self.desk.now += hours * 3_600
        self.desk.ledger.advance(self.now_ns)

    def liquidity(self, found: tuple[int, int | None] | None) -> None:
        bound = Liquidity(D(found[0] * 1_000), found[1]) if found is not None else None
        self.desk.ledger.set_liquidity("EURUSD", bound)

    def cash(self, amount: int) -> None:
        self.desk.ledger.cash(ACCOUNT, D(amount), self.now_ns)


@given(rules=RULES, account=ACCOUNTS, steps=st.lists(STEP, max_size=40))
@settings(max_examples=150, deadline=None)
def test_the_books_add_up_after_every_step(
    rules: LedgerRules, account: dict[str, Any], steps: list[tuple[Any, ...]]
) -> None:
    walk = Random(rules, account)
    for name, *arguments in steps:
        before = len(walk.desk.ledger.events)
        try:
            getattr(walk, name)(*arguments)
        except Refused:
            late = {"swap", "filled", "partially_filled", "expired", "canceled", "rejected", "replaced", "accepted"}
            new = walk.desk.ledger.events[before:]
            assert all(event.kind.value in late for event in new)  # only what was due before it, never the request
        assert violations(walk.desk.ledger) == []


@given(rules=RULES, account=ACCOUNTS, steps=st.lists(STEP, max_size=25))
@settings(max_examples=40, deadline=None)
def test_same_deeds_same_events(rules: LedgerRules, account: dict[str, Any], steps: list[tuple[Any, ...]]) -> None:
    def told() -> list[Any]:
        walk = Random(rules, account)
        for name, *arguments in steps:
            try:
                getattr(walk, name)(*arguments)
            except Refused:
                continue
        return walk.desk.ledger.events

    assert told() == told()


def test_violations_are_seen() -> None:
    """The judge is judged: each kind of damage to the books is named."""
    desk = Desk()
    desk.quote("EURUSD", "1.10000", "1.10002")
    desk.buy(10_000)
    assert violations(desk.ledger) == []
    desk.account.balance += 1
    assert "balance" in violations(desk.ledger)[0]
    desk.account.balance -= 1
    desk.account.positions[5_000_001].units += 1
    assert "deals say" in violations(desk.ledger)[0]
    desk.account.positions[5_000_001].units -= 1
    desk.account.deals.append(desk.account.deals[0])
    assert any("ids do not rise" in text for text in violations(desk.ledger))


@pytest.mark.parametrize("module", ["ledger", "faults"])
def test_the_ledger_needs_neither_framework_nor_sockets(module: str) -> None:
    import subprocess
    import sys

    code = (
        f"import sys, pepperstone_adapter.sandbox.{module}\n"
        "bad = [m for m in ('nautilus_trader', 'twisted', 'asyncio') if m in sys.modules]\n"
        "sys.exit(','.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
