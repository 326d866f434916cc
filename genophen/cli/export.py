"""`genophen export`: the trained network as a file that needs no genophen."""

from __future__ import annotations

from pathlib import Path

import click

from genophen.cli.common import (
    data_dir_option,
    json_option,
    plugin_options,
    print_json,
    resolve_run,
    say,
    show,
)


@click.command(no_args_is_help=True)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_name",
    required=True,
    metavar="NAME",
    help="torch, safetensors (weights), onnx or torch-export (the whole network as a program).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Default: network.pt, .safetensors, .onnx or .pt2 in DIRECTORY.",
)
@data_dir_option
@json_option
@plugin_options
def export(
    directory: Path,
    format_name: str,
    out: Path | None,
    data_dir: Path | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
    debug: bool,
) -> None:
    """Write the best network of the run in DIRECTORY, with its preprocessing, to a file.

    It takes images as the data set has them, uint8 (N, C, H, W), and gives logits (N, classes). It is
    kept only if its logits on 100 test images are those of the run. docs/export.md shows how to load each.

    \b
    genophen export runs/20260101-120000-mnist-1a2b3c --format onnx
    """
    from genophen.export.exporting import export_run
    from genophen.storage.rundir import RunDirectory

    run = RunDirectory.open(directory)
    config, plugins = resolve_run(run, (), {"data_dir": data_dir}, plugin_files)
    exported = export_run(run, config, plugins, format_name, out, say)
    if as_json:
        print_json(
            {
                "file": str(exported.file),
                "format": format_name,
                "about": exported.about,
                "images": exported.images,
                "largest_difference": exported.difference,
            }
        )
        return
    shape = ", ".join(map(str, exported.about["image_shape"]))
    show(str(exported.file))
    say(f"images uint8 (N, {shape}) in, logits out; weights of round {exported.about['round']}")
    say(f"compared on {exported.images} test images: logits differ by up to {exported.difference:.1g}")
