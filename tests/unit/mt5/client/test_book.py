from decimal import Decimal

import pytest

from pepperstone_adapter.broker.events import Notice, OrderChange, OrderChanged, PositionChanged
from pepperstone_adapter.broker.orders import DealEntry, DealReason, OrderStatus, OrderType, Side
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.mt5.client.book import LAG_NS, Book
from pepperstone_adapter.mt5.client.identity import magic_of
from pepperstone_adapter.sandbox.ledger.state import Liquidity
from tests.kit import mt5_rows as rows
from tests.kit.mt5_terminal import RETURN, module_of, send, terminal_of
from tests.kit.sandbox_ledger import T0

NOW = 1_700_000_000_000_000_000


def book(**start: list[dict[str, object]]) -> Book:
    out = Book({"EURUSD": rows.spec()}, parse_clock("NY+7"))
    out.start(start.get("orders", []), start.get("positions", []), start.get("deals", []))
    return out


def test_a_deal_is_a_fill_once_however_often_it_is_read() -> None:
    subject = book()
    subject.sending("O-1", Decimal(10_000))
    row = rows.deal(5, magic=magic_of("O-1"), order=50, position_id=50, commission=-0.35)
    accepted, event = subject.on_deals([row], NOW)
    assert isinstance(accepted, OrderChanged)
    assert isinstance(event, OrderChanged)
    assert accepted.change is OrderChange.ACCEPTED
    assert event.change is OrderChange.FILLED
    assert event.order.client_order_id == "O-1"
    assert event.order.order_id == "50"
    assert event.deal is not None
    assert (event.deal.units, event.deal.price, event.deal.commission) == (
        Decimal(10_000),
        Decimal("1.10000"),
        Decimal("-0.35"),
    )
    # Server 12:00:00.005 in January is UTC+2.
    assert event.deal.ts_ns == rows.utc_ns("2022-01-10 10:00:00.005")
    assert subject.on_deals([row], NOW) == []


def test_a_deal_that_is_there_twice_in_one_answer_is_a_fill_once() -> None:
    subject = book(positions=[rows.position(7)])
    row = rows.deal(9, type=1, entry=1, order=80, position_id=7)
    told = [e for e in subject.on_deals([row, dict(row)], NOW) if isinstance(e, OrderChanged)]
    assert [(e.change, e.order.units) for e in told] == [(OrderChange.FILLED, Decimal(10_000))]


def test_partial_fills_add_up_to_the_units_asked_for() -> None:
    subject = book()
    subject.sending("O-1", Decimal(30_000))
    first = rows.deal(1, magic=magic_of("O-1"), order=50, volume=0.1)
    second = rows.deal(2, magic=magic_of("O-1"), order=50, volume=0.2)
    events = [e for e in subject.on_deals([second, first], NOW) if isinstance(e, OrderChanged)]
    assert [e.change for e in events] == [OrderChange.ACCEPTED, OrderChange.PARTIALLY_FILLED, OrderChange.FILLED]
    assert [e.order.filled_units for e in events] == [Decimal(0), Decimal(10_000), Decimal(30_000)]


def test_a_stop_loss_is_the_servers_protective_order_and_not_ours_by_magic() -> None:
    subject = book(positions=[rows.position(7, magic=magic_of("O-1"))])
    subject.sending("O-1", Decimal(10_000))
    row = rows.deal(9, type=1, entry=1, reason=4, magic=magic_of("O-1"), profit=-12.5, swap=-0.4)
    event = subject.on_deals([row], NOW)[0]
    assert isinstance(event, OrderChanged)
    assert event.order.type is OrderType.PROTECTION
    assert event.order.client_order_id is None
    assert event.by_server
    assert event.deal is not None
    assert event.deal.reason is DealReason.STOP_LOSS
    assert (event.deal.gross_profit, event.deal.swap) == (Decimal("-12.5"), Decimal("-0.4"))


def test_a_vanished_position_waits_for_the_deal_that_explains_it() -> None:
    subject = book(positions=[rows.position(7)])
    assert subject.on_positions([], NOW) == []
    close = rows.deal(9, type=1, entry=1, position_id=7)
    events = subject.on_deals([close], NOW + 1)
    assert [type(e) for e in events] == [OrderChanged, PositionChanged]
    assert isinstance(events[1], PositionChanged)
    assert events[1].position.units == 0


def test_a_position_that_came_and_went_before_its_deals_waits_for_both_of_them() -> None:
    subject = book()
    assert [type(e) for e in subject.on_positions([rows.position(7)], NOW)] == [PositionChanged]
    assert subject.on_positions([], NOW + 1) == []
    opened = rows.deal(8, position_id=7)
    assert [type(e) for e in subject.on_deals([opened], NOW + 2)] == [OrderChanged]
    closed = rows.deal(9, type=1, entry=1, position_id=7)
    assert [type(e) for e in subject.on_deals([closed], NOW + 3)] == [OrderChanged, PositionChanged]


def test_a_list_from_before_the_first_snapshot_shows_a_closed_position_for_a_moment_only() -> None:
    """The gateway may send positions that it saw before the snapshot was read."""
    subject = book(deals=[rows.deal(8, position_id=7), rows.deal(9, type=1, entry=1, position_id=7)])
    subject.on_positions([rows.position(7)], NOW)
    assert [type(e) for e in subject.on_positions([], NOW + 1)] == [PositionChanged]


def test_a_deal_that_history_shows_after_the_start_is_in_its_position_already() -> None:
    opening, closing = rows.deal(9, position_id=7), rows.deal(10, position_id=7, type=1, entry=1)
    subject = book()
    shown = rows.position(7)
    subject.start([], [shown], [], shown["time"])  # opened within the time whose deals were read, and it has none
    (told,) = subject.on_deals([opening], NOW)
    assert isinstance(told, OrderChanged)
    assert subject.on_time(NOW) == subject.on_time(NOW + 2 * LAG_NS) == []  # volume and deals agree
    assert subject.on_positions([], NOW) == []
    events = subject.on_deals([opening, closing], NOW + 1)
    assert [type(e).__name__ for e in events] == ["OrderChanged", "PositionChanged"]  # explained at once


def test_an_older_position_that_was_turned_round_lately_is_what_the_terminal_shows() -> None:
    """In netting it keeps its identifier; whether its time of opening is that of the turn is not documented."""
    turn = rows.deal(50, position_id=7, type=1, entry=2, volume=0.3)  # 0.2 long, opened long ago, became 0.1 short
    shown = rows.position(7, ticket=50, type=1, volume=0.1)
    subject = book()
    subject.start([], [shown], [turn], shown["time"] - 1)
    assert subject.dealt("7") == Decimal("-10000")
    assert subject.on_time(NOW) == subject.on_time(NOW + 2 * LAG_NS) == []
    (back,) = subject.on_deals([turn, rows.deal(51, position_id=7, entry=2, volume=0.3)], NOW)
    assert isinstance(back, OrderChanged)
    assert back.deal is not None
    assert (back.deal.closed_units, back.deal.units) == (Decimal(10_000), Decimal(30_000))


def test_a_vanished_position_nobody_explains_is_an_error_after_a_while() -> None:
    subject = book(positions=[rows.position(7)])
    subject.on_positions([], NOW)
    assert subject.on_time(NOW + LAG_NS - 1) == []
    notice, gone = subject.on_time(NOW + LAG_NS)
    assert isinstance(notice, Notice)
    assert notice.level == "error"
    assert isinstance(gone, PositionChanged)


def test_nothing_is_taken_for_unexplained_while_nothing_could_be_heard() -> None:
    """The deal that explains it cannot come over a link that is cut; what was missed comes with the next link, lists first."""
    subject = book(positions=[rows.position(7)])
    subject.on_positions([], NOW)
    subject.heard_from_ns = None
    assert subject.on_time(NOW + 100 * LAG_NS) == []
    assert subject.on_positions([], NOW + 100 * LAG_NS) == []
    subject.heard_from_ns = NOW + 100 * LAG_NS
    assert subject.on_time(NOW + 101 * LAG_NS - 1) == []
    assert [type(e) for e in subject.on_time(NOW + 101 * LAG_NS)] == [Notice, PositionChanged]


def test_a_volume_that_differs_is_no_error_while_nothing_could_be_heard() -> None:
    subject = book(positions=[rows.position(7, volume=0.3)])
    subject.on_positions([rows.position(7, volume=0.2)], NOW)
    assert subject.on_time(NOW) == []
    subject.heard_from_ns = None
    assert subject.on_time(NOW + 2 * LAG_NS) == []
    subject.heard_from_ns = NOW + 2 * LAG_NS
    assert subject.on_time(NOW + 3 * LAG_NS - 1) == []
    assert len(subject.on_time(NOW + 3 * LAG_NS)) == 1


def test_a_partial_close_leaves_the_position() -> None:
    subject = book(positions=[rows.position(7, volume=0.3)])
    subject.on_deals([rows.deal(9, type=1, entry=1, position_id=7, volume=0.1)], NOW)
    (event,) = subject.on_positions([rows.position(7, volume=0.2)], NOW)
    assert isinstance(event, PositionChanged)
    assert event.position.units == Decimal(20_000)


def test_a_netting_reversal_says_how_much_it_closed() -> None:
    # Long 0.10, then a sell of 0.30: 0.10 closes, 0.20 opens short.
    subject = book(positions=[rows.position(7, volume=0.1)])
    event = subject.on_deals([rows.deal(9, type=1, entry=2, position_id=7, volume=0.3)], NOW)[0]
    assert isinstance(event, OrderChanged)
    assert event.deal is not None
    assert event.deal.entry is DealEntry.IN_OUT
    assert event.deal.closed_units == Decimal(10_000)


def test_a_vanished_order_is_looked_up_until_history_knows_it() -> None:
    working = rows.order(3, magic=magic_of("O-1"), comment="O-1")
    subject = book(orders=[working])
    assert subject.on_orders([], NOW) == []
    assert subject.lookups == {3}
    assert subject.on_ended(3, [], NOW) == []
    assert subject.lookups == {3}
    (event,) = subject.on_ended(3, [{**working, "state": 6}], NOW)
    assert isinstance(event, OrderChanged)
    assert event.change is OrderChange.EXPIRED
    assert event.order.client_order_id == "O-1"
    assert subject.lookups == set()


def test_an_order_that_ended_is_told_once_to_who_asked_twice() -> None:
    """A comparison and the look every half second may both have asked before the first answer came."""
    subject = book()
    working = rows.order(3, magic=magic_of("O-1"))
    subject.start([working], [], [])
    subject.on_orders([], NOW)
    answers = [subject.on_ended(3, [{**working, "state": 2}], NOW) for _ in range(2)]
    assert [len(events) for events in answers] == [1, 0]


def test_a_filled_order_that_vanished_says_nothing_itself() -> None:
    working = rows.order(3)
    subject = book(orders=[working])
    subject.on_orders([], NOW)
    assert subject.on_ended(3, [{**working, "state": 4, "volume_current": 0.0}], NOW) == []
    assert subject.lookups == set()


def test_a_changed_order_is_replaced_and_an_unchanged_one_is_silent() -> None:
    subject = book(orders=[rows.order(3)])
    assert subject.on_orders([rows.order(3, price_current=1.2)], NOW) == []
    (event,) = subject.on_orders([rows.order(3, price_open=1.09, sl=1.08)], NOW)
    assert isinstance(event, OrderChanged)
    assert event.change is OrderChange.REPLACED
    assert event.order.limit_price == Decimal("1.09000")
    assert event.order.protection is not None
    assert event.order.protection.stop_loss == Decimal("1.08000")


def test_an_order_of_an_earlier_run_is_ours_by_magic_and_comment() -> None:
    subject = book()
    ours, foreign = rows.order(1, magic=magic_of("O-9"), comment="O-9"), rows.order(2, magic=77, comment="O-9")
    events = [e for e in subject.on_orders([ours, foreign], NOW) if isinstance(e, OrderChanged)]
    assert [e.order.client_order_id for e in events] == ["O-9", None]
    assert all(e.order.status is OrderStatus.ACCEPTED for e in events)


def test_another_program_that_closes_a_part_with_the_magic_number_of_our_position_is_a_stranger() -> None:
    """Trade panels and risk tools pass on the number of the position they close; the entry has all it asked for."""
    subject, ours = book(), magic_of("O-1")
    subject.sending("O-1", Decimal(10_000))
    subject.on_deals([rows.deal(5, magic=ours, order=50, position_id=50)], NOW)
    for ticket, lots in ((6, 0.04), (7, 0.06)):
        row = rows.deal(ticket, type=1, entry=1, magic=ours, order=50 + ticket, position_id=50, volume=lots)
        (event,) = subject.on_deals([row], NOW)
        assert isinstance(event, OrderChanged)
        assert (event.change, event.order.client_order_id) == (OrderChange.FILLED, None)
        units = Decimal(str(lots)) * 100_000
        assert (event.order.units, event.order.filled_units) == (units, units)
    again = subject.deal(rows.deal(5, magic=ours, order=50, position_id=50))
    assert again is not None
    assert again.client_order_id == "O-1"  # its own stays its own


def test_an_order_of_a_stranger_that_fills_in_parts_is_told_with_its_size() -> None:
    """The first deal says how large its order is to be shown: the framework drops a fill of more than that."""
    subject = book(positions=[rows.position(7, volume=0.5)])
    parts = [rows.deal(n, type=1, entry=1, order=80, position_id=7, volume=0.2) for n in (8, 9)]
    ended = rows.order(80, type=1, state=2, position_id=7, volume_initial=0.5, volume_current=0.1)
    told = [e for row in parts for e in subject.on_deals([row], NOW, [ended]) if isinstance(e, OrderChanged)]
    assert [(e.change, e.order.units, e.order.filled_units) for e in told] == [
        (OrderChange.PARTIALLY_FILLED, Decimal(50_000), Decimal(20_000)),
        (OrderChange.PARTIALLY_FILLED, Decimal(50_000), Decimal(40_000)),
    ]
    assert subject.lookups == {80}  # what became of the rest
    (end,) = subject.on_ended(80, [ended], NOW)
    assert isinstance(end, OrderChanged)
    assert (end.change, end.order.filled_units) == (OrderChange.CANCELED, Decimal(40_000))


def test_parts_that_are_read_together_are_one_order_where_the_history_does_not_show_it() -> None:
    subject = book(positions=[rows.position(7, volume=0.4)])
    for reason, order_id in ((0, 80), (4, 81)):  # by hand, and a stop loss
        parts = [
            rows.deal(order_id + n, type=1, entry=1, order=order_id, position_id=7, volume=0.1, reason=reason)
            for n in (0, 10)
        ]
        told = [e for e in subject.on_deals(parts, NOW) if isinstance(e, OrderChanged)]
        assert [(e.change, e.order.units, e.order.filled_units) for e in told] == [
            (OrderChange.PARTIALLY_FILLED, Decimal(20_000), Decimal(10_000)),
            (OrderChange.FILLED, Decimal(20_000), Decimal(20_000)),
        ]
    assert subject.lookups == set()


def test_an_order_that_has_ended_with_a_part_of_its_units_takes_no_deal_of_another() -> None:
    """On a netting account what another program buys on our position is of our own side."""
    subject, ours = book(), magic_of("O-1")
    subject.sending("O-1", Decimal(10_000))
    subject.on_deals([rows.deal(5, magic=ours, order=50, position_id=50, volume=0.04)], NOW)
    subject.lookups.add(50)
    ended = rows.order(50, type=0, state=2, magic=ours, volume_current=0.06)
    assert [e.change for e in subject.on_ended(50, [ended], NOW) if isinstance(e, OrderChanged)] == [
        OrderChange.CANCELED
    ]
    (event,) = subject.on_deals([rows.deal(6, magic=ours, order=51, position_id=50, volume=0.03)], NOW)
    assert isinstance(event, OrderChanged)
    assert (event.change, event.order.client_order_id, event.order.units) == (OrderChange.FILLED, None, Decimal(3_000))


def test_another_order_with_our_magic_number_has_its_own_size_though_ours_may_still_work() -> None:
    """Ours was filled in part and its answer was lost: nobody asked the history for its end."""
    subject, ours = book(), magic_of("O-1")
    subject.sending("O-1", Decimal(10_000))
    subject.on_deals([rows.deal(5, magic=ours, order=50, position_id=50, volume=0.04)], NOW)
    for ticket in (6, 7):
        close = rows.deal(ticket, type=1, entry=1, magic=ours, order=50 + ticket, position_id=50, volume=0.02)
        told = [e for e in subject.on_deals([close], NOW) if isinstance(e, OrderChanged) and e.deal]
        assert [(e.change, e.order.units) for e in told] == [(OrderChange.FILLED, Decimal(2_000))]
    rest = rows.deal(9, magic=ours, order=50, position_id=50, volume=0.06)
    (last,) = (e for e in subject.on_deals([rest], NOW) if isinstance(e, OrderChanged))
    assert (last.change, last.order.filled_units) == (OrderChange.FILLED, Decimal(10_000))


def test_an_order_whose_ticket_changes_before_it_has_filled_stays_ours() -> None:
    """Whether a stop-limit keeps its ticket when it turns into its limit is not documented."""
    subject, ours = book(), magic_of("O-1")
    subject.sending("O-1", Decimal(10_000))
    subject.on_orders([rows.order(50, magic=ours, type=6)], NOW)
    accepted, filled = subject.on_deals([rows.deal(5, magic=ours, order=51, position_id=51)], NOW)
    assert isinstance(accepted, OrderChanged)
    assert isinstance(filled, OrderChanged)
    assert (filled.change, filled.order.client_order_id) == (OrderChange.FILLED, "O-1")


def test_a_symbol_outside_the_list_is_told_once() -> None:
    subject = book()
    strange = rows.deal(1, symbol="NEWSYM")
    (notice,) = subject.on_deals([strange], NOW)
    assert isinstance(notice, Notice)
    assert subject.on_deals([rows.deal(2, symbol="NEWSYM")], NOW) == []


def test_balance_rows_are_no_fills() -> None:
    assert book().on_deals([rows.deal(1, type=2, symbol="", volume=0.0, profit=100.0)], NOW) == []


def test_a_stop_out_carries_our_magic_and_is_not_our_order() -> None:
    subject = book(positions=[rows.position(7, magic=magic_of("O-1"))])
    subject.sending("O-1", Decimal(10_000))
    row = rows.deal(9, type=1, entry=1, reason=6, magic=magic_of("O-1"), comment="[so 50.00%]")
    (event,) = (e for e in subject.on_deals([row], NOW) if isinstance(e, OrderChanged))
    assert (event.order.client_order_id, event.order.stop_out, event.by_server) == (None, True, True)
    assert event.deal is not None
    assert event.deal.client_order_id is None


@pytest.mark.parametrize("kind", ["market", "limit"])
def test_a_part_filled_of_a_working_order_is_no_amendment(kind: str) -> None:
    """The rest of a RETURN order under exchange execution, and a pending order that fills in parts."""
    terminal = terminal_of(execution=3, filling=3)
    module = module_of(terminal)
    subject = book()
    told: list[OrderChange] = []

    def look() -> None:
        deals = [row._asdict() for row in module.history_deals_get(T0 // 10**9, 2**31 - 1)]
        orders = [row._asdict() for row in module.orders_get()]
        events = [*subject.on_deals(deals, NOW), *subject.on_orders(orders, NOW)]
        told.extend(event.change for event in events if isinstance(event, OrderChanged))

    subject.sending("O-1", Decimal(10_000))
    terminal.ledger.set_liquidity("EURUSD", Liquidity(Decimal(4_000), fills_left=1))
    wish = {"action": 1} if kind == "market" else {"action": 5, "type": 2, "price": 1.09}
    assert send(terminal, volume=0.1, type_filling=RETURN, magic=magic_of("O-1"), **wish)[0] in (10009, 10010)
    look()
    # Another 3,000 at another price: the average of the order moves, its terms do not.
    terminal.ledger.set_liquidity("EURUSD", Liquidity(Decimal(3_000), fills_left=1))
    terminal.push("EURUSD", 108_980, 108_990)
    look()
    terminal.ledger.set_liquidity("EURUSD", Liquidity(Decimal(1_000), fills_left=1))
    terminal.push("EURUSD", 108_970, 108_980)
    look()
    terminal.ledger.set_liquidity("EURUSD", None)
    terminal.push("EURUSD", 108_960, 108_970)
    look()
    assert OrderChange.REPLACED not in told
    assert (told[0], told[-1]) == (OrderChange.ACCEPTED, OrderChange.FILLED)
    assert told.count(OrderChange.PARTIALLY_FILLED) == len(told) - 2 > 1


def test_a_close_by_is_told_as_an_order_on_each_of_its_positions() -> None:
    terminal = terminal_of()
    module = module_of(terminal)
    _, long, _ = send(terminal, volume=0.3)
    _, short, _ = send(terminal, volume=0.1, type=1)

    def deals() -> list[dict[str, object]]:
        return [row._asdict() for row in module.history_deals_get(T0 // 10**9, 2**31 - 1)]

    subject = book(positions=[row._asdict() for row in module.positions_get()], deals=deals())
    _, ticket, _ = send(terminal, action=10, position=long, position_by=short)
    told = [e for e in subject.on_deals(deals(), NOW) if isinstance(e, OrderChanged)]
    assert [(e.order.order_id, e.order.side, e.order.position_id, e.change) for e in told] == [
        (f"{ticket}/{long}", Side.SELL, str(long), OrderChange.FILLED),
        (f"{ticket}/{short}", Side.BUY, str(short), OrderChange.FILLED),
    ]
    assert [(e.deal.entry, e.deal.units, e.deal.closed_units) for e in told if e.deal] == [
        (DealEntry.OUT_BY, Decimal(10_000), Decimal(10_000)),
        (DealEntry.OUT_BY, Decimal(10_000), Decimal(10_000)),
    ]
    assert all(e.order.closing for e in told)
    gone = [e.position for e in subject.on_positions([row._asdict() for row in module.positions_get()], NOW)]  # type: ignore[union-attr]
    assert {(p.position_id, p.units) for p in gone} == {(str(long), Decimal(20_000)), (str(short), Decimal(0))}


def test_a_close_by_of_an_earlier_run_is_ours_by_its_order_and_not_by_its_deals() -> None:
    """Both deals carry its magic number and comment, and only one of the two positions is the one it was sent for."""
    subject, ours = book(), {"magic": magic_of("BY"), "comment": "BY", "order": 90, "entry": 3}
    halves = [rows.deal(91, position_id=7, type=1, **ours), rows.deal(92, position_id=8, **ours)]
    assert [deal.client_order_id for row in halves if (deal := subject.deal(row))] == [None, None]
    found = subject.order_state(rows.order(90, type=8, state=4, position_id=7, magic=ours["magic"], comment="BY"))
    assert found is not None
    assert (found.client_order_id, found.order_id) == ("BY", "90/7")


def test_a_position_whose_deals_do_not_come_to_its_volume_is_told_once_after_a_while() -> None:
    subject = book(positions=[rows.position(7, volume=0.3)])
    assert subject.on_time(NOW) == []
    # 0.1 lots were closed, and history does not show the deal.
    subject.on_positions([rows.position(7, volume=0.2)], NOW)
    assert subject.on_time(NOW) == subject.on_time(NOW + LAG_NS - 1) == []
    (told,) = subject.on_time(NOW + LAG_NS)
    assert isinstance(told, Notice)
    assert told.level == "error"
    assert "has 20000 units at the terminal, its deals come to 30000" in told.text
    assert subject.on_time(NOW + 2 * LAG_NS) == []


def test_a_position_that_is_always_traded_and_shown_late_misses_no_fill() -> None:
    """Each look finds it one deal behind, and each time it is another one."""
    subject = book(positions=[rows.position(7, volume=0.1)])
    for number in range(1, 30):
        at_ns = NOW + number * LAG_NS // 2
        subject.on_positions([rows.position(7, volume=0.1 * number)], at_ns)
        subject.on_deals([rows.deal(8 + number, position_id=7)], at_ns)
        assert subject.on_time(at_ns) == []


def test_a_deal_that_comes_late_ends_the_difference() -> None:
    subject = book(positions=[rows.position(7, volume=0.3)])
    subject.on_positions([rows.position(7, volume=0.2)], NOW)
    assert subject.on_time(NOW) == []
    subject.on_deals([rows.deal(9, type=1, entry=1, position_id=7, volume=0.1)], NOW + LAG_NS // 2)
    assert subject.on_time(NOW + LAG_NS) == subject.on_time(NOW + 3 * LAG_NS) == []
    # Another difference is another wait.
    subject.on_positions([rows.position(7, volume=0.1)], NOW + 3 * LAG_NS)
    assert subject.on_time(NOW + 3 * LAG_NS) == subject.on_time(NOW + 4 * LAG_NS - 1) == []
    assert len(subject.on_time(NOW + 4 * LAG_NS)) == 1


def test_a_row_with_a_value_newer_than_this_program_is_told_once_and_hides_no_other() -> None:
    subject = book(positions=[rows.position(7, volume=0.3)])
    told = subject.on_deals([rows.deal(8, entry=9, position_id=7), rows.deal(9, position_id=50, order=50)], NOW)
    assert [e.deal.deal_id for e in told if isinstance(e, OrderChanged) and e.deal] == ["9"]
    assert subject.on_positions([rows.position(7, price_open=None)], NOW) == []
    first, second = subject.on_time(NOW)
    for notice, name in ((first, "deal 8 of EURUSD"), (second, "position 7 of EURUSD")):
        assert isinstance(notice, Notice)
        assert notice.level == "error"
        assert notice.text.startswith(f"{name} cannot be read")
    assert subject.on_deals([rows.deal(8, entry=9, position_id=7)], NOW) == subject.on_time(NOW + LAG_NS) == []
    assert subject.positions["7"].units == Decimal(30_000)
