"""Batches onto a loop: in order, one wake-up each, quotes give way and nothing else does."""

import asyncio
import threading

from pepperstone_adapter.network.mailbox import Mailbox


def test_values_arrive_in_order_in_few_wake_ups() -> None:
    async def main() -> list[list[int]]:
        batches: list[list[int]] = []
        mailbox: Mailbox[int] = Mailbox(asyncio.get_running_loop(), batches.append)
        sender = threading.Thread(target=lambda: [mailbox.post([n]) for n in range(1_000)])
        sender.start()
        sender.join()  # the loop is blocked meanwhile: everything must come in one batch
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return batches

    assert asyncio.run(main()) == [list(range(1_000))]


def test_a_later_value_schedules_a_new_delivery() -> None:
    async def main() -> list[list[str]]:
        batches: list[list[str]] = []
        mailbox: Mailbox[str] = Mailbox(asyncio.get_running_loop(), batches.append)
        for text in ("a", "b"):
            mailbox.post([text])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return batches

    assert asyncio.run(main()) == [["a"], ["b"]]


def test_what_is_urgent_comes_in_its_turn_also_where_a_wake_up_is_under_way() -> None:
    async def main() -> list[list[int]]:
        batches: list[list[int]] = []
        mailbox: Mailbox[int] = Mailbox(asyncio.get_running_loop(), batches.append, urgent=lambda n: n % 2 == 1)
        sender = threading.Thread(target=lambda: [mailbox.post([n]) for n in range(10)])
        sender.start()
        sender.join()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return batches

    assert asyncio.run(main()) == [list(range(10))]


def test_on_overflow_old_quotes_give_way_and_fills_never_do() -> None:
    async def main() -> tuple[list[tuple[str, int]], int]:
        got: list[tuple[str, int]] = []
        mailbox: Mailbox[tuple[str, int]] = Mailbox(
            asyncio.get_running_loop(),
            got.extend,
            conflate=lambda value: None if value[0] == "fill" else value[0],
            max_waiting=4,
        )
        mailbox.post([("eur", 1), ("fill", 2), ("gbp", 3), ("eur", 4), ("fill", 5), ("eur", 6)])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return got, mailbox.conflated

    # of three eur quotes the newest stays, in its place; both fills stay
    assert asyncio.run(main()) == ([("fill", 2), ("gbp", 3), ("fill", 5), ("eur", 6)], 2)


def test_many_fills_are_kept_however_long_the_loop_is_blocked() -> None:
    async def main() -> int:
        got: list[int] = []
        mailbox: Mailbox[int] = Mailbox(asyncio.get_running_loop(), got.extend, max_waiting=10)
        for n in range(5_000):
            mailbox.post([n])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert got == list(range(5_000))
        return mailbox.conflated

    assert asyncio.run(main()) == 0


def test_a_closed_mailbox_and_a_closed_loop_swallow_quietly() -> None:
    got: list[int] = []

    async def main() -> tuple[Mailbox[int], Mailbox[int]]:
        loop = asyncio.get_running_loop()
        closed, orphan = Mailbox(loop, got.extend), Mailbox(loop, got.extend)
        closed.post([1])
        closed.close()
        await asyncio.sleep(0)
        return closed, orphan

    closed, orphan = asyncio.run(main())
    closed.post([2])
    orphan.post([3])
    assert got == []
