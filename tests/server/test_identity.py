"""Who workers are: names and numbers, and the options that say so."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from aserve import identity, validators
from aserve.errors import UsageError
from aserve.options import Settings
from tests.server.command import refused

ME = pwd.getpwuid(os.getuid())
MINE = grp.getgrgid(os.getgid())


def test_names_and_numbers() -> None:
    assert identity.parse_user(ME.pw_name) == identity.parse_user(str(ME.pw_uid)) == ME.pw_uid
    assert identity.parse_user(ME.pw_uid) == ME.pw_uid  # of a configuration file
    assert identity.parse_group(MINE.gr_name) == identity.parse_group(f" {MINE.gr_gid} ") == MINE.gr_gid
    assert identity.parse_user("4294967294") == 4294967294


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (identity.parse_user, "nobody-there", "there is no user 'nobody-there': write the name or number"),
        (identity.parse_group, "-1", "there is no group '-1': write the name or number"),
        (identity.parse_user, "4294967295", "is too large for a number of a user or group"),
        (identity.parse_user, "", "'' is no name: write a name or a number"),
        (identity.parse_group, True, "True is no name"),
    ],
)
def test_who_is_not_there(parse: Callable[[object], int], value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(value)


def test_the_owner_of_what_workers_need() -> None:
    assert identity.owner(Settings()) is None
    assert identity.owner(Settings(user=ME.pw_uid)) == (ME.pw_uid, ME.pw_gid)
    assert identity.owner(Settings(user=ME.pw_uid, group=12)) == (ME.pw_uid, 12)
    assert identity.owner(Settings(group=12)) == (os.geteuid(), 12)
    assert identity.owner(Settings(user=3_000_000_000)) == (3_000_000_000, 3_000_000_000)


def test_only_root_can_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getegid", lambda: 1235)
    monkeypatch.setattr(os, "getgroups", lambda: [1236])
    identity.check(Settings(user=1234, group=1236))
    identity.check(Settings(group=1235))
    with pytest.raises(UsageError, match="--user: only root may start workers as another user"):
        identity.check(Settings(user=0))
    with pytest.raises(UsageError, match="--group: only root may start workers in any group"):
        identity.check(Settings(group=0))


@pytest.mark.parametrize(
    ("value", "mode"), [("022", 0o22), ("0o27", 0o27), ("0", 0), (0o77, 0o77), ("0777", 0o777)]
)
def test_umasks(value: object, mode: int) -> None:
    assert validators.umask(value) == mode


@pytest.mark.parametrize("value", ["22", "0x1f", "", "01777", "-1", "08", 0o1000, -1, True, "0" * 9, "0o"])
def test_what_is_no_umask(value: object) -> None:
    with pytest.raises(ValueError, match="write"):
        validators.umask(value)


def test_variables() -> None:
    assert validators.variables(("A=1,2", "B=", "C=x=y")) == ("A=1,2", "B=", "C=x=y")
    assert validators.variables("A=1, B=2") == ("A=1", "B=2")
    assert validators.variables([]) == ()
    for wrong in ("A", "=1", "A=1,,B=2", ["A=\0"], [1]):
        with pytest.raises(ValueError, match=r"is no variable: write NAME=VALUE"):
            validators.variables(wrong)


def test_what_the_command_line_refuses(tmp_path: Path) -> None:
    assert refused("-u", "nobody-there", "m:a", cwd=tmp_path).startswith("--user: there is no user")
    assert refused("-g", "nobody-there", "m:a", cwd=tmp_path).startswith("--group: there is no group")
    assert refused("-m", "22", "m:a", cwd=tmp_path).startswith("--umask: '22' may be decimal or octal")
    assert refused("-e", "A", "m:a", cwd=tmp_path).startswith("--env: 'A' is no variable")
