"""How a child begins and ends (server/processes.py)."""

from __future__ import annotations

import re

import pytest

from tests.server.conftest import Script


def test_the_child_ends_with_the_status_of_its_body(script: Script) -> None:
    ended = script("""
        import os
        from aserve.processes import fork

        for status in (0, 3, 255):
            pid = fork(lambda: status)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
        """)
    assert ended.status == 0, ended


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("raise SystemExit(7)", 7, ""),
        ("raise SystemExit('a text')", 1, ""),
        ("raise RuntimeError('deliberate')", 1, "RuntimeError: deliberate"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
    ],
)
def test_an_exception_ends_the_child_and_never_gets_into_the_parents_code(
    script: Script, body: str, status: int, words: str
) -> None:
    ended = script(f"""
        import os
        from aserve.processes import fork

        def body():
            {body}

        try:
            pid = fork(body)
        finally:
            print("parent's finally", flush=True)
        print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """)
    assert ended.out == f"parent's finally\nstatus {status}\n"
    assert words in ended.err


def test_what_is_buffered_is_written_once(script: Script) -> None:
    ended = script("""
        import os, sys
        from aserve.processes import fork

        sys.stdout.write("parent;")
        sys.stderr.write("error;")
        pid = fork(lambda: print("child", end=";") or 0)
        os.waitpid(pid, 0)
        """)
    assert (ended.out, ended.err) == ("parent;child;", "error;")


@pytest.mark.parametrize("closing", ["sys.stdout = sys.stderr = None", "sys.stdout.close()"])
def test_a_process_without_output_can_fork(script: Script, closing: str) -> None:
    ended = script(f"""
        import os, sys
        from aserve.processes import fork

        {closing}
        pid = fork(lambda: 0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """)
    assert ended.status == 0, ended


def test_the_applications_end_is_an_interpreters(script: Script) -> None:
    """Threads are waited for, executors emptied, atexit run, buffers written; no parent's finally."""
    ended = script("""
        import atexit, os, threading
        from concurrent.futures import ThreadPoolExecutor
        from aserve.processes import fork

        def body():
            go = threading.Event()
            threading.Thread(target=lambda: (go.wait(), os.write(1, b"thread "))).start()
            ThreadPoolExecutor(1).submit(lambda: (go.wait(), os.write(1, b"pool ")))
            atexit.register(print, "atexit")  # buffered
            os.write(1, b"body ")
            go.set()
            return 0

        try:
            pid = fork(body)
            os.waitpid(pid, 0)
        finally:
            print("parent")
        """)
    assert ended.status == 0, ended
    said = ended.out.split()
    assert said[0] == "body"
    assert set(said[1:3]) == {"thread", "pool"}
    assert said[3:] == ["atexit", "parent"]


def test_a_thread_that_never_ends_is_not_waited_for_for_ever(script: Script) -> None:
    ended = script("""
        import logging, os, threading
        from aserve.processes import fork, limit_leaving

        logging.basicConfig(format="%(message)s")

        def body():
            limit_leaving(6, 0.1)
            threading.Thread(target=threading.Event().wait, name="stuck").start()
            limit_leaving(7, 3600)  # the first one holds
            return 0

        pid = fork(body)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """)
    assert ended.out == "6\n"
    assert re.search(r"pid=\d+ ends, 0.1 s are over; still running: stuck", ended.err)


def test_a_signal_to_the_group_is_not_told_to_the_parent_by_its_child(script: Script) -> None:
    """The child of a parent that takes signals must not run the parent's handlers."""
    ended = script("""
        import os, select, signal
        from aserve.processes import fork
        from aserve.signals import SUPERVISED, Signals

        signals = Signals(SUPERVISED)
        signals.install()

        def body():
            # Sent before the child could change anything, had it not been blocked
            for number in SUPERVISED:
                handler = signal.getsignal(number)
                assert handler is not signals._note and getattr(handler, "__self__", None) is not signals
            assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
            assert signal.set_wakeup_fd(-1) == -1
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU):
                os.kill(os.getpid(), number)  # harmless
            os.kill(os.getpid(), signal.SIGTERM)  # not so
            return 0

        pid = fork(body)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
        while list(signals.take()) != [signal.SIGCHLD]:
            select.select([signals], [], [], 10)
        assert list(signals.take()) == []
        """)
    assert ended.status == 0, ended


def test_a_signal_during_the_fork_reaches_both(script: Script) -> None:
    """Sent to parent and child between the fork and the child's first own instruction."""
    ended = script("""
        import os, signal
        from aserve import processes
        from aserve.signals import SUPERVISED, Signals

        signals = Signals(SUPERVISED)
        signals.install()
        real_fork = os.fork

        def fork():
            pid = real_fork()
            os.kill(os.getpid(), signal.SIGTERM)
            return pid

        os.fork = fork
        pid = processes.fork(lambda: 0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
        arrived = list(signals.take())
        assert arrived.count(signal.SIGTERM) == 1, arrived
        """)
    assert ended.status == 0, ended


def test_when_there_can_be_no_process_nothing_has_changed(script: Script) -> None:
    ended = script("""
        import os, signal
        from aserve import processes

        def fork():
            raise BlockingIOError(11, "no more processes")

        os.fork = fork
        try:
            processes.fork(lambda: 0)
        except OSError:
            print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        """)
    assert ended.out == "set()\n"


def test_an_applications_fork_is_a_process_of_its_own(script: Script) -> None:
    """It has neither our handlers nor our descriptors, and closing those does no harm."""
    ended = script("""
        import os, signal, socket
        from aserve.processes import free_forks
        from aserve.signals import STOPPING, Signals

        listening = socket.create_server(("127.0.0.1", 0))
        signals = Signals(STOPPING)
        signals.install()
        free_forks(lambda: [listening.fileno(), -1])
        if not (pid := os.fork()):
            for number in STOPPING:
                assert signal.getsignal(number) == signal.SIG_DFL
            try:
                listening.getsockname()
            except OSError:
                pass
            else:
                os._exit(1)
            taken = listening.fileno()
            listening.close()
            assert os.open(os.devnull, os.O_RDONLY) == taken
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
        assert list(signals.take()) == []
        socket.create_connection(listening.getsockname()).close()
        """)
    assert ended.status == 0, ended


def test_programs_do_not_inherit_that_harmless_signals_are_harmless(script: Script) -> None:
    ended = script("""
        import os, subprocess
        from aserve.processes import fork

        pid = fork(lambda: subprocess.run(["sh", "-c", "kill -HUP $$; echo survived"]).returncode + 128)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """)
    assert ended.out == "127\n"  # 128 - SIGHUP


def test_closed_standard_streams_are_not_left_to_sockets(script: Script) -> None:
    ended = script("""
        import os
        from aserve.processes import have_standard_streams

        os.close(0)
        os.close(2)
        have_standard_streams()
        assert [os.path.samestat(os.fstat(fd), os.stat(os.devnull)) for fd in (0, 2)] == [True, True]
        assert os.get_inheritable(0)
        next_one = os.open(os.devnull, os.O_RDONLY)
        assert next_one > 2
        have_standard_streams()
        assert os.open(os.devnull, os.O_RDONLY) == next_one + 1  # nothing is left open
        """)
    assert ended.status == 0, ended
