"""Draw encodings_mnist.png from encodings_mnist.json: python results/encodings_figure.py

Test accuracy against kernel parameters, a line an encoding: means over seeds, with 95% t intervals where
there are two seeds or more. A mean of one seed is drawn hollow: it carries no claim.
"""

from __future__ import annotations

from statistics import fmean

from matplotlib.figure import Figure
from page import HERE, encodings, read

from genophen.compare.statistics import t_interval

MARKS = "osD^vPX*"


def main() -> None:
    lines = {line["model"]: line for line in read("encodings_mnist")}
    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for number, (encoding, sizes) in enumerate(encodings().items()):
        found = [line for size in sizes if (line := lines.get(f"{encoding} {size}".strip()))]
        counts = [line["kernel_parameters"] for line in found]
        scores = [[100 * trial["test_accuracy"] for trial in line["trials"]] for line in found]
        means = [fmean(each) for each in scores]
        colour = f"C{number}"
        axis.plot(
            counts, means, color=colour, label=f"{encoding} ({', '.join(f'n = {len(s)}' for s in scores)})"
        )
        for count, mean, each in zip(counts, means, scores, strict=True):
            face = colour if len(each) > 1 else "white"
            axis.plot(count, mean, MARKS[number], color=colour, markerfacecolor=face, zorder=3)
            if (interval := t_interval(each)) is not None:
                # a little apart, so that bars of one size do not cover each other
                x = count * (1 + 0.012 * (number - 3.5))
                axis.plot([x, x], interval, color=colour, alpha=0.5, linewidth=1.5)
    axis.set_xscale("log")
    axis.set_xlabel("kernel parameters")
    axis.set_ylabel("test accuracy, %")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.savefig(HERE / "encodings_mnist.png", dpi=130)


if __name__ == "__main__":
    main()
