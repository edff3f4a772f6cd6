"""News of the gateway as events: one that cannot be read hides none of those that came with it."""

from collections.abc import Sequence
from typing import Any

from pepperstone_adapter.broker.events import BrokerEvent, Notice
from pepperstone_adapter.mt5.client.account import Mt5Account
from pepperstone_adapter.mt5.client.session import Mt5Session

GAP: dict[str, Any] = {"k": "tick_gap", "symbol": "EURUSD", "from_msc": 1}


def told_of(news: Sequence[Any]) -> list[BrokerEvent]:
    """What a started session tells of these."""
    session, told = Mt5Session(Mt5Account(login=1), lambda _on_news: None), []  # type: ignore[arg-type, return-value, var-annotated]
    session._on_events, session._started = told.extend, True
    session._on_news(news)
    return told


def test_an_event_that_cannot_be_read_is_told_and_those_beside_it_are_taken() -> None:
    for broken in ({"k": "deals"}, {"k": "positions", "rows": [{}]}, {"k": "orders", "rows": None}):
        before, error, after = told_of([GAP, broken, GAP])
        assert isinstance(error, Notice)
        assert (error.level, before) == ("error", after)
        assert error.text.startswith(f"an event of the gateway ({broken['k']}) cannot be read: ")
