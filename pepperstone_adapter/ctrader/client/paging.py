"""Lists that come in pages: read to their end, whatever their order. Pure but for the asking.

Theory. An answer holds one page of a time range and says whether there is more, not where. Newest first was seen for the
lists of one position only; bars come ascending and lack their old end; so three orders are allowed for. Where a page
descends, what is missing lies before it. Where it ascends, the rows after it are asked for: if there are any, the page
was the range's beginning, else it was its end. A row has two times (an order was created, and changed later), and the
venue goes by one of them: the bound that misses nothing by either is taken first, the tighter one where that one no
longer moves. Bounds are asked for again, so that rows of one millisecond do not fall between two pages.
"""

from collections.abc import Awaitable, Callable, Sequence

WEEK_MS = 7 * 86_400_000


class PagedList[R]:
    """Rows of one list, each once.

    Parameters
    ----------
    page
        Asks for the rows of a range of milliseconds, both ends included; answers with some of them, and whether there
        are more.
    facts
        A row's id, its earlier and its later time.
    """

    def __init__(
        self,
        page: Callable[[int, int], Awaitable[tuple[Sequence[R], bool]]],
        facts: Callable[[R], tuple[int, int, int]],
    ) -> None:
        self._page = page
        self._facts = facts
        self._found: dict[int, R] = {}

    @property
    def rows(self) -> list[R]:
        return list(self._found.values())

    async def read_weeks(self, first: int, last: int) -> None:
        """Read a range of any length; the venue's longest is a week."""
        while last >= first:
            begin = max(first, last - WEEK_MS + 1)
            await self.read(begin, last)
            last = begin - 1

    async def read(self, first: int, last: int) -> None:
        times = await self._ask(first, last)
        if _ascends(times):
            known = len(self._found)
            await self._upwards(times, first, last)
            if len(self._found) > known:
                return
        await self._downwards(times, first, last)

    async def _upwards(self, times: list[tuple[int, int]], first: int, last: int) -> None:
        while times:
            created, changed = max(t[0] for t in times), max(t[1] for t in times)
            first = created if created > first else changed if created < first < changed else first + 1
            times = await self._ask(first, last) if first <= last else []

    async def _downwards(self, times: list[tuple[int, int]], first: int, last: int) -> None:
        while times:
            created, changed = min(t[0] for t in times), min(t[1] for t in times)
            last = changed if changed < last else created if created < last < changed else last - 1
            times = await self._ask(first, last) if first <= last else []

    async def _ask(self, first: int, last: int) -> list[tuple[int, int]]:
        """Take a page in; the times of its rows where there are more, else nothing."""
        rows, more = await self._page(first, last)
        facts = [self._facts(row) for row in rows]
        self._found.update({fact[0]: row for fact, row in zip(facts, rows, strict=True)})
        return [(created, changed) for _, created, changed in facts] if more else []


def _ascends(times: Sequence[tuple[int, int]]) -> bool:
    """Whether the rows stand in ascending order by one of their times."""
    for which in (0, 1):
        column = [t[which] for t in times]
        if column and column[0] < column[-1] and column == sorted(column):
            return True
    return False
