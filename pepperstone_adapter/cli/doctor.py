"""`pepperstone doctor`: is this machine and installation fit to run, and what to do where it is not."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.cli.started import as_started

_COLOUR = {"ok": "green", "warn": "yellow", "fail": "red"}


def command(
    folder: Annotated[Path, typer.Argument(help="Your project's folder.", exists=True, file_okay=False)] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Check Python, the framework's version, libraries, TLS, clock, disk and catalog; exit 2 when one is broken."""
    from pepperstone_adapter.cli.checks import run_checks

    findings = list(run_checks(folder.absolute()))
    failed = [finding for finding in findings if finding.status == "fail"]
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "findings": [dataclasses.asdict(f) for f in findings]}, indent=2))
        return 2 if failed else 0
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        console.print(f"[{_COLOUR[finding.status]}]{finding.status:4}[/] {finding.name:<11} {escape(finding.detail)}")
        if finding.fix:
            console.print(f"{'':16} to mend it: {escape(as_started(finding.fix))}")
    console.print(
        "Everything needed is in place." if not failed else f"{len(failed)} of {len(findings)} checks failed."
    )
    return 2 if failed else 0
