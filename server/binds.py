"""Where to listen, as it is written behind `--bind`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

DEFAULT_PORT: Final = 8000

_FORMS = "write HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or fd://NUMBER"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]*")


@dataclass(frozen=True, slots=True)
class Bind:
    """One address to listen on.

    `host` and `port` belong to kind "tcp" (port 0: any that is free), `path` to "unix", `fd` to
    "fd": a listening socket that this process has been given under that number, or all that the
    service manager calls `name`. `text` is what the user has written; it takes no part in comparisons.
    """

    kind: Literal["tcp", "unix", "fd"]
    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = -1
    name: str = ""
    text: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Bind:
        """Return the address that `text` means; the forms are gunicorn's.

        A host without a port gets port 8000, and a port without a host listens on all IPv4
        addresses. Raises ValueError with one line on what is wrong and what to write.
        """
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            # unix:///run/x.sock is the form of URLs: nothing stands between the second and third slash
            path = path.removeprefix("//") if path.startswith("///") else path
            if not path or "\0" in path:
                raise ValueError(f"{text!r} has no path: write unix:/path/to/the.sock")
            return cls("unix", path=path, text=text)
        if text.startswith("fd://"):
            number = text.removeprefix("fd://")
            if _NAME.fullmatch(number):
                return cls("fd", name=number, text=text)
            if not _is_number(number):
                raise ValueError(
                    f"{text!r} has no file descriptor: write fd:// and its number, such as fd://3, or the "
                    "name that systemd has for it (FileDescriptorName=)"
                )
            return cls("fd", fd=int(number), text=text)
        return cls._parse_tcp(text)

    @classmethod
    def _parse_tcp(cls, text: str) -> Bind:
        address = text.removeprefix("tcp://")
        if "/" in address:
            raise ValueError(f"{text!r} is not an address: {_FORMS}")
        if address.startswith("["):
            host, bracket, rest = address[1:].partition("]")
            if not bracket or ":" not in host or (rest and not rest.startswith(":")):
                raise ValueError(f"{text!r} is not an IPv6 address with a port: write [::1]:8000")
            port = rest.removeprefix(":") if rest else str(DEFAULT_PORT)
        elif address.count(":") > 1:
            raise ValueError(
                f"{text!r} is not an address: put an IPv6 address in brackets, such as [::1]:8000"
            )
        elif _is_number(address):
            raise ValueError(
                f"{text!r} is a port only: write :{address} for all addresses, or 127.0.0.1:{address}"
            )
        else:
            host, colon, port = address.partition(":")
            host = host or ("0.0.0.0" if colon else "")
            port = port if colon else str(DEFAULT_PORT)
        if not host or any(character.isspace() for character in host):
            raise ValueError(f"{text!r} is not an address: {_FORMS}")
        if not _is_number(port) or int(port) > 65535:
            raise ValueError(f"{text!r} has no port: write a number from 0 to 65535 after the last colon")
        return cls("tcp", host=host, port=int(port), text=text)

    def __str__(self) -> str:
        return self.text or self.canonical

    @property
    def canonical(self) -> str:
        """The address in a form of which `parse` makes an equal one."""
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "fd":
            return f"fd://{self.name or self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_number(text: str) -> bool:
    # isdigit() alone takes digits of all scripts, and int() takes underscores and signs
    return text.isascii() and text.isdigit() and len(text) <= 9
