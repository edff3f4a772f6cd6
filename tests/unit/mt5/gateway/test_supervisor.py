"""How soon a worker is replaced; the rest of the supervisor's work is tried over its socket (tests/integration)."""

import asyncio
import sys
from pathlib import Path

from pepperstone_adapter.mt5.gateway.options import GatewayOptions
from pepperstone_adapter.mt5.gateway.supervisor import Supervisor

WAITS = (sys.executable, "-c", "import sys; sys.stdin.read()")


def pauses(folder: Path, errors: list[tuple[int, str] | None]) -> list[float]:
    """Seconds before each next worker, where one after the other ends with an error of the terminal, or without a word."""

    async def main() -> list[float]:
        supervisor = Supervisor(GatewayOptions(port=0, state_dir=folder, worker_command=WAITS))
        await supervisor.start()
        found = []
        for error in errors:
            worker = supervisor._worker
            assert worker is not None
            if error is not None:
                supervisor._from_worker(supervisor._generation, {"t": "dead", "fn": "initialize", "error": [*error]})
            found.append(supervisor._restart_s)
            supervisor._worker_gone(supervisor._generation, "ended")
            worker.kill()
            supervisor._start_worker()
        await supervisor.close()
        return found

    return asyncio.run(main())


def test_a_refused_sign_in_waits_a_minute_and_what_else_may_be_wrong_after_it_does_not(tmp_path: Path) -> None:
    gone, refused = (-10_005, "IPC timeout"), (-6, "Authorization failed")
    assert pauses(tmp_path, [gone, gone, None, refused, refused, gone, None]) == [0.2, 0.4, 0.8, 60, 60, 15, 15]
