"""How soon a worker is replaced; the rest of the supervisor's work is tried over its socket (tests/integration)."""

import asyncio
import functools
import sys
from pathlib import Path

import pytest

from pepperstone_adapter.mt5.gateway.options import GatewayOptions
from pepperstone_adapter.mt5.gateway.supervisor import Supervisor

GONE, REFUSED = (-10_005, "IPC timeout"), (-6, "Authorization failed")
WAITS = (sys.executable, "-c", "import sys; sys.stdin.read()")


type End = tuple[int, str] | tuple[int, str, float] | None


def pauses(folder: Path, told: pytest.LogCaptureFixture, ends: list[End]) -> list[float]:
    """Seconds before each next worker, where one after the other ends without a word, or with an error of the terminal: at its
    beginning, or so many seconds after it has said that it is ready."""

    async def main() -> None:
        supervisor = Supervisor(GatewayOptions(port=0, state_dir=folder, worker_command=WAITS))
        await supervisor.start()
        for end in ends:
            worker = supervisor._worker
            assert worker is not None
            if isinstance(end, tuple) and len(end) == 3:
                supervisor._from_worker(supervisor._generation, {"t": "ready"})
                supervisor._started_s -= end[2]
            if isinstance(end, tuple):
                supervisor._from_worker(supervisor._generation, {"t": "dead", "fn": "initialize", "error": [*end[:2]]})
            supervisor._worker_gone(supervisor._generation, "ended")
            worker.kill()
            supervisor._start_worker()
        await supervisor.close()

    asyncio.run(main())
    return [
        float(line.split("starting another in ")[1].removesuffix(" s"))
        for line in told.messages
        if "starting another" in line
    ]


def test_a_refused_sign_in_waits_a_minute_and_what_else_may_be_wrong_after_it_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert pauses(tmp_path, caplog, [GONE, GONE, None, REFUSED, REFUSED, GONE, None]) == [0.2, 0.4, 0.8, 60, 60, 15, 15]


def test_one_that_dies_whenever_it_is_ready_is_not_replaced_five_times_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert pauses(tmp_path, caplog, [(*GONE, s) for s in (0.0, 0.1, 0.1, 3600.0, 0.1)]) == [0.2, 0.4, 0.8, 0.2, 0.4]
    assert pauses(tmp_path, caplog, [(*REFUSED, 3600.0)])[-1] == 60


def test_a_worker_that_reads_what_the_terminal_has_to_fetch_is_not_taken_for_hung(tmp_path: Path) -> None:
    """The first ticks of a symbol may take 45 s; what is asked meanwhile waits in the worker's pipe."""

    async def main() -> None:
        supervisor = Supervisor(GatewayOptions(port=0, state_dir=tmp_path, worker_command=WAITS))
        await supervisor.start()
        try:
            said = functools.partial(supervisor._from_worker, supervisor._generation)
            said({"t": "ready"})
            began_s = supervisor._heard_s
            assert not supervisor._hangs(began_s + 19)
            assert supervisor._hangs(began_s + 21)
            said({"t": "reading"})
            read = {"t": "req", "id": 1, "fn": "account_info", "args": []}
            supervisor._dispatcher.request(read, False, lambda _reply: None, 1, supervisor._heard_s)
            assert not supervisor._hangs(supervisor._heard_s + 59)
            assert supervisor._hangs(supervisor._heard_s + 61)
            said({"t": "beat"})  # it is done with that: now the request's own deadline counts, from here
            assert not supervisor._hangs(supervisor._heard_s + 9)
            assert supervisor._hangs(supervisor._heard_s + 11)
        finally:
            await supervisor.close()

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="a program that runs cannot be removed there")
def test_a_worker_that_cannot_be_started_for_a_while_is_started_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No memory, no process or no file left: that passes, and nobody looks at a gateway that runs."""
    program = tmp_path / "program"
    program.symlink_to(sys.executable)

    async def main() -> None:
        supervisor = Supervisor(GatewayOptions(port=0, state_dir=tmp_path, worker_command=(str(program), *WAITS[1:])))
        await supervisor.start()
        first = supervisor._worker
        assert first is not None
        program.unlink()
        first.kill()
        async with asyncio.timeout(30):
            while not any("cannot be started" in line for line in caplog.messages):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert supervisor.worker_pid is None
            program.symlink_to(sys.executable)
            while supervisor.worker_pid is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert supervisor.worker_pid != first.pid
        await supervisor.close()

    asyncio.run(main())
