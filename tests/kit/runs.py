"""Small runs for tests: a market written out by hand, a strategy that acts at given steps, an account of given terms.

    record = run_steps([1.10000, 1.10100], {0: buy(100_000), 1: close_all()}, spec=EURUSD, spread=10)

Prices of a market are BID closes; a bar opens at the close before it and its high and low enclose both, unless a tuple
``(open, high, low, close)`` is given. Every bar's ASK lies `spread` points above its BID.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.model import BarType, InstrumentId, OrderSide, Quantity
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.backtest.run import run
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.symbols import CommissionRule, LeverageTier, SwapMode, SwapTerms, SymbolSpec
from pepperstone_adapter.simulation.plan import (
    AccountTerms,
    BarArrays,
    QuoteArrays,
    RunPlan,
    SpreadTable,
)
from pepperstone_adapter.simulation.record import RunRecord

NS = 1_000_000_000
MINUTE_NS = 60 * NS
PERIODS = {"1-MINUTE": MINUTE_NS, "1-HOUR": 60 * MINUTE_NS, "1-DAY": 1440 * MINUTE_NS}

type Price = float | str | tuple[float, float, float, float]
type Act = Callable[[Any], None]


def utc(*parts: int) -> int:
    """UTC nanoseconds of a calendar time."""
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * NS  # type: ignore[arg-type]


MONDAY = utc(2024, 1, 8, 10, 0)


def spec(name: str, **changes: Any) -> SymbolSpec:
    """A symbol of the table that trades around the clock without swap; `changes` replace its fields."""
    base = replace(
        symbol_table.get(name), hours=TradingHours.always(), swap=SwapTerms(mode=SwapMode.DISABLED), commission=None
    )
    return replace(base, **changes)


EURUSD = spec("EURUSD")


def points(price: float | str, digits: int) -> int:
    return int((Decimal(str(price)) * 10**digits).to_integral_value())


def bars(
    symbol: SymbolSpec,
    prices: Sequence[Price],
    *,
    start_ns: int = MONDAY,
    period: str = "1-MINUTE",
    times: Sequence[int] | None = None,
    ask: Sequence[Price] | None = None,
) -> BarArrays:
    """A market of bars; `times` are closing times, else one bar follows the other."""
    four = _four(prices, symbol.digits)
    stamps = times if times is not None else [start_ns + (i + 1) * PERIODS[period] for i in range(len(prices))]
    o, h, lo, c = four
    return BarArrays(
        symbol=symbol.name, period=period, ts_ns=np.array(stamps, np.int64), open=o, high=h, low=lo, close=c,
        ask=None if ask is None else _four(ask, symbol.digits),
    )  # fmt: skip


def _four(prices: Sequence[Price], digits: int) -> Any:
    rows, before = [], None
    for price in prices:
        if isinstance(price, tuple):
            row = tuple(points(p, digits) for p in price)
        else:
            close = points(price, digits)
            opened = close if before is None else before
            row = (opened, max(opened, close), min(opened, close), close)
        rows.append(row)
        before = row[3]
    return tuple(np.array(column, np.int64) for column in zip(*rows, strict=True))


def quotes(symbol: SymbolSpec, rows: Sequence[tuple[float, float]], *, start_ns: int = MONDAY, step_s: int = 1) -> Any:
    ts = np.array([start_ns + i * step_s * NS for i in range(len(rows))], np.int64)
    bid = np.array([points(b, symbol.digits) for b, _ in rows], np.int64)
    ask = np.array([points(a, symbol.digits) for _, a in rows], np.int64)
    return QuoteArrays(symbol=symbol.name, ts_ns=ts, bid=bid, ask=ask)


def terms(
    specs: Sequence[SymbolSpec],
    *,
    spread: int | Mapping[str, int] = 0,
    leverage: int | None = 30,
    commission: CommissionRule | None = None,
    **changes: Any,
) -> AccountTerms:
    each = {s.name: spread if isinstance(spread, int) else spread.get(s.name, 0) for s in specs}
    return AccountTerms(
        commissions={s.name: commission for s in specs} if commission else {},
        leverage={}
        if leverage is None
        else {s.name: (LeverageTier(up_to_usd=None, leverage=Decimal(leverage)),) for s in specs},
        spreads={name: SpreadTable(points=(value,) * 168) for name, value in each.items()},
        **changes,
    )


class Steps(Strategy):  # type: ignore[misc]
    """Acts at the n-th row of its symbol, counted from 0."""

    def __init__(self, acts: Mapping[int, Act], listen: str, quoted: bool = False) -> None:
        super().__init__(StrategyConfig())
        self.acts = acts
        self.listen = listen
        self.quoted = quoted
        self.count = -1
        self.row: Any = None
        self.seen: list[Any] = []
        self.events: list[Any] = []

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "Steps":
        return super().__new__(cls, StrategyConfig())

    def on_start(self) -> None:
        if self.quoted:
            self.subscribe_quotes(InstrumentId.from_str(self.listen))
        else:
            self.subscribe_bars(BarType.from_str(self.listen))

    def on_bar(self, bar: Any) -> None:
        self._step(bar)

    def on_quote(self, quote: Any) -> None:
        self._step(quote)

    def _step(self, row: Any) -> None:
        self.count += 1
        self.row = row
        act = self.acts.get(self.count)
        if act is not None:
            act(self)

    def on_order_event(self, event: Any) -> None:
        self.events.append(event)

    # words for acts

    def id_of(self, symbol: SymbolSpec) -> InstrumentId:
        return InstrumentId.from_str(f"{symbol.name}.PEPPERSTONE")

    def qty(self, symbol: SymbolSpec, units: Any) -> Quantity:
        return self.cache.instrument(self.id_of(symbol)).make_qty(float(units))

    def px(self, symbol: SymbolSpec, price: Any) -> Any:
        return self.cache.instrument(self.id_of(symbol)).make_price(float(price))

    def market(self, symbol: SymbolSpec, side: OrderSide, units: Any, position: Any = None, **kw: Any) -> None:
        order = self.order_factory.market(self.id_of(symbol), side, self.qty(symbol, units), **kw)
        self.submit_order(order, position)


def buy(units: Any, symbol: SymbolSpec = EURUSD, **kw: Any) -> Act:
    return lambda s: s.market(symbol, OrderSide.BUY, units, **kw)


def sell(units: Any, symbol: SymbolSpec = EURUSD, **kw: Any) -> Act:
    return lambda s: s.market(symbol, OrderSide.SELL, units, **kw)


def close_all(symbol: SymbolSpec = EURUSD) -> Act:
    def act(s: Steps) -> None:
        for position in s.cache.positions_open(instrument_id=s.id_of(symbol)):
            s.close_position(position)

    return act


def reduce(units: Any, symbol: SymbolSpec = EURUSD) -> Act:
    """Close part of the oldest position."""

    def act(s: Steps) -> None:
        position = s.cache.positions_open(instrument_id=s.id_of(symbol))[0]
        side = OrderSide.SELL if position.is_long else OrderSide.BUY
        s.market(symbol, side, units, position.id, reduce_only=True)

    return act


def both(*acts: Act) -> Act:
    def act(s: Steps) -> None:
        for each in acts:
            each(s)

    return act


def plan_steps(
    market: Any,
    acts: Mapping[int, Act],
    *,
    symbol: SymbolSpec = EURUSD,
    others: Sequence[tuple[SymbolSpec, Any]] = (),
    spread: int | Mapping[str, int] = 0,
    leverage: int | None = 30,
    commission: CommissionRule | None = None,
    account: AccountTerms | None = None,
    strategy: Steps | None = None,
    term_changes: Mapping[str, Any] | None = None,
    **changes: Any,
) -> tuple[RunPlan, Steps]:
    data = market if isinstance(market, BarArrays | QuoteArrays) else bars(symbol, market)
    specs = (symbol, *(s for s, _ in others))
    quoted = isinstance(data, QuoteArrays)
    name = f"{symbol.name}.PEPPERSTONE"
    listen = name if quoted else f"{name}-{data.period}-BID-EXTERNAL"
    steps = strategy or Steps(acts, listen, quoted)
    plan = RunPlan(
        specs=specs,
        data=(data, *(m if isinstance(m, BarArrays | QuoteArrays) else bars(s, m) for s, m in others)),
        strategies=(steps,),
        terms=account or terms(specs, spread=spread, leverage=leverage, commission=commission, **(term_changes or {})),
        **{"start_balance": Decimal(100_000), **changes},
    )
    return plan, steps


def run_steps(market: Any, acts: Mapping[int, Act], **kw: Any) -> RunRecord:
    return run(plan_steps(market, acts, **kw)[0])


def run_with(market: Any, acts: Mapping[int, Act], **kw: Any) -> tuple[RunRecord, Steps]:
    """As `run_steps`, with the strategy, to look at what it saw."""
    plan, steps = plan_steps(market, acts, **kw)
    return run(plan), steps


def amounts(record: RunRecord, kind: str) -> list[Decimal]:
    return [row.amount for row in record.ledger if row.kind == kind]
