"""Donchian breakout: enter with pending stop orders when the price leaves its channel, then trail the stop.

Rules, on each closed bar:

1. While flat, two stop orders wait: a buy above the highest high and a sell below the lowest low of the last `channel`
   bars, each `buffer_atr` average true ranges away from the channel (a margin against the spread and false breaks).
   They follow the channel: an order whose level has moved is cancelled, and placed anew when the cancel is confirmed,
   so there are never two for one side.
2. Each entry carries its stop loss, `stop_atr` average true ranges behind it; the broker attaches it at the fill.
   The order is an OTO pair (entry, stop): no moment without protection, on any account.
3. When one side fills, the other is cancelled.
4. From the fill on a stop loss trails: it moves to `trail_atr` average true ranges from the close, only ever towards the
   price.

The size is a fixed number of `units`, or such that the stop loses `risk_percent` of the balance. Whatever the broker
refuses is logged; a position whose stop loss was refused is closed at once.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.core import UUID4
from nautilus_trader.indicators import AverageTrueRange, DonchianChannel
from nautilus_trader.model import (
    Bar,
    BarType,
    ClientOrderId,
    ContingencyType,
    InstrumentId,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSide,
    OrderType,
    Price,
    PriceType,
    Quantity,
    StopMarketOrder,
    TimeInForce,
    TriggerType,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.broker.units import tradable_units, units_for_risk


class DonchianBreakoutConfig(StrategyConfig):
    """Settings of `DonchianBreakout`; every value may be given as YAML gives it (text or number).

    Parameters
    ----------
    bar_type
        BID bars to trade on, such as ``XAUUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL``.
    instrument_id
        The instrument of `bar_type`; may be left out.
    channel, atr_period
        Lengths in bars.
    buffer_atr, stop_atr, trail_atr
        Distances in average true ranges: entry from the channel, stop from the entry, trailing stop from the close.
    risk_percent
        Share of the balance that the first stop may lose, in percent.
    units
        Fixed order size in units; replaces `risk_percent`.
    allow_short
        Whether a break downwards opens a short position.
    close_on_stop
        Close positions when the strategy stops; otherwise they stay, with their stop loss. Entries always go.
    """

    def __init__(
        self,
        *,
        bar_type: BarType | str,
        instrument_id: InstrumentId | str | None = None,
        channel: int = 20,
        atr_period: int = 14,
        buffer_atr: float | str = 0.2,
        stop_atr: float | str = 2.0,
        trail_atr: float | str = 3.0,
        risk_percent: float | str = 0.5,
        units: float | str | None = None,
        allow_short: bool = True,
        close_on_stop: bool = False,
        order_id_tag: str | None = None,  # noqa: ARG002 - kept by the base class, as is every option of its own
    ) -> None:
        self.bar_type = BarType.from_str(str(bar_type))
        self.instrument_id = self.bar_type.instrument_id
        if instrument_id is not None and str(instrument_id) != str(self.instrument_id):
            raise ValueError(f"instrument_id {instrument_id} is not the instrument of bar_type {bar_type}")
        self.channel, self.atr_period = int(channel), int(atr_period)
        if self.channel < 2 or self.atr_period < 1:
            raise ValueError(f"channel {channel} must be at least 2 and atr_period {atr_period} at least 1")
        self.buffer_atr, self.stop_atr = Decimal(str(buffer_atr)), Decimal(str(stop_atr))
        self.trail_atr, self.risk_percent = Decimal(str(trail_atr)), Decimal(str(risk_percent))
        if self.buffer_atr < 0 or self.stop_atr <= 0 or self.trail_atr <= 0 or not 0 < self.risk_percent <= 100:
            raise ValueError("stop_atr and trail_atr must be above 0, risk_percent above 0 and up to 100")
        self.units = None if units is None else Decimal(str(units))
        self.allow_short = bool(allow_short)
        self.close_on_stop = bool(close_on_stop)


class DonchianBreakout(Strategy):
    """See the module's text."""

    def __init__(self, config: DonchianBreakoutConfig) -> None:
        super().__init__(config)
        self._config = config
        self._channel = DonchianChannel(config.channel)
        self._atr = AverageTrueRange(config.atr_period)
        self._length_ns = 0  # of a bar
        self._instrument: Any = None
        self._wanted: dict[OrderSide, Price] = {}  # where entries should wait now
        self._entries: dict[OrderSide, ClientOrderId] = {}  # entries at the broker, or on their way

    def on_start(self) -> None:
        bar_type = self._config.bar_type
        self._instrument = self.cache.instrument(self._config.instrument_id)
        if self._instrument is None:
            raise RuntimeError(f"{self._config.instrument_id} is not loaded; add its symbol to the settings")
        self._cancel_entries()  # left over from an earlier run
        for indicator in (self._channel, self._atr):
            self.register_indicator_for_bars(bar_type, indicator)
        # Live, history warms the indicators up; a backtest has no one to ask and starts cold.
        length = bar_type.spec.timedelta
        self._length_ns = int(length.total_seconds()) * 1_000_000_000
        history = length * self._config.channel * 2 + timedelta(days=4)
        self.request_bars(bar_type, start=self.clock.utc_now() - history)
        self.subscribe_bars(bar_type)

    def on_bar(self, bar: Bar) -> None:
        if not (self._channel.initialized and self._atr.initialized):
            return
        if self._is_past(bar):
            return
        if self._open_positions():
            self._trail(bar)
            return
        buffer = self._config.buffer_atr * self._range()
        make_price = self._instrument.make_price
        self._wanted = {OrderSide.BUY: make_price(Decimal(str(self._channel.upper)) + buffer)}
        if self._config.allow_short:
            self._wanted[OrderSide.SELL] = make_price(Decimal(str(self._channel.lower)) - buffer)
        for side, level in self._wanted.items():
            waiting = self.cache.order(self._entries[side]) if side in self._entries else None
            if waiting is None:
                self._place(side)
            elif waiting.trigger_price != level and waiting.is_open and not waiting.is_pending_cancel:
                self.cancel_order(waiting.client_order_id)  # placed anew in on_order_canceled

    def _range(self) -> Decimal:
        return Decimal(str(self._atr.value))

    def _place(self, side: OrderSide) -> None:
        """An OTO pair: a stop entry, and a stop loss that comes alive with its fill."""
        level = self._wanted[side]
        away = self._config.stop_atr * self._range()
        behind = away if side == OrderSide.SELL else -away
        stop = self._instrument.make_price(level.as_decimal() + behind)
        quantity = self._quantity(abs(level.as_decimal() - stop.as_decimal()))
        if quantity is None:
            return
        entry_id = self.order_factory.generate_client_order_id()
        stop_id = self.order_factory.generate_client_order_id()
        common = {
            "trader_id": self.trader_id,
            "strategy_id": self.strategy_id,
            "instrument_id": self._instrument.id,
            "quantity": quantity,
            "trigger_type": TriggerType.DEFAULT,
            "time_in_force": TimeInForce.GTC,
            "quote_quantity": False,
            "ts_init": self.clock.timestamp_ns(),
            "order_list_id": self.order_factory.generate_order_list_id(),
        }
        entry = StopMarketOrder(
            **common,
            client_order_id=entry_id,
            order_side=side,
            trigger_price=level,
            reduce_only=False,
            init_id=UUID4(),
            contingency_type=ContingencyType.OTO,
            linked_order_ids=[stop_id],
        )
        protection = StopMarketOrder(
            **common,
            client_order_id=stop_id,
            order_side=_opposite(side),
            trigger_price=stop,
            reduce_only=True,
            init_id=UUID4(),
            parent_order_id=entry_id,
        )
        self._entries[side] = entry_id
        self.submit_order_list([entry, protection])

    def _trail(self, bar: Bar) -> None:
        distance = self._config.trail_atr * self._range()
        for order in self._open_orders():
            if not order.is_reduce_only or order.order_type != OrderType.STOP_MARKET or order.is_pending_update:
                continue
            protects_long = order.side == OrderSide.SELL
            away = -distance if protects_long else distance
            level = self._instrument.make_price(bar.close.as_decimal() + away)
            if (level > order.trigger_price) if protects_long else (level < order.trigger_price):
                self.modify_order(order.client_order_id, trigger_price=level)

    def on_order_filled(self, event: OrderFilled) -> None:
        if event.client_order_id not in self._entries.values():
            return
        self._wanted.clear()
        for side, entry_id in list(self._entries.items()):
            if entry_id != event.client_order_id:
                self.cancel_order(entry_id)
            elif self.cache.is_order_closed(entry_id):
                del self._entries[side]

    def on_order_canceled(self, event: OrderCanceled) -> None:
        side = self._forget(event.client_order_id)
        if side in self._wanted and not self._open_positions():
            self._place(side)

    def on_order_expired(self, event: OrderExpired) -> None:
        self._forget(event.client_order_id)

    def on_order_denied(self, event: OrderDenied) -> None:
        self._refused(event)

    def on_order_rejected(self, event: OrderRejected) -> None:
        self._refused(event)

    def _refused(self, event: OrderDenied | OrderRejected) -> None:
        self.log.warning(f"{event.client_order_id} refused: {event.reason}")
        self._forget(event.client_order_id)
        order = self.cache.order(event.client_order_id)
        if order is None or order.parent_order_id is None:
            return
        position = self.cache.position_for_order(order.parent_order_id)
        if position is not None and position.is_open:
            self.log.error(f"position {position.id} has no stop loss; closing it")
            self.close_position(position)

    def _forget(self, order_id: ClientOrderId) -> OrderSide | None:
        side = next((side for side, entry_id in self._entries.items() if entry_id == order_id), None)
        if side is not None:
            del self._entries[side]
        return side

    def _quantity(self, stop_distance: Decimal) -> Quantity | None:
        """Order size; None (with a line in the log) when no order of a tradable size is within the risk."""
        config, instrument = self._config, self._instrument
        limits = {
            "minimum": instrument.min_quantity.as_decimal(),
            "step": instrument.size_increment.as_decimal(),
            "maximum": instrument.max_quantity.as_decimal(),
        }
        if config.units is not None:
            units = tradable_units(config.units, **limits)
        else:
            account: Any = self.portfolio.account(instrument.id.venue)
            currency = account.base_currency
            rate = self.cache.get_xrate(instrument.id.venue, instrument.quote_currency, currency, PriceType.MID)
            if rate is None or stop_distance <= 0:
                self.log.warning(
                    f"no entry: no rate from {instrument.quote_currency.code} to {currency.code}, or no range"
                )
                return None
            balance = account.balance_total(currency).as_decimal()
            units = units_for_risk(balance, config.risk_percent, stop_distance, Decimal(str(rate)), **limits)
        if units == 0:
            self.log.warning(f"no entry: the smallest order of {instrument.id} is above the wanted size or risk")
            return None
        quantity: Quantity = instrument.make_qty(units)
        return quantity

    def on_stop(self) -> None:
        self._wanted.clear()
        self._cancel_entries()
        if self._config.close_on_stop:
            self.close_all_positions(self._config.instrument_id)

    def on_reset(self) -> None:
        self._channel.reset()
        self._atr.reset()
        self._wanted.clear()
        self._entries.clear()

    def _cancel_entries(self) -> None:
        for order in self._open_orders():
            if not order.is_reduce_only:
                self.cancel_order(order.client_order_id)

    def _is_past(self, bar: Bar) -> bool:
        """A newer bar has ended since: this one ended while the link was down, and moves the indicators only."""
        quote = self.cache.quote(self._config.instrument_id)
        return quote is not None and quote.ts_event - bar.ts_event >= self._length_ns

    def _open_positions(self) -> list[Any]:
        return self.cache.positions_open(instrument_id=self._config.instrument_id, strategy_id=self.strategy_id)

    def _open_orders(self) -> list[Any]:
        return self.cache.orders_open(instrument_id=self._config.instrument_id, strategy_id=self.strategy_id)


def _opposite(side: OrderSide) -> OrderSide:
    return OrderSide.SELL if side == OrderSide.BUY else OrderSide.BUY
