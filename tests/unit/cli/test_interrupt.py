"""Ctrl-C: an exception where that ends a command in order, the end of the process where it would be swallowed."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from pepperstone_adapter.cli import interrupt


def python(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process that listens; it may import `swallows`, a module that is interrupted while it loads."""
    (tmp_path / "swallows.py").write_text(
        textwrap.dedent("""
            import signal

            try:  # as an extension does that asks for another one
                signal.raise_signal(signal.SIGINT)
            except BaseException:
                pass
        """)
    )
    head = f"import asyncio, signal, sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    head += "from pepperstone_adapter.cli import interrupt\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)], capture_output=True, text=True, check=False
    )


def test_while_a_module_loads_it_is_put_off_until_the_module_is_there(tmp_path: Path) -> None:
    code = """
        import threading
        interrupt.listen()
        try:
            import swallows
            print("loaded")
            threading.Event().wait(60)
        except KeyboardInterrupt:
            print("in order")
    """
    assert python(tmp_path, code).stdout == "loaded\nin order\n"


def test_python_alone_would_have_gone_on(tmp_path: Path) -> None:
    assert python(tmp_path, "import swallows\nprint('went on')").stdout == "went on\n"


def test_elsewhere_it_is_an_exception(tmp_path: Path) -> None:
    code = """
        interrupt.listen()
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            print("in order")
    """
    assert python(tmp_path, code).stdout == "in order\n"


def test_a_job_in_the_background_is_left_alone(tmp_path: Path) -> None:
    code = """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        interrupt.listen()
        import swallows
        print("went on")
    """
    assert python(tmp_path, code).stdout == "went on\n"


def test_tasks_end_in_order(tmp_path: Path) -> None:
    code = """
        async def work():
            try:
                signal.raise_signal(signal.SIGINT)
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("put away")
                raise

        interrupt.listen()
        try:
            interrupt.run(work())
        except KeyboardInterrupt:
            print("interrupted")
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler and print("listens again")
    """
    assert python(tmp_path, code).stdout == "put away\ninterrupted\nlistens again\n"


def test_while_the_loop_is_made_it_leaves_no_warning(tmp_path: Path) -> None:
    code = """
        def while_it_is_made(frame, event, argument):
            if event == "call" and frame.f_code.co_name == "new_event_loop":
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

        interrupt.listen()
        sys.setprofile(while_it_is_made)
        try:
            interrupt.run(asyncio.sleep(60))
        except KeyboardInterrupt:
            print("interrupted")
    """
    ran = python(tmp_path, code)
    assert (ran.stdout, ran.stderr) == ("interrupted\n", "")


@pytest.fixture
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("handler")
def test_what_a_task_gives_is_given_on() -> None:
    assert interrupt.run(asyncio.sleep(0, "given")) == "given"


def test_the_engine_is_ended_at_once_and_the_terminal_put_in_order(tmp_path: Path) -> None:
    code = """
        with interrupt.ends_at_once(lambda: print("cursor is back", flush=True)):
            try:
                signal.raise_signal(signal.SIGINT)
            except BaseException:
                pass
            print("went on")
    """
    ran = python(tmp_path, code)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "cursor is back\n", "error: interrupted\n")


def test_where_it_is_ignored_it_is_ignored_while_the_engine_runs_too(tmp_path: Path) -> None:
    code = """
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts a job in the background of a script
        with interrupt.ends_at_once(lambda: print("tidied")):
            signal.raise_signal(signal.SIGINT)
        print("went on")
    """
    assert python(tmp_path, code).stdout == "went on\n"
