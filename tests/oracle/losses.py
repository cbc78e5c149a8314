"""The losses against torch.nn.functional and the formulas written out."""

import numpy as np
import torch
import torch.nn.functional as F

from driver import check, rounded


def assignments(rng, n, queries, classes):
    """(N, K): each class at most once, -1 for no object."""
    out = np.full((n, queries), -1, np.int32)
    for row in out:
        kept = rng.permutation(classes)[:rng.integers(0, min(classes, queries) + 1)]
        row[rng.permutation(queries)[:len(kept)]] = kept
    return out


def class_loss(none_weight):
    def oracle(logits, assignment):
        columns = logits.shape[-1]
        target = torch.where(assignment < 0, columns - 1, assignment.long())
        weight = torch.ones(columns, dtype=torch.float64)
        weight[-1] = none_weight
        return (F.cross_entropy(logits.reshape(-1, columns), target.reshape(-1), weight),)
    return oracle


def members(labels, regions):
    """(..., C): whether the set of each label holds region c."""
    return (labels.long().unsqueeze(-1) >> torch.arange(regions) & 1).double()


def mask_loss(logits, labels, assignment, regions=False):
    """Only the voxels that are known (label not negative), as if there were no others."""
    bce, dice, matched = logits.sum() * 0, logits.sum() * 0, 0
    for n, k in (assignment >= 0).nonzero().tolist():
        known = labels[n] >= 0
        x, label, c = logits[n, ..., k][known], labels[n][known], int(assignment[n, k])
        t = (label >> c & 1 if regions else label == c).double()
        p = x.sigmoid()
        if len(x):
            bce = bce + F.binary_cross_entropy_with_logits(x, t)
        dice = dice + 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        matched += 1
    return bce / max(matched, 1), dice / max(matched, 1)


def soft_dice(p, t, known, batch, smooth):
    """nnU-Net's loss_mask: unknown voxels leave every sum."""
    axes = (0, 1, 2, 3) if batch else (1, 2, 3)
    p, t = p * known.unsqueeze(-1), t * known.unsqueeze(-1)
    return (2 * (p * t).sum(axes) + smooth) / (p.sum(axes) + t.sum(axes) + smooth)


def voxel_loss(batch, smooth, binary=False):
    """A voxel whose label is no class is unknown: it takes part in nothing (torch's ignore_index). binary: each class's
    softmax against the rest (MaskMed Eq. 1)."""
    def oracle(logits, labels):
        classes = logits.shape[-1]
        known = (labels >= 0) & (labels < classes)
        target = torch.where(known, labels.long(), -100)
        t = F.one_hot(target.clamp(min=0), classes).double()
        dice = soft_dice(logits.softmax(-1), t, known, batch, smooth)
        ce = logits.sum() * 0
        if known.any():
            ce = F.cross_entropy(logits.permute(0, 4, 1, 2, 3), target, ignore_index=-100)
        if known.any() and binary:
            rest = [logits[known][:, [k for k in range(classes) if k != c]].logsumexp(-1) for c in range(classes)]
            among, t_known = logits[known].logsumexp(-1, keepdim=True), t[known]
            ce = -(t_known * (logits[known] - among) + (1 - t_known) * (torch.stack(rest, -1) - among)).mean()
        return ce, 1 - dice[..., 1:].mean()
    return oracle


def region_loss(batch, smooth):
    def oracle(logits, labels):
        known = labels >= 0
        t = members(labels.clamp(min=0), logits.shape[-1])
        dice = soft_dice(logits.sigmoid(), t, known, batch, smooth)
        bce = logits.sum() * 0
        if known.any():
            bce = F.binary_cross_entropy_with_logits(logits[known], t[known])
        return bce, 1 - dice.mean()
    return oracle


def partly_known(rng, labels, share):
    return np.where(rng.random(labels.shape) < share, -1, labels).astype(np.int32)


def run(driver, report):
    rng = np.random.default_rng(3)
    for n, queries, classes, none_weight, scale in [(2, 5, 4, .1, 1), (3, 44, 16, 1, 1), (1, 11, 3, .1, 20), (1, 7, 5, .1, 1000)]:
        inputs = [scale * rounded(rng, n, queries, classes + 1), assignments(rng, n, queries, classes)]
        report.case("class_loss", "%d queries, %d classes" % (queries, classes), lambda: check(
            driver, "class_loss", class_loss(none_weight), inputs, "none_weight=%g" % none_weight))
    for grid, queries, classes, scale in [((2, 5, 4, 3), 7, 5, 1), ((3, 8, 9, 7), 16, 16, 4), ((1, 4, 4, 4), 5, 3, 60), ((1, 3, 4, 5), 5, 3, 2000),
                                          ((2, 3, 5, 4), 44, 16, 1)]:
        labels = rng.integers(0, classes, grid).astype(np.int32)
        inputs = [scale * rounded(rng, *grid, queries), labels, assignments(rng, grid[0], queries, classes)]
        report.case("mask_loss", "%s %d queries x %g" % (grid, queries, scale),
                    lambda: check(driver, "mask_loss", mask_loss, inputs, kept=1))
        for share in (.3, 1):
            unknown = [inputs[0], partly_known(rng, labels, share), inputs[2]]
            report.case("mask_loss", "%s %d queries, %g unknown" % (grid, queries, share),
                        lambda: check(driver, "mask_loss", mask_loss, unknown, kept=1))
        sets = [inputs[0], partly_known(rng, rng.integers(0, 1 << min(classes, 9), grid), .2), inputs[2]]
        report.case("mask_loss", "%s %d queries, regions" % (grid, queries), lambda: check(
            driver, "mask_loss", lambda *a: mask_loss(*a, regions=True), sets, "regions=1", kept=1))
    nobody = [rounded(rng, 2, 3, 4, 5, 6), rng.integers(0, 4, (2, 3, 4, 5)).astype(np.int32), np.full((2, 6), -1, np.int32)]
    report.case("mask_loss", "nothing matched", lambda: check(driver, "mask_loss", mask_loss, nobody, kept=1))
    for batch in (0, 1):
        for grid, classes, scale in [((2, 5, 4, 3), 5, 1), ((3, 7, 8, 9), 16, 3), ((1, 2, 3, 4), 2, 30), ((1, 5, 3, 4), 4, 2000)]:
            for share in (.4, 1):
                inputs = [scale * rounded(rng, *grid, classes), partly_known(rng, rng.integers(0, classes, grid), share)]
                report.case("voxel_loss", "batch=%d %s %d classes, %g unknown" % (batch, grid, classes, share),
                            lambda: check(driver, "voxel_loss", voxel_loss(batch, 1e-5), inputs,
                                          "batch=%d smooth=1e-5" % batch, kept=1))
                tame = [inputs[0] * min(1, 10 / scale), inputs[1]]  # beyond, 1 - p is less than the smallest float
                report.case("voxel_loss", "binary, batch=%d %s %d classes, %g unknown" % (batch, grid, classes, share),
                            lambda: check(driver, "voxel_loss", voxel_loss(batch, 1e-5, True), tame,
                                          "batch=%d smooth=1e-5 binary=1" % batch, kept=1))
            for share in (0, .4, 1):
                inputs = [scale * rounded(rng, *grid, classes), partly_known(rng, rng.integers(0, 1 << classes, grid), share)]
                report.case("region_loss", "batch=%d %s %d regions, %g unknown" % (batch, grid, classes, share),
                            lambda: check(driver, "region_loss", region_loss(batch, 1e-5), inputs,
                                          "batch=%d smooth=1e-5" % batch, kept=1))
            for strange in (0, 2):
                labels = rng.integers(0, classes + strange, grid).astype(np.int32)
                inputs = [scale * rounded(rng, *grid, classes), labels]
                report.case("voxel_loss", "batch=%d %s %d classes, %d others" % (batch, grid, classes, strange),
                            lambda: check(driver, "voxel_loss", voxel_loss(batch, 1e-5), inputs,
                                          "batch=%d smooth=1e-5" % batch, kept=1))
