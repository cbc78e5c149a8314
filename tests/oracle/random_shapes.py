"""Random shapes and options, so that no tail of a vector, tile or thread's share goes untried."""

import numpy as np

import attention
import layers
import losses
from driver import check, rounded

SHAPES = 40  # an op


def numbers(rng, count, low, high):
    return tuple(int(n) for n in rng.integers(low, high + 1, count))


def conv(rng):
    kernel = tuple(int(k) for k in rng.choice([1, 3], 3))
    stride, grid = numbers(rng, 3, 1, 2), numbers(rng, 4, 1, 7)
    parts = numbers(rng, rng.integers(1, 3), 1, 40)
    out = int(rng.integers(1, 70))
    inputs = [rounded(rng, out, *kernel, sum(parts)), rounded(rng, out)]
    inputs += [rounded(rng, *grid, part) for part in parts]
    return layers.conv(stride), inputs, "stride=%d,%d,%d" % stride, {}


def conv_transpose(rng):
    stride, grid = numbers(rng, 3, 1, 3), numbers(rng, 4, 1, 5)
    cin, cout = numbers(rng, 2, 1, 70)
    inputs = [rounded(rng, cin, *stride, cout), rounded(rng, cout), rounded(rng, *grid, cin)]
    return layers.conv_transpose, inputs, "stride=%d,%d,%d" % stride, {}


def linear(rng):
    ein, eout = numbers(rng, 2, 1, 200)
    activation = str(rng.choice(["none", "relu"]))
    inputs = [rounded(rng, eout, ein), rounded(rng, eout), rounded(rng, *numbers(rng, rng.integers(1, 5), 1, 7), ein)]
    return layers.linear(activation), inputs, "activation=" + activation, {}


def matmul(rng):
    transpose = int(rng.integers(0, 2))
    n, c, k = numbers(rng, 3, 1, 70)
    n = 1 + n % 3
    b = rounded(rng, n, *((k, c) if transpose else (c, k)))
    a = rounded(rng, n, *numbers(rng, rng.integers(1, 4), 1, 7), c)
    return layers.matmul(transpose), [a, b], "transpose=%d" % transpose, {}


def instance_norm(rng):
    shape = numbers(rng, 4, 2, 9) + numbers(rng, 1, 1, 70)
    inputs = [1 + rounded(rng, shape[-1]) / 4, rounded(rng, shape[-1]), rounded(rng, *shape)]
    return layers.instance_norm(1e-5, 1), inputs, "epsilon=1e-5 slope=1", {"internal": (1, 2)}


def layer_norm(rng):
    shape = numbers(rng, rng.integers(1, 4), 1, 9) + numbers(rng, 1, 4, 300)  # two channels: all gradients cancel
    inputs = [1 + rounded(rng, shape[-1]) / 4, rounded(rng, shape[-1]), rounded(rng, *shape)]
    return layers.layer_norm(1e-5), inputs, "epsilon=1e-5", {"internal": (1, 2)}


def attend(rng):
    heads = int(rng.integers(1, 7))
    n, tq, tk, width = numbers(rng, 1, 1, 3) + numbers(rng, 1, 1, 70) + numbers(rng, 1, 1, 300) + numbers(rng, 1, 1, 33)
    inputs = [rounded(rng, n, t, heads * width) for t in (tq, tk, tk)]
    if rng.integers(0, 2):
        inputs.append((rounded(rng, n, tk, tq) - rng.uniform(0, 3)).astype(np.float32).astype(np.float64))
    return attention.attention(heads), inputs, "heads=%d" % heads, {"internal": (1,)}


def deform(rng):
    heads, points, levels, n, width = numbers(rng, 1, 1, 6) + numbers(rng, 1, 1, 6) + numbers(rng, 1, 1, 4) + (
        numbers(rng, 1, 1, 2) + numbers(rng, 1, 1, 33))
    queries = [numbers(rng, 3, 1, 4) for _ in range(rng.integers(1, 3))]
    t = sum(int(np.prod(q)) for q in queries)
    offsets = (rng.uniform(.1, 6) * rounded(rng, n, t, heads * levels * points * 3)).astype(np.float32)
    inputs = [offsets.astype(np.float64), rounded(rng, n, t, heads * levels * points)]
    inputs += [rounded(rng, n, *numbers(rng, 3, 1, 7), heads * width) for _ in range(levels)]
    grids = ",".join(str(s) for q in queries for s in q)
    return attention.deform(queries, heads, points), inputs, "heads=%d points=%d query_grids=%s" % (
        heads, points, grids), {}


def resize(rng):
    size, grid = numbers(rng, 3, 1, 9), numbers(rng, 4, 1, 9)
    return layers.resize(size), [rounded(rng, *grid, int(rng.integers(1, 40)))], "size=%d,%d,%d" % size, {}


def resize_nearest(rng):
    size, grid = numbers(rng, 3, 1, 9), numbers(rng, 4, 1, 9)
    inputs = [rounded(rng, *grid, int(rng.integers(1, 40)))]
    return lambda x: layers.picked(x, size), inputs, "size=%d,%d,%d mode=nearest" % size, {}


def adaptive_avg_pool(rng):
    size, grid = numbers(rng, 3, 1, 9), numbers(rng, 4, 1, 9)
    inputs = [rounded(rng, *grid, int(rng.integers(1, 70)))]
    return layers.adaptive(size), inputs, "size=%d,%d,%d" % size, {}


def multiply(rng):
    shape = numbers(rng, rng.integers(1, 5), 1, 9) + numbers(rng, 1, 1, 70)
    first, end = sorted(numbers(rng, 2, 0, len(shape)))  # the axes that b lacks
    b = tuple(1 if first <= axis < end else n for axis, n in enumerate(shape))
    sigmoid, plus = int(rng.integers(0, 2)), float(rng.integers(-1, 2))
    inputs = [rounded(rng, *shape), rounded(rng, *b)]
    return layers.multiply(sigmoid, plus), inputs, "sigmoid=%d plus=%g" % (sigmoid, plus), {}


def swap(rng):
    shape = numbers(rng, rng.integers(2, 6), 1, 19)
    axes = tuple(int(a) for a in rng.choice(len(shape), 2, replace=False))
    return lambda x: (x.transpose(*axes),), [rounded(rng, *shape)], "axes=%d,%d" % axes, {}


def mask_loss(rng):
    grid, queries, classes = numbers(rng, 4, 1, 7), int(rng.integers(1, 50)), int(rng.integers(2, 17))
    classes = min(classes, queries)
    labels = rng.integers(-1, classes + 1, grid).astype(np.int32)
    inputs = [3 * rounded(rng, *grid, queries), labels, losses.assignments(rng, grid[0], queries, classes)]
    return losses.mask_loss, inputs, "", {"kept": 1}


def voxel_loss(rng):
    grid, classes, batch = numbers(rng, 4, 1, 7), int(rng.integers(2, 40)), int(rng.integers(0, 2))
    labels = rng.integers(-1, classes + 1, grid).astype(np.int32)
    return losses.voxel_loss(batch, 1e-5), [3 * rounded(rng, *grid, classes), labels], "batch=%d" % batch, {"kept": 1}


def region_loss(rng):
    grid, regions, batch = numbers(rng, 4, 1, 7), int(rng.integers(1, 31)), int(rng.integers(0, 2))
    labels = losses.partly_known(rng, rng.integers(0, 1 << regions, grid), .2)
    return losses.region_loss(batch, 1e-5), [3 * rounded(rng, *grid, regions), labels], "batch=%d" % batch, {"kept": 1}


GENERATORS = {"conv": conv, "conv_transpose": conv_transpose, "linear": linear, "matmul": matmul,
              "instance_norm": instance_norm, "layer_norm": layer_norm, "attention": attend,
              "deform_attention": deform, "resize": resize, "mask_loss": mask_loss, "voxel_loss": voxel_loss,
              "region_loss": region_loss, "resize nearest": resize_nearest, "adaptive_avg_pool": adaptive_avg_pool,
              "multiply": multiply, "swap": swap}


def one(driver, name, rng):
    oracle, inputs, options, arguments = GENERATORS[name](rng)
    op = name.split()[0]
    try:
        return check(driver, op, oracle, inputs, options, **arguments)
    except (AssertionError, RuntimeError) as reason:
        raise AssertionError("%s %s: %s" % (options, [a.shape for a in inputs], reason)) from reason


def run(driver, report):
    for seed, name in enumerate(GENERATORS):
        rng = np.random.default_rng(100 + seed)
        report.case(name.split()[0], "%d random shapes" % SHAPES, lambda: max(one(driver, name, rng) for _ in range(SHAPES)))
