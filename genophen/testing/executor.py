"""What an executor has to do."""

from __future__ import annotations

from genophen.contracts.executor import Executor, Outcome, Task
from genophen.testing.findings import Findings, check_class, require


def half(number: int) -> float:
    """A task's function; of an odd number it raises a ValueError."""
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number / 2


def examine_executor(findings: Findings, cls: type[Executor]) -> None:
    """Let an executor run tasks, one of which raises, one after another and two at a time."""
    with findings.needed("the class has all that an executor needs"):
        check_class("executor", cls)
    tasks = [Task(f"half of {number}", half, (number,)) for number in (2, 3, 4)]
    for jobs in (1, 2):
        with findings.check(f"every task's outcome comes, {jobs} at a time"):
            outcomes = {outcome.task.name: outcome for outcome in cls(jobs).run(tasks)}
            _check_outcomes(outcomes, tasks)


def _check_outcomes(outcomes: dict[str, Outcome], tasks: list[Task]) -> None:
    missing = [task.name for task in tasks if task.name not in outcomes]
    require(not missing, f"no outcome for {', '.join(missing)}: yield one for every task")
    values = [outcomes[task.name].value for task in tasks]
    require(
        values == [1.0, None, 2.0], f"the values are {values}: genophen.run_task(task) gives [1.0, None, 2.0]"
    )
    error = outcomes["half of 3"].error
    require(
        "3 is odd" in error, f"a task that raised has the error {error!r}: genophen.run_task(task) keeps it"
    )
