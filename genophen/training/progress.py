"""Where a run stands between two steps, as checkpoints keep it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from genophen.contracts.optimizer import Metrics
from genophen.contracts.task import Scores
from genophen.phenotype.phenotype import Phenotype
from genophen.storage.reading import checked


class _LastMetrics(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    train_loss: float
    learning_rate: float | None
    extras: dict[str, float]


class _SavedScores(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    value: float
    loss: float | None
    extras: dict[str, float]


class _Saved(BaseModel):
    """What `Progress.state_dict` gives, as it is read back."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True)

    end: Annotated[list[str], Field(min_length=2, max_length=2)] | None
    round: int = Field(ge=-1)
    losses: Tensor
    last: _LastMetrics | None
    best_round: int = Field(ge=-1)
    best: _SavedScores | Annotated[list[float], Field(min_length=2, max_length=2)]
    best_tensors: dict[str, Tensor]
    seconds: float = Field(ge=0, allow_inf_nan=False)
    round_seconds: float = Field(ge=0, allow_inf_nan=False)


@dataclass
class Progress:
    """Rounds and steps done, the best round so far, and the clock."""

    #: How the run ended; empty while it goes on.
    status: str = ""
    #: Why it ended, where that is not simply that all rounds are done.
    stop_reason: str = ""
    signal: int = 0
    #: Rounds that are done and validated; -1 before round 0, which validates the start.
    round: int = -1
    #: Losses of the steps of the round under way, and what its last step reported.
    losses: list[float | Tensor] = field(default_factory=list)
    last: Metrics | None = None
    best_round: int = -1
    best: Scores = field(default_factory=lambda: Scores(-math.inf))
    #: The phenotype's state in the best round, on the CPU.
    best_tensors: dict[str, Tensor] = field(default_factory=dict)
    #: When the run and the round began, on `time.monotonic()`; earlier sittings count.
    started: float = field(default_factory=time.monotonic)
    round_started: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        """The name of a checkpoint made now: no two states of one run share it."""
        return f"round-{self.round:05}-step-{len(self.losses):05}"

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken so far."""
        return time.monotonic() - self.started

    def stop(self, status: str, reason: str) -> None:
        self.status, self.stop_reason = status, reason

    def begin_round(self) -> None:
        self.losses, self.last, self.round_started = [], None, time.monotonic()

    @property
    def best_score(self) -> float | None:
        """The validation score of the best round; None before there is one."""
        return self.best.value if self.best_round >= 0 else None

    def note_best(self, validation: Scores, phenotype: Phenotype, *, always: bool = False) -> bool:
        """Keep the weights if no round was better: a higher score, or the same with a lower loss.

        `always`: keep them in any case, since the last are the ones that are wanted.
        """
        if not always and _ordered_by(validation) <= _ordered_by(self.best):
            return False
        self.best, self.best_round = validation, self.round
        state = phenotype.state_dict()
        self.best_tensors = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        return True

    def state_dict(self) -> dict[str, Any]:
        # An interruption is over once the run is resumed; that all rounds are done shows in their number,
        # and may have changed by then.
        over = self.stop_reason and self.status != "interrupted"
        return {
            "end": [self.status, self.stop_reason] if over else None,
            "round": self.round,
            "losses": torch.tensor([float(loss) for loss in self.losses], dtype=torch.float64),
            "last": self._last_metrics(),
            "best_round": self.best_round,
            "best": {"value": self.best.value, "loss": self.best.loss, "extras": dict(self.best.extras)},
            "best_tensors": self.best_tensors,
            "seconds": self.seconds,
            "round_seconds": time.monotonic() - self.round_started,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        checked(_Saved, state)
        self.status, self.stop_reason = state["end"] or ("", "")
        self.round, self.losses = state["round"], state["losses"].reshape(-1).tolist()
        self.last = Metrics(**state["last"]) if state["last"] else None
        self.best_round, self.best = state["best_round"], _scores(state["best"])
        self.best_tensors = state["best_tensors"]
        now = time.monotonic()
        self.started, self.round_started = now - state["seconds"], now - state["round_seconds"]

    def _last_metrics(self) -> dict[str, Any] | None:
        if self.last is None:
            return None
        learning_rate = self.last.learning_rate
        return {
            "train_loss": float(self.last.train_loss),
            "learning_rate": None if learning_rate is None else float(learning_rate),
            "extras": {name: float(value) for name, value in self.last.extras.items()},
        }


def _ordered_by(scores: Scores) -> tuple[float, float]:
    """What the better scores have more of: the value, and where that is equal, the lower loss."""
    return scores.value, -math.inf if scores.loss is None else -scores.loss


def _scores(saved: Mapping[str, Any] | list[float]) -> Scores:
    """The scores in a checkpoint; before there were tasks, these were a loss and an accuracy."""
    return Scores(saved[1], saved[0]) if isinstance(saved, list) else Scores(**saved)


def not_finite(phenotype: Phenotype, losses: list[float | Tensor]) -> str:
    """Which of the losses, weights and gradients have left the finite numbers; empty where none has."""
    for step, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            return f"the training loss is {float(loss)} at step {step} of the round"
    for name, parameter in phenotype.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return f"the weights {name} are not finite"
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            return f"the gradients of {name} are not finite"
    return ""
