"""A user's strategy as the run holds it: same class name, same behaviour, nothing swallowed.

The framework calls a strategy's methods by name, so a subclass made at load time is a complete seam: it sees every
callback before the strategy does and every command before the framework does. It

* lets the broker act first on what the market has just done (rollover, margin), so a strategy cannot dodge a stop-out by
  closing at the bar that caused it;
* notes an exception of any callback, timer, topic handler or Python indicator, which the framework would only log;
* hands order events to the recorder and new orders to the desk, which may refuse them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from nautilus_trader.model import OrderSide, PositionSide, TimeInForce
from nautilus_trader.trading import Strategy

from pepperstone_adapter.simulation.failures import Failures
from pepperstone_adapter.simulation.portfolio import RunPortfolio, Standing
from pepperstone_adapter.simulation.turns import Turns

_DATA: dict[str, Callable[[Any], Any]] = {  # callback -> what its rows were subscribed by
    "on_bar": lambda bar: bar.bar_type, "on_quote": lambda quote: quote.instrument_id,
    "on_trade": lambda trade: trade.instrument_id,
}  # fmt: skip
# `on_order_event` is called for each event after its own callback; a submission is told by what follows it, and two in
# three events of an order at market are these.
_NOT_NOTED = ("on_order_event", "on_order_list", "on_order_initialized", "on_order_submitted")
_SCHEDULES = ("set_time_alert", "set_time_alert_ns", "set_timer", "set_timer_ns", "set_timer_zoned")
_INDICATOR = ("update_raw", "handle_bar", "handle_quote", "handle_quote_tick", "handle_trade", "handle_trade_tick")


class Hooks(Protocol):
    """What a guarded strategy reports to."""

    failures: Failures
    standing: Standing
    due_ns: int
    turns: Turns

    def catch_up(self, ts_ns: int) -> None: ...
    def order_event(self, event: Any) -> None: ...
    def submit(self, order: Any, position_id: Any, params: Any, send: Callable[[], None]) -> None: ...
    def submit_list(self, orders: list[Any], position_id: Any, params: Any, send: Callable[[], None]) -> None: ...
    def refused_amendment(self, order_id: Any, *changes: Any) -> Any: ...
    def sent(self) -> None: ...
    def shut_down(self) -> None: ...
    def subscribed(self, kind: str, key: Any) -> None: ...


def guard(strategy: Any, hooks: Hooks) -> Any:
    """Turn a strategy instance into its guarded form; returns the same instance."""
    cls = type(strategy)
    body: dict[str, Any] = {"__module__": cls.__module__, "__doc__": cls.__doc__, "__qualname__": cls.__qualname__}
    for name in dir(Strategy):  # what else begins with `on_` is the user's own, and called from these
        if name.startswith("on_order_") and name not in _NOT_NOTED:
            body[name] = _order_event(cls, name, hooks)
        elif name.startswith(("on_", "post_")) and _is_own(cls, name):
            body[name] = _callback(cls, name, hooks)
    body["on_stop"] = _once(_callback(cls, "on_stop", hooks), hooks.turns)
    body |= _commands(cls, hooks) | _registrations(cls, hooks)
    body["portfolio"] = property(lambda self: RunPortfolio(cls.portfolio.__get__(self), hooks.standing))
    body["clock"] = property(lambda self: _Clock(cls.clock.__get__(self), hooks.failures, cls.__name__))
    strategy.__class__ = type(cls.__name__, (cls,), body)
    return strategy


def _is_own(cls: type, name: str) -> bool:
    """Whether a method comes from the user's code and not from the framework."""
    owner = next(base for base in cls.__mro__ if name in vars(base))
    return not owner.__module__.startswith("nautilus_trader")


def _callback(cls: type, name: str, hooks: Hooks) -> Callable[..., Any]:
    inner = getattr(cls, name)
    failures, where, turns = hooks.failures, f"{cls.__name__}.{name}", hooks.turns
    key_of, in_turn = _DATA.get(name), _watched(inner, failures, where)

    def on_data(self: Any, data: Any) -> None:
        if failures.muted:
            return
        try:
            if data.ts_init >= hooks.due_ns:
                hooks.catch_up(data.ts_init)
            if turns.shared:
                turns.arrive(self, key_of(data), data, in_turn)  # type: ignore[misc]  # only rows with a key come here
            else:
                inner(self, data)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the run must end with it
            failures.add(error, where)

    def on_other(self: Any, *args: Any) -> Any:
        if failures.muted:
            return None
        try:
            return inner(self, *args)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the run must end with it
            failures.add(error, where)
            return None

    return on_other if key_of is None else on_data


def _once(call: Callable[..., Any], turns: Turns) -> Callable[..., Any]:
    """`on_stop` is called at the last row, while orders still execute; the framework's own call comes after that."""
    stopped: list[int] = []

    def on_stop(self: Any) -> Any:
        if stopped:
            return None
        stopped.append(1)
        turns.leave(self)
        return call(self)

    return on_stop


def _order_event(cls: type, name: str, hooks: Hooks) -> Callable[..., None]:
    inner = getattr(cls, name) if _is_own(cls, name) else None
    failures, where = hooks.failures, f"{cls.__name__}.{name}"

    def on_order_event(self: Any, event: Any) -> None:
        if failures.first is not None:
            return
        try:
            hooks.order_event(event)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the run must end with it
            failures.add(error, "booking an order event")
            return
        if inner is not None and not failures.muted:
            try:
                inner(self, event)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the run must end with it
                failures.add(error, where)

    return on_order_event


def _commands(cls: Any, hooks: Hooks) -> dict[str, Any]:
    """Commands that open risk go through the desk; `close_position` becomes an order like any other."""

    def submit_order(self: Any, order: Any, position_id: Any = None, client_id: Any = None, params: Any = None) -> None:
        _require_new(self.cache, order)
        hooks.submit(order, position_id, params, partial(cls.submit_order, self, order, position_id, client_id, params))

    def submit_order_list(
        self: Any, order_list: Any, position_id: Any = None, client_id: Any = None, params: Any = None
    ) -> None:
        orders = order_list if isinstance(order_list, list) else list(getattr(order_list, "orders", order_list))
        for order in orders:
            _require_new(self.cache, order)
        send = partial(cls.submit_order_list, self, order_list, position_id, client_id, params)
        hooks.submit_list(orders, position_id, params, send)

    def modify_order(
        self: Any, client_order_id: Any, quantity: Any = None, price: Any = None, trigger_price: Any = None,
        client_id: Any = None, params: Any = None,
    ) -> None:  # fmt: skip
        refused = hooks.refused_amendment(client_order_id, quantity, price, trigger_price)
        if refused is None:
            cls.modify_order(self, client_order_id, quantity, price, trigger_price, client_id, params)
            hooks.sent()
            return
        self.on_order_modify_rejected(refused)
        self.on_order_event(refused)

    def modify_orders(self: Any, updates: Any = (), client_id: Any = None, params: Any = None) -> None:
        for client_order_id, quantity, price, trigger_price in updates:
            self.modify_order(client_order_id, quantity, price, trigger_price, client_id, params)

    def close_position(
        self: Any, position: Any, client_id: Any = None, tags: Any = None, time_in_force: Any = None,
        reduce_only: bool | None = None, quote_quantity: bool | None = None, params: Any = None,
    ) -> None:  # fmt: skip
        if position.is_closed:
            return
        order = self.order_factory.market(
            position.instrument_id,
            OrderSide.SELL if position.side == PositionSide.LONG else OrderSide.BUY,
            position.quantity,
            time_in_force=time_in_force or TimeInForce.GTC,
            reduce_only=True if reduce_only is None else reduce_only,
            quote_quantity=bool(quote_quantity),
            tags=tags,
        )
        self.submit_order(order, position.id, client_id, params)

    def close_all_positions(
        self: Any, instrument_id: Any, position_side: Any = None, client_id: Any = None, **kwargs: Any
    ) -> None:
        for position in self.cache.positions_open(
            instrument_id=instrument_id, strategy_id=self.strategy_id, side=position_side
        ):
            self.close_position(position, client_id, **kwargs)

    def cancel_order(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.cancel_order(self, *args, **kwargs)
        hooks.sent()

    def cancel_all_orders(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.cancel_all_orders(self, *args, **kwargs)
        hooks.sent()

    def shutdown_system(_self: Any, _reason: str | None = None) -> None:
        # The framework would stop the broker with the strategies: no stop loss would fill, no night be booked.
        hooks.shut_down()

    made = (
        submit_order, submit_order_list, modify_order, modify_orders, close_position, close_all_positions, cancel_order,
        cancel_all_orders, shutdown_system,
    )  # fmt: skip
    return {f.__name__: f for f in made}


def _require_new(cache: Any, order: Any) -> None:
    if cache.order_exists(order.client_order_id):
        raise ValueError(f"order {order.client_order_id} was sent before; make a new one for every order")


def _registrations(cls: Any, hooks: Hooks) -> dict[str, Any]:
    failures, where, turns = hooks.failures, cls.__name__, hooks.turns
    hears_bars, hears_quotes = _is_own(cls, "on_bar"), _is_own(cls, "on_quote")

    def subscribe_bars(self: Any, bar_type: Any, *args: Any, **kwargs: Any) -> None:
        hooks.subscribed("bars", bar_type)
        if hears_bars:
            turns.join(bar_type.standard(), self)
        cls.subscribe_bars(self, bar_type, *args, **kwargs)

    def subscribe_quotes(self: Any, instrument_id: Any, *args: Any, **kwargs: Any) -> None:
        hooks.subscribed("quotes", instrument_id)
        if hears_quotes:
            turns.join(instrument_id, self)
        cls.subscribe_quotes(self, instrument_id, *args, **kwargs)

    def unsubscribe_bars(self: Any, bar_type: Any, *args: Any, **kwargs: Any) -> None:
        turns.leave(self, bar_type.standard())
        cls.unsubscribe_bars(self, bar_type, *args, **kwargs)

    def unsubscribe_quotes(self: Any, instrument_id: Any, *args: Any, **kwargs: Any) -> None:
        turns.leave(self, instrument_id)
        cls.unsubscribe_quotes(self, instrument_id, *args, **kwargs)

    def subscribe_topic(self: Any, topic: str, handler: Any, priority: int = 0) -> None:
        cls.subscribe_topic(self, topic, _watched(handler, failures, f"{where} on topic {topic}"), priority)

    def register(name: str) -> Callable[..., None]:
        def method(self: Any, key: Any, indicator: Any) -> None:
            getattr(cls, name)(self, key, _guard_indicator(indicator, failures))

        return method

    names = ("bars", "quote_ticks", "trade_ticks")
    made = (subscribe_bars, subscribe_quotes, unsubscribe_bars, unsubscribe_quotes, subscribe_topic)
    return {f.__name__: f for f in made} | {
        f"register_indicator_for_{n}": register(f"register_indicator_for_{n}") for n in names
    }


def _guard_indicator(indicator: Any, failures: Failures) -> Any:
    """Python indicators get a guarded class of their own; the framework's are compiled and cannot raise into us."""
    cls = type(indicator)
    if cls.__module__.startswith("nautilus_trader"):
        return indicator
    body = {
        name: _watched(getattr(cls, name), failures, f"indicator {cls.__name__}")
        for name in _INDICATOR
        if callable(getattr(cls, name, None))
    }
    indicator.__class__ = type(cls.__name__, (cls,), body | {"__module__": cls.__module__})
    return indicator


def _watched(call: Callable[..., Any], failures: Failures, where: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if failures.muted:
            return None
        try:
            return call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the run must end with it
            failures.add(error, where)
            return None

    return run


class _Clock:
    """The strategy's clock with its callbacks watched."""

    __slots__ = ("_clock", "_failures", "_where")

    def __init__(self, clock: Any, failures: Failures, where: str) -> None:
        self._clock = clock
        self._failures = failures
        self._where = where

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._clock, name)
        if name not in _SCHEDULES:
            return method

        def schedule(*args: Any, **kwargs: Any) -> Any:
            label = kwargs.get("name") or (args[0] if args else "")
            where = f"{self._where} at timer {label}"
            args = tuple(_watched(a, self._failures, where) if callable(a) else a for a in args)
            if callable(kwargs.get("callback")):
                kwargs["callback"] = _watched(kwargs["callback"], self._failures, where)
            return method(*args, **kwargs)

        return schedule
