"""A client of TLS 1.2 that seals its records itself, to send what no library does."""

from __future__ import annotations

import hmac
import socket
import ssl
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support import certificates
from tests.support.client import Target

SUITE = "ECDHE-ECDSA-AES128-GCM-SHA256"

HANDSHAKE, DATA = 22, 23
HELLO = b"\x01\0\0\0"
"""As much of a ClientHello as shows that it is one."""


class SealingClient:
    """A connection whose handshake OpenSSL has made, with the keys of its own direction.

    Arguments: `keylog` is a file that the keys may be written to.
    """

    def __init__(self, target: Target, keylog: Path, receive_buffer: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect(target)
        hello = self._shake_hands(keylog)
        words = next(line for line in keylog.read_text().splitlines() if line.startswith("CLIENT_RANDOM "))
        _, client_random, secret = words.split()
        block = _expand(bytes.fromhex(secret), hello[11:43] + bytes.fromhex(client_random))
        self._key, self._salt = AESGCM(block[:16]), block[32:36]
        self._number = 1  # 0 was the handshake's last message

    def _shake_hands(self, keylog: Path) -> bytes:
        """Return the server's first flight, which begins with its hello."""
        context = certificates.context(maximum=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(SUITE)
        context.keylog_filename = str(keylog)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        received = b""
        while True:
            try:
                tls.do_handshake()
                return received
            except ssl.SSLWantReadError:
                self.socket.sendall(outgoing.read())
                data = self.socket.recv(65536)
                received += data
                incoming.write(data)

    def seal(self, kind: int, content: bytes) -> bytes:
        """Return the next record (RFC 5246 §6.2.3.3, RFC 5288 §3)."""
        number = self._number.to_bytes(8, "big")
        self._number += 1
        head = bytes((kind, 3, 3))
        sealed = self._key.encrypt(
            self._salt + number, content, number + head + len(content).to_bytes(2, "big")
        )
        return head + (8 + len(sealed)).to_bytes(2, "big") + number + sealed

    def read_all(self) -> None:
        """Read to the end."""
        while self.socket.recv(65536):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def _expand(secret: bytes, seed: bytes) -> bytes:
    """The keys of both directions (RFC 5246 §5 and §6.3)."""
    seed = b"key expansion" + seed
    block, turn = b"", seed
    while len(block) < 40:
        turn = hmac.digest(secret, turn, "sha256")
        block += hmac.digest(secret, turn + seed, "sha256")
    return block
