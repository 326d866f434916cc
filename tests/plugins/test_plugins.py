"""Loading plugins: each by itself, failures named, duplicates refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, SHIPPED
from helpers import digits_tables
from hostile import ask, check_answer

import genophen
from genophen.config.config import resolve_config
from genophen.plugins.contract import KINDS
from genophen.plugins.loading import load_plugins
from genophen.plugins.registry import Plugins
from genophen.testing import check_architecture, check_genotype, check_optimizer

EXAMPLE = ROOT / "examples" / "digits.toml"
GOOD = """
    import genophen
    from torch import nn

    class Tiny(genophen.Architecture):
        name = "tiny"
        description = "one convolution"
        input_shape = (1, 8, 8)
        num_outputs = 10

        def build(self):
            return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))

        def expressed(self):
            return ["0.weight"]

    @genophen.hookimpl
    def register_architectures(register):
        register(Tiny)
"""

BROKEN_OPTIONS = """class Options(genophen.Options):
            width: "NoSuchType" = 3

        num_outputs"""


def write(folder: Path, name: str, source: str) -> Path:
    file = folder / name
    file.write_text(textwrap.dedent(source))
    return file


def install(folder: Path, name: str, source: str, entry_points: str = "") -> None:
    """Put a distribution `name` 1.5 with one module into a folder, as pip does."""
    write(folder, f"{name}.py", source)
    info = folder / f"{name}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(entry_points or f"[genophen]\n{name} = {name}\n")


def with_installed(monkeypatch: pytest.MonkeyPatch, folder: Path, **sources: str) -> Plugins:
    """Load the shipped plugins and distributions of those names with one module each."""
    for name, source in sources.items():
        install(folder, name, source)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("GENOPHEN_LOAD_PLUGINS", ",".join([SHIPPED, *sources]))
    monkeypatch.delenv("GENOPHEN_STRICT_PLUGINS")
    return load_plugins()


def test_the_shipped_plugins_are_found_through_entry_points() -> None:
    plugins = load_plugins()
    assert plugins.failures == []
    assert plugins.names("architecture") == [
        "elman", "fast-weight-controller", "fast-weight-network", "gru", "lstm", "mlp", "mnist-cnn", "rnn",
        "vgg-block1", "vgg-block2", "vgg-block3",
    ]  # fmt: skip
    assert plugins.names("genotype") == [
        "cppn", "cppn-graph", "dct", "direct", "fast-weights", "hyper-lstm", "hyper-rnn", "hypernetwork",
        "low-rank", "mlp-hypernetwork", "random-projection", "unit-embeddings",
    ]  # fmt: skip
    assert plugins.names("optimizer") == (
        ["adam", "adamw", "cma-es", "neat", "pgpe", "random-search", "sgd", "snes", "start"]
    )
    assert plugins.names("dataset") == [
        "associative-retrieval", "characters", "cifar10", "digits", "fashion-mnist", "image-folder", "mnist",
        "unknown-delay",
    ]  # fmt: skip
    assert plugins.names("task") == [
        "cart-pole", "classification", "double-pole", "gymnasium", "next-token", "sequence-classification",
    ]  # fmt: skip
    assert plugins.names("reporter") == ["console", "mlflow", "tensorboard"]
    source = plugins.get("genotype", "direct").source
    assert (source.distribution, source.version) == ("genophen", genophen.__version__)


def test_a_single_file_is_a_plugin(tmp_path: Path) -> None:
    file = write(tmp_path, "mine.py", GOOD)
    plugin = load_plugins([file, file]).get("architecture", "tiny")
    assert plugin.source.distribution == str(file)
    assert len(plugin.source.sha256) == 64
    check_architecture(plugin.cls)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = 1", "it implements no hook"),
        (
            GOOD.replace("register_architectures", "register_architecture"),
            "did you mean register_architectures?",
        ),
        (
            GOOD.replace("(register)", "(register, more)"),
            "its register_architectures takes register, more: write def register_architectures(register)",
        ),
        (GOOD.replace("(register)", "()"), "registers nothing: write def register_architectures(register)"),
        (
            GOOD.replace("hookimpl", "hookimpl(hookwrapper=True)").replace("register(Tiny)", "yield"),
            "registers nothing",
        ),
        ("class E(BaseException):\n    def __str__(self): raise self\nraise E", "E"),
        (GOOD.replace("register(Tiny)", "register(Tiny())"), "register the class, not an instance"),
        (
            GOOD.replace("register(Tiny)", "register(int)"),
            "int, which is no subclass of genophen.Architecture",
        ),
        (GOOD.replace("register(Tiny)", "raise ValueError('no')"), "ValueError: no"),
        (GOOD.replace('name = "tiny"', "pass"), "Tiny: it sets no 'name'"),
        (GOOD.replace('"tiny"', "7"), "Tiny: it sets no 'name' (a string)"),
        (GOOD.replace('"tiny"', '"Tiny Net"'), "its name is 'Tiny Net': give a kebab-case name"),
        (GOOD.replace('"tiny"', '"../tiny"'), "its name is '../tiny': give a kebab-case name"),
        (GOOD.replace('"tiny"', '"name"'), "its name is 'name', a key of the section [architecture]"),
        (GOOD.replace("num_outputs", "Options = dict; num_outputs"), "no subclass of genophen.Options"),
        (GOOD.replace("num_outputs", BROKEN_OPTIONS), "its Options cannot be used: PydanticUserError"),
        (
            GOOD.replace("def build", "def __init__(self): pass\n        def build"),
            "be called as Tiny(options)",
        ),
        (GOOD.replace("def expressed", "def expresed"), "Tiny does not write expressed"),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_work(
    source: str, cause: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugins = with_installed(monkeypatch, tmp_path, broken_plugin=source)
    (failure,) = plugins.failures
    assert str(failure).startswith("plugin broken_plugin (")
    assert cause in failure.cause
    assert "\n" not in str(failure)
    assert {"mnist-cnn", "vgg-block1", "vgg-block2", "vgg-block3"} <= set(plugins.names("architecture"))


def test_a_broken_file_is_an_error_since_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(genophen.PluginError, match="ZeroDivisionError: division by zero") as caught:
        load_plugins([write(tmp_path, "bad.py", "1 / 0")])
    assert caught.value.exit_code == 5


def test_a_duplicate_name_is_refused_and_names_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plugins = with_installed(monkeypatch, tmp_path, first_plugin=GOOD, second_plugin=GOOD)
    with pytest.raises(genophen.PluginError) as caught:
        plugins.get("architecture", "tiny")
    assert "first_plugin" in str(caught.value)
    assert "second_plugin" in str(caught.value)
    assert plugins.get("architecture", "mnist-cnn").name == "mnist-cnn"


def test_strict_loading_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_installed(monkeypatch, tmp_path, broken_plugin="1 / 0")
    monkeypatch.setenv("GENOPHEN_STRICT_PLUGINS", "1")
    with pytest.raises(genophen.PluginError, match="ZeroDivisionError"):
        load_plugins()


def test_the_environment_selects_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENOPHEN_LOAD_PLUGINS", "direct")
    assert load_plugins().names("genotype") == ["direct"]
    assert load_plugins().names("architecture") == []
    monkeypatch.setenv("GENOPHEN_LOAD_PLUGINS", "dirct")
    monkeypatch.delenv("GENOPHEN_STRICT_PLUGINS")
    assert "dirct" in str(load_plugins().failures[0])


def test_an_unknown_name_suggests_the_nearest_and_lists_the_rest() -> None:
    with pytest.raises(genophen.PluginError) as caught:
        load_plugins().get("architecture", "vgg-blok3")
    assert "did you mean vgg-block3?" in str(caught.value)
    assert "mnist-cnn" in str(caught.value)


def test_every_hook_is_documented_and_every_kind_has_one() -> None:
    from genophen.contracts import hookspecs

    hooks = {name for name in dir(hookspecs) if name.startswith("register_")}
    assert hooks == {hook for hook, _ in KINDS.values()}
    assert all(getattr(hookspecs, hook).__doc__ for hook in hooks)


@pytest.mark.parametrize(
    "name",
    [
        "fast-weight-controller",
        "fast-weight-network",
        "gru",
        "lstm",
        "mnist-cnn",
        "rnn",
        "vgg-block1",
        "vgg-block2",
        "vgg-block3",
    ],
)
def test_shipped_architectures_keep_the_contract(name: str) -> None:
    check_architecture(load_plugins().get("architecture", name).cls)


@pytest.mark.parametrize("name", ["fast-weights", "hyper-lstm", "hyper-rnn"])
def test_shipped_dynamic_genotypes_keep_the_contract(name: str) -> None:
    check_genotype(load_plugins().get("genotype", name).cls)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_shipped_optimizers_keep_the_contract(name: str) -> None:
    check_optimizer(load_plugins().get("optimizer", name).cls)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: {**state, "seen": {1, 2}}, r"state\['optimizer'\]\['seen'\]"),
        (lambda state: {**state, "step": 0}, "a restored state continues differently"),
    ],
)
def test_the_optimizer_check_says_what_a_checkpoint_cannot_hold_and_what_it_lacks(change, said: str) -> None:
    adam = load_plugins().get("optimizer", "adam").cls
    methods = {"state_dict": lambda self: change(adam.state_dict(self))}
    with pytest.raises(AssertionError, match=said):
        check_optimizer(type("Changed", (adam,), methods))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("(144, 10)", "(144, 9)"), r"two inputs gave \(2, 9\): the contract wants outputs \(2, 10\)"),
        (("(1, 8, 8)", "(1, 8)"), "an image is \\(channels, height, width\\)"),
        (("nn.Flatten()", "nn.Flatten(), nn.Dropout(0.0)"), None),
        (("def expressed", 'readout = "0"\n        def expressed'), "readout '0' names no nn.Linear"),
    ],
)
def test_the_architecture_check_says_what_to_mend(
    change: tuple[str, str], said: str | None, tmp_path: Path
) -> None:
    file = write(tmp_path, "mine.py", GOOD.replace(*change))
    registered = load_plugins([file]).registered["architecture"].values()
    cls = next(plugin.cls for plugin in registered if plugin.cls.__name__ == "Tiny")
    if said is None:
        check_architecture(cls)
        return
    with pytest.raises(AssertionError, match=said):
        check_architecture(cls)


def test_a_duplicate_that_is_not_asked_for_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = "import genophen_plugins.optimizers.gradient as g, genophen\n"
    copy += "@genophen.hookimpl\ndef register_optimizers(register): register(g.Adam)\n"
    plugins = with_installed(monkeypatch, tmp_path, second_adam=copy)
    tables = digits_tables()
    tables["optimizer"] = {"name": "sgd", "adam": {"learning_rate": 0.1}}
    assert resolve_config(tables, plugins, "x").optimizer.name == "sgd"
    tables["optimizer"]["name"] = "adam"
    with pytest.raises(genophen.PluginError, match="two plugins register that name"):
        resolve_config(tables, plugins, "x")


MEDDLER = """
    import io, os, random, sys, warnings
    import numpy, torch
    print("hello from the meddler")
    random.seed(1); numpy.random.seed(1); torch.manual_seed(1)
    warnings.simplefilter("ignore")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    os.chdir("/")
    sys.stdout = sys.stderr = io.StringIO()
"""


def global_state() -> list[object]:
    generators = [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]
    settings = [torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()]
    return [*generators, *settings, torch.get_default_device(), Path.cwd(), list(warnings.filters)]


def test_a_plugin_that_meddles_with_the_process_is_named_and_undone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_plugins()
    streams, before = (sys.stdout, sys.stderr), global_state()
    plugins = with_installed(monkeypatch, tmp_path, meddler=textwrap.dedent(MEDDLER) + textwrap.dedent(GOOD))
    assert global_state() == before
    assert (sys.stdout, sys.stderr) == streams
    assert plugins.failures == []
    (note,) = plugins.notes
    assert note.startswith(
        "plugin meddler (meddler 1.5) changed torch's default dtype, torch's default device,"
    )
    assert "torch's number of threads, torch's gradient mode, the working directory" in note
    assert plugins.get("architecture", "tiny").name == "tiny"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello from the meddler" in captured.err
    monkeypatch.setenv("GENOPHEN_STRICT_PLUGINS", "1")
    monkeypatch.delitem(sys.modules, "meddler")
    with pytest.raises(genophen.PluginError, match="changed torch's default dtype"):
        load_plugins()


SLOPPY = """
    import genophen, sys
    from torch import nn

    class Sloppy(genophen.Architecture):
        name = "sloppy"
        description = "does what it should not"
        input_shape = (1, 8, 8)
        num_outputs = 10

        def build(self):
            print("building")
            return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10))

        def expressed(self):
            return ["0.weight"]

    @genophen.hookimpl
    def register_architectures(register):
        register(Sloppy)
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('print("building")', "raise KeyError('width')"), "plugin sloppy (FILE) raised KeyError: 'width'"),
        (('print("building")', "sys.exit(0)"), "plugin sloppy (FILE) raised SystemExit: 0"),
        (('return ["0.weight"]', "return None"), "expressed() returned None: give a list of patterns"),
        (('return ["0.weight"]', 'return "0.weight"'), "expressed() returned '0.weight': give a list"),
        (('return ["0.weight"]', "return [0]"), "expressed() returned [0]: give a list of patterns"),
        (("(1, 8, 8)", "(1, 10**6, 10**6)"), "input_shape is (1, 1000000, 1000000)"),
        (("(1, 8, 8)", "(1, 8, 0)"), "input_shape is (1, 8, 0)"),
        (("return nn.Sequential(", "return (lambda *x: 3)("), "build() returned int"),
        (("nn.Flatten()", "nn.Identity()"), "cannot run the architecture sloppy"),
        (
            ("def build(", "@property\n        def num_outputs(self): sys.exit(2)\n        def build("),
            "SystemExit: 2",
        ),
    ],
)
def test_code_that_fails_in_use_is_blamed_on_its_plugin(
    change: tuple[str, str], said: str, tmp_path: Path
) -> None:
    file = write(tmp_path, "sloppy.py", SLOPPY.replace(*change))
    answer = ask("run", EXAMPLE, "--dry-run", "--plugin", file, "--architecture", "sloppy")
    assert said.replace("FILE", str(file)) in answer.err
    check_answer(answer, codes=(5,))


def test_what_a_plugin_prints_does_not_get_into_the_data(tmp_path: Path) -> None:
    file = write(tmp_path, "sloppy.py", SLOPPY)
    answer = ask("params", EXAMPLE, "--json", "--plugin", file, "--architecture", "sloppy")
    assert json.loads(answer.out)["architecture"] == "sloppy"
    assert "building" in answer.err


BAD_OPTIONS = """
    import genophen, pydantic
    from genophen_plugins.architectures.mnist import MnistCNN

    class Options(genophen.Options):
        num_outputs: int = 10
        width: int = 3

        @pydantic.field_validator("width")
        @classmethod
        def check(cls, width):
            return {}["no such key"]

    class Fussy(MnistCNN):
        name = "fussy"
        Options = Options

    @genophen.hookimpl
    def register_architectures(register):
        register(Fussy)
"""


def test_a_validator_that_fails_is_blamed_on_its_plugin(tmp_path: Path) -> None:
    file = write(tmp_path, "fussy.py", BAD_OPTIONS)
    arguments = ["run", EXAMPLE, "--dry-run", "--plugin", file]
    answer = ask(*arguments, "--set", "architecture.fussy.width=1", "--architecture", "fussy")
    check_answer(answer, codes=(5,))
    assert f"plugin fussy ({file}) raised KeyError: 'no such key'" in answer.err
    assert ask(*arguments).code == 0


REPORTER = """
    import genophen

    class Silent(genophen.Reporter):
        name = "silent"
        description = "raises"

        def start(self, info): print("on stdout")
        def step(self): pass
        def round(self, row, seconds): raise RuntimeError("the disk\\n is full")
        def end(self, result): raise AssertionError("told of the end")

    @genophen.hookimpl
    def register_reporters(register):
        register(Silent)
"""


def test_a_reporter_that_fails_does_not_end_the_training(tmp_path: Path) -> None:
    file = write(tmp_path, "silent.py", REPORTER)
    rounds = ("--set", "training.rounds=1")
    answer = ask("run", EXAMPLE, *rounds, "--plugin", file, "--reporter", "silent", "--out", "mine")
    assert answer.code == 0
    assert "on stdout" not in answer.out
    (line,) = (line for line in answer.err.splitlines() if "reporter" in line)
    assert line == "the reporter silent raised RuntimeError: the disk is full: it is told nothing more"
    assert json.loads(Path("mine/result.json").read_text())["status"] == "completed"


def listed(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`genophen plugins list` in a process of its own that finds the distributions in a folder."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GENOPHEN_")}
    return subprocess.run(
        [sys.executable, "-m", "genophen", "plugins", "list"],
        env=environment | {"PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_broken_distributions_are_one_line_each_and_all_else_works(tmp_path: Path) -> None:
    install(tmp_path, "quitter", "import sys; sys.exit('goodbye')")
    install(tmp_path, "printer", 'print("noise")' + textwrap.dedent(GOOD))
    install(tmp_path, "misspelt", GOOD.replace("register_architectures", "register_architecture"))
    install(tmp_path, "absent", "", entry_points="[genophen]\nabsent = no_such_module:thing\n")
    install(tmp_path, "nameless", "1 / 0")
    (tmp_path / "nameless-1.5.dist-info" / "METADATA").unlink()
    shutil.copytree(tmp_path / "printer-1.5.dist-info", tmp_path / "~rinter-1.5.dist-info")
    install(tmp_path, "escapes", 'raise ValueError("\\x1b[31mred\\x07\\n[bold]loud")')
    done = listed(tmp_path)
    assert done.returncode == 0
    for name in ("vgg-block3", "hypernetwork", "adam", "digits", "tiny"):
        assert f" {name} " in done.stdout
    assert "noise" not in done.stdout
    lines = sorted(line for line in done.stderr.splitlines() if "left out" in line)
    assert len(lines) == 5
    for line, (name, reason) in zip(
        lines,
        [
            ("absent (absent 1.5)", "ModuleNotFoundError: No module named 'no_such_module'"),
            ("escapes (escapes 1.5)", "ValueError: \\u001b[31mred\\u0007 [bold]loud"),
            ("misspelt (misspelt 1.5)", "did you mean register_architectures?"),
            ("nameless (nameless)", "ZeroDivisionError: division by zero"),
            ("quitter (quitter 1.5)", "SystemExit: goodbye"),
        ],
        strict=True,
    ):
        assert line.startswith(f"plugin {name} is left out: ")
        assert reason in line
    strict = listed(tmp_path, GENOPHEN_STRICT_PLUGINS="1")
    assert strict.returncode == 5
    assert "SystemExit: goodbye" in strict.stderr
    selected = listed(tmp_path, GENOPHEN_LOAD_PLUGINS="printer")
    assert [line.split()[1] for line in selected.stdout.splitlines()] == ["tiny", "classification"]


def test_descriptions_and_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    loud = GOOD.replace('"one convolution"', '"\\x1b[2J\\u202egnol\\r[bold]x[/bold]\\nnext line"')
    file = write(tmp_path, "mine.py", loud)
    for arguments in (["list"], ["show", "tiny"]):
        answer = ask("plugins", *arguments, "--plugin", file)
        check_answer(answer)
        assert "\\u001b[2J\\u202egnol [bold]x[/bold] next line" in answer.out
    named = GOOD.replace("register(Tiny)", 'register(type("\\x1b[31mOdd", (Tiny,), {"name": "\\x1b[31m"}))')
    answer = ask("plugins", "list", "--plugin", write(tmp_path, "named.py", named))
    check_answer(answer, codes=(5,))
    assert "architecture \\u001b[31mOdd: its name is '\\x1b[31m': give a kebab-case name" in answer.err


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("train_loss", {"train_loss": "low"}),
        ("train_loss", {"train_loss": torch.ones(2)}),
        ("learning_rate", {"learning_rate": "fast"}),
        ("x", {"extras": {"x": None}}),
    ],
)
def test_metrics_that_are_no_numbers_are_refused_where_they_are_made(name: str, change: dict) -> None:
    with pytest.raises(TypeError, match=f"Metrics: {name} is .*, not a number"):
        genophen.Metrics(**{"train_loss": 0.5, **change})
    assert genophen.Metrics(torch.ones(()), np.float32(0.1), {"x": torch.ones(1)}).learning_rate > 0
