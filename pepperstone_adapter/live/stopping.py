"""The end of an account's orders when its node stops, before the link is closed.

Theory. First the settings' `on_stop` (`wind_down`), while everything still runs. Then the framework stops the strategies,
whose own `on_stop` may send orders, takes in what comes for a fixed half second, and has the clients disconnect. What a
client says while it does so is taken in at its end. So a client whose orders are still under way waits for them then
(`settle`), as long as a slow venue may take, and one without any does not wait at all.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from pepperstone_adapter.live.tracking import ENTRY, LEG, Phase

if TYPE_CHECKING:
    from pepperstone_adapter.live.execution import BrokerExecutionClient

SETTLE_S = 3.0
_LOOK_S = 0.02


async def wind_down(client: "BrokerExecutionClient", cancel: bool, flat: bool, timeout_s: float) -> None:
    """Before the node stops: cancel working entries of ours, wait until they (and our positions) are gone."""
    if not client.connection.up:
        client.log.error("the link is down: orders and positions are left as they are at the broker")
        return
    entries = [o for o in client.table.open_orders() if o.kind == ENTRY] if cancel else []
    client.cancel(entries)

    def left() -> list[str]:
        waiting = [o.client_order_id for o in entries if o.phase is not Phase.ENDED]
        if flat:
            ours = (p for p in client.cache.positions_open(client.venue) if str(p.strategy_id) != "EXTERNAL")
            waiting += [str(p.id) for p in ours]
        return waiting

    await _until(lambda: not left(), timeout_s)
    if left():
        client.log.error(f"not ended within {timeout_s:g} s: {', '.join(left())}; look at the account")


async def settle(client: "BrokerExecutionClient", timeout_s: float) -> None:
    """Wait while requests are unanswered or market orders unfilled; not for what a lost link keeps open."""

    def under_way() -> bool:
        return bool(client.tasks) or any(
            o.phase is Phase.ACCEPTED and o.kind != LEG and o.limit is None and o.stop is None
            for o in client.table.open_orders()
        )

    await _until(lambda: not (client.connection.up and under_way()), timeout_s)


async def _until(condition: Callable[[], bool], timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition() and loop.time() < deadline:  # noqa: ASYNC110 - neither a cache nor a fill has an event
        await asyncio.sleep(_LOOK_S)
