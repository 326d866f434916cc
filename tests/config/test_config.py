"""Reading configs: every mistake at once, the nearest known word, a file that resolves to itself."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from helpers import digits_tables
from pydantic import Field

import genophen
from genophen.config.config import Config, resolve_config
from genophen.config.toml import override, parse_toml, read_toml, write_toml
from genophen.plugins.loading import load_plugins
from genophen.plugins.registry import Plugin, Source


def resolved(tables: dict[str, Any], *assignments: str) -> Config:
    override(tables, assignments)
    return resolve_config(tables, load_plugins(), "of the test")


def problems(tables: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(genophen.ConfigError) as caught:
        resolved(tables)
    assert caught.value.exit_code == 2
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_every_mistake_is_named_at_once() -> None:
    found = problems(
        {
            "dataset": {"name": "digitz", "validation_sise": 100},
            "architecture": {"name": "mnist-cnn"},
            "genotype": {"hypernetwork": {"embedding_dim": "four", "projection_dims": 3}},
            "optimizer": {"name": "adam", "adam": {"learning_rate": -1.0}},
            "training": {"rounds": 0},
            "trainning": {"seed": 1},
        }
    )
    assert set(found) == {
        "dataset.name",
        "dataset.validation_sise",
        "genotype.hypernetwork.embedding_dim",
        "genotype.hypernetwork.projection_dims",
        "optimizer.adam.learning_rate",
        "training.rounds",
        "trainning",
    }
    assert "'digitz'" in found["dataset.name"]
    assert "did you mean digits?" in found["dataset.name"]
    assert "did you mean validation_size?" in found["dataset.validation_sise"]
    assert "found 'four'; allowed: a valid integer" in found["genotype.hypernetwork.embedding_dim"]
    assert "did you mean projection_dim?" in found["genotype.hypernetwork.projection_dims"]
    assert "found -1.0; allowed: greater than 0" in found["optimizer.adam.learning_rate"]
    assert "found 0; allowed: greater than or equal to 1" in found["training.rounds"]
    assert "did you mean training?" in found["trainning"]


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("optimizer", "learning_rate", 0.1, "it belongs under [optimizer.adam]"),
        ("optimizer", "lerning_rate", 0.1, "did you mean optimizer.adam.learning_rate?"),
        ("genotype", "embedding_dim", 4, "it belongs under [genotype.hypernetwork]"),
        ("training", "round", 3, "did you mean rounds?"),
        ("training", "rounds", 2.5, "found 2.5; allowed: a valid integer"),
        ("training", "rounds", True, "found True; allowed: a valid integer"),
        ("training", "max_seconds", float("inf"), "found inf; allowed: a finite number"),
        ("training", "seed", -1, "found -1; allowed: greater than or equal to 0"),
        ("augmentation", "crop", False, "padding = 1 needs crop = true"),
        ("dataset", "name", 3, "found 3; allowed: one of associative-retrieval, characters"),
        ("optimizer", "adam", 3, "found 3; allowed: a table: [optimizer.adam]"),
    ],
)
def test_a_mistake_is_explained(section: str, key: str, value: object, said: str) -> None:
    tables = digits_tables()
    tables[section][key] = value
    assert any(said in text for text in problems(tables).values())


def test_a_missing_name_lists_what_there_is() -> None:
    tables = digits_tables()
    del tables["architecture"]
    names = ", ".join(load_plugins().names("architecture"))
    assert "lstm, mlp, mnist-cnn" in names
    expected = f"architecture.name: is missing; allowed: one of {names}"
    assert problems(tables) == {"architecture.name": expected}


def test_a_section_that_is_no_table_is_named() -> None:
    assert "found 'mnist'; allowed: a table: [dataset]" in problems({"dataset": "mnist"})["dataset"]


def test_settings_of_unselected_plugins_are_validated_and_dropped() -> None:
    tables = digits_tables()
    tables["optimizer"]["sgd"] = {"momentum": 0.5}
    assert "sgd" not in tomllib.loads(resolved(tables).to_toml())["optimizer"]
    tables["optimizer"]["sgd"] = {"momentum": 2.0}
    assert "optimizer.sgd.momentum" in problems(tables)


def test_tables_of_absent_plugins_are_passed_over_with_a_note() -> None:
    tables = digits_tables()
    tables["optimizer"]["simulated-annealing"] = {"temperature": 3}
    tables["genotype"]["hypernetwrok"] = {"embedding_dim": 8}
    notes = resolved(tables).notes
    assert "[optimizer.simulated-annealing] is passed over" in notes[1]
    assert "did you mean hypernetwork?" in notes[0]


def test_the_saved_config_resolves_to_the_same_config() -> None:
    tables = digits_tables()
    tables["optimizer"]["name"] = "sgd"
    config = resolved(tables, "training.seed=7", "optimizer.sgd.learning_rate=1e-3", "augmentation.flip=true")
    again = resolved(tomllib.loads(config.to_toml()))
    assert again == config
    assert again.to_toml() == config.to_toml()
    assert (again.training.seed, again.augmentation.flip) == (7, True)


def test_paths_are_saved_absolute_and_looked_for_in_the_data_directory_first(tmp_path: Path) -> None:
    (tmp_path / "data" / "pictures").mkdir(parents=True)
    tables = digits_tables()
    tables["dataset"] = {"name": "image-folder", "data_dir": "data", "image-folder": {"path": "pictures"}}
    config = resolved(tables)
    assert config.data.data_dir == tmp_path / "data"
    assert config.dataset.options.path == tmp_path / "data" / "pictures"
    tables["dataset"]["image-folder"]["path"] = "elsewhere"
    assert resolved(tables).dataset.options.path == tmp_path / "elsewhere"
    assert str(tmp_path / "elsewhere") in resolved(tables).to_toml()


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_is_valid_and_opens_with_its_command(example: Path) -> None:
    config = resolved(read_toml(example))
    first = example.read_text().splitlines()[0]
    assert first.startswith(f"# genophen run examples/{example.name}")
    assert not config.notes


@pytest.mark.parametrize(
    ("assignment", "value"),
    [("a.b=3", 3), ("a.b = 0.5", 0.5), ('a.b="x"', "x"), ("a.b=[1, 2]", [1, 2]), ("a.b=true", True)],
)
def test_overrides_are_toml(assignment: str, value: object) -> None:
    tables: dict[str, Any] = {"a": {"b": 1, "c": 2}}
    override(tables, [assignment])
    assert tables == {"a": {"b": value, "c": 2}}


@pytest.mark.parametrize(
    "text", ["adam", "one-cycle", "runs/my run", "./x.y", "ü", "True", "1e-", "a=b", "it's"]
)
def test_an_override_that_is_no_toml_is_text(text: str) -> None:
    tables: dict[str, Any] = {}
    override(tables, [f"a.b= {text} "])
    assert tables == {"a": {"b": text}}


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("training.rounds=ten", "training.rounds: found 'ten'"),
        ("optimizer.adam.schedule=linear", "optimizer.adam.schedule: found 'linear'"),
        ("optimizer.name=adm", "did you mean adam?"),
        ("dataset.data_dir=2024", "needs quotes: --set 'dataset.data_dir=\"2024\"'"),
    ],
)
def test_a_bare_word_is_refused_where_the_setting_has_no_such_value(assignment: str, said: str) -> None:
    tables = digits_tables()
    override(tables, [assignment])
    with pytest.raises(genophen.ConfigError) as caught:
        resolved(tables)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("a.b", "no assignment"),
        ("a..b=1", "no assignment"),
        ("=1", "no assignment"),
        ("a.b=[1, 2", "text like this needs quotes, and the shell takes one pair: --set 'a.b=\"[1, 2\"'"),
        ('a.b="adam', "is not TOML"),
        ("a.b=", "is not TOML"),
        ("a.b=two\nlines", "is not TOML"),
        ("a.b=1\nc=2", "more than one value"),
        ("a.b.c=1", "a.b is the value 1, not a table"),
        ("a.b=" + "[" * 5000, "nested too deep"),
    ],
)
def test_an_override_that_cannot_be_applied_is_explained(assignment: str, said: str) -> None:
    with pytest.raises(genophen.ConfigError) as caught:
        override({"a": {"b": 1}}, [assignment])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = ", "no valid TOML"),
        (b"\xff = 1", "byte 0 is not UTF-8"),
        (b"#" * 70_000, "more than 65,536 bytes"),
        (b"a." * 2000 + b"b = 1", "nested too deep"),
        (b"a = " + b"[" * 3000, "nested too deep"),
        (b"a = " + b"{b=" * 3000, "nested too deep"),
    ],
)
def test_a_hostile_file_is_refused_quickly(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(genophen.ConfigError, match=said):
        read_toml(file)


def test_toml_is_written_so_that_it_reads_back() -> None:
    tables = {
        "a b": 1,
        "text": 'quote " backslash \\ newline \n del \x7f snow ☃',
        "number": 1e-07,
        "list": [1, 2.5, "x", [True]],
        "table": {"inner": {"key.with.dots": "v"}, "none": None},
        "path": Path("/x/y"),
    }
    read = parse_toml(write_toml(tables), "cannot read")
    assert read.pop("path") == "/x/y"
    del tables["path"], tables["table"]["none"]  # type: ignore[attr-defined]
    assert read == tables


@pytest.mark.parametrize(
    "text",
    [
        "# " + "1." * 100,
        'a = "' + "x." * 100 + '"',
        "a = '" + "[" * 100 + "'",
        'a = """' + '{["' * 100 + '"""',
        'a = "\\"" # [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[',
        "a = '\\' # ((" + "[" * 100,
        'a = "\\n' + "[" * 100 + '"',
    ],
)
def test_depth_is_counted_outside_of_strings_and_comments(text: str) -> None:
    parse_toml(text, "cannot read")


@pytest.mark.parametrize(
    "text", ['a = "' + "x" * 60_000, "a" * 60_000, "a = " + '"\\"' * 15_000, "[" * 60_000]
)
def test_a_long_file_is_answered_quickly(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(genophen.ConfigError):
        parse_toml(text, "cannot read")
    assert time.monotonic() - started < 5  # it was 32 s once


class RichOptions(genophen.Options):
    widths: tuple[int, ...] = (16, 16)
    kinds: set[str] = Field({"a"})
    layers: list[dict[str, int]] = Field([{"size": 3}])
    folder: genophen.PathOption = Path("here")
    factor: float = Field(0.5, alias="lambda")


class Rich(genophen.Dataset):
    name = "rich"
    description = "settings of every type"
    Options = RichOptions

    def load(self, data_dir):
        raise NotImplementedError


def test_settings_of_every_type_survive_saving() -> None:
    plugins = load_plugins()
    plugins.registered["dataset"]["rich"] = Plugin("dataset", "rich", Rich, Source("test", "test", "1"))
    settings = {"widths": [8, 4], "layers": [{"size": 5}, {"size": 7}], "lambda": 0.25}
    tables = digits_tables() | {"dataset": {"name": "rich", "rich": settings}}
    config = resolve_config(tables, plugins, "of the test")
    assert config.dataset.options.widths == (8, 4)
    assert config.dataset.options.factor == 0.25
    again = resolve_config(tomllib.loads(config.to_toml()), plugins, "of the test")
    assert again == config
