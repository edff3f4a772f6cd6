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
