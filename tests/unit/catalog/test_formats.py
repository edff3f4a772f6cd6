"""Every format we know, from rows written out by hand to stored values."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pepperstone_adapter.catalog.manifest import iso, records
from pepperstone_adapter.catalog.store import CatalogStore
from tests.unit.catalog.conftest import Run, Write


def times(values: np.ndarray) -> list[str]:
    return [iso(int(t)) for t in values]


def test_mt5_ticks_carry_the_side_that_did_not_change(run: Run, write: Write, tmp_path: Path) -> None:
    file = write(
        "EURUSD.csv",
        "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n"
        "2024.07.01\t00:05:00.120\t1.07301\t\t\t\t2\n"  # no ask yet: cannot be a quote
        "2024.07.01\t00:05:00.350\t\t1.07306\t\t\t4\n"
        "2024.07.01\t00:05:01.000\t1.07302\t\t\t\t2\n"
        "2024.07.01\t00:05:01.001\t1.07303\t1.07307\t\t\t6\n",
    )
    ran = run("import", file, "--catalog", tmp_path / "c", "--zone", "new-york+7")
    assert ran.code == 0, ran.err
    assert "1 row before both sides were known, left out" in ran.out
    quotes = CatalogStore(tmp_path / "c").quotes("EURUSD")
    # summer: New York is UTC-4, the server UTC+3
    assert times(quotes.ts_ns) == ["2024-06-30T21:05:00.35Z", "2024-06-30T21:05:01Z", "2024-06-30T21:05:01.001Z"]
    assert quotes.bid.tolist() == [107_301, 107_302, 107_303]
    assert quotes.ask.tolist() == [107_306, 107_306, 107_307]


def test_sorting_does_not_guess_what_a_blank_side_stood_for(run: Run, write: Write, tmp_path: Path) -> None:
    head = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n"
    rows = [
        "2024.07.01\t00:05:00.350\t1.07301\t1.07306\t\t\t6\n",
        "2024.07.01\t00:05:01.000\t1.07302\t\t\t\t2\n",
        "2024.07.01\t00:05:02.000\t1.07305\t1.07310\t\t\t6\n",
    ]
    options = ("--catalog", tmp_path / "c", "--zone", "new-york+7", "--sort")
    # Read backwards, the blank ASK of the second row would become that of the third: 1.07310.
    ran = run("import", write("EURUSD.csv", head + "".join(rows[::-1])), *options)
    assert ran.code == 3
    assert "rows out of order and blank sides that stand for the price before them" in ran.err
    assert not list((tmp_path / "c").rglob("*.parquet"))
    assert run("import", write("EURUSD.csv", head + "".join(rows)), *options).code == 0
    assert CatalogStore(tmp_path / "c").quotes("EURUSD").ask.tolist() == [107_306, 107_306, 107_310]


@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_mt5_bars_are_stamped_with_their_close(delimiter: str, run: Run, write: Write, tmp_path: Path) -> None:
    text = (
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2024.01.02\t00:00:00\t141.001\t141.100\t140.900\t141.050\t68\t0\t3\n"
        "2024.01.02\t00:15:00\t141.050\t141.051\t141.049\t141.050\t1\t0\t3\n"
        "2024.01.02\t00:30:00\t141.050\t141.052\t141.049\t141.051\t3\t0\t3\n"
    )
    file = write("USDJPY_M15.csv", text.replace("\t", delimiter))
    assert run("import", file, "--catalog", tmp_path / "c", "--zone", "new-york+7").code == 0
    bars = CatalogStore(tmp_path / "c").bars("USDJPY", "15-MINUTE")
    # the bar that opened at 00:00 server time, 22:00 UTC, is complete at 22:15
    assert times(bars.ts_ns) == ["2024-01-01T22:15:00Z", "2024-01-01T22:30:00Z", "2024-01-01T22:45:00Z"]
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0]) == (141_001, 141_100, 140_900, 141_050)
    assert bars.ticks.tolist() == [68, 1, 3]
    first = CatalogStore(tmp_path / "c").framework_bars("USDJPY", "15-MINUTE")[0]
    prices = [str(x) for x in (first.open, first.high, first.low, first.close)]
    assert str(first.bar_type) == "USDJPY.PEPPERSTONE-15-MINUTE-BID-EXTERNAL"
    assert prices == ["141.001", "141.100", "140.900", "141.050"]
    assert str(first.volume) == "6800000000"  # 68 ticks of 100 million units
    assert first.ts_event == first.ts_init


def test_daily_bars_close_at_server_midnight_over_a_clock_change(run: Run, write: Write, tmp_path: Path) -> None:
    rows = "".join(f"2019.03.{day:02d}\t1.1\t1.2\t1.0\t1.1\t9\t0\t0\n" for day in (6, 7, 8, 11, 12))
    file = write("EURUSD_D1.csv", "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n" + rows)
    assert run("import", file, "--catalog", tmp_path / "c", "--zone", "new-york+7", "--allow", "instrument").code == 0
    bars = CatalogStore(tmp_path / "c").bars("EURUSD", "1-DAY")
    # 17:00 New York: 22:00 UTC until Friday the 8th, 21:00 UTC from Monday the 11th on
    assert times(bars.ts_ns) == [
        "2019-03-06T22:00:00Z", "2019-03-07T22:00:00Z", "2019-03-08T22:00:00Z",
        "2019-03-11T21:00:00Z", "2019-03-12T21:00:00Z",
    ]  # fmt: skip


def test_mt4_style_rows_without_header(run: Run, write: Write, tmp_path: Path) -> None:
    rows = "".join(f"2024.01.02,0{h}:00,1.10410,1.10470,1.10400,1.10441,{h + 1}\n" for h in range(4))
    ran = run(
        "import", write("EURUSD60.csv", rows), "--symbol", "EURUSD", "--catalog", tmp_path / "c", "--zone", "+02:00"
    )
    assert ran.code == 0, ran.err
    assert "no header: columns taken as date, time, open, high, low, close, tick volume" in ran.out
    bars = CatalogStore(tmp_path / "c").bars("EURUSD", "1-HOUR")
    assert times(bars.ts_ns)[0] == "2024-01-01T23:00:00Z"
    assert bars.ticks.tolist() == [1, 2, 3, 4]


def test_integer_points_lose_their_float_noise(run: Run, write: Write, tmp_path: Path) -> None:
    file = write(
        "XAUUSD.csv",
        "Date,open,high,low,close,tick_volume\n"
        "2019-03-08 22:00:00,129930.0,130064.00000000001,129899.99999999999,130001.0,677\n"
        "2019-03-08 23:00:00,129996.0,130024.0,129783.99999999999,129800.0,9\n",
    )
    assert run("import", file, "--period", "H1", "--catalog", tmp_path / "c", "--zone", "Europe/Athens").code == 0
    bars = CatalogStore(tmp_path / "c").bars("XAUUSD", "1-HOUR")
    assert (bars.high.tolist(), bars.low.tolist()) == ([130_064, 130_024], [129_900, 129_784])
    assert times(bars.ts_ns) == ["2019-03-08T21:00:00Z", "2019-03-08T22:00:00Z"]


def test_histdata_is_eastern_standard_time_all_year(run: Run, write: Write, tmp_path: Path) -> None:
    rows = "20200701 170000065,1.121200,1.121720,0\n20200701 170010447,1.121200,1.121920,0\n"
    file = write("DAT_ASCII_EURUSD_T_202007.csv", rows)
    assert run("import", file, "--catalog", tmp_path / "c").code == 0
    quotes = CatalogStore(tmp_path / "c").quotes("EURUSD")
    # in July too: 17:00 EST is 22:00 UTC, though New York's clocks show 18:00
    assert times(quotes.ts_ns) == ["2020-07-01T22:00:00.065Z", "2020-07-01T22:00:10.447Z"]
    assert quotes.ask.tolist() == [112_172, 112_192]


def test_histdata_bars_are_eastern_standard_time_too(run: Run, write: Write, tmp_path: Path) -> None:
    rows = "".join(f"20200701 170{i}00;1.121200;1.121300;1.121100;1.12121{i};0\n" for i in ("1", "2"))
    assert rows.startswith("20200701 170100;")
    file = write("DAT_ASCII_EURUSD_M1_2020.csv", rows)
    ran = run("import", file, "--catalog", tmp_path / "c", "--period", "M1", "--round")
    assert ran.code == 0, ran.err
    bars = CatalogStore(tmp_path / "c").bars("EURUSD", "1-MINUTE")
    # The bar of 17:01 EST closes at 17:02, which is 22:02 UTC in July too.
    assert times(bars.ts_ns) == ["2020-07-01T22:02:00Z", "2020-07-01T22:03:00Z"]
    assert bars.high.tolist() == [112_130, 112_130]
    assert bars.ticks.tolist() == [1, 1]  # their volume is always 0: no count of ticks


def test_truefx_rows_name_their_pair(run: Run, write: Write, tmp_path: Path) -> None:
    file = write(
        "truefx.csv", "EUR/USD,20130101 22:00:00.295,1.32010,1.32080\nEUR/USD,20130101 22:00:01.001,1.32011,1.32080\n"
    )
    assert run("import", file, "--catalog", tmp_path / "c").code == 0
    quotes = CatalogStore(tmp_path / "c").quotes("EURUSD")
    assert times(quotes.ts_ns) == ["2013-01-01T22:00:00.295Z", "2013-01-01T22:00:01.001Z"]
    assert quotes.bid.tolist() == [132_010, 132_011]


def test_bid_and_ask_files_must_not_cross(run: Run, write: Write, tmp_path: Path) -> None:
    rows = "timestamp,open,high,low,close\n" + "".join(
        f"2012-02-01 00:0{i}:00+00:00,1.57575,1.57606,1.57500,1.5757{i}\n" for i in range(4)
    )
    bid, ask = write("gbpusd-m1-bid.csv", rows), write("gbpusd-m1-ask.csv", rows.replace(",1.5757", ",1.5760"))
    assert run("import", bid, ask, "--catalog", tmp_path / "c").code == 0
    store = CatalogStore(tmp_path / "c")
    assert store.bars("GBPUSD", "1-MINUTE", "ASK").close[0] - store.bars("GBPUSD", "1-MINUTE").close[0] == 30
    ran = run("import", write("swapped.csv", rows), "--side", "bid", "--symbol", "GBPUSD", "--catalog", tmp_path / "d")
    assert ran.code == 0
    low = write("gbpusd-low-ask.csv", rows.replace(",1.5757", ",1.5756"))
    ran = run("import", low, "--catalog", tmp_path / "d")
    assert ran.code == 3
    assert "4 bars have bid above ask against the stored GBPUSD.PEPPERSTONE-1-MINUTE-BID-EXTERNAL" in ran.line


def test_any_csv_by_a_column_map(run: Run, write: Write, tmp_path: Path) -> None:
    file = write(
        "prices.csv",
        "Gmt time;BidO;BidH;BidL;BidC;AskO;AskH;AskL;AskC;Vol\n"
        "03.04.2025 10:00:00.000;1,10;1,12;1,09;1,11;1,1002;1,1202;1,0902;1,1102;5\n"
        "03.04.2025 10:05:00.000;1,11;1,12;1,10;1,11;1,1102;1,1202;1,1002;1,1102;7\n"
        "03.04.2025 10:10:00.000;1,11;1,12;1,10;1,11;1,1102;1,1202;1,1002;1,1102;8\n",
    )
    columns = write(
        "map.yaml",
        "kind: bars\ndecimal: ','\ntime_form: DD.MM.YYYY hh:mm:ss.fff\nzone: utc\n"
        "columns: {time: Gmt time, bid_open: BidO, bid_high: BidH, bid_low: BidL, bid_close: BidC,\n"
        "          ask_open: AskO, ask_high: AskH, ask_low: AskL, ask_close: AskC, volume: Vol}\n",
    )
    ran = run("import", file, "--symbol", "EURUSD", "--columns", columns, "--catalog", tmp_path / "c")
    assert ran.code == 0, ran.err
    store = CatalogStore(tmp_path / "c")
    bid, ask = store.bars("EURUSD", "5-MINUTE", "BID"), store.bars("EURUSD", "5-MINUTE", "ASK")
    assert times(bid.ts_ns) == ["2025-04-03T10:05:00Z", "2025-04-03T10:10:00Z", "2025-04-03T10:15:00Z"]
    assert (ask.close - bid.close).tolist() == [20, 20, 20]
    assert bid.ticks.tolist() == ask.ticks.tolist() == [5, 7, 8]


@pytest.mark.parametrize("form", ["", "time_form: YYYY-MM-DD hh:mm:ss+oo:oo\n"])
def test_times_with_an_offset_need_no_zone_in_a_column_map(form: str, run: Run, write: Write, tmp_path: Path) -> None:
    rows = "".join(f"2024-03-04 {9 + i:02}:00:00+02:00,1.1,1.2,1.0,1.1,1.1\n" for i in range(3))
    file = write("EURUSD.csv", "Datetime,Open,High,Low,Close,Adj Close\n" + rows)
    columns = write(
        "map.yaml", f"kind: bars\ncolumns: {{time: Datetime, open: Open, high: High, low: Low, close: Close}}\n{form}"
    )
    ran = run("import", file, "--columns", columns, "--catalog", tmp_path / "c")
    assert ran.code == 0, ran.err
    assert "times with their own offset" in ran.out
    # opened at 09:00 of a clock two hours ahead of UTC, closed an hour later
    stored = times(CatalogStore(tmp_path / "c").bars("EURUSD", "1-HOUR").ts_ns)
    assert stored == ["2024-03-04T08:00:00Z", "2024-03-04T09:00:00Z", "2024-03-04T10:00:00Z"]
    ran = run("import", file, "--columns", columns, "--catalog", tmp_path / "d", "--zone", "utc")
    assert ran.code == 3
    assert "its times carry their own offset from UTC; leave --zone out" in ran.line


def test_a_form_of_date_and_clock_in_columns_of_their_own(run: Run, write: Write, tmp_path: Path) -> None:
    rows = "".join(f"04/03/2024;{9 + i}:00;1.1;1.2;1.0;1.1\n".replace(";9:", ";09:") for i in range(3))
    file = write("EURUSD.csv", "Date;Time;Open;High;Low;Close\n" + rows)
    text = "kind: bars\ncolumns: {date: Date, clock: Time, open: Open, high: High, low: Low, close: Close}\nzone: utc\n"
    for form in ("DD/MM/YYYY hh:mm", "DD/MM/YYYY"):
        columns = write("map.yaml", f"{text}time_form: {form}\n")
        assert run("import", file, "--columns", columns, "--catalog", tmp_path / form[-2:]).code == 0
        stored = CatalogStore(tmp_path / form[-2:]).bars("EURUSD", "1-HOUR")
        assert times(stored.ts_ns) == ["2024-03-04T10:00:00Z", "2024-03-04T11:00:00Z", "2024-03-04T12:00:00Z"]
    columns = write("map.yaml", f"{text}time_form: MM-DD-YYYY hh:mm\n")
    ran = run("import", file, "--columns", columns, "--catalog", tmp_path / "c")
    assert ran.code == 3
    assert "3 rows with an unreadable time" in ran.line
    assert "the column map's time_form is MM-DD-YYYY hh:mm" in ran.line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: bars\ncolumns: {time: t, open: o}\n", "columns of bars need open, high, low, close or bid_open"),
        ("kind: quotes\ncolumns: {time: t, bid: b, ask: a}\nheader: false\n", "names its columns by number"),
        ("kind: quotes\ncolumns: {time: t, bid: b, ask: a}\ntime_from: x\n", "did you mean 'time_form'"),
        ("kind: quotes\ncolumns: {time: t, bid: b, askk: a}\n", "map.yaml:2"),
        ("kind: quotes\ncolumns: {time: t, bid: b, ask: a}\nzone: newyork\n", "map.yaml:3: zone: 'newyork' is no zone"),
        (
            "kind: quotes\ncolumns: {time: t, bid: b, ask: a}\ntime_form: dd/mm/yyyy\n",
            "map.yaml:3: time_form: 'dd/mm/yyyy' is no form of a time; write it like DD.MM.YYYY hh:mm:ss.fff",
        ),
        ("kind: quotes\ncolumns: {time: t, bid: b, ask: a}\ntime_form: '%d.%m.%Y'\n", "is no form of a time"),
        ("kind: quotes\ncolumns: {time: t, clock: c, bid: b, ask: a}\n", "'time' alone, or 'date' and 'clock'"),
        (
            "kind: quotes\ncolumns: {date: t, bid: b, ask: a}\nepoch: s\n",
            "epoch is one number: give its column as 'time'",
        ),
        (
            "kind: quotes\ncolumns: {time: t, bid: b, ask: a}\ntime_form: YYYY-MM-DD hh:mm:ss.ffffffffff\n",
            "is no form of a time",
        ),
    ],
)
def test_a_wrong_column_map_is_a_settings_error(text: str, words: str, run: Run, write: Write, tmp_path: Path) -> None:
    ran = run(
        "import",
        write("EURUSD.csv", "t,b,a\n1,2,3\n"),
        "--columns",
        write("map.yaml", text),
        "--catalog",
        tmp_path / "c",
    )
    assert ran.code == 2
    assert words in ran.err


@pytest.mark.parametrize(
    ("own", "given", "utc"),
    [
        ("", (), "2024-07-02T00:00:00Z"),
        # As MetaTrader's Python module counts: seconds of the server's wall clock, three hours ahead in summer.
        ("zone: new-york+7\n", (), "2024-07-01T21:00:00Z"),
        ("", ("--zone", "new-york+7"), "2024-07-01T21:00:00Z"),
    ],
    ids=["utc", "map", "option"],
)
def test_seconds_since_1970_are_utc_unless_a_zone_says_whose_clock_they_count(
    own: str, given: tuple[str, ...], utc: str, run: Run, write: Write, tmp_path: Path
) -> None:
    columns = write("map.yaml", f"kind: quotes\ncolumns: {{time: t, bid: b, ask: a}}\nepoch: s\n{own}")
    file = write("EURUSD.csv", "t,b,a\n1719878400,1.1,1.2\n")
    assert run("import", file, "--columns", columns, "--catalog", tmp_path / "c", *given).code == 0
    assert times(CatalogStore(tmp_path / "c").quotes("EURUSD").ts_ns) == [utc]


def test_unknown_symbol_names_the_nearest(run: Run, write: Write, tmp_path: Path) -> None:
    file = write("x.csv", "20200701 170000065,1.121200,1.121720,0\n")
    ran = run("import", file, "--catalog", tmp_path / "c", "--symbol", "EURUSDD")
    assert ran.code == 2
    assert "unknown symbol 'EURUSDD'; did you mean EURUSD" in ran.line
    ran = run("import", file, "--catalog", tmp_path / "c")
    assert ran.code == 2
    assert "x.csv does not say which symbol it holds; give it with --symbol" in ran.line


def test_manifest_says_where_rows_came_from(run: Run, write: Write, tmp_path: Path) -> None:
    content = "20200701 170000065,1.121200,1.121720,0\n20200701 170000066,1.121900,1.121720,0\n"
    file = write("EURUSD.csv", content)
    assert run("import", file, "--catalog", tmp_path / "c", "--skip-bad").code == 0
    ((_, record),) = records(tmp_path / "c")
    assert record.sha256 == hashlib.sha256(content.encode()).hexdigest()
    assert (record.source, record.bytes, record.format) == ("EURUSD.csv", len(content), "histdata-ticks")
    assert record.rules["zone"] == "-05:00"
    assert record.rules["digits"] == 5
    assert record.bad_rows["crossed"] == {"rows": 1, "first_line": 2, "first_text": content.splitlines()[1]}
    (series,) = record.series
    assert (series.identifier, series.rows, series.stored) == ("EURUSD.PEPPERSTONE", 1, 1)
    assert series.start == series.end == "2020-07-01T22:00:00.065Z"
