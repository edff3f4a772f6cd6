"""Which prices a sandbox plays: settings in, past bars, a tape and the clock that fits it out."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.sandbox.clock import BrokerClock, RunningClock, TestClock
from pepperstone_adapter.sandbox.settings import SandboxSettings
from pepperstone_adapter.sandbox.tape import RandomWalk, TapeBar, TapeTick


@dataclass(frozen=True, slots=True)
class Prices:
    """`ticks` is None when prices are pushed by hand."""

    ticks: Iterable[TapeTick] | None
    bars: Iterable[TapeBar] = ()
    clock: BrokerClock | None = None


def prices_for(settings: SandboxSettings, specs: Sequence[SymbolSpec], clock: BrokerClock | None) -> Prices:
    """The past and the future of prices as the settings want them."""
    tape = settings.tape
    start_ns = clock.now_ns() if clock is not None else time.time_ns()
    running: BrokerClock = TestClock(start_ns) if tape.speed == 0 else RunningClock(start_ns, tape.speed)
    if tape.source == "none":
        return Prices(None, clock=RunningClock())
    walk = RandomWalk(specs, settings.seed, start_ns, tape.ticks_per_s)
    return Prices(walk, list(walk.history(tape.history_days, start_ns)), running)
