"""Hosts, ports and schemes as Flask and Django build them from the environ."""

from __future__ import annotations

from typing import Any

import pytest

from tests.frameworks.conftest import FRAMEWORKS, Framework
from tests.support.client import request
from tests.support.pool import FLAVOURS, ServerPool
from tests.support.site import Site

pytestmark = [
    pytest.mark.parametrize("flavour", FLAVOURS[:1], ids=str, indirect=True),
    pytest.mark.parametrize(
        "framework", [each for each in FRAMEWORKS if each.name in ("flask", "django")], ids=str
    ),
]


async def where(site: Site, *fields: tuple[str, str], host: str = "a.example") -> Any:
    head = f"GET /where HTTP/1.1\r\nHost: {host}\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in fields
    )
    return (await site.ask(head.encode() + b"\r\n")).json()


@pytest.mark.parametrize("host", ["a.example", "a.example:8080", "127.0.0.1:80", "[::1]", "[::1]:8000"])
async def test_host(site: Site, host: str) -> None:
    """What the client has asked for, whatever the address that it has connected to."""
    found = await where(site, host=host)
    assert found["host"] == (host.removesuffix(":80") if "django" not in site.server.command[-1] else host)
    assert (found["scheme"], found["secure"]) == ("http", False)


async def test_without_a_host(site: Site) -> None:
    """HTTP/1.0 need not have one: then it is the address that the client has connected to."""
    found = (await site.ask(b"GET /where HTTP/1.0\r\n\r\n", version="1.0")).json()
    assert found["host"] == f"127.0.0.1:{site.server.port}"
    assert found["link"] == f"http://127.0.0.1:{site.server.port}/where"


@pytest.mark.parametrize("name", ["X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Ssl"])
async def test_secure_behind_a_proxy(site: Site, name: str) -> None:
    """`is_secure` follows a trusted proxy without a setting of the framework's own."""
    found = await where(site, (name, "on" if name.endswith("Ssl") else "https"))
    assert (found["scheme"], found["secure"], found["host"]) == ("https", True, "a.example")
    assert found["link"] == "https://a.example/where"


async def test_all_that_a_proxy_tells(site: Site) -> None:
    found = await where(
        site,
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "b.example"),
        ("X-Forwarded-Port", "8443"),
        ("X-Forwarded-Prefix", "/api"),
        host="internal",
    )
    assert (found["host"], found["client"], found["root"]) == ("b.example:8443", "203.0.113.7", "/api")
    assert (found["path"], found["link"]) == ("/api/where", "https://b.example:8443/api/where")
    assert found.get("port", "8443") == "8443"  # Django's


async def test_nobody_is_believed(pool: ServerPool, framework: Framework, flavour: Any) -> None:
    """Unless it is trusted; the header itself is there for those who read it themselves."""
    server = pool.get(framework.app, flavour, "--forwarded-allow-ips", "none")
    async with Site(server) as site:
        found = await where(site, ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "203.0.113.7"))
        assert (found["secure"], found["client"], found["link"]) == (
            False,
            "127.0.0.1",
            "http://a.example/where",
        )
        headers = await site.ask(request(target="/headers", headers=[("X-Forwarded-Proto", "https")]))
        assert ["x-forwarded-proto", "https"] in headers.json()
