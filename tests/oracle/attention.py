"""Attention against softmax(q k^T) v, that of SAM in padded windows, deformable attention against F.grid_sample, sine positions."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from driver import check, rounded


def heads_split(x, heads):
    """(N, T.., E) to (N, heads, T, E/heads)."""
    return x.reshape(x.shape[0], -1, heads, x.shape[-1] // heads).transpose(1, 2)


def attention(heads):
    def oracle(q, k, v, mask=None):
        qh, kh, vh = (heads_split(x, heads) for x in (q, k, v))
        scores = qh @ kh.transpose(-1, -2) / math.sqrt(qh.shape[-1])  # (N, heads, Tq, Tk)
        if mask is not None:
            opened = mask.detach().reshape(q.shape[0], -1, scores.shape[2]).transpose(1, 2) >= 0
            opened = opened | ~opened.any(-1, keepdim=True)
            scores = scores.masked_fill(~opened[:, None], -math.inf)
        context = (scores.softmax(-1) @ vh).transpose(1, 2).reshape(q.shape)
        return context, scores.logsumexp(-1)
    return oracle


def attention_cases(driver, report, rng):
    #         q,              k,                heads, share of masked keys (None: no mask)
    cases = [((2, 5, 12), (2, 7, 12), 3, None), ((2, 11, 48), (2, 3, 4, 5, 48), 6, .5),
             ((1, 44, 48), (1, 513, 48), 6, .9), ((2, 3, 4, 2, 16), (2, 3, 4, 2, 16), 2, None),
             ((2, 16, 8), (2, 129, 8), 1, .98), ((1, 1, 32), (1, 1, 32), 4, None),
             ((1, 1095, 48), (1, 1095, 48), 6, None), ((2, 44, 48), (2, 16, 16, 16, 48), 6, .5)]
    for q, k, heads, masked in cases:
        inputs = [rounded(rng, *q), rounded(rng, *k), rounded(rng, *k)]
        if masked is not None:
            queries = int(np.prod(q[1:-1]))
            mask = rounded(rng, *k[:-1], queries) + float(np.quantile(rng.standard_normal(1000), 1 - masked))
            mask[..., 0] = -1  # nothing open: opened whole
            mask[..., 1] = np.where(mask[..., 1] < .5, -1e-30, 0)  # on the border: open
            mask[:, 1:, ..., 2] = -1
            mask[0, 0, ..., 2] = 1
            inputs.append(mask.astype(np.float32).astype(np.float64))
        report.case("attention", "%s %s heads %d masked %s" % (q, k, heads, masked), lambda: check(
            driver, "attention", attention(heads), inputs, "heads=%d" % heads, internal=(1,)))
    large = [6 * rounded(rng, 2, 5, 12), 6 * rounded(rng, 2, 9, 12), rounded(rng, 2, 9, 12)]
    report.case("attention", "large scores", lambda: check(
        driver, "attention", attention(3), large, "heads=3", internal=(1,)))


def table_rows(table, side, tables):
    """The 2 side - 1 rows that scores read: SAM interpolates, or the middle ones."""
    rows = 2 * side - 1
    if tables == "crop":
        first = (len(table) - rows) // 2
        return table[first:first + rows]
    return F.interpolate(table.T[None], size=rows, mode="linear", align_corners=False)[0].T


def window_split(x, side_h, side_w):
    """(B, H, W, C), sides that divide, to (windows, side_h, side_w, C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // side_h, side_h, w // side_w, side_w, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, side_h, side_w, c)


def window_join(x, b, h, w):
    _, side_h, side_w, c = x.shape
    x = x.reshape(b, h // side_h, w // side_w, side_h, side_w, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)


def relative(q, table, side, axis):
    """q (B, heads, h, w, d) with the table's row for every key along that axis: (B, heads, h, w, side)."""
    offset = torch.arange(side)[:, None] - torch.arange(side) + side - 1
    return torch.einsum("bnyxc,ykc->bnyxk" if axis == 0 else "bnyxc,xkc->bnyxk", q, table[offset])


def grid_attention(heads, window, tables):
    """A block of SAM's image encoder from its qkv layer to its projection, in windows that are padded and split."""
    def oracle(qkv, table_h, table_w, *pad):
        n, d, h, w, c = qkv.shape
        side_h, side_w = (window, window) if window else (h, w)
        high, wide = -h % side_h, -w % side_w
        x = qkv.reshape(n * d, h, w, c)
        whole = torch.ones(n * d, h + high, w + wide, 1, dtype=torch.bool)
        if pad:
            x = x - pad[0]
        else:
            whole[:, h:] = whole[:, :, w:] = False
        x = F.pad(x, (0, 0, 0, wide, 0, high))
        if pad:
            x = x + pad[0]
        x, whole = (window_split(part, side_h, side_w) for part in (x, whole))
        b = len(x)
        q, k, v = x.reshape(b, side_h, side_w, 3, heads, -1).permute(3, 0, 4, 1, 2, 5)
        s = torch.einsum("bnyxc,bnijc->bnyxij", q, k) / math.sqrt(q.shape[-1])
        if table_h.numel():
            s = s + relative(q, table_rows(table_h, side_h, tables), side_h, 0)[..., :, None]
        if table_w.numel():
            s = s + relative(q, table_rows(table_w, side_w, tables), side_w, 1)[..., None, :]
        s = s.masked_fill(~whole.reshape(b, 1, 1, 1, side_h, side_w), -math.inf).flatten(4)
        y = torch.einsum("bnyxt,bntc->byxnc", s.softmax(-1), v.flatten(2, 3)).flatten(3)
        lse = s.logsumexp(-1).permute(0, 2, 3, 1)
        return tuple(window_join(part, n * d, h + high, w + wide)[:, :h, :w].reshape(n, d, h, w, -1) for part in (y, lse))
    return oracle


def grid_cases(driver, report, rng):
    #        (N, D, h, w),   E, heads, window, rows of the tables, padding's keys, tables
    cases = [((2, 1, 10, 7), 24, 3, 4, (7, 7), True, "stretch"), ((1, 2, 10, 7), 24, 3, 4, (7, 7), False, "stretch"),
             ((1, 2, 7, 10), 24, 3, 0, (19, 13), False, "stretch"), ((1, 1, 6, 5), 16, 2, 0, (19, 19), False, "crop"),
             ((1, 1, 20, 17), 160, 2, 14, (27, 27), True, "stretch"), ((1, 1, 9, 30), 64, 1, 14, (27, 27), False, "crop"),
             ((1, 1, 32, 24), 128, 2, 0, (127, 127), False, "stretch"), ((1, 1, 2, 70), 32, 1, 0, (3, 0), True, "stretch"),
             ((2, 1, 5, 6), 12, 4, 8, (0, 0), True, "stretch"), ((1, 1, 3, 3), 12, 2, 2, (3, 9), True, "stretch")]
    for shape, width, heads, window, lengths, padded, tables in cases:
        size = width // heads
        inputs = [rounded(rng, *shape, 3 * width)]
        inputs += [rounded(rng, length, size) if length else rounded(rng, 0) for length in lengths]
        inputs += [rounded(rng, 3 * width)] if padded else []
        options = "heads=%d window=%d tables=%s" % (heads, window, tables)
        report.case("grid_attention", "%s E %d %s, tables %s, padding %s" % (shape, width, options, lengths, padded),
                    lambda: check(driver, "grid_attention", grid_attention(heads, window, tables), inputs, options,
                                  internal=(1,)))


def references(query_grids):
    """Cell centres (T, 3), z y x, in 0..1."""
    points = []
    for grid in query_grids:
        axes = [(torch.arange(n, dtype=torch.float64) + .5) / n for n in grid]
        points.append(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3))
    return torch.cat(points)


def sample(value, at):
    """value (N, D, H, W, C) at `at` (N, T, P, 3), voxel coordinates z y x, zero outside."""
    size = torch.tensor(value.shape[1:4], dtype=torch.float64)
    normalised = (2 * at + 1) / size - 1
    grid = normalised.flip(-1)[:, :, :, None]  # grid_sample wants x y z
    out = F.grid_sample(value.permute(0, 4, 1, 2, 3), grid, align_corners=False, padding_mode="zeros")
    return out[..., 0].permute(0, 2, 3, 1)  # (N, T, P, C)


def moving(query_grids, size):
    """1 along an axis with a second cell in the level or in a grid of queries, else 0: 2D is D = 1."""
    return (torch.maximum(torch.tensor(query_grids).amax(0), size) > 1).double()


def deform(query_grids, heads, points):
    def oracle(offsets, weights, *values):
        n, t = offsets.shape[:2]
        levels, channels = len(values), values[0].shape[-1] // heads
        offsets = offsets.reshape(n, t, heads, levels, points, 3)
        weights = weights.reshape(n, t, heads, levels * points).softmax(-1).reshape(n, t, heads, levels, points)
        at = references(query_grids)[None, :, None]
        outs = []
        for m in range(heads):
            total = 0
            for l, value in enumerate(values):
                size = torch.tensor(value.shape[1:4], dtype=torch.float64)
                place = at * size - .5 + moving(query_grids, size) * offsets[:, :, m, l]
                picked = sample(value[..., m * channels:(m + 1) * channels], place)
                total = total + (weights[:, :, m, l, :, None] * picked).sum(2)
            outs.append(total)
        return (torch.cat(outs, -1),)
    return oracle


def deform_cases(driver, report, rng):
    #        query grids,             value grids,                            heads, points, width, spread
    cases = [([(2, 3, 4)], [(5, 3, 4)], 2, 3, 6, 1),
             ([(3, 2, 5), (2, 1, 3)], [(6, 4, 9), (3, 2, 5), (2, 1, 3)], 3, 4, 24, 2),
             ([(4, 4, 4)], [(8, 7, 6), (5, 4, 3), (2, 3, 2), (1, 2, 1)], 6, 4, 48, 3),
             ([(2, 3, 2), (1, 2, 3)], [(9, 8, 7), (8, 5, 6), (5, 6, 4), (4, 3, 5), (2, 3, 4), (1, 2, 2)], 2, 2, 16, 4),
             ([(1, 4, 3), (1, 2, 2)], [(1, 8, 7), (1, 4, 3)], 2, 3, 16, 2),
             ([(1, 1, 2)], [(3, 4, 5), (2, 2, 3), (2, 1, 1), (1, 3, 2), (1, 1, 1)], 1, 5, 5, 20)]
    for queries, values, heads, points, width, spread in cases:
        n, t = 2, sum(int(np.prod(g)) for g in queries)
        offsets = (spread * rounded(rng, n, t, heads * len(values) * points * 3)).astype(np.float32)
        inputs = [offsets.astype(np.float64), rounded(rng, n, t, heads * len(values) * points)]
        inputs += [rounded(rng, n, *grid, width) for grid in values]
        options = "heads=%d points=%d query_grids=%s" % (
            heads, points, ",".join(str(s) for grid in queries for s in grid))
        report.case("deform_attention", "%s on %s" % (queries, values), lambda: check(
            driver, "deform_attention", deform(queries, heads, points), inputs, options))


def sine(grid, width, temperature):
    """DETR's PositionEmbeddingSine with a third axis: per axis sin and cos interleaved."""
    features = width // 6 * 2
    dim = np.arange(features)
    wave = temperature ** (2 * (dim // 2) / features)
    parts = []
    for place in np.meshgrid(*[(np.arange(n) + .5) / n * 2 * np.pi for n in grid], indexing="ij"):
        angle = place.reshape(-1, 1) / wave
        parts.append(np.stack([np.sin(angle[:, 0::2]), np.cos(angle[:, 1::2])], -1).reshape(len(angle), -1))
    rest = np.zeros((len(parts[0]), width - 3 * features))
    return torch.tensor(np.concatenate(parts + [rest], 1))


def sine_cases(driver, report):
    for grid, width, temperature in [((3, 4, 5), 48, 10000), ((2, 1, 7), 20, 100), ((1, 2, 3), 6, 10000)]:
        report.case("sine_position", "%s width %d" % (grid, width), lambda: check(
            driver, "sine_position", lambda: (sine(grid, width, temperature),), [],
            "grid=%d,%d,%d width=%d temperature=%g" % (*grid, width, temperature)))


def fourier(size, frame, offset, floored):
    """SAM's PositionEmbeddingRandom, of points and of a grid's cells."""
    def oracle(g, *points):
        if points:
            x = points[0] * torch.tensor(size)
            x = torch.floor(x.detach() + 1 / 1024) if floored else x
        else:
            x = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in size], indexing="ij")[::-1], -1).double()
        phase = 2 * np.pi * ((2 * ((x + offset) / torch.tensor(frame)) - 1) @ g.detach())
        return (torch.cat([phase.sin(), phase.cos()], -1),)
    return oracle


def fourier_cases(driver, report, rng):
    for axes, waves, shape, size, frame, offset, floored in [
            (2, 5, (3, 4), (1, 1), (11, 7), .5, 0), (2, 32, (2, 8, 2), (10, 6), (40, 24), .125, 0), (2, 16, (6,), (9, 7), (9, 7), .5, 1),
            (3, 4, (2, 5), (1, 1, 1), (3, 4, 5), .5, 0)]:
        texts = [",".join(map(str, n)) for n in (size, frame)]
        report.case("fourier_position", "points %s in %s, floor %d" % (shape, frame, floored), lambda: check(
            driver, "fourier_position", fourier(size, frame, offset, floored), [rounded(rng, axes, waves), rounded(rng, *shape, axes)],
            "size=%s frame=%s offset=%g floor=%d" % (*texts, offset, floored)))
    for grid, frame in [((5, 7), (7, 5)), ((3, 4), (9, 8)), ((2, 3, 4), (4, 3, 2))]:
        report.case("fourier_position", "cells %s in %s" % (grid, frame), lambda: check(
            driver, "fourier_position", lambda g: tuple(y.detach() for y in fourier(grid, frame, .5, 0)(g)),
            [rounded(rng, len(grid), 6)], "grid=%s frame=%s" % (",".join(map(str, grid)), ",".join(map(str, frame)))))


def run(driver, report):
    rng = np.random.default_rng(2)
    attention_cases(driver, report, rng)
    grid_cases(driver, report, np.random.default_rng(4))
    deform_cases(driver, report, rng)
    sine_cases(driver, report)
    fourier_cases(driver, report, rng)
