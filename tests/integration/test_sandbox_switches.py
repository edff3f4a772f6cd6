"""Every switch of the sandbox's server in its other position: the same deeds of our client end in the same books.

Whatever a server says first, twice, otherwise or not at all, what was traded is the same, and our client knows it.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model import OrderSide, PositionId, Quantity

from pepperstone_adapter.broker.events import LinkUp, OrderChange, OrderChanged
from pepperstone_adapter.broker.market import BarPeriod, Tick
from pepperstone_adapter.broker.orders import AmendRequest, OrderType, Protection, Side
from pepperstone_adapter.common.errors import PepperstoneError
from pepperstone_adapter.ctrader.client.session import CTraderSession
from pepperstone_adapter.sandbox.behaviour import BehaviourSettings, ErrorCodes
from pepperstone_adapter.sandbox.clock import TestClock
from pepperstone_adapter.sandbox.server import Sandbox
from tests.kit.ctrader import MemoryStore, Recorder, connected, credentials_of, run, sandbox
from tests.kit.ctrader_node import run_ctrader
from tests.kit.ctrader_node import sandbox as node_sandbox
from tests.kit.node import EURUSD, Bench
from tests.kit.requests import market_order

D = Decimal
T0_NS = 1_700_000_040 * 1_000_000_000  # a whole minute
MINUTE_NS = 60_000_000_000
ACCOUNT = 1001
FILLS = (OrderChange.FILLED, OrderChange.PARTIALLY_FILLED)

#: The other position of each switch. Sizes and times of a switch that is on by itself get one that shows.
OTHER: dict[str, list[Any]] = {
    "heartbeat_before_login": [False],
    "heartbeat_idle_s": [0.2],
    "client_silence_s": [0],
    "echo_heartbeats": [True],
    "execution_delay_ms": [50.0],
    "slippage_points_max": [],  # changes the prices of the deals, and so the books
    "access_token_lifetime_s": [3_000],
    "code_lifetime_s": [],  # of a login by hand; the OAuth pages have tests of their own
    "after_refresh": ["announces", "silent"],
    "refresh_token_single_use": [False],
    "technical_first_spot": [False],
    "spots": ["both_sides"],
    "spots_after_unsubscribe": [2],
    "spot_repeats": [1],
    "bars_in_own_spot": [True],
    "depth_levels": [2],
    "bar_lag_ms": [0.0],
    "bars_max": [2],
    "bars_one_less": ["always", "never"],
    "bars_newest_first": [True],
    "bars_carry_period": [True],
    "bars_has_more": [False],
    "bars_end_inclusive": [False],
    "bar_ranges": ["documented"],
    "delta_high_bug_every": [0, 1],
    "ticks_page": [2],
    "list_page": [2],
    "list_order": ["oldest_first", "newest_upwards"],
    "echo_client_order_id": [False],
    "extra_fields": [False],
    "absolute_levels_on_market": ["ignore"],
    "order_with_position_id": [False],
    "amend_volume": ["rest"],
    "repeated_client_order_id": ["refuse"],
    "order_list_time": ["created"],
    "pending_when_closed": [False],
    "pending_fill_by_server": [False],
    "order_refusals": ["execution", "error"],
    "acceptance": ["after_fill", "left_out"],
    "empty_positions": [False],
    "protection_events": ["before_fill"],
    "replaced_after_partial_close": [False],
    "trailing_events": ["replaced", "both"],
    "stop_out_flag": [False],
    "announce_protection_cancel": [False],
    "follow_ups_keep_id": [False],
    "ids_on_other_links": [False],
    "margin_call_silence_s": [0],
    "margin_changed_events": [True],
    "trader_updated_events": [True],
    "swap_events": [True],
    "pnl_v1": [True],
    "order_error_ids": [False],
    "errors": [
        {
            "no_account": "ACCOUNT_NOT_AUTHORIZED",
            "unknown_order": "ENTITY_NOT_FOUND",
            "unknown_position": "POSITION_NOT_FOUND_OR_NOT_OPENED: gone",
            "bad_volume": "A_CODE_OF_TOMORROW: too much",
            "token_expired": "OA_AUTH_TOKEN_EXPIRED",
            "token_invalid": "OA_AUTH_TOKEN_EXPIRED",
            "too_many_requests": "REQUEST_FREQUENCY_EXCEEDED",
            "bars_without_spots": "NOT_SUBSCRIBED_TO_SPOTS",
        },
    ],
}
POSITIONS = [(name, position) for name, positions in OTHER.items() for position in positions]


class Scene:
    """One run of the deeds below."""

    def __init__(self, folder: Path, behaviour: dict[str, Any], limits: dict[str, Any]) -> None:
        self.clock = TestClock(T0_NS)
        self.broker: Sandbox = sandbox(folder, self.clock, behaviour=behaviour, limits=limits)
        self.recorder = Recorder()
        self.history: dict[str, Any] = {}

    def account(self) -> Any:
        return self.broker.ledger.accounts[ACCOUNT]

    def price(self, bid: str) -> None:
        self.broker.push("EURUSD", bid, str(D(bid) + D("0.00010")))

    async def until(self, condition: Callable[[], Any]) -> None:
        """Time passes at the broker until something is so: delayed fills and tidings need it."""
        for _ in range(600):
            if condition():
                return
            self.broker.advance(0.02)
            await asyncio.sleep(0.01)
        raise AssertionError(f"not reached; events: {self.recorder.events[-8:]}")

    def told(self) -> set[str]:
        return {e.deal.deal_id for e in self.recorder.of(OrderChanged) if e.deal is not None}

    def books(self) -> dict[str, Any]:
        """The end state by the broker's ledger; ids and times are left out."""
        account = self.account()
        return {
            "deals": [(d.side, d.units, d.price, d.gross_profit, d.commission, d.entry) for d in account.deals],
            "orders": sorted((o.type, o.status, o.units, o.filled_units) for o in account.orders.values()),
            "positions": [
                (p.side, p.units, p.open_price, p.stop_loss, p.take_profit) for p in account.positions.values()
            ],
            "balance": account.balance,
        }


async def deeds(scene: Scene, session: CTraderSession) -> None:
    """A bracket that trails and is partly closed, a pending order that is moved and cancelled, refusals, a way out."""
    recorder = scene.recorder
    await session.subscribe_quotes(["EURUSD"])
    await session.subscribe_bars("EURUSD", BarPeriod.M1)
    scene.price("1.10000")
    await recorder.until(lambda: recorder.of(Tick))

    distances = Protection(stop_loss=D("0.00500"), take_profit=D("0.02000"), distance=True)
    entry = asyncio.ensure_future(session.submit(market_order("O-1", protection=distances)))
    await scene.until(lambda: entry.done() and scene.told())
    await entry
    (ticket,) = scene.account().positions
    position_id = str(ticket)
    await session.set_protection(position_id, Protection(stop_loss=D("1.09600"), trailing=True))
    scene.price("1.10300")  # the stop follows: 1.09600 + 0.00300

    close = asyncio.ensure_future(session.close_position(position_id, D(4_000), "C-1"))
    await scene.until(lambda: close.done() and len(scene.account().deals) == 2)
    assert (await close).client_order_id == "C-1"

    pending = await session.submit(market_order("O-2", type=OrderType.LIMIT, limit_price=D("1.05000")))
    await session.amend(AmendRequest(order_id=pending.order_id, symbol="EURUSD", limit_price=D("1.06000")))
    await session.cancel(pending.order_id, "EURUSD")
    for refused in (
        session.submit(market_order("O-3", units=D(10_000_000_000))),
        session.cancel("999", "EURUSD"),
        session.close_position("999", D(1_000), "C-9"),
    ):
        with pytest.raises(PepperstoneError):
            await refused

    other = asyncio.ensure_future(session.submit(market_order("O-4", side=Side.SELL)))
    await scene.until(lambda: other.done() and len(scene.account().deals) == 3)
    for minute in range(1, 6):
        scene.broker.advance(60)
        scene.price(f"1.1030{minute}")
    scene.price("1.09000")  # the first position is stopped out of the market; the second stays
    await scene.until(lambda: len(scene.account().deals) == 4)
    scene.broker.advance(5)
    bars = await session.history_bars("EURUSD", BarPeriod.M1, T0_NS, T0_NS + 5 * MINUTE_NS)
    ticks = await session.history_ticks("EURUSD", T0_NS, T0_NS + 5 * MINUTE_NS)
    scene.history["bars"] = [((b.open_ns - T0_NS) // MINUTE_NS, b.open, b.low, b.close) for b in bars]
    scene.history["ticks"] = [(t.bid, t.ask) for t in ticks]
    deals = await session.deals(T0_NS - MINUTE_NS, scene.clock.now_ns() + 1)
    scene.history["deals"] = [(d.side, d.units, d.price) for d in deals]


async def check_client(scene: Scene, session: CTraderSession) -> None:
    """What our client knows is what the ledger says, by events and when asked."""
    await scene.until(lambda: scene.told() == {str(d.deal_id) for d in scene.account().deals})
    snapshot = await session.snapshot()
    held = {str(p.position_id): (p.side, p.units) for p in scene.account().positions.values()}
    assert {p.position_id: (p.side, p.units) for p in snapshot.positions} == held
    assert snapshot.account.balance == scene.account().balance
    ends: dict[str, list[OrderChange]] = {}
    for event in scene.recorder.of(OrderChanged):
        if event.order.client_order_id is not None and event.change != OrderChange.REPLACED:
            ends.setdefault(event.order.client_order_id, []).append(event.change)
    assert ends["O-1"][:2] == [OrderChange.ACCEPTED, OrderChange.FILLED]
    assert [c for c in ends["C-1"] if c in FILLS] == [OrderChange.FILLED]
    assert ends["O-2"] == [OrderChange.ACCEPTED, OrderChange.CANCELED]
    assert OrderChange.FILLED not in ends.get("O-3", [])


def result(
    folder: Path, behaviour: dict[str, Any], limits: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    scene = Scene(folder, {"execution_delay_ms": 20.0, **behaviour}, limits or {})

    async def main() -> None:
        async with connected(scene.broker, clock=scene.clock) as (session, recorder):
            scene.recorder = recorder
            await deeds(scene, session)
            await check_client(scene, session)

    with scene.broker:
        scene.broker.push("EURUSD", "1.10000", "1.10010")
        run(main)
        assert scene.broker.violations() == []
        return scene.books(), scene.history


@cache
def usual(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return result(folder, {})


def test_every_switch_has_another_position_here() -> None:
    assert set(OTHER) == set(BehaviourSettings.model_fields)
    for name, position in POSITIONS:
        if name != "errors":
            assert position != BehaviourSettings.model_fields[name].default
    assert set(OTHER["errors"][0]) <= set(ErrorCodes.model_fields)


@pytest.mark.parametrize(("name", "position"), POSITIONS, ids=lambda value: str(value)[:24])
def test_the_same_end_whatever_the_switch(
    name: str, position: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    books, history = usual(tmp_path_factory.getbasetemp() / "usual")
    other_books, other_history = result(tmp_path, {name: position})
    assert other_books == books
    assert other_history == history


@pytest.mark.parametrize("order", ["oldest_first", "newest_upwards"])
def test_the_same_end_when_lists_come_in_small_pages_of_another_order(
    order: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    usual_end = usual(tmp_path_factory.getbasetemp() / "usual")
    assert result(tmp_path, {"list_order": order, "list_page": 2}) == usual_end


def test_the_same_end_when_every_list_counts_as_historical(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    usual_end = usual(tmp_path_factory.getbasetemp() / "usual")
    assert result(tmp_path, {}, limits={"historical": "lists_too"}) == usual_end


@pytest.mark.parametrize("single_use", [True, False])
@pytest.mark.parametrize("after", ["ends", "announces", "silent"])
def test_a_token_refreshed_on_a_living_session_leaves_it_trading(tmp_path: Path, after: str, single_use: bool) -> None:
    switches = {"after_refresh": after, "refresh_token_single_use": single_use}
    scene = Scene(tmp_path, {"execution_delay_ms": 0.0, **switches}, {})

    async def main() -> None:
        hour_ns = 3_600 * 1_000_000_000
        store = MemoryStore(credentials_of(scene.broker, issued_ns=T0_NS, expires_ns=T0_NS + hour_ns))
        async with connected(scene.broker, clock=scene.clock, store=store) as (session, recorder):
            scene.recorder = recorder
            scene.broker.advance(3_000)  # more than 80 % of its life
            await session._ask(lambda account: account._renew())
            await recorder.until(lambda: len(recorder.of(LinkUp)) == 2)
            await session.submit(market_order("O-1"))
            await scene.until(lambda: scene.told())
            assert [saved.refreshing for saved in store.saved] == [True, False]
            assert [d.units for d in scene.account().deals] == [D(10_000)]

    with scene.broker:
        scene.broker.push("EURUSD", "1.10000", "1.10010")
        run(main)
        assert len(scene.broker.journal.requests("RefreshTokenReq")) == 1


@pytest.mark.parametrize("how", ["order_error", "execution", "error"])
def test_a_strategy_hears_of_a_refusal_once_however_it_is_said(tmp_path: Path, how: str) -> None:
    async def script(b: Bench) -> None:
        order = b.probe.order_factory.market(EURUSD, OrderSide.BUY, Quantity.from_int(5_000_000))  # 180,000 of margin
        b.probe.submit_order(order)
        await b.until(lambda: b.probe.names(order.client_order_id)[-1:] == ["Rejected"], "the refusal")
        good = b.probe.order_factory.market(EURUSD, OrderSide.BUY, Quantity.from_int(10_000))
        b.probe.submit_order(good)
        await b.until(lambda: b.probe.names(good.client_order_id)[-1:] == ["Filled"], "a fill")
        assert b.probe.names(order.client_order_id).count("Rejected") == 1

    with node_sandbox(tmp_path, behaviour={"order_refusals": how}) as broker:
        run_ctrader(tmp_path, broker, script)


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"acceptance": "after_fill"},
        {"acceptance": "left_out"},
        {"protection_events": "before_fill"},
        {"acceptance": "after_fill", "protection_events": "before_fill"},
        {"replaced_after_partial_close": False},
        {"announce_protection_cancel": False},
        {"trailing_events": "both"},
        {"empty_positions": False, "echo_client_order_id": False},
        {"follow_ups_keep_id": False, "ids_on_other_links": False},
    ],
    ids=str,
)
def test_a_bracket_of_a_strategy_is_told_the_same_whatever_the_order_of_events(
    tmp_path: Path, switches: dict[str, Any]
) -> None:
    told: dict[str, list[str]] = {}

    async def script(b: Bench) -> None:
        entry, stop, profit = b.bracket("1.08200", "1.09000")
        await b.reach(entry, "FILLED")
        for leg in (stop, profit):
            await b.reach(leg, "ACCEPTED")
        await b.until(lambda: [p.stop_loss for p in held()] == [D("1.08200")], "the exact stop loss")
        ticket = PositionId(str(held()[0].position_id))
        close = b.probe.order_factory.market(EURUSD, OrderSide.SELL, Quantity.from_int(4_000))
        b.probe.submit_order(close, position_id=ticket)
        await b.reach(close, "FILLED")
        await b.until(
            lambda: {int(b.cache.order(leg.client_order_id).quantity) for leg in (stop, profit)} == {6_000},
            "smaller legs",
        )
        b.probe.cancel_order(profit.client_order_id)
        await b.reach(profit, "CANCELED")
        b.sandbox.push("EURUSD", "1.08100", "1.08110")
        await b.reach(stop, "FILLED")
        await b.until(lambda: not b.cache.positions_open(), "a flat book")
        assert not held()
        for name, order in (("entry", entry), ("stop", stop), ("profit", profit), ("close", close)):
            told[name] = [n for n in b.probe.names(order.client_order_id) if n != "Updated"]

    with node_sandbox(tmp_path, behaviour=switches) as broker:

        def held() -> list[Any]:
            return list(broker.ledger.accounts[1_000_001].positions.values())

        run_ctrader(tmp_path, broker, script)
    begin = ["Initialized", "Submitted", "Accepted"]
    assert told == {
        "entry": [*begin, "Filled"],
        "stop": [*begin, "Filled"],
        "profit": [*begin, "PendingCancel", "Canceled"],
        "close": [*begin, "Filled"],
    }
