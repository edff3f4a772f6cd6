"""Time texts of a whole column to nanoseconds, exact and without a Python object per row.

Theory. A column of time texts has one layout, at most a few (a trimmed fraction makes some rows shorter). A layout is a
template of the same length in which digits are named: ``YYYY-MM-DD hh:mm:ss.fff``, with ``+oo:oo`` for an offset from
UTC; every other character must stand in the text as it is. Each byte is checked against its place in the template; the
time of day is the sum of its digits, each times the nanoseconds of its place; a date is converted once for each run of
equal dates. (A matrix product takes twice as long: it must convert the
block to floats first.)
"""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

DAY_NS = 86_400_000_000_000
NO_TIME = np.iinfo(np.int64).min  # stands for a text that is no time

_TEXT = re.compile(
    r"(?P<date>\d{4}(?P<ds>[.\-/]?)\d\d(?P=ds)\d\d)?"
    r"(?P<sep>[ T])?"
    r"(?P<time>\d\d(?P<ts>:?)\d\d(?:(?P=ts)\d\d)?)?"
    r"(?P<dot>[.,])?(?P<fraction>\d{1,9})?"
    r"(?P<zone> ?(?:Z|[+-]\d\d:?\d\d))?"
)
_MAX_LAYOUTS = 24
CACHED_ROWS = 8192  # this many texts stay in the processor's cache through all steps
_CIVIL_FIRST, _CIVIL_LAST = 1000, 9999

type Int64s = NDArray[np.int64]
type Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Times:
    """`ns` since 1970-01-01 in the text's own clock (`NO_TIME` where unreadable); `utc` marks rows with an offset."""

    ns: Int64s
    utc: Bools


def template_of(text: str) -> str | None:
    """The template of a time, date or time-of-day text; None when the order of its fields is not certain."""
    match = _TEXT.fullmatch(text)
    if match is None or not (match["date"] or match["time"]):
        return None
    if match["fraction"] and not (match["time"] and len(match["time"].replace(":", "")) == 6):
        return None
    if match["date"] and match["time"] and not match["sep"]:
        return None
    out = ""
    if match["date"]:
        s = match["ds"]
        out += f"YYYY{s}MM{s}DD"
    out += match["sep"] or ""
    if match["time"]:
        c = match["ts"]
        out += c.join(("hh", "mm", "ss")[: len(match["time"].replace(":", "")) // 2])
    out += (match["dot"] or "") + "f" * len(match["fraction"] or "")
    return out + re.sub(r"\d", "o", match["zone"] or "")


def parse_times(column: pa.Array, template: str | None = None) -> Times:
    """Nanoseconds of a string column.

    Parameters
    ----------
    column
        One chunk of type string; nulls and blanks come out as `NO_TIME`.
    template
        The layout where the caller knows it (a row of another length is unreadable); None infers it for each length of
        text from the first text of that length that has one, and again for the texts which that one does not read: a
        broken row, first in a block of a file, must not cost the others.
    """
    rows = len(column)
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + rows + 1]
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)
    widths = np.diff(offsets)
    ns = np.full(rows, NO_TIME, np.int64)
    utc = np.zeros(rows, np.bool_)
    for width in _distinct(widths):
        left = None if (widths == width).all() else np.flatnonzero(widths == width)  # None: all of them
        tried: set[str] = set()
        while left is None or len(left):
            starts = offsets[:-1] if left is None else offsets[left]
            layout = template if template is not None else _untried(data, starts, width, tried)
            if layout is None or layout in tried or len(layout) != width:
                break
            tried.add(layout)
            whole = data[offsets[0] : offsets[-1]]
            block = whole.reshape(rows, width) if left is None else data[starts[:, None] + np.arange(width)]
            parts = [_parse_block(block[i : i + CACHED_ROWS], layout) for i in range(0, len(block), CACHED_ROWS)]
            parsed = np.concatenate(parts)
            where, unread = slice(None) if left is None else left, np.flatnonzero(parsed == NO_TIME)
            ns[where] = parsed
            utc[where] = parsed != NO_TIME if "o" in layout or "Z" in layout else False
            left = unread if left is None else left[unread]
    if column.null_count:
        ns[np.asarray(column.is_null())] = NO_TIME
    return Times(ns, utc)


def _untried(data: NDArray[np.uint8], starts: NDArray[np.int32], width: int, tried: set[str]) -> str | None:
    """The layout of the first of some texts of one width that has one and was not tried; None when none has."""
    for start in starts:  # not as a list: it is nearly always the first
        layout = template_of(bytes(data[start : start + width]).decode("ascii", "replace"))
        if layout is not None and layout not in tried:
            return layout
    return None


def _distinct(widths: NDArray[np.int32]) -> list[int]:
    if not len(widths):
        return []
    if (widths == widths[0]).all():
        return [int(widths[0])] if widths[0] else []
    found, counts = np.unique(widths, return_counts=True)
    by_count = found[np.argsort(-counts, kind="stable")]
    return [int(w) for w in by_count[:_MAX_LAYOUTS] if w]


def _parse_block(block: NDArray[np.uint8], template: str) -> Int64s:
    """Rows of equal width by one template."""
    low = np.frombuffer(re.sub("[YMDhmsfo]", "0", template).encode(), np.uint8)
    span = np.array([9 if c in "YMDhmsfo" else 0 for c in template], np.uint8)
    for field, tens in (("h", 2), ("m", 5), ("s", 5)):
        if field in template:
            span[template.index(field)] = tens
    sign = _sign_place(template)
    if sign is not None:
        low, span = low.copy(), span.copy()
        low[sign], span[sign] = ord("+"), 2  # '+' and '-' ('-' is two after '+'; ',' between them is refused below)
    fits = (block - low) <= span
    readable = np.ones(len(block), np.bool_) if fits.all() else fits.all(axis=1)
    ns = _time_of_day(block, template)
    readable &= ns < DAY_NS
    if "Y" in template:
        days = _days(block, template)
        readable &= days != NO_TIME
        ns = ns + np.where(readable, days, 0) * DAY_NS
    if sign is not None:
        offset = _weighted(block, dict(zip(_places(template, "o"), _OFFSET_NS, strict=False)))
        minus = block[:, sign] == ord("-")
        readable &= minus | (block[:, sign] == ord("+"))
        ns = ns - np.where(minus, -offset, offset)
    return np.where(readable, ns, NO_TIME)


_SECOND = 1_000_000_000
_OFFSET_NS = (36_000 * _SECOND, 3_600 * _SECOND, 600 * _SECOND, 60 * _SECOND)


def _time_of_day(block: NDArray[np.uint8], template: str) -> Int64s:
    weights: dict[int, int] = {}
    for field, unit in (("h", 3_600 * _SECOND), ("m", 60 * _SECOND), ("s", _SECOND)):
        weights |= dict(zip(_places(template, field), (10 * unit, unit), strict=False))
    for i, place in enumerate(_places(template, "f")):
        weights[place] = 10 ** (8 - i)
    return _weighted(block, weights)


def _weighted(block: NDArray[np.uint8], weights: dict[int, int]) -> Int64s:
    total = np.full(len(block), -ord("0") * sum(weights.values()), np.int64)
    for place, weight in weights.items():
        total += block[:, place].astype(np.int64) * weight
    return total


def _days(block: NDArray[np.uint8], template: str) -> Int64s:
    """Days since 1970-01-01, `NO_TIME` for a date that does not exist."""
    places = _places(template, "Y") + _places(template, "M") + _places(template, "D")
    first, last = min(places), max(places) + 1
    dates = block[:, first:last]
    if (dates == dates[0]).all():
        runs = np.zeros(1, np.int64)
    else:
        changed = np.ones(len(block), np.bool_)
        changed[1:] = (dates[1:] != dates[:-1]).any(axis=1)
        runs = np.flatnonzero(changed)
    digits = dates[runs].astype(np.int64) - ord("0")

    def number(field: str) -> Int64s:
        return np.asarray(
            sum(digits[:, p - first] * 10**k for k, p in enumerate(reversed(_places(template, field)))), np.int64
        )

    year, month, day = number("Y"), number("M"), number("D")
    if len(_places(template, "Y")) == 2:
        year += 2000
    sane = (month >= 1) & (month <= 12) & (year >= _CIVIL_FIRST) & (year <= _CIVIL_LAST)
    months = np.where(sane, (year - 1970) * 12 + month - 1, 0)
    start = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    length = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - start
    days = np.where(sane & (day >= 1) & (day <= length), start + day - 1, NO_TIME)
    return np.repeat(days, np.diff(np.append(runs, len(block))))


def _places(template: str, field: str) -> list[int]:
    return [i for i, c in enumerate(template) if c == field]


def _sign_place(template: str) -> int | None:
    return template.index("o") - 1 if "o" in template else None
