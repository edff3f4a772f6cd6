"""What `pepperstone probe mt5` does and prints."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from pepperstone_adapter.cli import interrupt
from pepperstone_adapter.cli.brokers import AccountOfFile
from pepperstone_adapter.cli.tables import print_table
from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.files import write_atomic
from pepperstone_adapter.common.settings import load_settings
from pepperstone_adapter.common.versions import version_line
from pepperstone_adapter.mt5.client.probe import Finding
from pepperstone_adapter.mt5.config import Mt5AccountSettings, Mt5DataConfig, values_of
from pepperstone_adapter.mt5.factories import session_of

CONNECT_TIMEOUT_S = 150.0


class ProbeMt5Settings(AccountOfFile):
    account: Mt5AccountSettings


def probe_mt5(path: Path | None, overrides: Sequence[str], symbols: Path | None, *, as_json: bool) -> None:
    """Run the probe, print its findings and write the symbols where they are wanted."""
    account = load_settings(path, ProbeMt5Settings, overrides).account
    console = Console(stderr=True, quiet=as_json)
    with tempfile.TemporaryDirectory() as folder, console.status("asking the terminal"):
        # A gateway of our own needs a place for order keys; nothing is ordered, so it may go afterwards.
        values = values_of(account, Path(folder), None, CONNECT_TIMEOUT_S)
        findings, rows = interrupt.run(_ask(Mt5DataConfig(**values)))
    if symbols is not None:
        _write_symbols(symbols, rows)
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings], indent=2))
        return
    table = Table("question", "answer", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(finding.question, finding.answer)
    print_table(table)


async def _ask(config: Mt5DataConfig) -> tuple[list[Finding], list[Any]]:
    session = session_of(config)
    await session.connect(lambda _events: None)
    try:
        return await session.probe(), await session.symbol_rows()
    finally:
        await session.close()


def _write_symbols(path: Path, rows: list[Any]) -> None:
    """A dump as the simulated terminal loads it."""
    facts = {
        "kind": "mt5-symbols",
        "taken": datetime.now(UTC).date().isoformat(),
        "by": version_line(),
        "symbols": rows,
    }
    try:
        write_atomic(path, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written ({error.strerror or error}); choose another file"
        ) from None
