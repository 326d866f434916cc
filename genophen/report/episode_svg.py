"""An episode as an animated picture, a file that loads nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from genophen.contracts.playback import Line, Playback
from genophen.errors import one_line
from genophen.report.images import png

#: Colours that people with any colour vision tell apart (Okabe & Ito 2002); the first is that of text.
COLOURS = ("currentColor", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_WIDTH = 600


def draw_episode(playback: Playback) -> Markup:
    """The episode again and again; the last frame stays for a second."""
    if playback.of_images:
        return _of_images(playback)
    left, bottom, right, top = playback.view
    scale = _WIDTH / (right - left)
    lines = zip(*playback.frames, strict=True)
    parts = [_line([_placed(each, left, top, scale) for each in line], playback) for line in lines]
    return _picture(_WIDTH, round(scale * (top - bottom)), parts, playback)


def standalone_episode(playback: Playback) -> str:
    """The same as a file of its own."""
    opening, content = str(draw_episode(playback)).split(">", 1)
    style = 'xmlns="http://www.w3.org/2000/svg" style="color: #333; background: #fff"'
    return f"{opening.replace('<svg', f'<svg {style}')}>{content}\n"


def _placed(line: Line, left: float, top: float, scale: float) -> Line:
    return Line(
        scale * (line.x1 - left),
        scale * (top - line.y1),
        scale * (line.x2 - left),
        scale * (top - line.y2),
        scale * line.width,
        line.colour,
    )


def _line(frames: Sequence[Line], playback: Playback) -> Markup:
    """One line through all frames."""
    first = frames[0]
    attributes = Markup(" ").join(
        Markup('{}="{:.1f}"').format(Markup(name), value)
        for name, value in zip(("x1", "y1", "x2", "y2", "stroke-width"), first[:5], strict=True)
    )
    animations = []
    for index, name in enumerate(("x1", "y1", "x2", "y2")):
        values = [f"{frame[index]:.1f}" for frame in frames]
        if len(set(values)) > 1:
            animations.append(_animation(name, values, playback))
    colour = COLOURS[first.colour % len(COLOURS)]
    return Markup('<line {} stroke="{}">{}</line>').format(
        attributes, Markup(colour), Markup("").join(animations)
    )


def _of_images(playback: Playback) -> Markup:
    """Images one above the other, of which one is seen at a time."""
    images = [np.asarray(frame) for frame in playback.frames]
    height, width = images[0].shape[:2]
    parts = []
    for index, image in enumerate(images):
        seen = ["visible" if index == other else "hidden" for other in range(len(images))]
        animation = _animation("visibility", seen, playback, "discrete") if len(images) > 1 else Markup()
        parts.append(
            Markup('<image href="{}" width="{}" height="{}" visibility="{}">{}</image>').format(
                Markup(png(image)), width, height, seen[0], animation
            )
        )
    return _picture(width, height, parts, playback)


def _animation(name: str, values: Sequence[str], playback: Playback, mode: str = "linear") -> Markup:
    """An attribute's values, frame by frame, of which the last stays for a second."""
    stay = max(1, round(1 / playback.seconds))
    every = [*values, *[values[-1]] * stay]
    seconds = playback.seconds * (len(every) - 1)
    times = Markup()
    if mode == "discrete":  # a value stays until the next one: only changes are written
        changes = [i for i, value in enumerate(every) if i == 0 or value != every[i - 1]]
        times = Markup(' keyTimes="{}"').format(";".join(f"{i / len(every):.5f}" for i in changes))
        every = [every[i] for i in changes]
    return Markup(
        '<animate attributeName="{}" values="{}"{} calcMode="{}" dur="{:.2f}s" repeatCount="indefinite"/>'
    ).format(Markup(name), ";".join(every), times, Markup(mode), seconds)


def _picture(width: int, height: int, parts: Sequence[Markup], playback: Playback) -> Markup:
    words = one_line(f"{playback.words}: {described(playback)}")
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(width, height, words)
    return opening + Markup("").join(parts) + Markup("</svg>")


def described(playback: Playback) -> str:
    """How the episode went, in words."""
    end = "then it is over" if playback.failed else "and goes on"
    return f"{playback.steps:,} steps, {end}; return {playback.returned:.6g}"
