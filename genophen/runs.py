"""A finished run as an object."""

from __future__ import annotations

import html
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genophen.config.config import Config
from genophen.config.recorded import config_of
from genophen.config.toml import read_toml
from genophen.contracts.measure import Measure
from genophen.contracts.task import SPLITS, Scores
from genophen.errors import ConfigError, GenophenError, one_line, unknown_name
from genophen.export.exporting import export_run
from genophen.phenotype.phenotype import Phenotype
from genophen.plugins.loading import load_plugins
from genophen.plugins.registry import Plugins
from genophen.report.single import kernels_figure
from genophen.storage.reading import read_environment, read_result, read_whole_rows
from genophen.storage.rundir import RunDirectory
from genophen.training.generating import first_prompt, generated, writer
from genophen.training.trained import best_experiment, best_phenotype, data_difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(Mapping[str, Any]):
    """A run directory, opened. It reads like its result: `run["test_accuracy"]`.

    Files are read when they are asked for: a run that is still training can be looked at.
    """

    def __init__(self, directory: str | Path, plugin_files: Sequence[str | Path] = ()) -> None:
        """See `load`."""
        self.directory = Path(directory)
        self._files = RunDirectory.open(self.directory)
        self._plugin_files = [Path(file) for file in plugin_files]

    @classmethod
    def load(cls, directory: str | Path, *, plugin_files: Sequence[str | Path] = ()) -> Run:
        """Open what `genophen run` left in a directory.

        Args:
            directory: the run directory.
            plugin_files: single-file plugins that its network needs.

        Raises:
            ConfigError: where it is no run directory.
        """
        return cls(directory, plugin_files)

    @property
    def status(self) -> str:
        """That of the result; `unfinished` while there is none."""
        return str(self.result["status"]) if self._files.result.is_file() else "unfinished"

    @property
    def config(self) -> dict[str, Any]:
        """The tables of `config.toml`, every setting resolved."""
        return read_toml(self._files.config)

    @property
    def result(self) -> dict[str, Any]:
        """`result.json`.

        Raises:
            ConfigError: for a run that has none yet.
            DamagedError: for a file that is not what genophen writes; so for the other records.
        """
        if not self._files.result.is_file():
            raise ConfigError(
                f"cannot read the result of {self.directory}",
                found="the run is unfinished",
                next_step=f"go on with it: genophen resume {self.directory}",
            )
        return read_result(self._files.result)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`, one a round, the start as round 0."""
        return read_whole_rows(self._files.metrics)

    @property
    def timings(self) -> list[dict[str, Any]]:
        """The rows of `timings.jsonl`, in seconds."""
        return read_whole_rows(self._files.timings)

    @property
    def environment(self) -> dict[str, Any]:
        """`environment.json`: versions, machine, plugins, the data's SHA-256."""
        return read_environment(self._files.environment)

    def phenotype(self) -> Phenotype:
        """The phenotype with the weights of the best round, on the CPU in eval mode.

        Raises:
            DamagedError: for weights that are not as the run saved them.
        """
        _, phenotype, _ = best_phenotype(self._files, *self._objects())
        return phenotype

    def evaluate(
        self, split: str = "test", *, device: str | None = None, data_dir: str | Path | None = None
    ) -> Scores:
        """The task's scores of the best weights on a split, as `genophen evaluate` measures them.

        Warns where the data is not known to be what the run was trained on.
        """
        if split not in SPLITS:
            raise ConfigError(f"cannot evaluate on {split!r}", **unknown_name("split", SPLITS, split))
        config, plugins = self._objects(device, data_dir)
        experiment, _ = best_experiment(self._files, config, plugins, lambda note: None)
        if difference := data_difference(self._files, experiment.task.digest()):
            warnings.warn(difference, stacklevel=2)
        return experiment.evaluate(split)

    def export(
        self, format: str, out: str | Path | None = None, *, data_dir: str | Path | None = None
    ) -> Path:
        """Write the best network with its preprocessing to a file, as `genophen export` does.

        Args:
            format: `torch`, `safetensors`, `onnx` or `torch-export`.
            out: the file; default: `network` with the format's suffix, in the run directory.
            data_dir: folder of the data sets.

        Returns:
            The path of the file.
        """
        config, plugins = self._objects(None, data_dir)
        return export_run(self._files, config, plugins, format, None if out is None else Path(out)).file

    def generate(
        self, prompt: str | None = None, *, length: int = 500, temperature: float = 1.0, seed: int = 0
    ) -> str:
        """Text that the best network adds to the prompt, as `genophen generate` writes it.

        Args:
            prompt: what it begins with; default: a new line.
            length: symbols to be written.
            temperature: what the logarithms of the probabilities are divided by; 0: the likeliest symbol.
            seed: of the draws.

        Raises:
            ConfigError: for a run whose task is not to tell the next symbol, and for a prompt with symbols
                that it does not know.
        """
        phenotype, symbols, _ = writer(self._files, *self._objects(), lambda note: None)
        beginning = first_prompt(symbols) if prompt is None else prompt
        return "".join(generated(phenotype, symbols, beginning, length, temperature, seed))

    def kernels(self) -> Figure:
        """The largest expressed convolution as a picture, as `genophen report --figure kernels` draws it."""
        return kernels_figure([self.directory], load_plugins(self._plugin_files))

    def __getitem__(self, key: str) -> Any:
        return self.result[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.result)

    def __len__(self) -> int:
        return len(self.result)

    def __repr__(self) -> str:
        lines = {name: value for name, value in self._summary() if name != "run directory"}
        said = ", ".join(f"{name} {value}" for name, value in lines.items() if name != "status")
        return one_line(f"Run({str(self.directory)!r}: {lines['status']}; {said})")

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = "".join(
            f"<tr><th style='text-align: left'>{html.escape(name)}</th>"
            f"<td style='text-align: left'>{html.escape(one_line(value))}</td></tr>"
            for name, value in self._summary()
        )
        return f"<table>{rows}</table>"

    def _summary(self) -> list[tuple[str, str]]:
        """What there is to say of the run in short, by name, be it that a file cannot be read."""
        try:
            return [("run directory", str(self.directory)), *self._recorded()]
        except GenophenError as error:
            return [("run directory", str(self.directory)), ("status", f"{error.attempted}: {error.found}")]

    def _recorded(self) -> list[tuple[str, str]]:
        tables, status = self.config, self.status
        named = ("architecture", "genotype", "optimizer", "dataset")
        lines = [("status", status)]
        lines += [(kind, str(tables.get(kind, {}).get("name", ""))) for kind in named]
        lines.append(("seed", str(tables.get("training", {}).get("seed", ""))))
        if status == "unfinished":
            return lines
        result = self.result
        measure = Measure.of(result)
        lines += [
            (f"{split} {measure.title}", measure.shown(result[f"{split}_score"]))
            for split in ("validation", "test")
            if result[f"{split}_score"] is not None
        ]
        lines.append(("rounds", str(result["rounds"])))
        lines.append(("kernel parameters", f"{result['parameters']['kernel']:,}"))
        return lines

    def _objects(
        self, device: str | None = None, data_dir: str | Path | None = None
    ) -> tuple[Config, Plugins]:
        """The validated config, with another device or data folder where one is given, and the plugins."""
        plugins = load_plugins(self._plugin_files)
        folder = None if data_dir is None else str(data_dir)
        changes = {"training.device": device, "dataset.data_dir": folder}
        return config_of(self._files, plugins, changes), plugins
