"""`pepperstone data list` as a person reads it; what it judges is tested in `unit/catalog`."""

from pathlib import Path

import pytest

from pepperstone_adapter.cli.main import main

TICKS = "timestamp,bid,ask\n2024-01-02 00:00:00Z,1.10411,1.10415\n2024-01-02 00:00:01Z,1.10412,1.10416\n"
BARS = (
    "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n"
    "2024.01.02\t00:00:00\t1.10411\t1.10415\t1.10400\t1.10410\t9\n"
    "2024.01.02\t01:00:00\t1.10411\t1.10415\t1.10400\t1.10410\t9\n"
    "2024.01.02\t02:00:00\t1.10411\t1.10415\t1.10400\t1.10410\t9\n"
)


@pytest.fixture
def catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "catalog"
    for name, text in (("EURUSD-ticks.csv", TICKS), ("EURUSD-bars.csv", BARS)):
        (tmp_path / name).write_text(text)
        assert main(["data", "import", str(tmp_path / name), "--zone", "utc", "--catalog", str(folder)]) == 0
    capsys.readouterr()
    return folder


def test_a_series_is_a_line(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--catalog", str(catalog)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["series", "from", "to", "rows", "quality", "source"],
        ["EURUSD", "1-HOUR-BID", "2024-01-02", "2024-01-02", "3", "100.00", "%", "EURUSD-bars.csv"],
        ["EURUSD", "quotes", "2024-01-02", "2024-01-02", "2", "100.00", "%", "EURUSD-ticks.csv"],
    ]


def test_quality_is_read_only_where_it_is_wanted(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--no-quality", "--catalog", str(catalog)]) == 0
    assert "%" not in capsys.readouterr().out


def test_a_file_is_named_as_it_is_while_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    file = tmp_path / "EURUSD[m1].csv"
    file.write_text(BARS)
    assert (
        main(["data", "import", str(file), "--zone", "utc", "--symbol", "EURUSD", "--catalog", str(tmp_path / "c")])
        == 0
    )
    assert "EURUSD[m1].csv" in capsys.readouterr().err
