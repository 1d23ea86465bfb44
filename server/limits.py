"""The options that have to do with clients: their patience and ours, sizes, headers, proxies.

A part of the one table of options, see options.py. gunicorn's names and meanings where it has them:
0 in a limit on lines and fields is no limit of its own, what still holds is that on the whole head.
"""

from __future__ import annotations

from typing import Literal

from aserve import validators
from aserve.declaration import Declared, declared, option


@declared(frozen=True, kw_only=True)
class ClientSettings(Declared):
    """The settings that connections look at; times in seconds, sizes in bytes."""

    header_timeout: float = option(
        "--header-timeout",
        section="Slow clients",
        metavar="SECONDS",
        parse=validators.seconds,
        default=30.0,
        default_text="30",
        help="How long the head of a request may take, from the connection's beginning or the head's "
        "first byte to its end; 0: for ever.",
    )
    body_timeout: float = option(
        "--body-timeout",
        section="Slow clients",
        metavar="SECONDS",
        parse=validators.seconds,
        default=30.0,
        default_text="30",
        help="How long a request's body may fail to come, at --min-body-rate at least, while the "
        "application is ready for it; 0: for ever.",
    )
    min_body_rate: int = option(
        "--min-body-rate",
        section="Slow clients",
        metavar="BYTES",
        parse=validators.integer(0),
        default=240,
        help="Bytes of a body that have to come per second, on average over --body-timeout; 0: any "
        "number of them will do.",
    )
    write_timeout: float = option(
        "--write-timeout",
        section="Slow clients",
        metavar="SECONDS",
        parse=validators.seconds,
        default=60.0,
        default_text="60",
        help="How long a client may take nothing of a response that is there for it; 0: for ever.",
    )

    response_buffer: int = option(
        "--response-buffer",
        section="Slow clients",
        metavar="BYTES",
        parse=validators.positive_size,
        default=65536,
        help="How much of a response that a WSGI application yields piece by piece may wait for its client "
        "before the application's thread has to wait as well; 256K, 1M and the like can be written.",
    )

    limit_request_line: int = option(
        "--limit-request-line",
        section="Limits",
        metavar="BYTES",
        parse=validators.integer(0),
        default=8190,
        help="The longest request line, answered with 414 above it; 0: as long as the head may be.",
    )
    limit_request_fields: int = option(
        "--limit-request-fields",
        section="Limits",
        metavar="N",
        parse=validators.integer(0),
        default=100,
        help="The largest number of header fields in a request, answered with 431 above it; 0: as many as "
        "the head may hold.",
    )
    limit_request_field_size: int = option(
        "--limit-request-field-size",
        "--limit-request-field_size",  # gunicorn's spelling
        section="Limits",
        metavar="BYTES",
        parse=validators.integer(0),
        default=8190,
        help="The largest header field, name and value, answered with 431 above it; 0: as large as the "
        "head may be.",
    )
    limit_request_head: int = option(
        "--limit-request-head",
        section="Limits",
        metavar="BYTES",
        parse=validators.integer(0),
        default=0,
        default_text="65536, or more if the request line and one field may be longer",
        elsewhere=("--h11-max-incomplete-event-size", "--h11-max-incomplete-size"),
        help="The largest head of a request, line and fields together, answered with 431 above it.",
    )
    limit_request_body: int = option(
        "--limit-request-body",
        section="Limits",
        metavar="BYTES",
        parse=validators.integer(0, 10**18 - 1),
        default=0,
        default_text="0",
        help="The largest body of a request, answered with 413 above it; 0: no limit, that is the "
        "application's matter.",
    )
    limit_concurrency: int = option(
        "--limit-concurrency",
        section="Limits",
        metavar="N",
        parse=validators.integer(0),
        default=0,
        elsewhere=("--backpressure",),
        help="How many requests a worker has at work at the same time; those above it are answered with "
        "503 and Retry-After. Idle connections do not count. 0: no limit.",
    )
    queue_limit: int = option(
        "--queue-limit",
        section="Limits",
        metavar="N",
        parse=validators.integer(0),
        default=2048,
        help="How many requests may wait in a worker for a thread, or whatever else runs a WSGI application; "
        "those above it are answered with 503 and Retry-After. 0: any number.",
    )
    queue_timeout: float = option(
        "--queue-timeout",
        section="Limits",
        metavar="SECONDS",
        parse=validators.seconds,
        default=30.0,
        default_text="30",
        help="How long a request may wait for that; one that has waited longer is answered with 503 and "
        "Retry-After and not worked on. 0: for ever.",
    )
    queue_target: float | None = option(
        "--queue-target",
        section="Limits",
        metavar="SECONDS",
        parse=validators.seconds,
        default_text="a tenth of --queue-timeout",
        help="What the wait may become under overload: while every request of the last five such times had "
        "to wait longer, those that have waited twice as long are answered with 503. 0: no shedding.",
    )
    worker_connections: int = option(
        "--worker-connections",
        section="Limits",
        metavar="N",
        parse=validators.integer(0),
        default=0,
        help="How many connections a worker has open at the same time, idle ones as well; more of them "
        "wait in the kernel's queue (--backlog), none is refused. With greenlets, as many "
        "requests are at work at the same time, and 1000 if there is no limit. 0: no limit.",
    )

    header_map: Literal["drop", "refuse", "dangerous"] = option(
        "--header-map",
        section="Headers",
        metavar="drop|refuse|dangerous",
        parse=validators.choice("drop", "refuse", "dangerous"),
        default="drop",
        help="What becomes of request headers with _ in their name, which WSGI and Django cannot tell "
        "from those with -: left out, answered with 400, or handed to the application.",
    )
    header: tuple[tuple[bytes, bytes], ...] = option(
        "--header",
        section="Headers",
        metavar="NAME:VALUE",
        parse=validators.headers,
        multiple=True,
        default=(),
        default_text="none",
        help="A header for every response, beside the application's own; Server and Date replace ours. "
        "Can be given more than once; in the variable one per line, since values may have commas.",
    )
    no_server_header: bool = option(
        "--no-server-header",
        section="Headers",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Send no Server header.",
    )
    no_date_header: bool = option(
        "--no-date-header",
        section="Headers",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Send no Date header, because a proxy in front does.",
    )

    forwarded_allow_ips: tuple[str, ...] = option(
        "--forwarded-allow-ips",
        section="Proxies",
        metavar="ADDRESS,...",
        parse=validators.addresses,
        multiple=True,
        default=("127.0.0.1", "::1", "unix"),
        default_text="127.0.0.1,::1,unix",
        extra_environment=(("FORWARDED_ALLOW_IPS", "{}"),),
        elsewhere=("--proxy-headers",),
        help="The proxies whose Forwarded and X-Forwarded-* headers are believed: addresses, networks, "
        "unix for whoever connects to a Unix socket, * for everybody, none for nobody.",
    )
    forwarded_headers: tuple[str, ...] = option(
        "--forwarded-headers",
        section="Proxies",
        metavar="NAME,...",
        parse=validators.forwarded_headers,
        multiple=True,
        default=(),
        default_text="all of them",
        help="The names of the headers that are believed of those proxies, for proxies that set only some of "
        "them; the others come from clients then.",
    )
    secure_scheme_headers: tuple[tuple[bytes, str], ...] = option(
        "--secure-scheme-headers",
        section="Proxies",
        metavar="NAME:VALUE,...",
        parse=validators.secure_scheme_headers,
        multiple=True,
        default=(),
        default_text="the usual ones (docs/proxies.md)",
        help="The only headers of those proxies that tell whether the client's connection is secure, each "
        "with the value that says so, such as X-Scheme:https; any other value says that it is not.",
    )
    forwarder_headers: tuple[str, ...] = option(
        "--forwarder-headers",
        section="Proxies",
        metavar="NAME,...",
        parse=validators.underscored_headers,
        multiple=True,
        default=(),
        default_text="none",
        help="Headers with _ in their name that those proxies set, and do not pass on from clients; they are "
        "taken whatever --header-map says, and SCRIPT_NAME is the path's prefix. * for all.",
    )
    proxy_protocol: Literal["off", "v1", "v2", "auto"] = option(
        "--proxy-protocol",
        section="Proxies",
        metavar="off|v1|v2|auto",
        parse=validators.proxy_protocol,
        default="off",
        alone="auto",
        help="The header of the PROXY protocol that every connection has to begin with: text (v1), binary "
        "(v2), or either of the two (auto, and without a value).",
    )
    proxy_allow_from: tuple[str, ...] = option(
        "--proxy-allow-from",
        "--proxy-allow-ips",
        section="Proxies",
        metavar="ADDRESS,...",
        parse=validators.addresses,
        multiple=True,
        default=("127.0.0.1", "::1", "unix"),
        default_text="127.0.0.1,::1,unix",
        gunicorn="proxy_allow_ips",
        help="The proxies that may send such a header, written as in --forwarded-allow-ips.",
    )
