"""A TLS server on loopback that keeps what it is told: for tests of who we are willing to talk to."""

import contextlib
import datetime
import socket
import ssl
import threading
from pathlib import Path

import trustme
from cryptography import x509


class RecordingServer:
    """Accepts any number of connections, keeps every application byte, answers what `answers` says.

    Attributes
    ----------
    received
        Application bytes, over all connections.
    handshakes
        How many TLS handshakes the server thinks were completed or failed.
    """

    def __init__(self, context: ssl.SSLContext, answer: bytes = b"", silent: bool = False) -> None:
        self._context = context
        self._answer = answer
        self._silent = silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.received = bytearray()
        self.connections = 0
        self.done = threading.Condition()
        self._open: list[socket.socket] = []
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "RecordingServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        with contextlib.suppress(OSError):  # without it a thread that waits in `accept` keeps the port open
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for sock in self._open:
            sock.close()

    def _serve(self) -> None:
        while not self._closing:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            with self.done:
                self._open.append(raw)
                self.done.notify_all()
            threading.Thread(target=self._talk, args=(raw,), daemon=True).start()

    def _talk(self, raw: socket.socket) -> None:
        try:
            if self._silent:
                raw.recv(1)
                return
            with self._context.wrap_socket(raw, server_side=True) as tls:
                with self.done:
                    self.connections += 1
                    self.done.notify_all()
                if self._answer:
                    tls.sendall(self._answer)
                while data := tls.recv(65536):
                    with self.done:
                        self.received += data
                        self.done.notify_all()
        except (OSError, ssl.SSLError):
            return

    def wait(self, condition, timeout_s: float = 10.0) -> bool:
        with self.done:
            return self.done.wait_for(condition, timeout_s)


def server_context(cert: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return context


def ca_file(ca: trustme.CA, folder: Path, name: str = "ca.pem") -> Path:
    path = folder / name
    ca.cert_pem.write_to_path(path)
    return path


def expired(ca: trustme.CA, name: str) -> trustme.LeafCert:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return ca.issue_cert(name, not_before=past - datetime.timedelta(days=30), not_after=past)


def self_signed(name: str) -> ssl.SSLContext:
    """A certificate that is its own authority, in nobody's list."""
    import tempfile

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        file.flush()
        context.load_cert_chain(file.name)
    return context
