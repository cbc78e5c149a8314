"""Boxes of masks, learned boxes and their loss, written out in torch. Where torchvision is, its generalised IoU, too."""

import numpy as np
import torch

from driver import check, rounded
from losses import assignments, partly_known

EPSILON = 1e-6


def bounds(inside):
    """(H, W) of booleans: x1, y1, x2, y2 as shares of W and H, the last voxel's own number; zeros where there is none."""
    rows, columns = inside.any(1).nonzero().flatten(), inside.any(0).nonzero().flatten()
    if not len(rows):
        return torch.zeros(4, dtype=torch.float64)
    h, w = inside.shape
    return torch.stack([columns[0], rows[0], columns[-1], rows[-1]]).double() / torch.tensor([w, h, w, h])


def mask_box(x):
    n, d, h, w, k = x.shape
    boxes = [bounds(x[i, s, :, :, q] > 0) for i in range(n) for q in range(k) for s in range(d)]
    return (torch.stack(boxes).reshape(n * k, d, 4),)


def first(r):
    """Of probabilities (..., L) that a line has a voxel: the expected number of the first that has."""
    none_before = torch.cumprod(torch.cat([torch.ones_like(r[..., :1]), 1 - r[..., :-1]], -1), -1)
    weight = r * none_before
    return (weight * torch.arange(r.shape[-1])).sum(-1) / weight.sum(-1)


def soft_mask_box(x):
    n, d, h, w, k = x.shape
    p = x.sigmoid().permute(0, 4, 1, 2, 3).reshape(n * k, d, h, w)
    columns, rows = p.max(2)[0], p.max(3)[0]
    last = [length - 1 - first(line.flip(-1)) for line, length in ((columns, w), (rows, h))]
    return (torch.stack([first(columns) / w, first(rows) / h, last[0] / w, last[1] / h], -1),)


def box(weight):
    def oracle(u, masks=None):
        n, d, _, _, k = u.shape
        shares = u.permute(0, 4, 1, 2, 3).reshape(n * k, d, 2, 2)  # (l, p), (x, y)
        l, p = shares[:, :, 0], shares[:, :, 1]
        y = torch.cat([l, l + (1 - l) * p], -1)
        return (y if masks is None else (1 - weight) * y + weight * masks,)
    return oracle


def giou(a, b):
    """Of boxes (4): I / (U + e) - (C - U) / (C + e)."""
    inner = (torch.min(a[2:], b[2:]) - torch.max(a[:2], b[:2])).clamp(min=0).prod()
    hull = (torch.max(a[2:], b[2:]) - torch.min(a[:2], b[:2])).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner
    return inner / (union + EPSILON) - (hull - union) / (hull + EPSILON)


def class_box(labels, c, regions=False):
    """Over all slices of a sample's labels (D, H, W)."""
    inside = (labels >= 0) & ((labels.long() >> int(c) & 1).bool() if regions else labels == c)
    return bounds(inside.any(0))


def box_loss(boxes, labels, assignment, regions=False):
    l1, apart, pairs = boxes.sum() * 0, boxes.sum() * 0, (assignment >= 0).nonzero().tolist()
    for n, q in pairs:
        target = class_box(labels[n], assignment[n, q], regions)
        l1 = l1 + (boxes[n, q] - target).abs().sum()
        apart = apart + 1 - giou(boxes[n, q], target)
    return l1 / max(len(pairs), 1), apart / max(len(pairs), 1)


def random_boxes(rng, *shape):
    """Corners apart, wherever they lie."""
    corners = np.sort(rng.random((*shape, 2, 2)), -2)
    corners[..., 1, :] += .05
    return corners.reshape(*shape, 4).astype(np.float32).astype(np.float64)


def torchvision_agrees(rng):
    """The same generalised IoU, where the package is."""
    try:
        from torchvision.ops import generalized_box_iou
    except ImportError:
        return 0.0
    a, b = torch.tensor(random_boxes(rng, 20)), torch.tensor(random_boxes(rng, 20))
    expected = generalized_box_iou(a, b).diagonal()
    error = max(abs(giou(x, y) - e).item() for x, y, e in zip(a, b, expected))
    if error > 1e-3:
        raise AssertionError("generalised IoU is off by %g" % error)
    return error


def run(driver, report):
    rng = np.random.default_rng(11)
    for shape in [(2, 3, 5, 7, 4), (1, 2, 4, 9, 16), (3, 1, 1, 6, 5), (2, 4, 40, 24, 8)]:
        clear = 6 * (rounded(rng, *shape) - 1).astype(np.float32).astype(np.float64)
        clear[0, 0, :, :, 0] = -1  # an empty mask, and a full one
        clear[-1, -1, :, :, -1] = 1
        report.case("mask_box", "%s" % (shape,), lambda: check(driver, "mask_box", mask_box, [clear]))
        for name, x in (("soft", rounded(rng, *shape)), ("soft, clear", clear)):
            report.case("mask_box", "%s %s" % (name, shape), lambda: check(driver, "mask_box", soft_mask_box, [x], "soft=1"))
    for n, d, k, weight in [(2, 3, 5, .5), (1, 9, 16, .2), (3, 1, 1, 1)]:
        shares, masks = rng.random((n, d, 2, 2, k)).astype(np.float32).astype(np.float64), random_boxes(rng, n * k, d)
        report.case("box", "%d %d %d alone" % (n, d, k), lambda: check(driver, "box", box(weight), [shares]))
        report.case("box", "%d %d %d with masks', %g" % (n, d, k, weight), lambda: check(
            driver, "box", box(weight), [shares, masks], "weight=%g" % weight))
    report.case("box_loss", "torchvision", lambda: torchvision_agrees(rng))
    for grid, queries, classes in [((2, 1, 5, 7), 9, 6), ((3, 2, 4, 3), 5, 5), ((8, 1, 20, 12), 16, 13), ((1, 1, 1, 2), 3, 2)]:
        labels = partly_known(rng, rng.integers(0, classes, grid), .2)
        labels[:, :, : grid[2] // 2] = 0  # boxes that do not meet all
        inputs = [random_boxes(rng, grid[0], queries), labels, assignments(rng, grid[0], queries, classes)]
        report.case("box_loss", "%s %d queries" % (grid, queries), lambda: check(driver, "box_loss", box_loss, inputs, kept=1))
        sets = [inputs[0], partly_known(rng, rng.integers(0, 1 << min(classes, 9), grid), .2), inputs[2]]
        report.case("box_loss", "%s %d queries, regions" % (grid, queries), lambda: check(
            driver, "box_loss", lambda *a: box_loss(*a, regions=True), sets, "regions=1", kept=1))
    nobody = [random_boxes(rng, 2, 6), rng.integers(0, 4, (2, 1, 4, 5)).astype(np.int32), np.full((2, 6), -1, np.int32)]
    report.case("box_loss", "nothing matched", lambda: check(driver, "box_loss", box_loss, nobody, kept=1))
