"""What `pepperstone doctor` looks at: each check says what it found and, when that is not well, how to mend it."""

import datetime as dt
import os
import platform
import shutil
import ssl
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pepperstone_adapter.common.resources import resource_root
from pepperstone_adapter.common.versions import FRAMEWORK, FRAMEWORK_PIN, installed

_GLIBC_NEEDED = (2, 35)
_DISK_LOW_BYTES = 2 * 1024**3
_DISK_FULL_BYTES = 200 * 1024**2
# Below these, TLS and message parsing have known holes; `pip install ctrader-open-api` pulls them that far down.
_FLOORS = {"protobuf": (6, 33, 5), "cryptography": (50, 0), "pyopenssl": (26, 0), "twisted": (26, 4)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def python() -> Finding:
    found = f"{platform.python_version()} ({platform.machine()}, {struct.calcsize('P') * 8} bit)"
    if not (3, 13) <= sys.version_info[:2] < (3, 15) or struct.calcsize("P") != 8:
        return Finding("python", "fail", found, "install 64-bit Python 3.13 (`uv python install 3.13`)")
    return Finding("python", "ok", found)


def system() -> Finding:
    """The framework's wheels: manylinux_2_35 x86_64 and aarch64, recent macOS arm64, win_amd64."""
    name, version = platform.libc_ver()
    found = f"{platform.system()} {platform.release()}" + (f", {name} {version}" if name else "")
    if name == "glibc" and tuple(map(int, version.split(".")[:2])) < _GLIBC_NEEDED:
        return Finding("system", "fail", found, "use glibc 2.35 or newer: Debian 12, Ubuntu 22.04 or later")
    return Finding("system", "ok", found)


def framework() -> Finding:
    found = installed(FRAMEWORK)
    if found != FRAMEWORK_PIN:
        fix = f"pip install '{FRAMEWORK}=={FRAMEWORK_PIN}'"
        return Finding("framework", "fail", f"{FRAMEWORK} {found or 'is not installed'}, not {FRAMEWORK_PIN}", fix)
    try:
        __import__(FRAMEWORK)
    except Exception as error:  # noqa: BLE001 - a broken binary may fail in any way
        fix = f"pip install --force-reinstall '{FRAMEWORK}=={FRAMEWORK_PIN}'"
        return Finding("framework", "fail", f"does not import: {error}", fix)
    return Finding("framework", "ok", f"{FRAMEWORK} {found}")


def libraries() -> Finding:
    old = []
    for package, floor in _FLOORS.items():
        version = installed(package)
        numbers = tuple(int(part) for part in (version or "0").split(".") if part.isdigit())
        if numbers < floor:
            old.append(f"{package} {version or 'missing'} (needs {'.'.join(map(str, floor))})")
    if old:
        fix = "pip install --force-reinstall pepperstone_adapter; keep ctrader-open-api in an environment of its own"
        return Finding("libraries", "fail", ", ".join(old), fix)
    return Finding("libraries", "ok", ", ".join(f"{package} {installed(package)}" for package in _FLOORS))


def tls() -> Finding:
    # Without it Twisted's TLS does not check host names (design D3).
    if installed("service-identity") is None:
        return Finding(
            "tls", "fail", "service-identity is missing, host names are unchecked", "pip install service-identity"
        )
    roots = len(ssl.create_default_context().get_ca_certs())
    paths = ssl.get_default_verify_paths()
    if not roots and not (paths.cafile or paths.capath):
        return Finding("tls", "fail", f"{ssl.OPENSSL_VERSION}, no root certificates", "install ca-certificates")
    return Finding("tls", "ok", f"{ssl.OPENSSL_VERSION}, service-identity {installed('service-identity')}")


def time_zones() -> Finding:
    """Swap, sessions and server time hang on New York's clock changes."""
    fix = "pip install --upgrade tzdata"
    try:
        zone = ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        return Finding("time zones", "fail", "no time zone data", fix)
    offsets = [dt.datetime(2024, 3, day, 12, tzinfo=zone).utcoffset() for day in (9, 10)]
    if offsets != [dt.timedelta(hours=-5), dt.timedelta(hours=-4)]:
        return Finding("time zones", "fail", "New York's clock change of 10 March 2024 is missing", fix)
    return Finding("time zones", "ok", f"tzdata {installed('tzdata')}")


def clock() -> Finding:
    """Offline: the clock cannot be earlier than the installation. A live run compares it with the broker's."""
    now = dt.datetime.now(dt.UTC)
    installed_at = dt.datetime.fromtimestamp(Path(__file__).stat().st_mtime, dt.UTC)
    found = now.isoformat(timespec="seconds")
    if now < installed_at - dt.timedelta(days=1):
        return Finding("clock", "fail", f"{found} is before this installation was made", "set the clock; switch NTP on")
    if _kernel_clock_synchronised() is False:
        return Finding("clock", "warn", f"{found}, not synchronised", "switch NTP on (`timedatectl set-ntp true`)")
    return Finding("clock", "ok", found)


def disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1024**3:.1f} GiB free at {folder}"
    if not os.access(folder, os.W_OK):
        return Finding(
            "disk", "fail", f"{folder} cannot be written", "work in a folder of your own (`pepperstone init`)"
        )
    if free < _DISK_FULL_BYTES:
        return Finding("disk", "fail", found, "make room: results and the catalog could not be written")
    if free < _DISK_LOW_BYTES:
        return Finding("disk", "warn", found, "make room before importing ticks")
    return Finding("disk", "ok", found)


def catalog(folder: Path) -> Finding:
    data = folder / "catalog" / "data"
    if not data.is_dir():
        fix = "`pepperstone demo` builds one from bundled data; `pepperstone data import --help` takes your own"
        return Finding("catalog", "warn", f"none at {data}", fix)
    files = [file.stat().st_size for file in data.rglob("*.parquet")]
    if not files:
        return Finding("catalog", "warn", f"{data} is empty", "`pepperstone data import --help`")
    return Finding("catalog", "ok", f"{len(files)} files, {sum(files) / 1024**2:.1f} MiB at {data}")


def bundled() -> Finding:
    root = resource_root()
    missing = [name for name in ("strategies", "configs", "catalog/samples") if not (root / name).is_dir()]
    if missing:
        fix = "pip install --force-reinstall pepperstone_adapter"
        return Finding("bundled", "fail", f"missing in {root}: {', '.join(missing)}", fix)
    return Finding("bundled", "ok", f"strategies, settings and samples in {root}")


def credentials_store() -> Finding:
    import keyring
    from keyring.errors import KeyringError

    try:
        backend = keyring.get_keyring()
        usable = backend.priority > 0
    except (KeyringError, RuntimeError) as error:
        return Finding(
            "keyring", "warn", f"not usable: {error}", "`pepperstone auth login` uses an encrypted file instead"
        )
    name = f"{type(backend).__module__}.{type(backend).__name__}"
    if not usable:
        return Finding(
            "keyring", "warn", "no system keyring", "`pepperstone auth login` uses an encrypted file instead"
        )
    return Finding("keyring", "ok", name)


def metatrader() -> Finding | None:
    if platform.system() != "Windows":
        return None
    version = installed("MetaTrader5")
    if version is None:
        return Finding("metatrader", "warn", "the MetaTrader5 package is missing", "pip install MetaTrader5")
    return Finding("metatrader", "ok", f"MetaTrader5 {version}")


def run_checks(folder: Path) -> Iterator[Finding]:
    """Every check in the order of the report.

    Parameters
    ----------
    folder
        The user's project: where the catalog and results are.
    """
    checks: list[Callable[[], Finding | None]] = [
        python, system, framework, libraries, tls, time_zones, clock, lambda: disk(folder), lambda: catalog(folder),
        bundled, credentials_store, metatrader,
    ]  # fmt: skip
    for check in checks:
        finding = check()
        if finding is not None:
            yield finding


def _kernel_clock_synchronised() -> bool | None:
    """Linux keeps the state of clock discipline; None where it cannot be asked."""
    if sys.platform != "linux":
        return None
    import ctypes

    # struct timex; zeroed, it asks and sets nothing. TIME_ERROR (5) says: not synchronised.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256))
    return None if state < 0 else bool(state != 5)
