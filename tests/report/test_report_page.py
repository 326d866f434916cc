"""The report's page: what it says of whole, broken and hostile runs, and that what it draws is right."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import re
import shutil
import signal
import threading
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from helpers import compiled, digits_tables, plugin_class
from hostile import ask
from PIL import Image

import genophen
from genophen.config.toml import read_toml, write_toml
from genophen.contracts.measure import ACCURACY
from genophen.plugins.loading import load_plugins
from genophen.report import watch
from genophen.report.axes import linear_axis, log_axis, score_axis
from genophen.report.collection import read_collection
from genophen.report.images import NEGATIVE, POSITIVE, diverging_png
from genophen.report.mistakes import read_mistakes
from genophen.report.page import EvaluationPlace, PageOptions, write_report
from genophen.report.pareto import Point, pareto_front
from genophen.report.trained_weights import common_kernel, principal_components, written_layers

CSS = ROOT / "genophen" / "report" / "templates" / "charts.css"


class Tags(HTMLParser):
    """Every element of a page with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, `run`."""
    folder = tmp_path_factory.mktemp("made")
    genophen.run(digits_tables(rounds=2), out=folder / "run")
    return folder / "run"


def report(*directories: Path, **options) -> str:
    target = Path("page.html")
    write_report(directories, target, load_plugins(), PageOptions(**options), lambda note: None)
    return target.read_text()


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def copied(made: Path, name: str, seed: int = 0, **training: object) -> Path:
    """A run directory like the one made, under another seed."""
    folder = Path(shutil.copytree(made, name))
    tables = read_toml(folder / "config.toml")
    tables["training"] |= {"seed": seed, **training}
    (folder / "config.toml").write_text(write_toml(tables))
    edit(folder / "result.json", seed=seed)
    return folder


def test_a_page_shows_the_run_and_how_to_repeat_it(made: Path) -> None:
    page = report(made)
    result = json.loads((made / "result.json").read_text())
    text = Tags(page).text
    assert f"{result['test_accuracy']:.2%}" in text
    assert f"genophen run {made / 'config.toml'}" in text
    assert "embedding_dim = 4" in text
    assert f"torch {torch.__version__}" in text
    assert json.loads((made / "environment.json").read_text())["dataset"]["sha256"] in text
    assert 'http-equiv="refresh"' not in page


def test_runs_that_are_not_finished_are_listed_and_never_ranked(made: Path) -> None:
    whole = copied(made, "whole")
    for seed, status in enumerate(("interrupted", "diverged"), 1):
        edit(copied(made, status, seed) / "result.json", status=status, test_score=0.999)
    (copied(made, "killed", 3) / "result.json").unlink()
    (copied(made, "damaged", 4) / "result.json").write_text("{")
    folders = [Path(n) for n in ("interrupted", "diverged", "killed", "damaged", "absent", "whole")]
    collection = read_collection(folders, load_plugins())
    assert {str(run.directory): run.status for run in collection.runs} == {
        "interrupted": "interrupted",
        "diverged": "diverged",
        "killed": "unfinished",
        "whole": "completed",
    }
    assert [str(folder) for folder, _ in collection.damaged] == ["damaged", "absent"]
    (source,) = collection.sources
    assert source.best is not None
    assert source.best.directory == whole
    assert [len(group.test_scores) for group in collection.groups] == [1]
    page = Tags(report(*folders, images=False))
    assert "99.90%" not in page.text
    for folder in folders:
        assert str(folder) in page.text


def test_trials_are_shown_by_row_with_those_that_failed_or_wait(made: Path) -> None:
    copied(made, "sweep/trials/Good-seed0")
    Path("sweep/trials/Good-seed1").mkdir()
    Path("sweep/trials/Good-seed1/failure.json").write_text('{"error": "out of memory"}')
    tables = read_toml(made / "config.toml")
    del tables["training"]["seed"]
    sweep = {"title": "Two rows", "config": tables, "seeds": [0, 1], "rows": {"Good": {}, "Later": {}}}
    Path("sweep/sweep.toml").write_text(write_toml(sweep))
    collection = read_collection([Path("sweep")], load_plugins())
    states = [[(run.status, run.note) for run in group.runs] for group in collection.groups]
    assert states == [[("completed", ""), ("failed", "out of memory")], [("not run", "")] * 2]
    assert collection.title == "Two rows"
    Path("sweep/sweep.toml").write_text("rows = 1")
    collection = read_collection([Path("sweep")], load_plugins())
    assert [run.status for run in collection.runs] == ["completed", "failed"]
    assert collection.damaged[0][0] == Path("sweep/sweep.toml")


def test_where_no_run_can_be_read_the_command_says_why(made: Path) -> None:
    (copied(made, "damaged") / "metrics.jsonl").write_text('{"round": "<script>"}\n')
    answer = ask("report", "damaged")
    assert answer.code == 4
    assert "metrics.jsonl" in answer.err
    assert ask("report", "absent").code == 2


def test_names_from_files_are_never_markup(made: Path) -> None:
    evil = "<script>alert(1)<"
    for split in ("train", "test"):
        for name in (evil, "<img src=x onerror=alert(2)>"):
            (Path("pictures") / split / name).mkdir(parents=True)
            for number in range(10):
                picture = Image.new("L", (28, 28), color=20 * number + 10 * (name == evil))
                picture.save(Path("pictures") / split / name / f"{number}.png")
    tables = digits_tables(rounds=2, batch_size=8)
    tables["dataset"] = {"name": "image-folder", "image-folder": {"path": str(Path("pictures").absolute())}}
    tables["architecture"] = {"name": "vgg-block1"}
    rows = {f"{evil}/script>{{{{ 7*7 }}}}": {}, "'\"><svg onload=alert(3)>": {}}
    Path("sweep.toml").write_text(write_toml({"title": evil, "config": tables, "rows": rows}))
    assert ask("sweep", "sweep.toml", "--out", evil).code == 0
    page = Tags(report(Path(evil)))
    assert not page.of("script")
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]
    assert {image["src"][:14] for image in page.of("img")} == {"data:image/png"}
    assert len(page.of("img")) == 1 + 10
    assert page.text.count(evil) > 5
    assert "{{ 7*7 }}" in page.text


def test_without_the_data_the_rest_is_shown(made: Path) -> None:
    folder = copied(made, "elsewhere")
    edit(folder / "environment.json", dataset={"name": "digits", "sha256": "0" * 64})
    page = Tags(report(folder)).text
    assert "Left out: " in page
    assert "mistakes, since cannot show the mistakes" in page
    assert "Kernels" in page
    shutil.rmtree(folder / "best")
    page = Tags(report(folder)).text
    for name in ("kernels", "embeddings", "mistakes"):
        assert re.search(f"{name}, since .*best", page), name
    assert "Kernels" not in page
    assert "Learning curves" in page


def test_the_command_names_the_plugin_file_that_a_run_had(made: Path) -> None:
    folder = copied(made, "of-a-file")
    recorded = json.loads((folder / "environment.json").read_text())
    file = {"kind": "architecture", "name": "mine", "distribution": "/a b/mine.py", "sha256": "0" * 64}
    (folder / "environment.json").write_text(json.dumps(recorded | {"plugins": [file, file]}))
    assert "genophen run of-a-file/config.toml --plugin '/a b/mine.py'" in Tags(report(folder)).text


def test_kernels_of_every_genotype_are_shown_or_said_to_be_left_out(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [made]
    for name in ("low-rank", "dct"):
        genophen.run(digits_tables(), overrides=[f"genotype.name={name}"], out=tmp_path / name)
        folders.append(tmp_path / name)
    page = Tags(report(*folders))
    assert len([image for image in page.of("img") if image.get("class") == "kernel"]) == 3
    assert "the best run of each genotype, on one colour scale" in page.text
    assert "low-rank: low-rank" not in page.text
    assert "One seed each: such differences may be chance." in page.text
    assert "Genotypehypernetwork, low-rank, dct" in "".join(page.text.split("\n"))
    monkeypatch.setattr("genophen.report.page.MAX_KERNELS", 1)
    page = Tags(report(*folders))
    assert len([image for image in page.of("img") if image.get("class") == "kernel"]) == 1
    assert "the best run of each genotype, but for 2 that did less well, on one colour scale" in page.text


def test_mistakes_are_those_of_the_result(made: Path) -> None:
    run = read_collection([made], load_plugins()).runs[0]
    mistakes = read_mistakes(run, load_plugins(), EvaluationPlace())
    assert mistakes.images == 400
    assert mistakes.wrong == round(400 * (1 - run.result.test_score))
    assert sum(map(sum, mistakes.confusion)) == 400
    assert sum(row[i] for i, row in enumerate(mistakes.confusion)) == 400 - mistakes.wrong
    labels = plugin_class("dataset", "digits")().load(Path()).test.labels
    assert [sum(row) for row in mistakes.confusion] == labels.bincount().tolist()
    losses = [image.loss for image in mistakes.worst]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 10
    assert mistakes.worst[0].true != mistakes.worst[0].predicted


def test_the_front_has_what_nothing_beats() -> None:
    def point(kernel: int, accuracy: float) -> Point:
        return Point(str(kernel), kernel, accuracy, 0.0, False)

    points = [point(400, 0.98), point(100, 0.95), point(200, 0.94), point(300, 0.98), point(500, 0.99)]
    assert [p.kernel for p in pareto_front(points)] == [100, 300, 500]


def test_principal_components_are_those_of_a_known_cloud() -> None:
    along = torch.tensor([[3.0, 4.0, 0.0]]) / 5
    across = torch.tensor([[-4.0, 3.0, 0.0]]) / 5
    vectors = torch.cat([7 + 10 * along, 7 - 10 * along, 7 + across, 7 - across])
    projected, shares = principal_components(vectors)
    expected = torch.tensor([[10.0, 0], [10, 0], [0, 1], [0, 1]], dtype=torch.float64)
    torch.testing.assert_close(projected.abs(), expected, atol=1e-5, rtol=0)
    assert shares == pytest.approx([100 / 101, 1 / 101])


def test_each_embedding_is_given_to_the_layer_that_it_writes() -> None:
    owners = written_layers(compiled(embedding_dim=4, normalization="standardized"))
    assert [owners.count(name) for name in ("0.weight", "3.weight", "5.weight")] == [2, 6, 3]


def test_a_weights_colour_says_its_sign_and_its_strength_its_size() -> None:
    source = diverging_png(torch.tensor([[-9.0, 2.0, 1.0, 0.0, float("nan")]]), limit=2.0)
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        pixels = [image.getpixel((x, 0)) for x in range(5)]
    assert pixels[:3] == [(*NEGATIVE, 255), (*POSITIVE, 255), (*POSITIVE, 128)]
    assert [pixel[3] for pixel in pixels[3:]] == [0, 0]


def test_high_accuracies_are_spaced_by_the_error_that_is_left() -> None:
    axis = score_axis("accuracy", [0.9, 0.99, 0.999], ACCURACY)
    gaps = axis.place(0.99) - axis.place(0.9), axis.place(0.999) - axis.place(0.99)
    assert gaps[0] == pytest.approx(gaps[1])
    assert axis.place(1.0) == 1.0
    assert {"90%", "99%", "99.9%"} <= {name for _, name in axis.ticks()}
    assert [name for _, name in linear_axis("rounds", [0, 20]).ticks()] == ["0", "5", "10", "15", "20"]
    assert len(log_axis("loss", [0.051, 0.068]).ticks()) >= 2
    for values in ([1.0], [0.5], [0.0, 1.0]):
        axis = score_axis("accuracy", values, ACCURACY)
        assert all(0 <= axis.place(value) <= 1 for value in values)


def test_forty_runs_stay_under_5_mb_and_their_panels_tell_who_they_are(made: Path) -> None:
    folders = [copied(made, f"run-{i}", i % 4, batch_size=100 + i // 4) for i in range(40)]
    page = report(*folders, images=False)
    assert len(page) < 5e6
    tags = Tags(page)
    panels = [a["aria-label"] for a in tags.of("svg") if a.get("aria-label", "").startswith("Training loss")]
    assert len(panels) == 20
    for size in range(100, 110):
        assert sum(f"batch_size={size} goes from" in label for label in panels) == 2
    identities = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(identities) == len(set(identities))
    links = {a["href"][1:] for tag in ("a", "use") for a in tags.of(tag)}
    assert links <= set(identities)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_have_contrast_on_a_light_and_on_a_dark_page() -> None:
    themes = re.findall(r":root \{(.*?)\}", CSS.read_text(), re.S)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w{6});", theme))
        for ground in ("page", "raised"):
            for name in ("text", "soft", "link", "good", "bad"):
                assert contrast(colours[name], colours[ground]) >= 4.5, name
            for index in range(8):
                assert contrast(colours[f"c{index}"], colours[ground]) >= 3, index


def test_watching_writes_the_page_until_the_run_is_over(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.05)
    folder, target = copied(made, "watched"), Path("page.html")
    (folder / "result.json").rename("result.json")
    rows = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text(rows[0])
    pages: list[str] = []

    def train() -> None:
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            started.set()
            wait_for_page(after="")
            pages.append(target.read_text())
            with (folder / "metrics.jsonl").open("a") as metrics:
                metrics.write(rows[1] + rows[2][:20])  # the last row is only half written
            wait_for_page(after=pages[0])
            pages.append(target.read_text())
            Path("result.json").rename(folder / "result.json")

    def wait_for_page(after: str) -> None:
        until = time.monotonic() + 20
        while not target.exists() or target.read_text() == after:
            assert time.monotonic() < until
            time.sleep(0.02)

    started = threading.Event()
    training = threading.Thread(target=train)
    training.start()
    started.wait()
    number = watch.watch_report(
        [folder], target, load_plugins(), PageOptions(images=False), lambda note: None
    )
    training.join()
    assert number == 0
    assert ["running" in Tags(page).text for page in [*pages, target.read_text()]] == [True, True, False]
    assert ['http-equiv="refresh"' in page for page in [*pages, target.read_text()]] == [True, True, False]
    assert pages[0].count("<polyline") < pages[1].count("<polyline")


def test_watching_ends_cleanly_on_ctrl_c(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.05)
    folder = copied(made, "watched")
    (folder / "result.json").unlink()
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        timer.start()
        answer = ask("report", "--watch", "watched")
    timer.join()
    assert answer.code == 130
    assert answer.out.strip() == "watched/report.html"
    assert "Traceback" not in answer.err
    assert 'http-equiv="refresh"' not in (folder / "report.html").read_text()


def test_run_ends_with_the_reports_path(tmp_path: Path) -> None:
    Path("digits.toml").write_text(write_toml(digits_tables(rounds=1)))
    answer = ask("run", "digits.toml", "--report", "--out", "mine", "--quiet")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].split() == ["report", "mine/report.html"]
    assert "highest loss" in Path("mine/report.html").read_text()


def test_rounds_have_whole_numbers_on_their_axis() -> None:
    assert [text for _, text in linear_axis("rounds", [0, 2], whole=True).ticks()] == ["0", "1", "2"]
    assert [text for _, text in linear_axis("x", [0, 2]).ticks()] == ["0", "0.5", "1", "1.5", "2"]


def test_runs_on_several_data_sets_are_never_ranked_together(made: Path) -> None:
    copied(made, "digits-a")
    copied(made, "digits-b", batch_size=50)
    other = copied(made, "other", 1)
    edit(other / "environment.json", dataset={"name": "letters", "sha256": "1" * 64, "images": {"train": 9}})
    twice = copied(made, "twice", 2)
    edit(twice / "environment.json", dataset={"name": "letters", "sha256": "2" * 64, "images": {"train": 9}})
    edit(other / "result.json", validation_score=1.0)
    for row in (other, twice):
        tables = read_toml(row / "config.toml")
        (row / "config.toml").write_text(write_toml(tables))
    killed = copied(made, "killed", 4)
    for name in ("result.json", "environment.json"):
        (killed / name).unlink()
    folders = [Path(name) for name in ("digits-a", "other", "digits-b", "twice", "killed")]
    collection = read_collection(folders, load_plugins())
    assert [(source.name, len(source.runs)) for source in collection.sources] == [
        ("digits", 3),
        ("letters (11111111)", 1),
        ("letters (22222222)", 1),
    ]
    digits = collection.sources[0]
    assert digits.best is not None
    assert str(digits.best.directory) in ("digits-a", "digits-b")
    assert {group.name for group in digits.groups} == {"batch_size=100", "batch_size=50"}
    page = Tags(report(*folders, images=False))
    for name in ("digits", "letters (11111111)", "letters (22222222)"):
        assert f"Results: {name}" in page.text
        assert f"Learning curves: {name}" in page.text
    # A point for each of the two groups of digits, and none of another data set.
    (chart,) = [a for a in page.of("svg") if "against kernel parameters of" in a.get("aria-label", "")]
    assert "parameters of 2 groups" in chart["aria-label"]
    identities = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(identities) == len(set(identities))
    regions = [attributes["aria-label"] for _, attributes in page.found if attributes.get("role") == "region"]
    assert len(regions) == len(set(regions))
    answer = ask("report", "digits-a", "other", "--figure", "accuracy")
    assert answer.code == 2
    assert "runs on digits, letters" in answer.err


def test_measures_are_each_written_in_their_own_way(made: Path) -> None:
    copied(made, "digits")
    world = copied(made, "world", 1)
    own = {"measure": "return", "percent": False, "negated": False}
    edit(world / "environment.json", task={"name": "world", **own}, dataset={"name": "world", "sha256": "w"})
    edit(world / "result.json", test_score=123.4, validation_score=99.5, **own)
    page = Tags(report(Path("digits"), Path("world"), images=False)).text
    assert "Test return" in page
    assert "123.4" in page
    assert "12340" not in page
    assert "Test score" in page  # the heading over runs of both measures


def test_the_head_says_data_network_and_command(made: Path) -> None:
    head, _, _ = report(made).partition("<nav")
    text = Tags(head).text
    for part in ("digits (1,197 / 200 / 400)", "mnist-cnn", "hypernetwork", "adam"):
        assert part in text
    assert f"genophen run {made / 'config.toml'}" in text


def test_names_of_groups_are_short_and_their_settings_stand_in_a_table(made: Path) -> None:
    changes = {"rounds": 2, "batch_size": 50, "patience": 9, "keep": "last", "checkpoint_seconds": 5.0}
    copied(made, "usual")
    copied(made, "changed", 0, **changes, evaluation_batch_size=64, max_seconds=1000.0)
    collection = read_collection([Path("usual"), Path("changed")], load_plugins())
    names = [group.name for group in collection.groups]
    assert all(name.count(",") == 2 for name in names), names
    page = Tags(report(Path("usual"), Path("changed"), images=False)).text
    for setting in ("training.batch_size = 50", "training.max_seconds = 1000.0", "training.patience = 9"):
        assert setting in page


def test_styles_of_lines_are_explained_where_there_are_such_lines(made: Path) -> None:
    alone = Tags(report(copied(made, "alone"), images=False)).text
    assert "one seed of several" not in alone
    assert "did not come to its end" not in alone
    (copied(made, "killed", 1) / "result.json").unlink()
    page = Tags(report(Path("alone"), Path("killed"), images=False)).text
    assert "a run that did not come to its end" in page
    copied(made, "second", 2)
    assert "one seed of several" in Tags(report(Path("alone"), Path("second"), images=False)).text


class Kernels:
    """As much of a trained network as `common_kernel` asks for."""

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        self.kernels = {name: torch.zeros(shape) for name, shape in shapes.items()}


def test_the_kernel_that_is_drawn_is_the_largest_and_no_tower() -> None:
    network = Kernels(depthwise=(24, 1, 5, 5), pointwise=(96, 24, 1, 1), conv=(16, 8, 3, 3))
    assert common_kernel([network]) == "conv"
    assert common_kernel([network, Kernels(pointwise=(96, 24, 1, 1))]) == "pointwise"
    assert common_kernel([network, Kernels()]) is None
