"""Configuration files: what they say, what is wrong with them, and that they leave nothing behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from aserve import config, configfile
from aserve.configfile import ConfigFile, ConfigFileError
from aserve.errors import EXIT_USAGE, UsageError, describe
from aserve.options import OPTIONS, Settings
from tests.server.command import aserve, refused

Read: TypeAlias = Callable[..., ConfigFile]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(source: str, name: str = "conf.py") -> str:
    Path(name).write_text(source)
    return name


def read(source: str) -> ConfigFile:
    return configfile.read(write(source), OPTIONS)


def settings(source: str, environ: Mapping[str, str] | None = None, **cli: object) -> Settings:
    return config.resolve({"app": "main:app", "config": write(source), **cli}, environ or {})


def failure(source: str) -> str:
    with pytest.raises(ConfigFileError) as caught:
        settings(source)
    assert caught.value.status == EXIT_USAGE
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- settings ---------------------------------------------------------------------------------


def test_settings_have_gunicorns_names() -> None:
    found = settings(
        "import multiprocessing\n"
        "bind = ['127.0.0.1:1', 'unix:/x']\nworkers = multiprocessing.cpu_count() * 0 + 3\nkeepalive = 7\n"
        "loglevel = 'debug'\naccesslog = '-'\nmax_requests = 100\nraw_env = ['A=1,2', 'B=3']\numask = 0o027\n"
    )
    assert [str(bind) for bind in found.bind] == ["127.0.0.1:1", "unix:/x"]
    assert (found.workers, found.keep_alive, found.max_requests) == (3, 7.0, 100)
    assert (found.log_level, found.access_logfile, found.umask) == ("debug", "-", 0o027)
    assert found.raw_env == ("A=1,2", "B=3")


def test_every_setting_can_be_in_a_file() -> None:
    """By the name that the reference has for it; where gunicorn has none, by ours."""
    names = {value.name for value in read("".join(f"{option.gunicorn} = 0\n" for option in OPTIONS)).values}
    assert names == {option.gunicorn for option in OPTIONS} - {"config"}


def test_the_file_gives_way_to_the_environment_and_to_the_command_line() -> None:
    assert settings("workers = 2").workers == 2
    assert settings("workers = 2", {"ASERVE_WORKERS": "3"}).workers == 3
    # That is nobody's word but the platform's, and a default in gunicorn.
    assert settings("workers = 2", {"WEB_CONCURRENCY": "3"}).workers == 2
    assert settings("timeout = 2", {"WEB_CONCURRENCY": "3"}).workers == 3
    assert settings("workers = 2", {"ASERVE_WORKERS": "3"}, workers="4").workers == 4


def test_the_file_can_be_named_by_the_environment() -> None:
    name = write("workers = 2\nwsgi_app = 'site:app'")
    found = config.resolve({}, {"ASERVE_CONFIG": name})
    assert (found.workers, found.app) == (2, "site:app")
    assert config.resolve({"app": "main:app"}, {"ASERVE_CONFIG": name}).app == "main:app"
    other = write("workers = 5", "other.py")
    assert config.resolve({"app": "main:app", "config": other}, {"ASERVE_CONFIG": name}).workers == 5


def test_a_file_does_not_change_what_it_gives_way_to() -> None:
    """What it puts into the environment is for the application; it comes too late for settings."""
    assert settings("import os\nos.environ['ASERVE_WORKERS'] = '9'\nworkers = 2").workers == 2
    assert "ASERVE_WORKERS" not in os.environ


def test_none_leaves_a_setting_alone() -> None:
    assert settings("pidfile = None\nworkers = None") == settings("pass")


@pytest.mark.parametrize("prefix", ["", "file:", "python:"])
def test_ways_to_name_it(prefix: str) -> None:
    write("workers = 2", "conf.py")
    name = "conf" if prefix == "python:" else "conf.py"
    assert config.resolve({"app": "main:app", "config": prefix + name}, {}).workers == 2


def test_a_module_in_a_package() -> None:
    Path("shop").mkdir()
    write("", "shop/__init__.py")
    write("from shop.base import *\nworkers = workers + 1", "shop/conf.py")
    for count in (2, 3):
        write(f"workers = {count}", "shop/base.py")
        assert config.resolve({"app": "main:app", "config": "python:shop.conf"}, {}).workers == count + 1


# -- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "\nworkers = 'x'\n",
            "conf.py:2: workers: 'x' is not a whole number: write a whole number from 1 on",
        ),
        ("workers = 1\nif True:\n    workers = 0\n", "conf.py:3: workers: 0 is too small: write at least 1"),
        ("def f():\n    workers = 1\ntimeout, workers = -1, 2\n", "conf.py:3: timeout: -1 is negative"),
        ("bind = ':1'\nbind += ',0.0.0.0:1'", "conf.py:2: bind: '0.0.0.0:1' is given twice: write it once"),
        ("globals()['workers'] = 'x'", "conf.py: workers: 'x' is not a whole number"),
        ("import os as workers_\nfrom os import sep as workers", "conf.py:2: workers: '/' is not a whole"),
        ("worker_class = 'gthreat'", "conf.py:1: worker_class: 'gthreat' is not known: write auto, asgi"),
        ("post_fork = 3", "conf.py:1: post_fork: 3 is no function: write def post_fork(server, worker)"),
        ("def on_exit(): pass", "conf.py:1: on_exit: it is called with other arguments: write def on_exit("),
        (
            "\nasync def on_exit(server): pass",
            "conf.py:2: on_exit: a hook cannot be a coroutine function: write def on_exit(server)",
        ),
        (
            "post_fork = 'here'",
            "conf.py:1: post_fork: 'here' is no path to a function: write module.function",
        ),
        ("post_fork = 'os.no'", "conf.py:1: post_fork: 'os.no' cannot be imported: AttributeError: module"),
    ],
)
def test_mistakes_have_a_file_and_a_line(source: str, message: str) -> None:
    with pytest.raises(Exception, match="conf") as caught:
        settings(source)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.status == EXIT_USAGE  # type: ignore[attr-defined]  # or this is one


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nworkers = = 3", "conf.py:2: SyntaxError: invalid syntax: 'workers = = 3'"),
        ("if True:\nworkers = 1", "conf.py:2: IndentationError: expected an indented block"),
        ("# coding: none\n", "conf.py: SyntaxError: unknown encoding: none"),
    ],
)
def test_a_syntax_error(source: str, message: str) -> None:
    assert failure(source).replace("conf.py:0", "conf.py").startswith(message)


def test_what_the_file_raises() -> None:
    with pytest.raises(ConfigFileError) as caught:
        settings("import os\n\ndef count():\n    return os.nothing\n\nworkers = count()\n")
    message = "conf.py:4: AttributeError: module 'os' has no attribute 'nothing'"
    assert str(caught.value) == message
    *above, last = describe(caught.value).splitlines()
    assert above[0] == "Traceback (most recent call last):"
    assert above[1].endswith('conf.py", line 6, in <module>')  # none of our own frames
    assert last == message


def test_what_a_module_of_the_files_raises() -> None:
    write("raise ValueError('of a\\nhelper')", "helper.py")
    assert failure("x = 1\nimport helper") == "conf.py:2: ValueError: of a helper"
    write("= 1", "helper.py")
    assert failure("x = 1\nimport helper").startswith(
        "conf.py:2: SyntaxError: invalid syntax (helper.py, line 1)"
    )


def test_a_file_that_exits() -> None:
    assert failure("import sys\nsys.exit('no such region')") == "conf.py:2: SystemExit: no such region"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.py", "--config: cannot read 'none.py': No such file or directory: name a file that is there"),
        (".", "--config: cannot read '.': Is a directory"),
        ("file:", "--config: no file is named: write its path, such as gunicorn.conf.py"),
        ("python:no_such", "--config: there is no module 'no_such': write python: and the name of one"),
        ("python:os.no_such", "--config: there is no module 'os.no_such'"),
        ("python:", "--config: there is no module ''"),
    ],
)
def test_a_file_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        config.resolve({"app": "main:app", "config": name}, {})
    assert str(caught.value).startswith(message)


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    write("\n\nworkers = 'x'")
    assert refused("-c", "conf.py", "main:app", cwd=tmp_path).startswith("conf.py:3: workers: 'x' is not a")
    write("1/0")
    ended = aserve("--config", "conf.py", "main:app", cwd=tmp_path)
    assert ended.status == 2
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert ended.err.endswith("\naserve: error: conf.py:1: ZeroDivisionError: division by zero\n")


# -- what is no setting -----------------------------------------------------------------------


def remarks(source: str) -> list[str]:
    return list(read(source).remarks)


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("worker = 3", "workers"),
        ("keep_alive = 3", "keepalive"),
        ("log_level = 'info'", "loglevel"),
        ("WORKERS = 3", "workers"),
        ("max_request = 3", "max_requests"),
        ("def when_redy(server): pass", "when_ready"),
    ],
)
def test_the_name_that_was_meant(source: str, meant: str) -> None:
    (remark,) = remarks("\n" + source)
    name = source.removeprefix("def ").partition(" ")[0].partition("(")[0]
    assert remark == f"conf.py:2: there is no setting {name!r}: did you mean {meant!r}?"


def test_other_names_are_told_in_one_line() -> None:
    assert remarks("cores = 4\nregion = 'eu'\nworkers = cores\n") == [
        "conf.py: ignored, since there are no such settings: cores, region (names that begin with an "
        "underscore are the file's own)"
    ]


def test_what_is_nobodys_setting() -> None:
    assert (
        remarks(
            "import os, logging as log\nfrom os import environ, getenv\n_cores = 4\nREGION = 'eu'\n"
            "class Helper: pass\ndef helper(): pass\nlogger = log.getLogger()\n"
        )
        == []
    )


def test_what_gunicorn_takes() -> None:
    """Values that only make sense to who knows how gunicorn reads them."""
    assert settings("umask = '18'").umask == settings("umask = '0x12'").umask == 18
    assert settings("umask = '022'").umask == 0o22
    assert settings("raw_env = 'A=1,B=2'").raw_env == ("A=1,B=2",)
    assert settings("forwarded_allow_ips = '10.0.0.1,'").forwarded_allow_ips == ("10.0.0.1",)
    assert settings("forwarded_allow_ips = ','").forwarded_allow_ips == ()
    assert settings("proxy_protocol = 'none'").proxy_protocol == "off"


def test_greenlets_are_not_preloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files for gunicorn often have both, and are served; who asks us for it is told that it cannot be."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    both = "worker_class = 'gevent'\npreload_app = True"
    said: list[object] = []
    given = {"app": "main:app", "config": write(both)}
    assert not config.resolve(given, {}, said.append).preload_app
    assert said == [
        "conf.py:2: preload_app has no effect with gevent: each worker imports the application, since "
        "what that makes of its locks and sockets belongs to the process that imports"
    ]
    arguments = {"GUNICORN_CMD_ARGS": "--preload"}
    assert not settings("worker_class = 'eventlet'", arguments).preload_app
    assert settings("worker_class = 'gthread'\npreload_app = True").preload_app
    said.clear()
    given["config"] = write("worker_class = 'gevent'\npreload_app = 'no'")
    config.resolve(given, {}, said.append)
    assert said == []
    for own in ({"preload_app": True}, {"preload_app": True, "worker_class": "gevent"}):
        with pytest.raises(UsageError, match="^--preload: not with -k gevent"):
            settings(both, **own)
    with pytest.raises(UsageError, match="^ASERVE_PRELOAD_APP: not with -k gevent"):
        settings(both, {"ASERVE_PRELOAD_APP": "1"})


def test_the_hook_of_tls_without_a_certificate_in_toml() -> None:
    """In a file of gunicorn's it does not count, as there; here it was meant."""
    write("def app(environ, start_response): pass\n\ndef hook(config, make):\n    return make()\n", "main.py")
    write("ssl_context = 'main.hook'", "some.toml")
    refusal = refused("-c", "some.toml", "--check-config", "main:app", cwd=Path.cwd())
    assert refusal.endswith(
        "the default context needs a certfile: name one, or leave the hook out for plain HTTP"
    )


@pytest.mark.parametrize("name", ["", "shop 1.0"])
def test_the_server_header_of_gunicorns_module(name: str) -> None:
    """How files hide gunicorn's name."""
    gunicorn = pytest.importorskip("gunicorn", reason="needs gunicorn: pip install gunicorn")
    try:
        hidden = settings(f"import gunicorn\ngunicorn.SERVER = {name!r}")
        assert hidden.header == ((b"Server", name.encode()),)
        assert settings(f"import gunicorn\ngunicorn.SERVER = {name!r}\nheader = ['A:b']").header == (
            (b"A", b"b"),
        )
        assert settings("import gunicorn").header == ()  # as after a reload
        with pytest.raises(UsageError, match=r"^conf\.py: gunicorn\.SERVER: .* is not plain ASCII"):
            settings("import gunicorn\ngunicorn.SERVER = 'caf\u00e9'")
    finally:
        gunicorn.SERVER = "gunicorn"


def test_a_worker_class_of_the_users() -> None:
    """By its path, as uvicorn's documentation has it; what it derives from is what counts."""
    write(
        "Base = type('UvicornWorker', (), {'__module__': 'uvicorn.workers'})\n"
        "class Own(Base):\n    CONFIG_KWARGS = {'http': 'h11', 'loop': 'asyncio'}\n"
        "class Other: pass\n",
        "ownworkers.py",
    )
    found = settings("worker_class = 'ownworkers.Own'")
    assert (found.worker_class, found.http, found.loop) == ("asgi", "h11", "asyncio")
    assert "ownworkers" not in sys.modules
    for name in ("ownworkers.Other", "ownworkers.Nothing", "no_such.Worker"):
        with pytest.raises(UsageError, match=r"conf\.py:1: worker_class: .* is not known.* derives from$"):
            settings(f"worker_class = {name!r}")


def test_atoms_that_there_are_not() -> None:
    """gunicorn writes `-` for them. Files have those of logging, such as %(asctime)s."""
    said: list[object] = []
    text = '%(asctime)s %({request_start}c)10s "%(r)s" %({x}i)s %%(z)s %(p)s'
    given = {"app": "main:app", "config": write(f"access_log_format = {text!r}")}
    assert config.resolve(given, {}, said.append).access_log_format == '- - "%(r)s" %({x}i)s %%(z)s %(p)s'
    assert said == [
        "conf.py:1: access_log_format: %(asctime)s, %({request_start}c)10s: no such atoms, '-' stands for "
        "them: docs/access-log.md lists them"
    ]
    with pytest.raises(UsageError, match=r"^conf\.py:1: access_log_format: '%\(h\)' is not an atom"):
        settings("access_log_format = '%(h)'")
    with pytest.raises(UsageError, match=r"--access-logformat: '%\(z\)s' is not an atom"):
        settings(f"access_log_format = {text!r}", access_log_format="%(z)s")


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("None", "the hook returned None, and not an ssl.SSLContext"),
        # Every connection would be closed, and the log would not say why.
        (
            "ssl.create_default_context()",
            "the hook returned a context for clients: make one for a server with ",
        ),
    ],
)
def test_the_hook_of_tls_returns_nonsense(returned: str, reason: str) -> None:
    write("def app(environ, start_response): pass", "main.py")
    write(f"import ssl\ndef ssl_context(config, make):\n    return {returned}\n")
    assert f"ssl_context: {reason}" in refused("-c", "conf.py", "--check-config", "main:app", cwd=Path.cwd())


def test_a_file_does_not_name_another_one() -> None:
    assert remarks("config = 'other.py'") == ["conf.py:1: config has no effect in a configuration file"]


def test_threads_are_warned_of() -> None:
    (remark,) = remarks(
        "import threading\n_go = threading.Event()\n"
        "threading.Thread(target=_go.wait, args=(0.05,), name='poller').start()\n"
    )
    assert remark.startswith("conf.py has started threads (poller): workers do not have them")


# -- hooks ------------------------------------------------------------------------------------


def test_hooks_are_functions_of_the_file() -> None:
    hooks = read("def post_fork(server, worker): return 1\non_exit = lambda server, *more: 2\n").hooks
    found = [hooks.get(name) for name in ("post_fork", "on_exit", "pre_fork")]
    assert found[0] is not None
    assert found[0](None, None) == 1
    assert found[1] is not None
    assert found[1](None) == 2
    assert found[2] is None


@pytest.mark.parametrize("arguments", ["w, r", "w, r, e", "w, r, e, resp", "*all"])
def test_post_request_takes_what_it_wants(arguments: str) -> None:
    hook = read(f"def post_request({arguments}): pass").hooks.get("post_request")
    assert hook is not None
    hook(1, 2, 3, 4)


def test_a_hook_can_be_named_by_its_path() -> None:
    write("def started(server): return 'here'", "helper.py")
    hook = read("on_starting = 'helper.started'").hooks.get("on_starting")
    assert hook is not None
    assert hook(None) == "here"


# -- nothing is left behind -------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "raise ValueError"])
def test_the_process_is_as_before(end: str) -> None:
    write("VALUE = 1", "helper_of_conf.py")
    before = (set(sys.modules), list(sys.path), dict(os.environ), os.getcwd(), sys.dont_write_bytecode)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    source = (
        "import os, signal, sys, helper_of_conf\n"
        "sys.path.insert(0, '/first'); sys.path.append('/last')\n"
        "os.environ['NEW'] = '1'; os.environ.pop('HOME', None); os.chdir('/')\n"
        "signal.signal(signal.SIGTERM, lambda *_: None); signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + end
    )
    if end:
        failure(source)
    else:
        read(source)
    assert before == (
        set(sys.modules),
        list(sys.path),
        dict(os.environ),
        os.getcwd(),
        sys.dont_write_bytecode,
    )
    assert handlers == {number: signal.getsignal(number) for number in handlers}
    assert {entry.name for entry in Path().iterdir()} == {"conf.py", "helper_of_conf.py"}  # no compiled code


@pytest.mark.parametrize("way", ["conf.py", "python:conf"])
def test_new_code_is_always_seen(way: str) -> None:
    """Also if only a digit changes, within the same second: compiled code would be taken for it."""
    for count in range(1, 6):
        write("from helper_of_conf import workers\nx = 1", "conf.py")
        write(f"workers = {count}", "helper_of_conf.py")
        os.utime("helper_of_conf.py", (1, 1))
        assert config.resolve({"app": "main:app", "config": way}, {}).workers == count


def test_installed_libraries_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cannot all be imported twice."""
    monkeypatch.delitem(sys.modules, "this_one", raising=False)
    library = Path("lib/site-packages")
    library.mkdir(parents=True)
    write("", str(library / "this_one.py"))
    read(f"import sys\nsys.path.append({str(library.absolute())!r})\nimport this_one, asyncio.taskgroups")
    assert {"this_one", "asyncio.taskgroups"} <= set(sys.modules)
    del sys.modules["this_one"]


def test_it_is_all_there_when_a_hook_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "1")
    monkeypatch.setenv("FROM_HOOK", "")
    write("state = []", "helper_of_conf.py")
    file = read(
        "import os, helper_of_conf\nos.environ['NEW'] = '1'\nos.environ.pop('OLD', None)\n"
        "def on_exit(server):\n"
        "    import helper_of_conf as again, os.path\n"
        "    assert again is helper_of_conf\n"
        "    assert os.environ['NEW'] == '1' and os.environ['RAW'] == '2' and 'OLD' not in os.environ\n"
        "    os.environ['FROM_HOOK'] = '3'\n"
        "    again.state.append(1)\n"
        "    return again.state\n"
    )
    hook, footprint = file.hooks.get("on_exit"), file.hooks.footprint
    assert hook is not None
    assert footprint is not None
    for times in (1, 2):
        with footprint.hook(Settings(raw_env=("RAW=2",))):
            assert hook(None) == [1] * times
        assert "helper_of_conf" not in sys.modules
        assert {"NEW", "RAW"}.isdisjoint(os.environ)
        assert os.environ["OLD"] == "1"
        assert os.environ["FROM_HOOK"] == "3"  # said by nobody but the hook
