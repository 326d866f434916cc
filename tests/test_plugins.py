"""Loading plugins: each by itself, failures named, duplicates refused."""

from __future__ import annotations

import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from helpers import digits_tables

import genophen
from genophen import plugins as plugins_module
from genophen.config import resolve_config
from genophen.plugins import KINDS, Plugins, load_plugins
from genophen.testing import check_architecture, check_optimizer

GOOD = """
    import genophen
    from torch import nn

    class Tiny(genophen.Architecture):
        name = "tiny"
        description = "one convolution"
        input_shape = (1, 8, 8)
        num_classes = 10

        def build(self):
            return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))

        def expressed(self):
            return ["0.weight"]

    @genophen.hookimpl
    def register_architectures(register):
        register(Tiny)
"""


def write(folder: Path, name: str, source: str) -> Path:
    file = folder / name
    file.write_text(textwrap.dedent(source))
    return file


def with_installed(monkeypatch: pytest.MonkeyPatch, folder: Path, **sources: str) -> Plugins:
    """Load the shipped plugins and modules of those names as installed entry points."""
    monkeypatch.syspath_prepend(str(folder))
    points = [EntryPoint(name, name, "genophen") for name in sources]
    for name, source in sources.items():
        write(folder, f"{name}.py", source)
        monkeypatch.delitem(sys.modules, name, raising=False)
    shipped = list(plugins_module.entry_points(group="genophen"))
    shipped = [point for point in shipped if point.dist and point.dist.metadata["Name"] == "genophen"]
    monkeypatch.setattr(plugins_module, "entry_points", lambda group: [*shipped, *points])
    monkeypatch.delenv("GENOPHEN_LOAD_PLUGINS")
    monkeypatch.delenv("GENOPHEN_STRICT_PLUGINS")
    return load_plugins()


def test_the_shipped_plugins_are_found_through_entry_points() -> None:
    plugins = load_plugins()
    assert plugins.failures == []
    assert plugins.names("architecture") == ["mnist-cnn", "vgg-block1", "vgg-block2", "vgg-block3"]
    assert plugins.names("genotype") == ["cppn", "direct", "hypernetwork"]
    assert plugins.names("optimizer") == ["adam", "adamw", "sgd"]
    assert plugins.names("dataset") == ["cifar10", "digits", "fashion-mnist", "image-folder", "mnist"]
    assert plugins.names("reporter") == ["console"]
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
        (GOOD.replace("(register)", "(register, more)"), "PluginValidationError"),
        (GOOD.replace("register(Tiny)", "register(Tiny())"), "register the class, not an instance"),
        (
            GOOD.replace("register(Tiny)", "register(int)"),
            "int, which is no subclass of genophen.Architecture",
        ),
        (GOOD.replace("register(Tiny)", "raise ValueError('no')"), "ValueError: no"),
        (GOOD.replace('name = "tiny"', "pass"), "Tiny sets no 'name'"),
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
    assert plugins.names("architecture") == ["mnist-cnn", "vgg-block1", "vgg-block2", "vgg-block3"]


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
    from genophen import hookspecs

    hooks = {name for name in dir(hookspecs) if name.startswith("register_")}
    assert hooks == {hook for hook, _ in KINDS.values()}
    assert all(getattr(hookspecs, hook).__doc__ for hook in hooks)


@pytest.mark.parametrize("name", ["mnist-cnn", "vgg-block1", "vgg-block2", "vgg-block3"])
def test_shipped_architectures_keep_the_contract(name: str) -> None:
    check_architecture(load_plugins().get("architecture", name).cls)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_shipped_optimizers_keep_the_contract(name: str) -> None:
    check_optimizer(load_plugins().get("optimizer", name).cls)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("(144, 10)", "(144, 9)"), r"two images gave \(2, 9\): the contract wants logits \(2, 10\)"),
        (('"tiny"', '"Tiny Net"'), "give a kebab-case name"),
        (("(1, 8, 8)", "(1, 8)"), "give \\(channels, height, width\\)"),
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
    copy = "import genophen_plugins.gradient as g, genophen\n"
    copy += "@genophen.hookimpl\ndef register_optimizers(register): register(g.Adam)\n"
    plugins = with_installed(monkeypatch, tmp_path, second_adam=copy)
    tables = digits_tables()
    tables["optimizer"] = {"name": "sgd", "adam": {"learning_rate": 0.1}}
    assert resolve_config(tables, plugins, "x").optimizer.name == "sgd"
    tables["optimizer"]["name"] = "adam"
    with pytest.raises(genophen.PluginError, match="two plugins register that name"):
        resolve_config(tables, plugins, "x")
