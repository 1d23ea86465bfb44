"""Files as Flask and Django send them over WSGI: ranges, conditions, and that they are closed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frameworks.conftest import FRAMEWORKS
from tests.support.client import request
from tests.support.footprint import needs_proc
from tests.support.inprocess_wsgi import until
from tests.support.messages import content
from tests.support.pool import FLAVOURS
from tests.support.site import Site

BOTH = [each for each in FRAMEWORKS if each.name in ("flask", "django")]
pytestmark = pytest.mark.parametrize("flavour", FLAVOURS, ids=str, indirect=True)
both = pytest.mark.parametrize("framework", BOTH, ids=str)
flask_only = pytest.mark.parametrize("framework", BOTH[:1], ids=str)

SIZE = (10 << 20) + 13


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file that no buffer between the two holds, and whose parts differ."""
    path = tmp_path_factory.mktemp("files") / "large.bin"
    path.write_bytes(content(SIZE))
    yield path
    path.unlink()


def digest(path: Path, begin: int = 0, end: int = SIZE) -> str:
    return hashlib.sha256(path.read_bytes()[begin:end]).hexdigest()


def is_open(site: Site, path: Path) -> bool:
    """Whether a worker has `path` open."""
    found = set()
    for pid in site.server.worker_pids():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found.add(str(link.readlink()))
            except OSError:
                continue  # closed since
    return str(path) in found


@both
@needs_proc
async def test_download(site: Site, large: Path) -> None:
    """Every byte, the connection serves the next request, and the file is closed."""
    async with site.raw() as client:
        for _ in range(2):
            response = await client.ask(request(target=f"/file?path={large}"))
            assert (response.status, response.header("content-length")) == (200, str(SIZE))
            assert hashlib.sha256(response.body).hexdigest() == digest(large)
            assert (await client.ask(request())).text == "hello"
    await until(lambda: not is_open(site, large))


@both
@needs_proc
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_client_goes(site: Site, large: Path, how: str) -> None:
    """In the middle of a file: it is closed, and that is no traceback."""
    async with site.raw(receive_buffer=1 << 16) as client:
        await client.send(request(target=f"/file?path={large}"))
        await client.read_head()
        await client.read_bytes(1_000_000)
        assert is_open(site, large)
        client.incoming.data.clear()
        if how == "reset":
            client.reset()
    await until(lambda: not is_open(site, large))
    assert (await site.ask(request())).text == "hello"
    assert site.tracebacks() == []


@both
async def test_head(site: Site, large: Path) -> None:
    async with site.raw() as client:
        response = await client.ask(request("HEAD", f"/file?path={large}"), "HEAD")
        assert (response.status, response.header("content-length")) == (200, str(SIZE))
        assert (await client.ask(request())).text == "hello"


@both
@pytest.mark.parametrize("size", [0, 1, 65536, 65537])
async def test_small(site: Site, tmp_path: Path, size: int) -> None:
    path = tmp_path / "small"
    path.write_bytes(content(size))
    async with site.raw() as client:
        response = await client.ask(request(target=f"/file?path={path}"))
        assert (response.status, response.body) == (200, content(size))
        assert (await client.ask(request())).text == "hello"


@both
async def test_http_1_0(site: Site, large: Path) -> None:
    async with site.raw() as client:
        response = await client.ask(request(target=f"/file?path={large}", version="1.0"), version="1.0")
        assert hashlib.sha256(response.body).hexdigest() == digest(large)
        await client.read_until_closed()


@flask_only
@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [("0-0", 0, 1), ("1-", 1, SIZE), ("-5", SIZE - 5, SIZE), ("1048576-9437183", 1 << 20, 9 << 20)],
)
async def test_range(site: Site, large: Path, asked: str, begin: int, end: int) -> None:
    """RFC 9110 section 14: Werkzeug reads these."""
    async with site.raw() as client:
        sent = request(target=f"/file?path={large}", headers=[("Range", f"bytes={asked}")])
        response = await client.ask(sent)
        assert response.status == 206
        assert response.header("content-range") == f"bytes {begin}-{end - 1}/{SIZE}"
        assert response.header("content-length") == str(end - begin)
        assert hashlib.sha256(response.body).hexdigest() == digest(large, begin, end)
        assert (await client.ask(request())).text == "hello"


@flask_only
async def test_conditions(site: Site, large: Path) -> None:
    target = f"/file?path={large}"
    async with site.raw() as client:
        etag = (await client.ask(request("HEAD", target), "HEAD")).header("etag")
        assert etag is not None
        same = await client.ask(request(target=target, headers=[("If-None-Match", etag)]))
        assert (same.status, same.body) == (304, b"")
        resumed = [("Range", f"bytes={SIZE - 100}-"), ("If-Range", etag)]
        assert (await client.ask(request(target=target, headers=resumed))).body == content(SIZE)[-100:]
        changed = [("Range", f"bytes={SIZE - 100}-"), ("If-Range", '"other"')]
        assert (await client.ask(request(target=target, headers=changed))).status == 200
        beyond = await client.ask(request(target=target, headers=[("Range", f"bytes={SIZE}-")]))
        assert beyond.status == 416
        assert (await client.ask(request())).text == "hello"
