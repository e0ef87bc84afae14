"""Draw accuracy against write energy: how short may the pulse be, for these models?

    python examples/energy_accuracy.py cifar-10-batches-bin docs/accuracy-energy.svg MODEL.mtjb ...

Classifies the whole test set with the twin at rising write-error rates of the feature maps, both
error kinds, and draws the accuracy over the modelled energy of writing one bit (the paper's
cell). Needs matplotlib: pip install -e '.[report]'.
"""

import argparse
import itertools
from pathlib import Path

import matplotlib.pyplot as plt
from mtjkit_core.write_errors import FLIP, KEEP, WriteErrors, fail_limit
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_host.datasets.cifar10 import load_test
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.simulate.simulator import open_simulator

RATES = (1e-8, 1e-6, 1e-4, 1e-3, 3e-3, 0.01, 0.024, 0.05, 0.086, 0.12, 0.17, 0.25)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito: colour-blind safe
KINDS = (
    (FLIP, "every written bit may be wrong (flip)", "-o"),
    (KEEP, "old bit stays (keep)", "--s"),
)


def accuracies(model, images, labels, errors):
    """Accuracy in percent at each of RATES."""
    simulator = open_simulator(model)
    shares = []
    for rate in RATES:
        scores, _ = simulator.run(images, errors=WriteErrors(0, errors, fail_limit(rate)))
        shares.append(100 * float((scores.argmax(axis=1) == labels).mean()))
        print(f"{model.name}: rate {rate:g}, {shares[-1]:.2f} %")
    return shares


def main():
    """Read the arguments, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, help="folder with CIFAR-10's binary files")
    parser.add_argument("output", type=Path, help="SVG or PNG file to write")
    parser.add_argument("models", type=Path, nargs="+", help="model files (.mtjb)")
    args = parser.parse_args()
    images, labels = load_test(args.data)
    cell = Cell()
    energies = [cell.write_energy_pj(cell.pulse_width_ns(rate)) for rate in RATES]

    plt.rcParams.update({"svg.hashsalt": "mtjkit", "font.size": 10})
    figure, ax = plt.subplots(figsize=(7.2, 3.9), layout="constrained")
    for path, colour in zip(args.models, itertools.cycle(COLOURS), strict=False):
        model = load(path)
        for errors, kind, style in KINDS:
            shares = accuracies(model, images, labels, errors)
            ax.plot(energies, shares, style, color=colour, ms=4, label=f"{model.name}, {kind}")
    ax.axvline(cell.reference_energy_pj, color="0.5", lw=1)
    ax.annotate(
        "conventional write,\nerror rate 1e-8 ",
        (cell.reference_energy_pj, ax.get_ylim()[0]),
        ha="right",
        va="bottom",
        color="0.35",
    )
    ax.axvline(cell.write_energy_pj(cell.pulse_width_ns(0.024)), color="0.5", lw=1, ls=":")
    ax.annotate(
        " error rate 2.4 %:\n 80 % less energy",
        (cell.write_energy_pj(cell.pulse_width_ns(0.024)), ax.get_ylim()[0]),
        va="bottom",
        color="0.35",
    )
    ax.set_xlabel("write energy of one feature-map bit, pJ (modelled)")
    ax.set_ylabel("CIFAR-10 test accuracy, %")
    ax.set_xlim(0, 47)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(0.93, 0.16))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output, metadata={"Date": None} if args.output.suffix == ".svg" else None)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
