"""Telling which interface an application speaks, from the object itself."""

from __future__ import annotations

import inspect
from typing import Any, Literal

from aserve.adapters.loading import ApplicationLoadError

Interface = Literal["asgi3", "asgi2", "wsgi"]
Tornado = Literal["tornado"]

# Positional arguments an application is called with: ASGI 3 (scope, receive, send),
# WSGI (environ, start_response), ASGI 2 (scope).
_BY_ARGUMENTS: dict[int, Interface] = {3: "asgi3", 2: "wsgi", 1: "asgi2"}


def detect(app: Any, worker_class: str) -> Interface | Tornado:
    """The interface of `app`.

    worker_class: what the user asked for: "auto", "asgi", "tornado", or else a way to serve WSGI.
    Raises `ApplicationLoadError` when the object is no application, or visibly another kind than
    asked for.
    """
    if worker_class == "tornado" or _is_tornado(app if inspect.isclass(app) else type(app)):
        return _tornado(app, worker_class)
    if not callable(app):
        raise ApplicationLoadError(
            f"the application is {_a(type(app).__name__)}, which cannot be called: "
            "name the ASGI or WSGI application object"
        )
    seen = _look(app)
    if worker_class == "asgi":
        if seen == "wsgi":
            raise ApplicationLoadError("this is a WSGI application: serve it with -k wsgi (or -k auto)")
        return seen or "asgi3"
    if worker_class != "auto":
        if seen in ("asgi3", "asgi2"):
            raise ApplicationLoadError("this is an ASGI application: serve it with -k asgi (or -k auto)")
        return "wsgi"
    if seen is None:
        raise ApplicationLoadError(
            "the application's interface cannot be told from the object: say -k asgi or -k wsgi"
        )
    return seen


def _is_tornado(cls: type) -> bool:
    """Whether it is a class of what Tornado's server takes: applications and routers."""
    names = [(base.__module__, base.__qualname__) for base in cls.__mro__]
    return ("tornado.httputil", "HTTPServerConnectionDelegate") in names


def _tornado(app: Any, worker_class: str) -> Tornado:
    if inspect.isclass(app) and _is_tornado(app):
        raise ApplicationLoadError(
            "this is a class of Tornado applications: name one of them, or say --factory to have one made"
        )
    if not _is_tornado(type(app)):
        other = _look(app) if callable(app) else None
        raise ApplicationLoadError(
            f"the application is {_a(type(app).__name__)}, not a tornado.web.Application: "
            + (f"serve it with -k {other.rstrip('23')} (or -k auto)" if other else "name one")
        )
    if worker_class not in ("auto", "tornado"):
        raise ApplicationLoadError("this is a Tornado application: serve it with -k tornado (or -k auto)")
    return "tornado"


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _look(app: Any) -> Interface | None:
    """The interface if the object shows it; None when its signature leaves it open."""
    required, most = _arguments(app)
    if _is_coroutine(app) and most >= 3:
        return "asgi3"
    if required == 0 and most == 0 and not inspect.isclass(app):
        raise ApplicationLoadError(
            "the application takes no arguments: is it a factory? Then say --factory, or write factory()"
        )
    candidates = [kind for count, kind in _BY_ARGUMENTS.items() if required <= count <= most]
    return candidates[0] if len(candidates) == 1 else None


def _is_coroutine(app: Any) -> bool:
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__)


def _arguments(app: Any) -> tuple[int, float]:
    """How many positional arguments `app` needs, and how many it takes."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return 1, float("inf")
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return required, float("inf")
    return required, len(positional)
