"""A gateway inside another process, on a thread and a loop of its own: a node that blocks does not stop it, and it does
not stop the node. Loopback only, on a free port, with a token nobody else knows."""

import asyncio
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from pepperstone_adapter.mt5.gateway.options import GatewayOptions
from pepperstone_adapter.mt5.gateway.supervisor import Supervisor

START_S = 10.0
STOP_S = 4.0


class HostedGateway:
    """Listens when the constructor returns.

    Parameters
    ----------
    options
        Port 0 takes a free one; an empty token becomes a random one.
    """

    def __init__(self, options: GatewayOptions) -> None:
        self.token = options.token or secrets.token_urlsafe(32)
        self._options = replace(options, token=self.token)
        self._loop = asyncio.new_event_loop()
        self.port = 0
        ready: Future[Supervisor] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="mt5-gateway", daemon=True)
        self._thread.start()
        self.supervisor = ready.result(START_S)

    def _run(self, ready: "Future[Supervisor]") -> None:
        asyncio.set_event_loop(self._loop)
        try:
            supervisor = Supervisor(self._options)
            self._loop.run_until_complete(supervisor.start())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            ready.set_exception(error)
            self._loop.close()
            return
        self.port = supervisor.port
        ready.set_result(supervisor)
        self._loop.run_forever()
        self._loop.run_until_complete(supervisor.close())
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        """End what is left: clients on their way in or out."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)  # their sockets close in the next turn

    def call[T](self, function: Callable[[], T]) -> T:
        """Run `function` on the gateway's thread and return its result."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except BaseException as error:  # noqa: BLE001 - belongs to the caller
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(START_S)

    def stop(self) -> None:
        """End the gateway and its worker; waits a few seconds at most."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
