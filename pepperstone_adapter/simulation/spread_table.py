"""Typical spreads by symbol and hour of the week, for bars that carry the BID only (design D9).

A broker publishes one average a month, but the spread lives by the clock: thin after the New York close, wide when the
week opens, tight while London trades. So a symbol has an average in points and its group a shape over the week;
both stand in ``data/spreads.yaml`` with their sources. Hours are New York's, because the rollover is, in summer and
winter.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from functools import cache
from importlib import resources
from typing import Any

import yaml

from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.common.errors import ConfigurationError

HOURS_A_WEEK = 168
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def typical_spread(spec: SymbolSpec, markup_pips: Decimal = Decimal(0)) -> tuple[int, ...]:
    """Spread of `spec` in points for each hour of the week in New York, Sunday 00:00 first (168 values).

    Parameters
    ----------
    markup_pips
        Added to every hour (a Standard account's mark-up), in pips of the symbol.

    Raises
    ------
    ConfigurationError
        The table has no spread for the symbol; the message says how to give one.
    """
    averages, shapes = _tables()
    found = _entry(spec, averages)
    if found is None:
        raise ConfigurationError(
            f"no typical spread is known for {spec.name}; give one in settings as market.spread.points: "
            f"{{{spec.name}: POINTS}}, or import ASK prices"
        )
    points, shape = found
    markup = markup_pips.scaleb(spec.digits - spec.pip_position)
    return tuple(_whole(points * factor + markup) for factor in shapes[shape])


def has_typical_spread(spec: SymbolSpec) -> bool:
    """Whether the table knows `spec`, by its own name or by that of the symbol it is like."""
    return _entry(spec, _tables()[0]) is not None


def _entry(spec: SymbolSpec, averages: Mapping[str, tuple[Decimal, str]]) -> tuple[Decimal, str] | None:
    names = (spec.name, spec.base_currency + spec.quote_currency, spec.base_currency)
    return next((averages[name] for name in names if name in averages), None)


def _whole(points: Decimal) -> int:
    # Up, never down: a spread that rounds to zero would make trading free.
    return int(points.to_integral_value(rounding=ROUND_CEILING))


@cache
def _tables() -> tuple[dict[str, tuple[Decimal, str]], dict[str, tuple[Decimal, ...]]]:
    text = resources.files("pepperstone_adapter.simulation").joinpath("data", "spreads.yaml").read_text("utf-8")
    raw = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe either way
    averages = {
        name: (Decimal(str(points)), shape)
        for shape, listed in raw["points"].items()
        for name, points in listed.items()
    }
    return averages, {name: _shape(shape) for name, shape in raw["shapes"].items()}


def _shape(raw: Mapping[str, Any]) -> tuple[Decimal, ...]:
    """Factors of a whole week: the ordinary day, with what a named day changes."""
    week = [Decimal(str(factor)) for _ in _DAYS for factor in raw["day"]]
    for day, changes in raw.items():
        if day != "day":
            for hour, factor in changes.items():
                week[_DAYS.index(day) * 24 + hour] = Decimal(str(factor))
    return tuple(week)
