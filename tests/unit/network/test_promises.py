"""Awaitable results without a reactor."""

import pytest

from pepperstone_adapter.network.promises import Cancelled, Promise, Task, spawn


def test_a_coroutine_runs_to_its_first_wait_and_on_when_the_promise_is_kept() -> None:
    notes: list[str] = []
    promise: Promise[str] = Promise()

    async def work() -> str:
        notes.append("begun")
        notes.append(await promise)
        return "done"

    results: list[str] = []
    task = spawn(work(), results.append)
    assert (notes, task.done) == (["begun"], False)
    promise.resolve("kept")
    assert (notes, results, task.done) == (["begun", "kept"], ["done"], True)


def test_a_rejection_is_raised_where_the_coroutine_waits() -> None:
    promise: Promise[None] = Promise()
    errors: list[BaseException] = []

    async def work() -> None:
        with pytest.raises(KeyError):
            await promise
        raise ValueError("then this")

    spawn(work(), None, errors.append)
    promise.reject(KeyError("x"))
    assert str(errors[0]) == "then this"


def test_only_the_first_settling_counts() -> None:
    promise: Promise[int] = Promise()
    got: list[int] = []
    promise.resolve(1)
    promise.resolve(2)
    promise.reject(ValueError())
    promise.then(got.append, lambda error: pytest.fail(str(error)))
    assert got == [1]


def test_cancelling_a_task_raises_where_it_waits_and_a_late_answer_harms_nobody() -> None:
    promise: Promise[int] = Promise()
    ends: list[str] = []

    async def work() -> None:
        try:
            await promise
        except Cancelled:
            ends.append("cancelled")
            raise

    task = spawn(work(), None, lambda error: ends.append(type(error).__name__))
    task.cancel()
    promise.resolve(1)
    assert ends == ["cancelled", "CancelledError"]


def test_a_task_can_be_cancelled_from_inside_itself_and_ends_where_it_waits_next() -> None:
    notes: list[str] = []
    tasks: list[Task[None]] = []
    first: Promise[None] = Promise()

    async def work() -> None:
        await first
        tasks[0].cancel()
        notes.append("still running")
        try:
            await Promise[None]()
        except Cancelled:
            notes.append("cancelled")
            raise

    tasks.append(spawn(work(), None, lambda error: notes.append(type(error).__name__)))
    first.resolve(None)
    assert notes == ["still running", "cancelled", "CancelledError"]
    assert tasks[0].done
