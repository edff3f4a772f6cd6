"""EMA cross: follow the trend while a fast average stands above (or below) a slow one.

Rules, on each closed bar:

1. A *cross* is a change of the sign of fast EMA - slow EMA from one bar to the next.
2. A position against the direction of the averages is closed at market, again on the next bar if that was refused.
3. On a cross a position is opened at market in its direction: a bracket with a stop loss `stop_atr` and a take profit
   `target_atr` average true ranges away. If it is refused (the market may be closed), it is tried once more on the next
   bar.
4. The size is a fixed number of `units`, or such that the stop loses `risk_percent` of the balance (spread and slippage
   come on top).
5. Outside the `session`, and short when `allow_short` is off, nothing is opened; positions are still closed.

Whatever the broker refuses is logged. A position whose stop loss was refused is closed at once: it must not stay naked.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.indicators import AverageTrueRange, ExponentialMovingAverage
from nautilus_trader.model import (
    Bar,
    BarType,
    InstrumentId,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderSide,
    OrderType,
    PriceType,
    Quantity,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from pepperstone_adapter.broker.units import in_session, parse_session, tradable_units, units_for_risk

TRIES = 2  # a refused entry is tried again once


class EmaCrossConfig(StrategyConfig):
    """Settings of `EmaCross`; every value may be given as YAML gives it (text or number).

    Parameters
    ----------
    bar_type
        BID bars to trade on, such as ``EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL``.
    instrument_id
        The instrument of `bar_type`; may be left out.
    fast_period, slow_period, atr_period
        Lengths of the averages in bars; fast must be shorter than slow.
    stop_atr, target_atr
        Distances of stop loss and take profit from the bar's close, in average true ranges.
    risk_percent
        Share of the balance that the stop may lose, in percent.
    units
        Fixed order size in units; replaces `risk_percent`.
    allow_short
        Whether a cross downwards opens a short position.
    session, session_zone
        Hours in which positions are opened (``08:00-17:00``) and their IANA zone; empty: always.
    close_on_stop
        Close positions when the strategy stops; otherwise they stay, with their protection.
    """

    def __init__(
        self,
        *,
        bar_type: BarType | str,
        instrument_id: InstrumentId | str | None = None,
        fast_period: int = 10,
        slow_period: int = 20,
        atr_period: int = 14,
        stop_atr: float | str = 2.0,
        target_atr: float | str = 4.0,
        risk_percent: float | str = 0.5,
        units: float | str | None = None,
        allow_short: bool = True,
        session: str = "",
        session_zone: str = "America/New_York",
        close_on_stop: bool = False,
        order_id_tag: str | None = None,  # noqa: ARG002 - kept by the base class, as is every option of its own
    ) -> None:
        self.bar_type = BarType.from_str(str(bar_type))
        self.instrument_id = self.bar_type.instrument_id
        if instrument_id is not None and str(instrument_id) != str(self.instrument_id):
            raise ValueError(f"instrument_id {instrument_id} is not the instrument of bar_type {bar_type}")
        self.fast_period, self.slow_period, self.atr_period = int(fast_period), int(slow_period), int(atr_period)
        if not 0 < self.fast_period < self.slow_period or self.atr_period < 1:
            raise ValueError(f"fast_period {fast_period} must be below slow_period {slow_period}, all above 0")
        self.stop_atr, self.target_atr = Decimal(str(stop_atr)), Decimal(str(target_atr))
        self.risk_percent = Decimal(str(risk_percent))
        if self.stop_atr <= 0 or self.target_atr <= 0 or not 0 < self.risk_percent <= 100:
            raise ValueError("stop_atr and target_atr must be above 0, risk_percent above 0 and up to 100")
        self.units = None if units is None else Decimal(str(units))
        self.allow_short = bool(allow_short)
        self.session = parse_session(session) if session else None
        self.session_zone = session_zone
        self.close_on_stop = bool(close_on_stop)


class EmaCross(Strategy):
    """See the module's text."""

    def __init__(self, config: EmaCrossConfig) -> None:
        super().__init__(config)
        self._config = config
        self._fast = ExponentialMovingAverage(config.fast_period, PriceType.BID)
        self._slow = ExponentialMovingAverage(config.slow_period, PriceType.BID)
        self._atr = AverageTrueRange(config.atr_period)
        self._direction = 0  # sign of fast - slow on the bar before; 0 before the first one known
        self._tries_left = 0  # of the entry that belongs to the last cross
        self._length_ns = 0  # of a bar
        self._instrument: Any = None

    def on_start(self) -> None:
        bar_type = self._config.bar_type
        self._instrument = self.cache.instrument(self._config.instrument_id)
        if self._instrument is None:
            raise RuntimeError(f"{self._config.instrument_id} is not loaded; add its symbol to the settings")
        for indicator in (self._fast, self._slow, self._atr):
            self.register_indicator_for_bars(bar_type, indicator)
        # Live, history warms the averages up; a backtest has no one to ask and starts cold.
        length = bar_type.spec.timedelta
        self._length_ns = int(length.total_seconds()) * 1_000_000_000
        history = length * self._config.slow_period * 3 + timedelta(days=4)
        self.request_bars(bar_type, start=self.clock.utc_now() - history)
        self.subscribe_bars(bar_type)

    def on_bar(self, bar: Bar) -> None:
        if not (self._slow.initialized and self._atr.initialized):
            return
        before, self._direction = self._direction, _sign(self._fast.value - self._slow.value) or self._direction
        if before not in (0, self._direction):
            self._tries_left = TRIES
        if self._is_past(bar):
            return
        if self.cache.orders_inflight(instrument_id=self._config.instrument_id, strategy_id=self.strategy_id):
            return  # the broker has not answered yet; nothing is sent twice
        positions = self._open_positions()
        for position in positions:
            if position.is_long != (self._direction > 0):
                self.close_position(position)
        if self._tries_left and not any(p.is_long == (self._direction > 0) for p in positions):
            if not self._may_open(bar.ts_event):
                self._tries_left = 0
                return
            self._tries_left -= 1
            self._enter(OrderSide.BUY if self._direction > 0 else OrderSide.SELL, bar)

    def _may_open(self, ts_ns: int) -> bool:
        config = self._config
        if self._direction < 0 and not config.allow_short:
            return False
        return config.session is None or in_session(ts_ns, *config.session, config.session_zone)

    def _enter(self, side: OrderSide, bar: Bar) -> None:
        config, instrument = self._config, self._instrument
        close, sign = bar.close.as_decimal(), 1 if side == OrderSide.BUY else -1
        true_range = Decimal(str(self._atr.value))
        stop = instrument.make_price(close - sign * config.stop_atr * true_range)
        target = instrument.make_price(close + sign * config.target_atr * true_range)
        quantity = self._quantity(abs(close - stop.as_decimal()))
        if quantity is None:
            return
        self.submit_order_list(
            self.order_factory.bracket(
                instrument.id,
                side,
                quantity,
                sl_trigger_price=stop,
                tp_price=target,
                tp_post_only=False,  # a broker fills a take profit whether or not it takes liquidity
            )
        )

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

    def on_order_filled(self, event: OrderFilled) -> None:
        order = self.cache.order(event.client_order_id)
        if order is not None and not order.is_reduce_only:
            self._tries_left = 0

    def on_order_denied(self, event: OrderDenied) -> None:
        self._refused(event)

    def on_order_rejected(self, event: OrderRejected) -> None:
        self._refused(event)

    def _refused(self, event: OrderDenied | OrderRejected) -> None:
        self.log.warning(f"{event.client_order_id} refused: {event.reason}")
        order = self.cache.order(event.client_order_id)
        if order is None or order.order_type != OrderType.STOP_MARKET or order.parent_order_id is None:
            return
        position = self.cache.position_for_order(order.parent_order_id)
        if position is not None and position.is_open:
            self.log.error(f"position {position.id} has no stop loss; closing it")
            self.close_position(position)

    def on_stop(self) -> None:
        if self._config.close_on_stop:
            self.close_all_positions(self._config.instrument_id)

    def on_reset(self) -> None:
        for indicator in (self._fast, self._slow, self._atr):
            indicator.reset()
        self._direction = self._tries_left = 0

    def _is_past(self, bar: Bar) -> bool:
        """A newer bar has ended since: this one ended while the link was down, and moves the indicators only."""
        quote = self.cache.quote(self._config.instrument_id)
        return quote is not None and quote.ts_event - bar.ts_event >= self._length_ns

    def _open_positions(self) -> list[Any]:
        return self.cache.positions_open(instrument_id=self._config.instrument_id, strategy_id=self.strategy_id)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
