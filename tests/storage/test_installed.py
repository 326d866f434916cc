"""The command that installs an extra is that of the genophen at work."""

from __future__ import annotations

import json

import pytest

from genophen.storage import installed


class Distribution:
    def __init__(self, url: str | None) -> None:
        self._url = url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self._url is None else json.dumps({"url": self._url})


@pytest.mark.parametrize(
    ("url", "command"),
    [
        (None, "pip install 'genophen[onnx]'"),
        ("file:///home/me/my%20genophen", "pip install '/home/me/my genophen[onnx]'"),
        (
            "https://example.org/genophen.git",
            "pip install 'genophen[onnx] @ https://example.org/genophen.git'",
        ),
    ],
)
def test_an_extra_is_installed_from_where_genophen_came(
    url: str | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "distribution", lambda name: Distribution(url))
    assert installed.install_command("onnx") == command
