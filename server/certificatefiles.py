"""The files that TLS is made of: read at once, so that what is tried out is what is used later."""

from __future__ import annotations

import contextlib
import json
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from aserve.errors import UsageError
from aserve.options import Settings
from aserve.protocols import x509
from aserve.protocols.tls_info import ServerContext

Stamps: TypeAlias = tuple[tuple[int, ...] | None, ...]

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_LONGEST_PASSWORD: Final = 1024
"""What `ssl` takes."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its chain, and its key; `certfile` and `keyfile` are how messages call them."""

    certfile: str
    keyfile: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """What stands in the files.

    Arguments: `stamps` are theirs from before they were read, `authorities` is what clients'
    certificates are verified with, `password` what the keys are encrypted with.
    """

    paths: tuple[str, ...]
    stamps: Stamps
    pairs: tuple[Pair, ...]
    authorities: str | None
    password: str | None

    @property
    def content(self) -> object:
        """What is different where there is something new."""
        return self.pairs, self.authorities

    @property
    def certificates(self) -> list[x509.Certificate]:
        """What stands in the certificates; raise UsageError for one that is none."""
        return [_certificate(pair) for pair in self.pairs]

    def look(self) -> Stamps:
        """What is to be seen of the files now, without reading them."""
        return _stamps(self.paths)

    def dump(self) -> bytes:
        """All of it that another process needs, for `load`."""
        pairs = [[pair.certificate, pair.key] for pair in self.pairs]
        return json.dumps([pairs, self.authorities, self.password]).encode()

    def load(self, dumped: bytes) -> CertificateFiles:
        """What another process has found in the same files; raise ValueError for anything else."""
        pairs, authorities, password = json.loads(dumped)
        made = [Pair(old.certfile, old.keyfile, *new) for old, new in zip(self.pairs, pairs, strict=True)]
        return CertificateFiles(self.paths, self.stamps, tuple(made), authorities, password)

    def fill(self, context: ServerContext, number: int) -> None:
        """Put a certificate and its key into a context; raise UsageError if they cannot be used."""
        pair = self.pairs[number]
        asked = False

        def password() -> str:
            nonlocal asked
            asked = True
            if self.password is None:
                raise UsageError(
                    f"--keyfile: the key in {pair.keyfile!r} is encrypted: say its password with "
                    "ASERVE_KEYFILE_PASSWORD or --keyfile-password-file"
                )
            return self.password

        with as_file(pair.certificate) as certificate, as_file(pair.key) as key:
            try:
                context.load_cert_chain(certificate, key, password)
            except ssl.SSLError as error:
                raise _refusal(pair, error, asked) from error
        context.certificate = x509.pem(_der(pair))


def read_files(settings: Settings) -> CertificateFiles:
    """Read what the settings name; raise UsageError for what cannot be read, or is not there."""
    if settings.keyfile and len(settings.keyfile) != len(settings.certfile):
        raise UsageError(
            f"--keyfile: {len(settings.keyfile)} are named, and {len(settings.certfile)} of --certfile: "
            "name one for each, in the same order, or none"
        )
    others = (settings.ca_certs, settings.keyfile_password_file)
    paths = (*settings.certfile, *settings.keyfile, *(path for path in others if path is not None))
    stamps = _stamps(paths)
    pairs = []
    for number, path in enumerate(settings.certfile):
        certificate = _read("--certfile", path)
        keyfile = settings.keyfile[number] if settings.keyfile else path
        key = _read("--keyfile", keyfile) if keyfile != path else certificate
        pairs.append(_checked(Pair(path, keyfile, certificate, key)))
    authorities = None if settings.ca_certs is None else _read("--ca-certs", settings.ca_certs)
    return CertificateFiles(paths, stamps, tuple(pairs), authorities, _password(settings))


@contextlib.contextmanager
def as_file(text: str) -> Iterator[str]:
    """Give a text a path for as long as it is needed: OpenSSL reads certificates from files only."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as named:  # which only its owner can read
            named.write(text.encode("latin-1"))
            named.flush()
            yield named.name
        return
    with open(os.memfd_create("certificate", os.MFD_CLOEXEC), "wb", buffering=0) as file:
        file.write(text.encode("latin-1"))
        yield f"/proc/self/fd/{file.fileno()}"


def _checked(pair: Pair) -> Pair:
    _certificate(pair)
    if "PRIVATE KEY-----" not in pair.key:
        where = "name its file with --keyfile" if pair.keyfile == pair.certfile else "name its file"
        raise UsageError(f"--keyfile: there is no private key in {pair.keyfile!r} (PEM): {where}")
    return pair


def _certificate(pair: Pair) -> x509.Certificate:
    try:
        return x509.read(_der(pair))
    except x509.CertificateError:
        raise UsageError(f"--certfile: the certificate in {pair.certfile!r} is damaged") from None


def _der(pair: Pair) -> bytes:
    """The pair's own certificate, which stands before those of its authorities."""
    found = _CERTIFICATE.search(pair.certificate)
    if found is None:
        raise UsageError(f"--certfile: there is no certificate in {pair.certfile!r} (PEM): name its file")
    try:
        return ssl.PEM_cert_to_DER_cert(found[0])
    except ValueError:
        raise UsageError(f"--certfile: the certificate in {pair.certfile!r} is damaged") from None


def _refusal(pair: Pair, error: ssl.SSLError, asked: bool) -> UsageError:
    if error.reason == "KEY_VALUES_MISMATCH" or error.reason == "KEY_TYPE_MISMATCH":
        return UsageError(
            f"--keyfile: the key in {pair.keyfile!r} does not belong to the certificate in {pair.certfile!r}"
        )
    if asked:
        return UsageError(f"--keyfile-password: it is not the one of the key in {pair.keyfile!r}")
    reason = (error.reason or "damaged").replace("_", " ").lower()
    what = f"{pair.certfile!r} and the key in {pair.keyfile!r}"
    return UsageError(f"--certfile: {what} cannot be used: OpenSSL says {reason!r}")


def _read(label: str, path: str) -> str:
    try:
        return Path(path).read_bytes().decode("latin-1")
    except OSError as error:
        raise UsageError(
            f"{label}: cannot read {path!r}: {error.strerror}: name a file that the user who starts the "
            "server may read"
        ) from error


def _password(settings: Settings) -> str | None:
    if settings.keyfile_password_file is None:
        return None if settings.keyfile_password is None else settings.keyfile_password.value
    text = _read("--keyfile-password-file", settings.keyfile_password_file).partition("\n")[0].rstrip("\r")
    if len(text) > _LONGEST_PASSWORD:
        raise UsageError(f"--keyfile-password-file: more than {_LONGEST_PASSWORD} bytes in its first line")
    return text.encode("latin-1").decode(errors="replace")


def _stamps(paths: tuple[str, ...]) -> Stamps:
    return tuple(map(_stamp, paths))


def _stamp(path: str) -> tuple[int, ...] | None:
    """What is another one when the file is, be it by way of its links."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
