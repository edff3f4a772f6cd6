"""What `pepperstone data` prints: progress, tables, JSON."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from pepperstone_adapter.backtest.figures import FINDING_WORDS
from pepperstone_adapter.backtest.settings import utc_time
from pepperstone_adapter.catalog import manifest
from pepperstone_adapter.catalog.bad_rows import KINDS, NOTES, rows_text
from pepperstone_adapter.catalog.importer import ImportOutcome, import_file
from pepperstone_adapter.catalog.manifest import iso
from pepperstone_adapter.catalog.quality import FINDINGS, Month, SeriesQuality, check_series
from pepperstone_adapter.catalog.recorded import keep
from pepperstone_adapter.catalog.request import ImportRequest
from pepperstone_adapter.catalog.store import CatalogStore, Series
from pepperstone_adapter.catalog.unkept import LIVE, NOTE, read_note, run_lock, unkept
from pepperstone_adapter.cli.tables import print_table
from pepperstone_adapter.common.errors import ConfigurationError, DataError

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SHOWN_GAPS = 5
SHOWN_MONTHS = 12


def import_with_progress(requests: Sequence[ImportRequest], *, as_json: bool) -> None:
    """Import files one after the other; the first that fails ends the command, those before it are stored."""
    outcomes = []
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    for request in requests:
        # A bar for each file, gone before its outcome is printed: the two would share a line of the terminal.
        hidden = as_json or not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
            task = progress.add_task(request.file.name, total=None)

            def show(done: int, total: int, progress: Progress = progress, task: TaskID = task) -> None:
                progress.update(task, completed=done, total=total)

            outcome = import_file(request, show)
        outcomes.append(outcome)
        if not as_json:
            _print_outcome(outcome)
    if as_json:
        typer.echo(json.dumps([_outcome_json(o) for o in outcomes], indent=2))


def _print_outcome(outcome: ImportOutcome) -> None:
    record = outcome.record
    typer.echo(f"{record.source}: {outcome.reading.describe()}")
    for s in record.series:
        if outcome.unchanged:
            done = "stored already, nothing changed"
        else:
            known = s.rows - s.stored
            done = f"{s.stored:,} rows stored" + (f", {known:,} were stored already" if known else "")
        typer.echo(f"  {s.identifier}  {s.start} to {s.end}  {done}")
    for kind, bad in record.bad_rows.items():
        at = f" (first at line {bad['first_line']}: {bad['first_text']!r})" if bad["first_line"] else ""
        typer.echo(f"  {rows_text(bad['rows'])} {KINDS[kind][0]}{at}")
    for note, count in record.notes.items():
        typer.echo(f"  {rows_text(count)} {NOTES[note]}")


def _outcome_json(outcome: ImportOutcome) -> dict[str, Any]:
    return {"stored": outcome.stored, "unchanged": outcome.unchanged, **asdict(outcome.record)}


def keep_recorded(catalog: Path, runs: Sequence[Path], *, replace: bool) -> None:
    """Make catalog data of runs that were cut short; DataError (exit 3) when rows of one were refused."""
    wanted = [*runs] or list(unkept(catalog))
    if not wanted:
        typer.echo(f"no recording is left to keep in {catalog / LIVE}")
    refused = []
    for run in wanted:
        if run.resolve().parent.name != LIVE:
            raise ConfigurationError(f"{run} is not the folder of a recorded run; it is called CATALOG/{LIVE}/ID")
        note = read_note(run)
        with run_lock(run):
            for line in keep(
                run, run.resolve().parents[1], note.specs, platform=note.platform, source=note.source,
                now_ns=time.time_ns(), replace_stored=replace,
            ):  # fmt: skip
                typer.echo(line)
        if (run / NOTE).exists():
            refused.append(str(run))
    if refused:
        raise DataError(f"not all of {', '.join(refused)} could be stored; the lines above say why")


def check_stored(
    catalog: Path,
    symbols: Sequence[str],
    threshold: float,
    *,
    start: str | None = None,
    end: str | None = None,
    as_json: bool,
) -> None:
    """Check series; DataError (exit 3) when one is below `threshold` percent."""
    start_ns, end_ns = (_time_ns(text, option) for text, option in ((start, "--start"), (end, "--end")))
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise ConfigurationError(f"--start {start} is not before --end {end}; swap them")
    store = CatalogStore(catalog)
    wanted = _wanted(store, symbols)
    console = Console(stderr=True, quiet=as_json)
    results = []
    for series in wanted:
        with console.status(f"checking {series.identifier}"):
            results.append(check_series(store, series, None, start_ns, end_ns))
    if as_json:
        typer.echo(json.dumps([_quality_json(q) for q in results], indent=2))
    else:
        _print_quality(results)
    poor = [q for q in results if q.percent < threshold]
    if poor:
        names = ", ".join(f"{q.series.identifier} {percent(q.percent)}" for q in poor)
        raise DataError(f"quality below {threshold:g} %: {names}; import better data, or set --threshold")


def _time_ns(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return int(utc_time(text).timestamp()) * 10**9
    except ValueError as error:
        raise ConfigurationError(f"{option}: {error}") from error


def _wanted(store: CatalogStore, symbols: Sequence[str]) -> list[Series]:
    stored = store.series()
    if not stored:
        raise DataError(f"the catalog at {store.path} holds no data; import some: pepperstone data import --help")
    known = sorted({s.symbol for s in stored})
    missing = [s for s in symbols if s not in known]
    if missing:
        raise ConfigurationError(f"no data of {', '.join(missing)} in {store.path}; stored: {', '.join(known)}")
    return [s for s in stored if not symbols or s.symbol in symbols]


def percent(value: float) -> str:
    """Two decimals, rounded down: 100 % means that nothing is missing."""
    return f"{int(value * 100) / 100:.2f} %"


def _print_quality(results: Sequence[SeriesQuality]) -> None:
    console = Console()

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    for q in results:
        s = q.series
        say(f"\n[bold]{s.identifier}[/]  quality [bold]{percent(q.percent)}[/]")
        say(f"  {q.rows:,} rows, {iso(q.start_ns)} to {iso(q.end_ns)}")
        for note in q.notes:
            say(f"  {note}")
        slot = f"{s.period} bars" if s.kind == "bars" else "five-minute slots"
        gaps = f", in {q.gap_count:,} gap{'s' if q.gap_count > 1 else ''}, the longest:" if q.gap_count else ""
        say(f"  missing: {q.missing:,} of {q.due:,} {slot}{gaps}")
        for gap in sorted(q.gaps, key=lambda g: -g.slots)[:SHOWN_GAPS]:
            say(f"    {gap.slots:>6,} from {iso(gap.start_ns)} to {iso(gap.end_ns)}")
        found = [
            f"{rows_text(q.counts[k])} {FINDING_WORDS[k]} (first {iso(q.first_ns[k])})" for k in FINDINGS if q.counts[k]
        ]
        say(f"  found: {', '.join(found) or 'nothing wrong'}")
        for line in _by_month(q.months):
            say(f"    {line}")
        console.print(_months_table(q.months))


def _by_month(months: Sequence[Month]) -> list[str]:
    """What was found in each month; of many the worst."""
    wrong = [m for m in months if m.findings]
    shown = sorted(sorted(wrong, key=lambda m: -sum(m.findings.values()))[:SHOWN_MONTHS], key=lambda m: m.name)
    lines = [
        f"{m.name}: {', '.join(f'{rows_text(m.findings[k])} {FINDING_WORDS[k]}' for k in FINDINGS if k in m.findings)}"
        for m in shown
    ]
    if len(wrong) > len(shown):
        lines.append(f"and {len(wrong) - len(shown)} months with fewer rows; --json has all")
    return lines


def _months_table(months: Sequence[Month]) -> Table:
    table = Table("year", *MONTHS, box=None, pad_edge=False, title="quality by month, %", title_justify="left")
    by_name = {m.name: m for m in months}
    for year in sorted({m.name[:4] for m in months}):
        cells = (by_name.get(f"{year}-{i:02d}") for i in range(1, 13))
        table.add_row(year, *("" if m is None or not m.due else f"{int(m.percent * 10) / 10:g}" for m in cells))
    return table


def _quality_json(q: SeriesQuality) -> dict[str, Any]:
    return {
        "identifier": q.series.identifier,
        "start": iso(q.start_ns),
        "end": iso(q.end_ns),
        "rows": q.rows,
        "quality": round(q.percent, 4),
        "due": q.due,
        "sound": q.sound,
        "missing": q.missing,
        "gaps": q.gap_count,
        "largest_gaps": [{"start": iso(g.start_ns), "end": iso(g.end_ns), "slots": g.slots} for g in q.gaps],
        "findings": {k: {"rows": q.counts[k], "first": iso(q.first_ns[k])} for k in FINDINGS if q.counts[k]},
        "months": [
            {
                "month": m.name,
                "due": m.due,
                "sound": m.sound,
                "quality": round(m.percent, 4),
                "findings": dict(m.findings),
            }
            for m in q.months
        ],
        "notes": list(q.notes),
    }


def list_stored(catalog: Path, *, with_quality: bool, as_json: bool) -> None:
    """Print every stored series."""
    store = CatalogStore(catalog)
    sources: dict[str, list[str]] = {}
    for _, record in manifest.records(catalog):
        for part in record.series:
            if not part.replaced_by:
                sources.setdefault(part.identifier, []).append(record.source)
    listed = []
    for s in store.series():
        with Console(stderr=True, quiet=as_json or not with_quality).status(f"reading {s.identifier}"):
            quality = check_series(store, s).percent if with_quality else None
        listed.append((s, quality, list(dict.fromkeys(sources.get(s.identifier, ())))))
    if as_json:
        typer.echo(json.dumps([_series_json(*entry) for entry in listed], indent=2))
        return
    if not listed:
        typer.echo(f"the catalog at {catalog} holds no data")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("series", "from", "to"):
        table.add_column(name, no_wrap=True)
    for name in ("rows", "quality"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("source", overflow="fold")  # what gives way in a narrow terminal
    for row, quality, files in listed:
        shown = "" if quality is None else percent(quality)
        source = files[0] + (f" and {len(files) - 1} more" if len(files) > 1 else "") if files else ""
        days = (iso(row.start_ns)[:10], iso(row.end_ns)[:10])
        name = f"{row.symbol} {row.period}-{row.side}" if row.kind == "bars" else f"{row.symbol} quotes"
        table.add_row(name, *days, f"{row.rows:,}", shown, source)
    print_table(table)


def _series_json(series: Series, quality: float | None, sources: list[str]) -> dict[str, Any]:
    return {
        "identifier": series.identifier,
        "start": iso(series.start_ns),
        "end": iso(series.end_ns),
        "rows": series.rows,
        "quality": None if quality is None else round(quality, 4),
        "bytes": series.bytes,
        "files": len(series.files),
        "sources": sources,
    }
