"""Downloads through Starlette's FileResponse, which uses pathsend where it is announced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frameworks.conftest import FRAMEWORKS
from tests.support.client import request
from tests.support.pool import ALL_FLAVOURS
from tests.support.site import Site

pytestmark = [
    pytest.mark.parametrize("flavour", ALL_FLAVOURS, ids=str, indirect=True),
    pytest.mark.parametrize(
        "framework", [each for each in FRAMEWORKS if each.name in ("starlette", "layered")], ids=str
    ),
]

SIZE = (96 << 20) + 13


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A large file whose parts differ."""
    path = tmp_path_factory.mktemp("files") / "large.bin"
    with path.open("wb") as file:
        for number in range(SIZE // (1 << 16)):
            file.write(hashlib.sha256(b"%d" % number).digest() * (1 << 11))
        file.write(b"and the end..")
    assert path.stat().st_size == SIZE
    yield path
    path.unlink()


def digest(path: Path, begin: int = 0, end: int = SIZE) -> str:
    """The hash of a part of a file."""
    with path.open("rb") as file:
        file.seek(begin)
        found = hashlib.sha256()
        left = end - begin
        while left and (data := file.read(min(left, 1 << 20))):
            found.update(data)
            left -= len(data)
    return found.hexdigest()


async def test_download(site: Site, large: Path) -> None:
    """Every byte, and the connection serves the next request."""
    for _ in range(2):
        found = hashlib.sha256()
        async with site.http.stream("GET", "/file", params={"path": str(large)}) as response:
            assert response.status_code == 200
            assert response.headers["content-length"] == str(SIZE)
            async for data in response.aiter_raw():
                found.update(data)
        assert found.hexdigest() == digest(large)
    assert site.tracebacks() == []


@pytest.mark.parametrize(("begin", "end"), [(0, 1), (1, SIZE), (SIZE - 5, SIZE), (1 << 20, 9 << 20)])
async def test_range(site: Site, large: Path, begin: int, end: int) -> None:
    """RFC 9110 section 14: the framework reads these itself."""
    headers = {"Range": f"bytes={begin}-{end - 1}"}
    response = await site.http.get("/file", params={"path": str(large)}, headers=headers)
    assert response.status_code == 206
    assert response.headers["content-range"] == f"bytes {begin}-{end - 1}/{SIZE}"
    assert hashlib.sha256(response.content).hexdigest() == digest(large, begin, end)


async def test_download_resumed(site: Site, large: Path) -> None:
    """A client that has lost its connection goes on where it was."""
    async with site.raw() as client:
        await client.send(request(target=f"/file?path={large}"))
        head = await client.read_head()
        first = await client.read_bytes(20_000_000)
        client.incoming.data.clear()
        client.reset()
    etag = head.header("etag")
    assert etag is not None
    headers = {"Range": f"bytes={len(first)}-", "If-Range": etag}
    rest = await site.http.get("/file", params={"path": str(large)}, headers=headers)
    assert rest.status_code == 206
    assert hashlib.sha256(first + rest.content).hexdigest() == digest(large)
    assert site.tracebacks() == []


async def test_several_ranges(site: Site, large: Path) -> None:
    headers = {"Range": f"bytes=0-9,{SIZE - 13}-"}
    response = await site.http.get("/file", params={"path": str(large)}, headers=headers)
    assert response.status_code == 206
    assert response.headers["content-type"].startswith("multipart/byteranges")
    assert b"and the end.." in response.content


async def test_head(site: Site, large: Path) -> None:
    response = await site.http.head("/file", params={"path": str(large)})
    assert (response.status_code, response.headers["content-length"]) == (200, str(SIZE))
    assert (await site.http.get("/")).text == "hello"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537])
async def test_small_file(site: Site, tmp_path: Path, size: int) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"x" * size)
    response = await site.http.get("/file", params={"path": str(path)})
    assert (response.status_code, response.content) == (200, b"x" * size)


async def test_http_1_0(site: Site, large: Path) -> None:
    async with site.raw() as client:
        response = await client.ask(request(target=f"/file?path={large}", version="1.0"), version="1.0")
        assert hashlib.sha256(response.body).hexdigest() == digest(large)
        await client.read_until_closed()
