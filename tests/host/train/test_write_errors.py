"""Write errors while training: the memory's rules, the rates, the gradient, whole runs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_host.train.architectures import NetSpec
from mtjkit_host.train.config import TrainConfig
from mtjkit_host.train.modules import build_net
from mtjkit_host.train.trainer import error_share
from mtjkit_host.train.write_errors import TrainingErrors, store

CPU = torch.device("cpu")


def signs(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, shape, generator=generator).float() * 2 - 1


def test_the_gradient_goes_straight_through_a_wrong_bit() -> None:
    x = torch.tensor([1.0, -1.0, 1.0], requires_grad=True)
    y = store(x, torch.tensor([True, False, False]))
    assert y.tolist() == [-1, -1, 1]
    y.backward(torch.tensor([2.0, 3.0, 5.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [2, 3, 5]


def test_flips_come_at_each_layers_rate() -> None:
    rates = (0.0, 0.1, 1.0)
    errors = TrainingErrors(rates, False, CPU)
    errors.generator.manual_seed(1)
    memory = errors.memory()
    for layer, rate in enumerate(rates):
        x = signs((50, 32, 8, 8), layer)
        wrong = (memory.write(x, layer) != x).sum().item()
        sigma = math.sqrt(x.numel() * rate * (1 - rate))
        assert abs(wrong - rate * x.numel()) <= 5 * sigma


def test_a_share_of_the_rates_is_drawn_while_they_rise() -> None:
    errors = TrainingErrors((0.4,), False, CPU)
    errors.share.fill_(0.25)
    x = signs((50, 32, 8, 8), 0)
    wrong = (errors.memory().write(x, 0) != x).sum().item()
    sigma = math.sqrt(x.numel() * 0.1 * 0.9)
    assert abs(wrong - 0.1 * x.numel()) <= 5 * sigma


def test_with_keep_a_failed_write_leaves_the_old_map_of_the_same_half() -> None:
    """Rate 1 in layers 2 and 3: they hold what layers 0 and 1 stored at the same cells."""
    errors = TrainingErrors((0.0, 0.0, 1.0, 1.0, 1.0), True, CPU)
    memory = errors.memory()
    first = signs((2, 32, 4, 4), 0)
    second = signs((2, 64, 2, 2), 1)
    assert torch.equal(memory.write(first, 0), first)
    assert torch.equal(memory.write(second, 1), second)
    third = memory.write(signs((2, 64, 2, 2), 2), 2)
    # Cells in the order (y, x, channel): 4 pixels of 64 lie where 8 pixels of 32 lay.
    cells = first.permute(0, 2, 3, 1).reshape(2, -1)[:, : 4 * 64]
    assert torch.equal(third.permute(0, 2, 3, 1).reshape(2, -1), cells)
    dense = memory.write(signs((2, 100), 3), 3)
    assert torch.equal(dense, second.permute(0, 2, 3, 1).reshape(2, -1)[:, :100])
    # Behind a smaller map the older one stays: layer 4 finds layer 0's other pixels there.
    last = memory.write(signs((2, 32, 4, 4), 4), 4)
    assert torch.equal(last, first)


def test_with_keep_an_erased_cell_fails_to_become_one_and_no_other_way() -> None:
    errors = TrainingErrors((0.3,), True, CPU)
    x = signs((20, 40, 8, 8), 5)
    stored = errors.memory().write(x, 0)
    wrong = stored != x
    assert (x[wrong] == 1).all()
    ones = int((x == 1).sum())
    assert abs(wrong.sum().item() - 0.3 * ones) <= 5 * math.sqrt(ones * 0.3 * 0.7)


def test_with_keep_a_cell_that_holds_a_random_bit_keeps_it() -> None:
    """At rate 1 the random bits are seen: half of them ones, others at each cell and image."""
    errors = TrainingErrors((1.0, 1.0, 1.0), True, CPU, reused=True)
    memory = errors.memory()
    first = memory.write(signs((20, 40, 8, 8), 5), 0)
    ones = int((first == 1).sum())
    assert abs(ones - first.numel() / 2) <= 5 * math.sqrt(first.numel()) / 2
    assert len({tuple(image.flatten().tolist()) for image in first}) == 20
    other = memory.write(signs((20, 40, 8, 8), 5), 1)
    differ = int((other != first).sum())
    assert abs(differ - first.numel() / 2) <= 5 * math.sqrt(first.numel()) / 2
    # A later map of the half finds the earlier one, and random bits behind it.
    wide = memory.write(signs((20, 64, 8, 8), 6), 2).permute(0, 2, 3, 1)
    assert torch.equal(wide[..., :40], first.permute(0, 2, 3, 1))
    assert (wide[..., 40:] == -1).all()  # a word's unused bits were written as 0


def test_random_bits_change_nothing_where_every_failed_write_flips() -> None:
    x = signs((4, 32, 8, 8), 7)
    stored = []
    for reused in (False, True):
        errors = TrainingErrors((0.3,), False, CPU, reused)
        errors.generator.manual_seed(1)
        stored.append(errors.memory().write(x, 0))
    assert torch.equal(*stored)


def test_a_wider_map_than_before_finds_erased_cells_behind_it() -> None:
    errors = TrainingErrors((0.0, 0.0, 1.0), True, CPU)
    memory = errors.memory()
    first = signs((1, 32, 2, 2), 0)
    memory.write(first, 0)
    wide = memory.write(signs((1, 32, 4, 4), 1), 2).permute(0, 2, 3, 1).reshape(-1)
    assert torch.equal(wide[:128], first.permute(0, 2, 3, 1).reshape(-1))
    assert (wide[128:] == -1).all()


@pytest.mark.parametrize("keep", [False, True])
def test_only_training_has_errors(keep: bool) -> None:
    net = build_net(NetSpec.named("binary-tiny"))
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    net.eval()
    clean = net.scores(images)
    net.write_errors = TrainingErrors((0.5,) * len(net.blocks), keep, CPU)
    assert torch.equal(net.scores(images), clean)
    net.train()
    net.write_errors.generator.manual_seed(1)
    scores = net.scores(images)
    net.write_errors.generator.manual_seed(1)
    assert torch.equal(net.scores(images), scores)
    net.write_errors.generator.manual_seed(2)
    assert not torch.equal(net.scores(images), scores)


def test_rates_rise_over_the_first_epochs() -> None:
    config = TrainConfig(NetSpec.named("binary-tiny"), Path(), Path(), epochs=40, ramp_epochs=2)
    assert [error_share(config, step, 10) for step in (0, 5, 10, 20, 399)] == [0, 0.25, 0.5, 1, 1]
    short = TrainConfig(NetSpec.named("binary-tiny"), Path(), Path(), epochs=4, ramp_epochs=5)
    assert error_share(short, 10, 10) == 1  # a quarter of the run at most
    at_once = TrainConfig(NetSpec.named("binary-tiny"), Path(), Path(), ramp_epochs=0)
    assert error_share(at_once, 0, 10) == 1
