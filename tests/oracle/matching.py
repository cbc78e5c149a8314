"""Random matchings: the cost of match's assignment must be the one scipy finds, cost computed here."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import expit, log_softmax

import torch

from boxes import class_box, giou, random_boxes
from driver import rounded

MATCHINGS = 1000


def costs(weights, logits, masks, labels, present, regions=False):
    """(classes present, K): -class p(c) + bce BCE + dice Dice, of one sample's known voxels."""
    x, labels = masks[labels >= 0], labels[labels >= 0]  # (V, K), (V)
    p, probability = expit(x), np.exp(log_softmax(logits, -1))
    rows = []
    for c in present:
        t = (labels >> c & 1 if regions else labels == c).astype(float)[:, None]
        bce = (np.logaddexp(0, x) - x * t).mean(0)
        dice = 1 - (2 * (p * t).sum(0) + 1) / (p.sum(0) + t.sum() + 1)
        rows.append(-weights[0] * probability[:, c] + weights[1] * bce + weights[2] * dice)
    return np.array(rows)


def verify(assignment, cost, present):
    """Each class present has exactly one query; the total is the optimum. Returns the relative gap."""
    matched = assignment[assignment >= 0]
    if sorted(matched) != list(present):
        raise AssertionError("classes %s present, %s matched" % (list(present), sorted(matched)))
    at = {c: q for q, c in enumerate(assignment) if c >= 0}
    if not len(present):
        return 0.0
    total = sum(cost[i, at[c]] for i, c in enumerate(present))
    best = cost[linear_sum_assignment(cost)].sum()
    gap = (total - best) / max(1, abs(best))
    if gap > 1e-5:
        raise AssertionError("cost %.9g, the optimum is %.9g" % (total, best))
    return abs(gap)


def classes_present(logits, labels, regions=False):
    if regions:
        return np.array([c for c in range(logits.shape[-1] - 1) if (labels[labels >= 0] >> c & 1).any()], int)
    present = np.unique(labels)
    return present[(present >= 0) & (present < logits.shape[-1] - 1)]


def random_problem(rng):
    classes = int(rng.integers(2, 13))
    queries = classes + int(rng.integers(0, 20))
    grid = tuple(int(n) for n in rng.integers(2, 7, 3))
    scale = float(rng.choice([.1, 1, 5, 40]))
    kept = rng.permutation(classes)[:rng.integers(1, classes + 1)]
    strange = [classes + 1] if rng.integers(0, 4) == 0 else []  # a label that belongs to no class
    unknown = [-1] if rng.integers(0, 3) == 0 else []
    labels = rng.choice(np.concatenate([kept, strange, unknown]), (2, *grid)).astype(np.int32)
    logits, masks = scale * rounded(rng, 2, queries, classes + 1), scale * rounded(rng, 2, *grid, queries)
    return [a.astype(np.float32).astype(np.float64) for a in (logits, masks)] + [labels]


def one(driver, rng):
    weights = [float(w) for w in rng.choice([0, 1, 2, 5], 3)]
    inputs = random_problem(rng)
    out = driver.forward("match", "class_weight=%g bce_weight=%g dice_weight=%g" % tuple(weights), inputs)
    driver.finish()
    gaps = []
    for n in range(2):
        present = classes_present(inputs[0], inputs[2][n])
        cost = costs(weights, inputs[0][n], inputs[1][n], inputs[2][n], present)
        gaps.append(verify(out[0][n], cost, present))
    return max(gaps)


def overlapping(driver, rng):
    """Labels are sets of classes; some voxels are unknown."""
    logits, masks, labels = random_problem(rng)
    labels = rng.integers(-1, 1 << (logits.shape[-1] - 1), labels.shape).astype(np.int32)
    out = driver.forward("match", "regions=1 class_weight=2 bce_weight=5 dice_weight=5", [logits, masks, labels])[0]
    driver.finish()
    gaps = []
    for n in range(2):
        present = classes_present(logits, labels[n], True)
        cost = costs((2., 5., 5.), logits[n], masks[n], labels[n], present, True)
        gaps.append(verify(out[n], cost, present))
    return max(gaps)


def box_costs(boxes, labels, present, regions):
    """Distance and negative GIoU to the box of each class present: two (classes present, K)."""
    distance, apart = np.zeros((2, len(present), len(boxes)))
    for row, c in enumerate(present):
        target = class_box(torch.tensor(labels), c, regions)
        for q, b in enumerate(torch.tensor(boxes)):
            distance[row, q], apart[row, q] = (b - target).abs().sum(), -giou(b, target)
    return distance, apart


def prompted(driver, rng, group, regions):
    """With auxiliary masks and boxes, either or both; `group` samples have one assignment of classes to queries."""
    classes, samples = int(rng.integers(2, 7)), group * 2
    queries, grid = classes + int(rng.integers(0, 6)), (1, int(rng.integers(2, 6)), int(rng.integers(2, 6)))
    kept = rng.permutation(classes)[:rng.integers(1, classes + 1)]
    labels = rng.choice(kept, (samples, *grid)).astype(np.int32)
    if regions:
        labels = rng.integers(-1, 1 << classes, labels.shape).astype(np.int32)
    logits, masks, aux = rounded(rng, samples, queries, classes + 1), *rounded(rng, 2, samples, *grid, queries)
    boxes, weights = random_boxes(rng, samples, queries), [float(w) for w in rng.choice([0, .5, 1, 2], 6)]
    with_aux, with_boxes = rng.integers(0, 2, 2)
    inputs = [logits, masks, labels, aux if with_aux else np.zeros(0), boxes if with_boxes else np.zeros(0)]
    names = ("class", "bce", "dice", "aux", "l1", "giou")
    options = " ".join("%s_weight=%g" % pair for pair in zip(names, weights)) + " slices=%d regions=%d" % (group, regions)
    out = driver.forward("match", options, inputs)[0]
    driver.finish()
    gaps = []
    for first in range(0, samples, group):
        total, of_class = np.zeros((classes, queries)), np.full(queries, -1)
        for n in range(first, first + group):
            present = classes_present(logits, labels[n], regions)
            if not len(present):
                continue
            total[present] += costs(weights[:3], logits[n], masks[n], labels[n], present, regions)
            if with_aux:
                total[present] += costs([0, weights[3], weights[3]], logits[n], aux[n], labels[n], present, regions)
            if with_boxes:
                distance, apart = box_costs(boxes[n], labels[n], present, regions)
                total[present] += weights[4] * distance + weights[5] * apart
            if set(out[n][out[n] >= 0]) != set(present):
                raise AssertionError("sample %d: classes %s present, %s matched" % (n, present, out[n]))
            for q in np.nonzero(out[n] >= 0)[0]:
                if of_class[q] not in (-1, out[n, q]):
                    raise AssertionError("query %d is of classes %d and %d in one group" % (q, of_class[q], out[n, q]))
                of_class[q] = out[n, q]
        there = np.sort(of_class[of_class >= 0])
        if len(set(there)) < len(there):
            raise AssertionError("one class has several queries: %s" % of_class)
        gaps.append(verify(of_class, total[there], there))
    return max(gaps)


def fixed(driver, rng):
    """Query i stands for class i: matched where the class is present."""
    logits, masks, labels = random_problem(rng)
    out = driver.forward("match", "fixed=1", [logits, masks, labels])[0]
    driver.finish()
    expected = np.full(out.shape, -1)
    for n in range(2):
        present = classes_present(logits, labels[n])
        expected[n, present] = present
    if (out != expected).any():
        raise AssertionError("%s, expected %s" % (out.tolist(), expected.tolist()))
    return 0.0


def strange(driver, rng):
    """Costs that are not finite count as 1e6: such a query is taken only where no other is left."""
    logits, masks, labels = random_problem(rng)
    labels = np.maximum(labels, 0) % (logits.shape[-1] - 1)  # all of a class
    masks[0, 0, 0, 0, rng.integers(0, masks.shape[-1], 3)] = np.nan
    logits[1, rng.integers(0, logits.shape[1], 2)] = np.nan
    weights = (2., 5., 5.)
    out = driver.forward("match", "class_weight=2 bce_weight=5 dice_weight=5", [logits, masks, labels])[0]
    driver.finish()
    gaps = []
    for n in range(2):
        present = classes_present(logits, labels[n])
        with np.errstate(invalid="ignore"):
            cost = costs(weights, logits[n], masks[n], labels[n], present)
        gaps.append(verify(out[n], np.where(np.isfinite(cost), cost, 1e6), present))
    return max(gaps)


def run(driver, report):
    rng = np.random.default_rng(4)
    report.case("match", "%d random problems" % MATCHINGS,
                lambda: max(one(driver, rng) for _ in range(MATCHINGS // 2)))  # two samples each
    report.case("match", "regions", lambda: max(overlapping(driver, rng) for _ in range(100)))
    for group in (1, 3):
        for regions in (0, 1):
            report.case("match", "auxiliary masks and boxes, %d as one, regions=%d" % (group, regions), lambda: max(
                prompted(driver, rng, group, regions) for _ in range(60)))
    report.case("match", "fixed", lambda: max(fixed(driver, rng) for _ in range(20)))
    report.case("match", "numbers that are not finite", lambda: max(strange(driver, rng) for _ in range(50)))
