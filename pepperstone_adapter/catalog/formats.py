"""What the columns of a file mean: the formats we know, told from their first lines and never from the file's name.

| format | rows | clock |
|---|---|---|
| mt5-bars | MetaTrader 5 export: `<DATE> <TIME> <OPEN> <HIGH> <LOW> <CLOSE> <TICKVOL> ...` | must be given |
| mt5-ticks | MetaTrader 5 export: `<DATE> <TIME> <BID> <ASK> ...`; a blank side is unchanged | must be given |
| mt5-points | `Date,open,high,low,close,tick_volume`, prices in integer points | must be given |
| histdata-ticks | `YYYYMMDD HHMMSSmmm,bid,ask,volume` | EST all year (UTC-5) |
| histdata-bars | `YYYYMMDD HHMMSS;open;high;low;close;0`, bid | EST all year (UTC-5) |
| truefx-ticks | `EUR/USD,YYYYMMDD HH:MM:SS.mmm,bid,ask`, or `timestamp,bid,ask` with offsets | UTC |
| fxcm-bars | `timestamp,open,high,low,close` with offsets, one file a side | UTC |
| csv | anything else, by a column map (`catalog.column_map`) | in the map |
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from pepperstone_adapter.broker.server_time import UTC_CLOCK, ServerClock, parse_clock
from pepperstone_adapter.catalog.source import Source
from pepperstone_adapter.catalog.times import template_of
from pepperstone_adapter.common.errors import DataError

BARS, QUOTES = "bars", "quotes"
OHLC = ("open", "high", "low", "close")
BOTH_SIDES = tuple(f"{side}_{name}" for side in ("bid", "ask") for name in OHLC)
EST = parse_clock("-05:00")
SYMBOL_COLUMNS = ("symbol", "ticker", "pair", "instrument")
DELIMITERS = ("\t", ",", ";", "|")

_HISTDATA = re.compile(r"\d{8} (\d{9}|\d{6})[,;\t]")
_TRUEFX = re.compile(r"[A-Z]{3}/[A-Z]{3},\d{8} \d\d:\d\d:\d\d\.\d{3},")
_HEADLESS_BARS = re.compile(r"\d{4}\.\d\d\.\d\d[,\t]\d\d:\d\d[,\t]")
_POINTS_HEADER = ("date", *OHLC, "tick_volume")
_OFFSET = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFormat:
    """How to read one file.

    Attributes
    ----------
    columns
        Names in file order; `header` tells whether the first line holds them.
    roles
        What we need -> column name. Time is ``time``, or ``date`` with or without ``clock``. Bars have ``open`` to
        ``close`` (one side) or ``bid_open`` to ``ask_close``, and perhaps ``volume``; quotes have ``bid`` and ``ask``.
        ``pair`` is a column that names the symbol: all rows must be of one.
    clock, offsets
        The zone the format implies, None when it implies none; whether times say their own offset from UTC instead.
    points
        Prices are integer points, perhaps with float noise.
    carry
        A blank bid or ask means unchanged.
    template, epoch
        Layout of time texts, or the unit (``s ms us ns``) of time numbers; None infers the layout.
    stamp
        Whether a bar's time is its ``open`` or its ``close``.
    pair
        The symbol the rows name in a known spelling.
    """

    name: str
    kind: str
    delimiter: str
    columns: tuple[str, ...]
    header: bool
    roles: Mapping[str, str]
    clock: ServerClock | None = None
    offsets: bool = False
    points: bool = False
    carry: bool = False
    template: str | None = None
    epoch: str | None = None
    decimal: str = "."
    quoted: bool = False
    stamp: str = "open"
    pair: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def two_sided(self) -> bool:
        return "bid_open" in self.roles

    @property
    def price_roles(self) -> tuple[str, ...]:
        if self.kind == QUOTES:
            return ("bid", "ask")
        return BOTH_SIDES if self.two_sided else OHLC


def detect(source: Source) -> TableFormat:
    """The format of a source.

    Raises
    ------
    DataError
        Unknown, or a known one with columns missing or doubled: the columns seen and wanted are named.
    """
    lines = [line for line in source.head.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{source.path} holds no rows; export the data again")
    first = lines[0]
    headless = _headless(first)
    if headless is not None and set(headless.roles.values()) <= set(headless.columns):
        return headless
    delimiter = sniff_delimiter(first)
    names = split_header(first, delimiter)
    if not any(name[:1].isalpha() for name in names):
        raise DataError(
            f"{source.path}:1: no header line, and none of the formats that have none; write a column map with header: "
            "false and columns by number (`pepperstone config schema columns` shows its keys) and give it with --columns "
            "map.yaml"
        )
    if len(lines) < 2:
        raise DataError(f"{source.path} holds a header ({', '.join(names)}) and no rows; export the data again")
    return _by_header(source, names, delimiter, lines[1], quoted='"' in first)


def sniff_delimiter(line: str) -> str:
    return max(DELIMITERS, key=line.count)


def pair_role(names: tuple[str, ...]) -> dict[str, str]:
    """The role of a column that names the symbol, if there is one."""
    found = [name for name in names if name in SYMBOL_COLUMNS]
    return {"pair": found[0]} if found else {}


def split_header(line: str, delimiter: str) -> tuple[str, ...]:
    return tuple(re.sub(r"\W+", "_", cell.strip().strip('"<>').lower()).strip("_") for cell in line.split(delimiter))


class _Base(TypedDict):
    delimiter: str
    columns: tuple[str, ...]
    header: bool
    quoted: bool


def _by_header(source: Source, names: tuple[str, ...], delimiter: str, row: str, *, quoted: bool) -> TableFormat:
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        raise DataError(f"{source.path}:1: column {', '.join(doubled)} stands twice; remove one")
    cells = [c.strip().strip('"') for c in row.split(delimiter)]
    base = _Base(delimiter=delimiter, columns=names, header=True, quoted=quoted)
    seen = set(names)
    if "<" in source.head.splitlines()[0]:
        return _mt5(source, names, base)
    if names == _POINTS_HEADER and _whole_points(cells):
        roles = {"time": "date", **{n: n for n in OHLC}, "volume": "tick_volume"}
        return TableFormat(name="mt5-points", kind=BARS, roles=roles, points=True, **base)
    time = next((n for n in ("timestamp", "time", "datetime", "date") if n in seen), None)
    if time is not None:
        stamp = cells[names.index(time)] if len(cells) > names.index(time) else ""
        clock = UTC_CLOCK if _OFFSET.search(stamp) and template_of(stamp) else None
        if {"bid", "ask"} <= seen:
            roles = {"time": time, "bid": "bid", "ask": "ask", **pair_role(names)}
            return TableFormat(name="truefx-ticks", kind=QUOTES, roles=roles, clock=clock, **base)
        if set(OHLC) <= seen and clock is not None:
            roles = {"time": time, **{n: n for n in OHLC}, **pair_role(names)}
            roles |= {"volume": "volume"} if "volume" in seen else {}
            return TableFormat(name="fxcm-bars", kind=BARS, roles=roles, clock=clock, **base)
    raise DataError(
        f"{source.path}:1: format not recognised; columns seen: {_shown(names, delimiter)}; known are MetaTrader 5, "
        "HistData, TrueFX and FXCM files. For any other write a column map (`pepperstone config schema columns` shows its "
        "keys) and give it with --columns map.yaml"
    )


def _mt5(source: Source, names: tuple[str, ...], base: _Base) -> TableFormat:
    time = pair_role(names) | {"date": "date"} | ({"clock": "time"} if "time" in names else {})
    is_ticks = "bid" in names or "ask" in names
    wanted = ("date", "time", "bid", "ask") if is_ticks else ("date", *OHLC)
    missing = [n for n in wanted if n not in names]
    if missing:
        raise DataError(
            f"{source.path}:1: column {', '.join(f'<{n.upper()}>' for n in missing)} is missing; seen: "
            f"{_shown(names, base['delimiter'])}; wanted: {', '.join(wanted)}"
        )
    if is_ticks:
        roles = time | {"bid": "bid", "ask": "ask"}
        return TableFormat(name="mt5-ticks", kind=QUOTES, roles=roles, carry=True, **base)
    roles = time | {n: n for n in OHLC} | ({"volume": "tickvol"} if "tickvol" in names else {})
    return TableFormat(name="mt5-bars", kind=BARS, roles=roles, **base)


def _headless(first: str) -> TableFormat | None:
    """The format without a header line that a first line begins like."""
    if histdata := _HISTDATA.match(first):
        return _histdata(first, QUOTES if len(histdata[1]) == 9 else BARS)
    if _TRUEFX.match(first):
        return _truefx_raw(first)
    return _headless_bars(first) if _HEADLESS_BARS.match(first) else None


def _headless_bars(first: str) -> TableFormat:
    delimiter = sniff_delimiter(first)
    columns: tuple[str, ...] = ("date", "time", *OHLC, "tickvol")
    extra = tuple(f"column_{i}" for i in range(len(columns) + 1, first.count(delimiter) + 2))
    columns = (columns + extra)[: first.count(delimiter) + 1]
    roles = {"date": "date", "clock": "time", **{n: n for n in OHLC}}
    roles |= {"volume": "tickvol"} if "tickvol" in columns else {}
    return TableFormat(
        name="mt5-bars", kind=BARS, delimiter=delimiter, columns=columns, header=False, roles=roles,
        notes=("no header: columns taken as date, time, open, high, low, close, tick volume",),
    )  # fmt: skip


def _histdata(first: str, kind: str) -> TableFormat:
    """Both have a column of volume that is always 0: no count of ticks."""
    delimiter = sniff_delimiter(first)
    prices = ("bid", "ask") if kind == QUOTES else OHLC
    columns = ("time", *prices, "volume")[: first.count(delimiter) + 1]
    return TableFormat(
        name="histdata-ticks" if kind == QUOTES else "histdata-bars", kind=kind, delimiter=delimiter, columns=columns,
        header=False, roles={"time": "time", **{p: p for p in prices}}, clock=EST,
        template="YYYYMMDD hhmmssfff" if kind == QUOTES else "YYYYMMDD hhmmss",
    )  # fmt: skip


def _truefx_raw(first: str) -> TableFormat:
    return TableFormat(
        name="truefx-ticks", kind=QUOTES, delimiter=",", columns=("pair", "time", "bid", "ask"), header=False,
        roles={"time": "time", "bid": "bid", "ask": "ask", "pair": "pair"}, clock=UTC_CLOCK,
        template="YYYYMMDD hh:mm:ss.fff", pair=first[:7].replace("/", ""),
    )  # fmt: skip


def _whole_points(cells: list[str]) -> bool:
    try:
        prices = [float(c) for c in cells[1:5]]
    except ValueError:
        return False
    return len(prices) == 4 and all(abs(p - round(p)) < 1e-6 and p >= 1000 for p in prices)


def _shown(names: tuple[str, ...], delimiter: str) -> str:
    return f"{', '.join(names)} (split at {delimiter!r})"
