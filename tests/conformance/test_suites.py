"""The frameworks' own test suites, with their test clients' requests sent to this server.

What passes in process has to pass over the wire, but for what is listed with its reason. No tests of ours
could know as well what these frameworks expect of a server.
"""

from __future__ import annotations

import faulthandler
import os
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.suites.environment import Environment, UnavailableError, prepare
from tests.conformance.suites.suite import SUITES, Suite

REQUIRED: Final = "TEST_SUITES"


@pytest.fixture(scope="module")
def environment() -> Environment:
    """Made at the first time, which takes a minute and the package index."""
    try:
        return prepare()
    except UnavailableError as error:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"{REQUIRED} is set, but {error}")
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: str(suite.name))
def test_suite_over_the_wire(environment: Environment, suite: Suite, tmp_path: Path) -> None:
    """Nothing fails that is not listed, and nothing is listed that does not fail."""
    faulthandler.cancel_dump_traceback_later()  # this takes minutes where the machine is busy
    outcomes = suite.over_wire(environment, outcomes=tmp_path / "wire.json")
    limits = suite.limits()
    failed = {test for test, outcome in outcomes.items() if outcome == "failed"}
    suspect = failed - limits.keys()
    if suspect:  # a test that fails for the framework's client too says nothing about the server
        alone = suite.in_process(environment, suspect, tmp_path / "process.json")
        suspect = {test for test in suspect if alone.get(test) == "passed"}
    log = (tmp_path / "wire.log").read_text()
    assert sorted(suspect) == [], log[-20000:]
    stale = {test for test, limit in limits.items() if test not in failed and not limit.varies}
    assert sorted(stale) == [], "listed, but not failed over the wire"
    assert limits.keys() <= outcomes.keys()
    assert sum(outcome == "passed" for outcome in outcomes.values()) > 400
