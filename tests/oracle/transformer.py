"""Layers of a Transformer, on weights by name (model.Scope): what bridges and heads share."""

import math

import torch
import torch.nn.functional as F


def linear(x, w):
    return F.linear(x, w.weight, w.bias)


def norm(x, w):
    return F.layer_norm(x, x.shape[-1:], w.weight, w.bias, 1e-5)


def residual(x, f, w, place):
    if place == "inside":
        return x + norm(f(x), w)
    return norm(x + f(x), w) if place == "post" else x + f(norm(x, w))


def feed_forward(x, w, place):
    return residual(x, lambda y: linear(linear(y, w.at("0")).relu(), w.at("1")), w.at("norm"), place)


def mlp(x, w, layers):
    for i in range(layers):
        x = linear(x if i == 0 else x.relu(), w.at(str(i)))
    return x


def centres(grid):
    """(D*H*W, 3): cell centres in 0..1, z y x."""
    axes = [(torch.arange(n).double() + .5) / n for n in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def sine(grid, width):
    """DETR's normalised sine encoding with a third axis: 2 pi scale, temperature 10^4."""
    features = width // 6 * 2
    period = 10000 ** (2 * (torch.arange(features) // 2).double() / features)
    angle = centres(grid)[:, :, None] * 2 * math.pi / period  # (T, 3, features)
    waves = torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], -1).flatten(1)
    return F.pad(waves, (0, width - waves.shape[1]))


def attention(q, k, v, w, heads, blocked=None):
    parts = [w.at(name) for name in ("query", "key", "value")]
    out, _ = F.multi_head_attention_forward(
        q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), q.shape[-1], heads, None,
        torch.cat([p.bias for p in parts]), None, None, False, 0., w.at("output").weight, w.at("output").bias,
        need_weights=False, attn_mask=None if blocked is None else blocked.repeat_interleave(heads, 0),
        use_separate_proj_weight=True, q_proj_weight=parts[0].weight, k_proj_weight=parts[1].weight,
        v_proj_weight=parts[2].weight)
    return out.transpose(0, 1)
