"""The options table, the parsers of its values, and what is generated from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from aserve import options, reference, validators
from aserve.options import OPTIONS, SECTIONS, Settings

REFERENCE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_every_field_is_an_option() -> None:
    assert sorted(option.name for option in OPTIONS) == sorted(
        field.name
        for field in dataclasses.fields(Settings)
        # Functions, which only a file can have (hooks.py), and what only a program can give
        if field.name not in ("hooks", "application")
    )


def test_sections_are_in_their_order_and_whole() -> None:
    assert list(dict.fromkeys(option.section for option in OPTIONS)) == [
        section for section in SECTIONS if any(option.section == section for option in OPTIONS)
    ]


def test_no_name_is_used_twice() -> None:
    flags = [flag for option in OPTIONS for flag in (*option.flags, *option.elsewhere)]
    assert len(flags) == len(set(flags))
    variables = [name for option in OPTIONS for name in (option.environment, *dict(option.extra_environment))]
    assert len(variables) == len(set(variables))
    names = [option.gunicorn for option in OPTIONS]
    assert len(names) == len(set(names))


def test_flags_are_spelled_like_the_settings() -> None:
    for option in OPTIONS:
        # gunicorn's spelling comes first
        shorter = ("access_log_format", "pidfile", "preload_app", "raw_env", "proc_name")
        syslog = ("syslog", "syslog_addr", "syslog_prefix", "syslog_facility")
        # gunicorn's and uvicorn's: the flag names one of what the setting has several of
        single = ("reload_dirs", "reload_includes", "reload_excludes", "reload_extra_files")
        if option.flags and option.name not in (*shorter, *single, *syslog):
            assert option.label == "--" + option.name.replace("_", "-")


def test_defaults_are_gunicorns_and_uvicorns() -> None:
    settings = Settings(app="main:app")
    assert [str(bind) for bind in settings.bind] == ["127.0.0.1:8000"]
    assert (settings.workers, settings.backlog) == (1, 2048)
    assert (settings.timeout, settings.graceful_timeout, settings.keep_alive) == (30.0, 30.0, 5.0)
    assert (settings.error_logfile, settings.access_logfile, settings.log_level) == ("-", None, "info")
    assert (settings.limit_request_fields, settings.limit_request_field_size) == (100, 8190)
    assert (settings.limit_concurrency, settings.header_map, settings.proxy_protocol) == (0, "drop", "off")
    assert {"127.0.0.1", "::1"} <= set(settings.forwarded_allow_ips)
    assert (settings.lifespan, settings.root_path, settings.factory) == ("auto", "", False)


def test_default_threads_follow_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for cpus, threads in ((1, 5), (8, 12), (64, 32)):
        monkeypatch.setattr(options, "usable_cpus", lambda cpus=cpus: cpus)
        assert Settings(app="main:app").threads == threads


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings(app="main:app").workers = 2  # type: ignore[misc]  # that is the point


def test_every_default_passes_its_own_parser() -> None:
    settings = Settings(app="main:app")
    for option in OPTIONS:
        value = getattr(settings, option.name)
        if value not in (None, (), ""):
            given = ",".join(map(str, value)) if option.multiple else value
            assert option.parse(given) == value, option.name


def test_help_texts_are_whole_sentences() -> None:
    for option in OPTIONS:
        assert option.help.endswith("."), option.name
        assert option.default_text, option.name


def test_the_reference_is_up_to_date() -> None:
    assert REFERENCE.read_text() == reference.markdown(), "docs/settings.md is stale: run `make docs`"


def test_the_reference_has_every_name() -> None:
    page = reference.markdown()
    for option in OPTIONS:
        for name in (*option.flags, option.environment, option.gunicorn, *dict(option.extra_environment)):
            assert name in page


# -- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("many", "'many' is not a whole number: write a whole number from 1 on, or auto"),
        ("1.5", "'1.5' is not a whole number"),
        ("1_000", "'1_000' is not a whole number"),
        ("٤", "'٤' is not a whole number"),
        (True, "True is not a whole number"),
        ("0", "'0' is too small: write at least 1"),
        ("-3", "'-3' is too small: write at least 1"),
        ("65", "'65' is too large: write at most 64"),
        ("9" * 5000, "is too large: write at most 64"),
        ("-" + "9" * 5000, "is too small: write at least 1"),
    ],
)
def test_whole_numbers_are_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"whole number|too") as caught:
        validators.integer(1, 64, words={"auto": lambda: 7})(value)
    assert message in str(caught.value)


def test_whole_numbers_are_taken() -> None:
    parse = validators.integer(1, 64, words={"auto": lambda: 7})
    assert [parse(value) for value in (" 2 ", 64, "AUTO", "007")] == [2, 64, 7, 7]


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "1e999", "-1", True, None])
def test_times_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="write"):
        validators.seconds(value)


def test_times_are_taken() -> None:
    assert [validators.seconds(value) for value in ("0", "2.5", 30, " 1 ")] == [0.0, 2.5, 30.0, 1.0]


def test_sizes_are_taken() -> None:
    given = ("0", 1000, " 400M ", "2g", "64 KiB", "1kb", "3T")
    assert [validators.size(value) for value in given] == [
        0,
        1000,
        400 * 2**20,
        2**31,
        65536,
        1024,
        3 * 2**40,
    ]


@pytest.mark.parametrize("value", ["", "M", "1.5G", "-1", "400X", "1MM", "9" * 40, True, None])
def test_sizes_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a size: write a number of bytes, or one such as 400M or 2G"):
        validators.size(value)


def test_choices_say_what_there_is() -> None:
    parse = validators.choice("auto", "on", "off")
    assert parse("On") == "on"
    with pytest.raises(ValueError, match=r"^'maybe' is not known: write auto, on or off$"):
        parse("maybe")


def test_booleans() -> None:
    assert [validators.boolean(value) for value in (True, "1", "Yes", "on")] == [True] * 4
    assert [validators.boolean(value) for value in (False, "0", "No", "off")] == [False] * 4
    with pytest.raises(ValueError, match="'perhaps' is neither yes nor no: write 1 or 0"):
        validators.boolean("perhaps")


def test_lists_come_as_text_or_as_sequences() -> None:
    parse = validators.each(validators.text)
    assert parse("a, b") == parse(["a", "b"]) == ("a", "b")
    assert parse(("a,b", "c")) == ("a", "b", "c")
    for value in ("", "a,,b", [], ["a", 1, ""], 3):
        with pytest.raises(ValueError, match="write one value, or several with commas"):
            parse(value)


def test_an_empty_sequence_is_a_default_that_is_empty() -> None:
    parsers = {option.name: option.parse for option in OPTIONS}
    for name in ("certfile", "keyfile", "pythonpath", "reload_dirs", "reload_extra_files"):
        assert parsers[name]([]) == ()
    for name in ("bind", "forwarded_headers", "secure_scheme_headers"):  # none of these is not the default
        with pytest.raises(ValueError, match=r"^\[\] is empty: write one value"):
            parsers[name]([])
    with pytest.raises(ValueError, match="to believe none, name the others in forwarded_headers"):
        parsers["secure_scheme_headers"]({})


def test_root_paths() -> None:
    assert [validators.root_path(value) for value in ("", "/", "/api", "/api/v1/")] == [
        "",
        "",
        "/api",
        "/api/v1",
    ]
    for value in ("api", "/api?x", "/a#b", "/a\nb"):
        with pytest.raises(ValueError, match="leading slash"):
            validators.root_path(value)


def test_texts() -> None:
    for value in ("", "  ", None, 3, "a\0b"):
        with pytest.raises(ValueError, match=r"write|leave"):
            validators.text(value)


def test_access_log_formats() -> None:
    assert validators.access_log_format("combined") == "combined"
    with pytest.raises(ValueError, match=r"'%\(nope\)s' is not an atom: known are h l u t"):
        validators.access_log_format("%(nope)s")
