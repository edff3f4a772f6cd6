"""Files are whole or absent; locks name their holder; identifiers cannot leave their folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pepperstone_adapter.common.errors import ConfigurationError
from pepperstone_adapter.common.files import FileLock, atomic_writer, file_name_of, write_atomic

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="permission bits are a POSIX matter")

HOLD_THE_LOCK = """
import sys
from pepperstone_adapter.common.files import FileLock
with FileLock(sys.argv[1], "catalog"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.json"
    write_atomic(target, "çedilla\r\n")
    assert target.read_bytes() == b"\xc3\xa7edilla\r\n"
    write_atomic(target, b"two")
    assert target.read_bytes() == b"two"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_atomic(target, "old")

    def write_half() -> None:
        with atomic_writer(target) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_nobody_sees_the_file_before_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with atomic_writer(target) as file:
        file.write(b"half")
        file.flush()
        assert not target.exists()
    assert target.read_bytes() == b"half"


@posix_only
def test_an_error_names_the_file_that_was_meant(tmp_path: Path) -> None:
    name = "n" * 255  # as long as a name may be: that of the temporary file is longer
    with pytest.raises(OSError, match="name too long") as caught:
        write_atomic(tmp_path / name, "x")
    assert caught.value.filename == str(tmp_path / name)


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_atomic(tmp_path, "x")


@posix_only
def test_a_secret_is_private_from_its_first_byte(tmp_path: Path) -> None:
    target = tmp_path / "token"
    with atomic_writer(target, mode=0o600) as file:
        [temporary] = tmp_path.iterdir()
        assert temporary.stat().st_mode & 0o777 == 0o600
        file.write(b"x")
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_lock_held_elsewhere_names_process_and_start(tmp_path: Path) -> None:
    path = tmp_path / "catalog.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        pattern = (
            rf"catalog is in use by PID {holder.pid} since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00; stop that process"
        )
        with pytest.raises(ConfigurationError, match=pattern), FileLock(path, "catalog"):
            pass
    finally:
        holder.communicate()
    with FileLock(path, "catalog"):
        assert f"PID {os.getpid()} since" in path.read_text()
    assert path.read_text() == ""


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "catalog.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    with FileLock(path, "catalog"):
        pass


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("EURUSD.CTRADER", "EURUSD.CTRADER"),
        ("EUR/USD", "EUR%2FUSD"),
        ("../etc/passwd.CTRADER", "%2E.%2Fetc%2Fpasswd.CTRADER"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("C:\\x", "C%3A%5Cx"),
        ("NUL", "%4EUL"),
        ("com1.csv", "%63om1.csv"),
        ("name.", "name%2E"),
        ("100%", "100%25"),
        ("ЕURUSD", "%D0%95URUSD"),  # the first letter is Cyrillic
        ("a\0b", "a%00b"),
    ],
)
def test_identifiers_become_names_that_stay_in_their_folder(identifier: str, name: str) -> None:
    assert file_name_of(identifier) == name


# Three characters of a name for each byte, 200 at most: what does not fit is refused (below).
FITTING = st.text(min_size=1, max_size=30).filter(lambda text: 3 * len(text.encode("utf-8", "surrogatepass")) <= 198)


@given(FITTING, FITTING)
def test_different_identifiers_have_different_names(one: str, other: str) -> None:
    assert (file_name_of(one) == file_name_of(other)) == (one == other)
    assert Path("base", file_name_of(one)).resolve().parent == Path("base").resolve()


@pytest.mark.parametrize("identifier", ["", "x" * 201, "é" * 40])
def test_names_nobody_could_store_are_refused(identifier: str) -> None:
    with pytest.raises(ConfigurationError):
        file_name_of(identifier)
