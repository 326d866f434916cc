"""Run directories and sweeps with links, pipes, devices and foreign things in them: none is touched."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from hostile import Answer, ask, is_harmless
from noisy_runs import NOISY, interrupt_at, noisy_tables, run

from genophen.config.toml import write_toml

COMMANDS = [
    ["resume", "RUN", "--quiet"],
    ["evaluate", "RUN"],
    ["report", "RUN", "SWEEP", "--no-images"],
    ["report", "SWEEP", "--figure", "accuracy"],
    ["compare", "RUN", "OTHER", "--out", "RUN"],
    ["compare", "SWEEP", "OTHER", "--no-bootstrap"],
    ["export", "RUN", "--format", "safetensors"],
    ["sweep", "sweep.toml", "--out", "SWEEP", "--results", "published"],
    ["run", "config.toml", "--out", "RUN", "--quiet"],
]
SECONDS = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted, a finished one, and a sweep one of whose two trials is still to be run."""
    folder = tmp_path_factory.mktemp("made")
    tables = noisy_tables(rounds=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(tables, Path("RUN"), interrupt_at(3))
        run(tables, Path("OTHER"))
        Path("config.toml").write_text(write_toml(tables))
        Path("sweep.toml").write_text(write_toml({"config": tables, "rows": {"one": {}, "two": {}}}))
        arguments = ["sweep", "sweep.toml", "--out", "SWEEP", "--results", "published", "--only", "one"]
        assert ask(*arguments, "--plugin", NOISY).code == 0
    return folder


def victims(folder: Path) -> None:
    """What lies outside: files and folders, some of names that genophen uses."""
    for name in (".git/config", ".ssh/key", "docs/one.md", "docs/two.md", "state/state.json", "notes.txt"):
        file = folder / "outside" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"precious {name}\n")


def digest(path: Path) -> object:
    """All there is to a path: its kind, what it leads to, its content, and that of everything below it."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "link", os.readlink(path)
    if stat.S_ISDIR(status.st_mode):
        return {child.name: digest(child) for child in sorted(path.iterdir())}
    if stat.S_ISREG(status.st_mode):
        return sha256(path.read_bytes()).hexdigest(), status.st_mode
    return stat.S_IFMT(status.st_mode)


def is_kept(before: object, path: Path) -> bool:
    """Whether all that a digest tells is there still; a folder may have got more."""
    if not isinstance(before, dict) or path.is_symlink() or not path.is_dir():
        return os.path.lexists(path) and digest(path) == before
    return all(is_kept(inner, path / name) for name, inner in before.items())


def refused(*arguments: object) -> None:
    """The command ends with exit code 4 and changes nothing, neither in the folder that it is given."""
    before = digest(Path())
    answer = ask(*arguments, "--plugin", NOISY)
    check_words(answer, arguments)
    assert answer.code == 4, answer
    assert digest(Path()) == before


LINKS = {
    "checkpoints": "../..",
    "best": "../docs",
    "metrics.jsonl": "../victim.txt",
    "result.json": "../victim.txt",
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_in_a_run_directory_leads_nowhere(name: str, made: Path) -> None:
    """Hidden folders beside a linked folder of checkpoints, as in a repository, stay as well."""
    shutil.copytree(made / "RUN", "repository/runs/x")
    for folder in (".git", ".ssh", "runs/docs"):
        (Path("repository") / folder).mkdir()
        (Path("repository") / folder / "precious").write_text("precious")
    Path("repository/runs/victim.txt").write_text("precious")
    at = Path("repository/runs/x") / name
    if at.is_dir():
        shutil.rmtree(at)
    at.unlink(missing_ok=True)
    at.symlink_to(LINKS[name])
    refused("resume", "repository/runs/x", "--quiet")


def test_a_linked_sweep_file_and_a_users_folder_in_a_trials_place_stay(made: Path) -> None:
    shutil.copy(made / "sweep.toml", "sweep.toml")
    Path("SWEEP").mkdir()
    Path("victim.txt").write_text("precious")
    Path("SWEEP/sweep.toml").symlink_to("../victim.txt")
    Path("SWEEP/.lock").touch()
    refused("sweep", "sweep.toml", "--out", "SWEEP", "--only", "one")
    Path("SWEEP/sweep.toml").unlink()
    Path("SWEEP/trials/one-seed0").mkdir(parents=True)
    Path("SWEEP/trials/one-seed0/notes.txt").write_text("mine")
    refused("sweep", "sweep.toml", "--out", "SWEEP", "--only", "one")


@pytest.mark.parametrize("left", [[], [".lock"], [".lock", ".config.toml.part"], [".lock", "failure.json"]])
def test_what_a_killed_run_left_without_a_config_is_taken_over(left: list[str], made: Path) -> None:
    Path("RUN").mkdir()
    for name in left:
        (Path("RUN") / name).write_text("[trai")
    answer = ask("run", made / "config.toml", "--out", "RUN", "--quiet", "--plugin", NOISY)
    assert answer.code == 0, answer
    assert not {".config.toml.part", "failure.json"} & {file.name for file in Path("RUN").iterdir()}


NEW_NAMES = [
    *(".git", ".ssh", "notes.txt", "photos", ".hidden.old", ".x.part", "round-00009", "README"),
    *(".config.toml.part", ".result.json.part", ".metrics.jsonl.part", "failure.json", "tensorboard"),
    *("round-00000-step-00009", "round-00009-step-00000", ".round-00001-step-00000.part"),
    *(".round-00000-step-00002.0a1b2c.old", "predictions", "report.html", "network.safetensors", "two-seed0"),
    *("round-00009.json", "result.json", ".lock", "sweep.toml", "table.md", "comparison.json", "curves.csv"),
]
#: A file of another name may be taken for genophen's own.
FOREIGN = {".git", ".ssh", "notes.txt", "photos", ".hidden.old", ".x.part", "round-00009", "README"}


def put_something(at: Path, draw: random.Random) -> None:
    """A link, pipe, device, folder or file of somebody else's."""
    outside = Path("outside").absolute()
    targets = [outside, *outside.rglob("*"), outside / "absent", Path("/dev/zero"), outside / "docs"]
    kind = draw.choice(["link", "link", "link", "pipe", "device", "folder", "file"])
    if kind == "link":
        target = draw.choice(targets)
        at.symlink_to(os.path.relpath(target, at.parent) if draw.random() < 0.5 else target)
    elif kind == "pipe":
        os.mkfifo(at)
    elif kind == "device":
        try:
            os.mknod(at, stat.S_IFCHR | 0o600, os.makedev(1, 5))
        except PermissionError:
            os.mkfifo(at)
    elif kind == "file" and at.name in FOREIGN:
        at.write_text("mine\n")
    else:
        at.mkdir()
        (at / "notes.txt").write_text("mine, too\n")


def put_in(root: Path, draw: random.Random) -> Path | None:
    """Put something into a folder, at a new place or in the place of what genophen made there."""
    there = [path for path in sorted(root.rglob("*")) if not path.is_symlink()]
    if there and draw.random() < 0.5:
        at = draw.choice(there)
        shutil.rmtree(at) if at.is_dir() else at.unlink()
        if at.suffix and draw.random() < 0.3:  # next to it, and nothing in its place
            at = at.with_name(f".{at.name}.part")
    else:
        at = draw.choice([root, *(path for path in there if path.is_dir())]) / draw.choice(NEW_NAMES)
    if os.path.lexists(at):  # genophen made something of that name
        return None
    put_something(at, draw)
    return at


@contextmanager
def time_limit() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise TimeoutError("it hangs")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def check_folder(seed: int, made: Path, commands: int) -> set[int]:
    """Random things in random places, and some commands on them; the exit codes."""
    draw = random.Random(seed)
    shutil.rmtree("here", ignore_errors=True)
    shutil.copytree(made, "here")
    os.chdir("here")
    victims(Path())
    roots = [Path("RUN"), Path("RUN"), Path("SWEEP"), Path("published")]
    places = [put_in(draw.choice(roots), draw) for _ in range(draw.choice([1, 1, 2, 4]))]
    foreign = {at: digest(at) for at in places if at is not None and os.path.lexists(at)}
    outside, codes = digest(Path("outside")), set()
    for command in draw.sample(COMMANDS, commands):
        with time_limit():
            answer = ask(*command, "--plugin", NOISY)
        told = (seed, command, foreign, answer)
        check_words(answer, told)
        assert digest(Path("outside")) == outside, told
        for at, before in foreign.items():
            assert is_kept(before, at), (at, told)
        codes.add(answer.code)
    os.chdir("..")
    return codes


def check_words(answer: Answer, told: object) -> None:
    assert answer.code in (0, 1, 2, 4), told
    assert "Traceback" not in answer.err, told
    assert "should not happen" not in answer.err, told
    assert answer.code in (0, 1) or "Error: " in answer.err, told
    assert is_harmless(answer.out + answer.err), told


def test_nothing_foreign_is_touched(made: Path) -> None:
    codes = set().union(*(check_folder(seed, made, commands=2) for seed in range(40)))
    assert {0, 4} <= codes


@pytest.mark.slow
def test_nothing_foreign_is_touched_in_500_folders(made: Path) -> None:
    codes = set().union(*(check_folder(seed, made, commands=3) for seed in range(1000, 1500)))
    assert {0, 4} <= codes
