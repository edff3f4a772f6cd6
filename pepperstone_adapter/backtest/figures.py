"""How figures are written for people, in the report and in the terminal: thousands separated, an amount with its
currency's digits, a true minus sign, a dash for a figure that has no meaning."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pepperstone_adapter.broker.account import minor_digits
from pepperstone_adapter.catalog.bad_rows import rows_text

DASH = "–"
PLATFORMS = {"ctrader": "cTrader", "mt5": "MetaTrader 5"}

# The costs of a `result.json` that `total` is the sum of.
COSTS = {
    "commission": "Commission",
    "swap": "Swap",
    "spread": "Spread",
    "slippage": "Slippage",
    "conversion": "Conversion",
    "stop_out_fees": "Stop-out fees",
}

NO_FALL = {"depth": 0.0, "pct": 0.0}

#: Names with their texts.
type Figures = list[tuple[str, str]]

# What `catalog.quality` finds, as words behind "3 rows of EURUSD".
FINDING_WORDS = {
    "duplicates": "with the time of the row before",
    "disorder": "earlier than the row before",
    "off_grid": "off the grid of their period",
    "non_positive": "with a price of zero or less",
    "digits": "with more digits than their file says",
    "off_tick": "off the tick",
    "ohlc": "with high or low not around open and close",
    "crossed": "with ASK below BID",
    "spikes": "far from the neighbours",
    "outside": "outside trading hours",
}


def money(value: float | None, currency: str, sign: bool = False) -> str:
    """An amount with the digits of its currency: cents, and none for the yen."""
    return DASH if value is None else _minus(f"{value:{'+' if sign and value else ''},.{minor_digits(currency)}f}")


def pct(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A percentage."""
    return DASH if value is None else _minus(f"{value:{'+' if sign and value else ''},.{digits}f} %")


def ratio(value: float | None, digits: int = 2) -> str:
    """A plain number."""
    return DASH if value is None else _minus(f"{value:,.{digits}f}")


def signed(value: float | None) -> str:
    """A percentage in a table of percentages."""
    return DASH if value is None else _minus(f"{value:.1f}")


def duration(seconds: float | None) -> str:
    """Days and hours, hours and minutes, or minutes."""
    if seconds is None:
        return DASH
    span = timedelta(seconds=round(seconds))
    hours, rest = divmod(span.seconds, 3600)
    if span.days:
        return f"{span.days} d {hours} h"
    return (
        f"{hours} h {rest // 60} min"
        if hours
        else f"{rest // 60} min {rest % 60} s"
        if rest % 60
        else f"{rest // 60} min"
    )


def figures(document: Mapping[str, Any]) -> list[tuple[str, Figures]]:
    """Titled lists of (name, text) for everything in a `result.json` that is one number."""
    return [
        ("Money", _of_money(document)),
        ("Return", _of_return(document)),
        ("Risk", _of_risk(document)),
        ("Trades", _of_trades(document)),
        ("Holding time and orders", _of_time_and_orders(document)),
        ("Order of trades", _of_sequence(document)),
    ]


def _of_money(document: Mapping[str, Any]) -> Figures:
    c = document["account"]["currency"]
    account, t, costs = (document[k] for k in ("account", "trades", "costs"))
    return [
        ("Start balance", money(account["start_balance"], c)),
        ("End balance", money(account["end_balance"], c)),
        ("End equity", money(account["end_equity"], c)),
        ("Net profit", money(account["net_profit"], c)),
        ("Gross profit", money(t["gross_profit"], c)),
        ("Gross loss", money(0.0 - t["gross_loss"], c)),  # no loss is 0.00, not −0.00
        *((name, money(costs[kind], c)) for kind, name in COSTS.items()),
        ("Costs in all", money(costs["total"], c)),
        *written_off(document),
    ]


def written_off(document: Mapping[str, Any]) -> Figures:
    """The negative balance that the broker did not ask for, of the few runs that have one."""
    account = document["account"]
    amount = account["adjustments"]
    return [("Negative balance written off", money(amount, account["currency"]))] if amount else []


def _of_return(document: Mapping[str, Any]) -> Figures:
    m = document["metrics"]
    return [
        ("CAGR", pct(m["cagr_pct"], 2)),
        ("Volatility a year", pct(m["volatility_pct"], 2)),
        ("Sharpe", ratio(m["sharpe"])),
        ("Sortino", ratio(m["sortino"])),
        ("Calmar", ratio(m["calmar"])),
        ("Omega", ratio(m["omega"])),
        ("Probability Sharpe > 0", pct(m["probabilistic_sharpe_pct"])),
        ("Recovery factor", ratio(m["recovery_factor"])),
        ("Days, share winning", f"{m['days']}, {pct(m['winning_days_pct'])}"),
        ("Best and worst day", f"{pct(m['best_day_pct'], 2)}, {pct(m['worst_day_pct'], 2)}"),
        ("VaR 95 %, one day", pct(m["var_95_pct"], 2)),
        ("Expected shortfall 95 %", pct(m["cvar_95_pct"], 2)),
        ("Skew, kurtosis", f"{ratio(m['skew'])}, {ratio(m['kurtosis'])}"),
    ]


def _of_risk(document: Mapping[str, Any]) -> Figures:
    c = document["account"]["currency"]
    risk = document["risk"]
    return [
        ("Max drawdown, equity", _fall(risk, "equity", c)),
        ("Relative drawdown, equity", _relative(risk, "equity", c)),
        ("Max drawdown, balance", _fall(risk, "balance", c)),
        ("Relative drawdown, balance", _relative(risk, "balance", c)),
        ("Min margin level", pct(risk["min_margin_level"], 0)),
        ("Min free margin", money(risk["min_free_margin"], c)),
        ("Max used margin", money(risk["max_used_margin"], c)),
        ("Max exposure", money(risk["max_exposure"], c)),
        ("Max leverage used", ratio(risk["max_leverage"])),
        ("Max open positions", str(risk["max_open_positions"])),
        ("Time in the market", pct(risk["time_in_market_pct"])),
        ("Margin calls", str(risk["margin_calls"])),
        ("Stop-outs", str(risk["stop_outs"])),
    ]


def _of_trades(document: Mapping[str, Any]) -> Figures:
    c = document["account"]["currency"]
    t = document["trades"]
    win, lose = t["winning_streak"], t["losing_streak"]
    return [
        ("Closed, open at end", f"{t['count']}, {t['open_at_end']}"),
        ("Won, lost", f"{t['wins']}, {t['losses']}"),
        ("Profit factor", ratio(t["profit_factor"])),
        ("Expectancy", money(t["expectancy"], c)),
        ("Expectancy in R", ratio(t["expectancy_r"])),
        ("Payoff", ratio(t["payoff"])),
        ("Average win, loss", f"{money(t['average_win'], c)}, {money(t['average_loss'], c)}"),
        ("Largest win, loss", f"{money(t['largest_win'], c)}, {money(t['largest_loss'], c)}"),
        ("Longest winning streak", f"{win['longest']} ({money(win['longest_net'], c)})"),
        ("Longest losing streak", f"{lose['longest']} ({money(lose['longest_net'], c)})"),
    ]


def _of_time_and_orders(document: Mapping[str, Any]) -> Figures:
    t, orders = document["trades"], document["orders"]
    held, won, lost = (t[k] or {} for k in ("duration_s", "duration_winners_s", "duration_losers_s"))
    return [
        ("Shortest", duration(held.get("min"))),
        ("Average", duration(held.get("avg"))),
        ("Median", duration(held.get("median"))),
        ("Longest", duration(held.get("max"))),
        ("Average of winners", duration(won.get("avg"))),
        ("Average of losers", duration(lost.get("avg"))),
        ("Orders", f"{orders['count']:,}"),
        ("Orders refused", f"{sum(orders['refusals'].values()):,}"),
        ("Orders filled in part", f"{orders['partially_filled']:,}"),
    ]


def _of_sequence(document: Mapping[str, Any]) -> Figures:
    c = document["account"]["currency"]
    t = document["trades"]
    return [
        ("Average MAE, MFE", f"{money(t['average_mae'], c)}, {money(t['average_mfe'], c)}"),
        ("Correlation net and MFE", ratio(t["profit_mfe_correlation"])),
        ("Correlation net and MAE", ratio(t["profit_mae_correlation"])),
        ("Z-score (confidence)", f"{ratio(t['z_score'])} ({pct(t['z_confidence_pct'])})"),
        ("Balance line correlation", ratio(t["balance_line_correlation"])),
        ("Balance line standard error", ratio(t["balance_line_standard_error"])),
        ("AHPR, GHPR", f"{pct(t['ahpr_pct'], 3)}, {pct(t['ghpr_pct'], 3)}"),
    ]


def account_name(document: Mapping[str, Any]) -> str:
    """``Razor on cTrader``."""
    account = document["account"]
    return f"{account['profile'].capitalize()} on {PLATFORMS.get(account['platform'], account['platform'])}"


def findings(document: Mapping[str, Any]) -> list[str]:
    """What is wrong with the rows of a run, by instrument and kind, and what the run did about those it could not use."""
    data = document["data"]
    kinds_of = data["findings_by_instrument"]
    found = [
        f"{rows_text(count)} of {name} {FINDING_WORDS.get(kind, kind)}"
        for name, kinds in kinds_of.items()
        for kind, count in kinds.items()
        if kind not in ("outside", "crossed")  # the run has counted these itself
    ]

    def where(kind: str) -> str:
        names = [name for name, kinds in kinds_of.items() if kind in kinds]
        return f" ({', '.join(names)})" if names else ""

    if data["closed_rows"]:
        found.append(f"{rows_text(data['closed_rows'])} {FINDING_WORDS['outside']}{where('outside')}, left out")
    if data["crossed_rows"]:
        how = "left out" if data["resolution"] == "tick" else "given the ASK of the spread table"
        found.append(f"{rows_text(data['crossed_rows'])} {FINDING_WORDS['crossed']}{where('crossed')}, {how}")
    if alone := data["lone_ask_rows"]:
        whose = "its" if alone == 1 else "their"
        found.append(f"{rows_text(alone)} of ASK prices without a BID bar of {whose} time, left out")
    return found


def _fall(risk: Mapping[str, Any], curve: str, currency: str) -> str:
    """The largest fall in money, and what part of its own peak it was."""
    fall = risk[f"{curve}_drawdown"]["maximal"] or NO_FALL
    return f"{money(fall['depth'], currency)} ({pct(fall['pct'], 2)})"


def _relative(risk: Mapping[str, Any], curve: str, currency: str) -> str:
    """The largest fall as a part of its peak, which may be another one, and what it was in money."""
    fall = risk[f"{curve}_drawdown"]["relative"] or NO_FALL
    return f"{pct(fall['pct'], 2)} ({money(fall['depth'], currency)})"


def _minus(text: str) -> str:
    return text.replace("-", "−")
