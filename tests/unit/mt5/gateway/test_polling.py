"""The poller on a terminal that only has ticks: how a long stop is caught up with, and how long one turn takes."""

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from pepperstone_adapter.mt5.gateway.polling import NS, POLL_TICK_ROWS, TURN_S, Poller
from pepperstone_adapter.mt5.gateway.ticks import PAGE, TickCursor
from pepperstone_adapter.mt5.gateway.wire import TICKS_DTYPE, unpack_array

Tick = namedtuple("Tick", "time_msc bid ask")
Row = namedtuple("Row", "login connected trade_allowed tradeapi_disabled build path")
BEGAN_MS = 1_600_000_000_000


class Terminal:
    """Symbols with ticks a millisecond apart, no trades; `volume` numbers them."""

    def __init__(self, **counts: int) -> None:
        self.ticks: dict[str, Any] = {}
        for name, count in counts.items():
            rows = self.ticks[name] = np.zeros(count, TICKS_DTYPE)
            rows["time_msc"] = BEGAN_MS + np.arange(count)
            rows["time"], rows["volume"] = rows["time_msc"] // 1000, np.arange(count)
            rows["bid"], rows["ask"] = 1.1, 1.2

    def symbol_info_tick(self, name: str) -> Tick:
        return Tick(int(self.ticks[name][-1]["time_msc"]), 1.1, 1.2)

    def copy_ticks_from(self, name: str, second: int, count: int, _flags: int) -> Any:
        rows = self.ticks[name]
        return rows[rows["time"] >= second][:count]

    def history_deals_total(self, *_window: int) -> int:
        return 0

    def history_deals_get(self, *_window: int) -> tuple[()]:
        return ()

    orders_get = positions_get = history_deals_get
    orders_total = positions_total = history_deals_total

    def account_info(self) -> Row:
        return Row(7, True, True, False, 1, "")

    terminal_info = account_info


def test_the_ticks_of_hours_come_in_frames_that_can_travel_and_none_is_lost() -> None:
    counts = {"A": POLL_TICK_ROWS * 2 + 5, "B": POLL_TICK_ROWS + 7}
    poller = Poller(Terminal(**counts), lambda: 0.0)  # no turn is over before its rows are
    for name in counts:
        poller.subscribe(name, TickCursor(BEGAN_MS))
    seen: dict[str, list[int]] = {name: [] for name in counts}
    for turn in range(10):
        now = [e for e in poller.poll(BEGAN_MS * 1_000_000 + turn) if e["k"] == "ticks"]
        rows = [(e["symbol"], unpack_array(e["rows"])["volume"].tolist()) for e in now]
        assert sum(len(r) for _, r in rows) < POLL_TICK_ROWS + PAGE
        for name, numbers in rows:
            seen[name] += numbers
    assert seen == {name: list(range(count)) for name, count in counts.items()}


class Spoilt(Terminal):
    """A terminal that shows ticks of a year ahead and of long ago among the others, and may show one as its newest."""

    newest_ms = 0

    def symbol_info_tick(self, name: str) -> Tick:
        return Tick(self.newest_ms or super().symbol_info_tick(name).time_msc, 1.1, 1.2)

    def copy_ticks_from(self, name: str, second: int, count: int, flags: int) -> Any:
        rows = super().copy_ticks_from(name, second, count, flags).copy()
        if len(rows) > 2:
            rows["time_msc"][1], rows["time_msc"][-1] = 0, BEGAN_MS + 365 * 86_400_000
        return rows


def told(poller: Poller, second: int) -> tuple[list[int], int]:
    """The numbers of the ticks of one poll, and how many were said to be bad."""
    events = poller.poll((BEGAN_MS // 1000 + second) * 1_000_000_000)
    numbers = [n for e in events if e["k"] == "ticks" for n in unpack_array(e["rows"])["volume"].tolist()]
    return numbers, sum(e["count"] for e in events if e["k"] == "bad_ticks")


def test_a_tick_with_an_impossible_time_stops_nothing_and_is_counted_once() -> None:
    terminal = Spoilt(A=10)
    poller = Poller(terminal)
    poller.subscribe("A", TickCursor(BEGAN_MS))
    assert told(poller, 1) == ([0, *range(2, 9)], 2)
    assert told(poller, 3) == ([], 0)
    more = np.zeros(3, TICKS_DTYPE)
    more["time"], more["volume"] = BEGAN_MS // 1000 + 5, (10, 11, 12)
    more["time_msc"] = more["time"] * 1000
    terminal.ticks["A"] = np.concatenate((terminal.ticks["A"], more))
    # The last row of every read is the spoilt one; the ninth is not any more.
    assert told(poller, 5) == ([9, 10, 11], 0)


def test_a_newest_tick_of_next_year_begins_no_stream_there() -> None:
    terminal = Spoilt(A=10)
    terminal.newest_ms = BEGAN_MS + 365 * 86_400_000
    poller = Poller(terminal)
    poller.subscribe("A", None)
    assert told(poller, 1) == ([], 0)
    terminal.newest_ms = 0
    assert told(poller, 2)[0] == []
    poller.subscribe("A", TickCursor(BEGAN_MS))
    terminal.newest_ms = BEGAN_MS + 365 * 86_400_000
    assert told(poller, 3) == ([0, *range(2, 9)], 2)


def test_a_second_with_bad_rows_that_is_larger_than_a_page_is_read_to_its_end() -> None:
    terminal = Spoilt(A=PAGE * 3)
    terminal.ticks["A"]["time"], terminal.ticks["A"]["time_msc"] = BEGAN_MS // 1000, BEGAN_MS
    poller = Poller(terminal)
    poller.subscribe("A", TickCursor(BEGAN_MS))
    seen = [n for second in range(1, 20, 2) for n in told(poller, second)[0]]
    assert len(seen) == len(set(seen)) >= PAGE * 3 - 10


class Slow(Terminal):
    """Every call takes a millisecond of `now_s`; it notes when the deals were counted."""

    CALL_S = 0.001

    def __init__(self, **counts: int) -> None:
        super().__init__(**counts)
        self.now_s = 0.0
        self.counted_s: list[float] = []

    def symbol_info_tick(self, name: str) -> Tick:
        self.now_s += self.CALL_S
        return super().symbol_info_tick(name)

    def copy_ticks_from(self, name: str, second: int, count: int, flags: int) -> Any:
        self.now_s += self.CALL_S
        return super().copy_ticks_from(name, second, count, flags)

    def history_deals_total(self, *window: int) -> int:
        self.counted_s.append(self.now_s)
        return super().history_deals_total(*window)

    def add(self, name: str) -> None:
        """The next tick of a symbol."""
        newest = self.ticks[name][-1:].copy()
        newest["time_msc"] += 1
        newest["volume"] += 1
        newest["time"] = newest["time_msc"] // 1000
        self.ticks[name] = np.concatenate((self.ticks[name], newest))


def turn_of(poller: Poller, terminal: Slow, seen: dict[str, list[int]]) -> None:
    """One turn, which must be short; what it found goes to `seen`."""
    began_s = terminal.now_s
    for event in poller.poll(BEGAN_MS * 1_000_000 + round(began_s * NS)):
        if event["k"] == "ticks":
            seen.setdefault(event["symbol"], []).extend(unpack_array(event["rows"])["volume"].tolist())
    assert terminal.now_s - began_s <= TURN_S + 2 * terminal.CALL_S  # a symbol is looked at and read once at least


def test_a_hundred_symbols_that_all_moved_take_turns_of_bounded_length() -> None:
    names = [f"S{number}" for number in range(100)]
    terminal = Slow(**dict.fromkeys(names, 1))
    poller = Poller(terminal, lambda: terminal.now_s)
    for name in names:
        poller.subscribe(name, TickCursor(BEGAN_MS))
    seen: dict[str, list[int]] = {}
    for made in range(1, 4):
        turns = 1
        turn_of(poller, terminal, seen)
        while poller.halfway:
            turns += 1
            turn_of(poller, terminal, seen)
        assert turns == 20  # 200 calls of 1 ms in turns of 10 ms
        assert seen == {name: list(range(made)) for name in names}
        for name in names:
            terminal.add(name)
    # Deals are looked for in every turn, however many symbols there are.
    assert max(np.diff(terminal.counted_s)) <= TURN_S + 2 * terminal.CALL_S


def test_a_symbol_nobody_wants_any_more_is_not_read_in_the_rest_of_a_pass() -> None:
    names = [f"S{number}" for number in range(20)]
    terminal = Slow(**dict.fromkeys(names, 1))
    poller = Poller(terminal, lambda: terminal.now_s)
    for name in names:
        poller.subscribe(name, TickCursor(BEGAN_MS))
    seen: dict[str, list[int]] = {}
    turn_of(poller, terminal, seen)
    left = [name for name in names if name not in seen]
    poller.unsubscribe(left[0])
    while poller.halfway:
        turn_of(poller, terminal, seen)
    assert seen.keys() == set(names) - {left[0]}


def test_a_symbol_with_much_to_catch_up_on_does_not_hold_up_the_others() -> None:
    terminal = Slow(A=PAGE * 40, B=1)
    poller = Poller(terminal, lambda: terminal.now_s)
    for name in terminal.ticks:
        poller.subscribe(name, TickCursor(BEGAN_MS))
    seen: dict[str, list[int]] = {}
    turn_of(poller, terminal, seen)
    assert list(seen) == ["A"]
    turn_of(poller, terminal, seen)
    assert seen["B"] == [0]
    while len(seen["A"]) < PAGE * 40:
        assert poller.halfway  # no pause before it has caught up
        turn_of(poller, terminal, seen)
    assert not poller.halfway
    assert seen == {"A": list(range(PAGE * 40)), "B": [0]}


class Watch(Terminal):
    """A terminal with a Market Watch; what is not in it has no newest tick."""

    def __init__(self, **counts: int) -> None:
        super().__init__(**counts)
        self.hidden: set[str] = set()
        self.selects: list[str] = []
        self.deleted = False

    def symbol_info_tick(self, name: str) -> Any:
        return None if name in self.hidden else super().symbol_info_tick(name)

    def symbol_select(self, name: str, _on: bool) -> bool:
        self.selects.append(name)
        if not self.deleted:
            self.hidden.discard(name)
        return not self.deleted

    def last_error(self) -> tuple[int, str]:
        return (-4, "Terminal: Not found")


def test_a_symbol_that_a_person_hides_is_put_back_and_its_ticks_go_on() -> None:
    terminal = Watch(A=2)
    poller = Poller(terminal)
    poller.subscribe("A", TickCursor(BEGAN_MS))
    assert told(poller, 0)[0] == [0, 1]
    terminal.hidden.add("A")
    for volume in (2, 3):
        row = terminal.ticks["A"][-1:].copy()
        row["time_msc"], row["volume"] = row["time_msc"] + 100, volume
        terminal.ticks["A"] = np.concatenate((terminal.ticks["A"], row))
    assert told(poller, 2)[0] == []
    assert told(poller, 3)[0] == [2, 3]
    assert terminal.selects == ["A"]
    # One that the broker has taken away is asked for once a second, not in every turn.
    terminal.hidden.add("A")
    terminal.deleted = True
    for turn in range(10):
        poller.poll((BEGAN_MS // 1000 + 5) * NS + turn * NS // 10)
    assert terminal.selects == ["A", "A"]


class Failing(Terminal):
    """The `fails`-th read of ticks gives no answer, once, though the terminal is there."""

    fails = 0

    def copy_ticks_from(self, name: str, second: int, count: int, flags: int) -> Any:
        self.fails -= 1
        return None if self.fails == 0 else super().copy_ticks_from(name, second, count, flags)

    def last_error(self) -> tuple[int, str]:
        return (-1, "Terminal: Call failed")


def test_ticks_read_before_a_failed_page_are_not_told_again() -> None:
    terminal = Failing(A=PAGE * 3)
    poller = Poller(terminal, lambda: 0.0)
    poller.subscribe("A", TickCursor(BEGAN_MS))
    terminal.fails = 2
    assert [told(poller, 1)[0], told(poller, 3)[0]] == [list(range(PAGE)), list(range(PAGE, PAGE * 3))]


Deal = namedtuple("Deal", "ticket time")


class Traded(Terminal):
    """A terminal with deals; it notes from when on it was asked for them."""

    def __init__(self) -> None:
        super().__init__()
        self.deals: list[Deal] = []
        self.asked: list[int] = []

    def history_deals_total(self, begin: int, end: int) -> int:  # type: ignore[override]
        return sum(begin <= deal.time < end for deal in self.deals)

    def history_deals_get(self, begin: int, end: int) -> tuple[Deal, ...]:  # type: ignore[override]
        self.asked.append(begin)
        return tuple(deal for deal in self.deals if begin <= deal.time < end)


def test_a_deal_made_behind_every_look_costs_no_look_at_all_deals_and_is_told_in_the_next_turn() -> None:
    class Busy(Traded):
        """A deal is made right after each answer, for as long as the terminal is asked."""

        def history_deals_get(self, begin: int, end: int) -> tuple[Deal, ...]:
            found = super().history_deals_get(begin, end)
            self.deals.append(Deal(len(self.deals) + 1, now_s))
            return found

    now_s = BEGAN_MS // 1000
    terminal = Busy()
    terminal.deals = [Deal(1, now_s - 86_400), Deal(2, now_s)]
    poller = Poller(terminal)
    (told,) = [event["rows"] for event in poller.poll(now_s * NS) if event["k"] == "deals"]
    # All once, since nothing is known yet, then what is new; the deal behind the fifth look is not there yet.
    assert terminal.asked == [now_s - 2 * 86_400, *[now_s - 60] * 4]
    assert [deal["ticket"] for deal in told] == [1, 2, 3, 4, 5, 6]
    (told,) = [event["rows"] for event in poller.poll(now_s * NS + 1) if event["k"] == "deals"]
    assert [deal["ticket"] for deal in told] == [7, 8, 9, 10, 11]


def test_what_changes_after_our_clock_was_set_back_is_told_at_once() -> None:
    terminal = Traded()
    poller = Poller(terminal)
    now_s = BEGAN_MS // 1000
    assert [event["k"] for event in poller.poll(now_s * NS)] == ["orders", "positions", "account", "terminal"]
    terminal.account_info = lambda: Row(7, True, False, False, 1, "")  # type: ignore[method-assign]
    assert poller.poll(now_s * NS + NS // 2) == []  # looked at half a second ago
    assert [event["k"] for event in poller.poll((now_s - 3600) * NS)] == ["account"]


Executed = namedtuple("Executed", "ticket time order")
Ended = namedtuple("Ended", "ticket volume_initial")


def test_new_deals_come_with_their_orders_as_far_as_the_history_has_them() -> None:
    class Ordered(Traded):
        def history_orders_get(self, *, ticket: int) -> tuple[Ended, ...]:
            return () if ticket == 92 else (Ended(ticket, 0.5),)

    terminal = Ordered()
    poller = Poller(terminal)
    now_s = BEGAN_MS // 1000
    terminal.deals = [Executed(n, now_s, 90 + n) for n in range(1, 4)]  # type: ignore[misc]
    events = poller.poll(now_s * NS)
    assert [e["orders"] for e in events if e["k"] == "deals"] == [[]]  # a new poller tells all, mostly known
    terminal.deals += [Executed(n, now_s, order) for n, order in ((4, 91), (5, 91), (6, 92), (7, 0))]  # type: ignore[misc]
    (told,) = [e for e in poller.poll((now_s + 2) * NS) if e["k"] == "deals"]
    assert told["orders"] == [{"ticket": 91, "volume_initial": 0.5}]


def test_what_comes_with_deals_is_not_taken_for_the_working_orders() -> None:
    class Working(Traded):
        def orders_get(self) -> tuple[Any, ...]:  # type: ignore[override]
            return (Ended(7, 0.1),)

        def history_orders_get(self, *, ticket: int) -> tuple[Ended, ...]:
            return (Ended(ticket, 0.5),)

    terminal = Working()
    poller = Poller(terminal)
    now_s = BEGAN_MS // 1000
    told = []
    for turn in range(3):
        terminal.deals.append(Executed(turn + 1, now_s, 90 + turn))  # type: ignore[arg-type]
        told += [e["rows"] for e in poller.poll((now_s + 2 * turn) * NS) if e["k"] == "orders"]
    assert told == [[{"ticket": 7, "volume_initial": 0.1}]]


def test_what_a_terminal_shows_without_its_server_is_not_the_account() -> None:
    """One that was started without it has nothing yet; positions that are gone from its list are not closed."""
    terminal = Traded()
    poller = Poller(terminal)
    now_s = BEGAN_MS // 1000
    terminal.terminal_info = lambda: Row(7, False, True, False, 1, "")  # type: ignore[method-assign]
    for turn in range(3):
        kinds = [event["k"] for event in poller.poll((now_s + 2 * turn) * NS)]
        assert kinds == (["account", "terminal"] if turn == 0 else [])
    terminal.deals = [Deal(1, now_s)]
    terminal.terminal_info = terminal.account_info  # type: ignore[method-assign]
    kinds = [event["k"] for event in poller.poll((now_s + 6) * NS)]
    assert kinds == ["deals", "orders", "positions", "terminal"]


class Switched(Traded):
    """A terminal whose person logs in to account 8 at the `switch`-th look at the account; each account has deals 1 and 2."""

    switch = 0

    def account_info(self) -> Row:
        self.switch -= 1
        return Row(7 if self.switch > 0 else 8, True, True, False, 1, "")


@pytest.mark.parametrize("switch", range(1, 6))
def test_what_a_snapshot_says_is_said_with_the_account_it_is_of(switch: int) -> None:
    terminal = Switched()
    terminal.switch = 100
    poller = Poller(terminal)
    now_s = BEGAN_MS // 1000
    terminal.deals = [Deal(1, now_s - 9), Deal(2, now_s - 8)]

    def told_by(at_s: int) -> list[tuple[int, list[int]]]:
        events = poller.poll(at_s * NS)
        return [(e["login"], [row["ticket"] for row in e["rows"]]) for e in events if e["k"] == "deals"]

    assert told_by(now_s) == [(7, [1, 2])]
    terminal.switch = switch
    seen = [told for turn in range(1, 6) for told in told_by(now_s + 2 * turn)]
    assert seen == [(8, [1, 2])]  # another account's tickets are other deals, though their numbers are the same


def test_only_recent_deals_are_read_until_one_turns_up_further_back() -> None:
    terminal = Traded()
    poller = Poller(terminal)
    now_s = BEGAN_MS // 1000
    window_s = now_s - 2 * 86_400

    def tickets(at_s: int) -> list[int]:
        events = poller.poll(at_s * NS)
        return [row["ticket"] for event in events if event["k"] == "deals" for row in event["rows"]]

    terminal.deals = [Deal(1, window_s + 60), Deal(2, now_s - 600)]
    assert tickets(now_s) == [1, 2]
    terminal.deals.append(Deal(3, now_s + 1))
    assert tickets(now_s + 2) == [3]
    assert terminal.asked == [window_s, now_s - 600 - 60]  # a new poller reads all, then a minute before the newest
    # The server's clock went back an hour.
    terminal.deals.append(Deal(4, now_s - 3598))
    assert tickets(now_s + 3) == [4]
    assert terminal.asked[2:] == [now_s + 1 - 60, now_s + 1 - 7200]
    # The history was short until now: the broker's server tells of a deal of yesterday.
    terminal.deals.append(Deal(5, now_s - 86_400))
    assert tickets(now_s + 4) == [5]
    assert terminal.asked[4:] == [now_s + 1 - 60, now_s + 1 - 7200, window_s]
    # A day on the window moves, everything in it is read once, and nothing is told twice.
    later_s = now_s + 86_401
    terminal.deals.append(Deal(6, later_s))
    assert tickets(later_s) == [6]
    assert terminal.asked[7:] == [later_s - 2 * 86_400]
    assert tickets(later_s + 2) == []
