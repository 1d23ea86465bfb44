"""Every WSGI test application inside wsgiref's validator: `apps.validated:flask_app` and so on.

The validator raises for what the server does against PEP 3333, and for what the application does.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.validate import validator

_NAMES = {"django_app": "application"}


class _Input:
    """`wsgi.input` for frameworks that say read() where the validator insists on a size.

    PEP 3333 wants servers to take that, and frameworks rely on it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.readline, self.readlines, self.__iter__ = stream.readline, stream.readlines, stream.__iter__

    def read(self, size: int = -1) -> Any:
        return self._stream.read(size)


def _lenient(app: WSGIApplication) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"] = _Input(environ["wsgi.input"])
        return app(environ, start_response)

    return application


def __getattr__(name: str) -> WSGIApplication:
    if name.startswith("_"):
        raise AttributeError(name)
    module = import_module(f".{name}", __package__)
    checked = validator(_lenient(getattr(module, _NAMES.get(name, "app"))))

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return checked(environ, start_response)

    return application
