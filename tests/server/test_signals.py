"""Taking signals when there is time for them (server/signals.py)."""

from __future__ import annotations

from tests.server.conftest import Script

_PREFIX = """
        import os, select, signal
        from aserve.signals import SUPERVISED, Signals

        signals = Signals(SUPERVISED)
        signals.install()

        def readable():
            return bool(select.select([signals], [], [], 0)[0])
"""


def test_signals_wait_in_order_until_they_are_taken(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        assert not readable() and list(signals.take()) == []
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert readable()
        assert list(signals.take()) == [signal.SIGHUP, signal.SIGTERM, signal.SIGHUP]
        assert not readable() and list(signals.take()) == []
        """
    )
    assert ended.status == 0, ended


def test_a_poll_ends_when_a_signal_comes(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        if not os.fork():
            os.kill(os.getppid(), signal.SIGTERM)
            os._exit(0)
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        seen = set()
        while seen != {signal.SIGTERM, signal.SIGCHLD}:
            assert poll.poll(10_000)
            seen.update(signals.take())
        """
    )
    assert ended.status == 0, ended


def test_a_signal_that_another_thread_gets_ends_the_poll_as_well(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        import threading
        thread = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGHUP))
        thread.start()
        assert select.select([signals], [], [], 10)[0]
        assert list(signals.take()) == [signal.SIGHUP]
        thread.join()
        """
    )
    assert ended.status == 0, ended


def test_nothing_is_lost_when_the_pipe_is_full(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        count = 0
        try:
            while True:
                count += os.write(signals._writer, bytes(4096))
        except BlockingIOError:
            pass
        sent = [signal.SIGUSR1, signal.SIGHUP] * 20
        for number in sent:
            os.kill(os.getpid(), number)
        assert list(signals.take()) == sent
        assert not readable()
        """
    )
    assert ended.status == 0, ended
    assert ended.err == ""


_ANOTHER = """
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
"""


def test_another_wake_up_descriptor_takes_nothing_away(script: Script) -> None:
    # uvloop puts its own in the place of ours while it runs
    ended = script(
        _PREFIX
        + _ANOTHER
        + """
        os.kill(os.getpid(), signal.SIGTERM)
        assert readable() and list(signals.take()) == [signal.SIGTERM]
        """
    )
    assert ended.status == 0, ended


def test_another_wake_up_descriptor_outlives_ours(script: Script) -> None:
    # Such as a hook's in the supervisor; also if its owner has closed it
    ended = script(
        _PREFIX
        + _ANOTHER
        + """
        signals.close()
        assert signal.set_wakeup_fd(-1) == writer

        signals = Signals(SUPERVISED)
        signals.install()
        signal.set_wakeup_fd(writer)
        os.close(writer)
        signals.close()
        assert signal.set_wakeup_fd(-1) == -1
        """
    )
    assert ended.status == 0, ended


def test_signals_that_were_blocked_by_who_started_us_arrive(script: Script) -> None:
    ended = script("""
        import os, signal
        from aserve.signals import STOPPING, Signals

        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        os.kill(os.getpid(), signal.SIGTERM)
        signals = Signals(STOPPING)
        signals.install()
        assert list(signals.take()) == [signal.SIGTERM]
        """)
    assert ended.status == 0, ended


def test_after_close_signals_are_harmless(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        before = len(os.listdir("/dev/fd"))
        signals.close()
        assert len(os.listdir("/dev/fd")) == before - 2
        for number in SUPERVISED:
            os.kill(os.getpid(), number)
        print("here")
        """
    )
    assert (ended.status, ended.out, ended.err) == (0, "here\n", ""), ended


def test_a_term_while_the_interpreter_ends_is_harmless(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        class Late:
            def __del__(self):  # run when the module is taken apart
                self.kill(self.getpid(), self.TERM)

        late = Late()
        late.kill, late.getpid, late.TERM = os.kill, os.getpid, signal.SIGTERM
        signals.ignore()
        import sys
        sys.modules["__main__"].keep = late  # to the very end
        """
    )
    assert ended.status == 0, ended


def test_the_descriptors_are_not_inherited_by_programs(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        assert not os.get_inheritable(signals.fileno()) and not os.get_inheritable(signals._writer)
        """
    )
    assert ended.status == 0, ended
