"""The certificates that workers serve with: from the files to TLS contexts, and on to those of tomorrow.

Files are read in the supervisor, which may have rights that workers give up. It also notices new ones, and
tries them out; then they go to all workers by way of a piece of memory that they share, so that no
connection ends for them. A pair that does not match, as there is one while a tool is just exchanging it,
changes nothing.

Every context that connections begin with, and so the keys of session tickets, is made before the fork: a
session can be resumed with any worker. Its callback then chooses the one that has the certificate.
"""

from __future__ import annotations

import contextlib
import logging
import math
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aserve.adapters import GREENLETS
from aserve.certificatefiles import CertificateFiles, as_file, read_files
from aserve.errors import UsageError
from aserve.hooks import HookError
from aserve.noticeboard import NoticeBoard
from aserve.options import Settings
from aserve.protocols.tls_handshake import SPOKEN
from aserve.protocols.tls_info import ServerContext, ServerObject
from aserve.protocols.x509 import Certificate

INTERVAL: Final = 1.0
"""Seconds between two looks at the files."""

PATIENCE: Final = 3.0
"""Seconds for which files may contradict each other until it is said: a tool may be at work."""

SOON: Final = timedelta(days=14)
"""A certificate that has less time left than that, or than a tenth of its life, should have been renewed."""

_MODES: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_log = logging.getLogger("aserve")


class NoCertificate(Exception):
    """gunicorn's hook wants the context of certificates that nobody has named."""


class Certificates:
    """What one generation of workers serves with. `load` makes it.

    context: what connections begin with. due: when `look` has something to do (monotonic seconds).
    """

    def __init__(self, settings: Settings, files: CertificateFiles) -> None:
        self.context: ssl.SSLContext
        self.due = time.monotonic() + INTERVAL
        self._settings = settings
        self._files = files
        self._seen = files.stamps
        self._failing_since = math.inf
        self._told = ""
        self._board = NoticeBoard()
        self._version = 0
        self._contexts: list[ServerContext] = []
        self._by_name: dict[str, ServerContext] = {}

    @classmethod
    def load(cls, settings: Settings) -> Certificates | None:
        """What the settings say, None for plain HTTP; says in the log what is about to expire.

        Raises UsageError for files that cannot be used, HookError if the hook fails, NoCertificate if
        plain HTTP is what gunicorn would serve by this file: it does not call the hook then.
        """
        if settings.keyfile and not settings.certfile:
            raise UsageError("--keyfile: there is no --certfile: name the certificate's file as well")
        if not settings.secure:
            return None
        made = cls(settings, read_files(settings))
        made._take(made._files)
        made.context = made._front()
        made._warn()
        return made

    # -- the supervisor's side ----------------------------------------------------------------

    def look(self) -> bool:
        """Take up files that are new; return whether it takes a reload to have them in service."""
        now = time.monotonic()
        if now < self.due:
            return False
        self.due = now + INTERVAL
        stamps = self._files.look()
        if stamps == self._seen and self._failing_since == math.inf:
            return False
        self._seen = stamps
        try:
            files = read_files(self._settings)
            if files.content == self._files.content:
                self._failing_since = math.inf
                return False
            if self._by_reload:
                self._contexts_of(files)  # to see whether they will do
            else:
                self._take(files)
        except (UsageError, OSError) as error:  # no descriptors are left, perhaps
            self._not_yet(error, now)
            return False
        # Nobody is asked again who goes on with a session; the keys of those end with the generation.
        others_are_trusted = files.authorities != self._files.authorities
        self._failing_since, self._told = math.inf, ""
        self._files, self._seen = files, files.stamps
        _log.info("certificates changed: %s", ", ".join(map(_summary, files.certificates)) or "authorities")
        if self._by_reload:
            return True
        self._warn()
        self._version += 1
        return not self._board.write(self._version, files.dump()) or others_are_trusted

    def _not_yet(self, error: Exception, now: float) -> None:
        self._failing_since = min(self._failing_since, now)
        if now - self._failing_since >= PATIENCE and str(error) != self._told:
            self._told = str(error)
            _log.error("new certificates are not used: %s; those of before stay in use", error)

    @property
    def _by_reload(self) -> bool:
        """Whether workers cannot make contexts themselves.

        What a hook does may need rights that they have given up, and greenlets exchange parts of `ssl`.
        """
        hook = self._settings.hooks.get("ssl_context") is not None
        return hook or self._settings.worker_class in GREENLETS

    def _warn(self) -> None:
        now = datetime.now(UTC)
        for path, certificate in zip(self._settings.certfile, self._files.certificates, strict=False):
            if certificate.ends <= now:
                _log.warning("certificate expired: %r on %s: renew it", path, _day(certificate.ends))
            elif certificate.begins > now:
                _log.warning("certificate not valid before %s: %r", _day(certificate.begins), path)
            elif certificate.ends - now < min(SOON, (certificate.ends - certificate.begins) / 10):
                _log.warning("certificate expires soon: %r on %s: renew it", path, _day(certificate.ends))

    # -- the workers' side --------------------------------------------------------------------

    def follow(self) -> None:
        """Take up what the supervisor has, if it is new. To be called about once a second."""
        version = self._board.version
        if version == self._version:
            return
        content = self._board.read()
        if content is None:
            return  # it is just being written
        try:
            files = self._files.load(content)
            self._take(files)
        except OSError:  # no descriptors are left: it is tried again
            return
        except (UsageError, ValueError) as error:  # but the supervisor has done the same
            _log.error("new certificates are not used: %s; those of before stay in use", error)
        else:
            self._files = files
        self._version = version

    # -- contexts -----------------------------------------------------------------------------

    def _take(self, files: CertificateFiles) -> None:
        contexts = self._contexts_of(files)
        names: dict[str, ServerContext] = {}
        for context, certificate in zip(contexts, files.certificates, strict=True):
            for name in certificate.names:
                names.setdefault(name, context)
        self._contexts, self._by_name = contexts, names

    def _contexts_of(self, files: CertificateFiles) -> list[ServerContext]:
        return [self._context_of(files, number) for number in range(len(files.pairs))]

    def _context_of(self, files: CertificateFiles, number: int) -> ServerContext:
        settings = self._settings
        context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[settings.ssl_minimum_version]
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(list(SPOKEN))
        if settings.ciphers is not None:
            try:
                context.set_ciphers(settings.ciphers)
            except ssl.SSLError:
                raise UsageError(
                    f"--ciphers: {settings.ciphers!r} has no cipher that OpenSSL knows: "
                    "`openssl ciphers` lists them"
                ) from None
        if settings.cert_reqs != "none" and files.authorities is None:
            raise UsageError("--cert-reqs: clients' certificates cannot be verified without --ca-certs")
        if files.authorities is not None:
            with as_file(files.authorities) as path:
                try:
                    context.load_verify_locations(path)
                except (ssl.SSLError, OSError):
                    raise UsageError(
                        f"--ca-certs: there are no certificates in {settings.ca_certs!r}"
                    ) from None
        context.verify_mode = _MODES[settings.cert_reqs]
        files.fill(context, number)
        return context

    def _front(self) -> ssl.SSLContext:
        hook = self._settings.hooks.get("ssl_context")
        if hook is not None:
            return self._called(hook)
        return self._choosing()

    def _choosing(self) -> ServerContext:
        """A context that leaves the certificate to `_choose`; where there is none it has the first one."""
        context = self._context_of(self._files, 0)
        context.sni_callback = self._choose
        return context

    def _choose(self, tls: Any, name: str | None, _: ssl.SSLContext) -> None:
        """Have a connection begin with the certificate for `name` (RFC 6066 §3)."""
        if isinstance(tls, (ServerObject, ssl.SSLSocket)):
            tls.requested_name = name  # type: ignore[union-attr]  # a socket takes it as well
        tls.context = self._context_for(name) if name else self._contexts[0]

    def _context_for(self, name: str) -> ServerContext:
        name = name.lower().rstrip(".")
        found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
        return found or self._contexts[0]

    def _called(self, hook: Any) -> ssl.SSLContext:
        """What the hook of gunicorn's name makes."""
        from aserve.standins import Config

        def default_ssl_context_factory() -> ssl.SSLContext:
            if not self._settings.certfile:
                if not (self._settings.config or "").endswith(".toml"):
                    raise NoCertificate
                raise UsageError(
                    "ssl_context: the default context needs a certfile: name one, or leave the hook out for "
                    "plain HTTP"
                )
            return self._choosing()

        footprint = self._settings.hooks.footprint
        around = footprint.hook(self._settings) if footprint is not None else contextlib.nullcontext()
        try:
            with around:
                context = hook(Config(self._settings), default_ssl_context_factory)
        except (UsageError, NoCertificate):
            raise
        except BaseException as error:
            raise HookError("ssl_context", error) from error
        if not isinstance(context, ssl.SSLContext):
            raise UsageError(f"ssl_context: the hook returned {context!r}, and not an ssl.SSLContext")
        if context.protocol == ssl.PROTOCOL_TLS_CLIENT:
            raise UsageError(
                "ssl_context: the hook returned a context for clients: make one for a server with "
                "default_ssl_context_factory() or ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)"
            )
        context.set_alpn_protocols(list(SPOKEN))
        return context


def _summary(certificate: Certificate) -> str:
    name = certificate.names[0] if certificate.names else certificate.subject
    return f"{name} until {_day(certificate.ends)}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
