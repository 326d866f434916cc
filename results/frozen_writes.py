"""Whether the writes are the memory: how long evolved fast weights balance once nothing more is written.

python results/frozen_writes.py RUNS/trials/Fast-weights-*

RUNS is the folder of the sweep examples/comparisons/double_pole.toml. The champions' steps of 1,000, from the
start that they were trained on, go to double_pole_comparison/frozen_writes.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from genophen_plugins.tasks.double_pole import DoublePole

import genophen

HERE = Path(__file__).parent


def main(directories: list[str]) -> None:
    task = DoublePole(DoublePole.Options())
    steps = []
    for directory in directories:
        run = genophen.Run.load(directory)
        phenotype = run.phenotype()
        counts = []
        for frozen in (False, True):
            if frozen:
                with torch.no_grad():
                    for slow in phenotype.genotype.slow:
                        slow.value_weight.zero_()
            networks = genophen.Networks.of(phenotype)
            counts.append(int(task.run(networks, task.draw(), 1000).survived))
        steps.append({"seed": run["seed"], "writing": counts[0], "frozen": counts[1]})
    frozen = sorted(each["frozen"] for each in steps)
    found = {"champions": steps, "frozen_least": frozen[0], "frozen_most": frozen[-1]}
    (HERE / "double_pole_comparison" / "frozen_writes.json").write_text(
        json.dumps(found) + "\n", encoding="utf-8"
    )
    print(f"{len(steps)} champions: frozen {frozen[0]} to {frozen[-1]}, median {frozen[len(frozen) // 2]}")
    print(f"writing: at least {min(each['writing'] for each in steps)}")


if __name__ == "__main__":
    main(sys.argv[1:])
