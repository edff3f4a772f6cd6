"""The commands, known by name and help text before any of their code is loaded.

`pepperstone --help` must answer at once, and the framework alone takes a second to import. So the table below is all
the top level knows; a command's file is imported when that command is asked for. A file that is not part of an
installation (a venue left out) is simply not listed.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: its name, its file in `cli/`, its panel and line in `--help`."""

    name: str
    module: str
    panel: str
    help: str
    needs_framework: bool = False


COMMANDS = (
    Entry("demo", "demo", "Backtest", "Backtest a bundled portfolio on bundled real data; write a report.", True),
    Entry(
        "backtest", "backtest", "Backtest", "Run a strategy on stored data and a simulated Pepperstone account.", True
    ),
    Entry("sweep", "sweep", "Backtest", "Backtest every combination of some values; compare the results.", True),
    Entry("report", "report", "Backtest", "Show a result again, or compare two.", True),
    Entry("data", "data", "Backtest", "Import, download, check and list market data; keep recordings.", True),
    Entry("live", "live", "Trade", "Run a strategy on a live, demo or sandbox account.", True),
    Entry("sandbox", "sandbox", "Trade", "Start the simulated broker: cTrader and MetaTrader 5."),
    Entry("auth", "auth", "Trade", "Log in to cTrader; show, refresh or remove stored credentials."),
    Entry("probe", "probe", "Trade", "Run read-only checks against a real account and report what it answers."),
    Entry("mt5-gateway", "mt5_gateway", "Trade", "Serve a MetaTrader 5 terminal on this machine to a live node."),
    Entry("init", "init", "Project", "Make a project folder of your own, ready to run."),
    Entry("new-strategy", "new_strategy", "Project", "Write a strategy, its settings and a test that passes."),
    Entry("config", "config", "Project", "Check, show or describe settings files."),
    Entry("doctor", "doctor", "Project", "Check this machine and installation; say how to mend what is wrong."),
)


class LazyCommand(TyperCommand):
    """Stands for a command in listings; turns into the real one when it is invoked or completed."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.name, help=entry.help)
        self.entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return load(self.entry).make_context(info_name, args, parent, **extra)


class CommandTable(TyperGroup):
    """The top level of `pepperstone`."""

    def __init__(self, **attributes: Any) -> None:
        commands = {entry.name: LazyCommand(entry) for entry in COMMANDS if is_installed(entry)}
        super().__init__(**{**attributes, "commands": commands})

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        shown = [entry for entry in COMMANDS if entry.name in self.commands]
        for panel in dict.fromkeys(entry.panel for entry in shown):
            with formatter.section(panel):
                formatter.write_dl([(entry.name, entry.help) for entry in shown if entry.panel == panel])


def is_installed(entry: Entry) -> bool:
    """Whether the command's file is part of this installation."""
    return importlib.util.find_spec(_module_name(entry)) is not None


def load(entry: Entry) -> Any:
    """Import a command's file and build the command.

    The file exposes `app`, a `typer.Typer` with sub-commands, or `command`, a function.
    """
    if entry.needs_framework:
        from pepperstone_adapter.common.versions import check_framework

        check_framework()
    module = importlib.import_module(_module_name(entry))
    app = getattr(module, "app", None)
    if app is not None:
        # Plain help costs a third of the time of boxed help, and is read by grep as well.
        app.rich_markup_mode = None
        return get_group(app)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(entry.name)(module.command)
    return get_command(single)


def help_of(root: Any, arguments: Sequence[str]) -> str | None:
    """The help text of the command that `arguments` name; None when one of the names is wrong.

    Parsing the arguments first, as typer does, loads pydantic and doubles the time to an answer.
    """
    context = root.context_class(root, info_name="pepperstone")
    for word in arguments:
        commands = getattr(context.command, "commands", None)
        if commands is None or word == "--help":
            break
        command = commands.get(word)
        if command is None:
            return None
        command = load(command.entry) if isinstance(command, LazyCommand) else command
        context = command.context_class(command, parent=context, info_name=word)
    return str(context.command.get_help(context))


def _module_name(entry: Entry) -> str:
    return f"pepperstone_adapter.cli.{entry.module}"
