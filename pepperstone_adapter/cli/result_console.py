"""Results in the terminal: the summary of one, the comparison of two."""

import json
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pepperstone_adapter.backtest.compare import Comparison
from pepperstone_adapter.backtest.figures import COSTS, account_name, findings, money, pct, ratio, written_off
from pepperstone_adapter.cli.tables import print_table


def print_result(result: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    """The summary on standard output, or `result.json` as it is."""
    if as_json:
        _print_json(result)
        return
    console = Console(markup=False)  # names of files are shown as they are
    console.print(summary_table(result))
    orders = result["orders"]
    if refused := sorted(orders["refusals"].items(), key=lambda r: (-r[1], r[0])):
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in refused)
        console.print(f"Refused {reasons}", highlight=False, soft_wrap=True)
    if not orders["count"]:
        words = "Trades  no order was sent; with --log INFO the run shows what the strategies log"
        console.print(words, highlight=False, soft_wrap=True)
    if found := findings(result):
        console.print(f"Data    {'; '.join(found)}", highlight=False, soft_wrap=True)
    report = folder / "report.html"
    console.print(f"Result  {folder}", highlight=False, soft_wrap=True)
    if report.is_file():
        console.print(f"Report  {report}", highlight=False, soft_wrap=True)


def summary_table(result: dict[str, Any]) -> Table:
    """The figures a person looks at first."""
    account, risk, m, t, costs = (result[k] for k in ("account", "risk", "metrics", "trades", "costs"))
    period, currency = result["period"], account["currency"]
    title = f"{result['name']}: {', '.join(result['data']['instruments'])}"
    caption = f"{period['start'][:10]} to {period['end'][:10]}, {account_name(result)}, {currency}"
    table = Table(title=title, caption=caption, show_header=False, title_justify="left", caption_justify="left")
    for _ in range(2):
        table.add_column(style="dim")
        table.add_column(justify="right")
    left = [
        ("Start balance", money(account["start_balance"], currency)),
        ("End balance", money(account["end_balance"], currency)),
        ("End equity", money(account["end_equity"], currency)),
        ("Net profit", money(account["net_profit"], currency, True)),
        *written_off(result),
        ("Return", pct(account["return_pct"], 2, True)),
        ("CAGR", pct(m["cagr_pct"], 2)),
        ("Max drawdown, equity", pct(risk["max_drawdown_equity_pct"], 2)),
        ("Sharpe", ratio(m["sharpe"])),
        ("Sortino", ratio(m["sortino"])),
        ("Min margin level", pct(risk["min_margin_level"], 0)),
        ("Stop-outs", str(risk["stop_outs"])),
        ("Bars, ticks", f"{result['data']['bars']:,}, {result['data']['ticks']:,}"),
    ]
    # Costs add up to the last of them: those that most runs do not have stand there where they are not zero.
    shown = [
        (name, costs[kind]) for kind, name in COSTS.items() if costs[kind] or kind in ("commission", "swap", "spread")
    ]
    right = [
        ("Trades", str(t["count"])),
        ("Won", pct(t["win_pct"])),
        ("Profit factor", ratio(t["profit_factor"])),
        ("Expectancy", money(t["expectancy"], currency)),
        *((name, money(amount, currency)) for name, amount in shown),
        ("Costs in all", money(costs["total"], currency)),
        ("Refused orders", str(_refused(result))),
        ("Data quality", pct(result["data"]["quality"], 1)),
        ("Run time", _run_time(result)),
    ]
    for a, b in zip_longest(left, right, fillvalue=("", "")):
        table.add_row(*a, *b)
    return table


def print_comparison(found: Comparison, a: Path, b: Path, html: Path | None, *, as_json: bool) -> None:
    """Both results side by side, or the same as JSON."""
    if as_json:
        figures = [
            {"name": f.name, "key": f.key, "a": f.values[0], "b": f.values[1], "change": f.difference}
            for f in found.figures
        ]
        _print_json({"same": found.same, "settings": found.settings, "figures": figures})
        return
    console = Console(markup=False)  # names of files are shown as they are
    table = Table(title="Figures", title_justify="left")
    table.add_column("")
    for name in (a.name, b.name, "Change"):
        table.add_column(name, justify="right")
    for figure in found.figures:
        table.add_row(figure.name, figure.a, figure.b, figure.change)
    print_table(table)
    inputs = ", ".join(f"{name} {'the same' if same else 'different'}" for name, same in found.same.items())
    console.print(f"Inputs: {inputs}", highlight=False)
    for key, (left, right) in found.settings.items():
        console.print(f"  {key}: {left} | {right}", highlight=False, soft_wrap=True)
    if html is not None:
        console.print(f"Page  {html}", highlight=False, soft_wrap=True)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _refused(result: dict[str, Any]) -> int:
    return sum(result["orders"]["refusals"].values())


def _run_time(result: dict[str, Any]) -> str:
    return f"{result['engine']['elapsed_s']:.1f} s"
