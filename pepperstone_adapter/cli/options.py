"""Options that several commands have, so that each reads and means the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from pepperstone_adapter.common.errors import ConfigurationError

Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting: key.sub=value. May be repeated.", metavar="KEY=VALUE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
ResultJson = Annotated[bool, typer.Option("--json", help="Print result.json and nothing else.")]
CatalogPath = Annotated[Path, typer.Option("--catalog", help="Catalog folder.", metavar="DIR")]
DEFAULT_CATALOG = Path("catalog/data")
Account = Annotated[
    str | None, typer.Option("--account", help="Account number, where no settings file names it.", metavar="NUMBER")
]
Environment = Annotated[str | None, typer.Option("--environment", help="demo, live or sandbox of that account.")]


def account_changes(settings: Path | None, account: str | None, environment: str | None) -> dict[str, str | None]:
    """The account options as changes of settings; None is not given.

    Raises
    ------
    ConfigurationError
        Neither a settings file nor an account number.
    """
    if settings is None and account is None:
        raise ConfigurationError(
            "no account: give --account NUMBER (a demo account), or a settings file that names one"
        )
    return {"account.account": account, "account.environment": environment}
