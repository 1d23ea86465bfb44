"""What names of gunicorn's worker classes, and of others' for gunicorn, mean here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from aserve.adapters import RUNNERS

WORKER_CLASSES: Final = ("auto", "asgi", *RUNNERS, "tornado")
"""Our own, the values of the setting."""


class Meaning(NamedTuple):
    """What a worker class is here: one of ours, and settings that hold unless something else is said.

    Arguments: `lost` are names of settings that it has and that mean nothing here.
    """

    name: str
    settings: Mapping[str, object] = MappingProxyType({})
    lost: tuple[str, ...] = ()


_H11: Final = Meaning("asgi", {"http": "h11", "loop": "asyncio"})

FOREIGN: Final[Mapping[str, Meaning]] = {
    "gthread": Meaning("wsgi"),
    "gevent_wsgi": Meaning("gevent"),
    "gevent_pywsgi": Meaning("gevent"),
    "gunicorn.workers.sync.SyncWorker": Meaning("sync"),
    "gunicorn.workers.gthread.ThreadWorker": Meaning("wsgi"),
    "gunicorn.workers.ggevent.GeventWorker": Meaning("gevent"),
    "gunicorn.workers.ggevent.GeventPyWSGIWorker": Meaning("gevent"),
    "gunicorn.workers.geventlet.EventletWorker": Meaning("eventlet"),
    "gunicorn.workers.gtornado.TornadoWorker": Meaning("tornado"),
    "gunicorn.workers.gasgi.ASGIWorker": Meaning("asgi"),
    "uvicorn.workers.UvicornWorker": Meaning("asgi"),
    "uvicorn.workers.UvicornH11Worker": _H11,
    "uvicorn_worker.UvicornWorker": Meaning("asgi"),
    "uvicorn_worker.UvicornH11Worker": _H11,
    "uvicorn_worker._workers.UvicornWorker": Meaning("asgi"),
    "uvicorn_worker._workers.UvicornH11Worker": _H11,
    # One request at a time, as far as the application sees; their applications need not be made for threads.
    "meinheld.gmeinheld.MeinheldWorker": Meaning("sync"),
    "egg:meinheld#gunicorn_worker": Meaning("sync"),
    # Their applications are ASGI applications.
    "sanic.worker.GunicornWorker": Meaning("asgi"),
    "quart.worker.GunicornWorker": Meaning("asgi"),
    "quart.worker.GunicornUVLoopWorker": Meaning("asgi"),
    "aserve.workers.ASGIWorker": Meaning("asgi"),
    "aserve.workers.WSGIWorker": Meaning("wsgi"),
    "egg:aserve-server#asgi": Meaning("asgi"),
    "egg:aserve-server#wsgi": Meaning("wsgi"),
}
"""By name; `egg:gunicorn#NAME` is NAME, see `meaning`."""

_AIOHTTP: Final = "aiohttp applications speak no ASGI: run them with aiohttp.web.run_app"

IMPOSSIBLE: Final[Mapping[str, str]] = {
    "gaiohttp": _AIOHTTP,
    "gunicorn.workers.gaiohttp.AiohttpWorker": _AIOHTTP,
    "aiohttp.GunicornWebWorker": _AIOHTTP,
    "aiohttp.GunicornUVLoopWebWorker": _AIOHTTP,
    "aiohttp.worker.GunicornWebWorker": _AIOHTTP,
    "aiohttp.worker.GunicornUVLoopWebWorker": _AIOHTTP,
    "geventwebsocket.gunicorn.workers.GeventWebSocketWorker": "WSGI applications get no WebSockets here: "
    "write gevent if it needs none, else serve an ASGI application",
    "flask_sockets.worker": "WSGI applications get no WebSockets here: serve an ASGI application for them",
}
"""Those that nothing here stands for, and why."""

_RENAMED: Final = (
    *("timeout_keep_alive", "timeout_graceful_shutdown", "limit_max_requests", "limit_max_requests_jitter"),
    *("h11_max_incomplete_event_size", "ssl_certfile", "ssl_keyfile", "ssl_keyfile_password", "ssl_ca_certs"),
    *("ssl_cert_reqs", "ssl_ciphers"),
)
"""Settings of uvicorn's of which nothing but the name is another one."""

_EGG: Final = "egg:gunicorn#"


def known(value: object) -> Meaning | None:
    """Return what a name means, in any case where it is one of ours; a class means what it derives from.

    One of uvicorn's has settings of its own, its CONFIG_KWARGS.
    """
    if isinstance(value, type):
        return _meaning_of(value)
    word = str(value).strip().removeprefix(_EGG)
    if word.lower() in WORKER_CLASSES:
        return Meaning(word.lower())
    return FOREIGN.get(word) or FOREIGN.get(word.lower())


def _meaning_of(worker: type) -> Meaning | None:
    names = (f"{base.__module__}.{base.__qualname__}" for base in worker.__mro__)
    meaning = next((FOREIGN[name] for name in names if name in FOREIGN), None)
    own = getattr(worker, "CONFIG_KWARGS", None)
    if meaning is None or not isinstance(own, Mapping):
        return meaning
    from aserve.uvicornoptions import BY_NAME  # which needs the options, which need this

    settings: dict[str, object] = {}  # in a class that derives from it, they are others in place of its own
    lost = []
    for name, value in own.items():
        entry = BY_NAME.get(name)
        if entry is not None and (entry.asks_for_nothing(value) or entry.kind is entry.kind.NOT_NEEDED):
            continue
        if name == "log_config" and isinstance(value, Mapping):
            settings["log_config_dict"] = value
        elif entry is not None and entry.met_by is not None and (not entry.option or name in _RENAMED):
            settings[entry.met_by.name] = value
        else:
            lost.append(name)
    return Meaning(meaning.name, settings, tuple(lost))


def parse(value: object) -> str:
    """Take one of our worker classes, or a name of another server's that stands for one of them."""
    if (meaning := known(value)) is not None:
        return meaning.name
    word = str(value).strip()
    if (reason := IMPOSSIBLE.get(word) or IMPOSSIBLE.get(word.rpartition(".")[0])) is not None:
        raise ValueError(f"{value!r} is not supported: {reason}")
    hint = ""
    if isinstance(value, type) or "." in word:
        hint = "; a class of your own cannot run here: write the one that it derives from"
    raise ValueError(
        f"{value!r} is not known: write {', '.join(WORKER_CLASSES[:-1])} or {WORKER_CLASSES[-1]}{hint}"
    )
