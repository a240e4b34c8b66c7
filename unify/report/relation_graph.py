"""A picture of the relation graph: narrow classes on the left, what they are also on the right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from unify.relations.rules import Relations, to_graph
from unify.report.draw import FAINT, INK, PAPER, Color, write
from unify.spaces import load_space

if TYPE_CHECKING:
    import networkx as nx
    from PIL.Image import Image

_MARGIN, _HEAD, _ROW, _GAP = 28, 64, 30, 150  # _GAP: width of the space that edges cross
_BOX, _SWATCH, _NAME, _SMALL = 22, 12, 13, 11
_SHARP = 3  # curves are drawn this much larger, and reduced
_EDGE: dict[str, Color] = {
    "narrower": (96, 110, 150),
    "equal": (178, 92, 60),
    "broader": (140, 150, 120),
    "overlaps": (180, 180, 184),
}
_GRAY: Color = (206, 206, 202)


def draw_graph(relations: Relations) -> Image:
    """Every class that has an edge, a column a step; edges from left to right, equal classes joined in one column.

    The thickness is the score: of the paper's rule how far it lies above the label's own, else the confidence.
    """
    from PIL import Image as PILImage
    from PIL import ImageDraw

    graph = to_graph(relations)
    graph.remove_nodes_from([name for name in list(graph) if graph.degree(name) == 0])
    columns = _columns(graph)
    widths = [max(_width(name, graph.nodes[name]["sources"]) for name in column) for column in columns]
    lefts = [_MARGIN + sum(widths[:i]) + i * _GAP for i in range(len(columns))]
    tallest = max(map(len, columns), default=1)
    width = max(560, lefts[-1] + widths[-1] + 2 * _MARGIN if columns else 0)
    height = _HEAD + tallest * _ROW + _MARGIN
    place: dict[str, tuple[int, int, int]] = {}  # name -> left, right, middle
    for column, left, column_width in zip(columns, lefts, widths, strict=True):
        wanted = [_mean([place[n][2] for n in graph.predecessors(name) if n in place]) for name in column]
        for name, middle in zip(column, _rows(wanted, _HEAD + _ROW // 2, tallest), strict=True):
            place[name] = (left, left + column_width, middle)

    picture = PILImage.new("RGB", (width * _SHARP, height * _SHARP), PAPER)
    draw = ImageDraw.Draw(picture)
    for label, related, facts in graph.edges(data=True):
        points = _curve(place[label], place[related])
        thick = max(2, round(_SHARP * (0.8 + 2.4 * _strength(relations, facts))))
        draw.line([(x * _SHARP, y * _SHARP) for x, y in points], fill=_EDGE[facts["type"]], width=thick, joint="curve")
        _arrow(draw, points, _EDGE[facts["type"]])
    picture = picture.reduce(_SHARP)

    draw = ImageDraw.Draw(picture)
    space = relations.taxonomy.space if relations.taxonomy else load_space("union70")  # without one, colours by name
    colors = {c.name: c.color for c in space.classes}
    for name, (left, right, middle) in place.items():
        box = (left, middle - _BOX // 2, right, middle + _BOX // 2)
        draw.rounded_rectangle(box, radius=5, fill=(255, 255, 255), outline=_GRAY)
        swatch = (left + 6, middle - _SWATCH // 2, left + 6 + _SWATCH, middle + _SWATCH // 2)
        draw.rectangle(swatch, fill=colors.get(name, _GRAY), outline=_GRAY)
        write(draw, (left + 24, middle), name, _NAME, INK, anchor="lm")
        sources = _letters(graph.nodes[name]["sources"])
        write(draw, (right - 6, middle), sources, _SMALL, FAINT, anchor="rm")
    settings = ", ".join(f"{name} {value:g}" for name, value in relations.settings.items())
    title = f"Class relations: {graph.number_of_edges()} pairs"
    write(draw, (_MARGIN, _MARGIN - 10), title, 20)
    note = f"{relations.rule} rule, {settings}. Pixels of the left are also the right. Letters: who annotates a class."
    write(draw, (_MARGIN, _MARGIN + 16), note, 12, FAINT)
    return picture


def _columns(graph: nx.DiGraph) -> list[list[str]]:
    """Names by column: an edge leads to a later column, or (equal classes, cycles) stays in its own.

    Broadest classes as far right as they go; within a column, beside what they are joined to.
    """
    import networkx as nx

    if not graph:
        return []
    parts = nx.condensation(graph)
    steps: dict[Any, int] = {}
    for part in reversed(list(nx.topological_sort(parts))):
        steps[part] = max((steps[after] + 1 for after in parts.successors(part)), default=0)
    last = max(steps.values())
    columns: list[list[str]] = [[] for _ in range(last + 1)]
    for part, step in steps.items():
        columns[last - step] += sorted(parts.nodes[part]["members"])
    # The last column by how many lead there, the others by the mean row of what they lead to, and the last one once
    # more, beside the middle of those. Equal classes stay together.
    part_of: dict[str, Any] = parts.graph["mapping"]
    incoming = {part: sum(graph.in_degree(n) for n in parts.nodes[part]["members"]) for part in parts}
    columns[-1].sort(key=lambda name: (-incoming[part_of[name]], part_of[name], name))
    for i in range(last - 1, -1, -1):
        rows = {name: row for column in columns[i + 1 :] for row, name in enumerate(column)}
        columns[i].sort(key=lambda name: (_mean([rows[n] for n in graph.successors(name) if n in rows]), name))
    if last:
        rows = {name: row for column in columns[:-1] for row, name in enumerate(column)}
        middle = {
            part: _mean(
                [rows[n] for name in parts.nodes[part]["members"] for n in graph.predecessors(name) if n in rows]
            )
            for part in parts
        }
        columns[-1].sort(key=lambda name: (middle[part_of[name]], part_of[name], name))
    return [column for column in columns if column]


def _rows(wanted: list[float], first: int, n_rows: int) -> list[int]:
    """Heights in px for boxes in this order, each near the one wanted (inf: anywhere), none over another."""
    lowest, heights = first, []
    for i, y in enumerate(wanted):
        highest = first + (n_rows - (len(wanted) - i)) * _ROW  # room for those that follow
        heights.append(int(min(max(lowest if math.isinf(y) else y, lowest), highest)))
        lowest = heights[-1] + _ROW
    return heights


def _mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else math.inf


def _strength(relations: Relations, facts: dict[str, Any]) -> float:
    """0..1."""
    if relations.rule == "paper":
        return float(min(1.0, max(0.0, (facts["score"] - facts["own_score"]) / 0.3)))
    return float(facts["score"])


def _curve(start: tuple[int, int, int], end: tuple[int, int, int]) -> list[tuple[float, float]]:
    """From the right side of one box to the left of another; of one column, bowed beside it."""
    x0, y0, y1 = start[1], start[2], end[2]
    if end[0] > start[0]:
        x1, bend = end[0] - 2, (end[0] - start[1]) * 0.5
        controls = ((x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1))
    else:
        x1, bow = end[1] + 2, 24 + abs(y1 - y0) * 0.25
        controls = ((x0, y0), (x0 + bow, y0), (x1 + bow, y1), (x1, y1))
    return [_bezier(controls, i / 40) for i in range(41)]


def _bezier(controls: tuple[tuple[float, float], ...], t: float) -> tuple[float, float]:
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    x, y = (sum(w * point[axis] for w, point in zip(weights, controls, strict=True)) for axis in (0, 1))
    return x, y


def _arrow(draw: Any, points: list[tuple[float, float]], color: Color) -> None:
    (x0, y0), (x1, y1) = points[-4], points[-1]
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    tips = [(x1, y1), (x1 - 8 * dx - 4 * dy, y1 - 8 * dy + 4 * dx), (x1 - 8 * dx + 4 * dy, y1 - 8 * dy - 4 * dx)]
    draw.polygon([(x * _SHARP, y * _SHARP) for x, y in tips], fill=color)


def _letters(sources: str) -> str:
    """ "cityscapes, idd" → "C I": the datasets' letters, else the names' first three."""
    from unify.sources import SOURCES

    names = [name for name in sources.split(", ") if name]
    return " ".join(SOURCES[name].letter if name in SOURCES else name[:3] for name in names)


def _width(name: str, sources: str) -> int:
    from PIL import ImageFont

    wide = ImageFont.load_default(_NAME).getlength(name) + ImageFont.load_default(_SMALL).getlength(_letters(sources))
    return math.ceil(wide) + 24 + 6 + 16
