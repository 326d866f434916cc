"""The `genophen` command, one file a subcommand, named like it; no domain logic.

torch is imported only by those that need it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from genophen import __version__
from genophen.cli.common import say
from genophen.cli.compare import compare
from genophen.cli.completion import completion
from genophen.cli.doctor import doctor
from genophen.cli.evaluate import evaluate
from genophen.cli.examples import examples
from genophen.cli.export import export
from genophen.cli.generate import generate
from genophen.cli.group import Commands, explained
from genophen.cli.params import params
from genophen.cli.play import play
from genophen.cli.plugins import plugins
from genophen.cli.process import prepare_process
from genophen.cli.report import report
from genophen.cli.resume import resume
from genophen.cli.run import run
from genophen.cli.runs import runs
from genophen.cli.streams import lost_output, own_streams
from genophen.cli.sweep import sweep
from genophen.errors import GenophenError, lacks_memory, no_memory, one_line


@click.group(
    cls=Commands,
    otherwise="genophen --help",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="genophen")
def cli() -> None:
    """Indirect encodings of neural networks: a small genotype writes a convolutional network's kernels.

    \b
    genophen examples digits
    genophen run examples/digits.toml
    genophen run examples/mnist.toml --optimizer adam
    genophen run examples/cifar_block3.toml --set training.rounds=10
    genophen resume runs/20260101-120000-mnist-1a2b3c
    genophen sweep examples/tables/table2_mnist.toml --out runs/table2

    \b
    Exit codes: 0 done, 1 failure, 2 usage or config, 3 diverged,
    4 damaged checkpoint or data, 5 plugin, 129, 130 and 143 interrupted.
    """


for command in (
    run,
    resume,
    runs,
    evaluate,
    play,
    params,
    sweep,
    compare,
    report,
    export,
    generate,
    plugins,
    examples,
    doctor,
    completion,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    own_streams()
    prepare_process()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        code = cli.main(given, prog_name="genophen", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        code = 130
    except click.ClickException as error:
        explained(error).show()
        code = error.exit_code
    except GenophenError as error:
        if debug:
            raise
        say(f"Error: {error.text()}")
        code = error.exit_code
    except Exception as error:
        if debug:
            raise
        say(f"Error: {_explained(error).text()}")
        code = 1
    if not code and (why := lost_output()):
        say(f"Error: cannot write the output\n  found:   {why}")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _explained(error: Exception) -> GenophenError:
    """Words for what is no error of genophen's own."""
    if lacks_memory(error):
        return no_memory(error)
    found = f"{type(error).__name__}: {one_line(str(error))}"
    if isinstance(error, ImportError):
        return GenophenError(
            "cannot load a package that genophen needs",
            found=found,
            next_step="allow more memory (ulimit -v), or install the package again",
        )
    return GenophenError(
        "something that should not happen",
        found=found,
        next_step="the same command with --debug shows where; please report it",
    )
