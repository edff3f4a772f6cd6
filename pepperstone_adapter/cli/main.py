"""The frame around every command: global options, one-line errors, exit codes.

Exit codes: 0 ok, 1 bug, 2 usage or settings, 3 data, 4 credentials, 5 broker or connection, 6 risk refused,
7 reconciliation mismatch, 130 interrupted (design §4). An output that takes nothing more (a full disk) is 2 where the
command has no other; a reader that has left a pipe is nothing to talk about, and 141 as everywhere in a shell.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Annotated

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from pepperstone_adapter.cli import interrupt
from pepperstone_adapter.cli.commands import CommandTable, help_of
from pepperstone_adapter.cli.started import as_started
from pepperstone_adapter.common.errors import PepperstoneError
from pepperstone_adapter.common.orphans import end_with_starter
from pepperstone_adapter.common.output import NAME as OUTPUT
from pepperstone_adapter.common.output import Output, tell

_USAGE_EXIT_CODE = 2
_BUG_EXIT_CODE = 1
_BROKEN_PIPE_EXIT_CODE = 141

app = typer.Typer(
    name="pepperstone",
    cls=CommandTable,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Backtest and trade a Pepperstone account (cTrader, MetaTrader 5) with NautilusTrader strategies.",
    epilog="Start with `pepperstone demo`; `pepperstone COMMAND --help` explains a command.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from pepperstone_adapter.common.versions import version_line

        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the versions and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Print plain text.")] = False,
) -> None:
    # `main` has taken the two switches already: they are meant wherever they stand on the line.
    del version, debug, no_color


def run() -> None:
    """Entry point of the `pepperstone` command."""
    interrupt.listen()
    end_with_starter()
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns
    -------
    int
        The exit code. Everything a person must know about an error has then been printed on standard error.
    """
    for stream in (sys.stdout, sys.stderr):
        # A console that cannot show a character must not end a run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    rest, switches = _take_switches(arguments)
    if "--no-color" in switches:
        os.environ["NO_COLOR"] = "1"
    debug = "--debug" in switches
    with redirect_stdout(Output(sys.stdout)):
        code = _run(rest, debug)
        try:
            sys.stdout.flush()
        except OSError as error:
            told = _system_error(error, debug)
            return code or told
    return code


def _run(rest: list[str], debug: bool) -> int:
    try:
        root = get_command(app)
        before_dashes = rest[: rest.index("--")] if "--" in rest else rest
        text = help_of(root, before_dashes) if "--help" in before_dashes else None
        if text is not None:
            typer.echo(as_started(text))
            return 0
        result = root.main(rest, prog_name="pepperstone", standalone_mode=False)
    except TyperException as error:
        return _usage_error(error)
    except PepperstoneError as error:
        return _fail(error, str(error), error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort) as error:
        if isinstance(error.__context__, EOFError):
            text = "the input ended where an answer was wanted; give it as an option"
            return _fail(error, text, _USAGE_EXIT_CODE, debug)
        return _fail(error, "interrupted", interrupt.INTERRUPTED, debug)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich leaves so
            return _BROKEN_PIPE_EXIT_CODE
        raise
    except OSError as error:
        return _system_error(error, debug)
    except Exception as error:  # noqa: BLE001 - the last line of defence: one line, never a wall of text
        return _bug(error, debug)
    if result == interrupt.INTERRUPTED:
        tell("error: interrupted")
    return result if isinstance(result, int) else 0


def _system_error(error: OSError, debug: bool) -> int:
    if isinstance(error, BrokenPipeError) and error.filename == OUTPUT:
        return _BROKEN_PIPE_EXIT_CODE
    if error.filename is None or error.strerror is None:
        return _bug(error, debug)
    return _fail(error, f"{error.filename}: {error.strerror}", _USAGE_EXIT_CODE, debug)


def _take_switches(arguments: Sequence[str]) -> tuple[list[str], set[str]]:
    """Take `--debug` and `--no-color` out, wherever they stand before a `--`."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    switches = {"--debug", "--no-color"} & set(arguments[:end])
    return [a for i, a in enumerate(arguments) if i >= end or a not in switches], switches


def _usage_error(error: TyperException) -> int:
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        # A group without a command: the message is the help itself.
        tell(as_started(message))
    else:
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context else ""
        if message.startswith("No such command") and "Did you mean" not in message and context:
            hint = f"; there are {', '.join(context.command.list_commands(context))}{hint}"
        tell(as_started(f"error: {message.rstrip('.')}{hint}"))
    return _USAGE_EXIT_CODE


def _bug(error: Exception, debug: bool) -> int:
    text = " ".join(str(error).split()) or "no message"
    hint = "" if debug else "; run it again with --debug to see where, and report it"
    return _fail(error, f"unexpected {type(error).__name__}: {text}{hint}", _BUG_EXIT_CODE, debug)


def _fail(error: BaseException, text: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    for line in text.splitlines() or [type(error).__name__]:
        tell(as_started(f"error: {line}"))
    return code
