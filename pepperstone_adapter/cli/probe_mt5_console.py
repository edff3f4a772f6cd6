"""What `pepperstone probe mt5` does and prints."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from pydantic import ConfigDict, model_validator
from rich.console import Console
from rich.table import Table

from pepperstone_adapter.common.settings import StrictModel, load_settings
from pepperstone_adapter.mt5.client.probe import Finding
from pepperstone_adapter.mt5.config import Mt5AccountSettings, Mt5DataConfig, values_of
from pepperstone_adapter.mt5.factories import session_of

CONNECT_TIMEOUT_S = 150.0
WIDTH = 140


class ProbeMt5Settings(StrictModel):
    """Only the account counts; the rest of a live or download file is somebody else's."""

    model_config = ConfigDict(extra="ignore")

    account: Mt5AccountSettings

    @model_validator(mode="before")
    @classmethod
    def _first_of_several(cls, raw: Any) -> Any:
        """A live file lists its accounts: the first is meant, and options change it."""
        if isinstance(raw, dict):
            given = dict(raw.get("account") or {})
            first = dict(raw["accounts"][0]) if raw.get("accounts") else {}
            return {"account": {"platform": "mt5", **first, **given}}
        return raw


def probe_mt5(path: Path | None, overrides: Sequence[str], *, as_json: bool) -> None:
    """Run the probe and print its findings."""
    account = load_settings(path, ProbeMt5Settings, overrides).account
    console = Console(stderr=True, quiet=as_json)
    with tempfile.TemporaryDirectory() as folder, console.status("asking the terminal"):
        # A gateway of our own needs a place for order keys; nothing is ordered, so it may go afterwards.
        values = values_of(account, Path(folder), None, CONNECT_TIMEOUT_S)
        findings = asyncio.run(_ask(Mt5DataConfig(**values)))
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings], indent=2))
        return
    table = Table("question", "answer", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(finding.question, finding.answer)
    Console(width=WIDTH).print(table)


async def _ask(config: Mt5DataConfig) -> list[Finding]:
    session = session_of(config)
    await session.connect(lambda _events: None)
    try:
        return await session.probe()
    finally:
        await session.close()
