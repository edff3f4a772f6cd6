"""`doctor` tells what is wrong and how to mend it."""

import json
from pathlib import Path

import pytest

from pepperstone_adapter.cli import checks
from pepperstone_adapter.cli.main import main


def test_this_machine_passes_and_the_answer_is_readable_by_machines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["doctor", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    by_name = {finding["name"]: finding for finding in report["findings"]}
    assert report["ok"] is True
    assert by_name["framework"]["detail"] == "nautilus_trader 2.0.0rc7"
    assert by_name["catalog"]["status"] == "warn"
    assert "pepperstone demo" in by_name["catalog"]["fix"]


def test_every_finding_that_is_not_well_says_how_to_mend_it(tmp_path: Path) -> None:
    findings = list(checks.run_checks(tmp_path))
    assert len({finding.name for finding in findings}) == len(findings)
    assert all(finding.fix for finding in findings if finding.status != "ok")


def test_people_read_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "ok   framework   nautilus_trader 2.0.0rc7" in out
    assert "Everything needed is in place." in out


def test_a_catalog_is_counted(tmp_path: Path) -> None:
    data = tmp_path / "catalog" / "data"
    data.mkdir(parents=True)
    assert checks.catalog(tmp_path).status == "warn"
    (data / "a.parquet").write_bytes(b"x" * 1024**2)
    assert checks.catalog(tmp_path) == checks.Finding("catalog", "ok", f"1 files, 1.0 MiB at {data}")


def test_a_folder_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err
