"""Pieces of a download on the disk: killed before any single step of its writing it goes on, and ends with the same rows;
and pieces of different digits."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.download_store import DownloadSeries
from pepperstone_adapter.catalog.store import CatalogStore

US500 = symbol_table.get("US500")
HOUR, START = 3_600_000_000_000, 1_704_153_600_000_000_000

# One process prepares everything; each attempt is a fork of it, killed before its n-th change of the file system.
SCRIPT = """
import json, os, shutil, signal, sys
from pathlib import Path
import numpy as np
from pepperstone_adapter.broker import symbol_table
from pepperstone_adapter.broker.market import BarPeriod
from pepperstone_adapter.catalog.bad_rows import BadRows
from pepperstone_adapter.catalog.columns import Chunk
from pepperstone_adapter.catalog.download_store import DownloadSeries
from pepperstone_adapter.catalog.store import CatalogStore

MINUTE, START, PIECE = 60_000_000_000, 1_609_718_400_000_000_000, 40
CHANGES = {"os.rename", "os.remove", "os.mkdir", "shutil.rmtree", "os.truncate"}
catalog = Path(sys.argv[1])
answer = catalog.with_name("answer.json")

def piece(n):
    at = np.arange(n * PIECE, (n + 1) * PIECE)
    price = 120_000 + at % 977
    values = {"open": price, "high": price + 5, "low": price - 5, "close": price + 1, "ticks": at % 31 + 1}
    return Chunk(START + (at + 1) * MINUTE, values), (START + n * PIECE * MINUTE, START + (n + 1) * PIECE * MINUTE)

def download():
    series = DownloadSeries(catalog, symbol_table.get("EURUSD"), BarPeriod.M1, "kit DEMO-x1")
    for n in (0, 1):
        chunk, read = piece(n)
        if not any(a <= read[0] and read[1] <= b for a, b in series.covered()):
            series.store(chunk, read, BadRows())

def digest():
    store = CatalogStore(catalog)
    (series,) = store.series()
    return [store.digest(series), series.rows, len(series.files), store.instrument("EURUSD").price_precision]

def go_on():
    rows = sum(s.rows for s in CatalogStore(catalog).series()) if (catalog / "data").is_dir() else 0
    download()
    return [rows, *digest()]

def in_fork(work):
    # Everything that starts Arrow's threads runs in a fork: a process that has some must not be forked again.
    pid = os.fork()
    if pid == 0:
        answer.write_text(json.dumps(work()))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def told(work):
    assert in_fork(work) == 0
    return json.loads(answer.read_text())

def killed_at(step):
    seen = 0
    def hook(event, args):
        nonlocal seen
        change = event in CHANGES or (event == "open" and isinstance(args[1], str) and args[1][:1] in "wxa")
        seen += change
        if change and seen == step:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    download()

_, *whole = told(go_on)
step = kills = 0
while True:
    step += 1
    shutil.rmtree(catalog)
    if in_fork(lambda: killed_at(step)) == 0:
        break
    kills += 1
    rows, *found = told(go_on)
    assert rows % PIECE == 0, step  # never a part of a piece
    assert found[:2] == whole[:2], (step, found, whole)  # however the rows are filed
    assert not any((catalog / ".staging").glob("*/journal.json")), step  # nothing is left half done
print(kills, *whole[1:])
"""


@pytest.mark.slow
@pytest.mark.timeout(600)  # some sixty processes one after the other: half a minute, and four beside other work
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_at_every_step_it_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "catalog")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kills, rows, files, digits = map(int, done.stdout.split())
    assert kills > 20
    assert (rows, files, digits) == (80, 1, 5)


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("hours_later", [0, 1000], ids=["next", "later"])
def test_a_broker_that_changes_the_digits_of_a_symbol_costs_no_price_a_digit(
    first: int, then: int, hours_later: int, tmp_path: Path
) -> None:
    # 4512.3 with one digit, 4512.37 with two: two days apart, or one after the other, where pieces are put together.
    prices = {1: 45_123, 2: 451_237}
    start, read = 0, []
    for digits in (first, then):
        closes = START + HOUR * np.arange(start + 1, start + 11)
        price = np.full(10, prices[digits])
        chunk = Chunk(
            closes, {**dict.fromkeys(("open", "high", "low", "close"), price), "ticks": np.ones(10, np.int64)}
        )
        series = DownloadSeries(tmp_path, replace(US500, digits=digits), BarPeriod.H1, "kit")
        assert series.store(chunk, (int(closes[0]) - HOUR, int(closes[-1])), BadRows()) == 10
        read += [prices[digits] * 10 ** (2 - digits)] * 10
        start += 10 + hours_later
    store = CatalogStore(tmp_path)
    (stored,) = store.series()
    assert stored.digits == 2
    assert store.bars("US500", "1-HOUR").close.tolist() == read
