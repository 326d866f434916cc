"""Charts as SVG: inside a page its style sheet gives the colours, so that they fit a light and a dark one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from markupsafe import Markup, escape

from genophen.errors import one_line
from genophen.report.axes import Axis

#: Number of colours, and of line styles, in the style sheet.
COLOURS = 8
#: Width of a letter, in SVG units.
LETTER_WIDTH = 7.0
#: Above what a chart draws: the name of its upward axis needs so much.
_ROOM_FOR_LABEL = 24
#: Longest name that a chart has room for.
_LONGEST = 28


@dataclass(frozen=True)
class Frame:
    """Size of a chart and of the margins around what it draws, in SVG units."""

    width: int = 440
    height: int = 290
    left: int = 56
    right: int = 12
    top: int = 12
    bottom: int = 46

    @property
    def plot_width(self) -> int:
        return self.width - self.left - self.right

    @property
    def plot_height(self) -> int:
        return self.height - self.top - self.bottom


class Chart:
    """Points and lines between two axes; `render` makes the picture."""

    def __init__(self, x: Axis, y: Axis, frame: Frame = Frame()) -> None:
        self.x, self.y, self.frame = x, y, frame
        self.parts: list[Markup] = []

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies in the picture."""
        frame = self.frame
        return (
            frame.left + frame.plot_width * self.x.place(x),
            frame.top + frame.plot_height * (1 - self.y.place(y)),
        )

    def line(self, points: Iterable[tuple[float, float]], style: str, title: str = "") -> None:
        """A line through the points; those below the axis are left out."""
        places = [self.at(x, y) for x, y in points if y >= self.y.low]
        if len(places) == 1:
            x, y = places[0]
            self.parts.append(element("circle", {"cx": x, "cy": y, "r": 2.5, "class": style}, title))
        elif places:
            drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            self.parts.append(element("polyline", {"points": drawn, "class": style}, title))

    def mark(self, x: float, y: float, shape: str, style: str, title: str = "") -> None:
        """A mark, one of MARKS, at a point."""
        left, top = self.at(x, y)
        place = f"translate({left:.1f} {top:.1f})"
        self.parts.append(element("path", {"d": MARKS[shape], "transform": place, "class": style}, title))

    def write(self, left: float, baseline: float, text: str) -> None:
        """A name at a place in the picture."""
        attributes = {"x": left, "y": baseline, "class": "name"}
        self.parts.append(element("text", attributes, content=shortened(text)))

    def explain(self, kinds: Sequence[tuple[str, str, str]]) -> None:
        """What marks stand for, shape, style and words each, in a line above the upper right corner."""
        left = float(self.frame.width - self.frame.right)
        for shape, style, words in reversed(kinds):
            left -= LETTER_WIDTH * len(words)
            self.parts.append(element("text", {"x": left, "y": 14}, content=words))
            place = f"translate({left - 8:.1f} 10)"
            attributes = {"d": MARKS[shape], "transform": place, "class": f"mark {style}"}
            self.parts.append(element("path", attributes))
            left -= 22

    def render(self, description: str) -> Markup:
        """The picture; `description` is what is read to those who do not see it."""
        return picture(self.frame.width, self.frame.height, [self._axes(), *self.parts], description)

    def _axes(self) -> Markup:
        frame, parts = self.frame, []
        bottom, right = frame.height - frame.bottom, frame.width - frame.right
        for place, text in self.x.ticks():
            x = frame.left + frame.plot_width * place
            parts.append(element("line", {"x1": x, "x2": x, "y1": frame.top, "y2": bottom, "class": "grid"}))
            attributes = {"x": x, "y": bottom + 17, "text-anchor": "middle"}
            parts.append(element("text", attributes, content=text))
        for place, text in self.y.ticks():
            y = frame.top + frame.plot_height * (1 - place)
            parts.append(element("line", {"x1": frame.left, "x2": right, "y1": y, "y2": y, "class": "grid"}))
            parts.append(
                element("text", {"x": frame.left - 6, "y": y + 4, "text-anchor": "end"}, content=text)
            )
        middle = frame.left + frame.plot_width / 2
        attributes = {"x": middle, "y": frame.height - 8, "text-anchor": "middle", "class": "axis"}
        parts.append(element("text", attributes, content=self.x.label))
        if frame.top >= _ROOM_FOR_LABEL:
            parts.append(element("text", {"x": 4, "y": 14, "class": "axis"}, content=self.y.label))
        return Markup("").join(parts)


#: Shapes of marks, around the point (0, 0).
MARKS = {
    "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "square": "M-3.6-3.6h7.2v7.2h-7.2z",
    "diamond": "M0-5L5 0L0 5L-5 0z",
    "triangle": "M0-5L4.6 3.6H-4.6z",
    "wedge": "M0 5L4.6-3.6H-4.6z",
    "plus": "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
    "cross": "M-4-4L4 4M4-4L-4 4",
}
#: Those that are filled, to tell kinds of points apart.
FILLED = [shape for shape in MARKS if shape != "cross"]


def picture(width: float, height: float, parts: Sequence[Markup], description: str) -> Markup:
    """Parts as one picture with a text alternative."""
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        _shown(width), _shown(height), one_line(description)
    )
    return opening + Markup("").join(parts) + Markup("</svg>")


def standalone(chart: Markup) -> str:
    """A picture as a file of its own, in the colours of a light page, which drawing programs understand."""
    styles = resources.files("genophen.report").joinpath("templates/charts.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"--([\w-]+): ([^;]+);", styles.partition("@media")[0]))
    rules = "svg { background: var(--page); }\n" + styles[styles.index("svg text") :]
    resolved = re.sub(r"var\(--([\w-]+)\)", lambda found: light[found[1]], rules)
    opening, content = str(chart).split(">", 1)
    opening = opening.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"')
    return f"{opening}><style>\n{resolved}</style>{content}\n"


def key(shape: str, style: str) -> Markup:
    """A mark by itself, for a legend, which says in words what it stands for."""
    return Markup(
        '<svg class="key" viewBox="-6 -6 12 12" aria-hidden="true"><path d="{}" class="mark {}"/></svg>'
    ).format(MARKS[shape], style)


def shortened(text: str) -> str:
    """A name as a chart has room for it."""
    shown = one_line(text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def colour(index: int) -> str:
    """The class that gives the colour of the series of that number."""
    return f"c{index % COLOURS}"


def element(tag: str, attributes: Mapping[str, object], title: str = "", content: str = "") -> Markup:
    """One element; `title` is shown where the pointer rests on it."""
    written = Markup("").join(
        Markup(' {}="{}"').format(Markup(name), _shown(value)) for name, value in attributes.items()
    )
    inside = Markup("<title>{}</title>").format(one_line(title)) if title else escape(one_line(content))
    return Markup("<{}{}>{}</{}>").format(Markup(tag), written, inside, Markup(tag))


def _shown(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
