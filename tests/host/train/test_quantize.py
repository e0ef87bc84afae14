"""Quantizers and their pseudo-gradient."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_host.train.quantize import fixed, fixed_codes, fixed_values, quantize, sign


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_sign_of_zero_is_plus_one(dtype: torch.dtype) -> None:
    x = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 2.0], dtype=dtype)
    assert sign(x).tolist() == [-1, -1, 1, 1, 1, 1]
    assert sign(x).dtype == dtype


@pytest.mark.parametrize("bits", [1, 8, 16, 32])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_gradient_passes_where_x_is_within_one(bits: int, dtype: torch.dtype) -> None:
    above = 1.0 + torch.finfo(dtype).eps
    x = torch.tensor([-9.0, -above, -1.0, -0.3, 0.0, 1.0, above, 9.0], dtype=dtype)
    x.requires_grad_()
    weights = torch.arange(1.0, 9.0, dtype=dtype)
    torch.autograd.backward((quantize(x, bits) * weights).sum())
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 3, 4, 5, 6, 0, 0]


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_codes_cover_twos_complement(bits: int) -> None:
    one = 1 << (bits - 1)
    x = torch.tensor([-7.0, -1.0, -1.0 / one, 0.0, 0.49 / one, 1.0 - 1.0 / one, 1.0, 7.0]).double()
    codes = fixed_codes(x, bits)
    assert codes.tolist() == [-one, -one, -1, 0, 0, one - 1, one - 1, one - 1]
    assert torch.equal(fixed_codes(fixed_values(codes, bits), bits), codes)


def test_32_bits_keep_their_low_bits() -> None:
    codes = torch.tensor([2**31 - 1, 2**30 + 1, -(2**31) + 1])
    assert torch.equal(fixed_codes(fixed_values(codes, 32), 32), codes)


def test_halves_round_to_even() -> None:
    assert fixed_codes(torch.tensor([0.5, 1.5, -0.5, 2.5]) / 128, 8).tolist() == [0, 2, 0, 2]


@pytest.mark.parametrize(
    ("bits", "dtype"), [(8, torch.bfloat16), (8, torch.float32), (16, torch.float32)]
)
def test_training_and_codes_agree_where_the_type_holds_the_code(
    bits: int, dtype: torch.dtype
) -> None:
    x = (torch.rand(5000, generator=torch.Generator().manual_seed(1)) * 2.4 - 1.2).to(dtype)
    x = torch.cat([x, torch.tensor([-1.0, 1.0, 0.0, 1.0 - 2.0**-7], dtype=dtype)])
    assert torch.equal(fixed(x, bits), fixed_values(fixed_codes(x, bits), bits, dtype))


def test_a_short_type_stays_below_one() -> None:
    assert fixed(torch.tensor([1.0, 3.0]), 32).tolist() == [1 - 2**-24] * 2
