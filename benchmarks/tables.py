"""Results as Markdown."""

from benchmarks.measures import MEASURES, Column
from benchmarks.results import Results, Row, ScenarioResult, paired_difference, paired_ratio

REFERENCE = "aserve"
# Above this share of the server's core used by others, a round says little.
FOREIGN_LIMIT = 5.0

METHOD = """\
How to read it: the figure to compare is the one by which the rows are ranked. CPU time is user and system
time of the whole process tree, from the processes' CPU clocks, divided by the requests that wrk counted in
the same span. It is far steadier than requests/s, which depends on what the load generator and the machine
do besides. Figures are medians over the rounds unless a column says minimum. Rounds are interleaved: each
takes all servers in turn, each started afresh and warmed up. "x aserve" is the median of the ratios within
each round. Every server's answer is compared with the right one before it is measured; **a row marked (!)
had errors and is not to be compared**. PSS is memory with shared pages shared out; it does not hold the
kernel's memory for sockets.
"""


def markdown(results: Results) -> str:
    """The whole report: facts, one table for each scenario, and how to read them."""
    parts = ["# Benchmark", "\n".join(f"- {name}: {value}" for name, value in results.facts.items())]
    parts += [section(scenario) for scenario in results.scenarios]
    return "\n\n".join([*parts, METHOD])


def section(scenario: ScenarioResult) -> str:
    """One scenario: its table, what was skipped and why, and warnings."""
    columns = MEASURES[scenario.measure].columns
    main = columns[0]
    reference = scenario.row(REFERENCE)
    variants = any(row.variant for row in scenario.rows)
    ranked = scenario.ranked(main.key, main.statistic)
    ranked += [row for row in scenario.rows if row.samples and row not in ranked]
    lines = []
    if ranked:
        titles = [column.title for column in columns]
        titles[1:1] = [f"x {REFERENCE}"] if reference is not None and reference.samples else []
        titles += ["difference"] if variants else []
        cells = [["server", *titles, "errors", "note"], ["---", *["---:"] * (len(titles) + 1), "---"]]
        cells += [table_row(row, scenario, columns, reference, variants) for row in ranked]
        lines += ["| " + " | ".join(row) + " |" for row in cells]
    skipped = [f"- {row.name} is missing: {row.skipped}" for row in scenario.rows if row.skipped]
    disturbed = [f"{row.name} {share:.0f} %" for row in ranked if (share := foreign(row)) > FOREIGN_LIMIT]
    warnings = [f"- disturbed: share of the server's core that others used meanwhile: {', '.join(disturbed)}"]
    failures = [
        f"- {row.name} failed: {failure}" for row in ranked for failure in dict.fromkeys(row.failures)
    ]
    blocks = [
        "\n".join(block)
        for block in (lines, [*skipped, *failures, *(warnings if disturbed else [])])
        if block
    ]
    return "\n\n".join([f"## {scenario.title}", *blocks])


def table_row(
    row: Row, scenario: ScenarioResult, columns: tuple[Column, ...], reference: Row | None, variants: bool
) -> list[str]:
    """The cells of one row."""
    main = columns[0]
    cells = [cell(row, column) for column in columns]
    if reference is not None and reference.samples:
        ratio = paired_ratio(row, reference, main.key)
        cells[1:1] = ["" if ratio is None else f"{ratio:.2f}"]
    if variants:
        plain = scenario.row(row.server)
        difference = paired_difference(row, plain, main.key) if row.variant and plain is not None else None
        cells += ["" if difference is None else f"{difference:+.{main.digits}f}"]
    name = f"**{row.name}**" if row.server.startswith(REFERENCE) else row.name
    errors = f"**{row.errors:,}**" if row.errors else "0"
    return [f"{name} (!)" if row.errors else name, *cells, errors, row.note]


def cell(row: Row, column: Column) -> str:
    """A figure as text; empty where there is none."""
    value = row.statistic(column.key, column.statistic)
    return "" if value is None else f"{value:,.{column.digits}f}"


def foreign(row: Row) -> float:
    """Percent of the server's core that others used while it was measured: the median of the rounds."""
    return row.statistic("foreign") or 0.0
