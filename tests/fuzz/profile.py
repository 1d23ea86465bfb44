"""How many examples a property is given.

By default few, and the same ones each time: a test must not fail by chance in somebody else's
change. With ASERVE_FUZZ_EXAMPLES that many for every property, different ones each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

EXAMPLES: Final = int(os.environ.get("ASERVE_FUZZ_EXAMPLES", "0"))


def fuzzed(examples: int) -> Callable[[Any], Any]:
    """Give the test `examples` examples, unless there are to be more."""
    random = EXAMPLES > 0
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not random,
        database=DirectoryBasedExampleDatabase("build/fuzz/examples") if random else None,
        deadline=None,
        print_blob=random,
        suppress_health_check=list(HealthCheck),
    )
