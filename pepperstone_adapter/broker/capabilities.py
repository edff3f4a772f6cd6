"""What a venue can do, as data. Above a venue's own package nobody asks which venue it is (design D6)."""

from dataclasses import dataclass, field

from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.orders import OrderType, TimeInForce
from pepperstone_adapter.broker.server_time import NEW_YORK_CLOCK, ServerClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """One venue on one account.

    Attributes
    ----------
    time_in_force
        Allowed values per order type; a missing type is not supported at all.
    closing_time_in_force
        Allowed values of a market order that closes a position; GTC says no wish.
    server_clock
        At whose midnight the broker's days, weeks and months begin.
    absolute_protection_on_market
        Whether a market order may carry absolute stop loss and take profit; otherwise distances are sent and the exact
        levels are set after the fill.
    amend_units
        Whether the volume of a pending order can be changed.
    close_by
        Whether two opposite positions of one symbol can be closed against each other, without the market.
    client_order_id_max, tag_max
        Longest texts the venue keeps.
    keeps_texts
        Whether it keeps both as they were sent, for ended orders too, and gives them back with the order: then it knows
        whose an opening order is without a note of ours.
    """

    time_in_force: dict[OrderType, frozenset[TimeInForce]] = field(default_factory=dict)
    closing_time_in_force: frozenset[TimeInForce] = frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK})
    depth: bool = False
    historical_ticks: bool = True
    bar_periods: tuple[BarPeriod, ...] = ()
    live_bar_periods: tuple[BarPeriod, ...] = ()
    server_clock: ServerClock = NEW_YORK_CLOCK
    absolute_protection_on_market: bool = False
    trailing_stop: bool = False
    stop_limit_as_distance: bool = False  # the limit of a stop-limit is a distance in points from its stop price
    amend_units: bool = True
    close_by: bool = False
    post_only: bool = False
    client_order_id_max: int = 50
    tag_max: int = 100
    keeps_texts: bool = False
