"""The rows of a sweep: figures by their place in `result.json`, ranked, as `sweep.csv` and as a page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf, isfinite
from re import compile as pattern
from typing import Any

from pepperstone_adapter.backtest.compare import FIGURES
from pepperstone_adapter.backtest.figures import money, pct, ratio
from pepperstone_adapter.backtest.report import assets, embedded, environment
from pepperstone_adapter.backtest.tables import csv_text
from pepperstone_adapter.broker.account import minor_digits
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings_errors import did_you_mean
from pepperstone_adapter.common.yaml_lines import parse_scalar

TEST = "test."  # before the names of figures from `test_from` on
NET_PROFIT = "account.net_profit"
# What a person looks at first; `sweep.csv` has all of `FIGURES`.
SHOWN = (
    NET_PROFIT,
    "account.return_pct",
    "risk.max_drawdown_equity_pct",
    "metrics.sharpe",
    "trades.profit_factor",
    "trades.count",
    "costs.total",
)
# Over no loss at all: `result.json` has no number for it.
_OVER_LOSSES = ("trades.profit_factor", "trades.payoff")
_LESS_IS_BETTER = pattern(r"costs\.|risk\.(max_drawdown|max_leverage|stop_outs)")
_NAMES = {key: (name, kind) for name, key, kind in FIGURES}


@dataclass(frozen=True, slots=True)
class Axis:
    """A settings key and the values it takes, as they would be written after `--set`."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a combination. `figures` are those of `result.json` by their place in it (`account.net_profit`), those
    of the time to test on with `test.` before; a run that failed has none, and `error` says why. `exit_code` is that of
    the run: 0 also where the values do not go together and there was none."""

    number: int
    values: tuple[str, ...]
    figures: Mapping[str, float | None] = field(default_factory=dict)
    currency: str = ""
    error: str = ""
    exit_code: int = 0


def metric_of(name: str) -> str:
    """The figure a person means by `net_profit` or `account.net_profit`.

    Raises
    ------
    ConfigurationError
        There is none of that name.
    """
    known = {key.split(".")[1]: key for key in _NAMES}
    if name not in known and name not in _NAMES:
        raise ConfigurationError(
            f"--by {name}: no figure of a sweep{did_you_mean(name, known) or f'; there are {", ".join(known)}'}"
        )
    return known.get(name, name)


def is_money(name: str) -> bool:
    """Whether a figure is an amount in account currency."""
    return _NAMES[name.removeprefix(TEST)][1] == "money"


def ranked(rows: Sequence[Row], by: str) -> list[Row]:
    """Best first; those without the figure last, equal ones in the order of the grid."""
    sign = 1 if _LESS_IS_BETTER.match(by) else -1

    def place(row: Row) -> tuple[bool, float]:
        value = _value(row, by)
        return value is None, 0.0 if value is None else sign * value

    return sorted(rows, key=place)


def luck(rows: Sequence[Row], test_from: str | None) -> str:
    """What a reader of a ranking must know."""
    tried = sum(bool(row.figures) for row in rows)
    says = f"{tried} combinations were tried on the same data, so the best of them is partly luck. "
    if test_from is None:
        return says + "--test-from DATE shows each on later data, by which it was not chosen."
    return says + f"They are ranked by the time before {test_from}; “test” is what came after, from a fresh start."


def columns(test: bool) -> list[str]:
    """Names of a row's figures."""
    return [prefix + key for prefix in (("", TEST) if test else ("",)) for key in _NAMES]


def cells(axes: Sequence[Axis], row: Row, test: bool) -> dict[str, Any]:
    """A row by the names of its columns; figures are Decimal (amounts with the digits of their currency), int or None."""
    return {
        "run": row.number,
        **{axis.key: _number(text) for axis, text in zip(axes, row.values, strict=True)},
        **{name: _exact(row, name) for name in columns(test)},
        "error": row.error or None,
    }


def table(axes: Sequence[Axis], rows: Sequence[Row], test: bool) -> str:
    """`sweep.csv`: a line for each combination, in the order of the grid."""
    header = ["run", *(axis.key for axis in axes), *columns(test), "error"]
    return csv_text(header, (list(cells(axes, row, test).values()) for row in rows))


def shown(by: str, test: bool) -> Iterator[tuple[str, str]]:
    """(figure, title) of a table for people, that of the ranking first; each has its test beside it."""
    for key in dict.fromkeys((by, *SHOWN)):
        yield key, _NAMES[key][0]
        if test:
            yield TEST + key, f"{_NAMES[key][0]}, test"


def text(row: Row, name: str) -> str:
    """A figure for people."""
    value, kind = _value(row, name), _NAMES[name.removeprefix(TEST)][1]
    if value == inf:
        return "∞"
    if kind == "money":
        return money(value, row.currency)
    return pct(value, 2) if kind == "pct" else ratio(value, 0 if kind == "count" else 2)


def short_names(axes: Sequence[Axis]) -> list[str]:
    """The last words of the keys, as many as tell them apart: `fast_period`."""
    for words in range(1, max(axis.key.count(".") for axis in axes) + 2):
        names = [".".join(axis.key.split(".")[-words:]) for axis in axes]
        if len(set(names)) == len(names):
            break
    return names


def render_sweep(
    name: str, axes: Sequence[Axis], rows: Sequence[Row], by: str, test_from: str | None, settings_yaml: str
) -> str:
    """The page: one file that opens offline. `rows` come in the order of the grid."""
    figures = list(shown(by, test_from is not None))
    names = short_names(axes)
    data = {
        "axes": [
            {"name": label, "values": axis.values, "numeric": all(_is_number(value) for value in axis.values)}
            for label, axis in zip(names, axes, strict=True)
        ],
        "figures": [{"name": title} for _, title in figures],
        "rows": [
            {
                "run": row.number,
                "at": [axis.values.index(value) for axis, value in zip(axes, row.values, strict=True)],
                "values": [row.figures.get(key) for key, _ in figures],
                "texts": [text(row, key) for key, _ in figures],
                "error": row.error,
            }
            for row in ranked(rows, by)
        ],
    }
    return (
        environment()
        .get_template("sweep.html.j2")
        .render(
            name=name,
            axes=axes,
            names=names,
            figures=[title for _, title in figures],
            by=_NAMES[by][0],
            total=len(rows),
            failed=sum(bool(row.error) for row in rows),
            luck=luck(rows, test_from),
            settings_yaml=settings_yaml,
            data=embedded(data),
            **assets("sweep.js"),
        )
    )


def _value(row: Row, name: str) -> float | None:
    """A figure; infinite is a profit factor or a payoff of winners without a loser, which no finite one is above."""
    key = name.removeprefix(TEST)
    prefix = name.removesuffix(key)
    unbeaten = row.figures.get(f"{prefix}trades.win_pct") and row.figures.get(f"{prefix}trades.profit_factor") is None
    return inf if key in _OVER_LOSSES and unbeaten else row.figures.get(name)


def _exact(row: Row, name: str) -> Decimal | int | None:
    value = row.figures.get(name)
    if value is None or isinstance(value, int):
        return value
    # The text of a float of `result.json` is the number that was written there.
    number = Decimal(str(value))
    return number.quantize(Decimal(1).scaleb(-minor_digits(row.currency))) if is_money(name) else number


def _number(value: str) -> Decimal | str:
    return Decimal(value) if _is_number(value) else value


def _is_number(value: str) -> bool:
    scalar = parse_scalar(value)
    return isinstance(scalar, int | float) and not isinstance(scalar, bool) and isfinite(scalar)
