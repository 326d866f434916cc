"""A hermetic suite: shipped plugins alone, no network, no folder of the user's."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from genophen.cli import main
from genophen.cli.process import prepare_process

prepare_process()  # before torch: the suite shares its machine as the command does
ROOT = Path(__file__).resolve().parent.parent
#: The entry points of pyproject.toml.
SHIPPED = ",".join(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["genophen"]
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def pytest_configure(config: pytest.Config) -> None:
    # Most tests' networks are smaller than any genotype.
    config.addinivalue_line("filterwarnings", "ignore:.*has more numbers than it writes")
    # A shell's background jobs ignore Ctrl-C, and so would the processes that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def hermetic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENOPHEN_LOAD_PLUGINS", SHIPPED)
    monkeypatch.setenv("GENOPHEN_STRICT_PLUGINS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GENOPHEN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_to_loopback(self: socket.socket, address: tuple[str, int]) -> None:
        if self.family != socket.AF_UNIX and address[0] != "127.0.0.1":
            raise OSError("the tests have no network")
        connect(self, address)

    def look_up_loopback(host: str, *args: object, **kwargs: object) -> object:
        if host != "127.0.0.1":
            raise OSError("the tests have no network")
        return look_up(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect_to_loopback)
    monkeypatch.setattr(socket, "getaddrinfo", look_up_loopback)


class Output(NamedTuple):
    """A command's exit code, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Output]:
    """Runs the command in this process."""

    def call(*arguments: object) -> Output:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Output(int(caught.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, where it is installed."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that GENOPHEN_DATA named as the tests began."""
    folder = os.environ.get("GENOPHEN_DATA")
    if not folder:
        pytest.skip("GENOPHEN_DATA names no folder with MNIST/ and cifar10-jpeg/")
    return Path(folder)
