"""Small environments of Gymnasium: one that works, and the same with faults that can be switched on."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete


class Walk(gymnasium.Env):
    """A point on a line is to be brought to zero and stay there; outside of [-2, 2] the episode ends.

    `fault` happens in every episode's third step as long as the file `switch` is there, if that is named.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        fault: str = "",
        switch: str = "",
        pause: float = 0.0,
        discrete: bool = False,
        render_mode: str | None = None,
    ) -> None:
        """`pause`: seconds that a step takes."""
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = Discrete(3, start=-1) if discrete else Box(-0.5, 1.0, (1,), np.float32)
        self.fault, self.switch, self.pause, self.render_mode = fault, switch, pause, render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(-1, 1)), 0
        return self.seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        time.sleep(self.pause)
        self.place += 0.5 * float(np.asarray(action).item()) + float(self.np_random.normal(0, 0.05))
        found = self.seen(), -abs(self.place), abs(self.place) > 2, False, {}
        if self.steps == 3 and self.fault and (not self.switch or Path(self.switch).exists()):
            return self.faulty(*found)
        return found

    def faulty(self, seen: Any, reward: float, *rest: Any) -> Any:
        if self.fault == "raise":
            raise ValueError("the wheel\ncame off")
        if self.fault == "exit":
            sys.exit(3)
        if self.fault == "hang":
            try:
                time.sleep(30)
            except Exception:
                time.sleep(30)
        if self.fault == "spin":
            until = time.monotonic() + 30
            while time.monotonic() < until:
                pass
        if self.fault == "print":
            print("a message\nand another one")
        seen = {"nan": seen * np.nan, "shape": seen[:1], "words": "left"}.get(self.fault, seen)
        reward = float("inf") if self.fault == "reward" else reward
        return (seen, reward) if self.fault == "short" else (seen, reward, *rest)

    def seen(self) -> np.ndarray:
        return np.array([self.place, 100.0 + 10.0 * self.steps])

    def render(self) -> np.ndarray:
        image = np.zeros((20, 700, 3), np.uint8)
        image[:, int(np.clip(175 * (self.place + 2), 0, 699))] = 255
        return image


class Pictures(Walk):
    """One whose observations are images."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.observation_space = Box(0, 255, (8, 8, 3), np.uint8)


gymnasium.register("Walk-v0", entry_point=Walk, max_episode_steps=12)
gymnasium.register("Endless-v0", entry_point=Walk)
gymnasium.register("Pictures-v0", entry_point=Pictures)
