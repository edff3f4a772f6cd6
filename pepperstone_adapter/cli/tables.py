"""Tables for people and for pipes: as wide as the terminal, and where none is read, as wide as they need to be."""

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 160
_ANY_WIDTH = 10_000


def print_table(table: Table) -> None:
    """Print on standard output. In a pipe nothing is cut or folded before `PIPE_WIDTH` columns."""
    _console().print(table, markup=False, highlight=False)


def print_whole(table: Table) -> list[str]:
    """Print a table of figures: a number that is cut is a wrong one, so titles fold, between words, and then columns are
    left out, from the right. The titles of those left out."""
    console = _console()
    left_out: list[str] = []
    if not _fits(table, console):
        for column in table.columns:
            words = (*str(column.header).split(), *map(str, column.cells))
            column.width = max(map(cell_len, words), default=0)
    while len(table.columns) > 1 and not _fits(table, console):
        left_out.insert(0, str(table.columns.pop().header))
    console.print(table, markup=False, highlight=False)
    return left_out


def _fits(table: Table, console: Console) -> bool:
    unbound = console.options.update(max_width=_ANY_WIDTH)
    return console.measure(table, options=unbound).maximum <= console.width


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, PIPE_WIDTH))
