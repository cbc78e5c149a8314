"""A block of SAM's image encoder and its attention, with whole score matrices as the published code has them and, where
a release has it, through scaled_dot_product_attention with the positions as its mask."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def partition(x, side):
    """(B, H, W, C) to windows (B', side, side, C), zero-padded, and the padded size."""
    b, h, w, c = x.shape
    x = F.pad(x, (0, 0, 0, -w % side, 0, -h % side))
    high, wide = x.shape[1:3]
    x = x.view(b, high // side, side, wide // side, side, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, side, side, c), (high, wide)


def unpartition(x, size, h, w):
    high, wide = size
    side, c = x.shape[1], x.shape[-1]
    x = x.view(-1, high // side, wide // side, side, side, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, high, wide, c)[:, :h, :w]


def positions(q, table_h, table_w):
    """q (B, h, w, c) and what each query adds for key rows (B, h, w, h, 1) and columns (B, h, w, 1, w)."""
    def rows(table, size):
        at = torch.arange(size, device=q.device)
        return table[at[:, None] - at + size - 1]
    of_row = torch.einsum("bhwc,hkc->bhwk", q, rows(table_h, q.shape[1]))
    of_column = torch.einsum("bhwc,wkc->bhwk", q, rows(table_w, q.shape[2]))
    return of_row[..., None], of_column[..., None, :]


def attend(qkv, table_h, table_w, heads, fused):
    """qkv (B, h, w, 3E) to (B, h, w, E)."""
    b, h, w, c = qkv.shape
    q, k, v = qkv.view(b, h * w, 3, heads, -1).permute(2, 0, 3, 1, 4).reshape(3, b * heads, h * w, -1).unbind(0)
    of_row, of_column = positions(q.view(b * heads, h, w, -1), table_h, table_w)
    if fused:
        mask = (of_row + of_column).reshape(b, heads, h * w, h * w)
        y = F.scaled_dot_product_attention(*(x.view(b, heads, h * w, -1) for x in (q, k, v)), mask)
    else:
        scores = (q * q.shape[-1] ** -.5) @ k.transpose(1, 2)
        scores = scores.view(b * heads, h, w, h, w) + of_row + of_column
        y = scores.view(b * heads, h * w, h * w).softmax(-1) @ v
    return y.view(b, heads, h, w, -1).permute(0, 2, 3, 1, 4).reshape(b, h, w, c // 3)


def windowed(x, window, attention):
    """`attention` of the windows of x (B, H, W, C); 0: of the whole."""
    if not window:
        return attention(x)
    h, w = x.shape[1:3]
    parts, size = partition(x, window)
    return unpartition(attention(parts), size, h, w)


class Block(nn.Module):
    def __init__(self, width, heads, window, side, fused):
        super().__init__()
        self.heads, self.window, self.fused = heads, window, fused
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.lin1, self.lin2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.table_h, self.table_w = (nn.Parameter(.02 * torch.randn(2 * side - 1, width // heads)) for _ in range(2))

    def attention(self, x):
        return self.proj(attend(self.qkv(x), self.table_h, self.table_w, self.heads, self.fused))

    def forward(self, x):
        x = x + windowed(self.norm1(x), self.window, self.attention)
        return x + self.lin2(F.gelu(self.lin1(self.norm2(x))))


def settings(request, make):
    """With and without the fused attention, where there is one."""
    choices = {"score matrices": lambda: make(False)}
    if hasattr(F, "scaled_dot_product_attention"):
        choices["scaled_dot_product_attention"] = lambda: make(True)
    return choices


def kind(request):
    return {"device": request["device"], "dtype": torch.bfloat16 if request["dtype"] == "bf16" else torch.float32}


def grid_attention(request):
    """The op alone, from qkv to the context."""
    slices, h, w, width, heads, window = (request[key] for key in ("slices", "height", "width", "embed", "heads", "window"))

    def make(fused):
        torch.manual_seed(1)
        qkv = torch.randn(slices, h, w, 3 * width, **kind(request), requires_grad=True)
        tables = [torch.randn(2 * (window or side) - 1, width // heads, **kind(request), requires_grad=True)
                  for side in (h, w)]
        gradient = torch.randn(slices, h, w, width, **kind(request))

        def work():
            y = windowed(qkv, window, lambda x: attend(x, *tables, heads, fused))
            torch.autograd.grad(y, [qkv] + tables, gradient)

        return work

    return settings(request, make)


def block(request):
    grid, width, heads, window = (request[key] for key in ("grid", "embed", "heads", "window"))

    def make(fused):
        torch.manual_seed(1)
        net = Block(width, heads, window, window or grid, fused).to(**kind(request))
        x = torch.randn(1, grid, grid, width, **kind(request), requires_grad=True)
        gradient = torch.randn(1, grid, grid, width, **kind(request))

        def work():
            torch.autograd.grad(net(x), [x] + list(net.parameters()), gradient)

        work.parameters = sum(p.numel() for p in net.parameters())
        return work

    return settings(request, make)
