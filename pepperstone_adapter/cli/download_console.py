"""What `pepperstone data download` does: settings to a session, progress while it runs, a summary at the end."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from pydantic import Field, model_validator
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pepperstone_adapter.backtest.settings import UtcTime
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.broker.events import Notice
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.broker.symbols import SymbolSpec
from pepperstone_adapter.catalog import specs as spec_store
from pepperstone_adapter.catalog.bad_rows import KINDS, NOTES, rows_text
from pepperstone_adapter.catalog.download import Download, LinkWatch, Outcome, Wish
from pepperstone_adapter.catalog.manifest import iso
from pepperstone_adapter.catalog.staging import catalog_lock
from pepperstone_adapter.cli import interrupt
from pepperstone_adapter.cli.brokers import AnyAccount, open_session, source_of
from pepperstone_adapter.cli.kinds import expected
from pepperstone_adapter.cli.options import DEFAULT_CATALOG
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.settings import RelativePath, StrictModel, load_settings

NS = 1_000_000_000


class DownloadSettings(StrictModel):
    """What to download, from which account, to where.

    `periods` are bars, `ticks` adds every quote; `end` is exclusive and now when not given. Without `catalog` it is
    `catalog/data`, save for the sandbox, whose prices are made up and need a folder of their own.
    """

    account: AnyAccount
    symbols: Annotated[tuple[str, ...], Field(min_length=1, max_length=1000, examples=[["EURUSD"]])]
    periods: Annotated[tuple[BarPeriod, ...], Field(max_length=21)] = ()
    ticks: bool = False
    start: Annotated[UtcTime, Field(examples=["2024-01-01"])]
    end: UtcTime | None = None
    catalog: RelativePath | None = None
    connect_timeout_s: Annotated[float, Field(ge=5, le=600)] = 30.0

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.periods or self.ticks):
            raise ValueError("nothing is asked for; give periods (--period M1) or ticks: true (--ticks)")
        if self.end is not None and self.start >= self.end:
            raise ValueError(f"start {self.start.isoformat()} is not before end {self.end.isoformat()}; swap them")
        if self.start.timestamp() >= time.time():
            raise ValueError(f"start {self.start.isoformat()} lies in the future")
        if self.account.environment is Environment.SANDBOX and self.catalog is None:
            raise ValueError("the sandbox's prices are made up: give them a catalog of their own (--catalog DIR)")
        return self

    def wishes(self, now_ns: int) -> list[Wish]:
        start_ns = round(self.start.timestamp()) * NS
        end_ns = now_ns if self.end is None else round(self.end.timestamp()) * NS
        wanted: list[BarPeriod | None] = [*dict.fromkeys(self.periods), *([None] if self.ticks else [])]
        return [Wish(symbol, period, start_ns, end_ns) for symbol in dict.fromkeys(self.symbols) for period in wanted]


def run(path: Path | None, overrides: Sequence[str], *, replace: bool, as_json: bool) -> None:
    """Download what the settings ask for and say what came of it."""
    with expected("download", path):
        settings = load_settings(path, DownloadSettings, overrides)
    try:
        outcomes = interrupt.run(_download(settings, Console(stderr=True, quiet=as_json), replace=replace))
    except KeyboardInterrupt:
        typer.echo("stopped; what was read is stored: run the same command again to go on", err=True)
        raise
    if as_json:
        typer.echo(json.dumps([_as_json(o) for o in outcomes], indent=2))


async def _download(settings: DownloadSettings, console: Console, *, replace: bool) -> list[Outcome]:
    session = open_session(settings.account, settings.connect_timeout_s)
    watch = LinkWatch(lambda notice: _say(console, notice))
    catalog = settings.catalog or DEFAULT_CATALOG
    outcomes = []
    try:
        snapshot = await session.connect(watch)
        specs = {spec.name: spec for spec in await session.symbols()}
        for symbol in settings.symbols:
            _require(symbol, specs)
        source = source_of(settings.account, snapshot.account.broker)
        _keep_specs(catalog, [specs[symbol] for symbol in settings.symbols], settings, source)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        hidden = console.quiet or not console.is_terminal
        for wish in settings.wishes(time.time_ns()):
            # A bar for each wish, gone before its outcome is printed: the two would share a line of the terminal.
            with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
                task = progress.add_task(_name(wish), total=None)

                def show(
                    outcome: Outcome, done: int, total: int, progress: Progress = progress, task: TaskID = task
                ) -> None:
                    text = f"{_name(outcome.wish)} {outcome.rows:,} rows"
                    progress.update(task, description=text, completed=done, total=max(total, 1))

                download = Download(session, watch, catalog, specs, source, time.time_ns, show, replace_stored=replace)
                outcome = await download.fetch(wish)
            outcomes.append(outcome)
            if not console.quiet:
                _print(outcome)
    finally:
        await session.close()
    return outcomes


def _require(symbol: str, specs: dict[str, SymbolSpec]) -> None:
    symbol_table.check_name(symbol)
    if symbol not in specs:
        near = symbol_table.suggestions(symbol, specs)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigurationError(f"{symbol} is not a symbol of this account{hint}")


def _keep_specs(catalog: Path, specs: list[SymbolSpec], settings: DownloadSettings, source: str) -> None:
    catalog.mkdir(parents=True, exist_ok=True)
    with catalog_lock(catalog):
        platform = settings.account.platform
        spec_store.remember(catalog, specs, platform=platform, source=source, now_ns=time.time_ns())


def _say(console: Console, notice: Notice) -> None:
    console.print(f"{notice.level}: {notice.text}", markup=False, highlight=False)


def _name(wish: Wish) -> str:
    return f"{wish.symbol} {wish.period or 'ticks'}"


def _print(outcome: Outcome) -> None:
    wish = outcome.wish
    span = f"{iso(wish.start_ns)} to {iso(wish.end_ns // NS * NS)}"
    if outcome.pieces == 0:
        done = "read before, nothing asked for"
    elif outcome.rows == 0:
        done = "no new rows"
    else:
        known = outcome.rows - outcome.stored
        done = f"{outcome.stored:,} rows stored" + (f", {known:,} were stored already" if known else "")
    typer.echo(f"{_name(wish)}  {span}  {done}")
    for start, end in outcome.lost:
        typer.echo(f"  no file holds {iso(start)} to {iso(end)} any more: asked for again")
    if outcome.begins_ns is not None:
        typer.echo(f"  the broker's history begins at {iso(outcome.begins_ns)}; there is nothing before it")
    for kind, bad in outcome.bad.kinds.items():
        typer.echo(f"  {rows_text(bad.count)} {KINDS[kind][0]}, left out (first: {bad.text})")
    for note, count in outcome.bad.notes.items():
        typer.echo(f"  {rows_text(count)} {NOTES[note]}")


def _as_json(outcome: Outcome) -> dict[str, Any]:
    wish = outcome.wish
    return {
        "symbol": wish.symbol,
        "period": wish.period.value if wish.period else "tick",
        "series": outcome.series.identifier,
        "source": outcome.series.source,
        "start": iso(wish.start_ns),
        "end": iso(wish.end_ns),
        "rows": outcome.rows,
        "stored": outcome.stored,
        "pieces": outcome.pieces,
        "lost": [[iso(start), iso(end)] for start, end in outcome.lost],
        "history_begins": None if outcome.begins_ns is None else iso(outcome.begins_ns),
        "bad_rows": outcome.bad.as_json(),
        "notes": dict(outcome.bad.notes),
    }
