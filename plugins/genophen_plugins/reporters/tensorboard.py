"""Curves for TensorBoard, in the run directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import genophen
from genophen_plugins.extras import needed
from genophen_plugins.reporters.own_path import own_path


class TensorBoardReporter(genophen.Reporter):
    """Writes every number of each round to `DIR/tensorboard`; the step is the round."""

    name = "tensorboard"
    description = "curves in DIR/tensorboard (needs the extra tensorboard)"

    def __init__(self) -> None:
        module = needed("torch.utils.tensorboard", "tensorboard", "cannot use the reporter tensorboard")
        self._writer_class: Any = module.SummaryWriter
        self._writer: Any = None

    def start(self, info: genophen.RunInfo) -> None:
        self._info = info

    def step(self) -> None:
        pass

    def round(self, row: Mapping[str, Any], seconds: float) -> None:
        if self._writer is None:  # not before there is a round: a run that fails at once leaves no folder
            folder = own_path(self._info.directory / "tensorboard")
            self._writer = self._writer_class(folder, purge_step=row["round"])
        self._add({**row, "seconds": seconds}, row["round"])

    def end(self, result: Mapping[str, Any]) -> None:
        if self._writer is None:
            return
        if result.get("test_score") is not None:
            own = f"test_{self._info.measure.key}"
            self._add({name: result[name] for name in ("test_score", own)}, result["best_round"])
        self._writer.close()

    def _add(self, numbers: Mapping[str, Any], step: int) -> None:
        for name, number in numbers.items():
            if number is not None and name != "round":
                self._writer.add_scalar(name, number, step)
        self._writer.flush()
