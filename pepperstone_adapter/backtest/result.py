"""A run's record into a result folder, whole or not at all.

Files: `result.json` (`schema.py`), `ledger.csv`, `orders.csv`, `fills.csv`, `positions.csv` and `equity.parquet`
(`tables.py`), `settings.yaml` as run, and `report.html`. They are written into a folder beside the target, which takes
its place at the end; a result that was there is replaced, anything else is refused before the run.
"""

import errno
import glob
import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pepperstone_adapter.backtest import metrics
from pepperstone_adapter.backtest.quality import DataQuality
from pepperstone_adapter.backtest.report import render
from pepperstone_adapter.backtest.report_data import Candles
from pepperstone_adapter.backtest.schema import SCHEMA_NAME, Result
from pepperstone_adapter.backtest.tables import csv_tables, equity_table
from pepperstone_adapter.broker.account import minor_digits
from pepperstone_adapter.common.errors import ConfigurationError, DataError
from pepperstone_adapter.common.files import FileLock, write_atomic
from pepperstone_adapter.simulation.record import RunRecord

RESULT = "result.json"
SCHEMA_FILE = Path(__file__).parent / "result.schema.json"  # made from `schema.Result`
RATIO_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a result must say about its run beside the record."""

    name: str
    versions: dict[str, str]
    hashes: dict[str, str]  # settings, data, code; events come from the record
    profile: str
    platform: str
    mode: str
    leverage: str
    margin_call_level: float
    stop_out_level: float
    start_ns: int
    end_ns: int
    resolution: str
    seed: int
    instruments: tuple[str, ...]
    quality: DataQuality = field(default_factory=DataQuality)
    settings_yaml: str = ""


def check_output(folder: Path, mark: str = RESULT) -> None:
    """Refuse a folder a result cannot go to, before anything has run. `mark` is the file by which an older one is known.

    Raises
    ------
    ConfigurationError
        It is a file, holds something that is not a result, or its parent cannot be written.
    """
    if folder.is_file():
        raise ConfigurationError(f"{folder}: is a file; name a folder for the result (--out DIR)")
    names = set[str]()
    # There may be none, or another run has just taken it away to put its own there.
    with suppress(FileNotFoundError, NotADirectoryError):
        names = {path.name for path in folder.iterdir()}
    if names and mark not in names:
        what = f"holds files that are not a result (there is no {mark})"
        raise ConfigurationError(f"{folder}: {what}; name another folder (--out DIR)")
    parent = next(p for p in folder.absolute().parents if p.exists())
    if not parent.is_dir():
        raise ConfigurationError(f"{folder}: {parent} is a file, so no folder can be made in it")
    try:  # what the system says of rights is not all there is to it
        tempfile.TemporaryDirectory(prefix=".", dir=parent).cleanup()
    except OSError as e:
        raise ConfigurationError(f"{folder}: {parent} cannot be written; name another folder (--out DIR)") from e


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` (an absolute path), which takes its name when the block ends well, and the place of
    one that was there; else nothing of it is left, but by a process that is killed: `recover` removes that.

    Raises
    ------
    ConfigurationError
        Another run put its folder there in the same moment.
    """
    beside = _Beside(folder, secrets.token_hex(4))
    with beside.lock():
        try:
            beside.new.mkdir()
            yield beside.new
            beside.swap()
        finally:
            if beside.old.exists() and not folder.exists():
                beside.old.rename(folder)
            beside.remove()


def recover(folder: Path) -> None:
    """Put in order what killed processes left beside `folder`: the result that one of them had taken away, or its own where
    that was whole, gets the name; the rest is removed. What a living process writes is left alone."""
    folder = folder.absolute()
    for beside in _left_beside(folder):
        with suppress(ConfigurationError, OSError), beside.lock():  # a result that cannot be written says so itself
            if beside.old.exists() and not folder.exists():
                beside.whole.rename(folder)
            beside.remove()


@dataclass(frozen=True, slots=True)
class _Beside:
    """What a process that replaces `folder` has beside it, under names with a mark of its own."""

    folder: Path
    mark: str

    @property
    def new(self) -> Path:
        return self._named("new")

    @property
    def old(self) -> Path:
        return self._named("old")

    @property
    def whole(self) -> Path:
        """Of a process that was killed between its two renamings: its own result, which is whole by then."""
        return self.new if self.new.exists() else self.old

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by whoever writes here, for as long as the process lives. Raises `ConfigurationError` where another does."""
        path, mine = self._named("lock"), False
        try:
            with FileLock(path, f"the result folder {self.folder}"):
                mine = True
                yield
        finally:
            if mine:
                with suppress(OSError):  # Windows, where another process looks at it
                    path.unlink(missing_ok=True)

    def swap(self) -> None:
        """Put the new folder in the place of what is there. Raises `ConfigurationError` where another run does so too."""
        try:
            if self.folder.exists():
                self.folder.rename(self.old)
            self.new.rename(self.folder)
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY):
                raise
            raise ConfigurationError(
                f"{self.folder}: another run put its result there at the same moment, and this one was not kept: run it "
                "again, or give each a folder of its own (--out DIR)"
            ) from e

    def remove(self) -> None:
        for path in (self.new, self.old):
            shutil.rmtree(path, ignore_errors=True)

    def _named(self, what: str) -> Path:
        return self.folder.with_name(f".{self.folder.name}.{self.mark}.{what}")


def _left_beside(folder: Path) -> list[_Beside]:
    # A lock alone is of a process that begins.
    found = folder.parent.glob(f".{glob.escape(folder.name)}.{'[0-9a-f]' * 8}.[no][el][wd]")
    return [_Beside(folder, mark) for mark in sorted({path.name.rsplit(".", 2)[1] for path in found})]


def build_result(record: RunRecord, facts: RunFacts) -> dict[str, Any]:
    """`result.json` as plain values, checked against its schema."""
    equity, balance = metrics.equity_drawdowns(record), metrics.balance_drawdowns(record)
    kept = ("profile", "platform", "mode", "leverage", "margin_call_level", "stop_out_level")
    account = {name: getattr(facts, name) for name in kept}
    quality = facts.quality
    document = {
        "schema": SCHEMA_NAME,
        "name": facts.name,
        "versions": facts.versions,
        "hashes": {**facts.hashes, "events": record.events_sha256},
        "period": {
            "start": metrics.iso(facts.start_ns),
            "end": metrics.iso(facts.end_ns),
            "days": (facts.end_ns - facts.start_ns) / 86_400e9,
        },
        "account": {**metrics.account(record), **account},
        "costs": metrics.costs(record),
        "trades": metrics.trade_section(record),
        "orders": metrics.order_section(record),
        "risk": metrics.risk_section(record, equity, balance),
        "metrics": metrics.metric_section(record, equity),
        "data": {
            "bars": record.bars,
            "ticks": record.ticks,
            "resolution": facts.resolution,
            "quality": min(quality.percent.values(), default=None),
            "quality_by_instrument": quality.percent,
            "findings_by_instrument": quality.findings,
            "closed_rows": record.closed_rows,
            "crossed_rows": record.crossed_rows,
            "lone_ask_rows": record.lone_ask_rows,
            "instruments": list(facts.instruments),
        },
        "engine": {"events": record.events, "elapsed_s": record.elapsed_s, "seed": facts.seed},
    }
    plain = _plain(document, Decimal(1).scaleb(-minor_digits(record.account_currency)))
    return Result.model_validate(plain).model_dump(mode="json", by_alias=True)


def write_result(
    folder: Path, record: RunRecord, facts: RunFacts, prices: Mapping[str, Candles] | None = None
) -> dict[str, Any]:
    """Write the folder and return the content of `result.json`.

    `prices` are the bars for the report's price charts, by instrument id; None writes no report.

    Raises
    ------
    ConfigurationError
        The folder cannot take a result (`check_output`).
    DataError
        The disk is full or not writable; nothing of the new result is left, an older one is untouched.
    """
    check_output(folder)
    document = build_result(record, facts)
    files: dict[str, bytes] = {name: text.encode() for name, text in csv_tables(record).items()}
    files["equity.parquet"] = equity_table(record.equity)
    files["settings.yaml"] = facts.settings_yaml.encode()
    files[RESULT] = (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    if prices is not None:
        files["report.html"] = render(record, document, prices, facts.settings_yaml).encode()
    try:
        with replacing(folder.absolute()) as new:
            for name, content in files.items():
                write_atomic(new / name, content)  # on the disk before the old result goes
    except OSError as e:
        raise DataError(
            f"{folder}: the result cannot be written ({e.strerror or e}); nothing was left there: make room, or choose "
            "another --out"
        ) from e
    return document


def read_result(folder: Path) -> dict[str, Any]:
    """`result.json` of a result folder, checked.

    Raises
    ------
    DataError
        There is none, or it is not one of ours.
    """
    file = folder / RESULT if folder.is_dir() else folder
    try:
        read = Result.model_validate(json.loads(file.read_bytes()))
    except FileNotFoundError as e:
        for beside in _left_beside(folder.absolute()):
            if beside.old.exists() and not folder.exists():
                raise DataError(
                    f"{folder}: no result here; a run that was killed while it put its own in place left {beside.whole}: "
                    f"rename that folder to {folder.name}, or run the backtest again"
                ) from e
        if (folder / "sweep.csv").exists():
            raise DataError(
                f"{folder}: a sweep, not a result; open its sweep.html, or name one of its runs (`--keep` keeps them in runs/)"
            ) from e
        raise DataError(f"{file}: no result here; run `pepperstone backtest SETTINGS --out {folder}`") from e
    except ValueError as e:
        first = str(e).splitlines()[0]
        if isinstance(e, ValidationError):
            wrong = e.errors(include_url=False, include_input=False)[0]
            first = f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
        raise DataError(f"{file}: not a result of this version ({first}); run the backtest again") from e
    return read.model_dump(mode="json", by_alias=True)  # what an older one does not have is at its default


def _plain(value: Any, cent: Decimal) -> Any:
    """Decimal money to a number with exact cents, ratios to six decimals; a float keeps 15 digits, so cents survive."""
    if isinstance(value, dict):
        return {key: _plain(item, cent) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, cent) for item in value]
    if isinstance(value, Decimal):
        return float(value.quantize(cent, ROUND_HALF_EVEN))
    if isinstance(value, float):
        return round(value, RATIO_DIGITS)
    return value
