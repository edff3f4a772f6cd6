"""Mean reversion: buy below and sell above a Bollinger band with limit orders, take half at the mean.

Rules, on each closed bar:

1. While flat, two limit orders wait at the bands: a buy at the lower, a sell at the upper one. They follow the bands:
   an order whose level has moved is cancelled, and placed anew when the cancel is confirmed, so there are never two
   for one side. A band the price has already passed gets no order.
2. Each entry is a bracket: its stop loss stands `stop_atr` average true ranges beyond the band, its take profit at the
   opposite band of that moment.
3. When one side fills, the other is cancelled.
4. When a bar closes at the mean (middle band) or beyond, `partial_percent` of the position is closed at market, once,
   and the stop loss of the rest moves to the entry price if that is nearer.

The size is a fixed number of `units`, or such that the stop loses `risk_percent` of the balance. Whatever the broker
refuses is logged; a position whose stop loss was refused is closed at once, and a refused partial close is tried again.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.indicators import AverageTrueRange, BollingerBands
from nautilus_trader.model import (
    Bar,
    BarType,
    ClientOrderId,
    InstrumentId,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSide,
    OrderType,
    PositionClosed,
    PositionId,
    Price,
    PriceType,
    Quantity,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.broker.units import tradable_units, units_for_risk


class MeanReversionConfig(StrategyConfig):
    """Settings of `MeanReversion`; every value may be given as YAML gives it (text or number).

    Parameters
    ----------
    bar_type
        BID bars to trade on, such as ``EURGBP.PEPPERSTONE-1-HOUR-BID-EXTERNAL``.
    instrument_id
        The instrument of `bar_type`; may be left out.
    period, width
        Bollinger bands: length in bars, and width in standard deviations.
    atr_period, stop_atr
        Length of the average true range, and the stop's distance from the entry in its units.
    partial_percent
        Share of the position closed at the mean, 0 (never) to 100 (all of it).
    risk_percent
        Share of the balance that the stop may lose, in percent.
    units
        Fixed order size in units; replaces `risk_percent`.
    allow_short
        Whether the upper band is sold.
    close_on_stop
        Close positions when the strategy stops; otherwise they stay, with their protection. Entries always go.
    """

    def __init__(
        self,
        *,
        bar_type: BarType | str,
        instrument_id: InstrumentId | str | None = None,
        period: int = 20,
        width: float | str = 2.0,
        atr_period: int = 14,
        stop_atr: float | str = 2.0,
        partial_percent: float | str = 50,
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
        self.period, self.width, self.atr_period = int(period), float(width), int(atr_period)
        if self.period < 2 or self.width <= 0 or self.atr_period < 1:
            raise ValueError(f"period {period} must be at least 2, width {width} above 0, atr_period at least 1")
        self.stop_atr, self.risk_percent = Decimal(str(stop_atr)), Decimal(str(risk_percent))
        self.partial_percent = Decimal(str(partial_percent))
        if self.stop_atr <= 0 or not 0 < self.risk_percent <= 100 or not 0 <= self.partial_percent <= 100:
            raise ValueError("stop_atr must be above 0, risk_percent above 0, both percentages up to 100")
        self.units = None if units is None else Decimal(str(units))
        self.allow_short = bool(allow_short)
        self.close_on_stop = bool(close_on_stop)


class MeanReversion(Strategy):
    """See the module's text."""

    def __init__(self, config: MeanReversionConfig) -> None:
        super().__init__(config)
        self._config = config
        self._bands = BollingerBands(config.period, config.width)
        self._atr = AverageTrueRange(config.atr_period)
        self._length_ns = 0  # of a bar
        self._instrument: Any = None
        self._wanted: dict[OrderSide, Price] = {}  # where entries should wait now
        self._entries: dict[OrderSide, ClientOrderId] = {}  # entries at the broker, or on their way
        self._partials: dict[PositionId, ClientOrderId] = {}  # positions that have had their partial close

    def on_start(self) -> None:
        bar_type = self._config.bar_type
        self._instrument = self.cache.instrument(self._config.instrument_id)
        if self._instrument is None:
            raise RuntimeError(f"{self._config.instrument_id} is not loaded; add its symbol to the settings")
        self._cancel_entries()  # left over from an earlier run
        for indicator in (self._bands, self._atr):
            self.register_indicator_for_bars(bar_type, indicator)
        # Live, history warms the indicators up; a backtest has no one to ask and starts cold.
        length = bar_type.spec.timedelta
        self._length_ns = int(length.total_seconds()) * 1_000_000_000
        history = length * self._config.period * 2 + timedelta(days=4)
        self.request_bars(bar_type, start=self.clock.utc_now() - history)
        self.subscribe_bars(bar_type)

    def on_bar(self, bar: Bar) -> None:
        if not (self._bands.initialized and self._atr.initialized):
            return
        if self._is_past(bar):
            return
        positions = self._open_positions()
        for position in positions:
            self._take_partial(position, bar)
        if positions:
            return
        close, make_price = bar.close, self._instrument.make_price
        lower, upper = make_price(self._bands.lower), make_price(self._bands.upper)
        self._wanted = {OrderSide.BUY: lower} if lower < close else {}
        if self._config.allow_short and upper > close:
            self._wanted[OrderSide.SELL] = upper
        for side in (OrderSide.BUY, OrderSide.SELL):
            waiting = self.cache.order(self._entries[side]) if side in self._entries else None
            if waiting is None:
                if side in self._wanted:
                    self._place(side)
            elif waiting.price != self._wanted.get(side) and waiting.is_open and not waiting.is_pending_cancel:
                self.cancel_order(waiting.client_order_id)  # placed anew in on_order_canceled

    def _place(self, side: OrderSide) -> None:
        instrument, entry = self._instrument, self._wanted[side]
        away = self._config.stop_atr * Decimal(str(self._atr.value))
        stop = instrument.make_price(entry.as_decimal() + (away if side == OrderSide.SELL else -away))
        target = instrument.make_price(self._bands.lower if side == OrderSide.SELL else self._bands.upper)
        quantity = self._quantity(abs(entry.as_decimal() - stop.as_decimal()))
        if quantity is None:
            return
        orders = self.order_factory.bracket(
            instrument.id,
            side,
            quantity,
            entry_order_type=OrderType.LIMIT,
            entry_price=entry,
            sl_trigger_price=stop,
            tp_price=target,
            tp_post_only=False,  # a broker fills a take profit whether or not it takes liquidity
        )
        self._entries[side] = orders[0].client_order_id
        self.submit_order_list(orders)

    def _take_partial(self, position: Any, bar: Bar) -> None:
        """Close a share of `position` once it has come back to the mean, and bring the stop of the rest to entry."""
        close, mean = bar.close.as_double(), self._bands.middle
        back = close >= mean if position.is_long else close <= mean
        # What is less than it was has been closed in part, by this run or the one before it.
        if not back or position.id in self._partials or position.quantity < position.peak_qty:
            return
        instrument = self._instrument
        units = tradable_units(
            position.quantity.as_decimal() * self._config.partial_percent / 100,
            instrument.min_quantity.as_decimal(),
            instrument.size_increment.as_decimal(),
            instrument.max_quantity.as_decimal(),
        )
        if units == 0:
            return
        order = self.order_factory.market(
            instrument.id,
            OrderSide.SELL if position.is_long else OrderSide.BUY,
            instrument.make_qty(units),
            reduce_only=True,
        )
        self._partials[position.id] = order.client_order_id
        self.submit_order(order, position_id=position.id)
        self._break_even(position, close)

    def _break_even(self, position: Any, close: float) -> None:
        entry = self._instrument.make_price(position.avg_px_open)
        for order in self._open_orders():
            if order.order_type != OrderType.STOP_MARKET or order.position_id != position.id:
                continue
            nearer = order.trigger_price < entry if position.is_long else order.trigger_price > entry
            clear = entry.as_double() < close if position.is_long else entry.as_double() > close
            if nearer and clear:
                self.modify_order(order.client_order_id, trigger_price=entry)

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

    def on_position_closed(self, event: PositionClosed) -> None:
        self._partials.pop(event.position_id, None)

    def on_order_denied(self, event: OrderDenied) -> None:
        self._refused(event)

    def on_order_rejected(self, event: OrderRejected) -> None:
        self._refused(event)

    def _refused(self, event: OrderDenied | OrderRejected) -> None:
        self.log.warning(f"{event.client_order_id} refused: {event.reason}")
        self._forget(event.client_order_id)
        self._partials = {p: order_id for p, order_id in self._partials.items() if order_id != event.client_order_id}
        order = self.cache.order(event.client_order_id)
        if order is None or order.order_type != OrderType.STOP_MARKET or order.parent_order_id is None:
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
        self._bands.reset()
        self._atr.reset()
        self._wanted.clear()
        self._entries.clear()
        self._partials.clear()

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
