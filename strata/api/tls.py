# SPDX-License-Identifier: MIT
"""How the port speaks TLS: with the certificate and the key that systemd handed over."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from strata import certificates
from strata.config import ApiSettings
from strata.errors import InvalidArgument

CERTIFICATE, KEY = "tls.certificate", "tls.key"
# HTTP/2 is for gRPC alone, whose clients offer nothing else. Who offers both (browsers, curl) wants REST, which is
# HTTP/1: the server's order decides (RFC 7301, 3.2).
ALPN = ("http/1.1", "h2")
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and AEAD only, as HTTP/2 wants it (RFC 9113, 9.2.2). Those of TLS 1.3 are all such."""

log = logging.getLogger(__name__)


def context(settings: ApiSettings, directory: str) -> ssl.SSLContext | None:
    """How the port speaks TLS, or None when the settings want none. `directory` is $CREDENTIALS_DIRECTORY.

    Raises InvalidArgument, in one sentence, for a pair that nobody could be served with.
    """
    if not settings.tls_certificate:
        return None
    certificate, key = (Path(directory) / name for name in (CERTIFICATE, KEY))
    if not directory or not certificate.exists() or not key.exists():
        raise InvalidArgument("cannot serve TLS: systemd handed over no certificate and key (LoadCredential=)")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_ciphers(CIPHERS)
    made.set_alpn_protocols(list(ALPN))
    _load(made, settings, certificate, key)
    return made


def _load(made: ssl.SSLContext, settings: ApiSettings, certificate: Path, key: Path) -> None:
    try:
        valid = certificates.validity(certificate.read_bytes())
    except InvalidArgument as error:
        raise InvalidArgument(f"cannot serve TLS with {settings.tls_certificate}: {error.message}") from error
    if valid.seconds_left() <= 0:
        raise InvalidArgument(
            f"cannot serve TLS with {settings.tls_certificate}: it expired at {valid.last}; put a new one there, then "
            "`strata-ctl restart api`"
        )
    try:
        made.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InvalidArgument(f"cannot serve TLS with {settings.tls_key}: {_reason(error)}") from error
    log.info("TLS with %s, valid until %s", settings.tls_certificate, valid.last)


def _no_password() -> str:
    """Without this OpenSSL would ask the terminal for one."""
    raise ValueError("the key is encrypted; systemd has credentials for secrets, so give it as it is, mode 0600")


def _reason(error: Exception) -> str:
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return "it is not the key of the certificate"
    return "it holds no private key in PEM that TLS could use" if isinstance(error, ssl.SSLError) else str(error)
