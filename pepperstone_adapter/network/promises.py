"""Awaitable results for code that runs inside the network thread.

A `Promise` is Twisted's Deferred, which needs no reactor; `spawn` starts an ``async def`` that awaits promises. They
stand here under our names because Twisted lives in this package only.
"""

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any

from twisted.internet.defer import CancelledError as Cancelled
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python import failure

Failure: Any = failure.Failure


class Promise[T]:
    """A result that will come. Await it, or add a callback; it is settled once, later settlings are ignored."""

    def __init__(self, cancel: Callable[[], None] | None = None) -> None:
        self._deferred: Any = Deferred((lambda _d: cancel()) if cancel is not None else None)
        self._settled = False

    @property
    def settled(self) -> bool:
        return self._settled

    def resolve(self, value: T) -> None:
        if not self._settled:
            self._settled = True
            self._deferred.callback(value)

    def reject(self, error: BaseException) -> None:
        if not self._settled:
            self._settled = True
            self._deferred.errback(Failure(error))

    def then(self, done: Callable[[T], None], failed: Callable[[BaseException], None]) -> None:
        """Call one of both when settled (at once if it is). The error counts as handled."""
        self._deferred.addCallbacks(done, lambda failure: failed(failure.value))

    def __await__(self) -> Generator[Any, Any, T]:
        result: T = yield from self._deferred.__await__()
        return result


class _Steps[T](Coroutine[Any, Any, T]):
    """A coroutine that knows whether it is running, so that it can be cancelled from inside itself."""

    def __init__(self, inner: Coroutine[Any, Any, T]) -> None:
        self._inner = inner
        self.running = False
        self.cancelled = False

    def send(self, value: Any) -> Any:
        return self._step(lambda: self._inner.send(value))

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None) -> Any:  # noqa: ARG002
        error = value if value is not None else kind
        return self._step(lambda: self._inner.throw(error))

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._inner.__await__()

    def _step(self, step: Callable[[], Any]) -> Any:
        self.running = True
        try:
            waits_for = step()
            if self.cancelled:
                self.cancelled = False
                waits_for = self._inner.throw(Cancelled())
        finally:
            self.running = False
        return waits_for


class Task[T]:
    """A running ``async def`` of the network thread."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._steps = _Steps(coroutine)
        self._done = False
        self._deferred: Any = Deferred.fromCoroutine(self._steps)
        self._deferred.addBoth(self._finish)

    @property
    def done(self) -> bool:
        return self._done

    def cancel(self) -> None:
        """Raise `Cancelled` where the coroutine waits; from inside itself, where it waits next."""
        if self._steps.running:
            self._steps.cancelled = True
        elif not self._done:
            self._deferred.cancel()

    def then(self, done: Callable[[T], None], failed: Callable[[BaseException], None]) -> None:
        self._deferred.addCallbacks(done, lambda failure: failed(failure.value))

    def _finish(self, result: Any) -> Any:
        self._done = True
        return result


def spawn[T](
    coroutine: Coroutine[Any, Any, T],
    done: Callable[[T], None] | None = None,
    failed: Callable[[BaseException], None] | None = None,
) -> Task[T]:
    """Start a coroutine inside the network thread; it runs at once up to its first wait."""
    task = Task(coroutine)
    if done is not None or failed is not None:
        task.then(done or (lambda _result: None), failed or _raise)
    return task


def in_pool[T](reactor: Any, function: Callable[[], T]) -> Promise[T]:
    """Run a blocking function in the reactor's thread pool."""
    promise: Promise[T] = Promise()
    outcome: Any = deferToThreadPool(reactor, reactor.getThreadPool(), function)
    outcome.addCallbacks(promise.resolve, lambda failure: promise.reject(failure.value))
    return promise


def _raise(error: BaseException) -> None:
    if not isinstance(error, Cancelled):
        raise error


__all__ = ["Cancelled", "Promise", "Task", "in_pool", "spawn"]
