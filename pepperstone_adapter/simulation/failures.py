"""What went wrong in a run, kept where the framework cannot swallow it.

In a backtest the framework logs an exception of a strategy, an indicator, a fill or a fee model and goes on; the result
then looks valid and is not. Everything of ours that the framework calls notes its exception here; strategies stop acting,
and the run ends with the first cause.
"""

from collections.abc import Callable

from pepperstone_adapter.common.errors import PepperstoneError


class RunFailed(PepperstoneError):
    """A strategy, indicator or model raised, or the books disagreed: there is no result."""


class Failures:
    """The first failure of a run.

    Attributes
    ----------
    muted
        Whether strategies act no more: after a failure, or when one of them has shut the system down.
    """

    def __init__(self, now_ns: Callable[[], int] | None = None) -> None:
        self.first: tuple[BaseException, str, int] | None = None
        self.muted = False
        self.now_ns = now_ns or (lambda: 0)

    def __bool__(self) -> bool:
        return self.first is not None

    def add(self, error: BaseException, where: str) -> None:
        if self.first is None:
            try:
                now = self.now_ns()
            except Exception:  # noqa: BLE001 - the clock may not be ready; the cause matters more than its time
                now = 0
            self.first = (error, where, now)
            self.muted = True

    def raise_first(self) -> None:
        """Raise the first failure, if any; errors of this package and Ctrl-C keep their class.

        Raises
        ------
        RunFailed
        """
        if self.first is None:
            return
        error, where, ts_ns = self.first
        if isinstance(error, PepperstoneError | KeyboardInterrupt):
            raise error
        from pepperstone_adapter.simulation.times import iso

        at = f" at {iso(ts_ns)}" if ts_ns else ""
        words, line = " ".join(str(error).split()), _line(error)
        raise RunFailed(f"{where} raised {type(error).__name__}: {words}{at}{line}; the run has no result") from error


def _line(error: BaseException) -> str:
    """``(file.py:12)`` of the deepest frame outside this package."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "pepperstone_adapter" not in name or "tests" in name:
            place = f" ({name.rsplit('/', 1)[-1]}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place
