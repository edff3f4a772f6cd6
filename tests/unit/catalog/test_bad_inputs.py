"""Files that cannot be trusted: one line that says what, where and what to do, exit code 3, and an untouched catalog.

The cases keep the names of the list of bad inputs this was designed against: B37 to B55 and B62; B57 to B61 are in
`test_bad_catalogs`, and B56, text that a spreadsheet would run, does not arise: nothing here writes CSV.
"""

import gzip
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pepperstone_adapter.catalog import source
from pepperstone_adapter.catalog.store import CatalogStore
from tests.unit.catalog.conftest import Run, Write

HEADER = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
TICKS = "timestamp,bid,ask\n"
GOOD = [
    "2024.01.02\t00:00:00\t1.10410\t1.10470\t1.10400\t1.10441\t812\t0\t0",
    "2024.01.02\t01:00:00\t1.10441\t1.10500\t1.10433\t1.10497\t1044\t0\t0",
    "2024.01.02\t02:00:00\t1.10497\t1.10512\t1.10391\t1.10402\t977\t0\t0",
    "2024.01.02\t03:00:00\t1.10402\t1.10455\t1.10398\t1.10450\t1200\t0\t0",
]
UTC = ("--zone", "utc")


def bars(*rows: str, end: str = "\n") -> str:
    return HEADER + "\n".join(rows) + end


def bar(time: str = "04:00:00", prices: str = "1.10450\t1.10460\t1.10440\t1.10455", volume: int = 9) -> str:
    return f"2024.01.02\t{time}\t{prices}\t{volume}\t0\t0"


def zipped(compression: int = zipfile.ZIP_DEFLATED, method: int | None = None) -> bytes:
    """The good bars as a zip file; `method` is what it says in place of its compression."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("EURUSD.csv", bars(*GOOD))
    content = bytearray(file.getvalue())
    if method is not None:
        content[8] = content[content.index(b"PK\x01\x02") + 10] = method
    return bytes(content)


def ticks(*rows: str) -> str:
    return TICKS + "".join(f"2024-01-02 {r}\n" for r in rows)


CASES = {
    "B37-empty": ("EURUSD.csv", "", UTC, r"EURUSD\.csv is empty; export the data again"),
    "B37-only-blank-lines": ("EURUSD.csv", "\n\n", UTC, r"holds no rows"),
    "B37-header-only": ("EURUSD.csv", HEADER, UTC, r"holds a header \(date, time, open, .*\) and no rows"),
    "B38-missing": (
        "EURUSD.csv", "<DATE>\t<TIME>\t<OPEN>\t<LOW>\t<CLOSE>\n2024.01.02\t00:00\t1.1\t1.1\t1.1\n", UTC,
        r"EURUSD\.csv:1: column <HIGH> is missing; seen: date, time, open, low, close \(split at '\\t'\); wanted: .*",
    ),
    "B38-double": (
        "EURUSD.csv", "timestamp,bid,ask,bid\n2024-01-02 00:00:00Z,1.1,1.2,1.1\n", UTC, r":1: column bid stands twice",
    ),
    "B38-unknown": (
        "EURUSD.csv", "when;b;a\n2024-01-02;1.1;1.2\n", UTC,
        r":1: format not recognised; columns seen: when, b, a \(split at ';'\);.* write a column map \(`pepperstone config "
        r"schema columns` shows its keys\) and give it with --columns map\.yaml",
    ),
    "B38-no-header": (
        "EURUSD.csv", "1704672000000,1.1,1.1,1.1,1.1\n1704672060000,1.1,1.1,1.1,1.1\n", (),
        r":1: no header line, and none of the formats that have none; write a column map with header: false .* --columns",
    ),
    "B38-no-header-one-price": (
        "EURUSD.csv", "20240102 000000;1.1045;1\n20240102 000001;1.1046;1\n", (),
        r":1: no header line, and none of the formats that have none; write a column map",
    ),
    "B38-no-header-few-prices": (
        "EURUSD.csv", "2024.01.02,00:00,1.1045,1.1046\n2024.01.02,00:01,1.1046,1.1047\n", UTC,
        r":1: no header line, and none of the formats that have none; write a column map",
    ),
    "B39-decimal-comma": (
        "EURUSD.csv", bars(*GOOD, bar(prices="1,10450\t1,10460\t1,10440\t1,10455")), UTC,
        r"1 row with a price that is no number \(first at .*EURUSD\.csv:6: .*1,10450.*\); it has a decimal comma",
    ),
    "B40-blank": (
        "EURUSD.csv", bars(*GOOD, bar(prices="1.10450\t\t1.10440\t1.10455")), UTC,
        r"1 row without a price \(first at .*:6: .*--skip-bad to leave them out",
    ),
    "B40-nan": ("EURUSD.csv", bars(*GOOD, bar(prices="NaN\t1.2\t1.1\t1.1")), UTC, r"1 row without a price .*:6: "),
    "B40-inf": (
        "EURUSD.csv", bars(*GOOD, bar(prices="1.1\tinf\t1.1\t1.1")), UTC, r"1 row with an infinite price .*:6: ",
    ),
    "B41-zero": (
        "EURUSD.csv", bars(*GOOD, bar(prices="0\t1.1\t0\t1.1")), UTC,
        r"1 row with a price of zero .*:6: .*--allow zero",
    ),
    "B41-negative": (
        "EURUSD.csv", bars(*GOOD, bar(prices="-1.1\t1.1\t-1.1\t1.1")), UTC,
        r"1 row with a negative price .*:6: .*--allow negative",
    ),
    "B42-crossed": (
        "EURUSD.csv", ticks("00:00:00Z,1.10411,1.10415", "00:00:01Z,1.10419,1.10415", "00:00:02Z,1.10429,1.10415"), (),
        r"2 rows with bid above ask \(first at .*EURUSD\.csv:3: .*1\.10419.*--allow crossed",
    ),
    "B43-unsorted": (
        "EURUSD.csv", bars(GOOD[0], GOOD[2], GOOD[1], GOOD[3]), UTC,
        r"1 row earlier than the row before \(first at .*:4: .*01:00:00.*use --sort$",
    ),
    "B44-duplicates": (
        "EURUSD.csv", bars(*GOOD, GOOD[3]), UTC,
        r"1 row with the time of the row before \(first at .*:6: .*use --duplicates first\|last$",
    ),
    "B45-no-zone": (
        "EURUSD.csv", bars(*GOOD), (), r"times do not say their time zone; give the server's clock with --zone",
    ),
    "B45-mixed": (
        "EURUSD.csv", ticks("00:00:00+00:00,1.10411,1.10415", "00:00:01,1.10411,1.10415"), (),
        r"some times carry an offset from UTC and some do not",
    ),
    "B45-zone-beside-offsets": (
        "EURUSD.csv", "time,bid,ask\n2024-01-02 00:00:00,1.10411,1.10415\n2024-01-02 00:00:01Z,1.10411,1.10415\n", UTC,
        r"some times carry an offset from UTC and some do not",
    ),
    "B46-all-in-the-future": (
        "EURUSD.csv", bars(*(g.replace("2024.", "2934.") for g in GOOD)), UTC,
        r"4 rows with a time before 1990 or in the future \(first at .*EURUSD\.csv:2: ",
    ),
    "B47-high-below-low": (
        "EURUSD.csv", bars(*GOOD, bar(prices="1.10450\t1.10430\t1.10440\t1.10455")), UTC,
        r"1 row with high or low not around open and close \(first at .*:6: ",
    ),
    "B47-close-above-high": (
        "EURUSD.csv", bars(*GOOD, bar(prices="1.10450\t1.10460\t1.10440\t1.10461")), UTC,
        r"1 row with high or low not around open and close \(first at .*:6: ",
    ),
    "B48-digits": (
        "EURUSD.csv", bars(*GOOD, bar(prices="1.104505\t1.10460\t1.10440\t1.10455")), UTC,
        r"1 row with more digits than the symbol has .*:6: .*--round",
    ),
    "B49-ragged": (
        "EURUSD.csv", bars(*GOOD, "2024.01.02\t04:00:00\t1.104", end=""), UTC,
        r"1 row with a wrong number of columns \(first at .*:6: .*cut off at its end",
    ),
    "B49-quotes": (
        "EURUSD.csv", bars(GOOD[0], bar("01:00:00", '"1.10450\t1.10460\t1.10440\t1.10455'), *GOOD[2:]), UTC,
        r"1 row with a price that is no number \(first at .*:3: ",
    ),
    "B53-other-symbol": (
        "prices.csv", bars(*GOOD), (*UTC, "--symbol", "USDJPY", "--round"),
        r"prices around 1\.104 cannot be USDJPY \(expected around 110\)",
    ),
    "B53-name": (
        "GBPUSD_H1.csv", bars(*GOOD), (*UTC, "--symbol", "EURUSD"), r"named after GBPUSD, but --symbol is EURUSD",
    ),
    "B53-symbol-column": (
        "EURUSD.csv",
        "timestamp,symbol,bid,ask\n2024-01-02 00:00:00Z,EURUSD,1.10,1.11\n2024-01-02 00:00:01Z,GBPUSD,1.26,1.27\n",
        (), r"holds rows of several symbols: EURUSD, GBPUSD; split it",
    ),
    "B53-ticker": (
        "EURUSD.csv",
        "<TICKER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>\n"
        "EURUSD,20240102,000000,1.1,1.2,1.1,1.2\nGBPUSD,20240102,010000,1.2,1.3,1.2,1.3\n",
        (*UTC, "--period", "H1"), r"holds rows of several symbols: EURUSD, GBPUSD; split it",
    ),
    "B53-pair": (
        "x.csv", "EUR/USD,20130101 22:00:00.295,1.32,1.33\nGBP/USD,20130101 22:00:00.395,1.32,1.33\n", (),
        r"holds rows of several symbols: EURUSD, GBPUSD; split it",
    ),
    "B55-volume": (
        "EURUSD.csv", bars(*GOOD, bar(volume=-5)), UTC, r"1 row with a negative volume \(first at .*:6: ",
    ),
    "time-unreadable": (
        "EURUSD.csv", bars(*GOOD, bar("25:00:00")), UTC, r"1 row with an unreadable time \(first at .*:6: .*25:00:00",
    ),
    "time-gap": (
        "EURUSD.csv",
        bars("2019.03.10\t08:00:00\t1.1\t1.1\t1.1\t1.1\t1\t0\t0", "2019.03.10\t09:00:00\t1.1\t1.1\t1.1\t1.1\t1\t0\t0"),
        ("--zone", "new-york+7", "--period", "H1"), r"1 row at a local time that does not exist .*:3: .*another --zone",
    ),
    "off-period": (
        "EURUSD.csv", bars(*GOOD, bar("04:17:00")), UTC, r"1 row whose time is no multiple of the period .*:6: ",
    ),
    "period-untold": ("EURUSD.csv", bars(*GOOD[:2]), UTC, r"too few rows to tell the bar period; .*--period"),
    "web-page": ("EURUSD.csv", "<!DOCTYPE html><html><body>Log in</body></html>", UTC, r"is a web page, not data"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_file_is_refused_in_one_line(case: str, run: Run, write: Write, tmp_path: Path) -> None:
    name, content, options, expected = CASES[case]
    ran = run("import", write(name, content), "--catalog", tmp_path / "catalog", *options)
    assert ran.code == 3
    assert ran.line.startswith("error: ")
    assert re.search(expected, ran.line), ran.line
    assert not list((tmp_path / "catalog").rglob("*.parquet"))
    assert not list((tmp_path / "catalog").glob(".staging/*"))


def test_b38_reordered_columns_are_read_by_name(run: Run, write: Write, tmp_path: Path) -> None:
    rows = "".join(
        f"{c.split('\t')[5]},{c.split('\t')[2]},{c.split('\t')[3]},{c.split('\t')[4]},{c[:10]},{c[11:19]}\n"
        for c in GOOD
    )
    file = write("EURUSD.csv", "<CLOSE>,<OPEN>,<HIGH>,<LOW>,<DATE>,<TIME>\n" + rows)
    assert run("import", file, "--catalog", tmp_path / "c", *UTC).code == 0
    stored = CatalogStore(tmp_path / "c").bars("EURUSD", "1-HOUR")
    assert stored.open.tolist() == [110_410, 110_441, 110_497, 110_402]
    assert stored.close.tolist() == [110_441, 110_497, 110_402, 110_450]


def test_b53_a_column_of_the_symbol_is_no_map_s_business(run: Run, write: Write, tmp_path: Path) -> None:
    rows = ["2024-01-02 00:00:00Z;EURUSD;1.10;1.11", "2024-01-02 00:00:01Z;EURUSD;1.11;1.12"]
    columns = write("map.yaml", "kind: quotes\ncolumns: {time: When, bid: B, ask: A}\n")
    arguments = ("--symbol", "EURUSD", "--columns", columns, "--catalog", tmp_path / "c")
    file = write("own.csv", "\n".join(["When;Ticker;B;A", *rows, rows[1].replace("EURUSD", "GBPUSD")]))
    ran = run("import", file, *arguments)
    assert ran.code == 3
    assert "holds rows of several symbols: EURUSD, GBPUSD; split it" in ran.line
    # The header again, where two files were put together, is a bad row and no symbol.
    file = write("own.csv", "\n".join(["When;Ticker;B;A", rows[0], "When;Ticker;B;A", rows[1]]))
    assert run("import", file, *arguments, "--skip-bad").code == 0
    assert len(CatalogStore(tmp_path / "c").quotes("EURUSD")) == 2


def test_bad_rows_can_be_left_out_and_stay_counted(run: Run, write: Write, tmp_path: Path) -> None:
    content = bars(GOOD[0], bar("00:30:00", "x\t1\t1\t1"), GOOD[1], "cut", *GOOD[2:], bar(volume=-5))
    ran = run("import", write("EURUSD.csv", content), "--catalog", tmp_path / "c", "--skip-bad", *UTC)
    assert ran.code == 0
    assert "4 rows stored" in ran.out.replace("  ", " ")
    assert "1 row with a wrong number of columns (first at line 5: 'cut')" in ran.out
    assert "1 row with a price that is no number (first at line 3:" in ran.out
    assert "1 row with a negative volume (first at line 8:" in ran.out
    assert CatalogStore(tmp_path / "c").bars("EURUSD", "1-HOUR").close.tolist() == [110_441, 110_497, 110_402, 110_450]


def test_b41_negative_prices_can_be_true(run: Run, write: Write, tmp_path: Path) -> None:
    # crude oil, 20 April 2020
    rows = [
        "2020.04.20\t18:00:00\t1.50\t1.80\t-3.10\t-2.00\t9\t0\t0",
        "2020.04.20\t19:00:00\t-2.00\t-1.00\t-40.32\t-37.63\t9\t0\t0",
    ]
    file = write("wti.csv", bars(*rows))
    options = ("--symbol", "SpotCrude", "--period", "H1", "--catalog", tmp_path / "c", *UTC)
    assert run("import", file, *options).code == 3
    assert run("import", file, *options, "--allow", "negative").code == 0
    (series,) = CatalogStore(tmp_path / "c").series()
    scale = 10 ** (series.digits - 2)
    stored = CatalogStore(tmp_path / "c").bars("SpotCrude", "1-HOUR")
    assert stored.low.tolist() == [-310 * scale, -4032 * scale]
    lows = [str(b.low) for b in CatalogStore(tmp_path / "c").framework_bars("SpotCrude", "1-HOUR")]
    assert [float(low) for low in lows] == [-3.10, -40.32]


def test_b43_sorting_gives_the_sorted_file(run: Run, write: Write, tmp_path: Path) -> None:
    assert run("import", write("EURUSD.csv", bars(*GOOD[::-1])), "--catalog", tmp_path / "a", "--sort", *UTC).code == 0
    assert run("import", write("EURUSD.csv", bars(*GOOD)), "--catalog", tmp_path / "b", *UTC).code == 0
    (a,), (b,) = (list((tmp_path / c).rglob("bars/*/*.parquet")) for c in "ab")
    assert a.name == b.name
    assert pq.read_table(a).equals(pq.read_table(b))


@pytest.mark.parametrize(("rule", "close"), [("first", 110_450), ("last", 110_499)])
def test_b44_policy_for_duplicates(rule: str, close: int, run: Run, write: Write, tmp_path: Path) -> None:
    other = bar("03:00:00", "1.10402\t1.10499\t1.10398\t1.10499")
    file = write("EURUSD.csv", bars(*GOOD, other, bar()))
    for sort in ((), ("--sort",)):
        catalog = tmp_path / f"c{len(sort)}"
        ran = run("import", file, "--catalog", catalog, "--duplicates", rule, *sort, *UTC)
        assert ran.code == 0, ran.err
        assert "1 row with the time of the row before" in ran.out
        assert CatalogStore(catalog).bars("EURUSD", "1-HOUR").close.tolist() == [
            110_441,
            110_497,
            110_402,
            close,
            110_455,
        ]


def test_b44_quotes_of_one_time_are_kept_and_counted(run: Run, write: Write, tmp_path: Path) -> None:
    file = write("EURUSD.csv", ticks(*(["00:00:00Z,1.10411,1.10415"] * 3)))
    ran = run("import", file, "--catalog", tmp_path / "c")
    assert ran.code == 0
    assert "2 rows with the time of the quote before, kept" in ran.out
    assert len(CatalogStore(tmp_path / "c").quotes("EURUSD")) == 3


@pytest.mark.parametrize(
    ("given", "scale", "looks"),
    [("s", 10**3, "ms"), ("ms", 1, "s"), ("ms", 10**6, "us"), ("us", 10**9, "ns"), ("ns", 1, "s")],
)
def test_b46_time_unit(given: str, scale: int, looks: str, run: Run, write: Write, tmp_path: Path) -> None:
    numbers = [(1_704_153_600 + i) * scale for i in range(3)]
    file = write("EURUSD.csv", "t,b,a\n" + "".join(f"{n},1.10411,1.10415\n" for n in numbers))
    columns = write("map.yaml", f"kind: quotes\ncolumns: {{time: t, bid: b, ask: a}}\nepoch: {given}\n")
    ran = run("import", file, "--catalog", tmp_path / "c", "--columns", columns)
    assert ran.code == 3
    assert f"3 rows with a time before 1990 or in the future (first at {file}:2:" in ran.line
    assert f"the numbers look like {looks}, the column map says {given}" in ran.line


def test_b48_rounding_is_explicit(run: Run, write: Write, tmp_path: Path) -> None:
    file = write("EURUSD.csv", bars(*GOOD, bar(prices="1.104504\t1.104606\t1.10440\t1.10455")))
    assert run("import", file, "--catalog", tmp_path / "c", "--round", *UTC).code == 0
    stored = CatalogStore(tmp_path / "c").bars("EURUSD", "1-HOUR")
    assert (stored.open[-1], stored.high[-1]) == (110_450, 110_461)


@pytest.mark.parametrize(
    ("encoding", "mark", "shown"),
    [
        ("utf-16-le", b"\xff\xfe", "UTF-16-LE with BOM"),
        ("utf-16-be", b"\xfe\xff", "UTF-16-BE with BOM"),
        ("utf-16-le", b"", "UTF-16-LE"),
        ("utf-16-be", b"", "UTF-16-BE"),
        ("utf-8", b"\xef\xbb\xbf", "UTF-8 with BOM"),
        ("utf-8", b"", "UTF-8"),
    ],
)
def test_b50_encodings_are_told_and_reported(
    encoding: str, mark: bytes, shown: str, run: Run, write: Write, tmp_path: Path
) -> None:
    file = write("EURUSD.csv", mark + bars(*GOOD).replace("\n", "\r\n").encode(encoding))
    ran = run("import", file, "--catalog", tmp_path / "c", *UTC)
    assert ran.code == 0, ran.err
    assert f"mt5-bars, {shown}, EURUSD" in ran.out
    assert CatalogStore(tmp_path / "c").bars("EURUSD", "1-HOUR").close.tolist() == [110_441, 110_497, 110_402, 110_450]


def test_b50_bytes_that_are_no_text(run: Run, write: Write, tmp_path: Path) -> None:
    ran = run("import", write("EURUSD.csv", b"PK\x00\x00rest\x00"), "--catalog", tmp_path / "c", *UTC)
    assert ran.code == 3
    assert "holds binary data (a NUL at byte 2)" in ran.line


@pytest.mark.parametrize(
    ("row", "kind"),
    [("caf\xe9", "1 row with a wrong number of columns"), (GOOD[1].replace("1.1", "1\xb71"), "1 row with a price")],
    ids=["columns", "number"],
)
def test_b50_a_byte_that_is_no_utf8_costs_its_own_row(
    row: str, kind: str, run: Run, write: Write, tmp_path: Path
) -> None:
    file = write("EURUSD.csv", bars(GOOD[0], row, *GOOD[2:]).encode("latin-1"))
    ran = run("import", file, "--catalog", tmp_path / "c", *UTC)
    assert ran.code == 3
    assert kind in ran.line
    assert f"{file}:3: " in ran.line
    ran = run("import", file, "--catalog", tmp_path / "c", *UTC, "--skip-bad", "--period", "H1")
    assert ran.code == 0
    assert len(CatalogStore(tmp_path / "c").bars("EURUSD", "1-HOUR")) == len(GOOD) - 1


def test_b51_gzip_bomb(run: Run, write: Write, tmp_path: Path) -> None:
    row = "2024-01-02 00:00:00Z,1.10411,1.10415\n" * 1000
    raw = TICKS.encode() + row.encode() * (source.RATIO_FREE_BYTES // len(row) + 400)
    ran = run("import", write("EURUSD.csv.gz", gzip.compress(raw, 9)), "--catalog", tmp_path / "c")
    assert ran.code == 3
    assert "unpacks to more than 200 times its size" in ran.line
    assert not list((tmp_path / "c").rglob("*.parquet"))


def test_b51_zip_bomb(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "EURUSD.zip"
    row = b"2024-01-02 00:00:00Z,1.10411,1.10415\n" * 1000
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("EURUSD.csv", TICKS.encode() + row * (source.RATIO_FREE_BYTES // len(row) + 400))
    ran = run("import", file, "--catalog", tmp_path / "c")
    assert ran.code == 3
    assert "unpacks to more than 200 times its size" in ran.line


def test_b51_the_name_does_not_decide(run: Run, write: Write, tmp_path: Path) -> None:
    ran = run("import", write("EURUSD.csv", gzip.compress(bars(*GOOD).encode())), "--catalog", tmp_path / "a", *UTC)
    assert ran.code == 0
    assert "mt5-bars, gzip, UTF-8" in ran.out
    ran = run("import", write("EURUSD.csv.gz", bars(*GOOD)), "--catalog", tmp_path / "b", *UTC)
    assert ran.code == 0
    assert "mt5-bars, UTF-8" in ran.out
    with zipfile.ZipFile(tmp_path / "EURUSD_H1.zip", "w") as archive:
        archive.writestr("readme.pdf", "x")
        archive.writestr("EURUSD_H1.csv", bars(*GOOD))
    ran = run("import", tmp_path / "EURUSD_H1.zip", "--catalog", tmp_path / "d", *UTC)
    assert ran.code == 0
    assert "mt5-bars, zip, UTF-8" in ran.out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(bars(*GOOD * 3000).encode())[:-300], "ends early inside its compression"),
        (gzip.compress(b"x")[:10] + b"\xff" * 50, "is damaged inside its compression"),
        (b"PK\x03\x04 but no zip", "is a damaged zip file"),
        (zipped().replace(b"EURUSD.csv", b"EURUSD.cs\xff", 1), "is a damaged zip file"),
        (
            zipped(zipfile.ZIP_LZMA).replace(b"]\0\0\x80\0\0", b"]\0\0\x80\0\xff", 1),
            "is damaged inside its compression",
        ),
        (zipped(method=9), "is packed by a method that cannot be read here (Deflate64"),
        (b"PAR1rest", "is a Parquet file, not rows of text"),
        (b"BZh9rest", "is bzip2-compressed"),
    ],
    # Compressed bytes hold the time: as names they would differ between the processes of a parallel run.
    ids=["gzip-short", "gzip-damaged", "zip", "zip-header", "zip-lzma", "zip-deflate64", "parquet", "bzip2"],
)
def test_b51_damaged_archives(content: bytes, words: str, run: Run, write: Write, tmp_path: Path) -> None:
    ran = run("import", write("EURUSD.csv.gz", content), "--catalog", tmp_path / "c", *UTC)
    assert ran.code == 3
    assert words in ran.line


MEMORY = """
import sys
from pathlib import Path
from pepperstone_adapter.catalog.importer import import_file
from pepperstone_adapter.catalog.request import ImportRequest, Policy
policy = Policy(sort=sys.argv[3] == "sort")
import_file(ImportRequest(catalog=Path(sys.argv[2]), file=Path(sys.argv[1]), symbol="EURUSD", policy=policy))
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["plain", "sort"])
def test_b52_memory_does_not_grow_with_the_file(mode: str, tmp_path: Path) -> None:
    peaks = []
    for rows in (600_000, 3_000_000):
        file = tmp_path / f"{rows}.csv"
        stamps = np.datetime_as_string(
            (1_704_153_600_000 + np.arange(rows) * 37).astype("datetime64[ms]"), unit="ms"
        ).tolist()
        file.write_text(TICKS + "".join(f"{s}Z,1.1{i % 9973:04d},1.2\n" for i, s in enumerate(stamps)))
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(file), str(tmp_path / f"c{rows}"), mode],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stdout))
    # five times the rows are 70 MB of text and 70 MB of columns more; less than a third of that may be seen
    assert peaks[1] - peaks[0] < 45, peaks


def test_b54_spikes_and_gaps_are_reported(run: Run, write: Write, tmp_path: Path) -> None:
    spike = bar("09:00:00", "1.10450\t1.40000\t1.10440\t1.39000")
    file = write("EURUSD.csv", bars(*GOOD, spike, bar("10:00:00", "1.10450\t1.10460\t1.10440\t1.10455")))
    ran = run("import", file, "--catalog", tmp_path / "c", *UTC)
    assert ran.code == 0
    assert "2 rows moving more than 20 % from the row before, kept" in ran.out
    ran = run("check", "--catalog", tmp_path / "c", "--threshold", "90")
    assert ran.code == 3
    assert "5 from 2024-01-02T04:00:00Z to 2024-01-02T09:00:00Z" in ran.out  # the spike is there, but not sound
    assert "1 row far from the neighbours (first 2024-01-02T10:00:00Z)" in ran.out
    # 00:00 to 11:00 are eleven hours; five have a sound bar
    assert "error: quality below 90 %: EURUSD.PEPPERSTONE-1-HOUR-BID-EXTERNAL 45.45 %" in ran.err


FULL_DISK = """
import resource, signal, sys
from pepperstone_adapter.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(main(["data", "import", *sys.argv[2:]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
@pytest.mark.parametrize("limit", [100, 4_000, 60_000])
def test_b62_a_full_disk_leaves_nothing_behind(limit: int, write: Write, tmp_path: Path) -> None:
    # The limit on a file's size fails writes as a full disk does, at the given byte.
    catalog = tmp_path / "c"
    draw = np.random.default_rng(5)
    rows = (
        f"{10 + i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z,{1.1 + b / 1e5:.5f},1.20000" for i, b in
        enumerate(draw.integers(1, 9000, 20_000))
    )  # fmt: skip
    file = write("EURUSD.csv", ticks(*rows))
    before = write("EURUSD_H1.csv", bars(*GOOD))
    command = [sys.executable, "-c", FULL_DISK]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [*command, "10000000", str(before), "--catalog", str(catalog), *UTC], check=True, capture_output=True
    )
    done = subprocess.run(
        [*command, str(limit), str(file), "--catalog", str(catalog)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(f"error: {catalog}: cannot write (")
    assert "nothing was imported: make room" in done.stderr
    (series,) = CatalogStore(catalog).series()
    assert (series.kind, series.rows) == ("bars", 4)
    assert not list(catalog.glob(".staging/*"))
