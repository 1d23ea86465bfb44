"""The server as a part of another program, on that program's event loop. See docs/embedding.md."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Sequence
from socket import socket
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

import anyio

from aserve import activation, arguments, logs, sockets
from aserve.errors import BootError, UsageError
from aserve.guest import Guest, StoppedEarlyError, loop_name
from aserve.keywords import ServerOptions
from aserve.options import Settings
from aserve.sockets import UnixFiles, address
from aserve.stopsignals import STOP_SIGNALS

if TYPE_CHECKING:
    from aserve.serverthread import ServerThread

_LOG_OPTIONS: Final = ("log_level", "error_logfile")

_log = logging.getLogger("aserve")


class Server:
    """Serves one application inside a program: on its running asyncio loop (or uvloop), or in a thread.

    Arguments: `app` is an ASGI or WSGI application, or the name of one such as "main:app". `sockets` are
    bound sockets to listen on, instead of `bind`; the server works on copies and makes them
    non-blocking, the caller closes them. The other keywords are those options of the server that make
    sense inside a program, with the same names, values and defaults: docs/settings.md; times are in
    seconds, sizes in bytes. Neither the environment nor configuration files are read.

    The program around it is left alone: no signal handler, working folder, environment or umask is
    changed, and logging only if `log_level` or `error_logfile` is given.

    Raises UsageError for a value that is wrong or makes no sense here, TypeError for a name that is no
    option's.

    A server that has stopped can be started again. Several can run on one loop. All methods but
    `request_stop` and `in_thread` belong to the loop that it was started on.

    >>> import asyncio, urllib.request
    >>> def app(environ, start_response):
    ...     start_response("200 OK", [])
    ...     return [b"Hello"]
    >>> async def main():
    ...     async with Server(app, bind="127.0.0.1:0") as server:
    ...         response = await asyncio.to_thread(urllib.request.urlopen, server.url)
    ...         with response:
    ...             return response.read()
    >>> asyncio.run(main())
    b'Hello'
    """

    def __init__(
        self, app: Any, *, sockets: Sequence[socket] | None = None, **options: Unpack[ServerOptions]
    ) -> None:
        if app is None:
            raise UsageError("app: None is no application: if a factory makes it, does it return it?")
        given = arguments.given("Server()", options)
        if sockets is not None and "bind" in given:
            raise UsageError("bind: the sockets say where to listen: leave one of the two out")
        if sockets is not None and not sockets:
            raise UsageError("sockets: there are none: pass at least one, or leave this out")
        values = arguments.embedded(given)
        named = {"app": app} if isinstance(app, str) else {"application": app, "app": arguments.name_of(app)}
        self.settings: Final = _resolved(Settings(**values, **named))
        self._configures_logs = not given.keys().isdisjoint(_LOG_OPTIONS)
        self._passed = None if sockets is None else tuple(sockets)
        self._guest: Guest | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: tuple[socket, ...] = ()
        self._addresses: tuple[str, ...] = ()

    def __repr__(self) -> str:
        where = ", ".join(self.addresses) or "not running"
        return f"<aserve.Server {self.settings.app}: {where}>"

    # -- start and stop -----------------------------------------------------------------------

    async def start(self) -> None:
        """Start to serve; return when the application has started and connections are accepted.

        Raises BootError if an address cannot be listened on or the application's start fails (with
        the application's exception as its cause), ApplicationLoadError if the application cannot be
        imported or is none, RuntimeError if the server is running. Then, and if it is cancelled,
        nothing is left behind.
        """
        loop = _running_loop()
        if self.running:
            raise RuntimeError("the server has been started already: stop it before")
        self._present()
        settings = self.settings
        if settings.loop not in ("auto", loop_name(loop)):
            raise UsageError(
                f"loop: {settings.loop} is asked for, and this is {loop_name(loop)}: leave it out"
            )
        if self._configures_logs:
            logs.configure(settings)
        listening = self._listen()
        self._loop = loop
        self._guest = guest = Guest(settings, listening)
        self._listening = tuple(listening)
        scheme = "https" if settings.secure else "http"
        self._addresses = tuple(address(sock, scheme) for sock in listening)
        try:
            await guest.start()
        except BaseException:
            self._forget(guest)
            raise
        for each in self._addresses:
            _log.info("listening on %s", each)

    async def stop(self, *, at_once: bool = False) -> None:
        """Stop serving; return when everything has ended.

        New connections are refused from now on. Running requests have `graceful_timeout` seconds to
        finish, with `at_once` none; then they are cancelled and their connections closed. After that the
        application's shutdown has what is left of that time, at least 5 seconds. Cancelled meanwhile,
        the rest is done at once. Does nothing if the server is not running. In a request call `request_stop`:
        this would wait for the request itself.
        """
        guest = self._present()
        if guest is None:
            return
        if _running_loop() is not self._loop:
            raise RuntimeError("the server runs on another event loop: stop it there, or call request_stop()")
        guest.end(at_once=at_once)
        await self._wait(guest)

    def request_stop(self, *, at_once: bool = False) -> None:
        """Have the server stop as `stop` does, without waiting; from any thread, and from requests."""
        guest, loop = self._guest, self._loop
        if guest is not None and loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it the server
                loop.call_soon_threadsafe(lambda: guest.end(at_once=at_once))

    async def serve(self, *, handle_signals: bool = False) -> None:
        """Start, and return when the server has been stopped: by `request_stop`, `stop` or a signal.

        Arguments: with `handle_signals`, the first INT or TERM stops it, a second one at once, and all other
        servers that were told so; the program's own handlers are put back when the last of them has
        ended. Only in the main thread.

        Cancelled, it stops as `wait_stopped` does. Raises what `start` raises.
        """
        with STOP_SIGNALS.stopping(self) if handle_signals else contextlib.nullcontext():
            try:
                await self.start()
            except StoppedEarlyError:  # by a signal, or `request_stop`
                return
            await self.wait_stopped()

    async def wait_stopped(self) -> None:
        """Return when the running server has been stopped, whoever does that; at once if none runs.

        Cancelled, it stops the server gracefully, and raises CancelledError then; cancelled once more, it
        stops it at once.
        """
        guest = self._present()
        if guest is None:
            return
        try:
            await guest.watch()
        except asyncio.CancelledError:
            guest.end(at_once=False)
            with anyio.CancelScope(shield=True):
                await self._wait(guest)
            raise
        await self._wait(guest)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.stop()

    def in_thread(self) -> ServerThread:
        """Return what serves in a thread with an event loop of its own: for tests, notebooks, other loops.

        >>> import urllib.request
        >>> def app(environ, start_response):
        ...     start_response("200 OK", [])
        ...     return [b"Hello"]
        >>> with Server(app, bind="127.0.0.1:0").in_thread() as thread:
        ...     with urllib.request.urlopen(thread.url) as response:
        ...         response.read()
        b'Hello'
        """
        from aserve.serverthread import ServerThread  # for who wants one

        return ServerThread(self)

    # -- where it is found --------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Has it been started, and not ended yet?"""
        return self._guest is not None and not self._guest.ended

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens: "http://127.0.0.1:8000", "http://[::1]:8000", "unix:/run/app.sock"."""
        return self._addresses if self.running else ()

    @property
    def sockets(self) -> tuple[socket, ...]:
        """The sockets that it listens on, in the same order. They are the server's, leave them to it."""
        return self._listening if self.running else ()

    @property
    def state(self) -> dict[str, Any]:
        """What the application has put into the state of its lifespan (ASGI); empty if there is none.

        The very one: each request gets a shallow copy of it, with what the program has added by then.
        """
        return self._guest.state if self._guest is not None and self.running else {}

    @property
    def url(self) -> str:
        """The first address as a client on this machine can use it, without a slash at its end.

        Raises RuntimeError if the server is not running, or listens on Unix sockets only.
        """
        found = self._first_tcp()
        for everything, local in (("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:")):
            found = found.replace(everything, local)
        return found

    @property
    def port(self) -> int:
        """The port of that address. Raises RuntimeError as `url` does."""
        return int(self._first_tcp().rpartition(":")[2])

    # -- inside -------------------------------------------------------------------------------

    def _first_tcp(self) -> str:
        if not self.running:
            raise RuntimeError("the server is not running: start it first")
        for each in self._addresses:
            if not each.startswith("unix:"):
                return each
        raise RuntimeError("the server listens on Unix sockets only: see addresses")

    def _listen(self) -> list[socket]:
        settings = self.settings
        if self._passed is None:
            return sockets.listen(
                settings.bind, settings.backlog, UnixFiles.of(settings), reuse_port=settings.reuse_port
            )
        copies: list[socket] = []
        try:
            for passed in self._passed:
                copies.append(passed.dup())
                copies[-1].listen(settings.backlog)
                copies[-1].setblocking(False)
        except OSError as error:
            for copy in copies:
                copy.close()
            raise BootError(
                f"cannot listen on a socket that was passed: {error.strerror}: it has to be open, and bound"
            ) from error
        return copies

    async def _wait(self, guest: Guest) -> None:
        try:
            await guest.wait()
        finally:
            self._forget(guest)

    def _present(self) -> Guest | None:
        """The guest, if there is one; one whose loop was closed under it is given up."""
        guest = self._guest
        if guest is not None and self._loop is not None and self._loop.is_closed():
            guest.abandon()
            self._forget(guest)
        return self._guest

    def _forget(self, guest: Guest) -> None:
        if self._guest is guest:
            self._guest = self._loop = None
            self._listening = self._addresses = ()


def _resolved(settings: Settings) -> Settings:
    try:
        binds = tuple(each for bind in settings.bind for each in activation.resolve(bind))
    except ValueError as error:
        raise UsageError(f"bind: {error}") from None
    return dataclasses.replace(settings, bind=binds)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "no asyncio event loop runs here: under trio, or without a loop, use Server(...).in_thread()"
        ) from None
