"""Results as an SVG chart: one panel of bars for each charted figure. Less is better in all of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from benchmarks.measures import MEASURES, Column
from benchmarks.results import Results, Row, ScenarioResult

WIDTH = 860
MARGIN = 24
LABEL_WIDTH = 190
VALUE_WIDTH = 90
ROW_HEIGHT = 22
BAR_HEIGHT = 14
PANEL_HEAD = 44
PANEL_GAP = 14
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
OURS, PEER, PROBE, BROKEN = "#2563eb", "#94a3b8", "#d9dee5", "#f3b4ae"
INK, FAINT = "#1f2937", "#6b7280"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a panel."""

    name: str
    value: float
    least: float
    """Best round, drawn as a mark in the bar."""
    colour: str
    errors: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of one scenario."""

    title: str
    unit: str
    digits: int
    bars: tuple[Bar, ...]

    @property
    def height(self) -> int:
        """Pixels that it takes."""
        return PANEL_HEAD + ROW_HEIGHT * len(self.bars) + PANEL_GAP


def colour(row: Row) -> str:
    """Ours, a peer's, the limit probe's, or that of a row that is not to be compared."""
    if row.errors:
        return BROKEN
    if row.server.startswith("aserve"):
        return OURS
    return PROBE if row.server == "limit" else PEER


def panel(scenario: ScenarioResult, column: Column) -> Panel:
    """The bars of one figure, smallest first."""
    bars = tuple(
        Bar(
            f"{row.name} (inline)" if row.note.startswith("inline") else row.name,
            row.statistic(column.key, column.statistic) or 0.0,
            row.statistic(column.key, "minimum") or 0.0,
            colour(row),
            bool(row.errors),
        )
        for row in scenario.ranked(column.key, column.statistic)
    )
    return Panel(scenario.title, column.title, column.digits, bars)


def panels(results: Results) -> list[Panel]:
    """All panels that have bars."""
    found = [
        panel(scenario, column)
        for scenario in results.scenarios
        for column in MEASURES[scenario.measure].columns
        if column.charted
    ]
    return [one for one in found if one.bars]


def text(x: float, y: float, content: str, *, size: int = 12, fill: str = INK, extra: str = "") -> str:
    """A text element."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" {extra}>{escape(content)}</text>'


def draw_panel(one: Panel, top: int) -> Iterable[str]:
    """The elements of a panel whose upper edge is at `top`."""
    yield text(MARGIN, top + 16, one.title, size=15, extra='font-weight="600"')
    yield text(MARGIN, top + 34, f"{one.unit}, less is better", fill=FAINT)
    left = MARGIN + LABEL_WIDTH
    scale = (WIDTH - MARGIN - VALUE_WIDTH - left) / (max(bar.value for bar in one.bars) or 1.0)
    for number, bar in enumerate(one.bars):
        y = top + PANEL_HEAD + number * ROW_HEIGHT
        width = max(1.0, bar.value * scale)
        weight = 'font-weight="600"' if bar.colour == OURS else ""
        yield text(left - 8, y + 11, bar.name, extra=f'text-anchor="end" {weight}')
        size = f'width="{width:.1f}" height="{BAR_HEIGHT}"'
        yield f'<rect x="{left}" y="{y}" {size} rx="2" fill="{bar.colour}"/>'
        mark = left + bar.least * scale
        yield f'<path d="M{mark:.1f} {y + 2}v{BAR_HEIGHT - 4}" stroke="#fff" stroke-width="1.5"/>'
        label = f"{bar.value:,.{one.digits}f}{' (errors)' if bar.errors else ''}"
        yield text(left + width + 6, y + 11, label, extra=weight)


def svg(results: Results) -> str:
    """The chart, or an empty text if there is nothing to draw."""
    drawn = panels(results)
    if not drawn:
        return ""
    facts = results.facts
    notes = [
        "Median of interleaved rounds; the white mark is the best round. "
        "One worker process each, pinned to one core.",
        f"{facts.get('date', '')}; {facts.get('python', '')}; {facts.get('machine', '')}",
    ]
    height = MARGIN + sum(one.height for one in drawn) + 18 * len(notes) + MARGIN // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="{FONT}" role="img">',
        "<title>aserve and its peers</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    top = MARGIN
    for one in drawn:
        parts += draw_panel(one, top)
        top += one.height
    parts += [
        text(MARGIN, top + 10 + 18 * number, note, size=11, fill=FAINT) for number, note in enumerate(notes)
    ]
    return "\n".join([*parts, "</svg>", ""])
