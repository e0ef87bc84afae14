"""The packed twin beside the same network as float +-1 convolutions in eager torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
from mtjkit_core.write_errors import WriteErrors, fail_limit

from mtjkit_host.checks.bench_nets import paper_binary, random_images
from mtjkit_host.simulate.simulator import open_simulator

BATCH = 250
RATES = (1e-8, 1e-6, 1e-4, 1e-3, 0.024, 0.1, 0.3, 0.5)
THREADS = 2


@dataclass(frozen=True)
class TwinBench:
    """The paper's Binary with random weights, two threads each, wall time but where it is said."""

    images_per_s: float
    """Of the twin, errors at 2.4 % on; median."""
    ratio_to_torch_eager: float
    """Images per second of the twin with errors on, over torch's; median of the rounds' ratios."""
    flip_overhead_percent: float
    """What errors add to the error-free twin's processor time, at the worst of RATES; each the
    median of the rounds' ratios."""


def bench_twin(rounds: int = 9, progress: Callable[[str], None] = print) -> TwinBench:
    """Time the twin and torch in turn, round by round (needs torch).

    Args:
        rounds: how often everything is timed.
        progress: told of each round.
    """
    import torch

    from mtjkit_host.checks.float_net import FloatNet

    torch.set_num_threads(THREADS)
    model = paper_binary()
    images = random_images(model, BATCH)
    indices = np.arange(BATCH, dtype=np.uint32)
    simulator = open_simulator(model)
    float_net = FloatNet(model)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))

    def run_twin(rate: float) -> tuple[float, float]:
        """Seconds, and seconds of the processor, which other programs do not lengthen."""
        began = time.perf_counter(), time.process_time()
        simulator.run(images, indices, WriteErrors(limits=fail_limit(rate)))
        return time.perf_counter() - began[0], time.process_time() - began[1]

    def run_torch() -> float:
        began = time.perf_counter()
        float_net(x)
        return time.perf_counter() - began

    run_twin(0.024), run_torch()  # caches and libraries warm
    ratios, speeds = [], []
    overheads: dict[float, list[float]] = {rate: [] for rate in RATES}
    for number in range(rounds):
        eager = run_torch()
        for rate in RATES:
            # Errors off, on, off: a machine that drifts between them drifts past both.
            before, on, after = run_twin(0.0), run_twin(rate), run_twin(0.0)
            overheads[rate].append(200 * on[1] / (before[1] + after[1]) - 100)
            if rate == 0.024:
                ratios.append(eager / on[0])
                speeds.append(BATCH / on[0])
        progress(f"twin: round {number + 1} of {rounds}: {ratios[-1]:.2f} x torch eager")
    worst = max(median(values) for values in overheads.values())
    return TwinBench(median(speeds), median(ratios), worst)
