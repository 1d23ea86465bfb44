"""The Autobahn test suite's fuzzing client (crossbario/autobahn-testsuite) against a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.pool import FLAVOURS, Flavour, ServerPool

REQUIRED = "TEST_AUTOBAHN"
"""If this variable is "required", a missing test suite is a failure; otherwise its tests are skipped."""

INSTALLED = Path(__file__).parents[2] / "build" / "autobahn" / "bin" / "wstest"

BASIC = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
LIMITS = ("9.*",)
COMPRESSED = (
    *("12.1.1", "12.1.4", "12.1.11", "12.2.2", "12.3.3", "12.4.5", "12.5.1", "12.5.12"),
    *("13.1.2", "13.2.3", "13.3.1", "13.4.4", "13.5.2", "13.6.3", "13.7.1", "13.3.12", "13.5.11"),
)
"""A sample: each of these groups sends gigabytes, and all of both take most of an hour."""


@pytest.fixture
def wstest() -> str:
    """The test suite's program."""
    found = str(INSTALLED) if INSTALLED.exists() else shutil.which("wstest")
    if found is None:
        reason = (
            "no Autobahn test suite: it needs Python 2.7, with which .ci/run installs it in build/autobahn"
        )
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"{REQUIRED} is set, but {reason}")
        pytest.skip(reason)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cases", "flavour"),
    [
        pytest.param(BASIC, FLAVOURS[0], id=f"1-7 and 10, {FLAVOURS[0]}"),
        pytest.param(BASIC, FLAVOURS[1], id=f"1-7 and 10, {FLAVOURS[1]}"),
        pytest.param(LIMITS, FLAVOURS[0], id="9"),
        pytest.param(COMPRESSED, FLAVOURS[0], id="a sample of 12 and 13"),
    ],
)
def test_cases(
    wstest: str, pool: ServerPool, cases: tuple[str, ...], flavour: Flavour, tmp_path: Path
) -> None:
    """Every case is passed, and strictly: there is no other result that would have to be explained."""
    server = pool.get("websocket_raw_app:app", flavour)
    specification = {
        "outdir": str(tmp_path / "reports"),
        "servers": [{"agent": "aserve", "url": server.url.replace("http:", "ws:")}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (tmp_path / "specification.json").write_text(json.dumps(specification))
    done = subprocess.run(
        [wstest, "-m", "fuzzingclient", "-s", str(tmp_path / "specification.json")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    results = json.loads((tmp_path / "reports" / "index.json").read_text())["aserve"]
    assert len(results) >= len(cases)
    bad = {
        case: (result["behavior"], result["behaviorClose"])
        for case, result in results.items()
        if {result["behavior"], result["behaviorClose"]} - {"OK", "INFORMATIONAL"}
    }
    assert bad == {}
