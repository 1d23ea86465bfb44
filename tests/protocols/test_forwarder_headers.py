"""Headers with an underscore in their name: some are a trusted proxy's to send."""

from __future__ import annotations

import pytest

from aserve.protocols.forwarded import Trust
from tests.protocols.conftest import Serving
from tests.support.client import request

FIELDS = [("SCRIPT_NAME", "/app"), ("Remote_User", "alice"), ("X_Other", "1")]
ALLOWED = frozenset({b"script_name", b"remote_user"})


@pytest.mark.parametrize(
    ("header_map", "trusted", "names"),
    [
        ("drop", True, [b"script_name", b"remote_user"]),
        ("drop", False, []),
        ("dangerous", True, [b"script_name", b"remote_user", b"x_other"]),
        ("dangerous", False, [b"script_name", b"remote_user", b"x_other"]),
    ],
)
async def test_who_may_send_what(
    serving: Serving, header_map: str, trusted: bool, names: list[bytes]
) -> None:
    trust = Trust(["127.0.0.1" if trusted else "10.0.0.1"])
    async with (
        serving(forwarded_trust=trust, forwarder_fields=ALLOWED, header_map=header_map) as host,
        host.client() as client,
    ):
        for _ in range(2):  # one head, and the same one again
            assert (await client.ask(request("GET", "/app/x", FIELDS))).status == 200
        for exchange in host.begun:
            assert [name for name, _ in exchange.headers if b"_" in name] == names
            assert (exchange.origin is not None and exchange.origin.prefix == b"/app") is trusted


@pytest.mark.parametrize("filler", ["x", "x" * 6000], ids=["short", "long"])
@pytest.mark.parametrize(
    ("trusted", "fields", "status"),
    [
        (True, FIELDS[:2], 200),
        (True, FIELDS, 400),
        (False, FIELDS[:1], 400),
    ],
)
async def test_refusals(
    serving: Serving, trusted: bool, fields: list[tuple[str, str]], status: int, filler: str
) -> None:
    trust = Trust(["127.0.0.1" if trusted else "10.0.0.1"])
    async with (
        serving(forwarded_trust=trust, forwarder_fields=ALLOWED, header_map="refuse") as host,
        host.client() as client,
    ):
        data = request("GET", "/app/x", [("Filler", filler), ("Filler", filler), *fields])
        response = await client.ask(data)
        assert response.status == status
        if status == 400:
            assert response.text == "underscore in a header name\n"
            assert await client.read_until_closed() == b""


async def test_all_of_them(serving: Serving) -> None:
    async with (
        serving(forwarded_trust=Trust(["*"]), forwarder_fields=frozenset({b"*"})) as host,
        host.client() as client,
    ):
        await client.ask(request("GET", "/app/x", FIELDS))
        assert [name for name, _ in host.begun[0].headers if b"_" in name] == [
            b"script_name",
            b"remote_user",
            b"x_other",
        ]


async def test_the_prefix_is_checked_like_any_other(serving: Serving) -> None:
    async with (
        serving(forwarded_trust=Trust(["*"]), forwarder_fields=ALLOWED) as host,
        host.client() as client,
    ):
        response = await client.ask(request("GET", "/", [("SCRIPT_NAME", "//evil.example")]))
        assert (response.status, host.begun) == (400, [])
        assert await client.read_until_closed() == b""
