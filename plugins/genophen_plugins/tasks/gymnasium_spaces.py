"""What a controller sees of an environment, and how what it gives becomes an action."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

import genophen


class Spaces:
    """Of environments with a vector of observations, and discrete or continuous actions."""

    def __init__(self, name: str, observations: Any, actions: Any, bounds: Literal["tanh", "clip"]) -> None:
        """The spaces of the environment called `name`, as gymnasium has them.

        Raises:
            ConfigError: for spaces of other kinds.
        """
        from gymnasium.spaces import Box, Discrete

        attempted = f"cannot use the environment {name}"
        if not isinstance(observations, Box) or len(observations.shape) != 1 or not observations.shape[0]:
            raise genophen.ConfigError(
                attempted,
                found=f"its observations are {_short(observations)}",
                allowed="a vector of numbers: a Box with one axis",
                next_step="register it in a wrapper, such as gymnasium's FlattenObservation",
            )
        self.observations = observations.shape[0]
        self._start: int | None = None
        if isinstance(actions, Discrete):
            self.outputs, self._start = int(actions.n), int(actions.start)
            return
        if not isinstance(actions, Box) or not actions.shape:
            raise genophen.ConfigError(
                attempted, found=f"its actions are {_short(actions)}", allowed="a Discrete space, or a Box"
            )
        if bounds == "tanh" and not actions.is_bounded():
            raise genophen.ConfigError(
                attempted,
                found=f"its actions have no bounds: {_short(actions)}",
                allowed="bounds that tanh can be scaled to",
                next_step="--set 'task.gymnasium.actions=\"clip\"' takes what the controller gives",
            )
        self._bounds, self._low, self._high = bounds, actions.low, actions.high
        self._shape, self._dtype = actions.shape, actions.dtype
        self.outputs = int(np.prod(actions.shape))

    def actions(self, outputs: np.ndarray) -> np.ndarray:
        """Actions for what controllers gave, (K, outputs): the largest output's, or within the bounds.

        What is no number counts as the least: a candidate may compute anything.
        """
        if self._start is not None:
            known = np.where(np.isnan(outputs), -np.inf, outputs)
            return known.argmax(1) + self._start
        given = np.nan_to_num(outputs, posinf=np.inf, neginf=-np.inf).reshape(-1, *self._shape)
        if self._bounds == "tanh":
            given = self._low + (self._high - self._low) * (np.tanh(given) + 1) / 2
        largest = np.finfo(np.float32).max
        clipped: np.ndarray = np.clip(np.clip(given, -largest, largest), self._low, self._high)
        return clipped.astype(self._dtype)


def _short(space: Any) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
