"""What many candidates' kernels have in common, found in the numbers: fewer kernels, or fewer channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genophen.population.nested import in_one_stack

#: Directions in kernel space that are looked for: more would cost more than they save.
_MOST_DIRECTIONS = 64
#: Share of a kernel's length that may lie outside the directions found: float32 rounding, not more.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class KernelBasis:
    """P candidates' kernels as combinations of a few, K[p, o] = sum_r coefficients[p, o, r] kernels[o, r]."""

    kernels: Tensor  # (C_out, R, C_in, kh, kw)
    coefficients: Tensor  # (P, C_out, R)

    def to(self, precision: torch.dtype) -> KernelBasis:
        return KernelBasis(self.kernels.to(precision), self.coefficients.to(precision))

    def responses(self, x: Tensor, conv: nn.Conv2d) -> Tensor:
        """The convolution of images (N, C_in, H, W) with every kernel: (C_out, N, H', W', R)."""
        c_out, rank = self.kernels.shape[:2]
        kernels = self.kernels.flatten(0, 1)
        every = F.conv2d(x, kernels, None, conv.stride, conv.padding, conv.dilation)  # (N, C_out R, H', W')
        return every.unflatten(1, (c_out, rank)).permute(1, 0, 3, 4, 2).contiguous()

    def combine(self, responses: Tensor, candidates: slice, bias: Tensor | None) -> Tensor:
        """The candidates' own responses, (P', N, C_out, H', W'), from those of `responses`.

        bias: (P', C_out), (C_out,) or None. Candidates lie next to each other in memory.
        """
        coefficients = self.coefficients[candidates].permute(1, 2, 0)  # (C_out, R, P')
        offsets = coefficients.new_zeros(1) if bias is None else bias.view(-1, bias.shape[-1]).T[:, None]
        combined = torch.baddbmm(offsets, responses.flatten(1, 3), coefficients)  # (C_out, N H' W', P')
        return combined.unflatten(1, responses.shape[1:4]).permute(4, 1, 0, 2, 3)


def find_basis(weights: Tensor) -> KernelBasis | None:
    """A basis for kernels (P, C_out, C_in, kh, kw) that is smaller than half of P; None where there is none.

    A search that varies a few numbers of an affine generator moves each output channel's kernel within a few
    dimensions, whatever scales it afterwards. They are found with a random sketch (Halko et al. 2011).
    """
    count, c_out = weights.shape[:2]
    size = min(count // 2, _MOST_DIRECTIONS)
    rows = weights.detach().flatten(2).transpose(0, 1).double()  # (C_out, P, K)
    if size < 1 or not bool(torch.isfinite(rows).all()):
        return None
    draws = torch.Generator().manual_seed(0)
    sketch = torch.randn(size, count, generator=draws, dtype=torch.float64).to(rows.device) @ rows
    directions, _ = torch.linalg.qr(sketch.transpose(1, 2))  # (C_out, K, min(size, K))
    projected = rows @ directions  # (C_out, P, size)
    lengths = rows.norm(dim=2).clamp_min(1e-30)
    if bool(((rows - projected @ directions.transpose(1, 2)).norm(dim=2) > _TOLERANCE * lengths).any()):
        return None
    # Each at length 1: a candidate far larger than the others would hide theirs. A direction in which none
    # goes further than the tolerance is rounding.
    _, singular, right = torch.linalg.svd(projected / lengths[:, :, None], full_matrices=False)
    significant = singular > _TOLERANCE
    rank = max(1, int(significant.sum(1).max()))
    right = right[:, :rank]  # (C_out, R, size)
    kernels = (right @ directions.transpose(1, 2)).view(c_out, rank, *weights.shape[2:])
    coefficients = (projected @ right.transpose(1, 2)).transpose(0, 1)  # (P, C_out, R)
    return KernelBasis(kernels.to(weights.dtype), coefficients.to(weights.dtype).contiguous())


@dataclass(frozen=True)
class ChannelFactors:
    """P candidates' kernels on fewer channels, K[p, o, c] = sum_r kernels[p, o, r] mix[p, r, c]."""

    mix: Tensor  # (P, R, C_in, 1, 1)
    kernels: Tensor  # (P, C_out, R, kh, kw)

    def to(self, precision: torch.dtype) -> ChannelFactors:
        return ChannelFactors(self.mix.to(precision), self.kernels.to(precision))

    def convolve(self, x: Tensor, candidates: slice, bias: Tensor | None, conv: nn.Conv2d) -> Tensor:
        """The candidates' convolutions, (P', N, C_out, H', W'), of their images x (P', N, C_in, H, W).

        bias: (P', C_out), (C_out,) or None.
        """
        mix, kernels = self.mix[candidates], self.kernels[candidates]
        biases = [None] * len(mix) if bias is None else bias.expand(len(mix), -1)
        outputs = [
            F.conv2d(F.conv2d(x[p], mix[p]), kernels[p], biases[p], conv.stride, conv.padding, conv.dilation)
            for p in range(len(mix))
        ]
        return in_one_stack(outputs)


def find_factors(weights: Tensor) -> ChannelFactors | None:
    """Factors of kernels (P, C_out, C_in, kh, kw) that save half of the work; None where there are none.

    A generator whose hidden width is d writes basic kernels of rank d + 1 over their input channels.
    """
    c_out, c_in, kh, kw = weights.shape[1:]
    most = c_in * c_out * kh * kw // (2 * (c_out * kh * kw + c_in))
    if most < 1 or not bool(torch.isfinite(weights).all()) or _matrix_rank(weights[:1]) > most:
        return None
    rank = _matrix_rank(weights)
    if rank > most:
        return None
    rows = _channel_rows(weights)  # (P, C_in, C_out kh kw)
    directions = torch.linalg.eigh(rows @ rows.mT)[1][:, :, -rank:].mT  # (P, R, C_in)
    kernels = (directions @ rows).unflatten(2, (c_out, kh, kw)).transpose(1, 2)  # (P, C_out, R, kh, kw)
    mix, kernels = directions[..., None, None].to(weights.dtype), kernels.to(weights.dtype)
    return ChannelFactors(mix.contiguous(), kernels.contiguous())


def _channel_rows(weights: Tensor) -> Tensor:
    """Kernels (P, C_out, C_in, kh, kw) as matrices (P, C_in, C_out kh kw) in double precision."""
    return weights.detach().transpose(1, 2).flatten(2).double()


def _matrix_rank(weights: Tensor) -> int:
    """The highest rank over input channels of kernels (P, C_out, C_in, kh, kw), up to rounding."""
    rows = _channel_rows(weights)
    squares = torch.linalg.eigvalsh(rows @ rows.mT).clamp_min(0)  # (P, C_in), of the singular values
    left_out = squares.cumsum(1).sqrt()
    return int((left_out > _TOLERANCE * left_out[:, -1:]).sum(1).max().clamp_min(1))


def basis_may_pay(shape: torch.Size, positions: int) -> bool:
    """Whether looking for a basis costs little beside the convolutions: `positions` are outputs a channel.

    A count, not a time, decides: an interrupted run that goes on is to compute as it would have.
    """
    size = min(shape[0] // 2, _MOST_DIRECTIONS)
    return size > 0 and positions >= 50 * size


def factors_may_pay(shape: torch.Size, positions: int) -> bool:
    """Whether looking for factors does: it takes about C_in operations a number of the kernels, in double."""
    return positions >= 40 * shape[2]
