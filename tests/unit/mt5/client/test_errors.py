import pytest

from pepperstone_adapter.common.errors import LinkLost, NotFound, OrderRefused, OutcomeUnknown, RateLimited
from pepperstone_adapter.mt5.client.errors import RETCODES, Verdict, call_error, trade_error


def test_the_whole_table_maps_to_what_the_caller_must_do() -> None:
    for code, entry in RETCODES.items():
        error = trade_error(code, "")
        if entry.verdict in (Verdict.ACCEPTED, Verdict.DONE):
            assert error is None, entry.name
        elif entry.verdict is Verdict.UNKNOWN:
            assert isinstance(error, OutcomeUnknown), entry.name
        elif entry.verdict is Verdict.THROTTLED:
            assert isinstance(error, RateLimited), entry.name
        elif entry.name == "POSITION_CLOSED":
            assert isinstance(error, NotFound)
        else:
            assert isinstance(error, OrderRefused), entry.name
            assert entry.name in str(error)


def test_a_code_we_do_not_know_is_never_taken_for_a_refusal() -> None:
    assert isinstance(trade_error(10999, "new"), OutcomeUnknown)


@pytest.mark.parametrize(
    ("fn", "code", "kind"),
    [
        ("order_send", -10_001, OutcomeUnknown),
        ("order_send", -10_002, OutcomeUnknown),
        ("order_send", -10_005, OutcomeUnknown),
        ("order_send", -10_004, LinkLost),
        ("positions_get", -10_002, LinkLost),
        ("order_send", -8, OrderRefused),
        ("order_send", -2, OrderRefused),
        ("order_send", -1, OutcomeUnknown),  # failed, and nobody says when
        ("order_send", 1, OutcomeUnknown),  # no result and yet "Success"
        ("order_send", -99, OutcomeUnknown),
        ("symbol_info", -4, NotFound),
    ],
)
def test_a_broken_call_is_unknown_only_when_an_order_may_have_left(fn: str, code: int, kind: type) -> None:
    assert isinstance(call_error(fn, code, "text"), kind)


def test_the_button_is_named() -> None:
    assert "Algo Trading" in str(trade_error(10027, ""))


# The reference's table of return codes, code by code: what its line says to do.
ACCEPT, REJECT, UNKNOWN = (10008, 10009, 10010), (10004, 10020, 10021, 10006, 10007, 10011, 10013), (10012, 10031)
BAD_FIELD = (10014, 10015, 10016, 10022, 10030, 10035)
STATE, LIMITS = (10017, 10018, 10042, 10043, 10044, 10045, 10046), (10019, 10033, 10034, 10040)
RACE, SWITCHES = (10023, 10028, 10029, 10036, 10038, 10039, 10041), (10026, 10027, 10032)


def test_every_code_has_the_verdict_of_the_reference_and_only_switches_stop_all_trading() -> None:
    expected = {
        **dict.fromkeys(ACCEPT, Verdict.ACCEPTED),
        **dict.fromkeys((*REJECT, *BAD_FIELD, *STATE, *LIMITS, *SWITCHES), Verdict.REFUSED),
        **dict.fromkeys(UNKNOWN, Verdict.UNKNOWN),
        **dict.fromkeys(RACE, Verdict.STALE),
        10024: Verdict.THROTTLED,
        10025: Verdict.DONE,
    }
    assert {code: entry.verdict for code, entry in RETCODES.items()} == expected
    assert {code for code, entry in RETCODES.items() if entry.halt} == set(SWITCHES)


def test_nothing_to_change_is_done_for_a_change_and_no_new_order() -> None:
    assert trade_error(10025, "") is None
    assert isinstance(trade_error(10025, "", new=True), OrderRefused)
