"""Gradient descent: Adam, AdamW and SGD, with learning-rate schedules and gradient clipping."""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

import genophen

Schedule = Literal["one-cycle", "cosine", "decay", "constant"]


class GradientOptions(genophen.Options):
    learning_rate: float = Field(0.004, gt=0, description="highest learning rate")
    schedule: Schedule = Field(
        "one-cycle",
        description="'one-cycle': up over the first part of all steps, then down to nothing; 'cosine': "
        "down to nothing over all steps; 'decay': times `decay` at every step; 'constant'",
    )
    decay: float = Field(0.999, gt=0, le=1, description="factor of the schedule 'decay'")
    warmup_fraction: float = Field(
        0.25, ge=0, lt=1, description="share of the steps in which 'one-cycle' rises"
    )
    clip_norm: float = Field(0.0, ge=0, description="largest norm of all gradients together; 0: no clipping")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    warm_start: genophen.PathOption | None = Field(
        None,
        description="run directory whose best weights to start from: same architecture and genotype; a graph "
        "that grew there is taken over as it is",
    )


class AdamOptions(GradientOptions):
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the mean of gradients")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the mean of squared gradients")
    epsilon: float = Field(1e-8, gt=0, description="added to the root of the squared gradients")


class AdamWOptions(AdamOptions):
    weight_decay: float = Field(
        0.01, ge=0, description="decoupled decay, on tensors of two and more dimensions alone"
    )


class SGDOptions(GradientOptions):
    learning_rate: float = Field(0.02, gt=0, description="highest learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last update kept (Nesterov's)")
    weight_decay: float = Field(
        0.0, ge=0, description="penalty on the squares, on tensors of two and more dimensions alone"
    )


def schedule_factor(options: GradientOptions, step: int, total_steps: int) -> float:
    """The learning rate of a step, from 0, as a share of the highest."""
    if options.schedule == "decay":
        return options.decay**step
    if options.schedule == "constant":
        return 1.0
    progress = min(step / total_steps, 1.0)
    if options.schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    # Smith & Topin 2017; the cosine form and both end points (1/25 and 1/250,000) are torch's OneCycleLR.
    rise = options.warmup_fraction
    if progress < rise:
        low, high, part = 1 / 25, 1.0, progress / rise
    else:
        low, high, part = 1.0, 1 / 250_000, (progress - rise) / (1 - rise)
    return low + (high - low) * (1 - math.cos(math.pi * part)) / 2


class GradientDescent(genophen.Optimizer):
    """The task's loss on one minibatch a step; a round is as many as the task says."""

    needs_gradients = True
    options: GradientOptions

    @abstractmethod
    def make(self, parameters: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The torch optimizer over parameter groups."""

    def check(self, context: genophen.Context) -> None:
        if self.options.label_smoothing:
            context.task.smooth_labels(self.options.label_smoothing)
        if self.options.warm_start is not None:
            genophen.load_weights(context.phenotype, Path(self.options.warm_start))

    def setup(self, context: genophen.Context) -> None:
        self._context = context
        self._parameters = [p for p in context.phenotype.parameters() if p.requires_grad]
        self._torch_optimizer = self.make(
            _groups(self._parameters, getattr(self.options, "weight_decay", 0.0))
        )
        self._step, self._warm = 0, self.options.warm_start is None
        self.steps_per_round = context.task.steps_per_round
        if self.options.label_smoothing:
            context.task.smooth_labels(self.options.label_smoothing)
        self._total_steps = self.steps_per_round * context.total_rounds
        self.needs_all_rounds = self.options.schedule in ("one-cycle", "cosine")

    def step(self) -> genophen.Metrics:
        self._start()
        learning_rate = self.options.learning_rate * schedule_factor(
            self.options, self._step, self._total_steps
        )
        for group in self._torch_optimizer.param_groups:
            group["lr"] = learning_rate
        task = self._context.task
        loss = task.loss(self._context.phenotype, task.draw())
        self._torch_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.options.clip_norm:
            nn.utils.clip_grad_norm_(self._parameters, self.options.clip_norm)
        self._torch_optimizer.step()
        self._step += 1
        return genophen.Metrics(train_loss=loss.detach(), learning_rate=learning_rate)

    def finish_round(self) -> None:
        self._start()

    def state_dict(self) -> dict[str, Any]:
        self._start()
        return {"step": self._step, "optimizer": self._torch_optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        step, saved = state["step"], state["optimizer"]["state"]
        if type(step) is not int or not 0 <= step < 2**53:
            raise ValueError(f"the step is {step!r}")
        expected = self._layout_after_a_step()
        for index, values in saved.items():
            # torch checks none of this, and its fused kernels would leave the memory of a smaller tensor.
            if _layout(values) != expected[index]:
                raise ValueError(f"parameter {index} has {_layout(values)}, not {expected[index]}")
        self._step, self._warm = step, True
        # The groups are those of the settings, which are the same as then.
        self._torch_optimizer.load_state_dict({**self._torch_optimizer.state_dict(), "state": saved})

    def _layout_after_a_step(self) -> dict[int, Any]:
        """What torch's optimizer keeps of each parameter, once all have had a gradient."""
        twins = [nn.Parameter(torch.zeros_like(parameter)) for parameter in self._parameters]
        for twin in twins:
            twin.grad = torch.zeros_like(twin)
        optimizer = self.make(_groups(twins, 0.0))
        optimizer.step()
        return {index: _layout(values) for index, values in optimizer.state_dict()["state"].items()}

    def _start(self) -> None:
        """Load the warm start; not in `setup`, since a resumed run needs its files no more."""
        if not self._warm:
            genophen.load_weights(self._context.phenotype, Path(str(self.options.warm_start)))
            self._warm = True


def _layout(values: dict[str, Any]) -> dict[str, Any]:
    """Shape and type of each tensor that is kept of one parameter; the type alone of what is none."""
    return {
        name: (tuple(value.shape), value.dtype) if isinstance(value, torch.Tensor) else type(value)
        for name, value in values.items()
    }


def _groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices and kernels, which decay, and biases and the like, which do not."""
    decayed = [p for p in parameters if p.dim() >= 2]
    others = [p for p in parameters if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


class Adam(GradientDescent):
    name = "adam"
    description = "Adam (Kingma & Ba 2014)"
    Options: ClassVar[type[genophen.Options]] = AdamOptions
    options: AdamOptions

    def make(self, parameters: list[dict[str, Any]]) -> torch.optim.Optimizer:
        betas = (self.options.beta1, self.options.beta2)
        return torch.optim.Adam(
            parameters, self.options.learning_rate, betas, self.options.epsilon, fused=True
        )


class AdamW(GradientDescent):
    name = "adamw"
    description = "Adam with decoupled weight decay (Loshchilov & Hutter 2017)"
    Options: ClassVar[type[genophen.Options]] = AdamWOptions
    options: AdamWOptions

    def make(self, parameters: list[dict[str, Any]]) -> torch.optim.Optimizer:
        betas = (self.options.beta1, self.options.beta2)
        return torch.optim.AdamW(
            parameters, self.options.learning_rate, betas, self.options.epsilon, fused=True
        )


class SGD(GradientDescent):
    name = "sgd"
    description = "stochastic gradient descent with Nesterov momentum"
    Options: ClassVar[type[genophen.Options]] = SGDOptions
    options: SGDOptions

    def make(self, parameters: list[dict[str, Any]]) -> torch.optim.Optimizer:
        momentum = self.options.momentum
        return torch.optim.SGD(
            parameters, self.options.learning_rate, momentum, nesterov=momentum > 0, fused=True
        )


@genophen.hookimpl
def register_optimizers(register):  # type: ignore[no-untyped-def]
    for cls in (Adam, AdamW, SGD):
        register(cls)
