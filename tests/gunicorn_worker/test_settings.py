"""gunicorn's settings, and what they come to."""

from __future__ import annotations

import pytest
from gunicorn.config import Config

from aserve.errors import UsageError
from aserve.workersettings import translate


def config(**values: object) -> Config:
    """Return gunicorn's configuration with some settings."""
    made = Config()
    for name, value in values.items():
        made.set(name, value)
    return made


def test_gunicorns_defaults_hold() -> None:
    settings = translate(config(), {}).settings
    assert (settings.keep_alive, settings.timeout, settings.threads) == (2, 30, 1)
    assert settings.worker_connections == 1000
    assert settings.limit_request_line == 4094
    assert settings.forwarded_allow_ips == ("127.0.0.1", "::1", "unix")
    assert settings.max_requests == 0


def test_the_graceful_time_ends_before_gunicorn_kills() -> None:
    assert translate(config(graceful_timeout=30), {}).settings.graceful_timeout == 29
    assert translate(config(graceful_timeout=2), {}).settings.graceful_timeout == pytest.approx(1.8)
    assert translate(config(graceful_timeout=0), {}).settings.graceful_timeout == 0


@pytest.mark.parametrize(
    ("name", "value", "ours", "expected"),
    [
        ("keepalive", 75, "keep_alive", 75),
        ("limit_request_line", 2000, "limit_request_line", 2000),
        ("limit_request_fields", 50, "limit_request_fields", 50),
        ("limit_request_field_size", 0, "limit_request_field_size", 0),
        ("header_map", "refuse", "header_map", "refuse"),
        ("forwarded_allow_ips", "*", "forwarded_allow_ips", ("*", "unix")),
        ("forwarded_allow_ips", "10.0.0.1,10.0.0.2", "forwarded_allow_ips", ("10.0.0.1", "10.0.0.2", "unix")),
        ("proxy_protocol", True, "proxy_protocol", "auto"),
        ("proxy_allow_ips", "10.0.0.1", "proxy_allow_from", ("10.0.0.1", "unix")),
        ("worker_connections", 5, "worker_connections", 5),
        ("threads", 3, "threads", 3),
        ("asgi_loop", "asyncio", "loop", "asyncio"),
        ("asgi_lifespan", "off", "lifespan", "off"),
        ("root_path", "/api", "root_path", "/api"),
        ("websocket_max_message_size", 1000, "ws_max_size", 1000),
        ("reload", True, "reload", True),
    ],
)
def test_a_setting(name: str, value: object, ours: str, expected: object) -> None:
    assert getattr(translate(config(**{name: value}), {}).settings, ours) == expected


def test_variables_hold_where_gunicorn_says_nothing() -> None:
    environ = {"ASERVE_WS_PING_INTERVAL": "5", "ASERVE_KEEP_ALIVE": "9", "SCRIPT_NAME": "/app"}
    translation = translate(config(), environ)
    assert translation.settings.ws_ping_interval == 5
    assert translation.settings.keep_alive == 9
    assert translation.settings.root_path == "/app"
    assert translation.remarks == ()


def test_others_variables_say_nothing() -> None:
    environ = {"PORT": "80", "WEB_CONCURRENCY": "3", "FORWARDED_ALLOW_IPS": "10.0.0.9"}
    translation = translate(config(), environ)
    assert translation.settings.forwarded_allow_ips == ("127.0.0.1", "::1", "unix")  # gunicorn has read it
    assert translation.remarks == ()


def test_uwsgi_is_not_spoken() -> None:
    with pytest.raises(UsageError, match="'uwsgi' is not spoken"):
        translate(config(protocol="uwsgi"), {})
