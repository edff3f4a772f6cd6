"""A certificate authority of the sandbox's own, made anew at each start; clients verify against its file.

The key never leaves the process. The file holds the public certificate only.
"""

import ssl
from pathlib import Path

import trustme

from pepperstone_adapter.common.errors import ConfigurationError

CA_NAME = "ca.pem"


def server_context(state_dir: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """A TLS context for `host` and localhost, and the file of the authority that vouches for it."""
    authority = trustme.CA(organization_name="Sandbox broker")
    leaf = authority.issue_cert(host, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    leaf.configure_cert(context)
    ca_file = state_dir / CA_NAME
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        authority.cert_pem.write_to_path(str(ca_file))
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {ca_file} ({error.strerror}); set state_dir to a folder that can be written"
        ) from error
    return context, ca_file
