"""QTSeg (lua/harness/models/qtseg.lua, its defaults) as one writes it in PyTorch for speed. Configuration keys are ours."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Conv(nn.Sequential):
    def __init__(self, inputs, width, kernel, stride=1):
        super().__init__(nn.Conv2d(inputs, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width), nn.SiLU(inplace=True))


class Up(nn.Sequential):
    def __init__(self, inputs, width, times):
        super().__init__(nn.ConvTranspose2d(inputs, width, times, times, bias=False), nn.BatchNorm2d(width), nn.SiLU(inplace=True))


class Bottleneck(nn.Module):
    def __init__(self, width, shortcut):
        super().__init__()
        self.body, self.shortcut = nn.Sequential(Conv(width, width, 3), Conv(width, width, 3)), shortcut

    def forward(self, x):
        return x + self.body(x) if self.shortcut else self.body(x)


class C2f(nn.Module):
    def __init__(self, inputs, width, count, shortcut):
        super().__init__()
        self.first, self.last = Conv(inputs, width, 1), Conv((2 + count) * width // 2, width, 1)
        self.blocks = nn.ModuleList(Bottleneck(width // 2, shortcut) for _ in range(count))

    def forward(self, x):
        parts = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Sppf(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.last = Conv(width, width // 2, 1), Conv(2 * width, width, 1)

    def forward(self, x):
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.last(torch.cat(parts, 1))


class Encoder(nn.Module):
    def __init__(self, channels, n):
        super().__init__()
        self.fine = nn.Sequential(Conv(channels, n, 3, 2), Conv(n, 2 * n, 3, 2), C2f(2 * n, 2 * n, 1, True), Conv(2 * n, 4 * n, 3, 2),
                                  C2f(4 * n, 4 * n, 2, True))
        self.middle = nn.Sequential(Conv(4 * n, 8 * n, 3, 2), C2f(8 * n, 8 * n, 2, True))
        self.coarse = nn.Sequential(Conv(8 * n, 16 * n, 3, 2), C2f(16 * n, 16 * n, 1, True), Sppf(16 * n))
        self.up1, self.up2 = C2f(24 * n, 8 * n, 1, False), C2f(12 * n, 4 * n, 1, False)
        self.down1, self.out1 = Conv(4 * n, 4 * n, 3, 2), C2f(12 * n, 8 * n, 1, False)
        self.down2, self.out2 = Conv(8 * n, 8 * n, 3, 2), C2f(24 * n, 16 * n, 1, False)

    def forward(self, x):
        fine = self.fine(x)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        up = self.up1(torch.cat([F.interpolate(coarse, scale_factor=2), middle], 1))
        first = self.up2(torch.cat([F.interpolate(up, scale_factor=2), fine], 1))
        second = self.out1(torch.cat([self.down1(first), up], 1))
        return first, second, self.out2(torch.cat([self.down2(second), coarse], 1))


class Distribution(nn.Module):
    def __init__(self, widths):
        super().__init__()
        def piece(at, to):
            quarter = widths[to] // 4
            if at == to:
                return Conv(widths[at], 2 * quarter, 1)
            return Conv(widths[at], quarter, 3, 2 ** (to - at)) if at < to else Up(widths[at], quarter, 2 ** (at - to))
        self.pieces = nn.ModuleList(nn.ModuleList(piece(at, to) for at in range(3)) for to in range(3))

    def forward(self, levels):
        return [torch.cat([piece(x) for piece, x in zip(row, levels)], 1) for row in self.pieces]


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, width // 2) for _ in range(3))
        self.out = nn.Linear(width // 2, width)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, q, k, v):
        q, k, v = self.split(self.q(q)), self.split(self.k(k)), self.split(self.v(v))
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
        return self.out(y.transpose(1, 2).flatten(2))


class Mix(nn.Module):
    """Tokens (N, K, C), features (N, h w, C)."""

    def __init__(self, width, heads, mlp, grid):
        super().__init__()
        self.grid = grid
        self.spatial, self.gamma = nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.Parameter(torch.zeros(1))
        self.of_spatial, self.of_channel, self.told = (Attention(width, heads) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(width, mlp), nn.GELU(), nn.Linear(mlp, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, t, f, pe):
        s = f + pe
        pooled = torch.stack([s.mean(-1), s.max(-1)[0]], 1).unflatten(2, self.grid)
        a = s * self.spatial(pooled).flatten(1)[..., None].sigmoid() + s
        alike = s.transpose(1, 2) @ s
        p = (alike.max(-1, keepdim=True)[0] - alike).softmax(-1)
        b = self.gamma * (s @ p.transpose(1, 2)) + s
        mixed = self.norm1(self.of_spatial(t, a, a) + self.of_channel(t, b, b) + t)
        return self.norm2(self.mlp(mixed)) + t, self.told(a + b + pe, mixed, mixed) + f


class Enlarge(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.conv, self.norm = nn.ConvTranspose2d(inputs, width, 2, 2), nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        return F.gelu(self.norm(self.conv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def network(width, after):
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, after))


class Level(nn.Module):
    def __init__(self, config, width, grid, depth, last, classes):
        super().__init__()
        heads, after = config["token_heads"], width if last else width // 2
        y, x = torch.meshgrid(*[(torch.arange(n) + .5) / n * 2 - 1 for n in grid], indexing="ij")
        phase = 2 * math.pi * torch.stack([x, y], -1) @ torch.randn(2, width // 2)
        self.register_buffer("pe", torch.cat([phase.sin(), phase.cos()], -1).flatten(0, 1))
        self.blocks = nn.ModuleList(Mix(width, heads, config["mlp"], grid) for _ in range(depth))
        self.final, self.norm = Attention(width, heads), nn.LayerNorm(width)
        self.up = nn.Sequential(Enlarge(width, width // 2), *[Enlarge(width // 2, width)] * last)
        self.networks = nn.ModuleList(network(width, after) for _ in range(classes))
        self.grid = grid

    def forward(self, t, x):
        f, entry = x.flatten(2).transpose(1, 2), t
        for block in self.blocks:
            t, f = block(t, f, self.pe)
        t = self.norm(t + self.final(t + entry, f + self.pe, f))
        t = torch.stack([of(t[:, i]) for i, of in enumerate(self.networks)], 1)
        return t, self.up(f.transpose(1, 2).unflatten(2, self.grid))


class QTSeg(nn.Module):
    def __init__(self, config, channels, classes):
        super().__init__()
        n, depths = config["n_channel"], config["depths"]
        widths = [4 * n, 8 * n, 16 * n]
        self.encoder, self.distribution = Encoder(channels, n), Distribution(widths)
        self.tokens = nn.Parameter(torch.randn(classes, widths[-1]))
        self.levels = nn.ModuleList(
            Level(config, widths[2 - i], [m // (32 >> i) for m in config["patch"][1:]], depth, i == 2, classes)
            for i, depth in enumerate(depths))

    def forward(self, image, labels):
        levels = self.distribution(self.encoder(image))
        t, x = self.tokens.expand(len(image), -1, -1), 0
        for level, features in zip(self.levels, reversed(levels)):
            t, x = level(t, features + x)
        masks = (t @ x.flatten(2)).unflatten(2, x.shape[2:])
        logits = F.interpolate(masks, image.shape[2:], mode="bilinear", align_corners=False).float()
        p, known = logits.softmax(1)[:, 1], (labels == 1).float()
        dice = (2 * (p * known).sum((1, 2)) + 1e-6) / (p.sum((1, 2)) + known.sum((1, 2)) + 1e-6)
        return F.cross_entropy(logits, labels) + 1 - dice.mean()
