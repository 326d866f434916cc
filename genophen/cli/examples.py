"""`genophen examples`: the configs that ship with genophen, listed and copied."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from genophen.cli.common import json_option, print_json, say, show
from genophen.errors import ConfigError, unknown_name

_PACKAGE = Path(__file__).resolve().parent.parent
_PATTERNS = ("*.toml", "comparisons/*.toml", "tables/*.toml", "tables/faithful/*.toml")


def examples_folder() -> Path:
    """Where the examples are: in the installed package, or beside it in a checkout."""
    installed = _PACKAGE / "examples"
    return installed if installed.is_dir() else _PACKAGE.parent / "examples"


def shipped_examples() -> dict[str, Path]:
    """The example files by name: the path below `examples/`, without `.toml`."""
    folder = examples_folder()
    files = [file for pattern in _PATTERNS for file in sorted(folder.glob(pattern))]
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def _offer(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in shipped_examples() if name.startswith(incomplete)]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_offer)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("examples"),
    show_default=True,
    metavar="DIR",
    help="Folder to copy into.",
)
@json_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def examples(names: tuple[str, ...], out: Path, as_json: bool, debug: bool) -> None:
    """List the example configs, or copy those of NAME, with the configs that they build on.

    A file that is there is never overwritten.

    \b
    genophen examples
    genophen examples digits
    genophen examples tables/table2_mnist --out mine
    """
    shipped = shipped_examples()
    if not names:
        about = {name: description(file) for name, file in shipped.items()}
        width = max(map(len, about))
        if as_json:
            print_json([{"name": name, "description": text} for name, text in about.items()])
        else:
            show("\n".join(f"{name:<{width}}  {text}" for name, text in about.items()))
            say("To copy one: genophen examples NAME")
        return
    copied = _copy([_find(name, shipped) for name in names], out)
    if as_json:
        print_json([str(file) for file in copied])
    else:
        show("\n".join(map(str, copied)))


def description(file: Path) -> str:
    """A sweep's title; of other configs the first sentence of the comment after the command that runs it."""
    from genophen.config.toml import read_toml

    if title := read_toml(file).get("title"):
        return str(title)
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in lines[1 : lines.index("")])
    return comment.strip().partition(". ")[0].rstrip(".")


def _find(name: str, shipped: dict[str, Path]) -> Path:
    """The example of that name; a path such as `examples/digits.toml` means `digits`."""
    plain = name.removeprefix("examples/").removesuffix(".toml")
    if plain not in shipped:
        raise ConfigError(f"cannot copy the example {name!r}", **unknown_name("example", [*shipped], plain))
    return shipped[plain]


def _copy(files: list[Path], out: Path) -> list[Path]:
    """Copy the examples below `out` as they lie below `examples/`, so that a sweep finds its base beside it.

    Raises:
        ConfigError: where one is there already; nothing is copied then. A base that is there is kept.
        GenophenError: for a place that cannot be written.
    """
    from genophen.storage.files import writing

    targets = {file: out / file.relative_to(examples_folder()) for file in files}
    if there := [target for target in targets.values() if target.exists()]:
        raise ConfigError(
            "cannot copy the examples",
            found=f"{', '.join(map(str, there))}: there already; a copy never overwrites",
            next_step="use what is there, or choose another place: --out DIR",
        )
    for base in [base for file in files if (base := _base(file))]:
        target = out / base.relative_to(examples_folder())
        if not target.exists():
            targets[base] = target
    for file, target in targets.items():
        with writing(target, "choose another place: --out DIR"):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as copy:
                copy.write(file.read_bytes())
    return [*targets.values()]


def _base(file: Path) -> Path | None:
    """The config that an example lays its own settings over."""
    from genophen.config.toml import read_toml

    base = read_toml(file).get("base")
    return None if base is None else (file.parent / base).resolve()
