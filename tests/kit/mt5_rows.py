"""Rows as a terminal gives them, with the fields that matter set by the test and the rest as a terminal leaves them."""

from datetime import UTC, datetime
from typing import Any

from pepperstone_adapter.broker.hours import TradingHours
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.mt5.client import parsing

EURUSD: dict[str, Any] = {
    "name": "EURUSD",
    "path": "Forex\\Majors\\EURUSD",
    "description": "Euro vs US Dollar",
    "currency_base": "EUR",
    "currency_profit": "USD",
    "currency_margin": "EUR",
    "digits": 5,
    "trade_contract_size": 100000.0,
    "volume_min": 0.01,
    "volume_step": 0.01,
    "volume_max": 100.0,
    "swap_mode": 1,
    "swap_long": -7.5,
    "swap_short": 3.2,
    "swap_rollover3days": 3,
    "trade_mode": 4,
    "trade_stops_level": 0,
    "filling_mode": 2,
    "expiration_mode": 15,
    "trade_exemode": 2,
}


def spec(row: dict[str, Any] = EURUSD) -> SymbolSpec:
    return parsing.symbol_spec(row, TradingHours.always(), "fx_major", "test")


def server_ms(text: str) -> int:
    """A server stamp in milliseconds from its wall clock."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def utc_ns(text: str) -> int:
    return server_ms(text) * 1_000_000


def order(ticket: int, **fields: Any) -> dict[str, Any]:
    ms = server_ms("2022-01-10 12:00")
    row = {
        "ticket": ticket,
        "time_setup": ms // 1000,
        "time_setup_msc": ms,
        "time_done": 0,
        "time_done_msc": 0,
        "time_expiration": 0,
        "type": 2,
        "type_time": 0,
        "type_filling": 2,
        "state": 1,
        "magic": 0,
        "position_id": 0,
        "position_by_id": 0,
        "reason": 3,
        "volume_initial": 0.1,
        "volume_current": 0.1,
        "price_open": 1.1,
        "sl": 0.0,
        "tp": 0.0,
        "price_current": 1.1,
        "price_stoplimit": 0.0,
        "symbol": "EURUSD",
        "comment": "",
        "external_id": "",
    }
    return row | fields


def deal(ticket: int, **fields: Any) -> dict[str, Any]:
    ms = server_ms("2022-01-10 12:00") + ticket
    row = {
        "ticket": ticket,
        "order": ticket,
        "time": ms // 1000,
        "time_msc": ms,
        "type": 0,
        "entry": 0,
        "magic": 0,
        "position_id": 7,
        "reason": 3,
        "volume": 0.1,
        "price": 1.1,
        "commission": 0.0,
        "swap": 0.0,
        "profit": 0.0,
        "fee": 0.0,
        "symbol": "EURUSD",
        "comment": "",
        "external_id": "",
    }
    return row | fields


def position(identifier: int, **fields: Any) -> dict[str, Any]:
    ms = server_ms("2022-01-10 12:00")
    row = {
        "ticket": identifier,
        "time": ms // 1000,
        "time_msc": ms,
        "time_update": ms // 1000,
        "time_update_msc": ms,
        "type": 0,
        "magic": 0,
        "identifier": identifier,
        "reason": 3,
        "volume": 0.1,
        "price_open": 1.1,
        "sl": 0.0,
        "tp": 0.0,
        "price_current": 1.1,
        "swap": 0.0,
        "profit": 0.0,
        "symbol": "EURUSD",
        "comment": "",
        "external_id": "",
    }
    return row | fields
