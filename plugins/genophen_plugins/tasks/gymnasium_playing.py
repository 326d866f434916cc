"""One episode in an environment of Gymnasium, to be looked at."""

from __future__ import annotations

import os
from contextlib import redirect_stdout, suppress
from typing import Any

import numpy as np

import genophen
from genophen_plugins.tasks.gymnasium_environments import Guarded, Kind, Listener
from genophen_plugins.tasks.gymnasium_spaces import Spaces
from genophen_plugins.tasks.running_statistics import normalized
from genophen_plugins.tasks.time_limit import TimeLimit

#: Images of an episode, and how wide they may be: the file holds each of them.
MOST_IMAGES, WIDEST = 120, 300
#: Frames a second of an environment that does not say.
RATE = 30


def play(
    kind: Kind,
    spaces: Spaces,
    controllers: genophen.Controllers,
    seed: int,
    scale: tuple[np.ndarray, np.ndarray] | None,
) -> genophen.Playback:
    """The episode from a seed, in the environment's own images, or as bars of what is observed."""
    limit, memory, frames, every = TimeLimit(kind.step_seconds), None, [], 1
    returned = 0.0
    with limit, redirect_stdout(Listener(kind.name, lambda note: None)), np.errstate(all="ignore"):
        env, images = _made(kind, limit)
        seen, _ = env.reset(seed=seed)
        while True:
            if env.steps % every == 0 or env.over:
                frames.append(_image(env) if images else seen)
            if len(frames) > 2 * MOST_IMAGES:
                frames, every = frames[::2], 2 * every
            if env.over:
                break
            x = seen if scale is None else normalized(seen, *scale)
            outputs, memory = controllers(x[None, None], memory, genophen.ARRAYS)
            seen, reward, *_ = env.step(spaces.actions(outputs[:, 0])[0])
            returned += reward
        env.close()
    return genophen.Playback(
        frames=frames if images else _bars(np.array(frames)),
        view=(0.0, -1.1, 1.0, 1.1),
        seconds=every / float(env.metadata.get("render_fps") or RATE),
        steps=env.steps,
        returned=returned,
        failed=env.ended,
        words=f"{kind.name}{'' if images else ': a bar for each number that is observed'}",
    )


def _made(kind: Kind, limit: TimeLimit) -> tuple[Guarded, bool]:
    """An environment, and whether it gives images."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame's: there may be no screen
    with suppress(Exception):  # a package for drawing may be absent, or the environment draw nothing
        env = kind.make(limit, render_mode="rgb_array")
        env.reset(seed=0)
        image: Any = env.render()
        if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3:
            return env, True
    return kind.make(limit), False


def _image(env: Guarded) -> np.ndarray:
    """The frame as it is now, uint8 (H, W, 3), with fewer pixels where it is wide."""
    image: Any = env.render()
    step = -(-image.shape[1] // WIDEST)
    return np.ascontiguousarray(image[::step, ::step].astype(np.uint8))


def _bars(seen: np.ndarray) -> list[tuple[genophen.Line, ...]]:
    """Observations (T, F) as lines, each number by its largest size in the episode."""
    sizes = np.abs(seen).max(0)
    shares = seen / np.where(sizes > 0, sizes, 1.0)
    part = 1 / seen.shape[1]
    return [
        tuple(
            genophen.Line((i + 0.5) * part, 0.0, (i + 0.5) * part, float(share), part / 2, i + 1)
            for i, share in enumerate(row)
        )
        for row in shares
    ]
