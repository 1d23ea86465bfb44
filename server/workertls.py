"""TLS as gunicorn's settings have it, for connections of ours."""

from __future__ import annotations

import ssl
from typing import Any, cast

from gunicorn import sock

from aserve.certificates import Certificates
from aserve.protocols.tls_handshake import SPOKEN


class GunicornCertificates:
    """What gunicorn's configuration `cfg` makes of its settings and its hook ssl_context.

    context: what connections begin with. It stays what it is: with HUP there are new workers.
    """

    def __init__(self, cfg: Any) -> None:
        self.context: ssl.SSLContext = sock.ssl_context(cfg)
        self.context.set_alpn_protocols(list(SPOKEN))

    def follow(self) -> None:
        """Nothing: files that are new are taken up by new workers."""


def certificates(cfg: Any) -> Certificates | None:
    """Return what a service is to have, None for plain HTTP. Raises what gunicorn raises."""
    return cast(Certificates, GunicornCertificates(cfg)) if cfg.is_ssl else None
