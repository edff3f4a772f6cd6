"""Run records made by hand: trades in, a consistent ledger, fills, positions and equity curve out."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pepperstone_adapter.simulation.record import (
    EquityPoint,
    FillRow,
    LedgerKind,
    LedgerRow,
    OrderRow,
    PositionRow,
    RunRecord,
)

HOUR_NS = 3_600_000_000_000
CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class Trade:
    """A round trip on a USD account; `commission` is per side, `rate` quote currency to USD."""

    symbol: str
    opened_ns: int
    closed_ns: int
    open_price: Decimal
    close_price: Decimal
    units: Decimal = Decimal(10_000)
    long: bool = True
    commission: Decimal = Decimal("0.35")
    swap: Decimal = Decimal(0)
    rate: Decimal = Decimal(1)
    quote: str = "USD"
    strategy: str = "EmaCross-000"
    exit_reason: str = "client"
    half_spread: Decimal = Decimal("0.00005")

    @property
    def gross(self) -> Decimal:
        move = (self.close_price - self.open_price) * (1 if self.long else -1)
        return (move * self.units * self.rate).quantize(CENT)


def record_of(trades: Sequence[Trade], start: Decimal = Decimal(10_000), step_ns: int = HOUR_NS) -> RunRecord:
    """The record a run with exactly these trades would leave."""
    first = min((t.opened_ns for t in trades), default=0)
    last = max((t.closed_ns for t in trades), default=HOUR_NS)
    record = RunRecord(account_currency="USD", start_balance=start, start_ns=first - step_ns, end_ns=last + step_ns)
    bookings: list[tuple[int, int, LedgerKind, Trade, Decimal]] = []
    for i, t in enumerate(trades):
        bookings.append((t.opened_ns, i, LedgerKind.COMMISSION, t, -t.commission))
        bookings.append((t.closed_ns, i, LedgerKind.REALIZED_PNL, t, t.gross))
        bookings.append((t.closed_ns, i, LedgerKind.COMMISSION, t, -t.commission))
        if t.swap:
            bookings.append((t.closed_ns - 1, i, LedgerKind.SWAP, t, t.swap))
        _add_rows(record, i, t)
    balance = start
    record.ledger.append(
        LedgerRow(
            ts_ns=record.start_ns,
            kind=LedgerKind.DEPOSIT,
            amount=start,
            balance_after=start,
            currency="USD",
            rate=Decimal(1),
        )
    )
    order = list(LedgerKind)
    for ts_ns, i, kind, t, amount in sorted(bookings, key=lambda b: (b[0], b[1], order.index(b[2]))):
        balance += amount
        pnl = kind is LedgerKind.REALIZED_PNL
        record.ledger.append(
            LedgerRow(
                ts_ns=ts_ns,
                kind=kind,
                amount=amount,
                balance_after=balance,
                currency=t.quote if pnl else "USD",
                rate=t.rate if pnl else Decimal(1),
                instrument_id=f"{t.symbol}.PEPPERSTONE",
                position_id=f"P-{i}",
                trade_id="" if kind is LedgerKind.SWAP else f"T-{i}",
            )
        )
    record.end_balance = record.end_equity = balance
    record.fills.sort(key=lambda f: f.ts_ns)
    record.equity = _equity(record, trades, step_ns)
    record.bars = len(record.equity)
    record.events = 6 * len(trades)
    record.events_sha256 = hashlib.sha256(repr(record.fills).encode()).hexdigest()
    record.costs_spread = sum((2 * t.half_spread * t.units * t.rate for t in trades), Decimal(0))
    return record


def random_trades(count: int, seed: int = 7, start_ns: int = 1_546_473_600_000_000_000) -> list[Trade]:
    """A plausible list of trades over three symbols and two strategies."""
    rng = random.Random(seed)  # noqa: S311
    prices = {"GBPUSD": Decimal("1.30000"), "EURUSD": Decimal("1.12000"), "XAUUSD": Decimal("1300.00")}
    scale = {"GBPUSD": "0.00001", "EURUSD": "0.00001", "XAUUSD": "0.01"}
    trades, now = [], start_ns
    for _ in range(count):
        now += rng.randint(1, 30) * HOUR_NS
        symbol = rng.choice(list(prices))
        tick = Decimal(scale[symbol])
        entry = prices[symbol] = prices[symbol] + rng.randint(-300, 310) * tick
        won = rng.random() < 0.45
        long = rng.random() < 0.5
        move = rng.randint(50, 400) if won else -rng.randint(40, 250)
        trades.append(
            Trade(
                symbol=symbol,
                opened_ns=now,
                closed_ns=now + rng.randint(1, 80) * HOUR_NS,
                open_price=entry,
                close_price=entry + (move if long else -move) * tick,
                long=long,
                units=Decimal(rng.choice([10_000, 20_000])) if symbol != "XAUUSD" else Decimal(rng.choice([10, 20])),
                swap=Decimal(rng.randint(-150, 20)) / 100,
                strategy=rng.choice(["EmaCross-000", "Donchian-001"]),
                exit_reason="take_profit" if won else "stop_loss",
            )
        )
    return trades


def _add_rows(record: RunRecord, i: int, t: Trade) -> None:
    sides = ("BUY", "SELL") if t.long else ("SELL", "BUY")
    legs = (
        (t.opened_ns, sides[0], t.open_price, "O", "client"),
        (t.closed_ns, sides[1], t.close_price, "C", t.exit_reason),
    )
    for ts_ns, side, price, leg, reason in legs:
        buy = side == "BUY"
        record.fills.append(
            FillRow(
                ts_ns=ts_ns,
                trade_id=f"T-{i}-{leg}",
                client_order_id=f"{leg}-{i}",
                venue_order_id=f"V-{leg}-{i}",
                position_id=f"P-{i}",
                strategy_id=t.strategy,
                instrument_id=f"{t.symbol}.PEPPERSTONE",
                order_type="MARKET",
                side=side,
                units=t.units,
                price=price,
                bid=price - (2 * t.half_spread if buy else 0),
                ask=price + (0 if buy else 2 * t.half_spread),
                quote_currency=t.quote,
                rate=t.rate,
                commission=t.commission,
                slippage=Decimal(0),
                reason=reason,
            )
        )
        record.orders.append(
            OrderRow(
                client_order_id=f"{leg}-{i}",
                venue_order_id=f"V-{leg}-{i}",
                strategy_id=t.strategy,
                instrument_id=f"{t.symbol}.PEPPERSTONE",
                side=side,
                order_type="MARKET",
                time_in_force="GTC",
                units=t.units,
                filled_units=t.units,
                price=None,
                trigger_price=None,
                average_price=price,
                status="FILLED",
                reason="",
                position_id=f"P-{i}",
                tags="",
                created_ns=ts_ns,
                ended_ns=ts_ns,
            )
        )
    record.positions.append(
        PositionRow(
            position_id=f"P-{i}",
            strategy_id=t.strategy,
            instrument_id=f"{t.symbol}.PEPPERSTONE",
            side="LONG" if t.long else "SHORT",
            units=t.units,
            opened_ns=t.opened_ns,
            closed_ns=t.closed_ns,
            open_price=t.open_price,
            close_price=t.close_price,
            gross=t.gross,
            commission=2 * t.commission,
            swap=t.swap,
            net=t.gross + t.swap - 2 * t.commission,
            mae=min(t.gross, Decimal(0)) - Decimal(3),
            mfe=max(t.gross, Decimal(0)) + Decimal(5),
            exit_reason=t.exit_reason,
        )
    )


def _equity(record: RunRecord, trades: Sequence[Trade], step_ns: int) -> list[EquityPoint]:
    """Samples with each open profit growing in a straight line to its end."""
    points, rows, balance = [], iter(record.ledger), record.start_balance
    row = next(rows, None)
    waiting, held = sorted(trades, key=lambda t: -t.opened_ns), []
    for ts_ns in range(record.start_ns, record.end_ns + 1, step_ns):
        while row is not None and row.ts_ns <= ts_ns:
            balance, row = row.balance_after, next(rows, None)
        while waiting and waiting[-1].opened_ns <= ts_ns:
            held.append(waiting.pop())
        held = [t for t in held if t.closed_ns > ts_ns]
        shares = [Decimal(ts_ns - t.opened_ns) / (t.closed_ns - t.opened_ns) for t in held]
        equity = balance + sum((t.gross * s for t, s in zip(held, shares, strict=True)), Decimal(0))
        margin = sum((t.units * t.open_price * t.rate / 30 for t in held), Decimal(0))
        points.append(
            EquityPoint(
                ts_ns=ts_ns,
                balance=balance,
                equity=equity.quantize(CENT),
                used_margin=margin.quantize(CENT),
                margin_level=(equity / margin * 100).quantize(CENT) if margin else None,
                open_positions=len(held),
            )
        )
    return points
