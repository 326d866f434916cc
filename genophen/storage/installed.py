"""How genophen was installed, and so how more of it is."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit


def install_command(extra: str) -> str:
    """The command that installs an extra of genophen, such as `onnx`, for the genophen that is at work.

    From where it was installed: its folder, another address, or by name from the package index.
    """
    return f"pip install {shlex.quote(_requirement(extra))}"


def _requirement(extra: str) -> str:
    try:
        # PEP 610: pip records where a package comes from, unless it is the index.
        url = json.loads(distribution("genophen").read_text("direct_url.json") or "{}").get("url", "")
    except (PackageNotFoundError, ValueError, OSError):
        url = ""
    if url.startswith("file:"):
        return f"{unquote(urlsplit(url).path)}[{extra}]"
    return f"genophen[{extra}] @ {url}" if url else f"genophen[{extra}]"
