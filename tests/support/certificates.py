"""Certificates for tests, and clients that speak TLS."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.client import RawClient, Target


@functools.cache
def authority() -> trustme.CA:
    """The authority whose certificates the tests' servers and clients have."""
    return trustme.CA()


@functools.cache
def stranger() -> trustme.CA:
    """An authority that nobody trusts."""
    return trustme.CA()


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate with its chain, and its key."""

    cert: Path
    key: Path

    @property
    def options(self) -> tuple[str, ...]:
        """What the server needs to serve with it."""
        return ("--certfile", str(self.cert), "--keyfile", str(self.key))


def issue(
    folder: Path,
    *names: str,
    stem: str = "server",
    ca: trustme.CA | None = None,
    password: str | None = None,
    begins: datetime | None = None,
    ends: datetime | None = None,
    common_name: str | None = None,
    organization: str | None = None,
) -> Files:
    """Write a certificate for `names`; files that are there are exchanged, the key first."""
    made = (ca or authority()).issue_cert(
        *(names or ("localhost", "127.0.0.1")),
        common_name=common_name,
        organization_name=organization,
        not_before=begins,
        not_after=ends,
    )
    files = Files(folder / f"{stem}.pem", folder / f"{stem}.key")
    key = made.private_key_pem.bytes()
    if password is not None:
        key = load_pem_private_key(key, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode())
        )
    replace(files.key, key)
    replace(files.cert, b"".join(each.bytes() for each in made.cert_chain_pems))
    return files


def replace(path: Path, data: bytes) -> None:
    """Put a file in the place of another one in one step."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    os.replace(new, path)


def write_authority(folder: Path, ca: trustme.CA | None = None) -> Path:
    """Write the authority's certificate for who is to trust it."""
    path = folder / "ca.pem"
    replace(path, (ca or authority()).cert_pem.bytes())
    return path


def context(
    *,
    client: Files | None = None,
    protocols: Sequence[str] = (),
    minimum: ssl.TLSVersion | None = None,
    maximum: ssl.TLSVersion | None = None,
) -> ssl.SSLContext:
    """What a client connects with that trusts the authority."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(made)
    if client is not None:
        made.load_cert_chain(client.cert, client.key)
    if protocols:
        made.set_alpn_protocols(list(protocols))
    if minimum is not None:
        made.minimum_version = minimum
    if maximum is not None:
        made.maximum_version = maximum
    return made


def hello(with_context: ssl.SSLContext, name: str = "localhost") -> bytes:
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        with_context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def no_handshakes() -> tuple[bytes, ...]:
    """What comes instead of a ClientHello, and one that asks for a name that is none."""
    strange = hello(context()).replace(b"localhost", b"l\xff\xfealhost")
    return b"\x16\x03\x01\x00\x05hello", b"\x00" * 100, b"\x80\x2e\x01\x03\x01", b"\x16" * 70_000, strange


def send_in_pieces(client: RawClient, data: bytes, size: int) -> None:
    """Send `data` in segments of `size` bytes."""
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for start in range(0, len(data), size):
        client.send(data[start : start + size])


class TLSClient(RawClient):
    """A client that speaks TLS from its beginning on; the handshake is complete when it is made.

    Arguments: `name` is whom it asks for; `before` is sent before the handshake. With `strict`, an end
    without close_notify is an error: `ssl.SSLEOFError`.
    """

    socket: ssl.SSLSocket

    def __init__(
        self,
        target: Target,
        with_context: ssl.SSLContext | None = None,
        *,
        name: str = "localhost",
        before: bytes = b"",
        session: ssl.SSLSession | None = None,
        receive_buffer: int | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(target, receive_buffer=receive_buffer)
        if before:
            self.send(before)
        try:
            self.socket = (with_context or context()).wrap_socket(
                self.socket, server_hostname=name, session=session, suppress_ragged_eofs=not strict
            )
        except BaseException:
            self.close()
            raise

    @property
    def certificate(self) -> dict[str, Any]:
        """The server's."""
        return self.socket.getpeercert() or {}

    @property
    def serial(self) -> str:
        """The number of the server's certificate."""
        return str(self.certificate["serialNumber"])
