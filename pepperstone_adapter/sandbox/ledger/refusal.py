"""Why the broker says no, in words no venue owns; each wire translates them into its own codes."""

from enum import StrEnum


class Refusal(StrEnum):
    UNKNOWN_SYMBOL = "unknown_symbol"
    UNKNOWN_ORDER = "unknown_order"
    UNKNOWN_POSITION = "unknown_position"
    BAD_VOLUME = "bad_volume"
    BAD_PRICE = "bad_price"
    BAD_STOPS = "bad_stops"
    TOO_CLOSE = "too_close"
    BAD_EXPIRY = "bad_expiry"
    INVALID = "invalid"
    MARKET_CLOSED = "market_closed"
    HOLIDAY = "holiday"
    NO_QUOTES = "no_quotes"
    NO_MONEY = "no_money"
    MAX_EXPOSURE = "max_exposure"
    TOO_MANY_POSITIONS = "too_many_positions"
    TRADING_DISABLED = "trading_disabled"
    CLOSE_ONLY = "close_only"
    SHORT_NOT_ALLOWED = "short_not_allowed"
    GUARANTEED_STOP_REQUIRED = "guaranteed_stop_required"
    NOTHING_TO_AMEND = "nothing_to_amend"
    CANNOT_AMEND = "cannot_amend"
    CANNOT_CANCEL = "cannot_cancel"
    EXECUTION_FAILED = "execution_failed"


class Refused(Exception):
    """The broker's no: nothing was changed.

    Attributes
    ----------
    order_id, position_id
        What the refusal is about, 0 where the request named nothing that exists.
    """

    def __init__(self, reason: Refusal, text: str, order_id: int = 0, position_id: int = 0) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text
        self.order_id = order_id
        self.position_id = position_id
