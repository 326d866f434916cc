"""A plugin file whose optimizer does in its fifth step what no step should do."""

import os
import signal
import sys
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

import genophen


class Mine(BaseException):
    pass


def end_at_once(number, frame):
    sys.exit(number)


class OddStep(genophen.Optimizer):
    name = "odd-step"
    description = "trains nothing"

    class Options(genophen.Options):
        act: Literal[
            "none", "interrupt", "generator-exit", "own", "memory", "allocator", "handler", "helper", "print"
        ] = Field("none", description="what the fifth step does")
        signal: int = Field(0, description="the signal that the process is sent in the fifth step")

    def setup(self, context):
        self.steps_per_round, self.count = 3, 0
        self.weight = next(iter(context.phenotype.parameters()))

    def step(self):
        self.count += 1
        if self.options.act == "handler" and self.count == 1:
            signal.signal(signal.SIGTERM, end_at_once)
        with torch.no_grad():
            self.weight += 0.01
        if self.count == 5 and not Path("once").exists():
            Path("once").touch()
            self.act()
        return genophen.Metrics(train_loss=float(self.count))

    def act(self):
        if self.options.signal:
            os.kill(os.getpid(), self.options.signal)
        match self.options.act:
            case "interrupt":
                raise KeyboardInterrupt
            case "generator-exit":
                raise GeneratorExit
            case "own":
                raise Mine("of my own")
            case "memory":
                raise MemoryError
            case "allocator":
                torch.empty(10**15)
            case "helper":
                raise RuntimeError("a helper died")
            case "print":
                os.write(1, b"printed below Python\n")
                print("printed by Python")

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


@genophen.hookimpl
def register_optimizers(register):
    register(OddStep)
