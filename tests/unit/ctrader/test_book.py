"""What is known moves forward only, and a deal counts once."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.broker.events import OrderChange, OrderChanged, PositionChanged
from pepperstone_adapter.broker.orders import (
    Deal,
    DealEntry,
    OrderState,
    OrderStatus,
    OrderType,
    PositionState,
    Protection,
    Side,
)
from pepperstone_adapter.ctrader.client.book import Book
from pepperstone_adapter.ctrader.client.parsing import Execution

D = Decimal
ORDER = OrderState(
    order_id="61", symbol="EURUSD", side=Side.BUY, type=OrderType.LIMIT, status=OrderStatus.ACCEPTED, units=D(10),
    client_order_id="O-1", position_id="51", limit_price=D(1), updated_ns=10,
)  # fmt: skip
POSITION = PositionState(
    position_id="51", symbol="EURUSD", side=Side.BUY, units=D(10), open_price=D("1.1"), opened_ns=1, updated_ns=20
)


def deal(number: int, units: int = 10) -> Deal:
    return Deal(
        deal_id=str(number), order_id="61", position_id="51", symbol="EURUSD", side=Side.BUY, units=D(units),
        price=D("1.1"), ts_ns=20 + number, entry=DealEntry.IN,
    )  # fmt: skip


def execution(change: OrderChange, order: OrderState = ORDER, **parts: object) -> Execution:
    facts: dict[str, object] = {"deal": None, "position": None, "by_server": False, "error": ""}
    return Execution(change=change, order=order, **{**facts, **parts})  # type: ignore[arg-type]


FILLED = replace(ORDER, status=OrderStatus.FILLED, filled_units=D(10), updated_ns=20)


def changes(events: list) -> list[str]:
    return [str(event.change) for event in events if isinstance(event, OrderChanged)]


def test_a_life_of_an_order() -> None:
    book = Book()
    assert changes(book.apply(execution(OrderChange.ACCEPTED), 1)) == ["accepted"]
    assert changes(book.apply(execution(OrderChange.REPLACED, replace(ORDER, limit_price=D(2), updated_ns=15)), 1)) == [
        "replaced"
    ]
    assert changes(book.apply(execution(OrderChange.FILLED, FILLED, deal=deal(1), position=POSITION), 1)) == ["filled"]
    assert (book.orders, list(book.positions)) == ({}, ["51"])
    assert book.order("61") == FILLED


def test_an_outdated_state_of_the_order_does_not_come_back() -> None:
    book = Book()
    book.apply(execution(OrderChange.ACCEPTED), 1)
    book.apply(execution(OrderChange.REPLACED, replace(ORDER, limit_price=D(3), updated_ns=30)), 1)
    assert book.apply(execution(OrderChange.REPLACED, replace(ORDER, limit_price=D(2), updated_ns=20)), 1) == []
    assert book.orders["61"].limit_price == D(3)


def test_an_unseen_deal_of_the_past_counts_and_leaves_the_order_where_it_is() -> None:
    book = Book()
    book.apply(execution(OrderChange.FILLED, FILLED, deal=deal(2, 6)), 1)
    part = replace(ORDER, status=OrderStatus.PARTIALLY_FILLED, filled_units=D(4), updated_ns=15)
    (event,) = book.apply(execution(OrderChange.PARTIALLY_FILLED, part, deal=deal(1, 4)), 1)
    assert isinstance(event, OrderChanged)
    assert event.deal is not None
    assert event.deal.units == D(4)
    assert book.order("61") == FILLED


def test_a_closed_position_keeps_the_price_it_was_opened_at() -> None:
    book = Book()
    book.load([POSITION], [])
    closed = replace(POSITION, units=D(0), open_price=D(0), updated_ns=30)
    order = replace(FILLED, order_id="62", closing=True)
    events = book.apply(execution(OrderChange.FILLED, order, deal=replace(deal(3), order_id="62"), position=closed), 1)
    assert isinstance(events[-1], OrderChanged)
    assert events[-1].position is not None
    assert events[-1].position.open_price == D("1.1")
    assert book.positions == {}


def test_comparison_tells_what_is_new_changed_and_missing() -> None:
    book = Book()
    book.load([POSITION], [ORDER])
    other = replace(ORDER, order_id="63", client_order_id="O-3")
    moved = replace(POSITION, protection=Protection(stop_loss=D(1)), updated_ns=40)
    events, orders, positions = book.compare([moved], [other], 9)
    assert changes(events) == ["accepted"]
    assert [type(event) for event in events] == [OrderChanged, PositionChanged]
    assert (orders, positions) == (["61"], [])
    assert book.compare([moved], [other], 9)[0] == []  # told once
    assert book.compare([], [other], 9)[2] == ["51"]


def test_details_of_a_missing_order_end_it_with_its_fills_first() -> None:
    book = Book()
    book.load([], [ORDER])
    gone = replace(ORDER, status=OrderStatus.CANCELED, filled_units=D(4), updated_ns=30)
    events = book.ended_order(gone, [deal(1, 4)], 9)
    assert changes(events) == ["partially_filled", "canceled"]
    assert book.ended_order(gone, [deal(1, 4)], 9) == []


def test_an_order_that_came_and_went_in_a_gap_is_told_whole() -> None:
    book = Book()
    events = book.ended_order(FILLED, [deal(2, 6), deal(1, 4)], 9)
    assert changes(events) == ["accepted", "partially_filled", "filled"]
    assert [event.deal.deal_id for event in events if isinstance(event, OrderChanged) and event.deal] == ["1", "2"]


@given(st.lists(st.sampled_from(["accept", "fill 1", "fill 2", "replace", "cancel"]), max_size=30))
def test_whatever_the_order_and_repetition_each_deal_counts_once_and_an_end_is_final(script: list[str]) -> None:
    book = Book()
    told: list[OrderChanged] = []
    part = replace(ORDER, status=OrderStatus.PARTIALLY_FILLED, filled_units=D(4), updated_ns=15)
    moves = {
        "accept": execution(OrderChange.ACCEPTED),
        "replace": execution(OrderChange.REPLACED, replace(ORDER, limit_price=D(2), updated_ns=12)),
        "fill 1": execution(OrderChange.PARTIALLY_FILLED, part, deal=deal(1, 4)),
        "fill 2": execution(OrderChange.FILLED, FILLED, deal=deal(2, 6)),
        "cancel": execution(OrderChange.CANCELED, replace(ORDER, status=OrderStatus.CANCELED, updated_ns=30)),
    }
    for move in script:
        told += [event for event in book.apply(moves[move], 1) if isinstance(event, OrderChanged)]
    deals = [event.deal.deal_id for event in told if event.deal is not None]
    assert len(deals) == len(set(deals))
    assert set(deals) == {move[-1] for move in script if move.startswith("fill")}
    assert sum(event.change is OrderChange.ACCEPTED for event in told) <= 1
    assert not (set(book.orders) & set(book.ended))
    if "cancel" in script or "fill 2" in script:
        assert book.orders == {}


def test_a_closed_position_does_not_come_back_with_a_repeated_or_older_message() -> None:
    book = Book()
    opened = execution(OrderChange.FILLED, FILLED, deal=deal(1), position=POSITION)
    book.apply(opened, 1)
    closing = replace(FILLED, order_id="62", side=Side.SELL, closing=True, updated_ns=40)
    gone = replace(POSITION, units=D(0), updated_ns=40)
    out = replace(deal(2), order_id="62", side=Side.SELL, entry=DealEntry.OUT)
    book.apply(execution(OrderChange.FILLED, closing, deal=out, position=gone), 1)
    assert book.positions == {}
    assert book.apply(opened, 1) == []
    assert book.positions == {}
    assert book.compare([replace(POSITION, updated_ns=30)], [], 1) == ([], [], [])
    assert book.positions == {}
    book.compare([replace(POSITION, updated_ns=50)], [], 1)  # opened again under its id, on a netting account
    assert list(book.positions) == ["51"]


def test_an_opening_fill_that_arrives_after_its_levels_were_set_takes_none_away() -> None:
    book = Book()
    levels = Protection(stop_loss=D("1.08"), take_profit=D("1.09"))
    protective = replace(ORDER, order_id="62", type=OrderType.PROTECTION, side=Side.SELL, closing=True, updated_ns=20)
    guarded = replace(POSITION, protection=levels)
    book.apply(execution(OrderChange.ACCEPTED, protective, position=guarded), 1)
    (*_, late) = book.apply(execution(OrderChange.FILLED, FILLED, deal=deal(1), position=POSITION), 1)
    assert isinstance(late, OrderChanged)
    assert late.position == guarded
    assert book.positions["51"].protection == levels
    # Levels that are canceled in that same moment are gone: only a fill says nothing about them.
    canceled = replace(protective, status=OrderStatus.CANCELED)
    book.apply(execution(OrderChange.CANCELED, canceled, position=POSITION), 1)
    assert book.positions["51"].protection is None
