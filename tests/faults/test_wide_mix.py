"""The random mix with everything else an account meets: brackets and their legs, stop-limits, trailing stops, levels set on
open positions, parts, a stranger in the same account, sessions that end, reads that fail, and a second run over the same books.

A failure names its seed; `pytest tests/faults/test_wide_mix.py -k "seed1"` runs it again. The plain run takes two seeds
(about six seconds each), `RANDOM_MIX_SEEDS=30` takes thirty.
"""

import os
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import ClientOrderId, PositionId, TimeInForce, TrailingOffsetType, TriggerType
from nautilus_trader.model import OrderType as FrameworkType

from pepperstone_adapter.broker.orders import OrderType, Side
from pepperstone_adapter.live.tracking import LEG, Phase
from pepperstone_adapter.mapping.ids import Leg
from pepperstone_adapter.sandbox.ledger import NewOrder
from pepperstone_adapter.sandbox.ledger.records import Protect
from pepperstone_adapter.sandbox.ledger.refusal import Refused
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from tests.kit.ctrader_node import ACCOUNT_ID, sandbox
from tests.kit.faults import Trader, account, agree, entries, rule, run_live
from tests.kit.node import BUY, EURUSD, SELL, Bench, px, units

D = Decimal
STEPS = 22
SEEDS = int(os.environ.get("RANDOM_MIX_SEEDS", "2"))
ORDERS = ("NewOrderReq", "CancelOrderReq", "AmendOrderReq", "ClosePositionReq", "AmendPositionSLTPReq")
READS = ("ReconcileReq", "OrderDetailsReq", "DealListReq", "OrderListReq", "TraderReq")
ANSWERS = ("ReconcileRes", "OrderDetailsRes", "DealListRes", "OrderListRes", "OrderErrorEvent", "TraderRes")
EXECUTIONS = ("ORDER_ACCEPTED", "ORDER_FILLED", "ORDER_CANCELLED", "ORDER_REPLACED", "ORDER_PARTIAL_FILL", None)
SESSIONS = ("account_disconnect", "client_disconnect")
WIRE = (
    "drop",
    "duplicate",
    "delay",
    "swap",
    "truncate",
    "garbage",
    "cut_before",
    "cut_after",
    "stall",
    "slow",
    "oversize",
)
NOES = (
    "TIMEOUT_ERROR",
    "UNKNOWN_ERROR",
    "ORDER_NOT_FOUND",
    "TRADING_DISABLED",
    "REQUEST_FREQUENCY_EXCEEDED",
    "INVALID_REQUEST",
)


def some_fault(rng: random.Random) -> Any:
    after = rng.choice([0, 0, 1])
    match rng.randrange(8):
        case 0 | 1:
            return rule(rng.choice(["cut_before", "cut_after", "mute", "swallow"]), rng.choice(ORDERS), after=after)
        case 2:
            return rule(rng.choice(SESSIONS), rng.choice([*ORDERS, *READS]), after=after)
        case 3:
            return rule("error", rng.choice(ORDERS), after=after, text=rng.choice(NOES))
        case 4:
            busy = rng.choice([("throttle", rng.choice(READS)), ("maintenance", None), ("flicker", "ReconcileReq")])
            return rule(*busy, after=after, seconds=0.0 if busy[0] == "flicker" else 1.0)
        case _:
            kind, message = rng.choice(WIRE), rng.choice([*ANSWERS, *["ExecutionEvent"] * len(ANSWERS)])
            return rule(
                kind,
                message,
                on="reply",
                execution=rng.choice(EXECUTIONS) if message == "ExecutionEvent" else None,
                after=rng.choice([0, 0, 1, 2]),
                copies=2,
                seconds=0.0 if kind == "stall" else rng.choice([0.1, 0.4, 0.9]),
            )


def price(rng: random.Random, low: int, high: int) -> str:
    return f"1.0{rng.randint(low, high)}"


def submit(b: Bench, t: Trader, rng: random.Random) -> None:
    """One order of the strategy that opens."""
    make, n = b.probe.order_factory, units(1_000 * rng.randint(1, 5))
    entry, stop, profit = price(rng, 8300, 8490), price(rng, 7500, 8200), price(rng, 8800, 9500)
    above = rng.randint(8560, 8700)
    match rng.randrange(7):
        case 0:
            t.market(rng.choice([BUY, SELL]), int(n))
        case 1:
            t.limit(entry, int(n))
        case 2:
            b.bracket(stop, profit)
        case 3:
            b.bracket(stop, profit, at=entry)
        case 4:
            b.probe.submit_order(make.stop_market(EURUSD, BUY, n, px(f"1.0{above}"), TriggerType.BID_ASK))
        case 5:
            limit = px(f"1.0{above + rng.randint(0, 20)}")
            b.probe.submit_order(make.stop_limit(EURUSD, BUY, n, limit, px(f"1.0{above}")))
        case 6:
            end_ns = b.sandbox.clock.now_ns() + rng.choice([2, 60]) * 1_000_000_000
            until = {"time_in_force": TimeInForce.GTD, "expire_time": end_ns}
            b.probe.submit_order(make.limit(EURUSD, BUY, n, px(entry), **until))


def change(b: Bench, rng: random.Random) -> None:
    """Move or call back a working order of the strategy, or its share of everything."""
    own = [o for o in b.cache.orders_open() if o.strategy_id == b.probe.strategy_id]
    if not own or rng.random() < 0.1:
        b.probe.cancel_all_orders(EURUSD)
        return
    order = rng.choice(own)
    if rng.random() < 0.3 or order.order_type is FrameworkType.MARKET:
        b.probe.cancel_order(order.client_order_id)
        return
    new: dict[str, Any] = {}
    if order.order_type is FrameworkType.LIMIT:
        new["price"] = px(price(rng, 8800, 9500) if order.is_reduce_only else price(rng, 8300, 8490))
    elif order.order_type is FrameworkType.STOP_LIMIT and rng.random() < 0.5:
        new["price"] = px(price(rng, 8700, 8720))
    else:
        new["trigger_price"] = px(price(rng, 7500, 8200) if order.is_reduce_only else price(rng, 8660, 8700))
    if not order.is_reduce_only and rng.random() < 0.3:
        new["quantity"] = units(1_000 * rng.randint(6, 9))
    if all(value != getattr(order, name) for name, value in new.items()):  # the framework refuses what is there already
        b.probe.modify_order(order.client_order_id, **new)


def work_on_a_position(b: Bench, rng: random.Random) -> None:
    """Close it, in whole or in part, or give it a level."""
    if not (held := b.cache.positions_open()):
        return
    position = rng.choice(held)
    long = position.side.name == "LONG"
    side, make, n = SELL if long else BUY, b.probe.order_factory, position.quantity
    below, above = px(price(rng, 7500, 8200)), px(price(rng, 8800, 9500))
    match rng.randrange(4):
        case 0:
            order = make.market(EURUSD, side, rng.choice([n, units(1_000)]), reduce_only=True)
        case 1:
            order = make.stop_market(EURUSD, side, n, below if long else above, TriggerType.BID_ASK, reduce_only=True)
        case 2:
            order = make.limit(EURUSD, side, n, above if long else below, reduce_only=True)
        case _:
            order = make.trailing_stop_market(
                EURUSD,
                side,
                n,
                D("0.00400"),
                trailing_offset_type=TrailingOffsetType.PRICE,
                trigger_type=TriggerType.BID_ASK,
                reduce_only=True,
            )
    b.probe.submit_order(order, position_id=PositionId(str(position.id)))


def stranger(b: Bench, rng: random.Random) -> None:
    """A person in the platform, on anything that is there."""
    books, broker = account(b.sandbox), b.sandbox
    held = [p for p in books.positions.values() if p.units]
    working = [o for o in books.working.values() if o.type is OrderType.LIMIT]
    levels = [
        Protect(stop_loss=D("1.07000"), take_profit=D("1.09900")),
        Protect(stop_loss=D("1.07100"), trailing=True),
        Protect(take_profit=D("1.09700")),
        Protect(),
    ]
    deeds: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("submit", (NewOrder(symbol="EURUSD", side=Side.SELL, type=OrderType.MARKET, units=D(2_000)),), {}),
    ]
    for p in held:
        deeds.append(("close", (p.position_id, rng.choice([D(1_000), p.units])), {}))
        if p.side is Side.BUY:
            deeds.append(("protect", (p.position_id, rng.choice(levels)), {}))
    for o in working:
        deeds += [
            ("cancel", (o.order_id,), {}),
            ("amend", (o.order_id,), {"limit_price": D(price(rng, 8300, 8490))}),
        ]
    verb, what, more = rng.choice(deeds)
    try:
        broker.call(getattr(broker.ledger, verb), ACCOUNT_ID, *what, broker.clock.now_ns(), **more)
    except Refused:
        return  # as the platform would say


def act(b: Bench, t: Trader, rng: random.Random) -> None:
    match rng.randrange(9):
        case 0 | 1:
            submit(b, t, rng)
        case 2 | 3 | 4:
            change(b, rng)
        case 5:
            work_on_a_position(b, rng)
        case 6:
            stranger(b, rng)
        case 7:
            bid = rng.randint(8250, 8700)
            b.sandbox.push("EURUSD", f"1.0{bid}0", f"1.0{bid}7")
        case 8:
            most = rng.choice([None, Liquidity(D(2_000)), Liquidity(D(1_000))])
            b.sandbox.call(b.sandbox.ledger.set_liquidity, "EURUSD", most)


async def mix(b: Bench, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
    t = Trader(b)
    for _ in range(STEPS):
        if rng.random() < 0.45:
            b.sandbox.add_fault(some_fault(rng))
        act(b, t, rng)
        before = len(b.probe.events)
        if rng.random() < 0.6:  # sometimes wait for news, sometimes go on at once
            try:
                await b.until(lambda n=before: len(b.probe.events) > n, "news", timeout_s=0.3)
            except AssertionError:
                continue
    b.sandbox.clear_faults()  # heal: O7
    b.sandbox.call(b.sandbox.venue.end_maintenance)
    for connection in b.sandbox.call(lambda: [c for c in b.sandbox.venue.connections if c._breakage.silent]):
        b.sandbox.call(connection._breakage.resume)
    await b.until(lambda: b.connection.up, "the link up")
    await b.until(
        lambda: (
            not b.client.reconciler.unanswered
            and not b.client.tasks
            and not [o for o in b.cache.orders_inflight() if o.strategy_id == b.probe.strategy_id]
        ),
        "an answer to every question",
    )
    await agree(b)
    await b.until(lambda: not list(unlike(b)), "the levels and prices of the books")


def unlike(b: Bench) -> Iterator[str]:
    """What the oracles of `agree` do not look at: levels of positions, and both prices of working orders."""
    books = account(b.sandbox)
    for leg in b.client.table.open_orders():
        position = books.positions.get(int(leg.position_id)) if leg.kind == LEG and leg.position_id else None
        if position is not None and position.units and leg.phase is Phase.ACCEPTED:
            there = position.stop_loss if leg.leg is Leg.STOP_LOSS else position.take_profit
            if (leg.level, leg.units) != (there, position.units):
                yield f"{leg.client_order_id}: {there} of {position.units} there, {leg.level} of {leg.units} here"
    for order in entries(books):
        known = b.cache.order(ClientOrderId(order.client_id)) if order.status.is_open else None
        for name, there in (("trigger_price", order.stop_price), ("price", order.limit_price)):
            if known is not None and there is not None and getattr(known, name).as_decimal() != there:
                yield f"{order.client_id}: {name} {there} there, {getattr(known, name)} here"


@pytest.mark.parametrize("seed", [pytest.param(n, id=f"seed{n}") for n in range(SEEDS)])
def test_a_wide_mix_of_faults_ends_with_equal_books_and_so_does_the_run_after_it(tmp_path: Path, seed: int) -> None:
    async def first(b: Bench) -> None:
        await mix(b, seed)

    async def second(b: Bench) -> None:
        await mix(b, 1_000_000 + seed)

    with sandbox(tmp_path) as broker:
        run_live(tmp_path, broker, first)
        run_live(tmp_path, broker, second, claim=True)
        sent = [o.client_id for o in entries(account(broker))]
        assert len(sent) == len(set(sent))
