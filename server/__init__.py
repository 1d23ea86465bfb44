"""aserve: one production server for ASGI and WSGI applications.

`run` serves as the command does, `Server` inside another program: docs/embedding.md. What they raise is
here as well; all of it is imported when it is used.
"""

# As in typing, which takes longer to import than all the rest of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from aserve.adapters.loading import ApplicationLoadError as ApplicationLoadError
    from aserve.embedding import Server as Server
    from aserve.errors import BootError as BootError
    from aserve.errors import UsageError as UsageError
    from aserve.errors import UserError as UserError
    from aserve.program import run as run
    from aserve.serverthread import ServerThread as ServerThread

__version__ = "0.1.0"

_PUBLIC = {
    "ApplicationLoadError": "adapters.loading",
    "BootError": "errors",
    "Server": "embedding",
    "ServerThread": "serverthread",
    "UsageError": "errors",
    "UserError": "errors",
    "run": "program",
}
"""The public names, and the modules that have them."""

__all__ = [
    "ApplicationLoadError",
    "BootError",
    "Server",
    "ServerThread",
    "UsageError",
    "UserError",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    found: object = getattr(importlib.import_module(f"aserve.{_PUBLIC[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
