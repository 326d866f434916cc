"""Any text file as symbols: its characters."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field

import genophen


class CharactersOptions(genophen.Options):
    file: genophen.PathOption = Field(
        Path("text/tinyshakespeare.txt"), description="a text in UTF-8, looked for below the data directory"
    )
    validation_share: float = Field(0.05, gt=0, lt=0.5, description="share of the text before the test part")
    test_share: float = Field(0.05, gt=0, lt=0.5, description="share of the text at its end")


class Characters(genophen.Dataset):
    """The text in its own order: training part, validation part, test part.

    The vocabulary is that of the training part, and one symbol more where the others have further characters.
    """

    name = "characters"
    description = "the characters of a text file, in order: 90 / 5 / 5 parts in a hundred"
    Options: ClassVar[type[genophen.Options]] = CharactersOptions
    options: CharactersOptions

    def load(self, data_dir: Path) -> genophen.Text:
        text = self._text()
        test = int(len(text) * (1 - self.options.test_share))
        validation = test - int(len(text) * self.options.validation_share)
        parts = [text[:validation], text[validation:test], text[test:]]
        if not all(parts):
            raise genophen.DamagedError(
                f"cannot use the text {self.options.file}",
                found=f"{len(text)} characters",
                allowed="enough for a training, a validation and a test part",
            )
        symbols = tuple(sorted(set(parts[0])))
        unknown = len(symbols)
        number = {symbol: index for index, symbol in enumerate(symbols)}
        numbers = [torch.tensor([number.get(c, unknown) for c in part]) for part in parts]
        if any(bool((part == unknown).any()) for part in numbers):
            symbols = (*symbols, "\N{REPLACEMENT CHARACTER}")
        return genophen.Text(numbers[0], numbers[1], numbers[2], symbols)

    def _text(self) -> str:
        file = self.options.file
        try:
            return file.read_bytes().decode("utf-8")
        except OSError as error:
            raise genophen.GenophenError(
                f"cannot read the text {file}",
                found=error.strerror or str(error),
                allowed="a text file in UTF-8",
                next_step="name it: --set dataset.characters.file=PATH",
            ) from None
        except UnicodeDecodeError as error:
            raise genophen.DamagedError(
                f"cannot read the text {file}",
                found=f"byte {error.start} is no UTF-8",
                allowed="a text file in UTF-8",
                next_step="convert it: iconv -f LATIN1 -t UTF-8 FILE",
            ) from None


@genophen.hookimpl
def register_datasets(register):  # type: ignore[no-untyped-def]
    register(Characters)
