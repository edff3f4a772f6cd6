"""How the sandbox's server behaves where servers could differ: every behaviour that was recorded or observed is a switch,
and its default is what was seen; where nobody has seen it, its text says so (unconfirmed).

What is no switch: units and encodings, the trading day from 17:00 New York, and the arithmetic of money.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pepperstone_adapter.common.settings import StrictModel

type Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*(: \S.*)?$")]


class ErrorCodes(StrictModel):
    """What the server says no with: ``CODE``, or ``CODE: words`` to replace its words too.

    First who may speak and what may be asked, then why an order is refused (the names of `ledger.refusal`).
    """

    no_application: Code = "CH_CLIENT_NOT_AUTHENTICATED"
    bad_application: Code = "CH_CLIENT_AUTH_FAILURE"
    second_application: Code = "CH_CLIENT_ALREADY_AUTHENTICATED"
    no_account: Code = "INVALID_REQUEST"
    second_account: Code = "ALREADY_LOGGED_IN"
    unknown_account: Code = "CH_CTID_TRADER_ACCOUNT_NOT_FOUND"
    wrong_environment: Code = "CANT_ROUTE_REQUEST"
    token_invalid: Code = "CH_ACCESS_TOKEN_INVALID"  # noqa: S105
    token_expired: Code = "CH_ACCESS_TOKEN_INVALID"  # noqa: S105
    refresh_token_invalid: Code = "CH_ACCESS_TOKEN_INVALID"  # noqa: S105
    token_may_not_trade: Code = "TRADING_NOT_ALLOWED"  # noqa: S105
    unknown_message: Code = "UNSUPPORTED_MESSAGE"
    too_many_requests: Code = "BLOCKED_PAYLOAD_TYPE"
    too_many_connections: Code = "CONNECTIONS_LIMIT_EXCEEDED"
    maintenance: Code = "SERVER_IS_UNDER_MAINTENANCE"
    already_subscribed: Code = "ALREADY_SUBSCRIBED"
    not_subscribed: Code = "NOT_SUBSCRIBED_TO_SPOTS"
    bars_without_spots: Code = "INVALID_REQUEST"
    bad_boundaries: Code = "INCORRECT_BOUNDARIES"

    unknown_symbol: Code = "SYMBOL_NOT_FOUND"
    unknown_order: Code = "ORDER_NOT_FOUND"
    unknown_position: Code = "POSITION_NOT_FOUND"
    bad_volume: Code = "TRADING_BAD_VOLUME"
    bad_price: Code = "TRADING_BAD_PRICES"
    bad_stops: Code = "TRADING_BAD_STOPS"
    too_close: Code = "PROTECTION_IS_TOO_CLOSE_TO_MARKET"
    bad_expiry: Code = "TRADING_BAD_EXPIRATION_DATE"
    invalid: Code = "INVALID_REQUEST"
    market_closed: Code = "MARKET_CLOSED"
    holiday: Code = "SYMBOL_HAS_HOLIDAY"
    no_quotes: Code = "NO_QUOTES"
    no_money: Code = "NOT_ENOUGH_MONEY"
    max_exposure: Code = "MAX_EXPOSURE_REACHED"
    too_many_positions: Code = "TOO_MANY_POSITIONS"
    trading_disabled: Code = "TRADING_DISABLED"
    close_only: Code = "TRADING_NOT_ALLOWED"
    short_not_allowed: Code = "SHORT_SELLING_NOT_ALLOWED"
    guaranteed_stop_required: Code = "TRADING_BAD_STOPS"
    nothing_to_amend: Code = "INVALID_REQUEST"
    cannot_amend: Code = "UNABLE_TO_AMEND_ORDER"
    cannot_cancel: Code = "UNABLE_TO_CANCEL_ORDER"
    execution_failed: Code = "TRADING_DISABLED"

    def say(self, reason: str, text: str) -> tuple[str, str]:
        """``(code, words)`` for a reason above; any other reason is a code already."""
        code, _, own = str(getattr(self, reason, reason)).partition(": ")
        return code, own or text


class BehaviourSettings(StrictModel):
    """How the server behaves where servers could differ. Defaults: recorded or observed unless marked unconfirmed."""

    heartbeat_before_login: bool = Field(True, description="heartbeats are taken before the application signs in")
    heartbeat_idle_s: float = Field(
        25.0, gt=0, description="own heartbeat after so long without a word (observed 25-30)"
    )
    client_silence_s: float = Field(45.0, ge=0, description="close a silent client; 0 = never (value unconfirmed)")
    echo_heartbeats: bool = Field(
        False,
        description="every heartbeat is answered with one (never seen; it sends the official client into a storm)",
    )
    execution_delay_ms: float = Field(138.0, ge=0, description="from acceptance to fill (recorded: 138)")
    slippage_points_max: int = Field(0, ge=0, description="extra slippage, drawn from the seed")
    access_token_lifetime_s: int = Field(2_628_000, gt=0, description="life of an access token (documented)")
    code_lifetime_s: int = Field(60, gt=0, description="life of the code a login ends with (documented)")
    after_refresh: Literal["ends", "announces", "silent"] = Field(
        "ends",
        description="a refresh ends the sessions of the old token and says so; or only says so (both were reported); or "
        "does neither",
    )
    refresh_token_single_use: bool = Field(True, description="a used refresh token is refused (observed)")
    technical_first_spot: bool = Field(True, description="the last price is sent right after subscribing")
    spots: Literal["changed_side", "both_sides"] = Field(
        "changed_side", description="a spot carries the side that changed (documented), or always both"
    )
    spots_after_unsubscribe: int = Field(
        0, ge=0, description="spots still sent after unsubscribing (allowed by the docs)"
    )
    spot_repeats: int = Field(
        0, ge=0, le=10, description="every spot is sent so many times again, word for word (never recorded)"
    )
    bars_in_own_spot: bool = Field(
        False, description="forming bars come after the price, in a spot event without bid and ask (never recorded)"
    )
    depth_levels: int = Field(5, ge=1, le=50, description="levels of each side of the order book (made up)")
    bar_lag_ms: float = Field(250.0, ge=0, description="a closed bar appears in history so late (observed 60-1000)")
    bars_max: int = Field(5_000, gt=0, description="longer ranges are cut silently at the old end (size unconfirmed)")
    bars_one_less: Literal["full_page", "always", "never"] = Field(
        "full_page", description="count=n gives n-1 bars: observed for 5000 (4999); smaller counts are exact"
    )
    bars_newest_first: bool = Field(False, description="order of bars in one answer; recorded ascending")
    bars_carry_period: bool = Field(False, description="each historical bar names its period; recorded without")
    bars_has_more: bool = Field(True, description="GetTrendbarsRes says hasMore (a field of newer servers)")
    bars_end_inclusive: bool = Field(
        True, description="a bar that opens at toTimestamp belongs to the answer (observed)"
    )
    bar_ranges: Literal["any", "documented"] = Field(
        "any", description="refuse ranges longer than once documented (M1-M5 five weeks, to H1 35, to D1 a year)"
    )
    delta_high_bug_every: int = Field(240, ge=0, description="one M1 bar in n has deltaHigh=0 wrongly; 0 = never")
    ticks_page: int = Field(5_000, gt=0, description="ticks in one answer (size unconfirmed)")
    list_page: int = Field(500, gt=0, description="deals or orders in one answer (size unconfirmed)")
    list_order: Literal["newest_first", "oldest_first", "newest_upwards"] = Field(
        "newest_first",
        description="which deals or orders of a range one answer holds, and their order: from the newest down (seen for one "
        "position's lists), from the oldest up, or the newest in ascending order (as bars come)",
    )
    echo_client_order_id: bool = Field(True, description="protective and closing orders carry a clientOrderId too")
    extra_fields: bool = Field(True, description="fields beyond the schema: Symbol 41, Trader 23, Deal 19 (recorded)")
    absolute_levels_on_market: Literal["refuse", "ignore"] = Field(
        "refuse", description="stopLoss and takeProfit of a market order: refused, or left out (unconfirmed which)"
    )
    order_with_position_id: bool = Field(True, description="NewOrderReq.positionId closes that position (unconfirmed)")
    amend_volume: Literal["total", "rest"] = Field(
        "total", description="what AmendOrderReq.volume means after a partial fill (unconfirmed)"
    )
    repeated_client_order_id: Literal["take", "refuse"] = Field(
        "take", description="an order whose clientOrderId the account has seen before (unconfirmed)"
    )
    order_list_time: Literal["updated", "created"] = Field(
        "updated", description="which time of an order OrderListReq filters and sorts by (unconfirmed)"
    )
    pending_when_closed: bool = Field(
        True, description="pending orders are taken while the market is closed (unconfirmed)"
    )
    pending_fill_by_server: bool = Field(True, description="isServerEvent on the fill of a pending order (unconfirmed)")
    order_refusals: Literal["order_error", "execution", "error"] = Field(
        "order_error",
        description="a refused order or cancel is answered with OrderErrorEvent (observed), with an execution event "
        "ORDER_REJECTED or ORDER_CANCEL_REJECTED, or with ErrorRes",
    )
    acceptance: Literal["first", "after_fill", "left_out"] = Field(
        "first",
        description="ORDER_ACCEPTED of a market or closing order: before its fill (recorded), after it, or never",
    )
    empty_positions: bool = Field(
        True, description="orders without a fill carry an empty position and its id already (recorded)"
    )
    protection_events: Literal["after_fill", "before_fill"] = Field(
        "after_fill", description="what a fill does to the protective order is told after it (recorded) or before"
    )
    replaced_after_partial_close: bool = Field(
        True, description="ORDER_REPLACED for the protective order of a reduced position (recorded once)"
    )
    trailing_events: Literal["changed", "replaced", "both"] = Field(
        "changed",
        description="a trailing stop's move is a TrailingSLChangedEvent (observed), an ORDER_REPLACED, or both",
    )
    stop_out_flag: bool = Field(True, description="isStopOut on the order of a stop-out (documented, never seen)")
    announce_protection_cancel: bool = Field(True, description="ORDER_CANCELLED for the levels of a closed position")
    follow_ups_keep_id: bool = Field(
        True, description="fills and follow-ups carry the request's clientMsgId (seen once)"
    )
    ids_on_other_links: bool = Field(
        True, description="the account's other connections are told a request's clientMsgId too (observed)"
    )
    margin_call_silence_s: float = Field(
        600.0, ge=0, description="no two margin calls of one level within so long (documented)"
    )
    margin_changed_events: bool = Field(False, description="MarginChangedEvent (documented, never seen)")
    trader_updated_events: bool = Field(False, description="TraderUpdatedEvent after a change of balance (unconfirmed)")
    swap_events: bool = Field(False, description="execution event SWAP at rollover (unconfirmed)")
    pnl_v1: bool = Field(False, description="answer the withdrawn PnL subscription (2189-2193)")
    order_error_ids: bool = Field(True, description="OrderErrorEvent names the order it is about, where it knows it")
    errors: ErrorCodes = ErrorCodes()
