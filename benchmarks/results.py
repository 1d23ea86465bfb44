"""Figures of a run: samples, their statistics, and the file that keeps them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

Sample = Mapping[str, float]
"""The figures of one round of one contestant, by name; units are part of the column that shows them."""

STATISTICS: Mapping[str, Callable[[list[float]], float]] = {
    "median": median,
    "minimum": min,
    "maximum": max,
    "sum": sum,
}


@dataclass(slots=True)
class Row:
    """One contestant of a scenario: a server with the options of a variant."""

    server: str
    variant: str = ""
    note: str = ""
    skipped: str = ""
    """Why there are no figures; empty if there are."""
    samples: list[dict[str, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What went wrong in rounds that did not come to their end."""

    @property
    def name(self) -> str:
        """The name in tables and charts."""
        return f"{self.server} + {self.variant}" if self.variant else self.server

    def statistic(self, key: str, statistic: str = "median") -> float | None:
        """The statistic of a figure over all rounds, None where no round has it."""
        values = [sample[key] for sample in self.samples if key in sample]
        return STATISTICS[statistic](values) if values else None

    @property
    def errors(self) -> int:
        """Requests that failed or were answered wrongly, over all rounds."""
        return round(self.statistic("errors", "sum") or 0)


@dataclass(slots=True)
class ScenarioResult:
    """All rows of a scenario."""

    name: str
    title: str
    measure: str
    rows: list[Row] = field(default_factory=list)

    def row(self, server: str, variant: str = "") -> Row | None:
        """The row of a contestant, None if it did not take part."""
        return next((row for row in self.rows if (row.server, row.variant) == (server, variant)), None)

    def ranked(self, key: str, statistic: str = "median") -> list[Row]:
        """Rows with the figure, smallest first, those with errors last."""
        rows = [
            (row.errors > 0, value, row)
            for row in self.rows
            if (value := row.statistic(key, statistic)) is not None
        ]
        return [row for *_, row in sorted(rows, key=lambda item: item[:2])]


@dataclass(slots=True)
class Results:
    """A whole run."""

    facts: dict[str, str]
    """What was measured where and how, in the order in which it is printed."""
    scenarios: list[ScenarioResult] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write as JSON, every single sample included."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read what `save` wrote."""
        data: dict[str, Any] = json.loads(path.read_text())
        scenarios = [
            ScenarioResult(
                scenario["name"],
                scenario["title"],
                scenario["measure"],
                [Row(**row) for row in scenario["rows"]],
            )
            for scenario in data["scenarios"]
        ]
        return cls(data["facts"], scenarios)


def paired_ratio(row: Row, reference: Row, key: str) -> float | None:
    """How many times the reference's figure this row's is: the median of the ratios within each round.

    Rounds are interleaved, so that both halves of a pair were measured within the same minute: what slows
    the machine down for a while then slows both.
    """
    pairs = zip(row.samples, reference.samples, strict=False)
    ratios = [ours[key] / theirs[key] for ours, theirs in pairs if ours.get(key) and theirs.get(key)]
    return median(ratios) if ratios else None


def paired_difference(row: Row, reference: Row, key: str) -> float | None:
    """By how much this row's figure is above the reference's: median of the differences within each round."""
    pairs = zip(row.samples, reference.samples, strict=False)
    differences = [ours[key] - theirs[key] for ours, theirs in pairs if key in ours and key in theirs]
    return median(differences) if differences else None
