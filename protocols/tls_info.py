"""What applications are told of a connection's TLS: the ASGI extension, and the variables of WSGI."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ssl import SSLContext  # by name: see threads.py
from typing import Any, Final

from aserve.protocols import x509
from aserve.protocols.x509 import Certificate

_VERSIONS: Final = {"SSLv3": 0x300, "TLSv1": 0x301, "TLSv1.1": 0x302, "TLSv1.2": 0x303, "TLSv1.3": 0x304}

# Names of cipher suites -> their numbers in the registry (RFC 8446 §B.4).
_SUITES: Final[dict[str, int]] = {}

_MOST_CERTIFICATES: Final = 16


class ServerObject(ssl.SSLObject):
    """A connection's TLS, and the name that the client has asked for (RFC 6066 §3), None for no name."""

    requested_name: str | None = None


class ServerContext(SSLContext):
    """A context with the certificate that it is for, as text, None if that is not known."""

    sslobject_class = ServerObject
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """What there is to know of a connection's TLS.

    version, cipher: OpenSSL's names. server_name: what the client has asked for, None for nothing.
    server_certificate: the one that was sent, as text. chain: the client's certificates as text, its own
    first, which was verified, and the others as it has sent them; client: what stands in its own, None if
    there is none.
    """

    version: str
    cipher: str
    suite: int | None
    server_name: str | None
    server_certificate: str | None
    chain: tuple[str, ...]
    client: Certificate | None

    @classmethod
    def of(cls, tls: ssl.SSLObject | ssl.SSLSocket) -> TLSInfo:
        """What is known of a connection whose handshake is complete."""
        context = tls.context
        cipher = tls.cipher()
        own = tls.getpeercert(binary_form=True)
        name = cipher[0] if cipher else ""
        return cls(
            tls.version() or "",
            name,
            _suite(context, name),
            getattr(tls, "requested_name", None),
            getattr(context, "certificate", None),
            tuple(x509.pem(each) for each in _chain(tls, own)) if own else (),
            _certificate(own) if own else None,
        )

    def extension(self) -> dict[str, Any]:
        """The ASGI extension `tls` (ASGI TLS extension 0.2)."""
        return {
            "server_cert": self.server_certificate,
            "client_cert_chain": list(self.chain),
            "client_cert_name": self.client.subject if self.client is not None else None,
            "client_cert_error": None,  # who cannot be verified is not served
            "tls_version": _VERSIONS.get(self.version),
            "cipher_suite": self.suite,
        }

    def variables(self) -> dict[str, str]:
        """The variables of a WSGI environ, as Apache's mod_ssl calls them."""
        found = {
            "HTTPS": "on",
            "SSL_PROTOCOL": self.version,
            "SSL_CIPHER": self.cipher,
            "SSL_CLIENT_VERIFY": "SUCCESS" if self.client is not None else "NONE",
        }
        if self.server_name is not None:
            found["SSL_TLS_SNI"] = self.server_name
        client = self.client
        if client is not None:
            found |= {
                "SSL_CLIENT_M_SERIAL": f"{client.serial:X}",
                "SSL_CLIENT_S_DN": _native(client.subject),
                "SSL_CLIENT_I_DN": _native(client.issuer),
                "SSL_CLIENT_V_START": f"{client.begins:%b %e %H:%M:%S %Y} GMT",
                "SSL_CLIENT_V_END": f"{client.ends:%b %e %H:%M:%S %Y} GMT",
                "SSL_CLIENT_CERT": self.chain[0],
            }
            if client.common_name is not None:
                found["SSL_CLIENT_S_DN_CN"] = _native(client.common_name)
            found |= {f"SSL_CLIENT_CERT_CHAIN_{number}": text for number, text in enumerate(self.chain[1:])}
        return found


def _native(text: str) -> str:
    """A text as PEP 3333 has those of an environ: bytes, as latin-1."""
    return text.encode().decode("latin-1")


def _certificate(der: bytes) -> Certificate | None:
    try:
        return x509.read(der)
    except x509.CertificateError:
        return None


def _suite(context: ssl.SSLContext, name: str) -> int | None:
    if name not in _SUITES:
        _SUITES.update((cipher["name"], cipher["id"] & 0xFFFF) for cipher in context.get_ciphers())
    return _SUITES.get(name)


def _chain(tls: Any, own: bytes) -> list[bytes]:
    """The certificates that the client has sent; before Python 3.13 there is no public name for it."""
    get = getattr(tls, "get_unverified_chain", None) or getattr(
        getattr(tls, "_sslobj", None), "get_unverified_chain", None
    )
    try:
        found = get() if get is not None else None
        chain = [each if isinstance(each, bytes) else each.public_bytes(_DER) for each in found or ()]
    except (AttributeError, TypeError, ValueError):
        chain = []
    return chain[:_MOST_CERTIFICATES] if chain and chain[0] == own else [own]


_DER: Final = 2  # as OpenSSL's bindings number the encodings
