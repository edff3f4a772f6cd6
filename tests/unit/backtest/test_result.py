"""The result folder: whole or not at all, and as its schema says."""

import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pepperstone_adapter.backtest.quality import DataQuality
from pepperstone_adapter.backtest.result import (
    SCHEMA_FILE,
    RunFacts,
    build_result,
    check_output,
    read_result,
    recover,
    write_result,
)
from pepperstone_adapter.backtest.schema import Result
from pepperstone_adapter.common.errors import ConfigurationError, DataError
from tests.kit.records import random_trades, record_of

FACTS = RunFacts(
    name="test",
    versions={"pepperstone_adapter": "1", "nautilus_trader": "2", "python": "3", "platform": "x"},
    hashes={"settings": "a" * 64, "data": "b" * 64, "code": "c" * 64},
    profile="razor",
    platform="ctrader",
    mode="hedging",
    leverage="retail",
    margin_call_level=90.0,
    stop_out_level=50.0,
    start_ns=0,
    end_ns=86_400 * 10**9,
    resolution="H1",
    seed=1,
    instruments=("EURUSD",),
    quality=DataQuality({"EURUSD": 99.5, "XAUUSD": 98.25}, {"EURUSD": {"crossed": 3}, "XAUUSD": {}}),
    settings_yaml="a: 1\n",
)
FILES = {"result.json", "ledger.csv", "orders.csv", "fills.csv", "positions.csv", "equity.parquet", "settings.yaml"}


def test_the_folder_holds_every_file_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    document = write_result(out, record_of(random_trades(20)), FACTS)
    assert {p.name for p in out.iterdir()} == FILES
    assert json.loads((out / "result.json").read_text()) == document
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    write_result(out, record_of(random_trades(20)), FACTS, {})
    assert {p.name for p in out.iterdir()} == FILES | {"report.html"}


def test_top_level_keys_and_exact_cents() -> None:
    record = record_of(random_trades(100))
    document = build_result(record, FACTS)
    assert list(document) == [
        "schema", "name", "versions", "hashes", "period", "account", "costs", "trades", "orders", "risk", "metrics",
        "data", "engine",
    ]  # fmt: skip
    assert Decimal(str(document["account"]["end_balance"])) == record.end_balance
    assert document["hashes"]["events"] == record.events_sha256
    assert document["data"]["quality"] == 98.25
    assert document["data"]["findings_by_instrument"] == {"EURUSD": {"crossed": 3}, "XAUUSD": {}}
    commissions = -sum(r.amount for r in record.ledger if r.kind == "commission")
    assert Decimal(str(document["costs"]["commission"])) == commissions


def test_a_yen_account_has_no_cents() -> None:
    record = record_of(random_trades(3))
    record.account_currency = "JPY"
    assert build_result(record, FACTS)["account"]["end_balance"] == float(record.end_balance.quantize(Decimal(1)))


def test_the_published_schema_is_that_of_the_models() -> None:
    published = json.loads(SCHEMA_FILE.read_text())
    assert published == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(Result).json_schema(mode="serialization", by_alias=True),
    }


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"extra": 1}, "extra: "),
        ({"schema": "other/1"}, "schema: .*'pepperstone-backtest-result/1'"),
        ({"costs": None}, "costs: "),
        ({"hashes": {"settings": "short"}}, r"hashes\.settings: "),
    ],
)
def test_a_document_off_the_schema_is_not_read(tmp_path: Path, broken: dict[str, Any], words: str) -> None:
    write_result(tmp_path / "out", record_of(random_trades(3)), FACTS)
    file = tmp_path / "out" / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **broken}))
    with pytest.raises(
        DataError, match=rf"result\.json: not a result of this version \({words}.*\); run the backtest again"
    ):
        read_result(tmp_path / "out")


def test_a_folder_without_a_result(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"result\.json: no result here; run `pepperstone backtest SETTINGS --out"):
        read_result(tmp_path)
    (tmp_path / "sweep.csv").touch()
    with pytest.raises(
        DataError, match=r"a sweep, not a result; open its sweep\.html, or name one of its runs \(`--keep`"
    ):
        read_result(tmp_path)


def test_b14_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(ConfigurationError, match=r"out: is a file"):
        check_output(tmp_path / "out")
    with pytest.raises(ConfigurationError, match=r"is a file, so no folder can be made in it"):
        check_output(tmp_path / "out" / "deeper")


def test_b14_a_folder_of_other_things_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("x")
    with pytest.raises(ConfigurationError, match="holds files that are not a result"):
        write_result(tmp_path, record_of(random_trades(3)), FACTS)
    assert (tmp_path / "thesis.doc").read_text() == "x"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_b14_a_read_only_parent(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ConfigurationError, match="cannot be written"):
            check_output(tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a file system of Linux in which nobody makes folders")
def test_b14_a_parent_that_takes_no_folders() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_output(Path("/proc/x"))
    assert str(caught.value) == "/proc/x: /proc cannot be written; name another folder (--out DIR)"


def test_asking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output(tmp_path / "deep" / "out")
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_takes_a_result(tmp_path: Path) -> None:
    write_result(tmp_path, record_of(random_trades(3)), FACTS)
    assert read_result(tmp_path)["name"] == "test"


def test_a_result_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_result(out, record_of(random_trades(3)), FACTS)
    before = (out / "result.json").read_bytes()
    record = record_of(random_trades(4))
    record.end_balance = Decimal("NaN")
    with pytest.raises(ValueError):
        write_result(out, record, FACTS)
    assert (out / "result.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


# A run in a process of its own, killed or interrupted in the moment before its n-th renaming of a folder.
CUT_SHORT = """
import os, signal, sys
from pathlib import Path
from tests.kit.records import random_trades, record_of
from tests.unit.backtest.test_result import FACTS
from pepperstone_adapter.backtest.result import write_result

out, step, seen = Path(sys.argv[1]), int(sys.argv[2]), 0

def hook(event, arguments):
    global seen
    if event == "os.rename" and Path(arguments[0]).is_dir():
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.Signals[sys.argv[3]])

sys.addaudithook(hook)
write_result(out, record_of(random_trades(9)), FACTS)
"""


def cut_short(out: Path, step: int, by: str) -> int:
    command = [sys.executable, "-c", CUT_SHORT, str(out), str(step), by]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


# A run that another one comes before: in the moment of its n-th renaming, or of its look into the folder.
OVERTAKEN = """
import os, sys
from pathlib import Path
from tests.kit.records import random_trades, record_of
from tests.unit.backtest.test_result import FACTS
from pepperstone_adapter.backtest.result import write_result

out, moment, seen = Path(sys.argv[1]), sys.argv[2], 0

def hook(event, arguments):
    global moment, seen
    if event == "os.rename" and Path(arguments[0]).is_dir():
        seen += 1
    looks = event in ("os.listdir", "os.scandir") and arguments[0] == str(out)
    if moment == "looks" and looks or moment == "takes away" and seen == 1:
        moment = ""
        out.rename(out.with_name("taken by the other"))
    if moment == "puts" and seen == 2:
        moment = ""
        write_result(out, record_of(random_trades(5)), FACTS)

sys.addaudithook(hook)
try:
    write_result(out, record_of(random_trades(9)), FACTS)
except Exception as error:
    print(type(error).__name__, error, sep=": ")
"""


def overtaken(out: Path, moment: str) -> str:
    command = [sys.executable, "-c", OVERTAKEN, str(out), moment]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a folder that is renamed while it is in use")
@pytest.mark.parametrize(("moment", "left"), [("takes away", None), ("puts", 5)])
def test_two_runs_that_replace_one_result_at_once(tmp_path: Path, moment: str, left: int | None) -> None:
    out = tmp_path / "out"
    write_result(out, record_of(random_trades(3)), FACTS)
    assert overtaken(out, moment) == (
        f"ConfigurationError: {out}: another run put its result there at the same moment, and this one was not kept: run it "
        "again, or give each a folder of its own (--out DIR)\n"
    )
    assert out.exists() == (left is not None)
    if left is not None:
        assert read_result(out)["trades"]["count"] == left
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a folder that is renamed while it is in use")
def test_a_result_that_another_run_takes_away_while_one_looks_at_it_is_not_in_the_way(tmp_path: Path) -> None:
    write_result(tmp_path / "out", record_of(random_trades(3)), FACTS)
    assert overtaken(tmp_path / "out", "looks") == ""
    assert read_result(tmp_path / "out")["trades"]["count"] == 9


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("step", [1, 2])
def test_a_run_interrupted_while_it_replaces_a_result_leaves_one_and_nothing_beside_it(
    tmp_path: Path, step: int
) -> None:
    out = tmp_path / "out"
    write_result(out, record_of(random_trades(3)), FACTS)
    assert cut_short(out, step, "SIGINT") != 0
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert read_result(out)["trades"]["count"] in (3, 9)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize(("step", "found"), [(1, 3), (2, 9)])
def test_a_run_killed_while_it_replaces_a_result_leaves_one_to_be_found(tmp_path: Path, step: int, found: int) -> None:
    out = tmp_path / "out[1]"
    write_result(out, record_of(random_trades(3)), FACTS)
    assert cut_short(out, step, "SIGKILL") == -signal.SIGKILL
    if step == 2:
        with pytest.raises(DataError) as caught:
            read_result(out)
        (hidden,) = tmp_path.glob(".*.new")
        assert f"left {hidden}: rename that folder to out[1], or run the backtest again" in str(caught.value)
    recover(out)
    assert read_result(out)["trades"]["count"] == found
    assert not list(tmp_path.glob(".*"))
    recover(out)  # with nothing to do
    assert read_result(out)["trades"]["count"] == found


def test_an_older_result_whose_successor_is_lost_is_put_back(tmp_path: Path) -> None:
    write_result(tmp_path / "out", record_of(random_trades(3)), FACTS)
    (tmp_path / "out").rename(tmp_path / ".out.0a1b2c3d.old")
    recover(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert read_result(tmp_path / "out")["trades"]["count"] == 3


def test_what_is_left_of_a_folder_with_a_longer_name_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    hidden = tmp_path / ".out.v2.0a1b2c3d.old"  # of out.v2
    write_result(hidden, record_of(random_trades(3)), FACTS)
    with pytest.raises(DataError, match=r"no result here; run `pepperstone backtest SETTINGS"):
        read_result(tmp_path / "out")
    recover(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == [hidden.name]
    recover(tmp_path / "out.v2")
    assert [p.name for p in tmp_path.iterdir()] == ["out.v2"]


# A run that is killed while it writes, after it has said so.
KILLED = """
import sys
from pathlib import Path
from pepperstone_adapter.backtest.result import replacing

with replacing(Path(sys.argv[1])) as new:
    (new / "half").write_text("a table")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_the_next_run_removes_what_killed_ones_left_and_nothing_of_one_that_writes(tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "out.v2"
    command = [sys.executable, "-c", KILLED]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        subprocess.Popen([*command, str(out)], **pipes) as dead,
        subprocess.Popen([*command, str(out)], **pipes) as living,
        subprocess.Popen([*command, str(other)], **pipes) as neighbour,
    ):
        for process in (dead, living, neighbour):
            assert process.stdout.readline() == b"writing\n"
        dead.kill()
        neighbour.kill()
        assert (dead.wait(), neighbour.wait()) != (0, 0)
        (tmp_path / ".out.0a1b2c3d.new").mkdir()  # killed before anything was in it
        assert len(list(tmp_path.glob(".*.new"))) == 4
        recover(out)
        recover(out)
        assert sorted(p.name.rsplit(".", 2)[0] for p in tmp_path.glob(".*.new")) == [".out", ".out.v2"]
        living.communicate()
        assert living.returncode == 0
    assert sorted(p.name for p in out.iterdir()) == ["half"]
    recover(other)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_older_result_that_was_not_removed_any_more_is_removed_by_the_next_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_result(out, record_of(random_trades(3)), FACTS)
    write_result(tmp_path / ".out.0a1b2c3d.old", record_of(random_trades(4)), FACTS)
    recover(out)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert read_result(out)["trades"]["count"] == 3
