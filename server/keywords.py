"""The options as keyword arguments: their names and types.

Made by `make docs` from the options table in server/options.py: change it there.
docs/settings.md says what each of them means. None is the same as leaving it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class ServerOptions(TypedDict, total=False):
    """What `aserve.Server` takes."""

    access_log_format: str | None
    access_logfile: str | None
    backlog: int | None
    bind: str | Sequence[str] | None
    body_timeout: float | None  # seconds
    ca_certs: str | None
    cert_reqs: Literal["none", "optional", "required"] | None
    certfile: str | Sequence[str] | None
    ciphers: str | None
    error_logfile: str | None
    factory: bool | None
    forwarded_allow_ips: str | Sequence[str] | None
    forwarded_headers: str | Sequence[str] | None
    forwarder_headers: str | Sequence[str] | None
    graceful_timeout: float | None  # seconds
    header: str | Sequence[str] | None
    header_map: Literal["drop", "refuse", "dangerous"] | None
    header_timeout: float | None  # seconds
    http: Literal["auto", "httptools", "h11"] | None
    keep_alive: float | None  # seconds
    keyfile: str | Sequence[str] | None
    keyfile_password: str | None
    keyfile_password_file: str | None
    lifespan: Literal["auto", "on", "off"] | None
    limit_concurrency: int | None
    limit_request_body: int | None  # bytes
    limit_request_field_size: int | None  # bytes
    limit_request_fields: int | None
    limit_request_head: int | None  # bytes
    limit_request_line: int | None  # bytes
    log_level: Literal["debug", "info", "warning", "error", "critical"] | None
    loop: Literal["auto", "uvloop", "asyncio"] | None
    min_body_rate: int | None  # bytes
    no_date_header: bool | None
    no_server_header: bool | None
    proxy_allow_from: str | Sequence[str] | None
    proxy_protocol: Literal["off", "v1", "v2", "auto"] | None
    queue_limit: int | None
    queue_target: float | None  # seconds
    queue_timeout: float | None  # seconds
    request_timeout: float | None  # seconds
    response_buffer: int | str | None  # bytes
    reuse_port: bool | None
    root_path: str | None
    secure_scheme_headers: str | Sequence[str] | None
    ssl_handshake_timeout: float | None  # seconds
    ssl_minimum_version: Literal["1.2", "1.3"] | None
    threads: int | None
    worker_class: str | None
    worker_connections: int | None
    write_timeout: float | None  # seconds
    ws: Literal["auto", "none"] | None
    ws_deflate_takeover: bool | None
    ws_deflate_window_bits: int | None
    ws_handshake_timeout: float | None  # seconds
    ws_max_queue: int | None
    ws_max_size: int | str | None  # bytes
    ws_per_message_deflate: bool | None
    ws_ping_interval: float | None  # seconds
    ws_ping_timeout: float | None  # seconds


class Options(ServerOptions, total=False):
    """What `aserve.run` takes."""

    boot_timeout: float | None  # seconds
    capture_output: bool | None
    chdir: str | None
    check_config: bool | None
    config: str | None
    daemon: bool | None
    disable_redirect_access_to_syslog: bool | None
    dogstatsd_tags: str | None
    enable_backlog_metric: bool | None
    enable_stdio_inheritance: bool | None
    group: int | str | None
    log_colors: Literal["auto", "on", "off"] | None
    log_config: str | None
    log_config_dict: Mapping[str, object] | None
    log_config_json: str | None
    log_format: Literal["text", "json"] | None
    max_lifetime: float | None  # seconds
    max_lifetime_jitter: float | None  # seconds
    max_requests: int | None
    max_requests_jitter: int | None
    max_rss: int | str | None  # bytes
    notify_fd: int | None
    pidfile: str | None
    preload_app: bool | None
    print_config: bool | None
    proc_name: str | None
    pythonpath: str | Sequence[str] | None
    raw_env: str | Sequence[str] | None
    reload: bool | None
    reload_dirs: str | Sequence[str] | None
    reload_engine: Literal["auto", "inotify", "poll"] | None
    reload_excludes: str | Sequence[str] | None
    reload_extra_files: str | Sequence[str] | None
    reload_includes: str | Sequence[str] | None
    statsd_host: str | None
    statsd_prefix: str | None
    syslog: bool | None
    syslog_addr: str | None
    syslog_facility: str | None
    syslog_prefix: str | None
    timeout: float | None  # seconds
    umask: int | str | None
    user: int | str | None
    worker_tmp_dir: str | None
    workers: int | str | None
