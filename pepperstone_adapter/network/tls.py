"""Verified TLS: chain, host name, TLS 1.2 or newer. There is no way to turn any of it off.

The official client of the venue accepts any certificate; whoever sits between it and the server reads the
application's secret. Here a certificate that does not verify ends the attempt before an application byte is written.

`service_identity` is imported by name: without it Twisted only pretends to check host names.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import service_identity  # noqa: F401  (see above: its absence must be an error, not a warning)
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet import ssl as tls
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.ssl import Certificate, TLSVersion, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

from pepperstone_adapter.common.errors import ConfigurationError, ConnectFailed


class CertificateRefused(ConnectFailed):
    """The server's certificate did not verify; trying again soon will not help."""


class ConnectRefused(ConnectFailed):
    """The host answered that nothing listens on the port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to connect.

    Attributes
    ----------
    ca_file
        PEM file of the only certificate authorities to trust (the sandbox's own); None: the system's.
    """

    host: str
    port: int
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.host or "/" in self.host or any(c.isspace() for c in self.host):
            raise ConfigurationError(f"host: {self.host!r} is not a host name; give it without scheme or path")
        if not 0 < self.port < 65536:
            raise ConfigurationError(f"port: {self.port} is not a port (1 to 65535)")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def tls_connect(reactor: Any, endpoint: Endpoint, timeout_s: float, factory: Any) -> Any:
    """Connect a protocol of `factory` to a server that is verified; returns a Deferred of the protocol."""
    options = optionsForClientTLS(
        endpoint.host,
        trustRoot=_trust(endpoint.ca_file),
        extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2},
    )
    plain: Any = HostnameEndpoint(reactor, endpoint.host, endpoint.port, timeout_s)
    wrapping: Any = TLSMemoryBIOFactory(options, True, factory)
    # Twisted's own choice keeps what is written back for a turn of the reactor, to join it with more: our writes are
    # whole already, and an order would wait.
    wrapping.protocol = TLSMemoryBIOProtocol
    return plain.connect(wrapping).addCallback(lambda wire: wire.wrappedProtocol)


def explain(error: BaseException, endpoint: Endpoint) -> ConnectFailed:
    """Say in a person's words why no usable link came about."""
    if isinstance(error, ConnectFailed):
        return error
    if isinstance(error, VerificationError):
        return CertificateRefused(f"{endpoint}: its certificate is not for this host; nothing was sent to it")
    if isinstance(error, SSL.Error):
        reasons = (
            ", ".join(str(part[-1]) for part in (error.args[0] if error.args else []) if part) or "TLS ended early"
        )
        if "certificate" in reasons:
            hint = "" if endpoint.ca_file is None else f" (only {endpoint.ca_file} is trusted)"
            return CertificateRefused(
                f"{endpoint}: its certificate was refused: {reasons}{hint}; nothing was sent to it"
            )
        return ConnectFailed(f"{endpoint}: no TLS: {reasons}")
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    kind = ConnectRefused if isinstance(error, ConnectionRefusedError) else ConnectFailed
    return kind(f"{endpoint}: {text}")


def _trust(ca_file: Path | None) -> Any:
    twisted: Any = tls
    if ca_file is not None:
        return twisted.trustRootFromCertificates(_read_ca(ca_file))
    if sys.platform == "win32":  # OpenSSL knows no Windows store
        import ssl

        ders = ssl.create_default_context().get_ca_certs(binary_form=True)
        return twisted.trustRootFromCertificates([Certificate.load(der, crypto.FILETYPE_ASN1) for der in ders])
    return twisted.platformTrust()


def _read_ca(ca_file: Path) -> list[Certificate]:
    try:
        text = ca_file.read_bytes()
    except FileNotFoundError as error:
        hint = "a sandbox writes it when it starts (`pepperstone sandbox configs/sandbox/default.yaml`)"
        raise ConfigurationError(f"{ca_file}: no such ca_file; {hint}") from error
    except OSError as error:
        raise ConfigurationError(f"{ca_file}: the CA file cannot be read: {error.strerror}") from error
    end = b"-----END CERTIFICATE-----"
    blocks = [block + end for block in text.split(end)[:-1]]
    try:
        certificates = [Certificate.loadPEM(block) for block in blocks]
    except crypto.Error as error:
        raise ConfigurationError(f"{ca_file}: holds something that is not a certificate") from error
    if not certificates:
        raise ConfigurationError(f"{ca_file}: holds no certificate in PEM form")
    return certificates
