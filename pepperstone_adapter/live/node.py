"""A live node from settings: built, watched while it runs, stopped in order.

Theory of its life. *Starting*: the clients connect; what stops them (`Connection.error`) ends the process at once with
that error, and a connect that takes longer than `connect_timeout_s` ends it as well, so no process looks alive without
being connected. *Running*: claims of earlier positions are withdrawn (a manual trade from now on is nobody's), a status
line is written now and then, a link that cannot come back stops the node. *Stopping*: the first Ctrl-C (or SIGTERM)
does what `on_stop` says and stops; the second ends the process at once. The whole stop takes a few seconds at most, and
the last line says what is left at the broker.
"""

import asyncio
import gc
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nautilus_trader.common import Environment as FrameworkEnvironment
from nautilus_trader.common import FileWriterConfig, Logger, LoggerConfig, LogLevel
from nautilus_trader.live import LiveNode, LiveNodeConfig
from nautilus_trader.model import TraderId

from pepperstone_adapter.broker.account import Environment
from pepperstone_adapter.common.errors import (
    ConfigurationError,
    ConnectFailed,
    LinkLost,
    PepperstoneError,
    ReconciliationMismatch,
    RiskRefused,
)
from pepperstone_adapter.common.files import FileLock, file_name_of
from pepperstone_adapter.common.output import tell
from pepperstone_adapter.live.connection import Connection
from pepperstone_adapter.live.factories import AccountClients, connection_of, forget
from pepperstone_adapter.live.keys import label, masked, node_name
from pepperstone_adapter.live.presets import engine_config, unsafe_overrides
from pepperstone_adapter.live.recording import (
    KeepNothing,
    Recorded,
    RecordingKeeper,
    run_folder,
    streaming_config,
)
from pepperstone_adapter.live.settings import AccountSettings, LiveSettings
from pepperstone_adapter.live.status import status_line, summary
from pepperstone_adapter.live.stopping import SETTLE_S, wind_down
from pepperstone_adapter.live.strategies import LoadedStrategy, load_strategies, start_failure, stopping_alone
from pepperstone_adapter.live.tracking import Phase
from pepperstone_adapter.mapping.instruments import DEFAULT_VENUE

INTERRUPTED_EXIT_CODE = 130
NODE_NAME = "pepperstone"
STOP_TIMEOUT_S = 12.0
STARTING_STOP_TIMEOUT_S = 0.5
LINK_STOP_TIMEOUT_S = 3.0
WIND_DOWN_TIMEOUT_S = 4.0
LOG_BYTES, LOG_PARTS = 64 << 20, 20  # a run's log begins a new file at this size, and keeps so many older ones
ONE_PRESS_S = 0.3  # a wrapper such as `uv run` hands one Ctrl-C on a second time
LEVELS = {
    "DEBUG": LogLevel.DEBUG,
    "INFO": LogLevel.INFO,
    "WARNING": LogLevel.WARNING,
    "ERROR": LogLevel.ERROR,
}


class LiveRun:
    """One run of a node.

    Parameters
    ----------
    make_clients
        Turns an account of the settings into its platform's clients.
    say
        Prints a line for the person at the console.
    keeper
        Makes catalog data of what was recorded.
    """

    def __init__(
        self,
        settings: LiveSettings,
        make_clients: Callable[[AccountSettings, LiveSettings], AccountClients],
        say: Callable[[str], None],
        keeper: RecordingKeeper | None = None,
    ) -> None:
        self._settings = settings
        # The account that names the run: one with real money first.
        self._shown = min(settings.accounts, key=lambda a: a.environment is not Environment.LIVE)
        self._clients = [make_clients(account, settings) for account in settings.accounts]
        self._console = say
        self._keeper: RecordingKeeper = keeper if keeper is not None else KeepNothing()
        self._noted: set[str] | None = None  # symbols of the recording's last note
        self._instance = ""
        self._strategies, self._warnings = load_strategies(settings.strategies, [a.venue for a in settings.accounts])
        self._warnings += unsafe_overrides(settings.engine)
        self._log = Logger("status")
        self._signals = 0
        self._signalled_s = 0.0
        self._stopping: asyncio.Event | None = None
        self._failure: PepperstoneError | None = None
        self._cache: Any = None
        self._portfolio: Any = None
        self._claims_withdrawn = False

    def say(self, line: str) -> None:
        """Tell the person, under an account's label like every line of the framework's log beside it (S23).

        A console that is gone (a closed pipe, a full disk) stops nothing (F94).
        """
        if not line.startswith(tuple(label(a.environment, a.account) for a in self._settings.accounts)):
            line = f"{label(self._shown.environment, self._shown.account)} {line}"
        try:
            self._console(line)
        except (OSError, SystemExit) as error:  # rich would leave the program where a pipe was closed
            why = error.strerror if isinstance(error, OSError) else "closed"
            self._log.warning(f"the console takes nothing more: {why}")
            tell(f"warning: standard output: {why}; the node goes on and shows nothing more there")

    def describe(self) -> None:
        """Say what would run."""
        for line in banner(self._settings, self._strategies):
            self.say(line)
        for warning in self._warnings:
            self.say(f"warning: {warning}")

    def run(self) -> int:
        """Run until the strategies, a person or the broker ends it.

        Returns
        -------
        The exit code: 0 when a strategy stopped the node, 130 after Ctrl-C or SIGTERM.

        Raises
        ------
        PepperstoneError
            What ended the run otherwise.
        """
        with ExitStack() as locks:
            for clients in self._clients:
                locks.enter_context(self._lock(clients.account))
            self.describe()
            node = LiveNode.build(
                NODE_NAME,
                self._config(),
                data_factories={c.account.venue: c.data_factory for c in self._clients if c.account.data},
                exec_factories={c.account.venue: c.exec_factory for c in self._clients if c.account.trading},
            )
            self._instance = str(node.instance_id)
            main = self._main(node)
            try:
                for one in self._strategies:
                    node.add_strategy(stopping_alone(one.strategy))
                    if one.claims:
                        one.strategy.set_external_order_instrument_ids(list(one.claims))
                asyncio.run(main)
            finally:
                main.close()  # one that Ctrl-C kept from beginning ends without a warning
                lines = self._sum_up()
                recorded = self._recorded()
                node.dispose()
                del node  # with it the framework's logger writes what it still holds, before we say more
                for line in lines:
                    self.say(line)
                self._refuse_risk()
                for clients in self._clients:
                    forget(clients.key)
                self._cache = self._portfolio = None
            if recorded is not None:
                for line in self._keeper.keep(recorded):
                    self.say(line)
        if self._failure is not None:
            raise self._failure
        return INTERRUPTED_EXIT_CODE if self._signals else 0

    def _sum_up(self) -> list[str]:
        known = ((c.account, connection_of(c.key)) for c in self._clients)
        return [summary(account, c, self._cache) for account, c in known if c is not None and c.snapshot is not None]

    def _recorded(self) -> Recorded | None:
        """The run's recording; None without one, and before an account has answered."""
        record = self._settings.record
        known = [(c.account, connection_of(c.key)) for c in self._clients if c.account.data]
        # Catalog data is named by the one venue of backtests; what another venue's account saw stays with the run.
        known.sort(key=lambda one: one[0].venue != DEFAULT_VENUE)
        if record is None or not known:
            return None
        account, connection = known[0]
        if connection is None or connection.account is None:
            return None
        return Recorded(
            run=run_folder(record, self._instance),
            catalog=record.catalog,
            specs=dict(connection.specs) if account.venue == DEFAULT_VENUE else {},
            platform=account.platform,
            source=f"{account.platform} {label(account.environment, account.account)} {connection.account.broker}",
        )

    def _note_recording(self) -> None:
        """Keep the note beside the run's files: a kill must not make them worthless."""
        recorded = self._recorded() if self._settings.record is not None else None
        if recorded is None or self._noted == set(recorded.specs):
            return
        self._noted = set(recorded.specs)
        try:
            self._keeper.note(recorded)
        except (OSError, PepperstoneError) as error:
            self._log.warning(f"recording: no note could be written beside {recorded.run}: {error}")

    def _lock(self, account: AccountSettings) -> FileLock:
        name = file_name_of(f"{account.platform}-{account.environment.value}-{account.account}")
        return FileLock(self._settings.state_dir / "locks" / f"{name}.lock", f"account {masked(account.account)}")

    def _config(self) -> LiveNodeConfig:
        settings = self._settings
        log = settings.log
        run = node_name(self._shown.environment, self._shown.account)
        return LiveNodeConfig(
            # The trader id stands on every log line of the framework: it says DEMO or LIVE and the masked account.
            trader_id=TraderId(run),
            # To the framework every venue that is reached over a wire is live, a demo account's too.
            environment=FrameworkEnvironment.LIVE,
            logging=LoggerConfig(
                stdout_level=LEVELS[log.level],
                fileout_level=LEVELS[log.file_level] if log.dir is not None else None,
                file_config=log_file(log.dir, run) if log.dir is not None else None,
                print_config=False,
                is_colored=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
                component_levels={NODE_NAME: "WARN"},  # its banner of the machine and its libraries
            ),
            exec_engine=engine_config(settings.engine),
            data_clients={c.account.venue: c.data_config for c in self._clients if c.account.data},
            exec_clients={c.account.venue: c.exec_config for c in self._clients if c.account.trading},
            streaming=streaming_config(settings.record) if settings.record is not None else None,
            timeout_connection_secs=settings.connect_timeout_s,
            timeout_reconciliation_secs=settings.connect_timeout_s,
            timeout_disconnection_secs=SETTLE_S + 5.0,
            delay_post_stop_secs=0.5,
        )

    # -- on the loop --------------------------------------------------------------------------------------------------

    async def _main(self, node: LiveNode) -> None:
        self._cache, self._portfolio = node.cache, node.portfolio
        self._stopping = asyncio.Event()
        handle = node.handle()
        for number in (signal.SIGINT, signal.SIGTERM):
            install_signal(number, self._on_signal)
        running = asyncio.ensure_future(node.run_async())
        watching = asyncio.ensure_future(self._watch(handle))
        try:
            await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await self._stop(handle, running)
            self._finish(running)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            gc.unfreeze()

    async def _stop(self, handle: Any, running: "asyncio.Future[None]") -> None:
        """Stop in order; by force where the framework would wait for its own timeouts."""
        starting = not handle.is_running
        handle.stop()
        await asyncio.wait({running}, timeout=STARTING_STOP_TIMEOUT_S if starting else STOP_TIMEOUT_S)
        if running.done():
            return
        # While it connects, the framework hears a stop only after its connect timeout: end the links and the run here.
        await asyncio.wait([asyncio.ensure_future(c.abort()) for c in self._connections()], timeout=LINK_STOP_TIMEOUT_S)
        running.cancel()
        await asyncio.wait({running}, timeout=1.0)
        if not starting:
            self._log.error(f"the node did not stop within {STOP_TIMEOUT_S:g} s; ended by force")

    def _finish(self, running: "asyncio.Future[None]") -> None:
        """Keep the most telling reason of a failed run: what a connection said before what the framework made of it."""
        error = None if running.cancelled() or not running.done() else running.exception()
        if error is None or self._failure is not None:
            return
        cause = next((c.error for c in self._connections() if c.error is not None), None)
        if isinstance(cause, PepperstoneError):
            self._failure = cause
        elif "unresolved" in str(error).lower():
            # The framework makes this list before it takes in what came while the links were being closed.
            listed = re.findall(r'"([^"]+)"', str(error))
            unknown = [name for name in listed if not self._answered(name)]
            if unknown or not listed:
                self._failure = ReconciliationMismatch(
                    f"stopped with orders whose outcome is unknown ({', '.join(unknown) or error}); "
                    "look at the account; the next start asks"
                )
        elif (failed := start_failure(error)) is not None:
            self._failure = failed
        else:
            self._failure = ConnectFailed(
                f"the node could not start or run: {cause or error} (connect_timeout_s: "
                f"{self._settings.connect_timeout_s:g})"
            )

    def _answered(self, client_order_id: str) -> bool:
        """Whether a broker has told what became of an order."""
        clients = (c.execution for c in self._connections() if c.execution is not None)
        orders = (client.table.get(client_order_id) for client in clients)
        return any(order is not None and order.phase is not Phase.SUBMITTED for order in orders)

    def _refuse_risk(self) -> None:
        """A run that ends by itself while it takes no new risk says so: what starts it again would lift the halt."""
        if self._signals or isinstance(self._failure, ReconciliationMismatch):
            return
        for connection in self._connections():
            halted = connection.execution.halted if connection.execution is not None else None
            if halted is not None and halted != connection.fault:
                also = f"; {self._failure}" if self._failure is not None else ""
                self._failure = RiskRefused(
                    f"ended when no new risk was taken any more: {halted}{also}; look at the account"
                )
                return

    def _connections(self) -> list[Connection]:
        found = (connection_of(c.key) for c in self._clients)
        return [c for c in found if c is not None]

    async def _watch(self, handle: Any) -> None:
        """Return when the node shall stop."""
        for connection in self._connections():
            if connection.execution is not None:
                connection.execution.may_tell_strangers = lambda: self._claims_withdrawn
        while not handle.is_running:
            if self._stop_wanted() or self._connect_failed():
                return
            await asyncio.sleep(0.05)
        for one in self._strategies:
            if one.claims:
                one.strategy.set_external_order_instrument_ids([])
        self._claims_withdrawn = True
        # What the start made stays to the end: a full collection that walks it would hold an order up for 60 ms.
        gc.collect()
        gc.freeze()
        loop = asyncio.get_running_loop()
        next_status = loop.time() + self._settings.status_interval_s
        while True:
            self._note_recording()
            await asyncio.sleep(0.1)
            if self._stop_wanted():
                await self._wind_down()
                return
            for link in self._connections():
                if link.fault is not None:
                    self._failure = LinkLost(f"the link to the broker is down for good: {link.fault}")
                    return
            if self._settings.status_interval_s and loop.time() >= next_status:
                next_status = loop.time() + self._settings.status_interval_s
                for clients in self._clients:
                    known = connection_of(clients.key)
                    if known is not None:
                        line = status_line(clients.account, known, self._cache, self._portfolio)
                        self._log.info(line)
                        if self._settings.log.level not in ("DEBUG", "INFO"):
                            self.say(line)  # the level is for the framework's lines; this one was asked for

    def _stop_wanted(self) -> bool:
        return self._stopping is not None and self._stopping.is_set()

    def _connect_failed(self) -> bool:
        for connection in self._connections():
            if connection.error is not None:
                error = connection.error
                self._failure = (
                    error
                    if isinstance(error, PepperstoneError)
                    else ConnectFailed(f"could not connect: {type(error).__name__}: {error}")
                )
                return True
        return False

    async def _wind_down(self) -> None:
        policy = self._settings.on_stop
        if policy.positions == "close":
            for one in self._strategies:
                self._exit(one.strategy)
        for connection in self._connections():
            execution = connection.execution
            if execution is not None:
                await wind_down(
                    execution,
                    cancel=policy.orders == "cancel",
                    flat=policy.positions == "close",
                    timeout_s=WIND_DOWN_TIMEOUT_S,
                )

    def _exit(self, strategy: Any) -> None:
        if strategy.is_running():
            strategy.market_exit()
            return
        # One that has stopped itself hears of no exit; what it holds is closed all the same.
        for position in self._cache.positions_open(strategy_id=strategy.strategy_id):
            strategy.close_position(position)

    def _on_signal(self) -> None:
        now_s = time.monotonic()
        if self._signals and now_s - self._signalled_s < ONE_PRESS_S:
            return
        self._signals += 1
        self._signalled_s = now_s
        if self._signals > 1:
            os._exit(INTERRUPTED_EXIT_CODE)
        policy = self._settings.on_stop
        self.say(f"stopping: orders {policy.orders}, positions {policy.positions}; once more ends at once")
        if self._stopping is not None:
            self._stopping.set()


def log_file(folder: Path, run: str) -> FileWriterConfig:
    """A log file of its own for each run: the framework would append to one that is there.

    Raises
    ------
    ConfigurationError
        The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"log.dir: {folder} cannot be written ({error.strerror}); name another folder"
        ) from error
    begun = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return FileWriterConfig(directory=str(folder), file_name=f"{begun}-{run}", file_rotate=(LOG_BYTES, LOG_PARTS))


def install_signal(number: int, handler: Callable[[], None]) -> None:
    """Run `handler` on the running loop when a signal comes, on Windows too (its loops know no signal handlers)."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(number, handler)
    except (NotImplementedError, ValueError, RuntimeError):
        try:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(handler))
        except ValueError:
            return  # not the main thread: whoever started it stops it


def banner(settings: LiveSettings, strategies: list[LoadedStrategy]) -> list[str]:
    """What a person reads before anything is connected."""
    lines = []
    for account in settings.accounts:
        name = label(account.environment, account.account)
        money = "REAL MONEY" if account.environment is Environment.LIVE else "no real money"
        lines.append(
            f"{name} ({money}): {account.platform}, venue {account.venue}, "
            f"{', '.join(account.symbols) or 'all symbols'}"
        )
    lines += [
        f"strategy {one.name}: {', '.join(map(str, one.instruments)) or 'no instrument named'}" for one in strategies
    ]
    lines.append(
        f"Ctrl-C once: orders {settings.on_stop.orders}, positions {settings.on_stop.positions}; twice: at once"
    )
    return lines
