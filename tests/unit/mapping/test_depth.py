"""The order book: quotes by id summed by price, and only what changed."""

from nautilus_trader.model import BookAction, BookType, InstrumentId, OrderBook

from pepperstone_adapter.broker.market import DepthLevel, DepthUpdate
from pepperstone_adapter.mapping.depth import DepthBook

EURUSD = InstrumentId.from_str("EURUSD.PEPPERSTONE")
LOT = 100_000 * 100  # in hundredths of a unit


def update(*levels: tuple[int, bool, int, int], deletes: tuple[int, ...] = ()) -> DepthUpdate:
    return DepthUpdate("EURUSD", tuple(DepthLevel(*level) for level in levels), deletes, 1)


def changes(book: DepthBook, told: DepthUpdate, by_quote: bool = False) -> list[tuple[BookAction, str, str]]:
    deltas = book.apply(told, by_quote, 2)
    return [] if deltas is None else [(d.action, str(d.order.price), str(d.order.size)) for d in deltas.deltas]


def test_two_quotes_at_one_price_are_one_level() -> None:
    book = DepthBook(EURUSD, 5, 0)
    assert changes(book, update((1, True, 108_500, LOT), (2, True, 108_500, 2 * LOT))) == [
        (BookAction.ADD, "1.08500", "300000")
    ]
    assert changes(book, update(deletes=(1,))) == [(BookAction.UPDATE, "1.08500", "200000")]
    assert changes(book, update(deletes=(2,))) == [(BookAction.DELETE, "1.08500", "200000")]
    assert changes(book, update(deletes=(2,))) == []


def test_a_quote_that_moves_leaves_its_old_level() -> None:
    book = DepthBook(EURUSD, 5, 0)
    changes(book, update((1, False, 108_507, LOT)))
    assert set(changes(book, update((1, False, 108_510, LOT)))) == {
        (BookAction.DELETE, "1.08507", "100000"),
        (BookAction.ADD, "1.08510", "100000"),
    }
    assert book.best_sizes() == (None, LOT)


def test_by_quote_keeps_every_quote_apart() -> None:
    book = DepthBook(EURUSD, 5, 0)
    told = update((1, True, 108_500, LOT), (2, True, 108_500, LOT))
    assert [a for a, _, _ in changes(book, told, by_quote=True)] == [BookAction.ADD, BookAction.ADD]


def test_the_frameworks_book_follows_deltas_and_snapshots() -> None:
    ours, theirs = DepthBook(EURUSD, 5, 0), OrderBook(EURUSD, BookType.L2_MBP)
    first = ours.apply(update((1, True, 108_500, LOT), (2, False, 108_507, LOT), (3, True, 108_495, LOT)), False, 2)
    assert first is not None
    theirs.apply_deltas(first)
    late = OrderBook(EURUSD, BookType.L2_MBP)
    late.apply_deltas(ours.snapshot(by_quote=False, ts_event_ns=3, ts_init_ns=3))
    for book in (theirs, late):
        assert (str(book.best_bid_price()), str(book.best_ask_price())) == ("1.08500", "1.08507")
    second = ours.apply(update(deletes=(1,)), False, 4)
    assert second is not None
    theirs.apply_deltas(second)
    assert str(theirs.best_bid_price()) == "1.08495"
    assert [str(o.price) for o in ours.depth(5, 5, 5).bids if o.size.is_positive()] == ["1.08495"]
