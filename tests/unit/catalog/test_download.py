"""Downloads over a broker in memory: what is asked for, what is stored, what is noted as read."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.events import LinkDown, LinkUp, Notice
from pepperstone_adapter.broker.market import Bar, BarPeriod, Tick
from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.catalog import layout
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.download import Download, LinkWatch, Outcome, Wish
from pepperstone_adapter.catalog.download_rows import bar_columns, quote_columns
from pepperstone_adapter.catalog.download_store import DownloadSeries
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.common.errors import ConfigurationError, DataError, LinkLost, NotFound, RateLimited
from tests.kit.history import DAY_NS, MINUTE_NS, PastBroker

MONDAY_NS = 1_609_718_400_000_000_000  # 2021-01-04 00:00 UTC
NOW_NS = MONDAY_NS + 100 * DAY_NS
SOURCE = "past DEMO-x1 Kit"


def minute(n: int, symbol: str = "EURUSD", **changes: Any) -> Bar:
    """A bar that opens `n` minutes after Monday; its prices say which one it is."""
    base = 120_000 + n % 5_000
    facts = {"open": base, "high": base + 9, "low": base - 7, "close": base + 2, "volume": 10 + n % 50}
    return Bar(symbol, BarPeriod.M1, MONDAY_NS + n * MINUTE_NS, **{**facts, **changes})


def tick(ns: int, n: int = 0) -> Tick:
    return Tick("EURUSD", 120_000 + n % 100, 120_010 + n % 100, ns)


def download(
    broker: PastBroker, catalog: Path, wish: Wish, now_ns: int = NOW_NS, watch: LinkWatch | None = None, **options: Any
) -> Outcome:
    async def main() -> Outcome:
        own = watch
        if own is None:
            own = LinkWatch()
            own([LinkUp(0)])
        specs = {"EURUSD": symbol_table.get("EURUSD")}
        return await Download(broker, own, catalog, specs, SOURCE, lambda: now_ns, **options).fetch(wish)  # type: ignore[arg-type]

    return asyncio.run(asyncio.wait_for(main(), 60))


def minutes(start_day: int = 0, end_day: int = 100) -> Wish:
    return Wish("EURUSD", BarPeriod.M1, MONDAY_NS + start_day * DAY_NS, MONDAY_NS + end_day * DAY_NS)


def ticks(start_day: int = 0, end_day: int = 100) -> Wish:
    return Wish("EURUSD", None, MONDAY_NS + start_day * DAY_NS, MONDAY_NS + end_day * DAY_NS)


def stored_bars(catalog: Path, period: str = "1-MINUTE") -> list[tuple[int, ...]]:
    got = CatalogStore(catalog).bars("EURUSD", period)
    columns = (got.ts_ns, got.open, got.high, got.low, got.close, got.ticks)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def expected(bars: Sequence[Bar]) -> list[tuple[int, ...]]:
    return [(b.open_ns + MINUTE_NS, b.open, b.high, b.low, b.close, b.volume) for b in bars]


def record(catalog: Path) -> dict[str, Any]:
    (path,) = (catalog / "imports").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def files(catalog: Path) -> dict[str, bytes]:
    return {str(p.relative_to(catalog)): p.read_bytes() for p in sorted(catalog.rglob("*")) if p.is_file()}


def test_bars_are_stored_by_their_close_exactly_as_told(tmp_path: Path) -> None:
    bars = [minute(n) for n in range(0, 90_000, 3)]
    outcome = download(PastBroker(bars), tmp_path, minutes())
    assert stored_bars(tmp_path) == expected(bars)
    assert (outcome.rows, outcome.stored) == (30_000, 30_000)
    told = record(tmp_path)
    assert (told["source"], told["symbol"], told["series"][0]["rows"]) == (SOURCE, "EURUSD", 30_000)
    assert CatalogStore(tmp_path).instrument("EURUSD").price_precision == 5


def test_the_same_range_twice_asks_for_nothing_and_changes_nothing(tmp_path: Path) -> None:
    broker = PastBroker([minute(n) for n in range(60 * 1_440)])
    download(broker, tmp_path, minutes(0, 50))
    before, asked = files(tmp_path), len(broker.asked)
    outcome = download(broker, tmp_path, minutes(0, 50))
    assert len(broker.asked) == asked
    assert files(tmp_path) == before
    assert (outcome.pieces, outcome.rows) == (0, 0)


def test_a_longer_range_asks_for_the_rest_only_and_makes_one_series(tmp_path: Path) -> None:
    bars = [minute(n) for n in range(0, 80 * 1_440, 7)]
    broker = PastBroker(bars)
    download(broker, tmp_path, minutes(20, 40))
    broker.asked.clear()
    download(broker, tmp_path, minutes(10, 60))
    assert not any(a < MONDAY_NS + 40 * DAY_NS and b > MONDAY_NS + 20 * DAY_NS for a, b in broker.asked)
    inside = [b for b in bars if 10 * DAY_NS <= b.open_ns - MONDAY_NS < 60 * DAY_NS]
    assert stored_bars(tmp_path) == expected(inside)
    assert len(record(tmp_path)["rules"]["read_ns"]) == 1


def test_small_pieces_share_a_file(tmp_path: Path) -> None:
    broker = PastBroker(ticks=[tick(MONDAY_NS + n * 600_000_000_000 + 5, n) for n in range(30 * 144)])
    download(broker, tmp_path, ticks(0, 30))
    assert len(broker.asked) == 30
    series = CatalogStore(tmp_path).quote_series("EURUSD")
    assert series is not None
    assert (series.rows, len(series.files)) == (30 * 144, 1)


def test_rows_on_both_sides_of_what_was_not_read_stay_apart(tmp_path: Path) -> None:
    """A file's range is its coverage: a joined file would claim the days between."""
    broker = PastBroker(ticks=[tick(MONDAY_NS + n * 600_000_000_000, n) for n in range(9 * 144)])
    download(broker, tmp_path, ticks(0, 2))
    download(broker, tmp_path, ticks(5, 7))
    series = CatalogStore(tmp_path).quote_series("EURUSD")
    assert series is not None
    assert len(series.files) == 2
    download(broker, tmp_path, ticks(0, 9))
    got = CatalogStore(tmp_path).quotes("EURUSD")
    want = [(t.ts_ns, t.bid, t.ask) for t in broker.ticks]
    assert list(zip(got.ts_ns.tolist(), got.bid.tolist(), got.ask.tolist(), strict=True)) == want


def test_an_open_bar_is_never_stored_and_comes_when_it_has_closed(tmp_path: Path) -> None:
    bars = [minute(n) for n in range(100)]
    broker = PastBroker(bars)
    now_ns = MONDAY_NS + 50 * MINUTE_NS + 30_000_000_000  # bar 50 is forming; 49 closed 30 s ago
    download(broker, tmp_path, minutes(0, 1), now_ns)
    assert stored_bars(tmp_path) == expected(bars[:50])
    download(broker, tmp_path, minutes(0, 1), now_ns + 10 * MINUTE_NS)
    assert stored_bars(tmp_path) == expected(bars[:60])


def test_history_that_was_late_is_asked_for_again(tmp_path: Path) -> None:
    """The broker's last day is missing at first; days of the past week are not taken as empty for good."""
    all_ticks = [tick(MONDAY_NS + n * 3_600_000_000_000, n) for n in range(10 * 24)]
    broker = PastBroker(ticks=[t for t in all_ticks if t.ts_ns < MONDAY_NS + 8 * DAY_NS])
    now_ns = MONDAY_NS + 10 * DAY_NS
    download(broker, tmp_path, ticks(0, 10), now_ns)
    broker.ticks = all_ticks
    download(broker, tmp_path, ticks(0, 10), now_ns)
    assert CatalogStore(tmp_path).quotes("EURUSD").ts_ns.tolist() == [t.ts_ns for t in all_ticks]


def test_a_range_beyond_the_brokers_history_is_told_and_not_paid_for(tmp_path: Path) -> None:
    first_ns = MONDAY_NS + 700 * DAY_NS + 12 * 3_600_000_000_000
    broker = PastBroker(ticks=[tick(first_ns + n * 3_600_000_000_000, n) for n in range(60 * 24)])
    outcome = download(broker, tmp_path, ticks(0, 760), MONDAY_NS + 760 * DAY_NS)
    assert outcome.begins_ns == first_ns
    assert len(broker.asked) < 60 + 60  # not the 700 empty days
    assert len(CatalogStore(tmp_path).quotes("EURUSD")) == outcome.rows == 60 * 24 - 12
    assert record(tmp_path)["rules"]["history_begins"] == "2022-12-05T12:00:00Z"
    broker.asked.clear()
    again = download(broker, tmp_path, ticks(0, 760), MONDAY_NS + 760 * DAY_NS)
    assert again.begins_ns == first_ns  # told again, from the record
    assert len(broker.asked) <= 1


class Refusing(PastBroker):
    """A terminal that refuses what lies wholly in some stretch instead of telling that it is empty."""

    def __init__(self, bars: Sequence[Bar], refused: tuple[int, int]) -> None:
        super().__init__(bars)
        self.refused = refused

    async def history_bars(self, symbol: str, period: BarPeriod, start_ns: int, end_ns: int) -> Sequence[Bar]:
        found = await super().history_bars(symbol, period, start_ns, end_ns)
        if self.refused[0] <= start_ns and end_ns <= self.refused[1]:
            raise NotFound("-4", "the terminal has no such history")
        return found


@pytest.mark.parametrize("days", [100, 2_000], ids=["few pieces", "many"])
def test_a_terminal_that_refuses_what_is_before_its_history_ends_no_download(days: int, tmp_path: Path) -> None:
    bars = [minute(n) for n in range(0, 60 * 1_440, 7)]
    broker = Refusing(bars, (0, MONDAY_NS))
    outcome = download(broker, tmp_path, minutes(100 - days, 100))
    assert stored_bars(tmp_path) == expected(bars)
    assert days == 100 or outcome.begins_ns == MONDAY_NS


def test_a_piece_refused_in_the_midst_of_history_is_an_error_and_asked_for_again(tmp_path: Path) -> None:
    bars = [minute(n) for n in range(0, 99 * 1_440, 7)]
    broker = Refusing(bars, (MONDAY_NS + DAY_NS, MONDAY_NS + 98 * DAY_NS))
    with pytest.raises(NotFound):
        download(broker, tmp_path, minutes())
    assert 0 < len(stored_bars(tmp_path)) < len(bars)
    broker.refused = (0, 0)
    download(broker, tmp_path, minutes())
    assert stored_bars(tmp_path) == expected(bars)


def test_nothing_but_refusals_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        download(Refusing([], (0, NOW_NS)), tmp_path, minutes())


def test_a_holiday_is_not_taken_for_the_beginning_of_history(tmp_path: Path) -> None:
    """Two silent weekdays (Thursday 311, Friday 312) lie where the second halving of 0..420 looks."""
    hours = [n for n in range(300 * 24, 420 * 24, 6) if n // 24 not in (311, 312)]
    broker = PastBroker(ticks=[tick(MONDAY_NS + n * 3_600_000_000_000, n) for n in hours])
    outcome = download(broker, tmp_path, ticks(0, 420), MONDAY_NS + 430 * DAY_NS)
    assert (MONDAY_NS + 312 * DAY_NS, MONDAY_NS + 313 * DAY_NS) in broker.asked[:6]
    assert outcome.begins_ns == MONDAY_NS + 300 * DAY_NS
    assert outcome.rows == len(hours)


def test_an_older_range_where_history_had_not_begun_costs_a_few_questions(tmp_path: Path) -> None:
    broker = PastBroker(ticks=[tick(MONDAY_NS + n * 3_600_000_000_000, n) for n in range(900 * 24, 920 * 24)])
    download(broker, tmp_path, ticks(900, 920), MONDAY_NS + 990 * DAY_NS)
    broker.asked.clear()
    outcome = download(broker, tmp_path, ticks(0, 920), MONDAY_NS + 990 * DAY_NS)
    assert outcome.begins_ns == MONDAY_NS + 900 * DAY_NS
    assert len(broker.asked) < 40


def test_bad_rows_are_left_out_counted_and_shown(tmp_path: Path) -> None:
    bars = [minute(n) for n in range(10)]
    bars[2] = minute(2, high=1)  # below its other prices
    bars[4] = minute(4, low=0, open=0)
    bars[6] = minute(6, repaired=True)
    bars.insert(8, minute(3))  # again, and too early
    outcome = download(PastBroker(bars), tmp_path, minutes(0, 1))
    kept = [minute(n) for n in (0, 1, 3, 5, 6, 7, 8, 9)]
    assert stored_bars(tmp_path) == expected(kept)
    assert {k: b.count for k, b in outcome.bad.kinds.items()} == {"ohlc": 1, "zero": 1, "disorder": 1}
    assert outcome.bad.notes == {"repaired": 1}
    told = record(tmp_path)
    assert told["bad_rows"]["ohlc"]["first_text"] == "2021-01-04T00:03:00Z 120002/1/119995/120004/12"
    assert told["notes"] == {"repaired": 1}


def test_crossed_and_one_sided_quotes_are_left_out() -> None:
    bad = BadRows()
    rows = [
        Tick("X", 10, 12, 1),
        Tick("X", 13, 12, 2),
        Tick("X", None, 12, 3),
        Tick("X", 11, 12, 4),
        Tick("X", 11, 13, 4),
    ]
    chunk = quote_columns(rows, bad)
    assert chunk.ts_ns.tolist() == [1, 4, 4]  # two changes at one instant stay, in their order
    assert (bad.kinds["crossed"].count, bad.notes["one_sided"]) == (1, 1)


@pytest.mark.parametrize(
    ("period", "opened", "closed"),
    [
        # New York is five hours behind UTC in winter, four in summer: a server's day is 22:00 to 22:00, then 21:00.
        (BarPeriod.D1, "2021-03-11T22:00", "2021-03-12T22:00"),
        (BarPeriod.D1, "2021-03-12T22:00", "2021-03-13T22:00"),
        (BarPeriod.W1, "2021-03-07T22:00", "2021-03-14T21:00"),
        (BarPeriod.MN1, "2021-02-28T22:00", "2021-03-31T21:00"),
        (BarPeriod.H4, "2021-03-15T21:00", "2021-03-16T01:00"),
    ],
)
def test_bars_of_the_servers_day_close_by_the_new_york_clock(period: BarPeriod, opened: str, closed: str) -> None:
    import numpy as np

    open_ns, close_ns = (int(np.datetime64(t).astype("datetime64[ns]").astype(int)) for t in (opened, closed))
    assert bar_columns([Bar("X", period, open_ns, 2, 3, 1, 2, 5)], period, BadRows()).ts_ns.tolist() == [close_ns]


def test_bars_of_another_servers_day_close_by_its_clock() -> None:
    """New York lost an hour on 2024-03-10; a server on UTC did not."""
    sunday, day_ns = 1_710_028_800 * 10**9, 86_400 * 10**9  # 2024-03-10 00:00 UTC
    chunk = bar_columns([Bar("X", BarPeriod.D1, sunday, 2, 3, 1, 2, 5)], BarPeriod.D1, BadRows(), parse_clock("utc"))
    assert chunk.ts_ns.tolist() == [sunday + day_ns]


def test_rows_that_contradict_stored_ones_are_refused_or_put_in_their_place(tmp_path: Path) -> None:
    broker = PastBroker([minute(n) for n in range(1_000)])
    download(broker, tmp_path, minutes(0, 1))
    (path,) = (tmp_path / "imports").glob("*.json")
    path.unlink()  # nobody knows any more that this was read
    broker.bars[500] = minute(500, close=120_501)
    before = files(tmp_path)
    with pytest.raises(DataError, match=r"2021-01-04T08:21:00Z .*--replace"):
        download(broker, tmp_path, minutes(0, 1))
    assert files(tmp_path) == before
    download(broker, tmp_path, minutes(0, 1), replace_stored=True)
    assert stored_bars(tmp_path) == expected(broker.bars)


def test_a_series_whose_files_are_gone_is_read_again(tmp_path: Path) -> None:
    broker = PastBroker([minute(n) for n in range(1_000)])
    download(broker, tmp_path, minutes(0, 1))
    for file in tmp_path.glob("data/bars/*/*.parquet"):
        file.unlink()
    download(broker, tmp_path, minutes(0, 1))
    assert stored_bars(tmp_path) == expected(broker.bars)


def four_files(catalog: Path) -> tuple[PastBroker, list[Path]]:
    """Ticks of eight days in four files of two days, with the broker that has them all."""
    broker = PastBroker(ticks=[tick(MONDAY_NS + n * 600_000_000_000, n) for n in range(8 * 144)])
    for first in (6, 4, 2, 0):  # pieces read backwards are not joined
        download(broker, catalog, ticks(first, first + 2))
    broker.asked.clear()
    found = sorted(catalog.glob("data/quotes/*/*.parquet"))
    assert len(found) == 4
    return broker, found


def stored_quotes(catalog: Path) -> list[tuple[int, int, int]]:
    got = CatalogStore(catalog).quotes("EURUSD")
    return list(zip(got.ts_ns.tolist(), got.bid.tolist(), got.ask.tolist(), strict=True))


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_file_that_is_gone_is_told_and_its_stretch_read_again(index: int, tmp_path: Path) -> None:
    broker, found = four_files(tmp_path)
    want = stored_quotes(tmp_path)
    first, last = layout.range_of(found[index])
    found[index].unlink()
    outcome = download(broker, tmp_path, ticks(0, 8))
    assert outcome.lost == ((first, last + 1),)
    assert all(first <= a and b <= last + 1 for a, b in broker.asked)  # nothing else is asked for
    assert stored_quotes(tmp_path) == want
    again = download(broker, tmp_path, ticks(0, 8))
    assert (again.pieces, again.lost) == (0, ())


def test_a_repair_cut_short_forgets_nothing_of_what_is_gone(tmp_path: Path) -> None:
    broker, found = four_files(tmp_path)
    want = stored_quotes(tmp_path)
    for file in found:
        file.unlink()
    download(broker, tmp_path, ticks(2, 3))
    download(broker, tmp_path, ticks(0, 8))
    assert stored_quotes(tmp_path) == want


def test_bars_of_a_file_that_is_gone_are_read_again_first_and_last_too(tmp_path: Path) -> None:
    bars = [minute(n) for n in range(90_000)]
    broker = PastBroker(bars)
    for days in ((40, 60), (20, 40), (0, 20)):
        download(broker, tmp_path, minutes(*days))
    found = sorted(tmp_path.glob("data/bars/*/*.parquet"))
    assert len(found) == 3
    found[1].unlink()
    (lost,) = download(broker, tmp_path, minutes(0, 60)).lost
    # The file's bars opened from the 20th day's first minute to the 40th's last but one; one bar at the end besides.
    assert lost == (MONDAY_NS + 20 * DAY_NS, MONDAY_NS + 40 * DAY_NS + 1)
    assert stored_bars(tmp_path) == expected([b for b in bars if b.open_ns < MONDAY_NS + 60 * DAY_NS])
    assert download(broker, tmp_path, minutes(0, 60)).pieces == 0


def test_what_another_source_put_in_place_of_a_file_is_not_gone(tmp_path: Path) -> None:
    broker = PastBroker([minute(n) for n in range(0, 3_000, 2)])
    download(broker, tmp_path, minutes(0, 2))
    other = DownloadSeries(tmp_path, symbol_table.get("EURUSD"), BarPeriod.M1, "another")
    sparse = bar_columns([minute(n) for n in range(1_000, 2_000, 5)], BarPeriod.M1, BadRows())
    other.store(sparse, (MONDAY_NS + 1_000 * MINUTE_NS, MONDAY_NS + 2_000 * MINUTE_NS), BadRows(), replace_stored=True)
    before = stored_bars(tmp_path)
    download(broker, tmp_path, minutes(0, 2))
    assert stored_bars(tmp_path) == before
    assert download(broker, tmp_path, minutes(0, 2)).pieces == 0


def test_a_lost_link_is_waited_for(tmp_path: Path) -> None:
    broker, watch, fell = PastBroker([minute(n) for n in range(100)]), LinkWatch(), []

    def fall() -> None:
        if not fell:
            fell.append(True)
            watch([LinkDown("cut", 1)])
            asyncio.get_running_loop().call_later(0.01, watch, [LinkUp(2)])
            raise LinkLost("cut")

    broker.before_answer = fall
    watch([LinkUp(0)])
    download(broker, tmp_path, minutes(0, 1), watch=watch)
    assert len(broker.asked) == 2
    assert stored_bars(tmp_path) == expected(broker.bars)


def test_a_link_that_is_down_for_good_ends_it_and_a_throttle_does_not(tmp_path: Path) -> None:
    broker, watch, calls = PastBroker([minute(1)]), LinkWatch(), []

    def throttle_then_fall() -> None:
        calls.append(True)
        if len(calls) == 1:
            raise RateLimited("BLOCKED_PAYLOAD_TYPE", "slower", 0.0)
        watch([LinkDown("revoked", 1, permanent=True)])
        raise LinkLost("revoked")

    broker.before_answer = throttle_then_fall
    watch([LinkUp(0)])
    with pytest.raises(LinkLost, match="for good: revoked"):
        download(broker, tmp_path, minutes(0, 1), watch=watch)
    assert len(calls) == 2


def test_notices_of_the_session_are_passed_on() -> None:
    heard: list[Notice] = []
    piece = Notice(level="warning", text="3 bars of this piece were repaired", ts_ns=1, of_rows=True)
    LinkWatch(heard.append)([LinkUp(0), piece, Notice(level="warning", text="maintenance", ts_ns=1)])
    assert [n.text for n in heard] == ["maintenance"]  # rows are counted and said once, at the end


def test_a_period_the_broker_does_not_have_is_refused(tmp_path: Path) -> None:
    wish = Wish("EURUSD", BarPeriod.M6, MONDAY_NS, NOW_NS)
    with pytest.raises(ConfigurationError, match="no M6 bars; it has M1, H1, D1"):
        download(PastBroker(), tmp_path, wish)
