"""Two results side by side: which settings and inputs differ, how the figures moved, and both equity curves."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from pepperstone_adapter.backtest.figures import money, pct, ratio
from pepperstone_adapter.backtest.report import assets, embedded, environment
from pepperstone_adapter.backtest.report_data import MAX_POINTS, extremes
from pepperstone_adapter.backtest.result import RATIO_DIGITS, read_result
from pepperstone_adapter.common.errors import DataError

MISSING = "–"
FIGURES = (
    ("Net profit", "account.net_profit", "money"),
    ("Return", "account.return_pct", "pct"),
    ("CAGR", "metrics.cagr_pct", "pct"),
    ("Max drawdown, equity", "risk.max_drawdown_equity", "money"),
    ("Max drawdown, equity, of peak", "risk.max_drawdown_equity_pct", "pct"),
    ("Sharpe", "metrics.sharpe", "ratio"),
    ("Sortino", "metrics.sortino", "ratio"),
    ("Calmar", "metrics.calmar", "ratio"),
    ("Recovery factor", "metrics.recovery_factor", "ratio"),
    ("Trades", "trades.count", "count"),
    ("Won", "trades.win_pct", "pct"),
    ("Profit factor", "trades.profit_factor", "ratio"),
    ("Expectancy", "trades.expectancy", "money"),
    ("Payoff", "trades.payoff", "ratio"),
    ("Commission", "costs.commission", "money"),
    ("Swap", "costs.swap", "money"),
    ("Spread", "costs.spread", "money"),
    ("Slippage", "costs.slippage", "money"),
    ("Costs in all", "costs.total", "money"),
    ("Min margin level", "risk.min_margin_level", "pct"),
    ("Max leverage used", "risk.max_leverage", "ratio"),
    ("Time in the market", "risk.time_in_market_pct", "pct"),
    ("Stop-outs", "risk.stop_outs", "count"),
)


@dataclass(frozen=True, slots=True)
class FigureChange:
    """One figure of both results, as text for people and as numbers for programs.

    `key` is where it stands in `result.json`. `change` is empty and `difference` None where one of the results has no such
    figure, or where amounts are in two currencies.
    """

    name: str
    key: str
    a: str
    b: str
    change: str
    values: tuple[float | None, float | None]
    difference: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`settings`: key -> both values, where they differ. `same`: which hashes agree."""

    a: dict[str, Any]
    b: dict[str, Any]
    settings: dict[str, tuple[str, str]]
    same: dict[str, bool]
    figures: list[FigureChange]


def compare(folder_a: Path, folder_b: Path) -> Comparison:
    """Read two result folders and set them side by side.

    Raises
    ------
    DataError
        One of them holds no result of this version.
    """
    a, b = read_result(folder_a), read_result(folder_b)
    currencies = (a["account"]["currency"], b["account"]["currency"])
    return Comparison(
        a=a,
        b=b,
        settings=settings_difference(_settings(folder_a), _settings(folder_b)),
        same={name: a["hashes"][name] == b["hashes"][name] for name in a["hashes"]},
        figures=[_change(name, key, _at(a, key), _at(b, key), kind, currencies) for name, key, kind in FIGURES],
    )


def settings_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Dotted key -> (value in a, value in b) where they differ; a key that is missing or empty shows as a dash."""
    flat_a, flat_b = dict(_flat(a)), dict(_flat(b))
    keys = list(dict.fromkeys([*flat_a, *flat_b]))
    return {k: pair for k in keys if (pair := (flat_a.get(k, MISSING), flat_b.get(k, MISSING)))[0] != pair[1]}


def render_comparison(found: Comparison, folder_a: Path, folder_b: Path) -> str:
    """The comparison as one page that opens offline, with both equity curves as percent of their start."""
    data = {"curves": [_curve(folder_a, found.a), _curve(folder_b, found.b)]}
    template = environment().get_template("compare.html.j2")
    return template.render(
        c=found, name_a=folder_a.name, name_b=folder_b.name, data=embedded(data), **assets("compare.js")
    )


def _curve(folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    file = folder / "equity.parquet"
    try:
        table = pq.read_table(io.BytesIO(file.read_bytes()), columns=["ts", "equity"])
    except (OSError, ValueError) as e:
        raise DataError(f"{file}: cannot be read ({str(e).splitlines()[0]}); run the backtest again") from e
    equity = table["equity"].to_numpy()
    times = table["ts"].cast("int64").to_numpy() // 1_000_000
    keep = extremes(equity, MAX_POINTS)
    change = (equity[keep] / result["account"]["start_balance"] - 1) * 100
    return {"name": folder.name, "t": times[keep].tolist(), "pct": np.round(change, 4).tolist()}


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / "settings.yaml"
    try:
        plain = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as e:
        raise DataError(f"{file}: cannot be read ({str(e).splitlines()[0]}); run the backtest again") from e
    # Where the results lie changes nothing in them.
    return {key: value for key, value in plain.items() if key != "output"} if isinstance(plain, dict) else {}


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and node:
        for key, child in node.items():
            yield from _flat(child, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, list) and node and isinstance(node[0], dict):
        for index, child in enumerate(node):
            yield from _flat(child, f"{prefix}.{index}")
    else:
        yield prefix, MISSING if node is None else str(node)


def _at(result: Mapping[str, Any], key: str) -> Any:
    section, name = key.split(".")
    return result[section][name]


def _change(
    name: str, key: str, a: float | None, b: float | None, kind: str, currencies: tuple[str, str]
) -> FigureChange:
    """Amounts in two currencies are named by them, and have no difference."""
    foreign = kind == "money" and currencies[0] != currencies[1]

    def text(value: float | None, sign: bool = False, of: int = 0) -> str:
        if kind == "money":
            return money(value, currencies[of], sign)
        if kind == "pct":
            return pct(value, 2, sign)
        shown = ratio(value, 0 if kind == "count" else 2)
        return f"+{shown}" if sign and value is not None and value > 0 else shown

    texts = (f"{text(a)} {currencies[0]}", f"{text(b, of=1)} {currencies[1]}") if foreign else (text(a), text(b))
    difference = None if foreign or a is None or b is None else round(b - a, RATIO_DIGITS)
    change = "" if difference is None else text(difference, True)
    return FigureChange(name, key, *texts, change, (a, b), difference)
