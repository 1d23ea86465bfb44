"""gunicorn's settings, and what they come to."""

from __future__ import annotations

import pwd
import signal
import tempfile
from pathlib import Path

import pytest
from gunicorn.config import Config

from aserve.errors import UsageError
from aserve.workersettings import translate
from tests.gunicorn_worker.conftest import Gunicorn
from tests.gunicorn_worker.process import GunicornProcess, oldest
from tests.reliability.conftest import Code, ask
from tests.support.client import RawClient
from tests.support.client import request as request_of
from tests.support.reach import opened


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
    assert settings.secure_scheme_headers == ()  # the usual ones, and proto of Forwarded


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
        ("forwarder_headers", "SCRIPT_NAME,REMOTE_USER", "forwarder_headers", ("script_name", "remote_user")),
        ("forwarder_headers", "", "forwarder_headers", ()),
        ("secure_scheme_headers", {"X-SSL": "1"}, "secure_scheme_headers", ((b"x-ssl", "1"),)),
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


APP = """
import json

NAMES = ("SCRIPT_NAME", "PATH_INFO", "wsgi.url_scheme", "REMOTE_ADDR", "HTTP_REMOTE_USER", "HTTP_X_Y")

def app(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps({name: environ[name] for name in NAMES if name in environ}).encode()]
"""


def environ_of(server: GunicornProcess, *headers: tuple[str, str], target: str = "/path") -> dict[str, str]:
    """Return what the application is given."""
    with RawClient(server.target) as client:
        found: dict[str, str] = client.ask(request_of(target=target, headers=[*headers, CLOSE])).json()
        return found


CLOSE = ("Connection", "close")
PROXIED = (
    ("X-Forwarded-Proto", "https"),
    ("SCRIPT_NAME", "/app"),
    ("REMOTE_USER", "alice"),
    ("X_Y", "dropped"),
)


@pytest.mark.parametrize("header_map", ["drop", "dangerous"])
@pytest.mark.parametrize(("allowed", "believed"), [("127.0.0.1", True), ("10.0.0.1", False)])
def test_what_a_proxy_says(
    gunicorn: Gunicorn, code: Code, version: str, allowed: str, believed: bool, header_map: str
) -> None:
    if version == "oldest":
        pytest.skip("it has no forwarder_headers")
    code.broken(APP)
    server = gunicorn(
        *("--forwarder-headers", "SCRIPT_NAME,REMOTE_USER", "--forwarded-allow-ips", allowed),
        *("--header-map", header_map, "main:app"),
        interface="wsgi",
    )
    environ = environ_of(server, *PROXIED, target="/app/path")
    assert environ["wsgi.url_scheme"] == ("https" if believed else "http")
    assert environ["SCRIPT_NAME"] == ("/app" if believed else "")
    assert environ["PATH_INFO"] == ("/path" if believed else "/app/path")
    assert ("HTTP_REMOTE_USER" in environ) is (believed or header_map == "dangerous")
    assert ("HTTP_X_Y" in environ) is (header_map == "dangerous")
    environ = environ_of(server, ("Forwarded", "for=192.0.2.1;proto=https"))
    assert environ["wsgi.url_scheme"] == ("https" if believed else "http")
    assert environ["REMOTE_ADDR"] == ("192.0.2.1" if believed else "127.0.0.1")


@pytest.mark.parametrize(("allowed", "status"), [("127.0.0.1", 200), ("10.0.0.1", 400)])
def test_underscores_are_refused(
    gunicorn: Gunicorn, code: Code, version: str, allowed: str, status: int
) -> None:
    if version == "oldest":
        pytest.skip("it has no forwarder_headers")
    code.broken(APP)
    server = gunicorn(
        "--header-map", "refuse", "--forwarded-allow-ips", allowed, "main:app", interface="wsgi"
    )
    for filler in ("x", "x" * 5000):  # with the second one the head is judged line by line
        with RawClient(server.target) as client:
            headers = [("Filler", filler), ("SCRIPT_NAME", "/app"), CLOSE]
            assert client.ask(request_of(target="/app/path", headers=headers)).status == status


def test_limits_and_names(gunicorn: Gunicorn, code: Code) -> None:
    code.broken(APP)
    server = gunicorn(
        *("--limit-request-line", "100", "--limit-request-fields", "5", "--limit-request-field_size", "200"),
        *("--env", "SCRIPT_NAME=/mounted", "--env", "ASERVE_LIMIT_REQUEST_BODY=10", "main:app"),
        interface="wsgi",
    )
    assert environ_of(server, target="/mounted/a")["PATH_INFO"] == "/a"
    for data, status in (
        (request_of(target="/" + "x" * 100), 414),
        (request_of(headers=[(f"X-{number}", "1") for number in range(6)]), 431),
        (request_of(headers=[("X", "x" * 200)]), 431),
        (request_of("POST", body=b"x" * 11), 413),
    ):
        with RawClient(server.target) as client:
            assert client.ask(data).status == status


def test_a_reload_brings_new_settings(gunicorn: Gunicorn, code: Code) -> None:
    code.broken(APP)
    file = code.folder / "gunicorn.conf.py"
    file.write_text("raw_env = ['ASERVE_HEADER=X-Settings:one']")
    server = gunicorn("main:app", interface="wsgi")
    with RawClient(server.target) as client:
        assert client.ask(request_of(headers=[CLOSE])).header("x-settings") == "one"
    file.write_text("raw_env = ['ASERVE_HEADER=X-Settings:two']\nlimit_request_fields = 2")
    old, since = server.worker_pids(), server.mark()
    server.signal(signal.SIGHUP)
    server.wait_workers(1, since)
    server.wait_exit(old[0])
    with RawClient(server.target) as client:
        assert client.ask(request_of(headers=[CLOSE])).header("x-settings") == "two"
    with RawClient(server.target) as client:
        assert client.ask(request_of(headers=[CLOSE, ("A", "1"), ("B", "2")])).status == 431


def test_the_proxy_protocol(gunicorn: Gunicorn, code: Code, version: str) -> None:
    code.broken(APP)
    option = ("--proxy-protocol",) if version == "oldest" else ("--proxy-protocol", "auto")
    server = gunicorn(*option, "--workers", "1", "main:app", interface="wsgi")
    with RawClient(server.target) as client:
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n")
        assert client.ask(request_of(headers=[CLOSE])).json()["REMOTE_ADDR"] == "192.0.2.7"


def test_connections_above_the_limit_wait(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    server = gunicorn("--worker-connections", "1", "--keep-alive", "1", "main:app", interface="asgi")
    with RawClient(server.target) as first, RawClient(server.target) as second:
        assert first.ask(request_of()).text == "one"
        second.send(request_of(headers=[CLOSE]))
        assert first.ask(request_of()).text == "one"
        first.read_until_closed()  # its idle time is over: there is room for another one
        assert second.read().text == "one"


USER = """
import os

def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.getuid()} {os.getgid()}".encode()]
"""


def test_workers_are_another_user(version: str, request: pytest.FixtureRequest) -> None:
    prefix = opened()
    if prefix is None:
        pytest.skip("needs root, and a Python that another user can reach")
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # pytest's can be read by nobody else
        (folder / "main.py").write_text(USER)
        options = ("--user", "nobody", "--group", str(nobody.pw_gid), "main:app")
        path = oldest(request.config) if version == "oldest" else None
        with GunicornProcess(
            *options, interface="wsgi", cwd=folder, home=folder, path=path, prefix=prefix
        ) as server:
            assert ask(server) == f"{nobody.pw_uid} {nobody.pw_gid}"
