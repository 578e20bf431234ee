"""The picture of the architecture: drawn from the table of imports that `tests/test_architecture.py` holds."""

import ast
import textwrap
from html import escape

from docs.hooks.reference import ROOT
from tests.test_architecture import LIBRARIES, SPINE

WIDTH, MARGIN, GAP, PADDING, LINE = 760, 8, 10, 10, 16
COLOURS = {"torch": "#e4572e", "ray": "#028cf0", "optuna": "#5b8e23", "mlflow": "#0194a0"}
NAMES = {"torch": "torch", "ray": "Ray", "optuna": "Optuna", "mlflow": "MLflow"}


def draw() -> str:
    """The rooms from the top down as SVG; a room imports only rooms in the rows below its own."""
    shapes, y = [], MARGIN
    for line in SPINE:
        rooms = line.split()
        width = (WIDTH - 2 * MARGIN - GAP * (len(rooms) - 1)) / len(rooms)
        texts = {room: textwrap.wrap(describe(room), int((width - 2 * PADDING) / 6.6)) for room in rooms}
        height = 2 * PADDING + LINE * (1 + max(map(len, texts.values())))
        for number, room in enumerate(rooms):
            shapes.append(_room(room, texts[room], MARGIN + number * (width + GAP), y, width, height))
        y += height + GAP
    return (
        f'<div class="architecture"><svg viewBox="0 0 {WIDTH} {y}" role="img" aria-label="The packages of dmt_ray in '
        f'layers, from searches and ablations down to losses" font-size="12.5" fill="currentColor">'
        f"{''.join(shapes)}</svg></div>"
    )


def _room(room: str, text: list[str], x: float, y: float, width: float, height: float) -> str:
    lines = "".join(
        f'<text x="{x + PADDING:.0f}" y="{y + PADDING + LINE * row + 11:.0f}" opacity="0.8">{escape(line)}</text>'
        for row, line in enumerate(text, start=1)
    )
    return (
        f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{height}" rx="5" fill="currentColor" '
        f'fill-opacity="0.05" stroke="currentColor" stroke-opacity="0.35"/>'
        f'<text x="{x + PADDING:.0f}" y="{y + PADDING + 11}" font-weight="bold">{room}</text>'
        f"{_libraries(room, x + width, y)}{lines}"
    )


def _libraries(room: str, right: float, y: float) -> str:
    """A label for each library that only this room and few others may import."""
    labels, x = [], right - PADDING
    for library, users in reversed(LIBRARIES.items()):
        if room in users.split():
            labels.append(
                f'<text x="{x:.0f}" y="{y + PADDING + 11}" text-anchor="end" font-weight="bold" '
                f'fill="{COLOURS[library]}">{NAMES[library]}</text>'
            )
            x -= 8 * len(NAMES[library]) + 10
    return "".join(labels)


def describe(room: str) -> str:
    """The first sentence of a package's docstring."""
    path = ROOT / ("" if room in ("searches", "ablations") else "dmt_ray") / room / "__init__.py"
    if not path.exists():
        return "one search per script"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].replace("`", "").split())
