"""Telling which interface an application speaks, from the object itself."""

from __future__ import annotations

import inspect
import math
from typing import Any, Final, Literal

from aserve.adapters.loading import ApplicationLoadError

Interface = Literal["asgi3", "asgi2", "wsgi"]
Tornado = Literal["tornado"]

# Positional arguments an application is called with: ASGI 3 (scope, receive, send),
# WSGI (environ, start_response), ASGI 2 (scope).
_BY_ARGUMENTS: Final[dict[int, Interface]] = {3: "asgi3", 2: "wsgi", 1: "asgi2"}

# Marks of asgiref's compatibility module, for what looks like the other version of ASGI.
_HINTS: Final[dict[str, Interface]] = {"_asgi_single_callable": "asgi3", "_asgi_double_callable": "asgi2"}

_TAKES: Final = "ASGI takes three (scope, receive, send), WSGI two (environ, start_response)"


def detect(app: Any, worker_class: str) -> Interface | Tornado:
    """The interface of `app`.

    worker_class: what the user asked for: "auto", "asgi", "tornado", or else a way to serve WSGI.
    Raises `ApplicationLoadError` when the object is no application, or visibly another kind than
    asked for.
    """
    if app is None:
        raise ApplicationLoadError("the application is None: if a factory makes it, does it return it?")
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


def _count(arguments: float) -> str:
    return f"{arguments} argument{'s' * (arguments != 1)}"


def _look(app: Any) -> Interface | None:
    """The interface if the object shows it; None when its signature leaves it open."""
    for hint, marked in _HINTS.items():
        if getattr(app, hint, False) is True:
            return marked
    required, most = _arguments(app)
    if required > 3:
        raise ApplicationLoadError(f"the application takes {_count(required)}: {_TAKES}")
    if _is_coroutine(app):
        if most < 3:
            raise ApplicationLoadError(f"the application is async, and takes {_count(most)}: {_TAKES}")
        return "asgi3"
    if required == 0 and most < math.inf:
        raise ApplicationLoadError(
            "the application needs no arguments: is it a factory, or a class to make one of? "
            "Then say --factory, or write factory()"
        )
    if required == 2:
        return "wsgi"  # also with a third, optional one; what takes scope, receive and send needs them all
    candidates = [kind for count, kind in _BY_ARGUMENTS.items() if required <= count <= most]
    return candidates[0] if len(candidates) == 1 else None


def _is_coroutine(app: Any) -> bool:
    # Calling an object means its class's __call__, which may be a slot that each of them fills in.
    return inspect.iscoroutinefunction(app) or (
        not inspect.isclass(app) and inspect.iscoroutinefunction(app.__call__)
    )


def _arguments(app: Any) -> tuple[int, float]:
    """How many positional arguments `app` needs, and how many it takes."""
    parameters = _parameters(app)
    if parameters is None:
        return 1, math.inf
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return required, math.inf
    return required, len(positional)


def _parameters(app: Any) -> list[inspect.Parameter] | None:
    for place in (app, app.__call__):
        try:
            return list(inspect.signature(place).parameters.values())
        except (TypeError, ValueError):
            pass
    return None
