"""The data client in a real node over the kit broker."""

from pathlib import Path

from nautilus_trader.model import BookAction, BookType

from pepperstone_adapter.broker.market import DepthLevel, DepthUpdate
from tests.kit.node import EURUSD, Bench, run_bench


def test_a_book_of_a_lost_link_is_forgotten_before_the_next_one_begins(tmp_path: Path) -> None:
    async def script(b: Bench) -> None:
        b.probe.subscribe_book_deltas(EURUSD, BookType.L2_MBP)
        await b.until(lambda: b.probe.deltas, "the first book")
        before = len(b.probe.deltas)
        b.session.lose_link()
        b.session.restore_link()
        # the same market under the quote ids of another link, one level less
        levels = (DepthLevel(11, True, 108_490, 30_000_000), DepthLevel(12, False, 108_510, 40_000_000))
        b.session.push([DepthUpdate("EURUSD", levels, (), b.broker.now_ns)])
        await b.until(lambda: len(b.probe.deltas) >= before + 2, "the second book")
        told = [d for deltas in b.probe.deltas[before:] for d in deltas.deltas]
        assert [d.action for d in told] == [BookAction.CLEAR, BookAction.ADD, BookAction.ADD]
        assert {str(d.order.price) for d in told[1:]} == {"1.08490", "1.08510"}
        b.broker.set_price("EURUSD", 108_490, 108_510)
        await b.until(lambda: b.probe.quotes and str(b.probe.quotes[-1].bid_price) == "1.08490", "a quote with sizes")
        assert (str(b.probe.quotes[-1].bid_size), str(b.probe.quotes[-1].ask_size)) == ("300000", "400000")

    run_bench(tmp_path, script)
