"""The pool of threads in a real worker: what an application does to it, and what the system denies it."""

from __future__ import annotations

from aserve.errors import EXIT_BOOT
from tests.conftest import Serve
from tests.reliability.conftest import Code
from tests.support.client import RawClient, request

FORKING = """
import os, sys

def app(environ, start_response):
    child = os.fork()
    if child == 0:
        sys.exit("deliberate: the child comes back out of the view")
    _, status = os.waitpid(child, 0)
    start_response("200 OK", [])
    return [b"%d" % os.waitstatus_to_exitcode(status)]
"""


def test_a_child_that_comes_back_out_of_a_view_ends(serve: Serve, code: Code) -> None:
    """It would take requests and wake-ups that are its parent's, in the thread that it is a copy of."""
    code.broken(FORKING)
    server = serve("-k", "wsgi", "--threads", "1", "main:app")
    with RawClient(server.target) as client:
        for _ in range(5):
            assert client.ask(request()).body == b"1"


def test_threads_without_files_are_told_of_at_the_start(serve: Serve, code: Code) -> None:
    code.wsgi(on_import="import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))")
    server = serve("-k", "wsgi", "--threads", "64", "main:app", ready=False)
    server.wait_line(r"no files for 64 threads, which take one each: raise the limit \(ulimit -n\)")
    assert server.wait() == EXIT_BOOT
