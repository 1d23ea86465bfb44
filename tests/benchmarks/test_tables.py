"""The report and the chart."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from benchmarks.chart import svg
from benchmarks.results import Results, Row, ScenarioResult
from benchmarks.tables import markdown, section


def sample(cpu: float, *, errors: int = 0, foreign: float = 0.0) -> dict[str, float]:
    return {"cpu": cpu, "rate": 12345.6, "p50": 1.234, "p99": 2.0, "errors": errors, "foreign": foreign}


def scenario(*rows: Row) -> ScenarioResult:
    return ScenarioResult("asgi-get", "ASGI <GET>", "load", list(rows))


def cells(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_has_its_figures_under_their_titles() -> None:
    text = section(
        scenario(
            Row("aserve", samples=[sample(10.0), sample(12.0)]),
            Row("peer", samples=[sample(20.0), sample(30.0)]),
        )
    )
    titles = cells(text, "| server")
    peer = dict(zip(titles, cells(text, "| peer"), strict=True))
    assert peer["CPU µs per request"] == "25.0"
    assert peer["minimum"] == "20.0"
    assert peer["x aserve"] == "2.25"
    assert peer["requests/s"] == "12,346"
    assert peer["errors"] == "0"
    assert text.index("**aserve**") < text.index("| peer")


def test_without_aserve_there_is_no_ratio() -> None:
    assert "x aserve" not in section(scenario(Row("peer", samples=[sample(20.0)])))


def test_errors_are_marked() -> None:
    text = section(scenario(Row("peer", samples=[sample(20.0, errors=1234)])))
    assert "| peer (!) |" in text
    assert "**1,234**" in text


def test_a_server_that_never_came_to_its_end_is_shown_with_the_reason() -> None:
    text = section(scenario(Row("peer", samples=[{"errors": 1.0}], failures=["no answer"])))
    assert "| peer (!) |" in text
    assert "- peer failed: no answer" in text


def test_skipped_servers_are_named_with_the_reason() -> None:
    text = section(scenario(Row("bjoern", skipped="does not build")))
    assert "- bjoern is missing: does not build" in text
    assert "| server" not in text


def test_disturbed_rounds_are_named() -> None:
    quiet, loud = Row("a", samples=[sample(1.0, foreign=2.0)]), Row("b", samples=[sample(1.0, foreign=30.0)])
    assert section(scenario(quiet, loud)).rstrip().endswith("meanwhile: b 30 %")
    assert "disturbed" not in section(scenario(quiet))


def test_variants_show_what_they_cost() -> None:
    plain = Row("aserve", samples=[sample(10.0), sample(20.0)])
    logged = Row("aserve", "access-log", samples=[sample(12.0), sample(23.0)])
    text = section(scenario(plain, logged))
    assert (
        dict(zip(cells(text, "| server"), cells(text, "| **aserve + access-log**"), strict=True))[
            "difference"
        ]
        == "+2.5"
    )


def test_the_report_has_facts_tables_and_the_method() -> None:
    text = markdown(Results({"kernel": "6.18"}, [scenario(Row("aserve", samples=[sample(1.0)]))]))
    assert text.index("- kernel: 6.18") < text.index("## ASGI <GET>") < text.index("How to read it")


def test_the_chart_has_a_bar_for_each_row_and_is_xml() -> None:
    rows = [
        Row("aserve", samples=[sample(10.0)]),
        Row("bjoern", note="inline: x", samples=[sample(5.0, errors=1)]),
    ]
    tree = ET.fromstring(svg(Results({"date": "<today>"}, [scenario(*rows)])))
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"ASGI <GET>", "aserve", "bjoern (inline)", "10.0", "5.0 (errors)"} <= set(texts)
    bars = {
        element.get("fill"): float(element.get("width", "0"))
        for element in tree.iter("{http://www.w3.org/2000/svg}rect")
        if element.get("rx")
    }
    assert len(bars) == 2
    widest, narrowest = max(bars.values()), min(bars.values())
    assert narrowest / widest == 0.5


def test_there_is_no_chart_of_nothing() -> None:
    assert svg(Results({}, [scenario(Row("bjoern", skipped="does not build"))])) == ""
