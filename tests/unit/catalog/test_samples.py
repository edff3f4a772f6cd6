"""The bundled samples in a catalog that already holds something: an earlier release's, or a user's own rows."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from pepperstone_adapter.catalog import samples
from pepperstone_adapter.catalog.importer import import_file
from pepperstone_adapter.catalog.store import CatalogStore
from pepperstone_adapter.common.errors import DataError

# Small ones: a symbol's ticks, and bars of both sides that cross each other in places.
SMALL = ("fxcm-gbpusd-m1-bid.csv.gz", "fxcm-gbpusd-m1-ask.csv.gz", "truefx-usdjpy-2013-01.csv.gz")


def other_rows(file: Path, folder: Path) -> Path:
    """The same file without its 100th line."""
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    changed = folder / file.name
    changed.write_bytes(gzip.compress(b"".join(lines[:99] + lines[100:])))
    return changed


def small_requests(catalog: Path) -> list[samples.ImportRequest]:
    return [r for r in samples.requests(catalog) if r.file.name in SMALL]


def test_rows_of_an_earlier_release_give_way(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    for request in small_requests(catalog):
        import_file(replace(request, file=other_rows(request.file, tmp_path)))
    before = {s.identifier: s.rows for s in CatalogStore(catalog).series()}
    for request in small_requests(catalog):
        assert not import_file(request).unchanged
    assert {s.identifier: s.rows - 1 for s in CatalogStore(catalog).series()} == before
    assert all(import_file(r).unchanged for r in small_requests(catalog))


def test_rows_of_the_users_own_stay(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    theirs = small_requests(catalog)[-1]
    own = other_rows(theirs.file, tmp_path).rename(tmp_path / "mine.csv.gz")
    import_file(replace(theirs, file=own))
    with pytest.raises(DataError, match=r"already stored .* with different rows"):
        import_file(small_requests(catalog)[-1])
    assert CatalogStore(catalog).series()[0].rows == 999


def test_rows_that_differ_in_volume_alone_are_told_so(tmp_path: Path) -> None:
    head = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n"
    rows = [f"2024.01.02\t0{i}:00:00\t1.10410\t1.10470\t1.10400\t1.10441\t81{i}\n" for i in range(4)]
    first, second = tmp_path / "EURUSD-1.csv", tmp_path / "EURUSD-2.csv"
    first.write_text(head + "".join(rows))
    second.write_text(head + "".join(rows).replace("812", "999"))
    request = samples.ImportRequest(catalog=tmp_path / "c", file=first, zone="utc", policy=samples.Policy())
    import_file(request)
    with pytest.raises(DataError, match=r"stored 2024-01-02T03:00:00Z 1\.1041/\S+, in the file another volume\)"):
        import_file(replace(request, file=second))
