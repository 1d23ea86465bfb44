"""gunicorn's hooks around each request. Where there are none, the exchanges are of classes without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from aserve.adapters import environ as environs
from aserve.adapters.asgi import ASGIExchange
from aserve.adapters.errorlog import log_exception
from aserve.adapters.hookrequest import HookRequest
from aserve.adapters.inline import InlineExchange
from aserve.adapters.waiting import WaitingExchange
from aserve.adapters.wsgi import WSGIExchange
from aserve.protocols.errors import ClientDisconnectedError
from aserve.protocols.exchange import Exchange
from aserve.protocols.wording import REASONS

Before: TypeAlias = Callable[[HookRequest], object]
After: TypeAlias = Callable[[HookRequest, dict[str, Any], "HookResponse | None"], object]


class HookResponse:
    """The `resp` of hooks: what the response came to.

    status ("200 OK"), status_code, headers (as the application gave them), sent (bytes of the body).
    """

    def __init__(self, exchange: Exchange) -> None:
        self.status_code = exchange.status
        self.status = f"{exchange.status} {REASONS.get(exchange.status, b'').decode()}".rstrip()
        self.headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.response_headers
        ]
        self.sent = exchange.body_sent
        self.headers_sent = True

    @classmethod
    def of(cls, exchange: Exchange) -> HookResponse | None:
        """Return the response, or None if nothing was answered: the client had gone."""
        return cls(exchange) if exchange.status else None


class _StoppedError(ClientDisconnectedError):
    """The application was not called; as with a client that has gone, there is nothing more to log."""


class RequestHooks:
    """The hooks, and how exchanges come to call them.

    before: called with the request before the application is. after: called with the request, the
    environ and the response when it is done. None for what there is not.
    """

    def __init__(self, before: Before | None, after: After | None) -> None:
        self.before = before
        self.after = after

    def asgi(self, base: type[ASGIExchange]) -> type[ASGIExchange]:
        """Return a class of exchanges that call the hooks, and are like those of `base` otherwise."""
        return type("HookedExchange", (_ASGIExchange, base), {"hooks": self, "__slots__": ()})

    def wsgi(self, base: type[WSGIExchange]) -> type[WSGIExchange]:
        """As `asgi`."""
        hooked = _InlineExchange if issubclass(base, InlineExchange) else _WaitingExchange
        return type("HookedExchange", (hooked, base), {"hooks": self, "__slots__": ()})

    def call_before(self, exchange: Exchange, request: HookRequest) -> bool:
        """Call the first hook; return whether the application is to be called, not if it has raised."""
        if self.before is not None:
            try:
                self.before(request)
            except (Exception, SystemExit) as error:
                log_exception(exchange.line(), error, "the hook pre_request failed")
                return False
        return True

    def call_after(self, exchange: Exchange, request: HookRequest, environ: dict[str, Any]) -> None:
        """Call the second hook."""
        if self.after is not None:
            try:
                self.after(request, environ, HookResponse.of(exchange))
            except (Exception, SystemExit) as error:
                log_exception(exchange.line(), error, "the hook post_request failed")


class _ASGIExchange(ASGIExchange):
    """Calls the hooks on the loop, in the request's task."""

    __slots__ = ()

    hooks: RequestHooks

    async def _run(self, scope: dict[str, Any]) -> None:
        request = HookRequest(self)
        if self.hooks.call_before(self, request):
            request.change_scope(scope)
            await super()._run(scope)
        else:
            self.fail()
            self.connection.group.left(self)
        if self.hooks.after is not None:
            environ = environs.template(
                self.connection, self.adapter.root_path, multiprocess=True, multithread=False
            )
            environs.fill(environ, self)
            environ["asgi.scope"] = scope
            self.hooks.call_after(self, request, environ)


class _WSGIExchange(WSGIExchange):
    """Calls the first hook where the application runs; the derived classes see to the second one.

    The request is at work until the second hook is through, so that a worker that drains waits for it.
    """

    hooks: RequestHooks
    told: HookRequest | None
    request_environ: dict[str, Any]

    def begin(self) -> None:
        self.told = None
        super().begin()

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.told = HookRequest(self)
        self.request_environ = environ
        if not self.hooks.call_before(self, self.told):
            raise _StoppedError
        self.told.change_environ(environ)
        return super().app(environ, start_response)

    def call_after(self) -> None:
        """Call the second hook, if the first one was called."""
        if self.told is not None:
            self.hooks.call_after(self, self.told, self.request_environ)


class _InlineExchange(_WSGIExchange, InlineExchange):
    """Calls the hooks on the loop, as it does the application."""

    def leave(self) -> None:
        if self.told is not None:
            self.run(self.call_after)
        super().leave()


class _WaitingExchange(_WSGIExchange, WaitingExchange):
    """Calls the hooks in the request's thread, or whatever its place is."""

    def handle(self, place: Any) -> None:
        super().handle(place)
        if self.told is not None and self.file is None:
            self._end()

    def _close_file(self) -> None:
        super()._close_file()
        assert self.file is not None
        self.file.context.run(self._end)

    def leave(self) -> None:
        if self.told is None:
            super().leave()  # the application was not called

    def _end(self) -> None:
        if self.hooks.after is not None:
            written: list[bool] = []
            gate = self.runner.gate()

            def note() -> None:
                written.append(True)
                gate.notify()

            self.runner.post(note)  # behind all that the loop has to do for the response
            gate.wait_for(written.__len__)
            self.call_after()
        self.runner.post(super().leave)
