"""What `pepperstone probe` does and prints."""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.cli.brokers import AccountOfFile
from pepperstone_adapter.cli.tables import print_table
from pepperstone_adapter.common.settings import load_settings
from pepperstone_adapter.ctrader.client.desk import Wanted
from pepperstone_adapter.ctrader.client.probe import Finding, run_probe
from pepperstone_adapter.ctrader.client.probe_checks import CHECKS
from pepperstone_adapter.ctrader.client.recording import WireRecording
from pepperstone_adapter.ctrader.config import CTraderAccountSettings
from pepperstone_adapter.ctrader.factories import endpoint_of, load_credentials


class ProbeSettings(AccountOfFile):
    account: CTraderAccountSettings


def probe_ctrader(
    path: Path | None, overrides: Sequence[str], observe_s: float, record: Path | None, *, as_json: bool
) -> None:
    """Run the probe and print its findings."""
    account = load_settings(path, ProbeSettings, overrides).account
    wanted = Wanted(account_number=account.account, environment=Environment(account.environment))
    held = load_credentials(account.environment, account.profile)
    console = Console(stderr=True, quiet=as_json)
    with ExitStack() as stack:
        recording = None
        if record is not None:
            recording = WireRecording(stack.enter_context(record.open("w", encoding="utf-8")), time.monotonic)
        with console.status(f"asking {account.platform} {account.environment.value}; about {2 * observe_s + 20:.0f} s"):
            findings = run_probe(
                wanted,
                endpoint_of(account),
                held,
                CHECKS,
                observe_s=observe_s,
                tap=recording or (lambda _ours, _decoded: None),
            )
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings], indent=2))
        return
    _print(findings)
    if record is not None and recording is not None:
        typer.echo(f"{recording.messages:,} messages recorded in {record}")


def _print(findings: Sequence[Finding]) -> None:
    table = Table("question", "answer", box=None, pad_edge=False)
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            table.add_row(Text(finding.topic, style="bold"))
            topic = finding.topic
        differs = finding.as_assumed is False
        table.add_row(f"  {finding.question}", _answer(finding), style="bold yellow" if differs else None)
    print_table(table)
    differ = sum(f.as_assumed is False for f in findings)
    agree = sum(f.as_assumed is True for f in findings)
    typer.echo(f"{agree} answers as assumed, {differ} differ; the rest are facts without an assumption")


def _answer(finding: Finding) -> str:
    if finding.as_assumed:
        return f"{finding.seen} (as assumed)"
    if finding.as_assumed is False:
        return f"{finding.seen} (differs; assumed: {finding.assumed})"
    return f"{finding.seen} (assumed: {finding.assumed})" if finding.assumed else finding.seen
