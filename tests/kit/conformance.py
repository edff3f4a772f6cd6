"""The framework's execution conformance cases (TC-E) as data, and the steps of those that are the same at every venue.

A venue's test runs the steps on its own node and writes out where its answers differ.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nautilus_trader.live import LiveNode
from nautilus_trader.model import ClientId, OrderSide, OrderStatus, OrderType, Price, Quantity, TimeInForce
from nautilus_trader.testkit import ExecTesterConfig

from tests.kit.node import EURUSD, VENUE, Bench

type Script = Callable[[Bench], Awaitable[None]]

QUIET: dict[str, Any] = {
    "enable_limit_buys": False,
    "enable_limit_sells": False,
    "enable_stop_buys": False,
    "enable_stop_sells": False,
    "tob_offset_ticks": 300,
    "stop_offset_ticks": 300,
    "log_data": False,
    "log_events": False,
    "log_commands": False,
}
BUY, SELL = OrderSide.BUY, OrderSide.SELL
type Orders = list[Any]


def statuses(orders: Orders, kind: OrderType | None = None, side: OrderSide | None = None) -> list[OrderStatus]:
    return [o.status for o in orders if (kind is None or o.order_type is kind) and (side is None or o.side is side)]


def all_in(status: OrderStatus, count: int, kind: OrderType, side: OrderSide | None = None) -> Callable[[Orders], bool]:
    return lambda orders: statuses(orders, kind, side) == [status] * count


def denied(text: str) -> Callable[[Orders], bool]:
    return lambda orders: (
        bool(orders) and all(o.status is OrderStatus.DENIED and text in str(o.last_event.reason) for o in orders)
    )


FLAT = "flat"
LEFT = "left"


@dataclass(frozen=True)
class Case:
    """`config` of the tester, what its orders must come to, and what the broker's books must show after the stop."""

    id: str
    what: str
    config: dict[str, Any]
    reached: Callable[[Orders], bool]
    after: str = FLAT


def opened(side: OrderSide, tif: TimeInForce | None = None) -> Callable[[Orders], bool]:
    return lambda orders: any(
        o.order_type is OrderType.MARKET
        and o.side is side
        and o.status is OrderStatus.FILLED
        and (tif is None or o.time_in_force is tif)
        for o in orders
    )


LIMIT, STOP, STOP_LIMIT, MARKET = OrderType.LIMIT, OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.MARKET
ACCEPTED, FILLED = OrderStatus.ACCEPTED, OrderStatus.FILLED
AGGRESSIVE = {"limit_aggressive": True, "tob_offset_ticks": 1}

CASES = [
    Case("E01", "market buy", {"open_position_on_start_qty": Decimal(10_000)}, opened(BUY)),
    Case("E02", "market sell", {"open_position_on_start_qty": Decimal(-10_000)}, opened(SELL)),
    Case(
        "E03",
        "market IOC",
        {"open_position_on_start_qty": Decimal(10_000), "open_position_time_in_force": TimeInForce.IOC},
        opened(BUY, TimeInForce.IOC),
    ),
    Case(
        "E04",
        "market FOK",
        {"open_position_on_start_qty": Decimal(10_000), "open_position_time_in_force": TimeInForce.FOK},
        opened(BUY, TimeInForce.FOK),
    ),
    Case(
        "E06",
        "close on stop",
        {"open_position_on_start_qty": Decimal(10_000), "close_positions_on_stop": True},
        opened(BUY),
    ),
    Case("E10", "limit buy GTC", {"enable_limit_buys": True}, all_in(ACCEPTED, 1, LIMIT, BUY)),
    Case("E11", "limit sell GTC", {"enable_limit_sells": True}, all_in(ACCEPTED, 1, LIMIT, SELL)),
    Case(
        "E12",
        "limit pair",
        {"enable_limit_buys": True, "enable_limit_sells": True},
        all_in(ACCEPTED, 2, LIMIT),
    ),
    Case(
        "E13",
        "limit IOC buy, aggressive",
        {"enable_limit_buys": True, "limit_time_in_force": TimeInForce.IOC, **AGGRESSIVE},
        lambda orders: FILLED in statuses(orders, LIMIT, BUY),
    ),
    Case(
        "E14",
        "limit IOC sell, passive: ended unfilled",
        {"enable_limit_sells": True, "limit_time_in_force": TimeInForce.IOC},
        lambda orders: OrderStatus.CANCELED in statuses(orders, LIMIT, SELL),
    ),
    Case(
        "E15",
        "limit FOK buy, aggressive",
        {"enable_limit_buys": True, "limit_time_in_force": TimeInForce.FOK, **AGGRESSIVE},
        lambda orders: FILLED in statuses(orders, LIMIT, BUY),
    ),
    Case(
        "E16",
        "limit FOK sell, passive: ended unfilled",
        {"enable_limit_sells": True, "limit_time_in_force": TimeInForce.FOK},
        lambda orders: OrderStatus.CANCELED in statuses(orders, LIMIT, SELL),
    ),
    Case(
        "E17",
        "limit buy GTD",
        {"enable_limit_buys": True, "limit_time_in_force": TimeInForce.GTD, "order_expire_time_delta_mins": 60},
        all_in(ACCEPTED, 1, LIMIT, BUY),
    ),
    Case(
        "E18",
        "limit sell GTD",
        {"enable_limit_sells": True, "limit_time_in_force": TimeInForce.GTD, "order_expire_time_delta_mins": 60},
        all_in(ACCEPTED, 1, LIMIT, SELL),
    ),
    Case(
        "E19",
        "limit DAY is denied",
        {"enable_limit_buys": True, "limit_time_in_force": TimeInForce.DAY},
        denied("no DAY"),
    ),
    Case("E20", "stop-market buy", {"enable_stop_buys": True}, all_in(ACCEPTED, 1, STOP, BUY)),
    Case("E21", "stop-market sell", {"enable_stop_sells": True}, all_in(ACCEPTED, 1, STOP, SELL)),
    Case(
        "E22",
        "stop-limit buy",
        {"enable_stop_buys": True, "stop_order_type": STOP_LIMIT, "stop_limit_offset_ticks": 50},
        all_in(ACCEPTED, 1, STOP_LIMIT, BUY),
    ),
    Case(
        "E23",
        "stop-limit sell",
        {"enable_stop_sells": True, "stop_order_type": STOP_LIMIT, "stop_limit_offset_ticks": 50},
        all_in(ACCEPTED, 1, STOP_LIMIT, SELL),
    ),
    Case(
        "E24",
        "market-if-touched buy is denied",
        {"enable_stop_buys": True, "stop_order_type": OrderType.MARKET_IF_TOUCHED},
        denied("do not exist at the venue"),
    ),
    Case(
        "E25",
        "market-if-touched sell is denied",
        {"enable_stop_sells": True, "stop_order_type": OrderType.MARKET_IF_TOUCHED},
        denied("do not exist at the venue"),
    ),
    Case(
        "E26",
        "limit-if-touched buy is denied",
        {
            "enable_stop_buys": True,
            "stop_order_type": OrderType.LIMIT_IF_TOUCHED,
            "stop_limit_offset_ticks": 50,
        },
        denied("do not exist at the venue"),
    ),
    Case(
        "E27",
        "limit-if-touched sell is denied",
        {
            "enable_stop_sells": True,
            "stop_order_type": OrderType.LIMIT_IF_TOUCHED,
            "stop_limit_offset_ticks": 50,
        },
        denied("do not exist at the venue"),
    ),
    Case(
        "E41",
        "cancel all on stop",
        {"enable_limit_buys": True, "enable_limit_sells": True, "cancel_orders_on_stop": True},
        all_in(ACCEPTED, 2, LIMIT),
    ),
    Case(
        "E42",
        "individual cancels on stop",
        {"enable_limit_buys": True, "enable_limit_sells": True, "use_individual_cancels_on_stop": True},
        all_in(ACCEPTED, 2, LIMIT),
    ),
    Case(
        "E43",
        "batch cancel on stop",
        {"enable_limit_buys": True, "enable_limit_sells": True, "use_batch_cancel_on_stop": True},
        all_in(ACCEPTED, 2, LIMIT),
    ),
    Case(
        "E50",
        "bracket buy, limit entry",
        {"enable_brackets": True, "enable_limit_buys": True, "bracket_entry_order_type": LIMIT},
        lambda orders: len(orders) == 3 and all(o.status is ACCEPTED for o in orders),
    ),
    Case(
        "E51",
        "bracket sell, limit entry",
        {"enable_brackets": True, "enable_limit_sells": True, "bracket_entry_order_type": LIMIT},
        lambda orders: len(orders) == 3 and all(o.status is ACCEPTED for o in orders),
    ),
    Case(
        "E60",
        "post-only is denied",
        {"enable_limit_buys": True, "use_post_only": True},
        denied("no post-only"),
    ),
    Case(
        "E61",
        "reduce-only close on stop",
        {"open_position_on_start_qty": Decimal(10_000), "reduce_only_on_stop": True},
        opened(BUY),
    ),
    Case(
        "E62",
        "iceberg is denied",
        {"enable_limit_buys": True, "order_display_qty": Quantity.from_int(1_000)},
        denied("iceberg"),
    ),
    Case(
        "E63",
        "an unknown parameter is denied",
        {"enable_limit_buys": True, "order_params": {"leverage": 10}},
        denied("unknown order parameter leverage"),
    ),
    Case(
        "E70",
        "a post-only order through the market is denied before it could be rejected",
        {"enable_limit_buys": True, "use_post_only": True, "test_reject_post_only": True},
        denied("no post-only"),
    ),
    Case(
        "E71",
        "a reduce-only order without a position is denied before it could be rejected",
        {"open_position_on_start_qty": Decimal(10_000), "test_reject_reduce_only": True},
        denied("reduce-only needs the position it reduces"),
    ),
    Case("E80", "open on start", {"open_position_on_start_qty": Decimal(10_000)}, opened(BUY)),
    Case(
        "E81",
        "orders stay when the strategy does not cancel on stop",
        {"enable_limit_buys": True, "cancel_orders_on_stop": False},
        all_in(ACCEPTED, 1, LIMIT, BUY),
        LEFT,
    ),
    Case(
        "E82",
        "positions stay when the strategy does not close on stop",
        {"open_position_on_start_qty": Decimal(10_000), "close_positions_on_stop": False},
        opened(BUY),
        LEFT,
    ),
]


def exec_config(config: dict[str, Any]) -> ExecTesterConfig:
    facts = {"instrument_id": EURUSD, "client_id": ClientId(VENUE), "order_qty": Quantity.from_int(10_000)}
    return ExecTesterConfig(**(facts | QUIET | config))


def ours(b: Bench) -> Orders:
    return [o for o in b.cache.orders() if not str(o.strategy_id).startswith("Probe")]


def tester(config: dict[str, Any]) -> dict[str, Any]:
    """Options of a node that runs the framework's own tester beside the probe."""
    return {
        "setup": lambda node: _add(node, config),
        # What the tester orders when it stops is answered in that time, or the framework ends the run with an error.
        "node_options": {"delay_post_stop_secs": 1.0},
    }


def _add(node: LiveNode, config: dict[str, Any]) -> None:
    node.add_builtin_strategy("ExecTester", exec_config(config))


def reaching(case: Case) -> Script:
    """The tester's orders come to what the case says."""

    async def script(b: Bench) -> None:
        b.sandbox.push("EURUSD", "1.08500", "1.08508")
        await b.until(
            lambda: case.reached(ours(b)),
            f"TC-{case.id} ({case.what}); orders: "
            f"{[(str(o.order_type), str(o.status), str(getattr(o.last_event, 'reason', ''))) for o in ours(b)]}",
        )

    return script


def left_as_said(case: Case, books: dict[str, Any]) -> None:
    """What the broker has after the stop."""
    working = [o for o in books["orders"] if o["status"] == "accepted" and not o["closing"]]
    if case.after == FLAT:
        assert (books["positions"], working) == ([], [])
    else:
        assert books["positions"] or working


#: Orders that the tester keeps at their distance from a market that moves away from them.
MAINTAINED: dict[str, dict[str, Any]] = {
    "E30": {"enable_limit_buys": True, "modify_orders_to_maintain_tob_offset": True},
    "E31": {"enable_limit_sells": True, "modify_orders_to_maintain_tob_offset": True},
    "E32": {"enable_limit_buys": True, "cancel_replace_orders_to_maintain_tob_offset": True},
    "E33": {"enable_limit_sells": True, "cancel_replace_orders_to_maintain_tob_offset": True},
    "E34": {"enable_stop_buys": True, "modify_stop_orders_to_maintain_offset": True},
    "E35": {"enable_stop_buys": True, "cancel_replace_stop_orders_to_maintain_offset": True},
}


def following(case: str) -> Script:
    """The market moves away; the order is changed in place, or canceled and sent again."""
    sign = -1 if "enable_limit_sells" in MAINTAINED[case] else 1

    async def script(b: Bench) -> None:
        await b.until(lambda: any(o.status is ACCEPTED for o in ours(b)), "a working order")
        for step in range(1, 4):
            bid = Decimal("1.08500") + sign * step * Decimal("0.00020")
            b.sandbox.push("EURUSD", bid, bid + Decimal("0.00007"))
        if case in ("E32", "E33", "E35"):
            await b.until(lambda: any(o.status is OrderStatus.CANCELED for o in ours(b)), "a replaced order")
        else:
            await b.until(
                lambda: any("OrderUpdated" in [type(e).__name__ for e in o.events()] for o in ours(b)), "an update"
            )

    return script


async def quote_quantity_is_denied(b: Bench) -> None:
    """TC-E05."""
    order = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(10_000), quote_quantity=True)
    b.probe.submit_order(order)
    await b.names(order.client_order_id, "Initialized", "Denied")


async def working_limit(b: Bench) -> Any:
    """A limit order far from the market, accepted; its id."""
    order = b.probe.order_factory.limit(EURUSD, BUY, Quantity.from_int(10_000), Price.from_str("1.08000"))
    b.probe.submit_order(order)
    await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted")
    return order.client_order_id


async def a_volume_it_cannot_have_is_rejected(b: Bench, order_id: Any, units: int) -> None:
    """TC-E36: the order works on as it was."""
    b.probe.modify_order(order_id, quantity=Quantity.from_int(units))
    await b.until(lambda: "ModifyRejected" in b.probe.names(order_id), "modify rejected")
    assert b.cache.order(order_id).status is ACCEPTED


async def cancel_and_cancel_again(b: Bench) -> None:
    """TC-E40, and TC-E44: a cancel of a closed order changes nothing."""
    order_id = await working_limit(b)
    b.probe.cancel_order(order_id)
    await b.until(lambda: b.cache.order(order_id).status is OrderStatus.CANCELED, "cancel")
    seen = len(b.probe.events)
    b.probe.cancel_order(order_id)
    await b.until(lambda: b.cache.order(order_id).status is OrderStatus.CANCELED)
    assert [type(e).__name__ for e in b.probe.events[seen:]] in ([], ["OrderCancelRejected"])


async def market_bracket(b: Bench, side: OrderSide) -> Any:
    """TC-E52, TC-E53: an entry at market with both levels working; the order list."""
    stop, profit = ("1.08000", "1.09000") if side is BUY else ("1.09000", "1.08000")
    orders = b.bracket(stop, profit, side=side)
    await b.until(
        lambda: [b.cache.order(o.client_order_id).status for o in orders] == [FILLED, ACCEPTED, ACCEPTED],
        "a protected position",
    )
    return orders
