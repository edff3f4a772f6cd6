"""Tables for people and for pipes: as wide as the terminal, and where none is read, as wide as they need to be."""

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 160


def print_table(table: Table) -> None:
    """Print on standard output. In a pipe nothing is cut or folded before `PIPE_WIDTH` columns."""
    console = Console()
    wide = console if console.is_terminal else Console(width=max(console.width, PIPE_WIDTH))
    wide.print(table, markup=False, highlight=False)
