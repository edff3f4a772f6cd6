"""Broker events in every order and number: what the framework is told, decided without I/O."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker.events import OrderChange, OrderChanged, PositionChanged
from pepperstone_adapter.broker.orders import (
    Deal,
    DealEntry,
    DealReason,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
    Protection,
    Side,
)
from pepperstone_adapter.broker.session import FoundOrder
from pepperstone_adapter.live.emissions import Canceled, Emission, Filled, Updated
from pepperstone_adapter.live.order_events import OrderEvents
from pepperstone_adapter.live.tracking import CLOSE, KEPT_ORDERS, LEG, OrderTable, Phase, TrackedOrder
from pepperstone_adapter.mapping.ids import Leg

D = Decimal


def order(cid: str = "A", **more: object) -> TrackedOrder:
    facts: dict[str, object] = {
        "client_order_id": cid,
        "venue_text": f"text-{cid}",
        "strategy_id": "S-1",
        "symbol": "EURUSD",
        "side": Side.BUY,
        "units": D(10_000),
    }
    return TrackedOrder(**(facts | more))  # type: ignore[arg-type]


def state(**more: object) -> OrderState:
    facts: dict[str, object] = {
        "order_id": "5001",
        "symbol": "EURUSD",
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "status": OrderStatus.ACCEPTED,
        "units": D(10_000),
        "client_order_id": "text-A",
        "position_id": "7001",
    }
    return OrderState(**(facts | more))  # type: ignore[arg-type]


def deal(n: int = 1, units: int = 10_000, **more: object) -> Deal:
    facts: dict[str, object] = {
        "deal_id": f"d{n}",
        "order_id": "5001",
        "position_id": "7001",
        "symbol": "EURUSD",
        "side": Side.BUY,
        "units": D(units),
        "price": D("1.085"),
        "ts_ns": n,
        "entry": DealEntry.IN,
    }
    return Deal(**(facts | more))  # type: ignore[arg-type]


def position(units: int = 10_000, stop: str | None = None, profit: str | None = None) -> PositionState:
    return PositionState(
        position_id="7001",
        symbol="EURUSD",
        side=Side.BUY,
        units=D(units),
        open_price=D("1.085"),
        opened_ns=1,
        protection=Protection(stop_loss=D(stop) if stop else None, take_profit=D(profit) if profit else None),
    )


def decide(*tracked: TrackedOrder) -> OrderEvents:
    table = OrderTable()
    for one in tracked:
        table.add(one)
    return OrderEvents(table, netting=False)


def names(emissions: list[Emission]) -> list[str]:
    return [type(e).__name__ for e in emissions]


def legs() -> tuple[TrackedOrder, TrackedOrder]:
    return (
        order("SL", kind=LEG, leg=Leg.STOP_LOSS, parent="A", side=Side.SELL, stop=D("1.080")),
        order("TP", kind=LEG, leg=Leg.TAKE_PROFIT, parent="A", side=Side.SELL, limit=D("1.090")),
    )


ACCEPTED = OrderChanged(change=OrderChange.ACCEPTED, order=state())
FILLED = OrderChanged(change=OrderChange.FILLED, order=state(status=OrderStatus.FILLED), deal=deal())


@pytest.mark.parametrize("told_first", ["acceptance", "deal"])
def test_a_close_by_takes_what_the_smaller_position_has_whatever_comes_first(told_first: str) -> None:
    """10,000 were to go, the other position has 4,000: the order is told to be for these, and is filled whole."""
    events = decide(order("C", kind=CLOSE, side=Side.SELL, position_id="7001"))
    half = state(order_id="9/7001", client_order_id="text-C", side=Side.SELL, units=D(4_000), closing=True)
    out = deal(1, 4_000, order_id="9/7001", side=Side.SELL, entry=DealEntry.OUT_BY)
    other = replace(half, order_id="9/7002", client_order_id=None, side=Side.BUY, position_id="7002")
    both = [
        OrderChanged(change=OrderChange.ACCEPTED, order=half),
        OrderChanged(change=OrderChange.FILLED, order=replace(half, status=OrderStatus.FILLED), deal=out),
    ]
    told = [e for event in (both if told_first == "acceptance" else both[::-1]) for e in events.on_order(event)]
    assert names(told) == ["Accepted", "Updated", "Filled"]
    assert (told[1].units, told[2].complete) == (D(4_000), True)  # type: ignore[union-attr]
    # The other half is an order of its own, on the other position.
    theirs = deal(2, 4_000, order_id="9/7002", position_id="7002", entry=DealEntry.OUT_BY)
    filled = OrderChanged(change=OrderChange.FILLED, order=other, deal=theirs)
    assert names(events.on_order(filled)) == ["StrangerOrder", "StrangerFill"]
    assert names(events.on_order(filled)) == []


def test_f29_a_fill_before_its_acceptance_brings_the_acceptance_with_it() -> None:
    events = decide(order())
    assert names(events.on_order(FILLED)) == ["Accepted", "Filled"]
    assert names(events.on_order(ACCEPTED)) == []


@given(st.permutations([ACCEPTED, FILLED, FILLED, ACCEPTED, FILLED]))
def test_f27_f30_any_order_and_number_of_messages_is_one_acceptance_and_one_fill(told: list[OrderChanged]) -> None:
    events = decide(order())
    assert names([e for event in told for e in events.on_order(event)]) == ["Accepted", "Filled"]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_f31_partial_fills_add_up(parts: list[int]) -> None:
    total = sum(parts)
    events = decide(order(units=D(total)))
    out = []
    for n, part in enumerate(parts):
        done = n == len(parts) - 1
        change = OrderChange.FILLED if done else OrderChange.PARTIALLY_FILLED
        out += events.on_order(OrderChanged(change=change, order=state(units=D(total)), deal=deal(n, part)))
    assert names(out) == ["Accepted"] + ["Filled"] * len(parts)
    tracked = events.table.get("A")
    assert tracked is not None
    assert (tracked.filled, tracked.phase) == (D(total), Phase.ENDED)


def test_an_order_the_broker_ends_filled_with_less_has_become_smaller() -> None:
    close = order("C", kind=CLOSE, side=Side.SELL, units=D(5_000), position_id="7001")
    events = decide(close)
    # 1,000 of the 5,000 had been closed by an order sent just before: the broker filled what was left, 4,000
    done = state(
        status=OrderStatus.FILLED, client_order_id="text-C", units=D(5_000), filled_units=D(4_000), closing=True
    )
    told = events.on_order(OrderChanged(change=OrderChange.FILLED, order=done, deal=deal(1, 4_000)))
    assert names(told) == ["Accepted", "Updated", "Filled"]
    assert (close.units, close.phase) == (D(4_000), Phase.ENDED)


def test_a_strangers_close_that_met_less_is_shown_with_what_it_did() -> None:
    events = decide()
    done = state(status=OrderStatus.FILLED, client_order_id=None, units=D(3_000), filled_units=D(1_000), closing=True)
    told = events.on_order(OrderChanged(change=OrderChange.FILLED, order=done, deal=deal(1, 1_000)))
    assert names(told) == ["StrangerOrder", "StrangerFill"]
    assert told[0].order.units == D(1_000)  # type: ignore[union-attr]


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("learnt", ["stream", "question"])
def test_a_strangers_market_order_whose_rest_is_canceled_has_ended(learnt: str, closing: bool) -> None:
    """Of 3,000 a stranger gets 1,000, the rest is canceled: told filled with that and canceled, not open for ever."""
    events = decide()
    met = state(status=OrderStatus.PARTIALLY_FILLED, client_order_id=None, units=D(3_000), filled_units=D(1_000))
    met = replace(met, closing=closing)
    ended = replace(met, status=OrderStatus.CANCELED)
    if learnt == "stream":
        told = events.on_order(OrderChanged(change=OrderChange.PARTIALLY_FILLED, order=met, deal=deal(1, 1_000)))
        told += events.on_order(OrderChanged(change=OrderChange.CANCELED, order=ended))
    else:
        told = events.on_found(FoundOrder(order=ended, deals=(deal(1, 1_000),)), 5)
    assert names(told) == ["StrangerOrder", "StrangerFill", "StrangerOrder"]
    assert [e.introduce for e in told if hasattr(e, "introduce")] == [True, False]
    assert told[2].order.status is OrderStatus.CANCELED  # type: ignore[union-attr]
    assert events.table.foreign == {}  # nothing is left to ask about
    assert events.on_found(FoundOrder(order=ended, deals=(deal(1, 1_000),)), 6) == []


@pytest.mark.parametrize("learnt", ["stream", "question"])
@pytest.mark.parametrize("kind", [OrderType.MARKET, OrderType.LIMIT])
def test_an_order_that_was_given_up_and_comes_to_life_is_told_as_a_strangers_and_stops_new_risk(
    learnt: str, kind: OrderType
) -> None:
    """The framework takes no fill for an order it was told to be rejected: the position would be there, and unknown."""
    ours = order("A")
    events = decide(ours)
    assert names(events.reject(ours, "never reached the broker", 1)) == ["Rejected"]
    if kind is OrderType.LIMIT:  # it works
        event = OrderChanged(change=OrderChange.ACCEPTED, order=state(type=kind, limit_price=D("1.08")))
        expected = ["StrangerOrder", "Warn"]
    else:
        event = replace(FILLED, order=state(type=kind, status=OrderStatus.FILLED, filled_units=D(10_000)))
        expected = ["StrangerOrder", "StrangerFill", "Warn"]
    if learnt == "stream":
        told = events.on_order(event)
    else:
        told = events.on_found(FoundOrder(order=event.order, deals=(event.deal,) if event.deal else ()), 5)
    assert names(told) == expected
    assert told[-1].halt  # type: ignore[union-attr]
    assert told[-1].text.startswith("A was told rejected, and lives at the broker as order 5001")  # type: ignore[union-attr]
    assert "Warn" not in names(events.on_order(event))  # once


def _canceled() -> OrderChanged:
    return OrderChanged(change=OrderChange.CANCELED, order=state(status=OrderStatus.CANCELED))


def test_what_is_said_again_about_a_refused_order_wakes_nothing() -> None:
    ours = order("A")
    events = decide(ours)
    events.on_order(ACCEPTED)
    refused = OrderChanged(change=OrderChange.REJECTED, order=state(status=OrderStatus.REJECTED), error="NO_MONEY")
    assert names(events.on_order(refused)) == ["Rejected"]
    for again in (refused, ACCEPTED, _canceled()):
        assert events.on_order(again) == []


def test_an_order_that_ends_filled_keeps_its_size_while_a_deal_of_it_is_missing() -> None:
    close = order("C", kind=CLOSE, side=Side.SELL, units=D(5_000), position_id="7001")
    events = decide(close)
    done = state(
        status=OrderStatus.FILLED, client_order_id="text-C", units=D(5_000), filled_units=D(5_000), closing=True
    )
    second = OrderChanged(change=OrderChange.FILLED, order=done, deal=deal(2, 4_000))
    assert names(events.on_order(second)) == ["Accepted", "Filled"]
    assert (close.units, close.phase) == (D(5_000), Phase.ACCEPTED)


def test_f32_a_partial_fill_then_expiry_keeps_the_fill_and_shrinks_the_legs() -> None:
    events = decide(order(), *legs())
    events.on_order(ACCEPTED)
    events.on_order(OrderChanged(change=OrderChange.PARTIALLY_FILLED, order=state(), deal=deal(1, 4_000)))
    out = events.on_order(OrderChanged(change=OrderChange.EXPIRED, order=state(status=OrderStatus.EXPIRED)))
    assert names(out) == ["Expired", "Updated", "Updated"]
    assert {leg.units for leg in events.table.legs_of_position("7001")} == {D(4_000)}


def test_f34_a_rejection_after_acceptance_ends_the_order_and_its_legs() -> None:
    events = decide(order(), *legs())
    assert names(events.on_order(ACCEPTED)) == ["Accepted", "Accepted", "Accepted"]
    rejected = OrderChanged(change=OrderChange.REJECTED, order=state(), error="NOT_ENOUGH_MONEY")
    assert names(events.on_order(rejected)) == ["Rejected", "Canceled", "Canceled"]
    assert names(events.on_order(rejected)) == []


def test_f61_a_level_that_is_hit_fills_its_leg_and_ends_the_other() -> None:
    hit = state(order_id="5002", type=OrderType.PROTECTION, side=Side.SELL, closing=True, client_order_id="text-A")
    for reason, price, filled in (
        (DealReason.STOP_LOSS, "1.080", "SL"),
        (DealReason.TAKE_PROFIT, "1.090", "TP"),
        (DealReason.OTHER, "1.0795", "SL"),  # not told: the nearer level
        (DealReason.OTHER, "1.0902", "TP"),
    ):
        events = decide(order(), *legs())
        events.on_order(ACCEPTED)
        events.on_order(replace(FILLED, position=position(stop="1.080", profit="1.090")))
        closing = deal(2, side=Side.SELL, entry=DealEntry.OUT, order_id="5002", price=D(price), reason=reason)
        out = events.on_order(
            OrderChanged(change=OrderChange.FILLED, order=hit, deal=closing, position=position(units=0))
        )
        assert names(out) == ["Filled", "Canceled"]
        assert out[0].client_order_id == filled  # type: ignore[union-attr]


@pytest.mark.parametrize("told_first", ["deal", "position"])
def test_f61_a_level_that_fills_in_parts_has_room_for_all_of_them(told_first: str) -> None:
    """What a part leaves is what the position still has: the framework drops a fill of more than an order is for."""
    stop, profit = legs()
    events = decide(order(), stop, profit)
    events.on_order(ACCEPTED)
    events.on_order(replace(FILLED, position=position(stop="1.080", profit="1.090")))
    hit = state(order_id="5002", type=OrderType.PROTECTION, side=Side.SELL, closing=True, client_order_id=None)
    told: list[Emission] = []
    for n, (units, left) in enumerate(((2_000, 8_000), (3_000, 5_000), (5_000, 0)), start=2):
        reason = DealReason.TAKE_PROFIT
        closing = deal(n, units, side=Side.SELL, entry=DealEntry.OUT, order_id="5002", price=D("1.090"), reason=reason)
        part = OrderChanged(change=OrderChange.PARTIALLY_FILLED, order=hit, deal=closing)
        now = position(left, stop="1.080", profit="1.090") if left else position(0)
        if told_first == "deal":
            told += [*events.on_order(part), *events.on_position(PositionChanged(position=now, ts_ns=n))]
        elif left:
            told += [*events.on_position(PositionChanged(position=now, ts_ns=n)), *events.on_order(part)]
        else:  # a position that is gone is told with its last deal at the earliest
            told += events.on_order(replace(part, position=now))
        if told_first == "deal":
            assert profit.units == profit.filled + left == D(10_000)
        assert stop.units == left or not left
    filled = D(0)
    sizes = {"TP": D(10_000)}
    for one in told:
        if isinstance(one, Updated):
            sizes[one.client_order_id] = one.units
        elif isinstance(one, Filled):
            filled += one.deal.units
            assert filled <= sizes["TP"]
    assert filled == D(10_000)
    assert (stop.phase, profit.phase) == (Phase.ENDED, Phase.ENDED)
    assert [e.client_order_id for e in told if isinstance(e, Canceled)] == ["SL"]


def test_an_echoed_id_on_a_closing_order_does_not_make_it_ours() -> None:
    events = decide(order())
    events.on_order(FILLED)
    manual = state(order_id="5009", side=Side.SELL, closing=True, status=OrderStatus.FILLED)
    out = events.on_order(
        OrderChanged(change=OrderChange.FILLED, order=manual, deal=deal(3, side=Side.SELL, order_id="5009"))
    )
    assert names(out) == ["StrangerOrder", "StrangerFill"]
    assert out[0].introduce  # type: ignore[union-attr]


def test_f58_f62_strangers_are_introduced_once_and_a_stop_out_halts() -> None:
    events = decide()
    stop_out = state(order_id="5009", client_order_id=None, side=Side.SELL, closing=True, stop_out=True)
    told = OrderChanged(
        change=OrderChange.FILLED,
        order=stop_out,
        deal=deal(4, order_id="5009", side=Side.SELL, entry=DealEntry.OUT, reason=DealReason.STOP_OUT),
    )
    assert names(events.on_order(told)) == ["StrangerOrder", "StrangerFill", "Warn"]
    assert names(events.on_order(told)) == []


def test_strangers_that_have_ended_are_forgotten_in_the_end_and_working_ones_never() -> None:
    events = decide()
    working = state(order_id="1", client_order_id=None, type=OrderType.LIMIT, position_id=None)
    told = OrderChanged(change=OrderChange.ACCEPTED, order=working)
    assert [e.introduce for e in events.on_order(told)] == [True]  # type: ignore[union-attr]
    for n in range(2, KEPT_ORDERS + 100):
        filled = state(order_id=str(n), client_order_id=None, status=OrderStatus.FILLED)
        seen = OrderChanged(change=OrderChange.FILLED, order=filled, deal=deal(n, order_id=str(n)))
        assert names(events.on_order(seen)) == ["StrangerOrder", "StrangerFill"]
    assert len(events.table.introduced) <= KEPT_ORDERS
    assert names(events.on_order(seen)) == []
    assert [e.introduce for e in events.on_order(told)] == [False]  # type: ignore[union-attr]


def test_f65_levels_moved_or_removed_by_others_are_followed() -> None:
    events = decide(order(), *legs())
    events.on_order(ACCEPTED)
    events.on_order(replace(FILLED, position=position(stop="1.080", profit="1.090")))
    moved = events.on_position(PositionChanged(position=position(stop="1.082", profit="1.090"), ts_ns=9))
    assert [(e.client_order_id, e.stop) for e in moved] == [("SL", D("1.082"))]  # type: ignore[union-attr]
    removed = events.on_position(PositionChanged(position=position(profit="1.090"), ts_ns=10))
    assert names(removed) == ["Canceled", "Warn"]


def test_provisional_levels_are_not_told_until_the_exact_ones_are_set() -> None:
    events = decide(order(wants_exact=True), *legs())
    events.on_order(ACCEPTED)
    out = events.on_order(replace(FILLED, position=position(stop="1.0803", profit="1.0903")))
    assert names(out) == ["Filled", "SetExactLevels"]
    assert names(events.on_position(PositionChanged(position=position(stop="1.0803"), ts_ns=9))) == []
    events.settling.clear()
    told = events.on_position(PositionChanged(position=position(stop="1.0803", profit="1.0903"), ts_ns=10))
    assert names(told) == ["Updated", "Updated"]


def test_a_look_at_an_order_applies_only_what_is_new() -> None:
    events = decide(order())
    events.on_order(OrderChanged(change=OrderChange.PARTIALLY_FILLED, order=state(), deal=deal(1, 4_000)))
    found = FoundOrder(order=state(status=OrderStatus.FILLED), deals=(deal(1, 4_000), deal(2, 6_000)))
    assert names(events.on_found(found, 9)) == ["Filled"]
    assert names(events.on_found(found, 9)) == []


def test_a_deal_is_marked_after_it_was_applied_never_before() -> None:
    events = decide(order())
    assert not events.table.deal_told(deal())
    events.on_order(FILLED)
    assert events.table.deal_told(deal())


def close_order(**more: object) -> TrackedOrder:
    return order("C", kind=CLOSE, side=Side.SELL, units=D(4_000), position_id="7001", **more)


def nameless(**more: object) -> OrderState:
    facts = {"order_id": "5009", "client_order_id": None, "side": Side.SELL, "units": D(4_000), "closing": True}
    return state(**(facts | {"status": OrderStatus.FILLED} | more))


def out_deal(n: int = 3) -> Deal:
    return deal(n, 4_000, order_id="5009", side=Side.SELL, entry=DealEntry.OUT)


def test_a_nameless_closing_deal_waits_while_a_close_of_ours_is_unanswered_and_then_is_that_closes() -> None:
    events = decide(close_order())
    told = OrderChanged(change=OrderChange.FILLED, order=nameless(), deal=out_deal())
    assert events.on_order(told) == []
    assert not events.table.deal_told(out_deal())  # so the audit comes back to it
    found = FoundOrder(order=nameless(client_order_id="text-C"), deals=(out_deal(),))
    assert names(events.on_found(found, 9)) == ["Accepted", "Filled"]
    assert events.on_order(told) == []


def test_a_nameless_closing_deal_is_a_strangers_once_our_close_has_an_order_of_its_own() -> None:
    events = decide(close_order())
    told = OrderChanged(change=OrderChange.FILLED, order=nameless(), deal=out_deal())
    assert events.on_order(told) == []
    ours = nameless(order_id="5010", client_order_id="text-C", status=OrderStatus.ACCEPTED)
    events.on_order(OrderChanged(change=OrderChange.ACCEPTED, order=ours))
    assert names(events.on_order(told)) == ["StrangerOrder", "StrangerFill"]


@pytest.mark.parametrize("other", [{"units": D(5_000)}, {"position_id": "7002"}, {"stop_out": True}])
def test_a_closing_deal_that_cannot_be_our_unanswered_close_does_not_wait(other: dict[str, object]) -> None:
    told = OrderChanged(change=OrderChange.FILLED, order=nameless(**other), deal=out_deal())
    assert "StrangerFill" in names(decide(close_order()).on_order(told))


def test_a_look_at_a_partly_filled_order_tells_its_deal_and_its_new_price() -> None:
    """F06: the answer to an amend was lost, and a part was filled meanwhile."""
    table = OrderTable()
    table.add(order(limit=D("1.08000")))
    events = OrderEvents(table, netting=False)
    resting = state(type=OrderType.LIMIT, limit_price=D("1.08000"))
    events.on_order(OrderChanged(change=OrderChange.ACCEPTED, order=resting, ts_ns=1))
    amended = state(
        type=OrderType.LIMIT,
        status=OrderStatus.PARTIALLY_FILLED,
        limit_price=D("1.08100"),
        filled_units=D(4_000),
    )
    said = events.on_found(FoundOrder(order=amended, deals=(deal(1, 4_000),)), 9)
    assert [type(e).__name__ for e in said] == ["Filled", "Updated"]
    assert table.get("A").limit == D("1.08100")  # type: ignore[union-attr]


@pytest.mark.parametrize("ours", [True, False])
def test_a_position_of_ours_that_the_broker_opens_again_at_midnight_is_told_and_stops_new_risk(ours: bool) -> None:
    """Its strategy hears that it was closed; the framework gives what was opened again to EXTERNAL."""
    events = decide(order())
    if ours:
        events.on_order(FILLED)
    again = deal(3, order_id="5003", reason=DealReason.ROLLOVER)
    opened = state(order_id="5003", client_order_id=None, status=OrderStatus.FILLED)
    told = events.on_order(OrderChanged(change=OrderChange.FILLED, order=opened, deal=again))
    assert names(told) == ["StrangerOrder", "StrangerFill", *(["Warn"] if ours else [])]
    if ours:
        assert told[-1].halt  # type: ignore[union-attr]
        assert "position 7001 of EURUSD" in told[-1].text  # type: ignore[union-attr]


def test_an_order_that_reduces_a_netting_position_is_ours_also_where_its_deal_comes_before_its_answer() -> None:
    """No id of the broker's is known yet, and to the broker the order closes; only its name and side tell whose it is."""
    reducing = state(side=Side.SELL, closing=True)
    sold = deal(side=Side.SELL, entry=DealEntry.OUT)
    for lost_answer in (False, True):
        table = OrderTable()
        table.add(order(side=Side.SELL))
        events = OrderEvents(table, netting=True)
        if lost_answer:
            found = FoundOrder(order=replace(reducing, status=OrderStatus.FILLED), deals=(sold,))
            assert names(events.on_found(found, 9)) == ["Accepted", "Filled"]
            continue
        assert names(events.on_order(OrderChanged(change=OrderChange.ACCEPTED, order=reducing))) == ["Accepted"]
        filled = OrderChanged(change=OrderChange.FILLED, order=replace(reducing, status=OrderStatus.FILLED), deal=sold)
        assert names(events.on_order(filled)) == ["Filled"]
    # The id of an entry on the order that closes it, as a venue may echo it: the other side, another's order.
    echoed = decide(order())
    closed = OrderChanged(change=OrderChange.FILLED, order=replace(reducing, status=OrderStatus.FILLED), deal=sold)
    assert "Filled" not in names(echoed.on_order(closed))
