"""Telling ASGI 3, ASGI 2 and WSGI apart."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from aserve.adapters.interfaces import detect
from aserve.adapters.loading import ApplicationLoadError


async def asgi3(scope: Any, receive: Any, send: Any) -> None: ...


def asgi3_plain(scope: Any, receive: Any, send: Any) -> Any: ...


class ASGI3Instance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class ASGI3Class:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Any: ...


def asgi2(scope: Any) -> Any: ...


class ASGI2Class:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


def wsgi(environ: Any, start_response: Any) -> Any: ...


class WSGIInstance:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class WSGIClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Any: ...


class CallSetLater:
    """As middleware does that serves both versions of ASGI."""

    __slots__ = ("__call__",)

    def __init__(self) -> None:
        async def call(scope: Any, receive: Any, send: Any) -> None: ...

        self.__call__ = call


class NeedsNothing:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


def wsgi_and_more(environ: Any, start_response: Any, more: Any = None) -> Any: ...


def create_app(config: Any = None) -> Any: ...


async def handler(request: Any) -> Any: ...


def four(first: Any, second: Any, third: Any, fourth: Any) -> Any: ...


def anything(*args: Any) -> Any: ...


def marked(hint: str) -> Any:
    def application(*args: Any) -> Any: ...

    setattr(application, hint, True)
    return application


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi3, "asgi3"),
        (asgi3_plain, "asgi3"),
        (ASGI3Instance(), "asgi3"),
        (ASGI3Instance().__call__, "asgi3"),
        (ASGI3Class, "asgi3"),
        (functools.partial(asgi3), "asgi3"),
        (asgi2, "asgi2"),
        (ASGI2Class, "asgi2"),
        (wsgi, "wsgi"),
        (WSGIInstance(), "wsgi"),
        (WSGIClass, "wsgi"),
        (functools.partial(wsgi), "wsgi"),
        (CallSetLater(), "asgi3"),
        (wsgi_and_more, "wsgi"),
        (marked("_asgi_single_callable"), "asgi3"),
        (marked("_asgi_double_callable"), "asgi2"),
    ],
)
def test_detected(app: Any, interface: str) -> None:
    assert detect(app, "auto") == interface


def test_tornado() -> None:
    from tornado.routing import RuleRouter
    from tornado.web import Application

    class Shop(Application):
        """One of a class of the user's own."""

    for app in (Application(), Shop(), RuleRouter([])):
        assert detect(app, "auto") == detect(app, "tornado") == "tornado"
        for other in ("asgi", "wsgi"):
            with pytest.raises(ApplicationLoadError, match="serve it with -k tornado"):
                detect(app, other)
    for worker_class in ("auto", "tornado"):
        with pytest.raises(ApplicationLoadError, match="class of Tornado applications.*--factory"):
            detect(Shop, worker_class)


def test_frameworks() -> None:
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from fastapi import FastAPI
    from flask import Flask
    from starlette.applications import Starlette

    assert detect(FastAPI(), "auto") == detect(Starlette(), "auto") == "asgi3"
    assert detect(Flask("x"), "auto") == "wsgi"
    assert detect(ASGIHandler.__new__(ASGIHandler), "auto") == "asgi3"
    assert detect(WSGIHandler.__new__(WSGIHandler), "auto") == "wsgi"


@pytest.mark.parametrize(
    ("app", "worker_class", "message"),
    [
        (wsgi, "asgi", "serve it with -k wsgi"),
        (asgi3, "wsgi", "serve it with -k asgi"),
        (ASGI2Class, "wsgi", "serve it with -k asgi"),
        (anything, "auto", "say -k asgi or -k wsgi"),
        ("text", "auto", "is a str, which cannot be called"),
        (None, "auto", "is None: if a factory makes it, does it return it?"),
        (lambda: asgi3, "auto", "--factory"),
        (wsgi, "tornado", "serve it with -k wsgi"),
        (ASGI3Instance(), "tornado", "serve it with -k asgi"),
        (lambda: asgi3, "tornado", "--factory"),
    ],
)
def test_refused(app: Any, worker_class: str, message: str) -> None:
    with pytest.raises(ApplicationLoadError) as caught:
        detect(app, worker_class)
    assert message in str(caught.value)


@pytest.mark.parametrize("worker_class", ["auto", "asgi", "wsgi"])
@pytest.mark.parametrize(
    ("app", "message"),
    [
        (create_app, "--factory"),
        (NeedsNothing, "--factory"),
        (handler, "is async, and takes 1 argument"),
        (four, "takes 4 arguments"),
    ],
)
def test_what_can_only_fail_is_refused_whatever_the_user_says(
    app: Any, message: str, worker_class: str
) -> None:
    with pytest.raises(ApplicationLoadError) as caught:
        detect(app, worker_class)
    assert message in str(caught.value)


def test_an_open_signature_is_what_the_user_says() -> None:
    assert detect(anything, "asgi") == "asgi3"
    assert detect(anything, "wsgi") == "wsgi"
