"""`python -m pepperstone_adapter` is the `pepperstone` command."""

from pepperstone_adapter.cli.main import run

run()
