"""Every option of uvicorn, and what it is here: docs/uvicorn.md is made from this table.

A test compares it with the list that uvicorn itself has. `name` is also what `uvicorn.run` calls it.
"""

from __future__ import annotations

from typing import Final

from aserve.equivalents import Foreign

_LEAVE_OUT: Final = "leave it out"

OPTIONS: Final[tuple[Foreign, ...]] = (
    Foreign(name="app", note="also a WSGI application, and `module:factory()`"),
    Foreign(
        name="host",
        flags=("--host",),
        default="127.0.0.1",
        option="bind",
        note="`--bind HOST:PORT`",
    ),
    Foreign(
        name="port", flags=("--port",), default=8000, option="bind", note="`--bind HOST:PORT`, or `PORT`"
    ),
    Foreign(name="uds", flags=("--uds",), option="bind", note="`--bind unix:PATH`"),
    Foreign(name="fd", flags=("--fd",), option="bind", note="`--bind fd://NUMBER`"),
    Foreign(
        name="reload",
        flags=("--reload",),
        default=False,
        note="new code that does not start leaves the old one in service",
    ),
    Foreign(name="reload_dirs", flags=("--reload-dir",)),
    Foreign(name="reload_includes", flags=("--reload-include",)),
    Foreign(name="reload_excludes", flags=("--reload-exclude",)),
    Foreign(
        name="reload_delay",
        flags=("--reload-delay",),
        default=0.25,
        always=True,
        why="changes are told by the system, and collected for as long as they follow each other",
    ),
    Foreign(name="workers", flags=("--workers",), note="also `WEB_CONCURRENCY`, and `auto`"),
    Foreign(
        name="loop",
        flags=("--loop",),
        default="auto",
        note="`auto`, `uvloop` or `asyncio`, no loop of your own",
    ),
    Foreign(name="http", flags=("--http",), default="auto", note="`auto`, `httptools` or `h11`"),
    Foreign(
        name="http2",
        flags=("--http2",),
        default=False,
        why="there is no HTTP/2 yet: a proxy in front can speak it",
    ),
    Foreign(
        name="ws",
        flags=("--ws",),
        default="auto",
        note="`auto` or `none`: there is one implementation, which the names of uvicorn's mean as well",
    ),
    Foreign(name="ws_max_size", flags=("--ws-max-size",), default=16 * 2**20),
    Foreign(name="ws_max_queue", flags=("--ws-max-queue",), default=32),
    Foreign(name="ws_ping_interval", flags=("--ws-ping-interval",), default=20.0),
    Foreign(name="ws_ping_timeout", flags=("--ws-ping-timeout",), default=20.0),
    Foreign(name="ws_per_message_deflate", flags=("--ws-per-message-deflate",), default=True),
    Foreign(name="lifespan", flags=("--lifespan",), default="auto"),
    Foreign(
        name="interface",
        flags=("--interface",),
        default="auto",
        option="worker_class",
        note="`-k auto`, `-k asgi` for asgi2 and asgi3, `-k wsgi`",
    ),
    Foreign(
        name="env_file",
        flags=("--env-file",),
        why="have the service manager set variables (EnvironmentFile=, --env-file of docker), or `--env`",
    ),
    Foreign(name="log_config", flags=("--log-config",)),
    Foreign(name="log_level", flags=("--log-level",), note="`debug` in place of `trace`"),
    Foreign(
        name="access_log",
        flags=("--access-log", "--no-access-log"),
        default=True,
        option="access_logfile",
        instead={"--access-log": "write --access-logfile -", "--no-access-log": _LEAVE_OUT},
        note="off by default: `--access-logfile -` writes it to standard output",
    ),
    Foreign(
        name="use_colors",
        flags=("--use-colors", "--no-use-colors"),
        option="log_colors",
        instead={"--use-colors": "write --log-colors on", "--no-use-colors": "write --log-colors off"},
    ),
    Foreign(
        name="proxy_headers",
        flags=("--proxy-headers", "--no-proxy-headers"),
        default=True,
        option="forwarded_allow_ips",
        instead={
            "--proxy-headers": _LEAVE_OUT,
            "--no-proxy-headers": "write --forwarded-allow-ips none",
        },
        note="on; `--forwarded-allow-ips none` in place of `--no-proxy-headers`",
    ),
    Foreign(
        name="server_header",
        flags=("--server-header", "--no-server-header"),
        default=True,
        option="no_server_header",
        instead={"--server-header": _LEAVE_OUT},
    ),
    Foreign(
        name="date_header",
        flags=("--date-header", "--no-date-header"),
        default=True,
        option="no_date_header",
        instead={"--date-header": _LEAVE_OUT},
    ),
    Foreign(
        name="forwarded_allow_ips",
        flags=("--forwarded-allow-ips",),
        note="also `FORWARDED_ALLOW_IPS`; by default 127.0.0.1, ::1 and Unix sockets",
    ),
    Foreign(name="root_path", flags=("--root-path",), default="", note="of WSGI applications as well"),
    Foreign(
        name="limit_concurrency",
        flags=("--limit-concurrency",),
        note="of requests at work; idle connections do not count",
    ),
    Foreign(name="backlog", flags=("--backlog",), default=2048),
    Foreign(
        name="limit_max_requests",
        flags=("--limit-max-requests",),
        option="max_requests",
        note="the worker is replaced; the server does not end",
    ),
    Foreign(
        name="limit_max_requests_jitter",
        flags=("--limit-max-requests-jitter",),
        default=0,
        option="max_requests_jitter",
    ),
    Foreign(name="timeout_keep_alive", flags=("--timeout-keep-alive",), default=5, option="keep_alive"),
    Foreign(
        name="timeout_graceful_shutdown",
        flags=("--timeout-graceful-shutdown",),
        option="graceful_timeout",
        note="30 seconds by default, not for ever",
    ),
    Foreign(
        name="timeout_worker_healthcheck",
        flags=("--timeout-worker-healthcheck",),
        default=5,
        option="timeout",
        note="of a worker's event loop; the log has the stacks of one that stands still",
    ),
    Foreign(name="ssl_keyfile", flags=("--ssl-keyfile",), option="keyfile"),
    Foreign(name="ssl_certfile", flags=("--ssl-certfile",), option="certfile"),
    Foreign(
        name="ssl_keyfile_password",
        flags=("--ssl-keyfile-password",),
        option="keyfile_password",
    ),
    Foreign(
        name="ssl_version",
        flags=("--ssl-version",),
        default=17,
        option="ssl_minimum_version",
        note="the oldest version that is spoken",
    ),
    Foreign(name="ssl_cert_reqs", flags=("--ssl-cert-reqs",), default=0, option="cert_reqs"),
    Foreign(name="ssl_ca_certs", flags=("--ssl-ca-certs",), option="ca_certs"),
    Foreign(name="ssl_ciphers", flags=("--ssl-ciphers",), option="ciphers"),
    Foreign(name="headers", flags=("--header",), option="header"),
    Foreign(name="version", flags=("--version",), always=True, why="`--version` and `-v` say the version"),
    Foreign(name="app_dir", flags=("--app-dir",), default="", option="chdir", note="or `--pythonpath`"),
    Foreign(
        name="h11_max_incomplete_event_size",
        flags=("--h11-max-incomplete-event-size",),
        option="limit_request_head",
        note="with either parser",
    ),
    Foreign(
        name="reset_contextvars",
        flags=("--reset-contextvars",),
        default=False,
        always=True,
        why="every request has a context of its own",
    ),
    Foreign(name="factory", flags=("--factory",), default=False),
)
"""In uvicorn's own order."""

BY_NAME: Final = {option.name: option for option in OPTIONS}
