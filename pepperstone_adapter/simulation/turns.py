"""Who listens to what, and in which order several listeners of a row act: in that of the settings.

The framework calls the listeners of a topic in the order of identifiers that it draws anew for each run. Two strategies on
the same bars would send their orders now in this order, now in that, and the result with them. So a listener that is called
waits until the last one has been, and then all act in the order they were added in. Their indicators are up to date by then.
"""

from collections.abc import Callable
from typing import Any

from pepperstone_adapter.simulation.failures import Failures


class Turns:
    """The strategies of a run and what they listen to.

    Attributes
    ----------
    strategies
        In the order in which they act.
    shared
        Whether anything has several listeners; nothing need wait while it has not.
    """

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self.strategies: list[Any] = []
        self.shared = False
        self._listeners: dict[Any, list[Any]] = {}  # bar type or instrument id -> strategies
        self._row: tuple[Any, int] | None = None
        self._waiting: list[tuple[Any, Any, Callable[[Any, Any], None]]] = []  # strategy, row, what it does with it

    def stop(self) -> None:
        """Tell the strategies that the data ends, while their orders still execute."""
        for strategy in self.strategies:
            strategy.on_stop()

    def end(self) -> None:
        """Stop them for good: they hear of nothing any more."""
        self.stop()
        self._failures.muted = True

    def join(self, key: Any, strategy: Any) -> None:
        """A strategy begins to listen to bars of a type or quotes of an instrument."""
        listeners = self._listeners.setdefault(key, [])
        if strategy not in listeners:
            listeners.append(strategy)
        self.shared = self.shared or len(listeners) > 1

    def leave(self, strategy: Any, key: Any = None) -> None:
        """A strategy stops listening to something, or to everything."""
        for listened, listeners in self._listeners.items():
            if strategy in listeners and key in (None, listened):
                listeners.remove(strategy)

    def arrive(self, strategy: Any, key: Any, row: Any, act: Callable[[Any, Any], None]) -> None:
        """Call ``act(strategy, row)`` when its turn has come.

        Raises
        ------
        RuntimeError
            A listener of the row before has not been called.
        """
        listeners = self._listeners.get(key, [])
        if len(listeners) < 2 or strategy not in listeners:
            act(strategy, row)
            return
        if self._waiting and self._row != (key, row.ts_init):
            raise RuntimeError(f"not every strategy that listens to {self._row} was called")
        self._row = key, row.ts_init
        self._waiting.append((strategy, row, act))
        if len(self._waiting) == len(listeners):
            waiting, self._waiting = self._waiting, []
            for listener, its_row, its_act in sorted(waiting, key=lambda turn: self.strategies.index(turn[0])):
                its_act(listener, its_row)
