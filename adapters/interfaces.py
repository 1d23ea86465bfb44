"""Telling which interface an application speaks, from the object itself."""

from __future__ import annotations

import inspect
from typing import Any, Literal

from aserve.adapters.loading import ApplicationLoadError

Interface = Literal["asgi3", "asgi2", "wsgi"]

# Positional arguments an application is called with: ASGI 3 (scope, receive, send),
# WSGI (environ, start_response), ASGI 2 (scope).
_BY_ARGUMENTS: dict[int, Interface] = {3: "asgi3", 2: "wsgi", 1: "asgi2"}


def detect(app: Any, worker_class: str) -> Interface:
    """The interface of `app`.

    worker_class: what the user asked for: "auto", "asgi", or else a way to serve WSGI.
    Raises `ApplicationLoadError` when the object is no application, or visibly another kind than
    asked for.
    """
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
