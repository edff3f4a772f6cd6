"""Wire codes to error classes: one table. The class says what to do; a code that is not listed is still an answer.

Three questions decide about a code:

* Did the venue say no to *this request*? Then `OrderRefused`, `NotFound`, `RateLimited` or plain `VenueError`.
* Is it about *who we are*? `AuthenticationFailed`; some of these are cured by a fresh token (`TOKEN_CODES`), some by
  authorising the account again (`is_session_lost`), the rest need a person.
* For a trading request: is it evidence that nothing was done? A time-out or a vague failure inside the venue is not
  (`AMBIGUOUS_CODES`): the outcome is unknown and must be asked for.
"""

from google.protobuf.message import Message

from pepperstone_adapter.common.errors import (
    AuthenticationFailed,
    NotFound,
    OrderRefused,
    OutcomeUnknown,
    PepperstoneError,
    RateLimited,
    VenueError,
)
from pepperstone_adapter.openapi import messages as oa


class Maintenance(VenueError):
    """The venue is closed for maintenance; `until_ms` is its end (UTC milliseconds), 0 where it did not say."""

    def __init__(self, code: str, text: str = "", until_ms: int = 0) -> None:
        super().__init__(code, text)
        self.until_ms = until_ms


class WrongEnvironment(VenueError):
    """The account is not served by this host: a demo account asked for at live, or the reverse."""

    exit_code = 4


ERRORS: dict[str, type[VenueError]] = {
    # who we are
    "OA_AUTH_TOKEN_EXPIRED": AuthenticationFailed,
    "CH_ACCESS_TOKEN_INVALID": AuthenticationFailed,
    "CH_CLIENT_AUTH_FAILURE": AuthenticationFailed,
    "CH_CLIENT_NOT_AUTHENTICATED": AuthenticationFailed,
    "CH_OA_CLIENT_NOT_FOUND": AuthenticationFailed,
    "CH_CTID_TRADER_ACCOUNT_NOT_FOUND": AuthenticationFailed,
    "ACCOUNT_NOT_AUTHORIZED": AuthenticationFailed,
    "RET_NO_SUCH_LOGIN": AuthenticationFailed,
    "RET_ACCOUNT_DISABLED": AuthenticationFailed,
    # too much
    "BLOCKED_PAYLOAD_TYPE": RateLimited,
    "REQUEST_FREQUENCY_EXCEEDED": RateLimited,
    # the venue itself
    "SERVER_IS_UNDER_MAINTENANCE": Maintenance,
    "CANT_ROUTE_REQUEST": WrongEnvironment,
    "CH_SERVER_NOT_REACHABLE": VenueError,
    "CHANNEL_IS_BLOCKED": VenueError,
    "CONNECTIONS_LIMIT_EXCEEDED": VenueError,
    # what is not there (any more)
    "ORDER_NOT_FOUND": NotFound,
    "POSITION_NOT_FOUND": NotFound,
    "POSITION_NOT_OPEN": NotFound,
    "POSITION_NOT_FOUND_OR_NOT_OPENED": NotFound,
    "ALREADY_CLOSED": NotFound,
    "ENTITY_NOT_FOUND": NotFound,
    "SYMBOL_NOT_FOUND": NotFound,
    "UNKNOWN_SYMBOL": NotFound,
    # no to an order
    "NOT_ENOUGH_MONEY": OrderRefused,
    "MARKET_CLOSED": OrderRefused,
    "SYMBOL_HAS_HOLIDAY": OrderRefused,
    "NO_QUOTES": OrderRefused,
    "MAX_EXPOSURE_REACHED": OrderRefused,
    "POSITION_LOCKED": OrderRefused,
    "TOO_MANY_POSITIONS": OrderRefused,
    "TRADING_BAD_VOLUME": OrderRefused,
    "TRADING_BAD_STOPS": OrderRefused,
    "TRADING_BAD_PRICES": OrderRefused,
    "TRADING_BAD_STAKE": OrderRefused,
    "TRADING_BAD_EXPIRATION_DATE": OrderRefused,
    "PROTECTION_IS_TOO_CLOSE_TO_MARKET": OrderRefused,
    "WORSE_GSL_NOT_ALLOWED": OrderRefused,
    "PENDING_EXECUTION": OrderRefused,
    "TRADING_DISABLED": OrderRefused,
    "TRADING_NOT_ALLOWED": OrderRefused,
    "UNABLE_TO_CANCEL_ORDER": OrderRefused,
    "UNABLE_TO_AMEND_ORDER": OrderRefused,
    "SHORT_SELLING_NOT_ALLOWED": OrderRefused,
    "CONCURRENT_MODIFICATION": OrderRefused,
    # the request itself
    "INCORRECT_BOUNDARIES": VenueError,
    "INVALID_REQUEST": VenueError,
    "UNSUPPORTED_MESSAGE": VenueError,
    "FRAME_TOO_LONG": VenueError,
    "UNKNOWN_ERROR": VenueError,
    "TIMEOUT_ERROR": VenueError,
    # states that are what we wanted
    "ALREADY_LOGGED_IN": VenueError,
    "CH_CLIENT_ALREADY_AUTHENTICATED": VenueError,
    "ALREADY_SUBSCRIBED": VenueError,
    "NOT_SUBSCRIBED_TO_SPOTS": VenueError,
    "NOT_SUBSCRIBED_TO_PNL": VenueError,
}

#: A fresh access token cures these.
TOKEN_CODES = frozenset({"OA_AUTH_TOKEN_EXPIRED", "CH_ACCESS_TOKEN_INVALID"})
#: The request asked for a state that already holds.
BENIGN_CODES = frozenset({"ALREADY_LOGGED_IN", "CH_CLIENT_ALREADY_AUTHENTICATED", "ALREADY_SUBSCRIBED"})
#: For a trading request these do not prove that nothing was done.
AMBIGUOUS_CODES = frozenset({"TIMEOUT_ERROR", "UNKNOWN_ERROR", "CH_SERVER_NOT_REACHABLE"})
#: Nor are these about what was asked: another time it may be done.
PASSING_CODES = AMBIGUOUS_CODES | {"CHANNEL_IS_BLOCKED", "CONNECTIONS_LIMIT_EXCEEDED", "CONCURRENT_MODIFICATION"}
#: No reconnect cures these; a person must act.
PERMANENT_CODES = frozenset(
    {"CH_CLIENT_AUTH_FAILURE", "CH_OA_CLIENT_NOT_FOUND", "CH_CTID_TRADER_ACCOUNT_NOT_FOUND", "RET_NO_SUCH_LOGIN",
     "RET_ACCOUNT_DISABLED"}
)  # fmt: skip


def venue_error(
    code: str, text: str = "", *, retry_after_s: float = 0.0, until_ms: int = 0, trading: bool = False
) -> PepperstoneError:
    """Make the error of a wire code. `trading`: it answered a request that changes orders or positions."""
    text = " ".join(text.split())
    if trading and code in AMBIGUOUS_CODES:
        return OutcomeUnknown(f"the venue answered {code} ({text}), which does not say whether it was done")
    kind = ERRORS.get(code, VenueError)
    if kind is RateLimited:
        return RateLimited(code, text, retry_after_s)
    if kind is Maintenance:
        return Maintenance(code, text, until_ms)
    if kind is VenueError and trading:
        kind = OrderRefused  # an answer to an order that is not listed is still the venue's no
    return kind(code, text)


def error_of(message: Message, *, trading: bool = False) -> PepperstoneError | None:
    """Return the error a message stands for, or None where it is not one.

    Rejections inside an `ExecutionEvent` count: they answer a request with a no.
    """
    if isinstance(message, oa.ErrorRes):
        return venue_error(
            message.errorCode,
            message.description,
            retry_after_s=float(message.retryAfter),
            until_ms=_in_ms(message.maintenanceEndTimestamp),
            trading=trading,
        )
    if isinstance(message, oa.CommonErrorRes):
        until_ms = _in_ms(message.maintenanceEndTimestamp)
        return venue_error(message.errorCode, message.description, until_ms=until_ms, trading=trading)
    if isinstance(message, oa.OrderErrorEvent):
        return venue_error(message.errorCode, message.description, trading=True)
    if isinstance(message, oa.ExecutionEvent) and message.HasField("executionType"):
        kind = message.executionType
        if kind in (oa.ExecutionType.ORDER_REJECTED, oa.ExecutionType.ORDER_CANCEL_REJECTED):
            code = message.errorCode or oa.ExecutionType(kind).name
            return venue_error(code, trading=True)
    return None


def _in_ms(stamp: int) -> int:
    """The schema says seconds in the one message and milliseconds in the other; which they are, their size tells."""
    return stamp if stamp >= 100_000_000_000 else stamp * 1000


def is_session_lost(error: BaseException) -> bool:
    """Whether a live link has lost its account session (typed, or only in words)."""
    if not isinstance(error, VenueError):
        return False
    if error.code in ("ACCOUNT_NOT_AUTHORIZED", "CH_CLIENT_NOT_AUTHENTICATED"):
        return True
    return error.code == "INVALID_REQUEST" and "not authorized" in error.text.lower()


def is_application_lost(error: BaseException) -> bool:
    """Whether the venue no longer knows who is on this link."""
    return isinstance(error, VenueError) and error.code == "CH_CLIENT_NOT_AUTHENTICATED"


def is_token_refused(error: BaseException) -> bool:
    return isinstance(error, VenueError) and error.code in TOKEN_CODES


def is_benign(error: BaseException) -> bool:
    return isinstance(error, VenueError) and error.code in BENIGN_CODES


def is_refusal(error: VenueError) -> bool:
    """Whether it is about what was asked, and would be the answer to a second try as well."""
    return type(error) in (VenueError, NotFound, OrderRefused) and error.code not in PASSING_CODES


def is_permanent(error: BaseException) -> bool:
    return isinstance(error, VenueError) and error.code in PERMANENT_CODES
