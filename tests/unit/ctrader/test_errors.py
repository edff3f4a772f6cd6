"""The table of wire codes, walked."""

import pytest

from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    NotFound,
    OrderRefused,
    OutcomeUnknown,
    RateLimited,
    VenueError,
)
from pepperstone_adapter.ctrader.client import errors
from pepperstone_adapter.openapi import messages as oa


def test_every_published_code_has_a_class() -> None:
    published = set(oa.ErrorCode.__members__) | set(oa.CommonErrorCode.__members__)
    assert published <= set(errors.ERRORS)


@pytest.mark.parametrize("code", sorted(errors.ERRORS))
def test_every_code_of_the_table_makes_its_error_with_its_code(code: str) -> None:
    error = errors.venue_error(code, "why")
    assert type(error) is errors.ERRORS[code]
    assert isinstance(error, VenueError)
    assert str(error) == f"{code}: why"


@pytest.mark.parametrize("code", sorted(errors.AMBIGUOUS_CODES))
def test_a_vague_answer_to_an_order_leaves_its_outcome_unknown(code: str) -> None:
    assert isinstance(errors.venue_error(code, trading=True), OutcomeUnknown)
    assert isinstance(errors.venue_error(code, trading=False), VenueError)


def test_an_unlisted_code_is_a_no_to_an_order_and_an_error_to_a_read() -> None:
    assert type(errors.venue_error("BRAND_NEW", trading=True)) is OrderRefused
    assert type(errors.venue_error("BRAND_NEW")) is VenueError


def test_hints_are_read_in_their_units() -> None:
    throttled = errors.error_of(oa.ErrorRes(errorCode="BLOCKED_PAYLOAD_TYPE", retryAfter=9))
    assert isinstance(throttled, RateLimited)
    assert throttled.retry_after_s == 9
    seconds = errors.error_of(
        oa.ErrorRes(errorCode="SERVER_IS_UNDER_MAINTENANCE", maintenanceEndTimestamp=1_700_000_000)
    )
    millis = errors.error_of(
        oa.CommonErrorRes(errorCode="SERVER_IS_UNDER_MAINTENANCE", maintenanceEndTimestamp=1_700_000_000_000)
    )
    assert isinstance(seconds, errors.Maintenance)
    assert isinstance(millis, errors.Maintenance)
    assert seconds.until_ms == millis.until_ms == 1_700_000_000_000


def test_rejections_inside_an_execution_event_are_errors_and_the_rest_are_not() -> None:
    def event(kind: int, code: str = "") -> oa.ExecutionEvent:
        return oa.ExecutionEvent(ctidTraderAccountId=1, executionType=kind, errorCode=code or None)

    assert isinstance(errors.error_of(event(oa.ExecutionType.ORDER_REJECTED, "NOT_ENOUGH_MONEY")), OrderRefused)
    bare = errors.error_of(event(oa.ExecutionType.ORDER_CANCEL_REJECTED))
    assert isinstance(bare, OrderRefused)
    assert bare.code == "ORDER_CANCEL_REJECTED"
    assert errors.error_of(event(oa.ExecutionType.ORDER_ACCEPTED)) is None


def test_a_lost_session_is_known_by_code_and_by_words() -> None:
    assert errors.is_session_lost(errors.venue_error("ACCOUNT_NOT_AUTHORIZED"))
    assert errors.is_session_lost(errors.venue_error("INVALID_REQUEST", "Trading account is not authorized"))
    assert not errors.is_session_lost(errors.venue_error("INVALID_REQUEST", "Nothing to amend."))


def test_kinds_that_decide_what_to_do() -> None:
    assert errors.is_token_refused(errors.venue_error("CH_ACCESS_TOKEN_INVALID"))
    assert errors.is_benign(errors.venue_error("ALREADY_LOGGED_IN"))
    assert errors.is_permanent(errors.venue_error("CH_CLIENT_AUTH_FAILURE"))
    assert not errors.is_permanent(ValueError())
    assert isinstance(errors.venue_error("POSITION_NOT_FOUND", trading=True), NotFound)
    assert isinstance(errors.venue_error("OA_AUTH_TOKEN_EXPIRED", trading=True), AuthenticationFailed)
