"""Environments of Gymnasium, held to what they promise, and episodes in many at once, each by its seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import TextIOBase
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import genophen
from genophen_plugins.tasks.gymnasium_spaces import Spaces
from genophen_plugins.tasks.running_statistics import Sums, normalized
from genophen_plugins.tasks.time_limit import OverdueError, TimeLimit

#: Steps of an episode in an environment that sets no limit of its own.
HORIZON = 1000
#: Environments that take their steps together.
TOGETHER = 256


@dataclass(frozen=True)
class Kind:
    """Which environment, with what, and what it is held to."""

    name: str
    arguments: dict[str, Any]
    horizon: int
    step_seconds: float

    def make(self, limit: TimeLimit, render_mode: str | None = None) -> Guarded:
        """One environment; raises what gymnasium does where it cannot be made."""
        made = gymnasium.make(
            self.name,
            max_episode_steps=self.horizon,
            disable_env_checker=True,
            render_mode=render_mode,
            **self.arguments,
        )
        return Guarded(made, self, limit)


def look_at(options: Any) -> tuple[int, Spaces]:
    """Steps of an episode, and the spaces, of the environment that a task's options name.

    Raises:
        ConfigError: where there is no such environment, or one of another kind.
        PluginError: where its code raises, or wants a package that is not there.
    """
    name, attempted = options.environment, f"cannot make the environment {options.environment}"
    try:
        made = gymnasium.make(name, disable_env_checker=True, **options.arguments)
        own = made.spec.max_episode_steps if made.spec else None
        found = (options.horizon or own or HORIZON, made.observation_space, made.action_space)
        made.close()
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv, ModuleNotFoundError) as error:
        raise genophen.ConfigError(
            attempted,
            found=_words(error),
            allowed="an id that gymnasium.make takes; `python -c 'import gymnasium; "
            "gymnasium.pprint_registry()'` lists them",
        ) from None
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        said = f"it raised {type(error).__name__}: {_words(error)}"
        raise genophen.PluginError(attempted, found=said, next_step="--debug shows where") from error
    horizon, observations, actions = found
    return horizon, Spaces(name, observations, actions, options.actions)


class Guarded(gymnasium.Wrapper):
    """An environment whose faults are named, and which stays as it is once its episode is over."""

    def __init__(self, env: Any, kind: Kind, limit: TimeLimit) -> None:
        super().__init__(env)
        self._kind, self._limit, self._shape = kind, limit, env.observation_space.shape
        self._seed, self._last = 0, np.zeros(self._shape)
        #: Steps of the episode under way; whether it is over; whether it was the environment that ended it.
        self.steps, self.over, self.ended = 0, True, False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the episode of a seed; without one, stay idle."""
        self.steps, self.over, self.ended = 0, seed is None, False
        if seed is not None:
            self._seed = seed
            found = self._called(lambda: self.env.reset(seed=seed))
            self._last = self._seen(self._parts(found, 2)[0])
        return self._last, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.over:
            return self._last, 0.0, False, False, {}
        self.steps += 1
        found = self._called(lambda: self.env.step(action))
        seen, reward, terminated, truncated, _ = self._parts(found, 5)
        self._last, reward = self._seen(seen), self._rewarded(reward)
        self.ended = bool(terminated)
        self.over = self.ended or bool(truncated)
        # The vector is not told: it would want to begin anew.
        return self._last, reward, False, False, {}

    def _called(self, call: Callable[[], Any]) -> Any:
        self._limit.began = time.monotonic()
        try:
            return call()
        except OverdueError:
            seconds = f"{self._kind.step_seconds:g} s"
            raise self.fault(f"took more than {seconds}", "or raise step_seconds") from None
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # SystemExit and what is not an Exception among them
            raise self.fault(f"raised {type(error).__name__}: {_words(error)}".rstrip(": ")) from error
        finally:
            self._limit.began = None

    def _parts(self, found: Any, count: int) -> Any:
        if not isinstance(found, tuple) or len(found) != count:
            raise self.fault(f"returned {type(found).__name__}, not a tuple of {count}")
        return found

    def _seen(self, observation: Any) -> np.ndarray:
        try:
            seen = np.asarray(observation, np.float64)
        except (TypeError, ValueError):
            raise self.fault(f"gave an observation that is no vector: {observation!r:.60}") from None
        if seen.shape != self._shape:
            raise self.fault(f"gave an observation of shape {seen.shape}, not {self._shape}")
        if not np.isfinite(seen).all():
            raise self.fault(f"gave an observation that is not finite: {_listed(seen)}")
        return seen

    def _rewarded(self, reward: Any) -> float:
        try:
            value = float(reward)
        except (TypeError, ValueError):
            raise self.fault(f"gave a reward that is no number: {reward!r:.60}") from None
        if not math.isfinite(value):
            raise self.fault(f"gave a reward that is {value}")
        return value

    def fault(self, what: str, advice: str = "") -> genophen.PluginError:
        """The error about what the environment did just now."""
        doing = f"step {self.steps} of" if self.steps else "the reset for"
        mend = f"mend the environment{f' ({advice})' if advice else ''}"
        return genophen.PluginError(
            f"cannot go on in the environment {self._kind.name}",
            found=f"{doing} the episode with seed {self._seed} {what}",
            next_step=f"{mend}, then go on from the last checkpoint: genophen resume DIR",
        )


class Listener(TextIOBase):
    """In stdout's place: tells the first line of what an environment prints, and leaves out the rest."""

    def __init__(self, name: str, notify: Callable[[str], None]) -> None:
        self._name, self._notify = name, notify
        self._told = False

    def write(self, text: str) -> int:
        if not self._told and text.strip():
            self._told = True
            line = text.strip().splitlines()[0][:80]
            self._notify(f"the environment {self._name} prints, which is left out: {line!r}")
        return len(text)


@dataclass
class Outcomes:
    """How episodes went, in the order of their pairs: arrays (K,)."""

    steps: np.ndarray
    #: Whether the environment ended them, and not the number of steps.
    ended: np.ndarray
    returns: np.ndarray
    #: Of what was observed, where it was asked for.
    sums: list[Sums]


class Environments:
    """Episodes in environments of one kind, by pairs of a controller and a seed."""

    def __init__(self, kind: Kind, spaces: Spaces, listener: Listener) -> None:
        self._kind, self._spaces, self._listener = kind, spaces, listener
        self._limit = TimeLimit(kind.step_seconds)
        #: By the number of environments.
        self._vectors: dict[int, SyncVectorEnv] = {}

    def run(
        self,
        controllers: genophen.Controllers,
        rows: np.ndarray,
        seeds: Sequence[int],
        scale: tuple[np.ndarray, np.ndarray] | None,
        gather: bool = False,
    ) -> Outcomes:
        """The episodes of the controllers in these rows (K,) from these seeds (K,), to their ends.

        `scale`: mean and width (F,) of observations, which then are normalised; `gather`: note their sums.
        """
        parts = []
        with self._limit, redirect_stdout(self._listener), np.errstate(all="ignore"):
            for start in range(0, len(rows), TOGETHER):
                some = slice(start, start + TOGETHER)
                parts.append(self._together(controllers.some(rows[some]), seeds[some], scale, gather))
        return Outcomes(
            np.concatenate([part.steps for part in parts]),
            np.concatenate([part.ended for part in parts]),
            np.concatenate([part.returns for part in parts]),
            [each for part in parts for each in part.sums],
        )

    def _together(
        self,
        controllers: genophen.Controllers,
        seeds: Sequence[int],
        scale: tuple[np.ndarray, np.ndarray] | None,
        gather: bool,
    ) -> Outcomes:
        """All these episodes, step by step, each controller in its own."""
        vector = self._vector(len(seeds))
        guards: Sequence[Any] = vector.envs
        observations, _ = vector.reset(seed=list(seeds))
        returns, memory = np.zeros(len(seeds)), None
        middle = np.zeros(observations.shape[1]) if scale is None else scale[0]
        first, second = np.zeros(observations.shape), np.zeros(observations.shape)
        alive = np.ones(len(seeds), bool)
        while alive.any():
            seen = observations.astype(np.float64)  # (K, F)
            if gather:
                away = np.where(alive[:, None], seen - middle, 0.0)
                first, second = first + away, second + away * away
            if scale is not None:
                seen = normalized(seen, *scale)
            outputs, memory = controllers(seen[:, None], memory, genophen.ARRAYS)  # (K, 1, A)
            observations, rewards, *_ = vector.step(self._spaces.actions(outputs[:, 0]))
            returns = returns + rewards
            alive = np.array([not each.over for each in guards])
        steps = np.array([each.steps for each in guards])
        sums = [Sums(int(n), a, b) for n, a, b in zip(steps, first, second, strict=True)] if gather else []
        return Outcomes(steps, np.array([each.ended for each in guards]), returns, sums)

    def _vector(self, count: int) -> SyncVectorEnv:
        if count not in self._vectors:
            if len(self._vectors) >= 4:
                self._vectors.pop(next(iter(self._vectors))).close()
            make = [lambda: self._kind.make(self._limit)] * count
            self._vectors[count] = SyncVectorEnv(make, copy=False, autoreset_mode=AutoresetMode.DISABLED)
        return self._vectors[count]


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values.flat[:8])
