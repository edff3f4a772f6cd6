"""The framework's execution conformance cases (TC-E), run by its own ExecTester on the sandbox broker.

Each test is named by its case id. What the venue has no way to do must be *denied* before it is sent, with a reason; the
table in docs/ctrader.md lists every case. Cases E74 to E78 (ambiguous outcomes) need faults of the wire and stand in
`tests/unit/live/test_reconciliation.py` and `tests/faults`; E90 and on are about options, which this venue has not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import (
    ClientId,
    OrderSide,
    OrderStatus,
    OrderType,
    Price,
    Quantity,
    TimeInForce,
)
from nautilus_trader.testkit import ExecTesterConfig

from pepperstone_adapter.sandbox.report import books
from tests.kit.ctrader_node import ACCOUNT_ID, run_ctrader, sandbox
from tests.kit.node import EURUSD, VENUE, Bench

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
    pushes: tuple[tuple[str, str], ...] = field(default=())


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
    return ExecTesterConfig(
        instrument_id=EURUSD, client_id=ClientId(VENUE), order_qty=Quantity.from_int(10_000), **(QUIET | config)
    )


def ours(b: Bench) -> Orders:
    return [o for o in b.cache.orders() if not str(o.strategy_id).startswith("Probe")]


@pytest.mark.parametrize("case", CASES, ids=[f"TC-{c.id}" for c in CASES])
def test_tc(case: Case, tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.sandbox.push("EURUSD", "1.08500", "1.08508")
        await b.until(
            lambda: case.reached(ours(b)),
            f"TC-{case.id} ({case.what}); orders: "
            f"{[(str(o.order_type), str(o.status), str(getattr(o.last_event, 'reason', ''))) for o in ours(b)]}",
        )

    with sandbox(tmp_path) as broker:
        run_ctrader(
            tmp_path,
            broker,
            script,
            setup=lambda node: node.add_builtin_strategy("ExecTester", exec_config(case.config)),
            node_options={"delay_post_stop_secs": 1.0},
        )
        report = broker.call(books, broker.ledger, ACCOUNT_ID)
        working = [o for o in report["orders"] if o["status"] == "accepted" and not o.get("position_id_closing")]
        if case.after == FLAT:
            assert report["positions"] == []
        else:
            assert report["positions"] or working
        assert broker.violations() == []


def test_tc_e05_quote_quantity_is_denied(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, BUY, Quantity.from_int(10_000), quote_quantity=True)
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Denied")

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


@pytest.mark.parametrize(
    ("case", "config"),
    [
        ("E30", {"enable_limit_buys": True, "modify_orders_to_maintain_tob_offset": True}),
        ("E31", {"enable_limit_sells": True, "modify_orders_to_maintain_tob_offset": True}),
        ("E32", {"enable_limit_buys": True, "cancel_replace_orders_to_maintain_tob_offset": True}),
        ("E33", {"enable_limit_sells": True, "cancel_replace_orders_to_maintain_tob_offset": True}),
        ("E34", {"enable_stop_buys": True, "modify_stop_orders_to_maintain_offset": True}),
        ("E35", {"enable_stop_buys": True, "cancel_replace_stop_orders_to_maintain_offset": True}),
    ],
    ids=["TC-E30", "TC-E31", "TC-E32", "TC-E33", "TC-E34", "TC-E35"],
)
def test_tc_maintained_orders_follow_the_market(case: str, config: dict[str, Any], tmp_path: Path) -> None:
    replaced = case in ("E32", "E33", "E35")
    sign = -1 if "enable_limit_sells" in config else 1  # away from the order, so that it must follow

    async def script(b: Bench) -> None:
        await b.until(lambda: any(o.status is ACCEPTED for o in ours(b)), "a working order")
        for step in range(1, 4):
            bid = Decimal("1.08500") + sign * step * Decimal("0.00020")
            b.sandbox.push("EURUSD", bid, bid + Decimal("0.00007"))
        if replaced:
            await b.until(lambda: any(o.status is OrderStatus.CANCELED for o in ours(b)), "a replaced order")
        else:
            await b.until(
                lambda: any("OrderUpdated" in [type(e).__name__ for e in o.events()] for o in ours(b)), "an update"
            )

    with sandbox(tmp_path) as broker:
        run_ctrader(
            tmp_path,
            broker,
            script,
            setup=lambda node: node.add_builtin_strategy("ExecTester", exec_config(config)),
            node_options={"delay_post_stop_secs": 1.0},
        )
        assert broker.violations() == []


def test_tc_e36_a_modify_the_venue_cannot_do_is_rejected(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, Quantity.from_int(10_000), Price.from_str("1.08000"))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted")
        b.probe.modify_order(order.client_order_id, quantity=Quantity.from_int(500))
        await b.until(lambda: "ModifyRejected" in b.probe.names(order.client_order_id), "modify rejected")
        assert b.cache.order(order.client_order_id).status is ACCEPTED

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_e40_cancel_and_e44_cancel_of_a_closed_order(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.limit(EURUSD, BUY, Quantity.from_int(10_000), Price.from_str("1.08000"))
        b.probe.submit_order(order)
        await b.names(order.client_order_id, "Initialized", "Submitted", "Accepted")
        b.probe.cancel_order(order.client_order_id)
        await b.until(lambda: b.cache.order(order.client_order_id).status is OrderStatus.CANCELED, "cancel")
        seen = len(b.probe.events)
        b.probe.cancel_order(order.client_order_id)
        await b.until(lambda: b.cache.order(order.client_order_id).status is OrderStatus.CANCELED)
        assert [type(e).__name__ for e in b.probe.events[seen:]] in ([], ["OrderCancelRejected"])

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


@pytest.mark.parametrize("side", [BUY, SELL], ids=["TC-E52", "TC-E53"])
def test_tc_market_entry_brackets(side: OrderSide, tmp_path: Path) -> None:
    stop, profit = ("1.08000", "1.09000") if side is BUY else ("1.09000", "1.08000")

    async def script(b: Bench) -> None:
        orders = b.probe.order_factory.bracket(
            EURUSD,
            side,
            Quantity.from_int(10_000),
            sl_trigger_price=Price.from_str(stop),
            tp_price=Price.from_str(profit),
        )
        b.probe.submit_order_list(orders)
        await b.until(
            lambda: [b.cache.order(o.client_order_id).status for o in orders] == [FILLED, ACCEPTED, ACCEPTED],
            "a protected position",
        )

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, script)


def test_tc_e84_to_e87_reconciliation_of_orders_fills_long_and_short(tmp_path: Path) -> None:
    async def first(b: Bench) -> None:
        f = b.probe.order_factory
        orders = [
            f.market(EURUSD, BUY, Quantity.from_int(10_000)),
            f.market(EURUSD, SELL, Quantity.from_int(4_000)),
            f.limit(EURUSD, BUY, Quantity.from_int(1_000), Price.from_str("1.07000")),
        ]
        for order in orders:
            b.probe.submit_order(order)
        await b.until(
            lambda: [b.cache.order(o.client_order_id).status for o in orders] == [FILLED, FILLED, ACCEPTED], "orders"
        )

    async def second(b: Bench) -> None:
        found = sorted(str(p.signed_qty) for p in b.cache.positions_open())
        assert found == ["-4000.0", "10000.0"]
        kinds = sorted((str(o.order_type), str(o.status)) for o in b.cache.orders())
        assert kinds == [("LIMIT", "ACCEPTED"), ("MARKET", "FILLED"), ("MARKET", "FILLED")]
        assert {len(o.trade_ids) for o in b.cache.orders() if o.order_type is MARKET} == {1}

    with sandbox(tmp_path) as broker:
        run_ctrader(tmp_path, broker, first)
        run_ctrader(tmp_path, broker, second, claim=True)
