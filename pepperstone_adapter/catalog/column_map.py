"""A column map: how to read a CSV that is none of the formats we know, as settings.

kind: bars                       # bars | quotes
columns:                         # ours: theirs, by name, or by number from 1 when the file has no header
  time: Gmt time                 # or date: and clock: when they stand apart
  open: Open
  high: High
  low: Low
  close: Close
  volume: Volume                 # optional, ticks
time_form: DD.MM.YYYY hh:mm:ss.fff   # YYYY MM DD hh mm ss f; left out: ISO order (2024-01-31 23:59:59);
                                 # of date: and clock: both forms, the date's first
zone: utc                        # utc | +02:00 | new-york+7 | Europe/London; left out where times say their offset
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pepperstone_adapter.broker.server_time import parse_clock
from pepperstone_adapter.catalog.formats import (
    BARS,
    BOTH_SIDES,
    OHLC,
    QUOTES,
    TableFormat,
    pair_role,
    sniff_delimiter,
    split_header,
)
from pepperstone_adapter.catalog.source import Source
from pepperstone_adapter.catalog.times import template_of
from pepperstone_adapter.common.errors import ConfigurationError, DataError
from pepperstone_adapter.common.settings import StrictModel, load_settings

type Role = Literal[
    "time", "date", "clock", "open", "high", "low", "close", "volume", "bid", "ask",
    "bid_open", "bid_high", "bid_low", "bid_close", "ask_open", "ask_high", "ask_low", "ask_close",
]  # fmt: skip


class ColumnMap(StrictModel):
    """How to read one kind of CSV: which column is what, and how its texts are written."""

    kind: Annotated[Literal["bars", "quotes"], Field(description="what a row is")]
    columns: Annotated[
        dict[Role, str | Annotated[int, Field(ge=1)]],
        Field(description="ours: theirs, by name, or by number from 1 where the file has no header"),
    ]
    header: Annotated[bool, Field(description="whether the first row names the columns")] = True
    delimiter: Annotated[
        Literal[",", ";", "\t", "|", "tab"] | None, Field(description="left out: told from the first row")
    ] = None
    decimal: Annotated[Literal[".", ","], Field(description="the decimal sign of prices")] = "."
    time_form: Annotated[
        str | None,
        Field(
            description="YYYY MM DD hh mm ss f and what stands between them, of date: and clock: both with a space "
            "between; left out: year first (2024-01-31 23:59:59)",
            examples=["DD.MM.YYYY hh:mm:ss.fff"],
        ),
    ] = None
    epoch: Annotated[
        Literal["s", "ms", "us", "ns"] | None,
        Field(description="times are numbers: this unit since 1970, in UTC unless zone says whose clock they count"),
    ] = None
    zone: Annotated[
        str | None,
        Field(description="clock of the times: utc, +02:00, new-york+7, Europe/London", examples=["new-york+7"]),
    ] = None
    stamp: Annotated[Literal["open", "close"], Field(description="what of a bar its time is")] = "open"
    points: Annotated[bool, Field(description="prices are whole points: 129527 for 1.29527")] = False

    @field_validator("zone")
    @classmethod
    def _is_a_clock(cls, value: str | None) -> str | None:
        try:
            return value if value is None else parse_clock(value).name
        except ConfigurationError as e:
            raise ValueError(str(e)) from e

    @field_validator("time_form")
    @classmethod
    def _names_its_fields(cls, value: str | None) -> str | None:
        if value is None:
            return None
        lengths = {field: value.count(field) for field in "YMDhms"}
        date = lengths["Y"] in (2, 4) and lengths["M"] == lengths["D"] == 2
        if (
            not date
            or any(lengths[f] not in (0, 2) for f in "hms")
            or value.count("f") > 9
            or re.search("[A-Za-z]", re.sub("[YMDhmsfoTZ]", "", value))
        ):
            raise ValueError(f"'{value}' is no form of a time; write it like DD.MM.YYYY hh:mm:ss.fff")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        have = set(self.columns)
        if not ({"time"} <= have or {"date"} <= have):
            raise ValueError("columns needs 'time', or 'date' (and 'clock')")
        if "time" in have and have & {"date", "clock"}:
            raise ValueError("columns has 'time' and 'date' or 'clock'; give 'time' alone, or 'date' and 'clock'")
        sets = (("bid", "ask"),) if self.kind == QUOTES else (OHLC, BOTH_SIDES)
        if not any(set(names) <= have for names in sets):
            raise ValueError(f"columns of {self.kind} need {' or '.join(', '.join(names) for names in sets)}")
        if self.time_form and self.epoch:
            raise ValueError("give time_form or epoch, not both")
        if self.epoch and "time" not in have:
            raise ValueError("a time in epoch is one number: give its column as 'time'")
        if not self.header and any(isinstance(c, str) for c in self.columns.values()):
            raise ValueError("a file without header names its columns by number, counted from 1")
        return self


def load_column_map(path: Path) -> ColumnMap:
    return load_settings(path, ColumnMap)


def mapped_format(column_map: ColumnMap, source: Source) -> TableFormat:
    """The format of `source` by a map.

    Raises
    ------
    DataError
        A mapped column is not in the file: the columns seen are named.
    """
    lines = [line for line in source.head.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{source.path} holds no rows; export the data again")
    delimiter = {"tab": "\t", None: sniff_delimiter(lines[0])}.get(column_map.delimiter, column_map.delimiter)
    if delimiter is None:
        raise ConfigurationError("delimiter must be one character")
    if column_map.header:
        names = split_header(lines[0], delimiter)
        if len(lines) < 2:
            raise DataError(f"{source.path} holds a header ({', '.join(names)}) and no rows; export the data again")
    else:
        names = tuple(f"column_{i + 1}" for i in range(lines[0].count(delimiter) + 1))
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        raise DataError(f"{source.path}:1: column {', '.join(doubled)} stands twice; remove one")
    roles: dict[str, str] = {}
    for role, column in column_map.columns.items():
        name = f"column_{column}" if isinstance(column, int) and not column_map.header else column
        if isinstance(name, int):
            name = names[name - 1] if name <= len(names) else str(name)
        key = split_header(name, "\0")[0]
        if key not in names:
            raise DataError(f"{source.path}:1: column '{column}' ({role}) is missing; seen: {', '.join(names)}")
        roles[str(role)] = key
    roles |= {role: name for role, name in pair_role(names).items() if name not in roles.values()}
    return TableFormat(
        name="csv",
        kind=BARS if column_map.kind == "bars" else QUOTES,
        delimiter=delimiter,
        columns=names,
        header=column_map.header,
        roles=roles,
        clock=parse_clock(column_map.zone) if column_map.zone else None,
        offsets=column_map.zone is None and _has_offset(column_map, lines[column_map.header], delimiter, names, roles),
        points=column_map.points,
        template=column_map.time_form,
        epoch=column_map.epoch,
        decimal=column_map.decimal,
        quoted='"' in lines[0] or (len(lines) > 1 and '"' in lines[1]),
        stamp=column_map.stamp,
    )


def _has_offset(
    column_map: ColumnMap, row: str, delimiter: str, names: Sequence[str], roles: Mapping[str, str]
) -> bool:
    """Whether the first row's time ends with an offset from UTC."""
    cells = dict(zip(names, (c.strip().strip('"') for c in row.split(delimiter)), strict=False))
    text = " ".join(cells.get(roles[r], "") for r in ("time", "date", "clock") if r in roles)
    form = column_map.time_form or template_of(text) or ""
    return "o" in form or "Z" in form
