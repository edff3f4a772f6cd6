"""What a broker says about orders, deals, positions and the account as the framework's reports. Pure."""

from decimal import Decimal

from nautilus_trader.model import (
    AccountBalance,
    AccountId,
    ClientOrderId,
    ContingencyType,
    Currency,
    CurrencyPair,
    FillReport,
    LiquiditySide,
    MarginBalance,
    Money,
    OrderSide,
    OrderStatusReport,
    PositionSide,
    PositionStatusReport,
    Price,
    Quantity,
    TriggerType,
    VenueOrderId,
)
from nautilus_trader.model import OrderStatus as FrameworkStatus
from nautilus_trader.model import OrderType as FrameworkType
from nautilus_trader.model import TimeInForce as FrameworkTif

from pepperstone_adapter.broker.account import AccountSnapshot
from pepperstone_adapter.broker.orders import Deal, OrderState, OrderStatus, OrderType, PositionState, Side, TimeInForce
from pepperstone_adapter.mapping.ids import Leg, position_id, trade_id
from pepperstone_adapter.mapping.instruments import Instrument

SIDES = {Side.BUY: OrderSide.BUY, Side.SELL: OrderSide.SELL}
TYPES = {
    OrderType.MARKET: FrameworkType.MARKET,
    OrderType.MARKET_RANGE: FrameworkType.MARKET,
    OrderType.LIMIT: FrameworkType.LIMIT,
    OrderType.STOP: FrameworkType.STOP_MARKET,
    OrderType.STOP_LIMIT: FrameworkType.STOP_LIMIT,
    OrderType.PROTECTION: FrameworkType.MARKET,  # it is reported when it fills, and then it fills at market
}
LIMITED = (FrameworkType.LIMIT, FrameworkType.STOP_LIMIT)
TIFS = {
    TimeInForce.GTC: FrameworkTif.GTC,
    TimeInForce.GTD: FrameworkTif.GTD,
    TimeInForce.DAY: FrameworkTif.DAY,
    TimeInForce.IOC: FrameworkTif.IOC,
    TimeInForce.FOK: FrameworkTif.FOK,
}
STATUSES = {
    OrderStatus.ACCEPTED: FrameworkStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED: FrameworkStatus.PARTIALLY_FILLED,
    OrderStatus.FILLED: FrameworkStatus.FILLED,
    OrderStatus.REJECTED: FrameworkStatus.REJECTED,
    OrderStatus.EXPIRED: FrameworkStatus.EXPIRED,
    OrderStatus.CANCELED: FrameworkStatus.CANCELED,
}


class ReportMaker:
    """Reports for one account.

    Parameters
    ----------
    netting
        One position a symbol: reports then name no ticket.
    """

    def __init__(self, account_id: AccountId, currency: Currency, netting: bool) -> None:
        self.account_id = account_id
        self.currency = currency
        self.netting = netting

    def order(
        self,
        state: OrderState,
        instrument: Instrument,
        ts_init_ns: int,
        client_order_id: str | None = None,
        status: FrameworkStatus | None = None,
        filled: Decimal | None = None,
    ) -> OrderStatusReport:
        """An order as it stands; `status` and `filled` replace what the broker said (an order is introduced as accepted
        and unfilled before its deals follow one by one)."""
        kind = TYPES[state.type]
        done = state.filled_units if filled is None else filled
        digits = instrument.price_precision
        return OrderStatusReport(
            self.account_id,
            instrument.id,
            VenueOrderId(state.order_id),
            SIDES[state.side],
            kind,
            TIFS[state.time_in_force],
            status or STATUSES[state.status],
            Quantity.from_decimal_dp(state.units, instrument.size_precision),
            Quantity.from_decimal_dp(done, instrument.size_precision),
            state.created_ns or ts_init_ns,
            state.updated_ns or state.created_ns or ts_init_ns,
            ts_init_ns,
            client_order_id=ClientOrderId(client_order_id) if client_order_id else None,
            venue_position_id=position_id(state.position_id, self.netting),
            expire_time=state.expires_ns,
            price=_price(state.limit_price, digits) if kind in LIMITED else None,
            trigger_price=_price(state.stop_price, digits) if _is_stop(kind) else None,
            trigger_type=TriggerType.DEFAULT if _is_stop(kind) else None,
            avg_px=state.average_price if done else None,
            # On a netting account the framework keeps a position for each strategy, and drops a fill that only reduces and
            # meets none of its owner's; a stranger's must count against the account's.
            reduce_only=state.closing and not self.netting,
            cancel_reason=state.reason or None,
        )

    def leg(
        self,
        leg: Leg,
        venue_order_id: str,
        position: PositionState,
        level: Decimal,
        instrument: Instrument,
        ts_init_ns: int,
        client_order_id: str | None,
        sibling: str | None = None,
        parent: str | None = None,
    ) -> OrderStatusReport:
        """A stop loss or take profit of an open position as a working order."""
        stop = leg is Leg.STOP_LOSS
        price = _price(level, instrument.price_precision)
        kind = FrameworkType.STOP_MARKET if stop else FrameworkType.LIMIT
        return OrderStatusReport(
            self.account_id,
            instrument.id,
            VenueOrderId(venue_order_id),
            SIDES[position.side.opposite],
            kind,
            FrameworkTif.GTC,
            FrameworkStatus.ACCEPTED,
            Quantity.from_decimal_dp(position.units, instrument.size_precision),
            Quantity.zero(instrument.size_precision),
            position.updated_ns or position.opened_ns or ts_init_ns,
            position.updated_ns or position.opened_ns or ts_init_ns,
            ts_init_ns,
            client_order_id=ClientOrderId(client_order_id) if client_order_id else None,
            venue_position_id=position_id(position.position_id, self.netting),
            linked_order_ids=[ClientOrderId(sibling)] if sibling else None,
            parent_order_id=ClientOrderId(parent) if parent else None,
            contingency_type=ContingencyType.OUO if sibling else None,
            price=None if stop else price,
            trigger_price=price if stop else None,
            trigger_type=TriggerType.DEFAULT if stop else None,
            reduce_only=True,
        )

    def fill(
        self,
        deal: Deal,
        instrument: Instrument,
        ts_init_ns: int,
        client_order_id: str | None = None,
        venue_order_id: str | None = None,
    ) -> FillReport:
        return FillReport(
            self.account_id,
            instrument.id,
            VenueOrderId(venue_order_id or deal.order_id),
            trade_id(deal),
            SIDES[deal.side],
            Quantity.from_decimal_dp(deal.units, instrument.size_precision),
            fill_price(deal.price, instrument.price_precision),
            self.commission(deal, instrument),
            LiquiditySide.TAKER,
            deal.ts_ns,
            ts_init_ns,
            client_order_id=ClientOrderId(client_order_id) if client_order_id else None,
            venue_position_id=position_id(deal.position_id, self.netting),
        )

    def position(self, state: PositionState, instrument: Instrument, ts_init_ns: int) -> PositionStatusReport:
        return PositionStatusReport(
            self.account_id,
            instrument.id,
            PositionSide.LONG if state.side is Side.BUY else PositionSide.SHORT,
            Quantity.from_decimal_dp(state.units, instrument.size_precision),
            state.updated_ns or state.opened_ns or ts_init_ns,
            ts_init_ns,
            venue_position_id=position_id(state.position_id, self.netting),
            avg_px_open=state.open_price,
        )

    def commission(self, deal: Deal, instrument: Instrument) -> Money:
        """The framework counts a cost as positive, brokers as negative; a conversion fee of the deal is a cost too.

        A cost in the base currency of a pair makes the framework shrink the position by it, as an exchange would (USDJPY
        on a USD account). A broker does not, so there it is told in quote currency, at the price of the deal.
        """
        cost = -(deal.commission + deal.conversion_fee)
        if isinstance(instrument, CurrencyPair) and instrument.base_currency == self.currency:
            quote = instrument.quote_currency
            return Money.from_decimal(round(cost * deal.price, quote.precision), quote)
        return Money.from_decimal(cost, self.currency)

    def balances(self, account: AccountSnapshot) -> tuple[list[AccountBalance], list[MarginBalance]]:
        """Balance with the used margin locked; what is free follows from both."""
        used = account.used_margin or Decimal(0)
        balance = AccountBalance(
            Money.from_decimal(account.balance, self.currency),
            Money.from_decimal(used, self.currency),
            Money.from_decimal(account.balance - used, self.currency),
        )
        margin = Money.from_decimal(used, self.currency)
        return [balance], [MarginBalance(margin, margin, None)]


def fill_price(value: Decimal, digits: int) -> Price:
    """A deal's price; brokers report averages with more decimals than the symbol has, which are rounded half even."""
    return Price.from_decimal_dp(value, digits)


def _price(value: Decimal | None, digits: int) -> Price | None:
    return None if value is None else Price.from_decimal_dp(value, digits)


def _is_stop(kind: FrameworkType) -> bool:
    return kind in (FrameworkType.STOP_MARKET, FrameworkType.STOP_LIMIT)
