"""Every setting of gunicorn 27, and what it is here.

A setting whose name one of our options has in configuration files is met by that option, and a hook by
the hook of the same name: nothing has to be said of them here but what differs. docs/gunicorn.md is made
from this table, and a test compares it with the list that gunicorn itself has.
"""

from __future__ import annotations

from typing import Final

from aserve.equivalents import Foreign

_NO_HTTP2: Final = "there is no HTTP/2 yet: a proxy in front can speak it"
_NO_DIRTY: Final = "work that outlives a request belongs to a task queue"
_NO_PASTE: Final = "name a module and attribute that loads the file, such as with pyramid.paster"
_NO_CONTROL: Final = "signals control the server, its log and process titles tell its state"
_STRICT: Final = "such requests are refused, as RFC 9112 wants it; proxies and servers read them differently"

_HOOKS: Final = (
    *("on_starting", "on_reload", "when_ready", "pre_fork", "post_fork", "post_worker_init", "worker_int"),
    *("worker_abort", "pre_exec", "child_exit", "worker_exit", "nworkers_changed", "on_exit"),
)

_DIRTY_HOOKS: Final = ("on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit")

_HTTP2: Final = {
    "http2_max_concurrent_streams": 100,
    "http2_initial_window_size": 65535,
    "http2_max_frame_size": 16384,
    "http2_max_header_list_size": 65536,
}

_DIRTY: Final = {
    "dirty_workers": 0,
    "dirty_timeout": 300,
    "dirty_threads": 1,
    "dirty_graceful_timeout": 30,
}


def _plain(name: str, default: int, why: str) -> Foreign:
    return Foreign(name=name, flags=("--" + name.replace("_", "-"),), default=default, why=why)


def _switch(name: str, why: str) -> Foreign:
    return Foreign(name=name, flags=("--" + name.replace("_", "-"),), takes="nothing", default=False, why=why)


def _one_text(value: object) -> object:
    """A text is one variable, also if it has commas."""
    return [value] if isinstance(value, str) else value


def _number(value: object) -> object:
    """A text is a number as Python writes it."""
    try:
        return int(value, 0) if isinstance(value, str) else value
    except ValueError:
        return value


SETTINGS: Final[tuple[Foreign, ...]] = (
    # Config File
    Foreign(
        name="config",
        flags=("-c", "--config"),
        default="./gunicorn.conf.py",
        note="gunicorn.conf.py is only read if it is named; TOML is understood as well",
    ),
    Foreign(
        name="wsgi_app",
        note="also an ASGI application; a factory with its arguments as well, `module:factory('production')`",
    ),
    # Server Socket
    Foreign(
        name="bind",
        flags=("-b", "--bind"),
        takes="values",
        default=["127.0.0.1:8000"],
        note="also fd://NAME of a systemd socket",
    ),
    Foreign(name="backlog", flags=("--backlog",), default=2048),
    # Worker Processes
    Foreign(name="workers", flags=("-w", "--workers"), default=1, note="also auto: one per usable CPU"),
    Foreign(
        name="worker_class",
        flags=("-k", "--worker-class"),
        default="sync",
        note="every name of gunicorn's and of uvicorn's is understood, see below. Without it the interface "
        "is told from the application, and WSGI runs in threads: write sync, or threads = 1, for one "
        "that is not made for threads",
    ),
    Foreign(
        name="threads",
        flags=("--threads",),
        default=1,
        note="of a WSGI application; more than one with sync makes it gthread, as in gunicorn",
    ),
    Foreign(
        name="worker_connections",
        flags=("--worker-connections",),
        default=1000,
        note="of every worker class; more connections wait in the kernel's queue",
    ),
    Foreign(name="max_requests", flags=("--max-requests",), default=0),
    Foreign(name="max_requests_jitter", flags=("--max-requests-jitter",), default=0),
    Foreign(
        name="timeout",
        flags=("-t", "--timeout"),
        default=30,
        note="of the event loop, with sync also of a request; --request-timeout is for those in threads",
    ),
    Foreign(name="graceful_timeout", flags=("--graceful-timeout",), default=30),
    Foreign(
        name="keepalive",
        flags=("--keep-alive",),
        default=2,
        note="with every worker class, also sync: an idle connection costs no thread",
    ),
    # Security
    Foreign(name="limit_request_line", flags=("--limit-request-line",), default=4094),
    Foreign(name="limit_request_fields", flags=("--limit-request-fields",), default=100),
    Foreign(name="limit_request_field_size", flags=("--limit-request-field_size",), default=8190),
    # Debugging
    Foreign(name="reload", flags=("--reload",), takes="nothing", default=False),
    Foreign(name="reload_engine", flags=("--reload-engine",), default="auto"),
    Foreign(name="reload_extra_files", flags=("--reload-extra-file",), takes="values", default=[]),
    _switch("spew", "use python -m trace, or a profiler that attaches to the process"),
    Foreign(
        name="check_config",
        flags=("--check-config",),
        takes="nothing",
        default=False,
        note="ends with status 0 or 2",
    ),
    Foreign(
        name="print_config",
        flags=("--print-config",),
        takes="nothing",
        default=False,
        note="as TOML, with where each value comes from",
    ),
    # Server Mechanics
    Foreign(
        name="preload_app",
        flags=("--preload",),
        takes="nothing",
        default=False,
        note="a reload brings new code all the same; without effect, and with a warning, for gevent and "
        "eventlet, whose workers import the application themselves; an import that starts threads is "
        "refused, since no worker would have them: leave it out then",
    ),
    Foreign(
        name="sendfile",
        flags=("--no-sendfile",),
        takes="nothing",
        alone=False,
        harmless=(True,),
        why="files always go from the disk to the socket in the kernel, where it can",
    ),
    Foreign(name="reuse_port", flags=("--reuse-port",), takes="nothing", default=False),
    Foreign(name="chdir", flags=("--chdir",)),
    Foreign(
        name="daemon",
        flags=("-D", "--daemon"),
        takes="nothing",
        default=False,
        note="the command returns when the server is ready",
    ),
    Foreign(name="raw_env", flags=("-e", "--env"), takes="values", default=[], read=_one_text),
    Foreign(name="pidfile", flags=("-p", "--pid")),
    Foreign(
        name="worker_tmp_dir",
        flags=("--worker-tmp-dir",),
        note="accepted; nothing is written there, heartbeats are in shared memory",
    ),
    Foreign(
        name="user", flags=("-u", "--user"), note="before the application is imported, with all its groups"
    ),
    Foreign(name="group", flags=("-g", "--group"), note="without it, the user's own one"),
    Foreign(
        name="umask",
        flags=("-m", "--umask"),
        default=0,
        read=_number,
    ),
    Foreign(
        name="initgroups",
        flags=("--initgroups",),
        takes="nothing",
        default=False,
        harmless=(True,),
        always=True,
        why="a worker always has all groups of its user",
    ),
    Foreign(
        name="tmp_upload_dir",
        why="request bodies are not written to disk by the server; frameworks have settings of their own "
        "(TMPDIR, Django's FILE_UPLOAD_TEMP_DIR)",
    ),
    Foreign(
        name="secure_scheme_headers",
        default={"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"},
        note="of trusted proxies only (forwarded_allow_ips); without it Forwarded counts as well",
    ),
    Foreign(
        name="forwarded_allow_ips",
        flags=("--forwarded-allow-ips",),
        default="127.0.0.1,::1",
        note="also networks, and unix for Unix sockets (the default has it)",
    ),
    # Logging
    Foreign(name="accesslog", flags=("--access-logfile",)),
    Foreign(
        name="disable_redirect_access_to_syslog",
        flags=("--disable-redirect-access-to-syslog",),
        takes="nothing",
        default=False,
    ),
    Foreign(
        name="access_log_format",
        flags=("--access-logformat",),
        default='%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        note="also a format by name",
    ),
    Foreign(name="errorlog", flags=("--error-logfile", "--log-file"), default="-"),
    Foreign(name="loglevel", flags=("--log-level",), default="info"),
    Foreign(name="capture_output", flags=("--capture-output",), takes="nothing", default=False),
    Foreign(
        name="logger_class",
        flags=("--logger-class",),
        default="gunicorn.glogging.Logger",
        harmless=("gunicorn.instrument.statsd.Statsd",),
        why="the server has one way to log; hooks can add filters and handlers to server.log.error_log and "
        "server.log.access_log",
    ),
    Foreign(name="logconfig", flags=("--log-config",)),
    Foreign(name="logconfig_dict", default={}),
    Foreign(name="logconfig_json", flags=("--log-config-json",)),
    Foreign(
        name="syslog_addr",
        flags=("--log-syslog-to",),
        default="udp://localhost:514",
    ),
    Foreign(name="syslog", flags=("--log-syslog",), takes="nothing", default=False),
    Foreign(name="syslog_prefix", flags=("--log-syslog-prefix",)),
    Foreign(name="syslog_facility", flags=("--log-syslog-facility",), default="user"),
    Foreign(
        name="enable_stdio_inheritance",
        flags=("-R", "--enable-stdio-inheritance"),
        takes="nothing",
        default=False,
        note="they are inherited anyway, but with daemon; set PYTHONUNBUFFERED=1 to see prints at once",
    ),
    Foreign(name="statsd_host", flags=("--statsd-host",)),
    Foreign(name="dogstatsd_tags", flags=("--dogstatsd-tags",), default=""),
    Foreign(name="statsd_prefix", flags=("--statsd-prefix",), default=""),
    Foreign(name="enable_backlog_metric", flags=("--enable-backlog-metric",), takes="nothing", default=False),
    # Process Naming
    Foreign(name="proc_name", flags=("-n", "--name")),
    Foreign(
        name="default_proc_name",
        default="gunicorn",
        why="it is gunicorn's own; write proc_name",
    ),
    # Server Mechanics
    Foreign(name="pythonpath", flags=("--pythonpath",)),
    Foreign(name="paste", flags=("--paste", "--paster"), why=_NO_PASTE),
    # Server Hooks
    *(Foreign(name=name) for name in _HOOKS),
    Foreign(name="pre_request", note="of ASGI applications as well"),
    Foreign(name="post_request", note="of ASGI applications as well"),
    Foreign(
        name="ssl_context",
        note="called without a certfile as well, for a context of its own; if it wants the default context "
        "then, plain HTTP is served, as by gunicorn, with a warning",
    ),
    # Server Mechanics
    Foreign(
        name="proxy_protocol",
        flags=("--proxy-protocol",),
        takes="maybe",
        alone="auto",
        default="off",
    ),
    Foreign(
        name="proxy_allow_ips",
        flags=("--proxy-allow-from",),
        default="127.0.0.1,::1",
        note="also networks, and unix for Unix sockets",
    ),
    Foreign(
        name="protocol",
        flags=("--protocol",),
        default="http",
        vital=True,
        why="only HTTP is spoken: use proxy_pass of nginx in place of uwsgi_pass and fastcgi_pass",
    ),
    Foreign(
        name="uwsgi_allow_ips",
        flags=("--uwsgi-allow-from",),
        default="127.0.0.1,::1",
        harmless=("127.0.0.1", "", "*"),
        why="the uwsgi protocol is not spoken",
    ),
    # SSL
    Foreign(name="keyfile", flags=("--keyfile",)),
    Foreign(name="certfile", flags=("--certfile",)),
    Foreign(
        name="ssl_version",
        flags=("--ssl-version",),
        default=2,
        why="gunicorn ignores it as well",
    ),
    Foreign(name="cert_reqs", flags=("--cert-reqs",), default=0),
    Foreign(name="ca_certs", flags=("--ca-certs",)),
    Foreign(
        name="suppress_ragged_eofs",
        flags=("--suppress-ragged-eofs",),
        takes="nothing",
        default=True,
        harmless=(False,),
        always=True,
        why="a connection that ends without TLS's goodbye is a client that has gone",
    ),
    Foreign(
        name="do_handshake_on_connect",
        flags=("--do-handshake-on-connect",),
        takes="nothing",
        default=False,
        harmless=(True,),
        always=True,
        why="handshakes never keep other connections waiting",
    ),
    Foreign(name="ciphers", flags=("--ciphers",)),
    # HTTP/2
    Foreign(name="http_protocols", flags=("--http-protocols",), default="h1", why=_NO_HTTP2),
    Foreign(name="http2_cleartext", flags=("--http2-cleartext",), default="off", why=_NO_HTTP2),
    *(_plain(name, default, _NO_HTTP2) for name, default in _HTTP2.items()),
    # Server Mechanics
    Foreign(
        name="raw_paste_global_conf", flags=("--paste-global",), takes="values", default=[], why=_NO_PASTE
    ),
    _switch("permit_obsolete_folding", _STRICT),
    _switch("strip_header_spaces", _STRICT),
    _switch(
        "permit_unconventional_http_method",
        "3 to 20 characters without small letters and #, as there; others are answered with 501",
    ),
    _switch("permit_unconventional_http_version", _STRICT),
    _switch("casefold_http_method", "methods are case-sensitive (RFC 9110 section 9.1)"),
    Foreign(
        name="forwarder_headers",
        flags=("--forwarder-headers",),
        default="SCRIPT_NAME,PATH_INFO",
        note="a proxy names the prefix in X-Forwarded-Prefix",
    ),
    Foreign(name="header_map", flags=("--header-map",), default="drop"),
    # Worker Processes
    Foreign(name="asgi_loop", flags=("--asgi-loop",), default="auto"),
    Foreign(name="asgi_lifespan", flags=("--asgi-lifespan",), default="auto"),
    Foreign(
        name="asgi_disconnect_grace_period",
        flags=("--asgi-disconnect-grace-period",),
        default=3,
        why="an application whose client has gone is told so by http.disconnect, and not cancelled",
    ),
    Foreign(
        name="websocket_max_message_size",
        flags=("--websocket-max-message-size",),
        default=16 * 2**20,
    ),
    Foreign(
        name="http_parser",
        flags=("--http-parser",),
        default="auto",
        values={"fast": "httptools", "python": "h11"},
        note="fast is httptools, python is h11",
    ),
    # Server Mechanics
    Foreign(name="root_path", flags=("--root-path",), default="", note="of WSGI applications as well"),
    # Dirty Arbiters
    Foreign(name="dirty_apps", flags=("--dirty-app",), takes="values", default=[], why=_NO_DIRTY),
    *(_plain(name, default, _NO_DIRTY) for name, default in _DIRTY.items()),
    # Dirty Arbiter Hooks
    *(Foreign(name=name, why=_NO_DIRTY) for name in _DIRTY_HOOKS),
    # Control
    Foreign(name="control_socket", flags=("--control-socket",), why=_NO_CONTROL),
    Foreign(name="control_socket_mode", flags=("--control-socket-mode",), default=0o600, why=_NO_CONTROL),
    Foreign(
        name="control_socket_disable",
        flags=("--no-control-socket",),
        takes="nothing",
        default=False,
        harmless=(True,),
        always=True,
        why="there is no control socket",
    ),
)
"""By the sections that gunicorn has them in, nearly in its own order."""

BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
