"""Statistics over rounds, and the file that keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results import Results, Row, ScenarioResult, paired_difference, paired_ratio


def row(server: str, *cpu: float, errors: float = 0.0, variant: str = "") -> Row:
    return Row(server, variant, samples=[{"cpu": value, "errors": errors} for value in cpu])


@pytest.mark.parametrize(
    ("statistic", "value"), [("median", 2.0), ("minimum", 1.0), ("maximum", 9.0), ("sum", 12.0)]
)
def test_statistics_are_over_all_rounds(statistic: str, value: float) -> None:
    assert row("x", 2.0, 9.0, 1.0).statistic("cpu", statistic) == value


def test_a_round_without_a_figure_is_left_out() -> None:
    one = Row("x", samples=[{"cpu": 4.0, "errors": 0.0}, {"errors": 1.0}])
    assert one.statistic("cpu") == 4.0
    assert one.errors == 1
    assert one.statistic("rate") is None


def test_ratios_are_taken_within_rounds() -> None:
    # The machine was three times slower in the second round: ratios do not see it.
    ours, theirs = row("aserve", 10.0, 30.0, 10.0), row("peer", 20.0, 60.0, 25.0)
    assert paired_ratio(theirs, ours, "cpu") == 2.0
    assert paired_difference(theirs, ours, "cpu") == 15.0


def test_there_is_no_ratio_to_nothing() -> None:
    assert paired_ratio(row("peer", 1.0), row("aserve", 0.0), "cpu") is None
    assert paired_ratio(row("peer", 1.0), Row("aserve", samples=[{"errors": 1.0}]), "cpu") is None


def test_rows_with_errors_rank_last() -> None:
    scenario = ScenarioResult(
        "s", "S", "load", [row("broken", 1.0, errors=3.0), row("b", 3.0), row("a", 2.0), Row("none")]
    )
    assert [each.server for each in scenario.ranked("cpu")] == ["a", "b", "broken"]


def test_a_run_is_read_as_it_was_saved(tmp_path: Path) -> None:
    rows = [row("aserve", 1.0), Row("bjoern", note="inline", skipped="not built")]
    results = Results({"date": "today"}, [ScenarioResult("s", "S", "load", rows)])
    results.save(tmp_path / "run.json")
    assert Results.load(tmp_path / "run.json") == results
