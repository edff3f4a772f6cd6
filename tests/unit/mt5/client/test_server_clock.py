from typing import Any

from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.mt5.client.server_clock import ClockCheck, symbols_to_watch

NS = 1_000_000_000
HOUR_NS = 3600 * NS
NOW_NS = 1_784_100_000 * NS


def checks(*ages_ns: int) -> list[bool]:
    """Whether the check stopped trading after each new tick that is so old by the rule."""
    check = ClockCheck(parse_clock("new-york+7"))
    return [check.seen(NOW_NS - age, NOW_NS, NOW_NS) is not None for age in ages_ns]


def test_three_new_ticks_that_are_wrong_alike_are_proof() -> None:
    assert checks(HOUR_NS, HOUR_NS + 2 * NS, HOUR_NS - NS) == [False, False, True]
    assert checks(-HOUR_NS, -HOUR_NS, -HOUR_NS) == [False, False, True]


def test_a_tick_that_fits_takes_the_suspicion_away_and_ages_that_disagree_prove_nothing() -> None:
    assert not any(checks(HOUR_NS, HOUR_NS, NS, HOUR_NS, HOUR_NS))
    assert not any(checks(HOUR_NS, 3 * HOUR_NS, 2 * HOUR_NS, 5 * HOUR_NS))


def test_at_the_start_a_stamp_from_the_future_is_proof_and_an_old_one_is_a_closed_market() -> None:
    now_s = NOW_NS // NS
    server_s = now_s + 3 * 3600  # in July the server is three hours ahead of UTC
    rows: dict[str, Any] = {"EURUSD": {"time": server_s}, "AAPL.US": {"time": server_s - 50_000}}
    assert ClockCheck(parse_clock("new-york+7")).newest(rows, NOW_NS) is None
    assert ClockCheck(parse_clock("+05:00")).newest(rows, NOW_NS) is None  # two hours old by this rule
    wrong = ClockCheck(parse_clock("Europe/London")).newest(rows, NOW_NS)  # one hour ahead in July
    assert wrong is not None
    assert "+2.00 h off" in wrong
    assert ClockCheck(parse_clock("utc")).newest({}, NOW_NS) is None


def test_a_symbol_with_a_stamp_that_cannot_be_stops_no_start() -> None:
    server_s = NOW_NS // NS + 3 * 3600
    check = ClockCheck(parse_clock("new-york+7"))
    for ahead_s in (365 * 86_400, 3 * 86_400):
        rows: dict[str, Any] = {"EURUSD": {"time": server_s}, "BROKEN": {"time": server_s + ahead_s}}
        assert check.newest(rows, NOW_NS) is None
        assert check.confirmed(NOW_NS)
    assert check.newest({"BROKEN": {"time": server_s + 365 * 86_400}}, NOW_NS) is None
    assert check.newest({"BROKEN": {"time": 0}}, NOW_NS) is None


def test_one_symbol_hours_ahead_is_outvoted_by_three_of_now_and_named_otherwise() -> None:
    server_s = NOW_NS // NS + 3 * 3600
    broken: dict[str, Any] = {"BROKEN": {"time": server_s + 5 * 3600}}
    of_now = {name: {"time": server_s - 20} for name in ("EURUSD", "GBPUSD", "XAUUSD")}
    check = ClockCheck(parse_clock("new-york+7"))
    assert check.newest(broken | of_now, NOW_NS) is None
    assert check.confirmed(NOW_NS)
    of_now.pop("XAUUSD")
    wrong = ClockCheck(parse_clock("new-york+7")).newest(broken | of_now, NOW_NS)
    assert wrong is not None
    assert wrong.startswith("the newest tick of BROKEN is +5.00 h off")
    # Two that agree are no accident: three others may have closed just so long ago.
    three = {name: {"time": server_s} for name in ("EURUSD", "GBPUSD", "XAUUSD")}
    two = {name: {"time": server_s + 5 * 3600} for name in ("BTCUSD", "ETHUSD")}
    assert ClockCheck(parse_clock("new-york+7")).newest(three | two, NOW_NS) is not None


def test_a_few_symbols_of_the_market_watch_tell_the_time_and_nothing_is_added_to_it() -> None:
    rows = {name: {"select": name != "B"} for name in "ABCDE"}
    assert symbols_to_watch(rows, ["E", "B", "X"]) == ("E", "A", "C")
    assert symbols_to_watch({"A": {"select": False}}, ["A"]) == ()


def confirmed_after(*ticks: tuple[int, bool]) -> bool:
    """Whether the rule is confirmed after ticks of such an age, found (False) or just made (True)."""
    check = ClockCheck(parse_clock("new-york+7"))
    for age_ns, made in ticks:
        check.seen(NOW_NS - age_ns, NOW_NS, NOW_NS if made else None)
    return check.confirmed(NOW_NS)


def test_only_a_tick_of_now_confirms_and_one_new_tick_against_the_rule_takes_it_back() -> None:
    assert not confirmed_after()
    assert confirmed_after((NS, True))
    assert confirmed_after((30 * NS, False))
    assert not confirmed_after((90 * NS, False))  # an old tick that was found says nothing
    assert not confirmed_after((NS, True), (HOUR_NS, True))
    assert not confirmed_after((HOUR_NS, True), (NS, False))  # a made one outweighs one that was found
    assert confirmed_after((HOUR_NS, True), (NS, True))


def test_a_confirmation_holds_for_an_hour() -> None:
    check = ClockCheck(parse_clock("new-york+7"))
    check.seen(NOW_NS, NOW_NS, NOW_NS)
    assert check.confirmed(NOW_NS + HOUR_NS)
    assert not check.confirmed(NOW_NS + HOUR_NS + 1)


def test_the_newest_tick_at_the_start_confirms_when_it_is_of_now() -> None:
    server_s = NOW_NS // NS + 3 * 3600
    for age_s, expected in ((10, True), (90, False)):
        check = ClockCheck(parse_clock("new-york+7"))
        assert check.newest({"EURUSD": {"time": server_s - age_s}}, NOW_NS) is None
        assert check.confirmed(NOW_NS) is expected
