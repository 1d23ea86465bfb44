"""The tables of gunicorn's and uvicorn's settings: complete, true, and in the docs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aserve import config, gunicornsettings, reference, uvicornoptions, workerclasses
from aserve.equivalents import Foreign, Kind
from aserve.errors import UsageError
from aserve.options import Settings

DOCS = Path(__file__).parents[2] / "docs"
TABLES = (*gunicornsettings.SETTINGS, *uvicornoptions.OPTIONS)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(source: str, environ: Mapping[str, str] | None = None, **cli: object) -> Settings:
    Path("conf.py").write_text(source)
    return config.resolve({"app": "main:app", "config": "conf.py", **cli}, environ or {})


def remarks(source: str, environ: Mapping[str, str] | None = None) -> list[str]:
    Path("conf.py").write_text(source)
    found: list[str] = []
    config.resolve({"app": "main:app", "config": "conf.py"}, environ or {}, found.append)
    return found


# -- the tables -------------------------------------------------------------------------------


def test_every_setting_of_gunicorn_is_there() -> None:
    known = pytest.importorskip(
        "gunicorn.config", reason="needs gunicorn: pip install gunicorn"
    ).KNOWN_SETTINGS
    actual = {setting.name: setting for setting in known}
    assert sorted(actual) == sorted(gunicornsettings.BY_NAME)
    for entry in gunicornsettings.SETTINGS:
        setting = actual[entry.name]
        assert entry.flags == tuple(setting.cli or ()), entry.name
        if entry.flags:
            assert (entry.takes, entry.alone) == _as_we_say(setting), entry.name
        if not callable(setting.default) and entry.name not in _OF_THE_MACHINE:
            assert entry.default == setting.default, entry.name


_OF_THE_MACHINE = ("chdir", "user", "group", "control_socket")


def _as_we_say(setting: Any) -> tuple[str, object]:
    match getattr(setting, "action", None):
        case "store_true":
            return "nothing", True
        case "store_const":
            return "nothing", setting.const
        case "append":
            return "values", True
    return ("maybe", setting.const) if getattr(setting, "nargs", None) == "?" else ("value", True)


def test_every_option_of_uvicorn_is_there() -> None:
    main = pytest.importorskip("uvicorn.main", reason="needs uvicorn: pip install uvicorn").main
    names = {}
    for parameter in main.params:
        flags = (*parameter.opts, *parameter.secondary_opts)
        names[parameter.name] = tuple(flag for flag in flags if flag.startswith("-"))
    assert {entry.name: entry.flags for entry in uvicornoptions.OPTIONS} == names


@pytest.mark.parametrize("entry", TABLES, ids=lambda entry: entry.name)
def test_what_is_missing_says_why(entry: Foreign) -> None:
    if entry.kind in (Kind.NOT_NEEDED, Kind.NOT_SUPPORTED):
        assert entry.why
        assert not entry.why.endswith(".")
        assert "\n" not in entry.why


def test_kinds() -> None:
    gunicorn = gunicornsettings.BY_NAME
    assert {gunicorn[name].kind for name in ("workers", "post_fork", "keepalive")} == {Kind.SAME}
    assert gunicorn["http_parser"].kind is Kind.MAPPED
    assert gunicorn["initgroups"].kind is Kind.NOT_NEEDED
    assert gunicorn["spew"].kind is Kind.NOT_SUPPORTED


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_the_pages_are_up_to_date(server: str) -> None:
    page = (DOCS / f"{server}.md").read_text()
    assert page == reference.refreshed(page, server), f"docs/{server}.md is stale: run `make docs`"
    table = gunicornsettings.SETTINGS if server == "gunicorn" else uvicornoptions.OPTIONS
    for entry in table:
        assert f"| `{entry.name}` |" in page


def test_every_option_that_others_lack_is_reachable_by_its_name() -> None:
    """No option has the name of one of gunicorn's settings that means something else."""
    for entry in gunicornsettings.SETTINGS:
        option = entry.met_by
        if option is not None and entry.flags:
            assert set(entry.flags) & {*option.flags, *option.elsewhere}, entry.name


# -- what a file gets -------------------------------------------------------------------------


def test_a_file_with_every_default_of_gunicorns_says_nothing() -> None:
    source = "".join(
        f"{entry.name} = {entry.default!r}\n"
        for entry in gunicornsettings.SETTINGS
        if entry.name != "config" and not callable(entry.default)
    )
    assert remarks(source) == []


@pytest.mark.parametrize(
    ("source", "remark"),
    [
        (
            "spew = True",
            "spew is not supported: use python -m trace, or a profiler that attaches to the process",
        ),
        (
            "dirty_workers = 2",
            "dirty_workers is not supported: work that outlives a request belongs to a task",
        ),
        ("def on_dirty_starting(arbiter): ...", "on_dirty_starting is not supported: work that outlives"),
        ("sendfile = False", "sendfile is not supported: files always go from the disk to the socket"),
        (
            "permit_obsolete_folding = True",
            "permit_obsolete_folding is not supported: such requests are refused",
        ),
        ("tmp_upload_dir = '/x'", "tmp_upload_dir is not supported: request bodies are not written to disk"),
    ],
)
def test_what_is_not_supported_is_one_warning(source: str, remark: str) -> None:
    (found,) = remarks("\n" + source)
    assert found.startswith(f"conf.py:2: {remark}")


def test_what_would_do_harm_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^conf\.py:1: protocol: only HTTP is spoken: use proxy_pass"):
        settings("protocol = 'uwsgi'")


def test_empty_values_are_as_if_there_were_none() -> None:
    assert settings("accesslog = ''\npidfile = ''\nreload_extra_files = []\nuser = ''") == settings("")
    assert settings("forwarded_allow_ips = ''").forwarded_allow_ips == ()  # that is a meaning


def test_whole_numbers_may_be_computed() -> None:
    assert settings("workers = 5 / 2 + 1\nthreads = 2.0").workers == 3
    assert settings("timeout = 0.5").timeout == 0.5
    with pytest.raises(UsageError, match=r"^conf\.py:1: workers: 0 is too small"):
        settings("workers = 0.5")


def test_values_have_names_of_gunicorns() -> None:
    assert settings("http_parser = 'python'").http == "h11"
    assert settings("http_parser = 'fast'").http == "httptools"
    assert settings("websocket_max_message_size = 1024").ws_max_size == 1024
    secure = settings("secure_scheme_headers = {'X-FORWARDED-PROTO': 'https', 'X-SSL': '1'}")
    assert secure.secure_scheme_headers == ((b"x-forwarded-proto", "https"), (b"x-ssl", "1"))


# -- worker classes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("sync", "sync"),
        ("gthread", "wsgi"),
        ("gevent", "gevent"),
        ("gevent_pywsgi", "gevent"),
        ("eventlet", "eventlet"),
        ("tornado", "tornado"),
        ("asgi", "asgi"),
        ("egg:gunicorn#gthread", "wsgi"),
        ("gunicorn.workers.sync.SyncWorker", "sync"),
        ("gunicorn.workers.ggevent.GeventWorker", "gevent"),
        ("gunicorn.workers.geventlet.EventletWorker", "eventlet"),
        ("gunicorn.workers.gtornado.TornadoWorker", "tornado"),
        ("gunicorn.workers.gthread.ThreadWorker", "wsgi"),
        ("gunicorn.workers.gasgi.ASGIWorker", "asgi"),
        ("uvicorn.workers.UvicornWorker", "asgi"),
        ("uvicorn_worker.UvicornWorker", "asgi"),
        ("meinheld.gmeinheld.MeinheldWorker", "sync"),
        ("egg:meinheld#gunicorn_worker", "sync"),
    ],
)
def test_names_of_worker_classes(name: str, ours: str) -> None:
    assert settings(f"worker_class = {name!r}").worker_class == ours
    said = remarks(f"worker_class = {name!r}")
    assert said == ([] if name == ours else [f"conf.py:1: worker_class: {name} is {ours} here"])


def test_every_worker_class_of_gunicorns_is_known() -> None:
    workers = pytest.importorskip("gunicorn.workers", reason="needs gunicorn: pip install gunicorn")
    for name, path in workers.SUPPORTED_WORKERS.items():
        assert workerclasses.known(name) == workerclasses.known(path) is not None, name


@pytest.mark.parametrize("package", ["uvicorn.workers", "uvicorn_worker"])
def test_h11_is_what_its_worker_class_means(package: str) -> None:
    name = f"{package}.UvicornH11Worker"
    found = settings(f"worker_class = {name!r}")
    assert (found.worker_class, found.http, found.loop) == ("asgi", "h11", "asyncio")
    (said,) = remarks(f"worker_class = {name!r}")
    assert said == f"conf.py:1: worker_class: {name} is asgi here, http h11, loop asyncio"
    assert settings(f"worker_class = {name!r}", loop="uvloop").loop == "uvloop"


def test_a_class_means_what_it_derives_from() -> None:
    pytest.importorskip("uvicorn_worker", reason="needs uvicorn-worker: pip install uvicorn-worker")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = settings(
            "import uvicorn_worker\n"
            "class Worker(uvicorn_worker.UvicornH11Worker):\n"
            "    CONFIG_KWARGS = {'http': 'h11', 'lifespan': 'off', 'ws_ping_interval': 7.5, 'unknown': 1}\n"
            "worker_class = Worker\n"
        )
    assert (found.worker_class, found.http) == ("asgi", "h11")
    assert (found.lifespan, found.ws_ping_interval) == ("off", 7.5)
    sys.modules.pop("uvicorn_worker", None)


def test_what_a_class_of_uvicorns_sets() -> None:
    """By uvicorn's names and in its words; what means nothing here is told."""
    pytest.importorskip("uvicorn_worker", reason="needs uvicorn-worker: pip install uvicorn-worker")
    source = (
        "import uvicorn_worker\n"
        "class Worker(uvicorn_worker.UvicornH11Worker):\n"
        "    CONFIG_KWARGS = {'ws': 'wsproto', 'timeout_keep_alive': 75, 'log_config': None, 'headers': [],\n"
        "        'proxy_headers': True, 'server_header': False, 'log_config': {'version': 1}}\n"
        "worker_class = Worker\n"
    )
    found = settings(source)
    assert (found.worker_class, found.ws, found.keep_alive) == ("asgi", "auto", 75)
    assert (found.http, found.log_config, found.log_config_dict) == ("auto", None, {"version": 1})
    assert remarks(source)[0] == (
        "conf.py:5: worker_class: no support for these of its CONFIG_KWARGS: headers, server_header"
    )
    sys.modules.pop("uvicorn_worker", None)


def test_more_than_one_thread_makes_sync_gthread() -> None:
    assert settings("worker_class = 'sync'\nthreads = 1").worker_class == "sync"
    assert settings("worker_class = 'sync'\nthreads = 4").worker_class == "wsgi"
    (said,) = remarks("threads = 4\nworker_class = 'sync'")
    why = "since there is more than one thread (conf.py:1: threads)"
    assert said == f"conf.py:2: worker_class: sync is wsgi here, {why}"
    assert settings("worker_class = 'sync'", threads="4").worker_class == "wsgi"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "aiohttp.GunicornWebWorker",
            "is not supported: aiohttp applications speak no ASGI: run them with aiohttp",
        ),
        ("gthreat", "is not known: write auto, asgi, wsgi, sync, gevent, eventlet or tornado"),
        ("shop.workers.Mine", "a class of your own cannot run here: write the one that it derives from"),
    ],
)
def test_worker_classes_that_nothing_stands_for(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(f"\nworker_class = {name!r}")
    assert str(caught.value).startswith(f"conf.py:2: worker_class: {name!r} ")
    assert message in str(caught.value)


# -- GUNICORN_CMD_ARGS ------------------------------------------------------------------------


def test_the_variable_comes_after_the_file_and_before_the_command_line() -> None:
    environ = {
        "GUNICORN_CMD_ARGS": "--workers=3 -b 127.0.0.1:1 --bind unix:/x -k egg:gunicorn#sync --preload"
    }
    found = settings("workers = 2\nbacklog = 7", environ)
    assert (found.workers, found.backlog, found.worker_class, found.preload_app) == (3, 7, "sync", True)
    assert [str(bind) for bind in found.bind] == ["127.0.0.1:1", "unix:/x"]
    assert settings("workers = 2", environ, workers="5").workers == 5
    assert settings("workers = 2", environ | {"ASERVE_WORKERS": "4"}).workers == 4
    assert settings("", {"GUNICORN_CMD_ARGS": "--workers 3", "WEB_CONCURRENCY": "6"}).workers == 3


def test_without_a_file_of_gunicorns_it_does_not_count() -> None:
    assert config.resolve({"app": "main:app"}, {"GUNICORN_CMD_ARGS": "--workers 3"}).workers == 1


def test_gunicorns_own_spellings() -> None:
    found = settings(
        "", {"GUNICORN_CMD_ARGS": "-w3 -t 7 --proxy-protocol --limit-request-field_size 9 shop:app"}
    )
    assert (found.workers, found.timeout, found.proxy_protocol) == (3, 7.0, "auto")
    assert (found.limit_request_field_size, found.app) == (9, "main:app")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--workers x", "GUNICORN_CMD_ARGS: workers: 'x' is not a whole number"),
        ("--factory", "GUNICORN_CMD_ARGS: unrecognized arguments: --factory: write gunicorn's own options"),
        ("--workers", "GUNICORN_CMD_ARGS: argument -w/--workers: expected one argument"),
        ("'--workers", "GUNICORN_CMD_ARGS: no closing quotation: write it as on a command line"),
    ],
)
def test_mistakes_in_it(arguments: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings("", {"GUNICORN_CMD_ARGS": arguments})
    assert str(caught.value).startswith(message)


def test_it_is_warned_of_what_is_not_supported() -> None:
    (said,) = remarks("", {"GUNICORN_CMD_ARGS": "--spew --no-control-socket"})
    assert said.startswith("GUNICORN_CMD_ARGS: spew is not supported")
