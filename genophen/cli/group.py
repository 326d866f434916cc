"""The command's groups and what they say of commands and options that they do not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genophen.errors import ConfigError, nearest


class Commands(click.Group):
    """A group of commands. `otherwise` is the next step after an unknown one; `{name}` in it is its name."""

    def __init__(self, *args: Any, otherwise: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.otherwise = otherwise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known = self.list_commands(ctx)
        if name in known or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise ConfigError(
            f"No such command {name!r} in {ctx.command_path!r}",
            allowed=", ".join(known),
            next_step=_instead(name) or nearest(name, known) or self.otherwise.format(name=name),
        )


def _instead(name: str) -> str:
    """What was meant by a config or a run directory in the place of the command."""
    path = Path(name)
    if path.suffix == ".toml":
        return f"genophen run {name}"
    return f"genophen resume {name}" if (path / "config.toml").is_file() else ""


def explained(error: click.ClickException) -> click.ClickException:
    """The error; for an unknown option of a command that takes --set, one that says how to give settings."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    name = error.option_name.lstrip("-")
    takes_set = any(parameter.name == "assignments" for parameter in error.ctx.command.params)
    if not takes_set or nearest(name, [option.lstrip("-") for option in error.possibilities or ()]):
        return error
    from genophen.config.settings import TrainingSettings

    field = name.replace("-", "_")
    key = f"training.{field}=VALUE" if field in TrainingSettings.model_fields else "training.rounds=10"
    message = f"No such option {error.option_name!r}. Settings of the config: --set {key}"
    return click.UsageError(message, error.ctx)
