"""Where credentials are kept: the system's keyring, else an encrypted file, else the environment.

The file. One line of JSON, one line with its SHA-256. The key is derived from a passphrase with scrypt; the content is
sealed with AES-GCM, and the derivation's parameters are sealed with it. Three faults are told apart, because each
wants something else of a person: cut short or damaged (the checksum), a wrong passphrase (a check value of the key),
and a forgery (the seal). The file must be ours alone: no link, our owner, nobody else may read it.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pepperstone_adapter.common.errors import ConfigurationError, CredentialsError
from pepperstone_adapter.common.files import FileLock, file_name_of, write_atomic
from pepperstone_adapter.common.secrets import Secret
from pepperstone_adapter.ctrader.client.tokens import Application, Credentials, CredentialStore, Tokens, login_hint
from pepperstone_adapter.ctrader.constants import DEFAULT_PROFILE

SERVICE = "pepperstone_adapter"
PASSPHRASE_VARIABLE = "PEPPERSTONE_PASSPHRASE"  # noqa: S105 - the name of a variable
FORMAT = "pepperstone-credentials-1"
LOCK_WAIT_S = 30.0
SCRYPT = {"n": 2**15, "r": 8, "p": 1}
MAX_FILE_BYTES = 65_536


def data_dir() -> Path:
    """Folder for this user's credential and lock files."""
    from platformdirs import user_data_dir

    return Path(os.environ.get("PEPPERSTONE_HOME") or user_data_dir(SERVICE, appauthor=False)) / "credentials"


def to_json(credentials: Credentials) -> str:
    """The stored form: it holds the secrets in clear and goes only into a keyring or under a seal."""
    tokens = credentials.tokens
    return json.dumps(
        {
            "client_id": credentials.application.client_id,
            "client_secret": credentials.application.client_secret.reveal(),
            "access": tokens.access.reveal() if tokens else None,
            "refresh": tokens.refresh.reveal() if tokens else None,
            "issued_ns": tokens.issued_ns if tokens else 0,
            "expires_ns": tokens.expires_ns if tokens else 0,
            "refreshing": credentials.refreshing,
            "server": credentials.server,
        }
    )


def from_json(text: str, where: str, profile: str = DEFAULT_PROFILE) -> Credentials:
    """Raises `CredentialsError` without a word of the content."""
    try:
        row = json.loads(text)
        tokens = None
        if row["access"]:
            tokens = Tokens(
                access=Secret(row["access"]),
                refresh=Secret(row["refresh"] or ""),
                issued_ns=int(row["issued_ns"]),
                expires_ns=int(row["expires_ns"]),
            )
        application = Application(str(row["client_id"]), Secret(row["client_secret"]))
        server = str(row.get("server", ""))
        return Credentials(application=application, tokens=tokens, refreshing=bool(row["refreshing"]), server=server)
    except (ValueError, KeyError, TypeError):
        raise CredentialsError(f"{where}: what is stored there is of another version; {login_hint(profile)}") from None


class _Locked:
    """Shares one lock file per profile between all stores and processes."""

    def __init__(self, profile: str, folder: Path) -> None:
        self._folder = folder
        self.profile = profile

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        path = self._folder / f"{file_name_of('ctrader-' + self.profile)}.lock"
        make_private(self._folder)
        lock = FileLock(path, f"credential profile {self.profile!r}")
        end = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                lock.__enter__()
                break
            except ConfigurationError as error:
                if time.monotonic() >= end:
                    raise CredentialsError(str(error)) from None
                time.sleep(0.05)
        try:
            yield
        finally:
            lock.__exit__(None, None, None)


class KeyringStore(_Locked):
    """The operating system's keyring."""

    def __init__(self, profile: str, folder: Path, backend: Any = None) -> None:
        super().__init__(profile, folder)
        if backend is None:
            import keyring

            backend = keyring.get_keyring()
        self._backend = backend
        self._user = f"ctrader-{profile}"

    @staticmethod
    def usable() -> bool:
        """Whether this machine has a keyring that keeps anything."""
        try:
            import keyring
            from keyring.backends import chainer, fail, null

            backend = keyring.get_keyring()
        except Exception:  # noqa: BLE001 - a broken backend is no backend
            return False
        if isinstance(backend, chainer.ChainerBackend):
            return bool(backend.backends)
        return not isinstance(backend, fail.Keyring | null.Keyring)

    @property
    def describe(self) -> str:
        return f"keyring ({type(self._backend).__name__})"

    def load(self) -> Credentials | None:
        text = self._call("read", lambda: self._backend.get_password(SERVICE, self._user))
        return from_json(text, self.describe, self.profile) if text else None

    def save(self, credentials: Credentials) -> None:
        text = to_json(credentials)
        self._call("write", lambda: self._backend.set_password(SERVICE, self._user, text))

    def delete(self) -> bool:
        if self.load() is None:
            return False
        self._call("clear", lambda: self._backend.delete_password(SERVICE, self._user))
        return True

    def _call(self, verb: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - every backend has errors of its own, some with the value in them
            raise CredentialsError(
                f"{self.describe}: cannot {verb} it ({type(error).__name__}); unlock it, or set {PASSPHRASE_VARIABLE} "
                "to use an encrypted file instead"
            ) from None


class EncryptedFileStore(_Locked):
    """A file under a passphrase."""

    def __init__(self, profile: str, folder: Path, passphrase: Callable[[], Secret]) -> None:
        super().__init__(profile, folder)
        self.path = folder / f"{file_name_of('ctrader-' + profile)}.sealed"
        self._passphrase = passphrase
        self._key: tuple[bytes, bytes] | None = None  # salt, key

    @property
    def describe(self) -> str:
        return f"encrypted file {self.path}"

    def exists(self) -> bool:
        return os.path.lexists(self.path)

    def load(self) -> Credentials | None:
        if not self.exists():
            return None
        check_private(self.path)
        body = self._whole_body(self.path.read_bytes()[: MAX_FILE_BYTES + 1])
        try:
            row = json.loads(body)
            if row["format"] != FORMAT:
                raise CredentialsError(f"{self.path}: was written by another version; {login_hint(self.profile)}")
            salt, nonce, check, sealed = (base64.b64decode(row[name]) for name in ("salt", "nonce", "check", "sealed"))
            scrypt = {name: int(row["scrypt"][name]) for name in SCRYPT}
        except (ValueError, KeyError, TypeError):
            raise CredentialsError(f"{self.path}: is damaged; {login_hint(self.profile)}") from None
        if scrypt != SCRYPT:
            raise CredentialsError(f"{self.path}: was written by another version; {login_hint(self.profile)}")
        key = self._derive(salt)
        if not hmac.compare_digest(_check_value(key), check):
            self._key = None
            raise CredentialsError(f"{self.path}: wrong passphrase")
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            text = AESGCM(key).decrypt(nonce, sealed, _seal_data(salt)).decode()
        except (InvalidTag, ValueError):
            raise CredentialsError(
                f"{self.path}: its seal is broken: somebody has changed it; {login_hint(self.profile)}"
            ) from None
        return from_json(text, str(self.path), self.profile)

    def save(self, credentials: Credentials) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        make_private(self.path.parent)
        if self.exists():
            check_private(self.path)
        salt = self._key[0] if self._key is not None else os.urandom(16)
        key, nonce = self._derive(salt), os.urandom(12)
        body = json.dumps(
            {
                "format": FORMAT,
                "scrypt": SCRYPT,
                "salt": _base64(salt),
                "nonce": _base64(nonce),
                "check": _base64(_check_value(key)),
                "sealed": _base64(AESGCM(key).encrypt(nonce, to_json(credentials).encode(), _seal_data(salt))),
            }
        )
        try:
            write_atomic(self.path, f"{body}\n{hashlib.sha256(body.encode()).hexdigest()}\n", 0o600)
        except OSError as error:
            raise CredentialsError(f"{self.path}: cannot be written: {error.strerror}") from None

    def delete(self) -> bool:
        if not self.exists():
            return False
        self.path.unlink()
        return True

    def _whole_body(self, data: bytes) -> str:
        lines = data.decode("utf-8", "replace").split("\n")
        if len(data) > MAX_FILE_BYTES or len(lines) != 3 or lines[2]:
            raise CredentialsError(f"{self.path}: is cut short or not a credentials file; {login_hint(self.profile)}")
        if hashlib.sha256(lines[0].encode()).hexdigest() != lines[1]:
            raise CredentialsError(f"{self.path}: is damaged (its checksum does not fit); {login_hint(self.profile)}")
        return lines[0]

    def _derive(self, salt: bytes) -> bytes:
        if self._key is None or self._key[0] != salt:
            from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

            secret = self._passphrase().reveal().encode()
            if not secret:
                raise CredentialsError("an empty passphrase protects nothing; nothing was written")
            self._key = (salt, Scrypt(salt=salt, length=32, **SCRYPT).derive(secret))
        return self._key[1]


class EnvironmentStore(_Locked):
    """Variables; read only, so a token that ends cannot be refreshed from here."""

    NAMES = ("CTRADER_CLIENT_ID", "CTRADER_CLIENT_SECRET", "CTRADER_ACCESS_TOKEN")

    def __init__(self, profile: str, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(profile, folder)
        self._environment = os.environ if environment is None else environment

    @property
    def describe(self) -> str:
        return f"environment ({', '.join(self.NAMES)})"

    def load(self) -> Credentials | None:
        values = [self._environment.get(name, "").strip() for name in self.NAMES]
        if not any(values):
            return None
        missing = [name for name, value in zip(self.NAMES, values, strict=True) if not value]
        if missing:
            there = [name for name in self.NAMES if name not in missing]
            raise CredentialsError(
                f"no cTrader login is stored, and the environment has only a part of one: {', '.join(there)} "
                f"{'is' if len(there) == 1 else 'are'} set, {', '.join(missing)} not; {login_hint(self.profile)}, which "
                "takes id and secret from there, or set all three"
            )
        client_id, client_secret, access = values
        return Credentials(
            application=Application(client_id, Secret(client_secret)), tokens=Tokens(access=Secret(access))
        )

    def save(self, credentials: Credentials) -> None:  # noqa: ARG002 - the port's signature
        raise CredentialsError(
            f"the environment cannot keep a refreshed token; {login_hint(self.profile)} to store one"
        )

    def delete(self) -> bool:
        return False


def find_store(
    profile: str,
    passphrase: Callable[[], Secret],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[CredentialStore, Credentials] | None:
    """The first store that holds this profile: keyring, encrypted file, environment. None where none does."""
    folder = folder or data_dir()
    stores: list[CredentialStore] = [KeyringStore(profile, folder)] if KeyringStore.usable() else []
    stores += [EncryptedFileStore(profile, folder, passphrase), EnvironmentStore(profile, folder, environment)]
    for store in stores:
        credentials = store.load()
        if credentials is not None:
            return store, credentials
    return None


def store_for_writing(profile: str, passphrase: Callable[[], Secret], folder: Path | None = None) -> CredentialStore:
    """The strongest store of this machine that can be written."""
    folder = folder or data_dir()
    if KeyringStore.usable():
        return KeyringStore(profile, folder)
    return EncryptedFileStore(profile, folder, passphrase)


def passphrase_from_environment() -> Secret:
    """The passphrase of a process that has nobody to ask. Raises `CredentialsError` where it is not set."""
    text = os.environ.get(PASSPHRASE_VARIABLE, "")
    if not text:
        raise CredentialsError(f"the credentials file is encrypted and {PASSPHRASE_VARIABLE} is not set")
    return Secret(text)


def make_private(folder: Path) -> None:
    """Make `folder` for its owner alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if sys.platform != "win32" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)


def check_private(path: Path) -> None:
    """Refuse a secrets file that is a link, another's, or readable by others."""
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        raise CredentialsError(f"{path}: is a link or no file; credentials are read from plain files only")
    if sys.platform == "win32":
        return
    if info.st_uid != os.geteuid():
        raise CredentialsError(f"{path}: belongs to another user (id {info.st_uid}); it is not read")
    if stat.S_IMODE(info.st_mode) & 0o077:
        raise CredentialsError(f"{path}: others can read it; run `chmod 600 {path}`, and log in again if they may have")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _check_value(key: bytes) -> bytes:
    return hmac.new(key, b"passphrase check", hashlib.sha256).digest()[:16]


def _seal_data(salt: bytes) -> bytes:
    return json.dumps([FORMAT, SCRYPT]).encode() + salt
