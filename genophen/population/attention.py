"""Attention and transformer layers of many candidates at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from genophen.population.layers import linear, normalization

Own = Mapping[str, Tensor]


def attention(module: nn.MultiheadAttention, own: Own, x: Tensor, weights_too: bool, average: bool) -> Any:
    """Self-attention without masks: the output and, where they are asked for, the weights, else None.

    x: (P, L, N, E), or (P, N, L, E) where the module has its batch first. None alone is returned where the
    module has parts that are not written here.
    """
    if x.dim() != 4 or not module._qkv_same_embed_dim or module.bias_k is not None or module.add_zero_attn:
        return None
    x = x if module.batch_first else x.transpose(1, 2)  # (P, N, L, E)
    heads = module.num_heads
    projected = _linear(x, own, module.in_proj_weight, module.in_proj_bias, "in_proj_weight", "in_proj_bias")
    parts = projected.unflatten(-1, (3, heads, -1)).flatten(0, 1).permute(2, 0, 3, 1, 4)
    query, key, value = parts.unbind()  # (P N, heads, L, E / heads)
    if weights_too:
        shares = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)  # (P N, heads, L, L)
        mixed = shares @ value
        shares = (shares.mean(1) if average else shares).unflatten(0, x.shape[:2])
    else:
        mixed, shares = F.scaled_dot_product_attention(query, key, value), None
    mixed = mixed.transpose(1, 2).flatten(2).unflatten(0, x.shape[:2])  # (P, N, L, E)
    out = module.out_proj
    output = _linear(mixed, own, out.weight, out.bias, "out_proj.weight", "out_proj.bias")
    return output if module.batch_first else output.transpose(1, 2), shares


def encoder_layer(layer: nn.TransformerEncoderLayer, own: Own, x: Tensor) -> Tensor | None:
    """A transformer layer without masks, of x as in `attention`; None where it has parts not written here."""

    def attend(x: Tensor) -> Tensor | None:
        found = attention(layer.self_attn, _of(own, "self_attn"), x, False, False)
        return None if found is None else found[0]

    def feed(x: Tensor) -> Tensor:
        hidden = layer.activation(_dense(layer.linear1, own, "linear1", x))
        return _dense(layer.linear2, own, "linear2", hidden)

    attended = attend(_normed(layer.norm1, own, "norm1", x) if layer.norm_first else x)
    if attended is None:
        return None
    x = x + attended
    if layer.norm_first:
        return x + feed(_normed(layer.norm2, own, "norm2", x))
    x = _normed(layer.norm1, own, "norm1", x)
    return _normed(layer.norm2, own, "norm2", x + feed(x))


def encoder(module: nn.TransformerEncoder, own: Own, x: Tensor) -> Tensor | None:
    """All layers of a transformer without masks; None where one has parts that are not written here."""
    found: Tensor | None = x
    for index, layer in enumerate(module.layers):
        if type(layer) is not nn.TransformerEncoderLayer or found is None:
            return None
        found = encoder_layer(layer, _of(own, f"layers.{index}"), found)
    if found is None or module.norm is None:
        return found
    return _normed(module.norm, own, "norm", found) if isinstance(module.norm, nn.LayerNorm) else None


def _of(own: Own, part: str) -> dict[str, Tensor]:
    """The candidates' own weights of a part of the module."""
    return {n.removeprefix(f"{part}."): weight for n, weight in own.items() if n.startswith(f"{part}.")}


def _dense(module: nn.Linear, own: Own, part: str, x: Tensor) -> Tensor:
    return _linear(x, own, module.weight, module.bias, f"{part}.weight", f"{part}.bias")


def _normed(module: nn.LayerNorm, own: Own, part: str, x: Tensor) -> Tensor:
    mine = _of(own, part)
    output = normalization(x, mine, module) if mine else module(x)
    assert output is not None
    return output


def _linear(
    x: Tensor, own: Own, weight: Tensor, bias: Tensor | None, weight_name: str, bias_name: str
) -> Tensor:
    """A dense layer of x (P, ..., C_in) whose weight or bias may be each candidate's own."""
    if weight_name in own:
        return linear(x, own[weight_name], own.get(bias_name, bias))
    if bias_name not in own:
        return F.linear(x, weight, bias)
    between = (1,) * (x.dim() - 2)
    return F.linear(x, weight) + own[bias_name].view(len(x), *between, -1)
