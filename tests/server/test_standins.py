"""The objects that hooks are given, as far as no process is needed."""

from __future__ import annotations

import logging
import os
import pwd

import pytest

from aserve import config
from aserve.standins import Arbiter, Config, WorkerStandIn

SETTINGS = config.resolve(
    {"app": "main:app", "bind": "127.0.0.1:1,unix:/run/x", "keep_alive": "7", "raw_env": "A=1,B=2=3"}, {}
)


def test_settings_have_both_names_and_gunicorns_values() -> None:
    cfg = Config(SETTINGS)
    assert cfg.keepalive == cfg.keep_alive == 7
    assert cfg.bind == ["127.0.0.1:1", "unix:/run/x"]
    assert cfg.address == [("127.0.0.1", 1), "/run/x"]
    assert cfg.env == {"A": "1", "B": "2=3"}
    assert cfg.post_fork is None
    assert (cfg.spew, cfg.dirty_timeout) == (False, 300)  # which mean nothing here
    assert (cfg.proc_name, cfg.worker_class_str) == ("main:app", "auto")
    assert cfg.settings["bind"].get() == cfg.settings["bind"].value == cfg.bind
    assert cfg.settings["keepalive"].name == "keepalive"
    assert "keep_alife" not in cfg.settings
    with pytest.raises(AttributeError, match="there is no setting 'keep_alife'"):
        _ = cfg.keep_alife


@pytest.mark.parametrize("name", ["workers", "keepalive", "keep_alive", "post_fork"])
def test_settings_cannot_be_changed(name: str) -> None:
    """And hooks that try it are told what to do: nothing would come of it."""
    cfg = Config(SETTINGS)
    with pytest.raises(
        AttributeError, match="cannot change settings: write them into the configuration file"
    ):
        setattr(cfg, name, 1)
    with pytest.raises(AttributeError, match="cannot change settings"):
        cfg.set(name, 1)
    cfg.of_the_hook = 1  # a note of its own
    assert cfg.of_the_hook == 1


def test_worker_classes_have_gunicorns_names() -> None:
    for ours, theirs in {"sync": "sync", "gthread": "gthread", "wsgi": "gthread", "asgi": "asgi"}.items():
        cfg = Config(config.resolve({"app": "main:app", "worker_class": ours, "proc_name": "shop"}, {}))
        assert (cfg.worker_class_str, cfg.proc_name) == (theirs, "shop")


def test_the_log_has_what_hooks_know_of_gunicorns() -> None:
    log = Arbiter(SETTINGS).log
    assert log.error_log is log
    assert log.access_log is logging.getLogger("aserve.access")


def test_who_workers_are() -> None:
    """For hooks that give them files."""
    assert (Config(SETTINGS).uid, Config(SETTINGS).gid) == (os.geteuid(), os.getegid())
    nobody = pwd.getpwnam("nobody")
    given = {"app": "main:app", "user": "nobody"}
    cfg = Config(config.resolve(given, {}))
    assert (cfg.uid, cfg.gid) == (nobody.pw_uid, nobody.pw_gid)
    assert Config(config.resolve({**given, "group": "0"}, {})).gid == 0


def test_the_server_and_a_worker() -> None:
    server = Arbiter(SETTINGS)
    worker = WorkerStandIn(3, server.pid, SETTINGS)
    assert (server.timeout, server.proc_name, server.address) == (30.0, "main:app", server.cfg.address)
    assert (worker.age, worker.ppid, worker.timeout, worker.nr) == (3, server.pid, 15.0, 0)
    assert str(worker) == "<Worker [booting]>"
    assert worker.app.callable is worker.app.wsgi() is None
    with pytest.raises(AttributeError, match="the supervisor does not import the application"):
        _ = server.app
    server.worker = worker
    assert server.app is worker.app
    worker.wsgi = print
    assert worker.app.callable is worker.app.wsgi() is print
    worker.pid = 5
    assert str(worker) == "<Worker 5>"
