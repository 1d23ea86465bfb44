"""The options that have to do with TLS.

A part of the one table of options, see options.py; what becomes of them is in certificates.py.
"""

from __future__ import annotations

from typing import Literal

from aserve import tlsvalues, validators
from aserve.declaration import declared, option
from aserve.logoptions import LogSettings
from aserve.tlsvalues import Secret


@declared(frozen=True, kw_only=True)
class TLSSettings(LogSettings):
    """Those settings, and the ones of logoptions.py: one line of classes, since they have slots."""

    certfile: tuple[str, ...] = option(
        "--certfile",
        section="TLS",
        metavar="FILE",
        parse=validators.each(validators.text, none=True),
        multiple=True,
        default=(),
        default_text="none: plain HTTP",
        elsewhere=("--ssl-certfile", "--ssl-certificate"),
        help="Serve HTTPS, and nothing else, with this certificate (PEM, its chain behind it). Given more "
        "than once: each client gets the one for the name that it asks for, or the first. New files are "
        "taken up as soon as they are there. See docs/tls.md.",
    )
    keyfile: tuple[str, ...] = option(
        "--keyfile",
        section="TLS",
        metavar="FILE",
        parse=validators.each(validators.text, none=True),
        multiple=True,
        default=(),
        default_text="in the file of the certificate",
        elsewhere=("--ssl-keyfile",),
        help="The certificate's private key (PEM); as many as there are certificates, in the same order. It "
        "is read before workers give up root.",
    )
    keyfile_password: Secret | None = option(  # like all others
        "--keyfile-password",
        section="TLS",
        metavar="TEXT",
        parse=tlsvalues.secret,
        default_text="none",
        elsewhere=("--ssl-keyfile-password",),
        help="What the private keys are encrypted with. On the command line everybody on the machine can see "
        "it: use the environment variable, or --keyfile-password-file.",
    )
    keyfile_password_file: str | None = option(
        "--keyfile-password-file",
        section="TLS",
        metavar="FILE",
        parse=validators.text,
        default_text="none",
        help="A file whose first line is that.",
    )
    ca_certs: str | None = option(
        "--ca-certs",
        section="TLS",
        metavar="FILE",
        parse=validators.text,
        default_text="none",
        elsewhere=("--ssl-ca-certs", "--ssl-ca"),
        help="The authorities whose certificates clients may have (PEM).",
    )
    cert_reqs: Literal["none", "optional", "required"] = option(
        "--cert-reqs",
        section="TLS",
        metavar="none|optional|required",
        parse=tlsvalues.cert_reqs,
        default="none",
        elsewhere=("--ssl-cert-reqs", "--verify-mode", "--ssl-client-verify"),
        help="Whether clients are asked for a certificate, and whether they are served without; one that "
        "does not come from --ca-certs is always refused. 0, 1 and 2 mean the same.",
    )
    ciphers: str | None = option(
        "--ciphers",
        section="TLS",
        metavar="LIST",
        parse=validators.text,
        default_text="Python's own",
        elsewhere=("--ssl-ciphers",),
        help="Cipher suites of TLS 1.2, in OpenSSL's notation; those of 1.3 are not to be chosen.",
    )
    ssl_minimum_version: Literal["1.2", "1.3"] = option(
        "--ssl-minimum-version",
        section="TLS",
        metavar="1.2|1.3",
        parse=tlsvalues.tls_version,
        default="1.2",
        elsewhere=("--ssl-version", "--ssl-protocol-min"),
        help="The oldest version of TLS that is spoken.",
    )
    ssl_handshake_timeout: float = option(
        "--ssl-handshake-timeout",
        section="TLS",
        metavar="SECONDS",
        parse=validators.seconds,
        default=10.0,
        default_text="10",
        help="How long a client may take for the TLS handshake, counted from its connection on; 0: for ever.",
    )
