"""What an executor has to do."""

from __future__ import annotations

from genophen.contracts.executor import Executor, Job, Outcome
from genophen.testing.findings import Findings, check_class, require


def half(number: int) -> float:
    """A job's function; of an odd number it raises a ValueError."""
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number / 2


def examine_executor(findings: Findings, cls: type[Executor]) -> None:
    """Let an executor run jobs, one of which raises, one after another and two at a time."""
    with findings.needed("the class has all that an executor needs"):
        check_class("executor", cls)
    queue = [Job(f"half of {number}", half, (number,)) for number in (2, 3, 4)]
    for jobs in (1, 2):
        with findings.check(f"every job's outcome comes, {jobs} at a time"):
            outcomes = {outcome.job.name: outcome for outcome in cls(jobs).run(queue)}
            _check_outcomes(outcomes, queue)


def _check_outcomes(outcomes: dict[str, Outcome], queue: list[Job]) -> None:
    missing = [job.name for job in queue if job.name not in outcomes]
    require(not missing, f"no outcome for {', '.join(missing)}: yield one for every job")
    values = [outcomes[job.name].value for job in queue]
    require(
        values == [1.0, None, 2.0], f"the values are {values}: genophen.run_job(job) gives [1.0, None, 2.0]"
    )
    error = outcomes["half of 3"].error
    require("3 is odd" in error, f"a job that raised has the error {error!r}: genophen.run_job(job) keeps it")
