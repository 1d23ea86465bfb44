"""The common routes on Starlette below the middleware that most applications have.

Each layer hands on a `receive` and a `send` of its own, and tasks of its own call the server's.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response

from .starlette_app import lifespan, routes


class Stamp(BaseHTTPMiddleware):
    """Puts a header on every response."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["X-Stamp"] = "stamped"
        return response


app = Starlette(
    routes=routes,
    lifespan=lifespan,
    middleware=[
        Middleware(CORSMiddleware, allow_origins=["*"]),
        Middleware(GZipMiddleware),
        Middleware(Stamp),
    ],
)
