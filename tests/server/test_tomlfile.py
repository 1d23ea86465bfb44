"""Configuration files in TOML: names, places of mistakes, and how they are found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from aserve import config, configfile
from aserve.configfile import ConfigFileError
from aserve.errors import EXIT_USAGE, UsageError
from aserve.options import OPTIONS, Settings
from tests.server.command import aserve, refused

APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(source: str, name: str = "aserve.toml") -> str:
    Path(name).write_text(source)
    return name


def settings(
    source: str, environ: Mapping[str, str] | None = None, name: str = "aserve.toml", **cli: object
) -> Settings:
    write(source, name)
    return config.resolve({"app": "main:app", **cli}, environ or {})


def remarks(source: str, name: str = "aserve.toml") -> list[str]:
    return list(configfile.read(write(source, name), OPTIONS).remarks)


# -- values -----------------------------------------------------------------------------------


def test_settings_have_our_names_and_gunicorns() -> None:
    found = settings(
        'app = "site:app"\nbind = ["127.0.0.1:1", "unix:/x"]\nworkers = "auto"\nkeep_alive = 7\n'
        'loglevel = "debug"\naccess-logfile = "-"\npreload_app = true\numask = 0o027\ntimeout = 0.5\n'
        'raw_env = ["A=1,2"]\nheader = ["X-Frame-Options:DENY"]\nhttp_parser = "python"\n'
    )
    assert found.app == "main:app"  # the command line's
    assert [str(bind) for bind in found.bind] == ["127.0.0.1:1", "unix:/x"]
    assert found.workers >= 1
    assert (found.keep_alive, found.log_level, found.access_logfile) == (7.0, "debug", "-")
    assert (found.preload_app, found.umask, found.timeout, found.http) == (True, 0o027, 0.5, "h11")
    assert (found.raw_env, found.header) == (("A=1,2",), ((b"X-Frame-Options", b"DENY"),))


@pytest.mark.parametrize("spelling", ["name", "gunicorn"])
def test_every_setting_can_be_in_a_file(spelling: str) -> None:
    source = "".join(f"{getattr(option, spelling)} = 0\n" for option in OPTIONS if option.name != "config")
    found = configfile.read(write(source), OPTIONS)
    assert {value.option.name for value in found.values} == {option.name for option in OPTIONS} - {"config"}
    assert found.remarks == ()


def test_the_environment_and_the_command_line_win() -> None:
    assert settings("workers = 2").workers == 2
    for variable in ("ASERVE_WORKERS", "WEB_CONCURRENCY"):
        assert settings("workers = 2", {variable: "3"}).workers == 3
    assert settings("workers = 2", {"ASERVE_WORKERS": "3"}, workers="4").workers == 4


def test_gunicorns_command_line_is_not_meant() -> None:
    write("timeout = 2")
    said: list[str] = []
    found = config.resolve({"app": "main:app"}, {"GUNICORN_CMD_ARGS": "--workers 9"}, said.append)
    assert found.workers == 1
    assert said == [
        "configuration file found: aserve.toml",
        "GUNICORN_CMD_ARGS has no effect without a configuration file of gunicorn's",
    ]


def test_hooks_are_named_by_their_path() -> None:
    write("def started(server): return 'here'", "helper_of_toml.py")
    hook = configfile.read(write('on_starting = "helper_of_toml.started"'), OPTIONS).hooks.get("on_starting")
    assert hook is not None
    assert hook(None) == "here"


# -- where it is found ------------------------------------------------------------------------


def test_the_table_of_a_project() -> None:
    found = settings(
        '[project]\nname = "x"\nworkers = 9\n[tool.aserve]\nworkers = 2\n', name="pyproject.toml"
    )
    assert (found.workers, found.config) == (2, "pyproject.toml")


@pytest.mark.parametrize(
    "source",
    ["[tool]\naserve.workers = 2", '[tool."aserve"]\nworkers = 2', "tool = { aserve = { workers = 2 } }"],
)
def test_other_ways_to_write_the_table(source: str) -> None:
    assert settings(source, name="pyproject.toml").workers == 2


def test_our_own_file_wins() -> None:
    write("[tool.aserve]\nworkers = 2\nbacklog = 7", "pyproject.toml")
    found = settings("workers = 3")
    assert (found.workers, found.backlog, found.config) == (3, 2048, "aserve.toml")


def test_one_that_is_named_wins() -> None:
    write("workers = 3")
    write("workers = 4", "other.toml")
    write("workers = 5", "conf.py")
    for name, count in (("other.toml", 4), ("file:other.toml", 4), ("conf.py", 5)):
        assert config.resolve({"app": "main:app", "config": name}, {}).workers == count
    assert config.resolve({"app": "main:app"}, {"ASERVE_CONFIG": "other.toml"}).workers == 4


@pytest.mark.parametrize(
    "source",
    [
        '[project]\nname = "aserve-server"\ndependencies = ["aserve-server"]',
        "[tool.aserver]\nworkers = 2",
        "[tool.other]\naserve = 2",
        "not toml at all: aserve-server",
    ],
)
def test_projects_without_the_table_say_nothing(source: str) -> None:
    assert settings(source, name="pyproject.toml") == settings("", name="other")


def test_gunicorns_file_is_only_read_if_it_is_named() -> None:
    assert settings("workers = 5", name="gunicorn.conf.py").workers == 1


# -- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("workers = 2\n\nbacklog = = 3\n", "aserve.toml:3: Invalid value"),
        ('workers = 2\nbind = "x', "aserve.toml:2: "),
        ("workers = 2\nbind = [\n", "aserve.toml:2: "),
        ("workers = 2\nworkers = 3\n", "aserve.toml:2: Cannot overwrite a value"),
        (
            '\nworkers = "x"\n',
            "aserve.toml:2: workers: 'x' is not a whole number: write a whole number from 1",
        ),
        (
            '# workers = 1\nproc_name = """\nworkers = 2\n"""\nbind = [\n  ":1",\n  ":2",\n]\nworkers = 0\n',
            "aserve.toml:9: workers: 0 is too small: write at least 1",
        ),
        ('bind = [\n  ":1",\n  "x:y",\n]', "aserve.toml:1: bind: 'x:y' has no port"),
        ('"workers" = 0', "aserve.toml:1: workers: 0 is too small"),
        (
            "keep_alive = 1\nkeepalive = 2",
            "aserve.toml:2: keepalive: it is the same as keep_alive: write one",
        ),
        ("keep_alive = 1\nkeep-alive = 2", "aserve.toml: keep-alive: it is there twice, with - and with _"),
        (
            "timeout = 2020-01-01",
            "aserve.toml:1: timeout: datetime.date(2020, 1, 1) is not a time in seconds",
        ),
        (
            'on_exit = "here"',
            "aserve.toml:1: on_exit: 'here' is no path to a function: write module.function",
        ),
        ("on_exit = 3", "aserve.toml:1: on_exit: 3 is no function"),
    ],
)
def test_mistakes_have_a_file_and_a_line(source: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(source)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.status == EXIT_USAGE


def test_the_line_in_a_project() -> None:
    source = '[tool.other]\nworkers = "x"\n\n[tool.aserve]\ntimeout = 3\nworkers = "x"\n'
    with pytest.raises(UsageError, match=r"^pyproject\.toml:6: workers: 'x' is not a whole number"):
        settings(source, name="pyproject.toml")
    with pytest.raises(UsageError, match=r"^pyproject\.toml:2: Invalid value"):
        settings("[tool.aserve]\nworkers = x", name="pyproject.toml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "none.toml",
            "--config: cannot read 'none.toml': No such file or directory: name a file that is there",
        ),
        (
            "sub/pyproject.toml",
            "--config: there is no table [tool.aserve] in 'sub/pyproject.toml': write one",
        ),
        ("latin.toml", "latin.toml:2: it is not UTF-8: save it as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used(name: str, message: str) -> None:
    Path("sub").mkdir()
    write("[tool.other]", "sub/pyproject.toml")
    Path("latin.toml").write_bytes(b"workers = 2\nproc_name = '\xe4'")
    with pytest.raises(ConfigFileError) as caught:
        config.resolve({"app": "main:app", "config": name}, {})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("wrokers = 3", "there is no setting 'wrokers': did you mean 'workers'?"),
        ("Workers = 3", "there is no setting 'Workers': did you mean 'workers'?"),
        ('pid = "x"', "there is no setting 'pid': did you mean 'pidfile'?"),
        ('env = ["A=1"]', "there is no setting 'env': did you mean 'raw_env'?"),
        (
            "spew = true",
            "spew is not supported: use python -m trace, or a profiler that attaches to the process",
        ),
        ("colour = 3", "there is no setting 'colour': docs/settings.md lists them"),
        ('config = "x"', "config has no effect in a configuration file"),
    ],
)
def test_names_that_are_not_known(source: str, message: str) -> None:
    assert remarks("workers = 2\n" + source) == [f"aserve.toml:2: {message}"]


def test_what_asks_for_nothing_is_no_matter() -> None:
    assert remarks("spew = false\ninitgroups = true\nhttp2_max_frame_size = 16384\n") == []


def test_the_command_checks_all_of_it(tmp_path: Path) -> None:
    write(APP, "main.py")
    write('workers = "x"\ntimeout = -1\nspeww = true\n')
    assert refused("main:app", cwd=tmp_path).startswith("aserve.toml:1: workers: 'x' is not a whole number")
    ended = aserve("--check-config", "--backlog", "x", "main:app", cwd=tmp_path)
    assert ended.status == 2
    assert ended.out == ""
    assert [line.partition(": write")[0] for line in ended.err.splitlines()] == [
        "aserve: warning: aserve.toml:3: there is no setting 'speww': did you mean 'spew'?",
        "aserve: error: aserve.toml:1: workers: 'x' is not a whole number",
        "aserve: error: aserve.toml:2: timeout: -1 is negative",
        "aserve: error: --backlog: 'x' is not a whole number",
    ]
    write('\nerrorlog = "no/log"')
    assert refused("main:app", cwd=tmp_path).startswith(
        "aserve.toml:2: errorlog: cannot write to 'no/log': No"
    )
    for name in ("chdir", "accesslog"):
        write(f'\n\n{name} = "no/where"')
        for args in ([], ["--check-config"]):
            ended = aserve(*args, "main:app", cwd=tmp_path)
            assert ended.status == 2
            assert ended.err.splitlines()[-1].startswith(f"aserve: error: aserve.toml:3: {name}: cannot ")
    write('workers = 2\nspeww = true\napp = "main:app"')
    ended = aserve("--check-config", cwd=tmp_path)
    assert (ended.status, ended.out) == (0, "configuration ok: main:app can be served (wsgi)\n")
    assert "[WARNING] aserve.toml:2: there is no setting 'speww': did you mean 'spew'?" in ended.err


def test_what_else_is_odd_is_told_with_a_mistake() -> None:
    """It may be why."""
    write('[aserve]\napp = "main:app"\n')
    ended = aserve("--check-config", cwd=Path.cwd())
    assert (ended.status, ended.out) == (EXIT_USAGE, "")
    warning, error = ended.err.splitlines()
    assert warning == "aserve: warning: aserve.toml:1: no table 'aserve' is known: write settings outside"
    assert error.startswith("aserve: error: no application is named")


def test_a_number_is_no_list() -> None:
    with pytest.raises(UsageError) as caught:
        settings("bind = 8000")
    assert str(caught.value) == (
        "aserve.toml:1: bind: 8000 is neither a text nor a list: write one value, or several with commas"
    )


def test_a_mark_at_the_beginning() -> None:
    Path("aserve.toml").write_text("workers = 3\nnone = 1\n", "utf-8-sig")
    said: list[str] = []
    assert config.resolve({"app": "main:app"}, {}, said.append).workers == 3
    assert said[1].startswith("aserve.toml:2: there is no setting 'none'")


def test_a_link_that_leads_nowhere_is_not_passed_over() -> None:
    """Such as to what somebody was to mount there."""
    Path("aserve.toml").symlink_to("missing.toml")
    with pytest.raises(ConfigFileError, match="cannot read 'aserve.toml': No such file"):
        config.resolve({"app": "main:app"}, {})


@pytest.mark.parametrize(
    ("name", "meant"), [("host", "bind"), ("ssl_certfile", "certfile"), ("access_log", "access_logfile")]
)
def test_the_names_of_other_servers(name: str, meant: str) -> None:
    assert remarks(f"{name} = 1") == [f"aserve.toml:1: there is no setting {name!r}: did you mean {meant!r}?"]
