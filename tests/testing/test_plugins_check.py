"""`genophen plugins check`: each way of being a wrong plugin is named, with its mending."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hostile import ask

from genophen.plugins.skeleton import SKELETON_KINDS, skeleton


def write(kind: str, folder: Path, old: str = "", new: str = "") -> Path:
    """The skeleton of a kind as a file, with one change."""
    made = skeleton("mine", kind)
    text = made.texts[f"{made.names['module']}.py"]
    assert text.count(old) >= 1
    file = folder / "mine.py"
    file.write_text(text.replace(old, new, 1) if old else text)
    return file


@pytest.mark.parametrize("kind", SKELETON_KINDS)
def test_what_plugins_new_writes_passes(kind: str, tmp_path: Path) -> None:
    answer = ask("plugins", "check", "mine", "--plugin", write(kind, tmp_path))
    assert answer.code == 0, answer
    assert answer.out.startswith(f"{kind} mine, from mine (")
    assert "FAIL" not in answer.out
    assert answer.out.rstrip().endswith("checks passed")


@pytest.mark.parametrize("name", ["wrapper", "local"])
def test_executors_are_checked(name: str, tmp_path: Path) -> None:
    file = tmp_path / "wrapper.py"
    file.write_text(
        "import genophen\n"
        "class Wrapper(genophen.Executor):\n"
        "    name, description = 'wrapper', 'forgets what raises'\n"
        "    def run(self, queue):\n"
        "        yield from (o for o in map(genophen.run_job, queue) if not o.error)\n"
        "@genophen.hookimpl\n"
        "def register_executors(register): register(Wrapper)\n"
    )
    answer = ask("plugins", "check", name, "--plugin", file)
    assert answer.code == (5 if name == "wrapper" else 0), answer
    assert ("no outcome for half of 3: yield one for every job" in answer.out) == (name == "wrapper")


def test_an_executor_of_an_earlier_version_is_told_the_new_names(tmp_path: Path) -> None:
    file = tmp_path / "older.py"
    file.write_text(
        "import genophen\n"
        "class Older(genophen.Executor):\n"
        "    name, description = 'older', 'from before there were tasks'\n"
        "    def run(self, tasks):\n"
        "        yield from map(genophen.run_task, tasks)\n"
        "@genophen.hookimpl\n"
        "def register_executors(register): register(Older)\n"
    )
    answer = ask("plugins", "check", "older", "--plugin", file)
    assert answer.code == 5, answer
    assert "genophen.run_task is called genophen.run_job now" in answer.out


ARCHITECTURE = [
    ("self.num_outputs)", "9)", "two inputs gave (2, 9): the contract wants outputs (2, 10)"),
    ("self.num_outputs)", "9)", "let the last layer have 10 outputs, or set num_outputs = 9"),
    ('["2.weight"]', '["conv2.weight"]', "the pattern matches no parameter"),
    ('["2.weight"]', '"2.weight"', "expressed() returned '2.weight': give a list of patterns"),
    ("two 3x3 convolutions and a dense layer (28x28, grey)", " ", "its description is empty: write one line"),
    ("def build(self):", "def build(self, width):", "settings are fields of a nested class Options"),
    ("Field(16, ge=1", "Field(ge=1", "has no default for width: give every setting one, such as width: int"),
    (
        "return nn.Sequential(",
        "import numpy; width = numpy.random.randint(2, 999)\n        return nn.Sequential(",
        "draw initial values with torch's functions",
    ),
    (
        "return nn.Sequential(",
        "nn.Sequential(",
        "build() returned NoneType, not an nn.Module: return the network",
    ),
    ("self.num_outputs),", "self.num_outputs), nn.Softmax(1),", "leave the softmax out"),
    (
        "(1, 28, 28)",
        "(28, 28, 1)",
        "input_shape is (28, 28, 1): give what forward() takes, without the batch",
    ),
    ("(1, 28, 28)", "(28, 28)", "input_shape is (28, 28): give what forward() takes, without the batch"),
    (
        "nn.ReLU(),\n            nn.Flatten",
        "nn.ReLU(),\n            nn.BatchNorm2d(width, track_running_stats=False),\n            nn.Flatten",
        "an image's logits depend on the other images of its batch",
    ),
    ("nn.Flatten(),", "nn.Flatten(0), nn.Unflatten(0, (2, -1)),", "RuntimeError"),
    (
        "return nn.Sequential(",
        "1 / 0\n        return nn.Sequential(",
        "ZeroDivisionError: division by zero (mine.py, line 22)",
    ),
]
#: What is put into the forward() of NETWORK.
FORWARD = [
    ("self.calls += 1; x = x + self.calls", "a second call in eval mode gives other logits: keep no state"),
    ("x = nn.functional.dropout(x, 0.5)", "give F.dropout(x, p, self.training) its third argument"),
    ("x -= 0.5", "forward() changes the images that it is given: x = x * 2, not x *= 2"),
    ("self.seen += 1", "a call in eval mode changes seen"),
    ("self.register_buffer('last', x.mean())", "a call in eval mode changes last: make it in __init__"),
    ("x = x + (self.conv2.weight.data_ptr() == self.at)", "the compiled network gives other logits"),
    ("return self.dense(self.conv2(x.detach()).flatten(1))", "no gradient reaches conv1.weight: use these"),
    (
        "return nn.functional.conv2d(x, self.cache[0]).mean(3)[:, :3, 0]",
        "no gradient reaches conv1.weight, dense",
    ),
    ("x = x.mean(0, keepdim=True).expand_as(x)", "depend on the other images of its batch"),
    ("x = x.view(2, 1, 8, 8)", "RuntimeError: shape '[2, 1, 8, 8]' is invalid"),
]
NETWORK = """
import genophen, torch
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 4, 3)
        self.dense = nn.Linear(144, 3)
        self.calls, self.at, self.cache = 0, self.conv2.weight.data_ptr(), [self.conv2.weight]
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        CHANGE
        return self.dense(self.conv2(self.conv1(x)).flatten(1))

class Mine(genophen.Architecture):
    name, description, input_shape, num_outputs = "mine", "a network", (1, 8, 8), 3
    def build(self): return Network()
    def expressed(self): return ["conv2.weight"]

@genophen.hookimpl
def register_architectures(register): register(Mine)
"""
GENOTYPE = [
    (
        "target.from_kernel(kernel.view(target.kernel_shape))",
        "kernel",
        "it wrote shape (20, 27) for '0.weight'; allowed: (20, 3, 3, 3)",
    ),
    ("kernel.view(", "kernel.detach().view(", "detached from every parameter"),
    ("kernel.view(", "kernel.double().view(", "is torch.float64: write torch.float32"),
    ("left @ right,", "left @ right / 0,", "is not finite: look at initial values and divisions"),
    (", generator=generator", "", "the global generator was used: torch.randn(..., generator=generator)"),
    (
        "torch.randn(shape, generator=generator)",
        "torch.tensor(__import__('numpy').random.randn(*shape)).float()",
        "two genotypes of one seed express other weights: draw from the generator",
    ),
    ("nn.ParameterList(", "list(", "it has no parameters: make them nn.Parameter, in nn.ParameterList"),
    ("left @ right,", "left @ right + torch.rand(()) * left @ right.abs(),", "draw no noise"),
    (
        'if scope != "genotype":',
        "if False:",
        "genophen.no_genes(self, scope) is raised for a scope without any",
    ),
    (
        "self.named_parameters()]",
        "self.left.named_parameters()]",
        "genes('genotype') names 0, 1, 2, no parameters",
    ),
    ("if not target.is_bias]", "if target.kind == 'conv']", "it wrote nothing for '4.weight'"),
    (
        "self.right = ",
        "self.unused = nn.Parameter(torch.zeros(1))\n        self.right = ",
        "no gradient reaches unused: let express() use it",
    ),
    ("weights[target.name]", "weights[target.name + 'x']", "which is no target"),
    ("Field(4, ge=1", "Field(ge=1", "has no default for rank"),
]
OPTIMIZER = [
    ('{"means": self.means}', "{}", "raised KeyError: 'means' (mine.py, line "),
    ("mean.copy_(saved)", "pass", "a restored state continues differently: let state_dict() hold all"),
    (
        "self.steps_per_round = len(context.batches)",
        "",
        "steps_per_round is not set: set it to a whole number",
    ),
    (
        "return genophen.Metrics(train_loss=loss.detach(), learning_rate=rate)",
        "return loss.item()",
        "step() returned float, not Metrics: return genophen.Metrics(train_loss=loss)",
    ),
    ("parameter.sub_(rate * mean.sign())", "parameter - rate", "four steps changed nothing in the phenotype"),
    ("parameter.sub_(rate * mean.sign())", "parameter.fill_(float('inf'))", "try smaller default steps"),
    ('return {"means": self.means}', 'return {"means": self.means, "object": self.batches}', "['object']"),
    ("def step(self):", "def step(self, closure):", "write def step(self)"),
]
DATASET = [
    (
        "genophen.Split(images, labels)",
        "genophen.Split(images / 255, labels)",
        "(images * 255).round().to(torch.uint8)",
    ),
    ("genophen.Split(images, labels)", "genophen.Split(images[:, 0], labels)", "images[:, None]"),
    ("genophen.Split(images, labels)", "genophen.Split(images, labels + 1)", "count the classes from 0"),
    (
        "genophen.Split(images, labels)",
        "genophen.Split(images, labels + 1)",
        "labels from 1 to 2 for 2 classes",
    ),
    ("genophen.Split(images, labels)", "genophen.Split(images, labels.int())", "labels.long()"),
    (
        "genophen.Split(images, labels)",
        "genophen.Split(images.numpy(), labels.numpy())",
        "torch.from_numpy(array)",
    ),
    ("genophen.Split(images, labels)", "(images, labels)", "give a genophen.Split"),
    (
        ", generator=draws, dtype",
        ", dtype",
        "sort the files, and draw with a torch.Generator of a fixed seed",
    ),
    (
        "self.draw(500, draws)",
        "self.draw(1000, torch.Generator().manual_seed(0))",
        "test images are training images",
    ),
    ("def load(self, data_dir):", "def load(self):", "def load(self, data_dir)"),
]
REPORTER = [
    ("def step(self):", "def step(self, loss):", "write def step(self)"),
    (
        "{row['validation_accuracy']}",
        "{row['train_loss']:.3f}",
        "whose train_loss is None in round 0: raised TypeError",
    ),
    (
        "result):\n        pass",
        "result):\n        self.last = result['test_accuracy']",
        'read it with result.get("...")',
    ),
]


def cases() -> list[tuple[str, str, str, str]]:
    kinds = {
        "architecture": ARCHITECTURE,
        "genotype": GENOTYPE,
        "optimizer": OPTIMIZER,
        "dataset": DATASET,
        "reporter": REPORTER,
    }
    return [(kind, *case) for kind, known in kinds.items() for case in known]


def check_said(file: Path, said: str) -> None:
    answer = ask("plugins", "check", "mine", "--plugin", file)
    assert answer.code == 5, answer
    assert "FAIL" in answer.out
    lines = answer.out.splitlines()
    problems = [f"{above.strip()}: {line.strip()}" for above, line in pairwise(lines) if "FAIL" in above]
    assert any(said in problem for problem in problems), "\n".join(problems)
    assert "the plugin mine breaks its contract" in answer.err


@pytest.mark.parametrize(("kind", "old", "new", "said"), cases())
def test_a_mistake_is_named_with_its_mending(
    kind: str, old: str, new: str, said: str, tmp_path: Path
) -> None:
    check_said(write(kind, tmp_path, old, new), said)


@pytest.mark.parametrize(("change", "said"), FORWARD)
def test_a_mistake_in_forward_is_named_with_its_mending(change: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(NETWORK.replace("CHANGE", change))
    check_said(file, said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("register_architectures", "register_architecture", "did you mean register_architectures?"),
        (
            "register_architectures(register)",
            "register_architectures()",
            "write def register_architectures(register)",
        ),
        (
            "register_architectures(register)",
            "register_architectures(r)",
            "write def register_architectures(register)",
        ),
        (
            "import genophen",
            "import genophen, no_such_thing",
            "(mine.py, line 6); install what has no_such_thing",
        ),
        (
            "import genophen",
            "import genophen\n1 / 0",
            "ZeroDivisionError: division by zero (mine.py, line 7)",
        ),
        ("@genophen.hookimpl", "", "it implements no hook (mark one with @genophen.hookimpl"),
        ('    description = "two', '    text = "two', "it sets no 'description' (a string)"),
        ("register(Mine)", "register(Mine())", "register the class, not an instance"),
        ('"mine"', '"vgg-block1"', "leave out --plugin for one that is installed, or rename yours"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_named_with_its_mending(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    answer = ask("plugins", "check", "mine", "--plugin", write("architecture", tmp_path, old, new))
    assert answer.code == 5
    assert said in answer.err


def test_every_failed_check_is_in_the_json(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(NETWORK.replace("CHANGE", "x.sub_(x.mean()).add_(torch.rand(()))"))
    answer = ask("plugins", "check", "mine", "--plugin", file, "--json")
    assert answer.code == 5
    (checked,) = json.loads(answer.out)
    assert (checked["kind"], checked["name"], checked["passed"]) == ("architecture", "mine", False)
    assert [check["wanted"] for check in checked["checks"] if check["problem"]] == [
        "a call leaves the network and its images as they were",
        "an image's logits are the same in any batch",
        "the compiled network gives the same logits",
    ]
    assert len(checked["checks"]) == 12


def test_a_name_that_nothing_has(tmp_path: Path) -> None:
    answer = ask("plugins", "check", "vgg-blok1")
    assert answer.code == 5
    assert "cannot check the plugin 'vgg-blok1'" in answer.err
    assert "did you mean vgg-block1?" in answer.err


def test_settings_are_checked_as_given(tmp_path: Path) -> None:
    file = write("architecture", tmp_path)
    text = file.read_text().replace("nn.Linear(width * 36", "nn.Linear(576")
    file.write_text(text)
    check = ["plugins", "check", "mine", "--plugin", file]
    assert ask(*check).code == 0
    answer = ask(*check, "--set", "architecture.mine.width=32")
    assert answer.code == 5
    assert "mat1 and mat2 shapes cannot be multiplied (2x1152 and 576x10)" in answer.out
    answer = ask(*check, "--set", "architecture.mine.widht=32")
    assert answer.code == 2
    assert "did you mean width?" in answer.err
    answer = ask(*check, "--set", "training.rounds=32")
    assert answer.code == 2
    assert "architecture.mine.SETTING=VALUE" in answer.err


def test_data_sets_are_read_from_the_folder_given(tmp_path: Path) -> None:
    from PIL import Image

    for number, place in enumerate(("train/a", "train/b", "test/a", "test/b")):
        folder = tmp_path / "data" / "mine" / place
        folder.mkdir(parents=True)
        Image.new("L", (4, 4), 40 * number).save(folder / "one.png")
    setting = ["--set", 'dataset.image-folder.path="mine"']
    answer = ask("plugins", "check", "image-folder", *setting, "--data-dir", tmp_path / "data")
    assert answer.code == 0, answer
