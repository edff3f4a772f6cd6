"""What `pepperstone sandbox` prints: how to connect, then one status line that keeps itself up to date."""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pepperstone_adapter.sandbox.server import Sandbox, start
from pepperstone_adapter.sandbox.settings import SandboxSettings

REFRESH_S = 0.5


def serve(settings: SandboxSettings, seconds: float | None, *, as_json: bool) -> None:
    """Start the broker and run it until `seconds` have passed or the person presses Ctrl-C."""
    with ExitStack() as until_closed, start(settings) as sandbox:
        until_closed.enter_context(_stoppable())
        run(sandbox, seconds, as_json=as_json)


def run(sandbox: Sandbox, seconds: float | None, *, as_json: bool) -> None:
    """Show a running broker. Raises what ended its tape, if anything does."""
    console = Console(markup=False)
    deadline_s = None if seconds is None else time.monotonic() + seconds
    if as_json:
        sys.stdout.write(json.dumps(_facts(sandbox)) + "\n")
        sys.stdout.flush()
    else:
        console.print(_table(sandbox))
    try:
        with Live(console=console, refresh_per_second=4, transient=True, auto_refresh=not as_json) as live:
            while deadline_s is None or time.monotonic() < deadline_s:
                left_s = REFRESH_S if deadline_s is None else deadline_s - time.monotonic()
                time.sleep(max(0.0, min(REFRESH_S, left_s)))
                if sandbox.failure is not None:
                    raise sandbox.failure
                if not as_json:
                    live.update(sandbox.call(_status, sandbox))
    except KeyboardInterrupt:
        pass
    if not as_json:
        console.print("sandbox stopping")


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end it in order, also where a script put it in the background and so had Ctrl-C ignored."""
    told = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal told
        told += 1
        if told != 2:  # a wrapper such as `uv run` hands one Ctrl-C on a second time, while the broker closes
            raise KeyboardInterrupt

    ours = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, stop) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _facts(sandbox: Sandbox) -> dict[str, object]:
    given, terminal = sandbox.credentials, sandbox.settings.mt5
    return {
        "host": sandbox.settings.host,
        "demo_port": sandbox.ports.demo,
        "live_port": sandbox.ports.live,
        "oauth_port": sandbox.ports.oauth,
        "ca_file": str(sandbox.ca_file),
        "client_id": given.client_id,
        "client_secret": given.client_secret,
        "access_token": given.access_token,
        "refresh_token": given.refresh_token,
        "accounts": [account.login for account in sandbox.settings.accounts],
        "mt5_port": sandbox.ports.mt5,
        "mt5_accounts": [account.login for account in terminal.accounts] if terminal is not None else [],
    }


def _table(sandbox: Sandbox) -> Table:
    table = Table(title="Sandbox broker (simulated, this machine only)", title_justify="left", show_header=False)
    table.caption, table.caption_justify = "Ctrl-C stops it", "left"
    host, ports, given = sandbox.settings.host, sandbox.ports, sandbox.credentials
    table.add_row("demo", f"{host}:{ports.demo} (TLS)")
    table.add_row("live", f"{host}:{ports.live} (TLS)")
    table.add_row("log in", f"http://{host}:{ports.oauth}/apps/auth")
    table.add_row("certificate to trust", str(sandbox.ca_file))
    table.add_row("test credentials", f"{given.client_id} / {given.client_secret}")
    table.add_row("test tokens", f"{given.access_token} / {given.refresh_token}")
    for account in sandbox.settings.accounts:
        words = f"{account.environment}, {account.mode}, {account.currency}, 1:{account.leverage}"
        table.add_row(f"account {account.login}", f"id {account.id}, {words}, balance {account.balance}")
    if (terminal := sandbox.settings.mt5) is not None:
        table.add_row("terminal", f"{host}:{ports.mt5} (MetaTrader 5, no TLS)")
        for holder in terminal.accounts:
            words = f"MetaTrader 5, {holder.mode}, {holder.currency}, 1:{holder.leverage}"
            table.add_row(f"account {holder.login}", f"{words}, balance {holder.balance}")
    table.add_row("prices", f"{sandbox.settings.tape.source}, speed {sandbox.settings.tape.speed:g}")
    opens = sandbox.call(_opens_at, sandbox)
    if opens is not None:
        walk = "" if sandbox.settings.tape.source == "walk" else "--set tape.source=walk "
        table.add_row("market", f"closed until {opens}; around the clock: {walk}--set symbols.always_open=true")
    return table


def _opens_at(sandbox: Sandbox) -> str | None:
    """When the first symbol trades again; None while one trades."""
    now_ns = sandbox.clock.now_ns()
    hours = [terms.spec.hours for terms in sandbox.ledger.symbols.values()]
    if any(one.is_open(now_ns) for one in hours):
        return None
    opens = [at for one in hours if (at := one.next_open(now_ns)) is not None]
    return (
        time.strftime("%a %Y-%m-%d %H:%M UTC", time.gmtime(min(opens) // 1_000_000_000)) if opens else "further notice"
    )


def _status(sandbox: Sandbox) -> Text:
    """One line, made on the broker's thread so that it is of one moment."""
    venue = sandbox.venue
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(sandbox.clock.now_ns() // 1_000_000_000))
    books = [venue.ledger] if sandbox.mt5 is None else [venue.ledger, sandbox.terminal.ledger]
    accounts = [account for ledger in books for account in ledger.accounts.values()]
    ticks = sum(len(history.tick_ms) for history in venue.history.values())
    parts = [
        moment,
        f"{len(venue.connections)} connected",
        f"{ticks:,} ticks",
        f"{sum(len(a.positions) for a in accounts)} positions",
        f"{sum(len(a.working) for a in accounts)} orders",
        f"{sum(len(a.deals) for a in accounts):,} deals",
    ]
    return Text(" | ".join(parts), no_wrap=True, overflow="ellipsis")
