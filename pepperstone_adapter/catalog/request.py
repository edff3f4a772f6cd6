"""What is asked of an import, and what the file itself answers: nothing is left to guess when rows are read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.server_time import NEW_YORK_CLOSE, ServerClock, parse_clock
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog import formats
from pepperstone_adapter.catalog.bad_rows import ALLOWABLE, KINDS
from pepperstone_adapter.catalog.column_map import ColumnMap, mapped_format
from pepperstone_adapter.catalog.formats import TableFormat
from pepperstone_adapter.catalog.periods import parse_period
from pepperstone_adapter.catalog.plausible import symbols_in_name
from pepperstone_adapter.catalog.source import Source, open_source
from pepperstone_adapter.common.errors import ConfigurationError, DataError

SIDES = ("BID", "ASK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What to do with rows that cannot be trusted; by default nothing is imported from a file that has one.

    Attributes
    ----------
    skip_bad
        Leave bad rows out, counted.
    allow
        What is fine for this file: ``zero``, ``negative``, ``crossed``; ``instrument`` skips the check whether the
        prices can be the symbol's.
    sort
        Put rows in order of time.
    duplicates
        For rows of equal time: ``refuse``, or keep the ``first`` or ``last``. By default bars are refused and quotes
        kept, all of them.
    round_digits
        Round prices with more digits than the symbol has.
    """

    skip_bad: bool = False
    allow: frozenset[str] = frozenset()
    sort: bool = False
    duplicates: str = ""
    round_digits: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(self.allow - {*ALLOWABLE, "instrument"})
        if unknown:
            raise ConfigurationError(f"--allow {unknown[0]}: not a kind; use {', '.join((*ALLOWABLE, 'instrument'))}")
        if self.duplicates not in ("", "refuse", "first", "last"):
            raise ConfigurationError(f"--duplicates {self.duplicates}: use refuse, first or last")

    @property
    def tolerated(self) -> frozenset[str]:
        """Kinds of bad rows that do not end the import."""
        kinds = set(self.allow)
        if self.skip_bad:
            kinds |= set(KINDS) - {"disorder", "duplicate"}
        if self.duplicates in ("first", "last"):
            kinds.add("duplicate")
        return frozenset(kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """One file and what is known about it; what is None is told from the file or its name, or asked for.

    Attributes
    ----------
    zone
        The rule of the file's clock (`server_time.parse_clock`).
    side
        ``BID`` or ``ASK`` of one-sided bars.
    specs
        Symbols by name; the symbol table by default.
    """

    catalog: Path
    file: Path
    symbol: str | None = None
    zone: str | None = None
    period: str | None = None
    side: str | None = None
    column_map: ColumnMap | None = None
    policy: Policy = field(default_factory=Policy)
    replace: bool = False
    specs: Mapping[str, SymbolSpec] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How one file will be read. `period` None: told from the first rows; `clock` None: rows carry their offset, or are
    numbers since 1970 in UTC."""

    source: Source
    form: TableFormat
    spec: SymbolSpec
    clock: ServerClock | None
    period: BarPeriod | None
    side: str
    policy: Policy

    def describe(self) -> str:
        """One line for a person: what was seen in the file."""
        parts = [self.form.name, self.source.facts(), self.spec.name]
        own = "times since 1970 in UTC" if self.form.epoch else "times with their own offset"
        parts.append(own if self.clock is None else f"clock {self.clock.name}")
        if self.form.kind == formats.BARS and not self.form.two_sided:
            parts.append(self.side.lower())
        return ", ".join((*parts, *self.form.notes))


def resolve(request: ImportRequest) -> Reading:
    """Examine the file and settle every open question.

    Raises
    ------
    DataError
        The file cannot be read or understood, or its clock is neither given nor implied.
    ConfigurationError
        Unknown symbol, zone or period.
    """
    source = open_source(request.file)
    form = mapped_format(request.column_map, source) if request.column_map else formats.detect(source)
    specs = request.specs if request.specs is not None else symbol_table.load()
    return Reading(
        source=source,
        form=form,
        spec=symbol_table.find(specs, _symbol(request, form, specs)),
        clock=_clock(request, form),
        period=parse_period(request.period) if request.period else None,
        side=_side(request, form),
        policy=request.policy,
    )


def _symbol(request: ImportRequest, form: TableFormat, specs: Mapping[str, SymbolSpec]) -> str:
    named = symbols_in_name(request.file.name, specs)
    if form.pair is not None:
        if request.symbol is not None and request.symbol != form.pair:
            raise DataError(f"{request.file} holds rows of {form.pair}, not of {request.symbol}")
        return form.pair
    if request.symbol is None:
        if len(named) == 1:
            return named[0]
        raise ConfigurationError(f"{request.file.name} does not say which symbol it holds; give it with --symbol")
    if named and request.symbol not in named and "instrument" not in request.policy.allow:
        raise DataError(
            f"{request.file.name} is named after {' and '.join(named)}, but --symbol is {request.symbol}; "
            "use --allow instrument if that is right"
        )
    return request.symbol


def _clock(request: ImportRequest, form: TableFormat) -> ServerClock | None:
    if request.zone is not None:
        return parse_clock(request.zone)
    if form.clock is not None:
        return form.clock
    if form.offsets or form.epoch:
        return None
    raise DataError(
        f"{request.file}: {form.name} times do not say their time zone; give the server's clock with --zone: "
        f"{NEW_YORK_CLOSE} (Pepperstone and most MetaTrader servers), utc, +02:00 or an IANA name"
    )


def _side(request: ImportRequest, form: TableFormat) -> str:
    if form.kind == formats.QUOTES or form.two_sided:
        return ""
    words = set(re.split(r"[^a-z]+", request.file.name.lower()))
    told = [s for s in SIDES if s.lower() in words]
    side = (request.side or (told[0] if len(told) == 1 else "BID")).upper()
    if side not in SIDES:
        raise ConfigurationError(f"--side {request.side}: use bid or ask")
    if request.side and told and side not in told:
        raise DataError(f"{request.file.name} is named {told[0].lower()}, but --side is {side.lower()}; correct one")
    return side
