"""`report.html`: one file that opens offline and shows a run to a person.

Figures come from `result.json` unchanged, charts from `report_data`. The page carries its style, script, data and the
chart library (plotly.js, MIT, packed with gzip to 2 MB; the browser unpacks it): it needs neither network nor server.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pepperstone_adapter.backtest import metrics, returns
from pepperstone_adapter.backtest.figures import account_name, figures, findings, money, pct, ratio, signed
from pepperstone_adapter.backtest.report_data import MAX_TRADES, Candles, chart_data
from pepperstone_adapter.broker.account import minor_digits
from pepperstone_adapter.simulation.record import RunRecord

TEMPLATES = Path(__file__).parent / "templates"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FULL_HEAT_PCT = 8.0  # a month this good or bad gets the strongest colour
TRADE_COLUMNS = (
    ("Strategy", True),
    ("Symbol", True),
    ("Side", True),
    ("Units", False),
    ("Opened (UTC)", False),
    ("Closed (UTC)", False),
    ("Open", False),
    ("Close", False),
    ("Gross", False),
    ("Commission", False),
    ("Swap", False),
    ("Net", False),
    ("MAE", False),
    ("MFE", False),
    ("Exit", True),
)
SIMULATED = (
    "Stored bid and ask where the catalog has both; otherwise a spread by symbol and hour of the week",
    "Commission by account and symbol, each side, converted to account currency at the fill",
    "Swap at 17:00 New York with the triple day, over both clock changes",
    "Tiered margin, orders refused without free margin, margin call, stop-out worst position first",
    "Trading hours and holidays; a stop in a gap fills at the first tradable price",
    "Slippage and latency as set in the settings",
)
NOT_SIMULATED = (
    "Depth of market: any size within the symbol's maximum fills at the quote",
    "The path of prices inside a bar beyond open, high, low and close",
    "Requotes, platform outages, and changes of swap or margin terms during the period",
    "Dividend adjustments and corporate actions of index and share CFDs",
)


def render(
    record: RunRecord, document: Mapping[str, Any], prices: Mapping[str, Candles], settings_yaml: str = ""
) -> str:
    """The page for a run.

    Parameters
    ----------
    record, document
        What happened, and `result.json` made from it.
    prices
        Bars to draw by instrument id; instruments without an entry get no price chart.
    settings_yaml
        The settings as run, shown at the end.
    """
    currency = document["account"]["currency"]
    data = {
        **chart_data(record, prices),
        "currency": currency,
        "digits": minor_digits(currency),
        "costs": document["costs"],
        "net": document["account"]["net_profit"],
        "adjustments": document["account"]["adjustments"],
        "levels": [document["account"]["margin_call_level"], document["account"]["stop_out_level"]],
        # Lists, because a browser sorts the keys of an object that look like numbers.
        "groups": {name: list(document["trades"][name].items()) for name in ("by_hour", "by_weekday", "by_month")},
    }
    rolling = data["rolling"]
    pages = environment()
    pages.filters["money"] = lambda value, sign=False: money(value, currency, sign)
    return pages.get_template("report.html.j2").render(
        r=document,
        m=document["metrics"],
        t=document["trades"],
        months=MONTHS,
        monthly=monthly_rows(record),
        figures=figures(document),
        candles=list(prices),
        rolling_days=rolling.get("days") if rolling["t"] else None,
        trade_columns=TRADE_COLUMNS,
        max_trades=MAX_TRADES,
        data_facts=data_facts(document),
        findings=findings(document),
        account_name=account_name(document),
        engine_facts=[
            ("Events", f"{document['engine']['events']:,}"),
            ("Run time", f"{document['engine']['elapsed_s']:.1f} s"),
            ("Seed", document["engine"]["seed"]),
        ],
        simulated=SIMULATED,
        not_simulated=NOT_SIMULATED,
        settings_yaml=settings_yaml,
        data=embedded(data),
        **assets("report.js"),
    )


def environment() -> Environment:
    """Templates with escaping on and the number filters of `figures`."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(pct=pct, ratio=ratio, signed=signed, tone=tone, heat=heat, words=words)
    return env


def assets(script: str) -> dict[str, Markup]:
    """Style, script and packed chart library for a page."""
    # Our own files: marked safe because they must reach the browser as they are.
    return {
        "style": Markup((TEMPLATES / "report.css").read_text("utf-8")),  # noqa: S704
        "script": Markup("".join((TEMPLATES / name).read_text("utf-8") for name in ("page.js", script))),  # noqa: S704
        "plotly": Markup(_packed_plotly()),  # noqa: S704
    }


def embedded(data: Mapping[str, Any]) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    escaped = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(escaped)  # noqa: S704 - escaped above


def monthly_rows(record: RunRecord) -> list[tuple[int, list[float | None], float]]:
    """(year, twelve monthly returns or None, return of the year) in percent."""
    days = metrics.days(record)
    by_month, by_year = returns.monthly(days), returns.yearly(days)
    return [(year, [by_month.get((year, m)) for m in range(1, 13)], by_year[year]) for year in sorted(by_year)]


def data_facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was replayed and how complete it is."""
    data = document["data"]
    rows = [("Bars", f"{data['bars']:,}"), ("Ticks", f"{data['ticks']:,}"), ("Resolution", data["resolution"])]
    rows += [(f"Quality {name}", pct(value, 2)) for name, value in data["quality_by_instrument"].items()]
    return rows


def tone(value: float | None) -> str:
    """CSS class of a signed figure."""
    return "" if not value else "up" if value > 0 else "down"


def heat(value: float) -> str:
    """Opacity of a heat map cell."""
    return f"{min(abs(value) / FULL_HEAT_PCT, 1.0) * 0.55 + (0.05 if value else 0):.2f}"


def words(name: str) -> str:
    """A group's name as people write it: the symbol of an instrument id, spaces for underscores, `LONG` as `Long`."""
    plain = name.removesuffix(".PEPPERSTONE").replace("_", " ")
    return plain.capitalize() if name in ("LONG", "SHORT") or name.islower() else plain


@cache
def _packed_plotly() -> str:
    from plotly.offline import get_plotlyjs

    # mtime=0: the same library gives the same bytes.
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
