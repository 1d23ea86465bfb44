"""Fixtures: a real nginx in front of a real server."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.proxies.nginx import Missing, Nginx

REQUIRED = "TEST_NGINX"
"""If this variable is "required", a missing nginx is a failure; otherwise its tests are skipped."""


class StartNginx(Protocol):
    """Starts nginx; the arguments are those of Nginx."""

    def __call__(self, http: str = "", stream: str = "") -> Nginx: ...


@pytest.fixture
def start_nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartNginx]:
    """Start nginx for one test. After it nginx is stopped, and its log must have no errors."""
    with contextlib.ExitStack() as started:
        running: list[Nginx] = []

        def start(http: str = "", stream: str = "") -> Nginx:
            folder = tmp_path_factory.mktemp("nginx")
            try:
                if sys.platform != "linux":
                    raise Missing("the tests need 127.0.0.2, which only Linux has without being asked")
                nginx = Nginx(folder, http, stream)
            except Missing as missing:
                if os.environ.get(REQUIRED) == "required":
                    pytest.fail(f"{REQUIRED} is set, but {missing}")
                pytest.skip(str(missing))
            running.append(started.enter_context(nginx))
            return nginx

        yield start
    for nginx in running:
        assert nginx.errors() == []


UPSTREAM = """
upstream app { server %s; keepalive 32; keepalive_timeout 4s; }
"""


def upstream(target: tuple[str, int] | str) -> str:
    """The upstream called `app`, at the server's address."""
    return UPSTREAM % (f"unix:{target}" if isinstance(target, str) else f"{target[0]}:{target[1]}")


def location(*directives: str, path: str = "/") -> str:
    """A server with one location that leads to the application; connections to it are kept."""
    lines = "\n".join(directives)
    return f"""
        server {{
            listen LISTEN;
            location {path} {{
                proxy_pass http://app;
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host $http_host;
                client_max_body_size 0;
                proxy_next_upstream off;
                {lines}
            }}
        }}
    """


def documented(name: str) -> str:
    """The configuration for nginx in docs/proxies.md that begins with a comment `# NAME`."""
    text = (Path(__file__).parent.parent.parent / "docs" / "proxies.md").read_text()
    [block] = [each for each in text.split("```nginx\n")[1:] if each.startswith(f"# {name}\n")]
    return block.partition("```")[0]
