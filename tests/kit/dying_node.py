"""A live node in a process of its own that is killed at a chosen point; the sandbox lives in the test's process.

    python -m tests.kit.dying_node POINT PORT CA_FILE FOLDER [LOGIN]

Points: `before_send` (the intent is noted, nothing written), `on_fill` (the fill has arrived, nobody was told),
`while_reading` (in the middle of the start's reads), `refreshed` (the new tokens are there, not kept), `never`.
At `shared` nothing kills it either: it keeps its credentials beside its folder, where another node has its own.
At `after_send` (the order is handed to the wire, the flush of its note not asked for) it stops, and whoever started it
kills it.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import OrderChanged
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.session import CTraderSession
from pepperstone_adapter.ctrader.client.stores import EncryptedFileStore
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, Tokens
from pepperstone_adapter.network.tls import Endpoint
from tests.kit.ctrader import MemoryStore
from tests.kit.ctrader_node import LOGIN
from tests.kit.faults import SHORT, Trader, run_live
from tests.kit.node import Bench


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingStore(EncryptedFileStore):
    def save(self, credentials: Credentials) -> None:
        if not credentials.refreshing:
            die()
        super().save(credentials)


class DyingSession(CTraderSession):
    point = "never"

    def submit(self, request: Any) -> Any:
        if self.point == "before_send":
            die()
        sent = super().submit(request)
        if self.point == "after_send":
            os.kill(os.getpid(), signal.SIGSTOP)
        return sent

    def _deliver(self, events: list[Any]) -> None:
        if self.point == "on_fill" and any(isinstance(e, OrderChanged) and e.deal is not None for e in events):
            die()
        super()._deliver(events)

    async def deals(self, since_ns: int, until_ns: int) -> Any:
        found = await super().deals(since_ns, until_ns)
        if self.point == "while_reading":
            die()
        return found


def credentials(access: str = "sandbox-access") -> Credentials:
    return Credentials(
        application=Application("sandbox-client", Secret("sandbox-secret")),
        tokens=Tokens(access=Secret(access), refresh=Secret("sandbox-refresh")),
    )


def main() -> None:
    point, port, ca_file, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    login = sys.argv[5] if len(sys.argv) > 5 else LOGIN

    def session() -> CTraderSession:
        store: Any = MemoryStore(credentials())
        if point == "refreshed":
            store = DyingStore("default", folder / "credentials", lambda: Secret("passphrase"))
        elif point == "shared":
            store = EncryptedFileStore("default", folder.parent / "credentials", lambda: Secret("passphrase"))
        made = DyingSession(
            Wanted(account_number=login, environment=Environment.SANDBOX),
            Endpoint(host="localhost", port=port, ca_file=ca_file),
            lambda: (store, store.load()),
            connect_timeout_s=20.0,
            timings=SHORT,
        )
        made.point = point
        return made

    async def script(b: Bench) -> None:
        t = Trader(b)
        order = t.limit("1.08400") if point in ("never", "shared") else t.market()
        if point in ("never", "shared"):
            await t.reach(order, "ACCEPTED")
            await t.reach(order, "FILLED")
            (folder / "filled").touch()
        await asyncio.Event().wait()

    broker = SimpleNamespace(violations=list, failure=None)
    run_live(folder, broker, script, session=session, login=login, judged=False)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
