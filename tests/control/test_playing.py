"""Episodes to be looked at: the frames are the episode, the picture loads nothing, the terminal shows it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from conftest import ROOT
from genophen_plugins.architectures.elman import ElmanNetwork
from genophen_plugins.tasks.double_pole import DoublePole

import genophen
from genophen.cli import main
from genophen.contracts.playback import Line, Playback
from genophen.control.playing import MOST_FRAMES, play
from genophen.report.episode_svg import draw_episode, standalone_episode
from genophen.report.episode_text import texts

SVG = "{http://www.w3.org/2000/svg}"


def idle() -> genophen.Networks:
    network = ElmanNetwork(3, 1, 1, False)
    return genophen.Networks(network, {n: torch.zeros(1, *p.shape) for n, p in network.named_parameters()})


def test_the_frames_are_the_states_of_the_episode() -> None:
    task = DoublePole(DoublePole.Options())
    start = task.draw()[0]
    shown = play(task, idle(), start, 1000)
    alone = task.run(idle(), task.draw(), 1000)
    assert shown.steps == int(alone.steps) == shown.returned
    assert shown.failed
    assert len(shown.frames) == shown.steps + 1
    _, _, long, short = shown.frames[0]
    assert isinstance(long, Line)
    assert math.degrees(math.atan2(long.x2 - long.x1, long.y2 - long.y1)) == pytest.approx(4)
    assert math.hypot(short.x2 - short.x1, short.y2 - short.y1) == pytest.approx(0.1)
    _, _, fallen, small = shown.frames[-1]
    leans = [math.degrees(math.atan2(line.x2 - line.x1, line.y2 - line.y1)) for line in (fallen, small)]
    assert max(map(abs, leans)) > 36


def test_a_long_episode_is_shown_in_few_frames_that_take_as_long() -> None:
    class Still(DoublePole):
        def alive(self, state, ops):
            return True

        def advance(self, state, action, ops):
            return state

    task = Still(Still.Options())
    shown = play(task, idle(), task.draw()[0], 3000)
    assert (shown.steps, shown.failed) == (3000, False)
    assert len(shown.frames) <= MOST_FRAMES + 1
    assert shown.seconds * len(shown.frames) == pytest.approx(3000 * 0.02, rel=0.05)


def moving(frames: int = 3) -> Playback:
    lines = [(Line(-1, 0, 1, 0, 0.1), Line(0, 0, i / 10, 0.5, 0.1, 1)) for i in range(frames)]
    return Playback(lines, (-1, -0.5, 1, 0.5), 0.1, frames - 1, 2.0, False, "a <thing>")


def test_the_picture_moves_and_loads_nothing() -> None:
    root = ElementTree.fromstring(standalone_episode(moving()))
    still, swings = root.findall(f"{SVG}line")
    assert len(still) == 0
    (animated,) = swings
    assert animated.get("attributeName") == "x2"
    values = animated.get("values", "").split(";")
    assert values[:3] == ["300.0", "330.0", "360.0"]
    assert set(values[3:]) == {"360.0"}  # for a second
    assert animated.get("dur") == "1.20s"
    assert root.get("aria-label") == "a <thing>: 2 steps, and goes on; return 2"
    assert not re.search(r"href|url\(|script|http(?!://www.w3.org/2000/svg)", standalone_episode(moving()))


def test_images_are_seen_one_after_the_other() -> None:
    images = [np.full((4, 6, 3), 100 * i, np.uint8) for i in range(3)]
    shown = Playback(images, (0, 0, 1, 1), 0.5, 2, 1.0, True, "squares")
    picture = ElementTree.fromstring(str(draw_episode(shown)))
    found = [(image.get("visibility"), image[0].get("values"), image[0].get("keyTimes")) for image in picture]
    # Five times half a second: three frames, and two in which the last stays.
    assert found == [
        ("visible", "visible;hidden", "0.00000;0.20000"),
        ("hidden", "hidden;visible;hidden", "0.00000;0.20000;0.40000"),
        ("hidden", "hidden;visible", "0.00000;0.40000"),
    ]
    assert all((image.get("href") or "").startswith("data:image/png;base64,") for image in picture)
    black, *_, light = texts(Playback([images[0], images[2]], (0, 0, 1, 1), 1, 1, 1, True, ""), 6)
    assert (set(black), set(light)) == ({" ", "\n"}, {"#", "\n"})


def test_letters_show_where_lines_are() -> None:
    up = Playback([(Line(0, -1, 0, 1, 0.1),)], (-1, -1, 1, 1), 0.1, 1, 0.0, False, "")
    (plain,) = texts(up, 9, plain=True)
    assert {line.strip() for line in plain.splitlines()} == {"#"}
    assert {line.index("#") for line in plain.splitlines()} == {4}
    (dots,) = texts(up, 9)
    assert {letter == "\u2800" for line in dots.splitlines() for letter in line[:4]} == {True}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    overrides = ["training.rounds=1", "optimizer.cma-es.generations_per_round=1"]
    genophen.run(ROOT / "examples" / "double_pole.toml", overrides=overrides, out=tmp_path / "run")
    return tmp_path / "run"


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_play_and_the_report(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("play", run) == 0
    printed = capsys.readouterr()
    assert printed.out.count(" s\n") == 5
    assert "a cart with a long and a short pole: " in printed.err
    assert command("play", run, "--out", tmp_path / "episode.svg", "--start", 625, "--steps", 7) == 0
    assert ElementTree.parse(tmp_path / "episode.svg").getroot().tag == f"{SVG}svg"
    assert "7 steps" in capsys.readouterr().err
    assert command("report", run) == 0
    page = (run / "report.html").read_text()
    assert '<h2 id="episode">An episode</h2>' in page
    assert "<animate " in page
    assert "against evaluations (episodes)" in page
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["episodes"] == 13


def test_what_cannot_be_played_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in (
        (("--start", 626), "allowed: 0 to 625"),
        (("--start", -1), "allowed: 0 to 625"),
        (("--out", tmp_path / "episode.gif"), "allowed: .svg"),
    ):
        assert command("play", run, *arguments) == 2
        assert words in capsys.readouterr().err
    tables = ["training.rounds=1", "optimizer.adam.steps_per_round=1"]
    genophen.run(ROOT / "examples" / "digits.toml", overrides=tables[:1], out=tmp_path / "digits")
    capsys.readouterr()
    assert command("play", tmp_path / "digits") == 2
    assert "the task classification, which has no episodes" in capsys.readouterr().err
