"""Convolutions, linear maps, norms, pools and what moves data, against torch.nn.functional."""

import numpy as np
import torch
import torch.nn.functional as F

from driver import TOLERANCE, check, distance, rounded


def first(x):
    """Channels last (N, D, H, W, C) to PyTorch's (N, C, D, H, W)."""
    return x.permute(0, 4, 1, 2, 3)


def last(x):
    return x.permute(0, 2, 3, 4, 1)


def given(bias):
    """None for one that is left out, which comes as an array of no numbers."""
    return bias if bias.numel() else None


def conv(stride):
    def oracle(w, b, *parts):
        pad = [(k - 1) // 2 for k in w.shape[1:4]]
        x = torch.cat([first(p) for p in parts], 1)
        return (last(F.conv3d(x, w.permute(0, 4, 1, 2, 3), given(b), stride=stride, padding=pad)),)
    return oracle


def conv_cases(driver, report, rng):
    #       out, kernel,    parts,    stride,    grid
    cases = [(5, (3, 3, 3), (4,), (1, 1, 1), (2, 5, 6, 7)),
             (16, (3, 3, 3), (1,), (1, 1, 1), (1, 9, 8, 7)),
             (32, (3, 3, 3), (16,), (2, 2, 2), (2, 8, 6, 10)),
             (32, (3, 3, 3), (16,), (2, 2, 2), (2, 7, 9, 5)),
             (16, (1, 3, 3), (16,), (1, 2, 2), (2, 3, 9, 8)),
             (7, (1, 3, 3), (3,), (1, 1, 1), (2, 4, 5, 6)),
             (7, (3, 1, 3), (3,), (2, 1, 3), (1, 7, 5, 9)),
             (16, (3, 3, 3), (16, 16), (1, 1, 1), (2, 6, 5, 4)),
             (5, (3, 3, 3), (3, 4), (1, 1, 1), (2, 4, 5, 6)),
             (9, (1, 3, 3), (2, 5), (1, 2, 2), (1, 4, 7, 6)),
             (9, (1, 1, 1), (2, 5, 1, 4), (1, 1, 1), (1, 4, 7, 6)),
             (16, (3, 3, 3), (16, 32, 16, 16), (1, 1, 1), (2, 5, 6, 7)),
             (8, (3, 3, 3), (8, 3, 4), (2, 1, 2), (1, 4, 5, 6)),
             (8, (5, 3, 1), (6,), (1, 1, 1), (1, 7, 6, 5)),
             (44, (1, 1, 1), (32,), (1, 1, 1), (2, 4, 5, 6)),
             (64, (3, 3, 3), (128,), (1, 1, 1), (1, 4, 4, 4)),
             (128, (3, 3, 3), (64,), (2, 2, 2), (2, 8, 8, 8)),
             # too large for the double reference within the op tests
             (16, (3, 3, 3), (16, 16), (1, 1, 1), (2, 32, 32, 32)),
             (64, (3, 3, 3), (64,), (1, 1, 1), (1, 32, 32, 32)),
             (16, (1, 3, 3), (16,), (1, 1, 1), (2, 32, 32, 32)),
             (32, (3, 3, 3), (16,), (2, 2, 2), (2, 32, 32, 32))]
    for out, kernel, parts, stride, grid in cases:
        for biases in (out, 0) if grid[1] < 9 else (out,):
            inputs = [rounded(rng, out, *kernel, sum(parts)), rounded(rng, biases)]
            inputs += [rounded(rng, *grid, part) for part in parts]
            options = "stride=%d,%d,%d" % stride
            report.case("conv", "%s %s %s %s %s, %d biases" % (out, kernel, parts, stride, grid, biases),
                        lambda: check(driver, "conv", conv(stride), inputs, options))


def conv_transpose(w, b, x):
    return (last(F.conv_transpose3d(first(x), w.permute(0, 4, 1, 2, 3), given(b), stride=w.shape[1:4])),)


def conv_transpose_cases(driver, report, rng):
    for cin, cout, stride, grid in [(5, 3, (2, 2, 2), (2, 3, 4, 5)), (32, 16, (1, 2, 2), (1, 5, 4, 3)),
                                    (128, 64, (2, 2, 2), (2, 4, 4, 4)), (4, 7, (3, 1, 2), (2, 2, 5, 3))]:
        for biases in cout, 0:
            inputs = [rounded(rng, cin, *stride, cout), rounded(rng, biases), rounded(rng, *grid, cin)]
            report.case("conv_transpose", "%d to %d %s, %d biases" % (cin, cout, stride, biases),
                        lambda: check(driver, "conv_transpose", conv_transpose, inputs, "stride=%d,%d,%d" % stride))


def grouped_conv(stride, groups, transposed):
    function = F.conv_transpose3d if transposed else F.conv3d

    def oracle(w, b, x):
        pad = [(k - 1) // 2 for k in w.shape[1:4]]
        kernel = w.permute(0, 4, 1, 2, 3) # (Cout, Cin / groups, ...); transposed PyTorch has (Cin, Cout / groups, ...)
        if transposed:
            kernel = kernel.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        return (last(function(first(x), kernel, given(b), stride=stride, padding=pad, groups=groups)),)
    return oracle


def grouped_conv_cases(driver, report, rng):
    #        in, out, groups, kernel, stride,   grid
    cases = [(6, 4, 2, (3, 3, 3), (1, 1, 1), (2, 4, 5, 6)),
             (8, 8, 8, (3, 3, 3), (1, 1, 1), (2, 4, 5, 9)),
             (24, 24, 24, (1, 7, 7), (1, 1, 1), (1, 1, 9, 13)),
             (16, 16, 16, (5, 5, 5), (2, 2, 2), (1, 6, 5, 9)),
             (19, 19, 19, (1, 3, 3), (1, 2, 2), (2, 3, 6, 12)),
             (8, 8, 8, (2, 2, 2), (2, 2, 2), (1, 4, 6, 8)),
             (4, 12, 4, (3, 1, 3), (1, 1, 2), (1, 3, 4, 5)),
             (16, 64, 16, (1, 1, 1), (1, 1, 1), (2, 3, 4, 5)),
             (64, 16, 16, (1, 1, 1), (1, 1, 1), (2, 3, 4, 5)),
             (5, 3, 1, (1, 1, 1), (2, 2, 2), (1, 3, 4, 5))]
    for cin, cout, groups, kernel, stride, grid in cases:
        for transposed in False, True:
            for biases in cout, 0:
                inputs = [rounded(rng, cout, *kernel, cin // groups), rounded(rng, biases), rounded(rng, *grid, cin)]
                options = "groups=%d stride=%d,%d,%d transposed=%d" % (groups, *stride, transposed)
                report.case("grouped_conv", "%d to %d %s %s, %d biases" % (cin, cout, kernel, options, biases),
                            lambda: check(driver, "grouped_conv", grouped_conv(stride, groups, transposed), inputs,
                                          options))


def linear(activation):
    function = {"none": lambda x: x, "relu": F.relu}[activation]
    return lambda w, b, x: (function(F.linear(x, w, given(b))),)


def linear_cases(driver, report, rng):
    for activation in ("none", "relu"):
        for eout, shape in [(5, (2, 3, 7)), (192, (2, 11, 48)), (48, (2, 3, 4, 5, 192)), (17, (1, 33)), (1, (9, 3))]:
            for biases in eout, 0:
                inputs = [rounded(rng, eout, shape[-1]), rounded(rng, biases), rounded(rng, *shape)]
                report.case("linear", "%s %d %s, %d biases" % (activation, eout, shape, biases),
                            lambda: check(driver, "linear", linear(activation), inputs, "activation=" + activation))


def depth_mix(w, b, x):
    return (torch.einsum("ed,nd...->ne...", w, x) + (b.reshape(-1, *[1] * (x.dim() - 2)) if b.numel() else 0),)


def depth_mix_cases(driver, report, rng):
    for out, shape in [(5, (2, 3, 7)), (32, (2, 8, 10, 10, 24)), (8, (2, 32, 5, 24)), (104, (1, 26, 9, 33)), (3, (2, 1, 4, 5, 8)),
                       (7, (1, 5, 32, 32))]:
        for biases in out, 0:
            inputs = [rounded(rng, out, shape[1]), rounded(rng, biases), rounded(rng, *shape)]
            report.case("depth_mix", "%d of %s, %d biases" % (out, shape, biases), lambda: check(driver, "depth_mix", depth_mix, inputs))


def matmul(transpose):
    product = "n...c,nkc->n...k" if transpose else "n...c,nck->n...k"
    return lambda a, b: (torch.einsum(product, a, b),)


def matmul_cases(driver, report, rng):
    for transpose in (1, 0):
        for shape, k in [((2, 3, 4, 5, 6), 7), ((3, 9, 16), 44), ((1, 8, 7, 6, 48), 11), ((2, 5, 1), 3)]:
            b = rounded(rng, shape[0], *((k, shape[-1]) if transpose else (shape[-1], k)))
            report.case("matmul", "transpose=%d %s %d" % (transpose, shape, k),
                        lambda: check(driver, "matmul", matmul(transpose), [rounded(rng, *shape), b],
                                      "transpose=%d" % transpose))


def after_norm(slope):
    """What follows a norm: LeakyReLU of this slope, or SiLU."""
    return F.silu if slope == "silu" else lambda x: F.leaky_relu(x, slope)


def after_options(slope):
    return "activation=silu" if slope == "silu" else "slope=%g" % slope


def instance_norm(epsilon, slope, groups=0):
    def oracle(gamma, beta, x):
        each = x.unflatten(-1, (groups or x.shape[-1], -1)) # a group's channels apart
        mean, variance = each.mean((1, 2, 3, 5)), each.var((1, 2, 3, 5), unbiased=False)
        mean, rstd = (v.repeat_interleave(each.shape[-1], 1) for v in (mean, 1 / torch.sqrt(variance + epsilon)))
        y = F.instance_norm(first(x), weight=gamma, bias=beta, eps=epsilon)
        if groups:
            y = F.group_norm(first(x), groups, gamma, beta, epsilon)
        return last(after_norm(slope)(y)), mean, rstd
    return oracle


def batch_norm_module(channels, epsilon, momentum, flat=False, tracks=True):
    make = torch.nn.BatchNorm2d if flat else torch.nn.BatchNorm3d
    return make(channels, epsilon, momentum, track_running_stats=tracks).double()


def batch_norm(mode, epsilon, momentum, slope):
    """Of one step: y, mean, rstd and, where the op writes them, the running mean and variance."""
    def oracle(gamma, beta, x, *running):
        flat = x.shape[1] == 1
        module = batch_norm_module(x.shape[-1], epsilon, momentum, flat, mode != "batch").train(mode == "train")
        del module.weight, module.bias
        module.weight, module.bias = gamma, beta
        for buffer, start in zip((module.running_mean, module.running_var), running):
            buffer.copy_(start.detach())
        y = module(first(x).squeeze(2)).unsqueeze(2) if flat else module(first(x))
        mean, variance = running if mode == "evaluate" else torch.var_mean(x.flatten(0, -2), 0, unbiased=False)[::-1]
        updated = (module.running_mean, module.running_var) if mode == "train" else ()
        return (last(after_norm(slope)(y)), mean, 1 / torch.sqrt(variance + epsilon)) + updated
    return oracle


def batch_norm_steps(driver, rng, steps=4, c=19):
    """The running statistics of several steps, each step's going into the next, then what they give in evaluation."""
    module = batch_norm_module(c, 1e-5, .1)
    affine = [1 + rounded(rng, c) / 4, rounded(rng, c)]
    module.weight.data, module.bias.data = map(torch.tensor, affine)
    running, worst = [np.zeros(c), np.ones(c)], 0
    for step in range(steps + 1):
        x = step - 1 + (1 + step) * rounded(rng, 2, 3, 4, 5, c)
        module.train(step < steps)
        found = driver.forward("batch_norm", "mode=" + ("train" if step < steps else "evaluate"), affine + [x] + running)
        driver.finish()
        worst = max(worst, distance(found[0], last(module(first(torch.tensor(x)))).detach().numpy()))
        if step < steps:
            running = found[3:]
    for name, ours, theirs in zip(("mean", "variance"), running, (module.running_mean, module.running_var)):
        worst = max(worst, distance(ours, theirs.numpy()))
    if not worst <= TOLERANCE:
        raise AssertionError("%d steps differ by %.2e of the largest element" % (steps, worst))
    return worst


def layer_norm(epsilon):
    def oracle(gamma, beta, x):
        mean = x.mean(-1)
        rstd = 1 / torch.sqrt(x.var(-1, unbiased=False) + epsilon)
        return F.layer_norm(x, x.shape[-1:], gamma, beta, epsilon), mean.reshape(-1), rstd.reshape(-1)
    return oracle


def norm_cases(driver, report, rng):
    for shape, epsilon, slope in [((2, 3, 4, 5, 7), 1e-5, .01), ((1, 9, 8, 7, 16), 1e-5, 1), ((3, 5, 6, 4, 33), 1e-3, .2),
                                  ((2, 5, 6, 4, 19), 1e-5, "silu")]:
        c = shape[-1]
        inputs = [1 + rounded(rng, c) / 4, rounded(rng, c), 3 + 2 * rounded(rng, *shape)]
        report.case("instance_norm", "%s slope %s" % (shape, slope),
                    lambda: check(driver, "instance_norm", instance_norm(epsilon, slope), inputs,
                                  "epsilon=%g %s" % (epsilon, after_options(slope)), internal=(1, 2)))
    for shape, epsilon, momentum, slope in [((2, 3, 4, 5, 7), 1e-5, .1, .01), ((4, 1, 9, 7, 16), 1e-5, .1, "silu"),
                                            ((1, 5, 6, 4, 33), 1e-3, .25, 1)]:
        for mode in ("train", "evaluate", "batch"):
            c = shape[-1]
            running = [] if mode == "batch" else [rounded(rng, c), (.5 + np.abs(rounded(rng, c))).astype(np.float32).astype(float)]
            inputs = [1 + rounded(rng, c) / 4, rounded(rng, c), 3 + 2 * rounded(rng, *shape)] + running
            report.case("batch_norm", "%s %s" % (mode, shape), lambda: check(
                driver, "batch_norm", batch_norm(mode, epsilon, momentum, slope), inputs,
                "mode=%s epsilon=%g momentum=%g %s" % (mode, epsilon, momentum, after_options(slope)),
                internal=(1, 2, 3, 4)))
    report.case("batch_norm", "running statistics of steps", lambda: batch_norm_steps(driver, rng))
    for shape, groups, slope in [((2, 3, 4, 5, 12), 4, .01), ((1, 9, 8, 7, 48), 24, 1), ((3, 5, 6, 4, 33), 3, 1),
                                 ((2, 3, 4, 5, 6), 1, 1)]:
        c = shape[-1]
        inputs = [1 + rounded(rng, c) / 4, rounded(rng, c), 3 + 2 * rounded(rng, *shape)]
        report.case("instance_norm", "%s %d groups" % (shape, groups),
                    lambda: check(driver, "instance_norm", instance_norm(1e-5, slope, groups), inputs,
                                  "epsilon=1e-5 slope=%g groups=%d" % (slope, groups), internal=(1, 2)))
    far = [1 + rounded(rng, 16) / 4, rounded(rng, 16), (100 + rounded(rng, 2, 8, 7, 9, 16)).astype(np.float32).astype(float)]
    # no slope: rounding x - 100 may move a value across the kink
    report.case("instance_norm", "mean of 100 deviations", lambda: check(
        driver, "instance_norm", instance_norm(1e-5, 1), far, "epsilon=1e-5 slope=1", internal=(1, 2)))
    for shape in [(2, 3, 5), (2, 7, 48), (1, 2, 3, 4, 256), (3, 64)]:
        e = shape[-1]
        inputs = [1 + rounded(rng, e) / 4, rounded(rng, e), 3 + 2 * rounded(rng, *shape)]
        report.case("layer_norm", "%s" % (shape,),
                    lambda: check(driver, "layer_norm", layer_norm(1e-5), inputs, "epsilon=1e-5", internal=(1, 2)))


def resize(size):
    return lambda x: (last(F.interpolate(first(x), size, mode="trilinear", align_corners=False)),)


def picked(x, size):
    """floor(i in/out) in whole numbers."""
    for axis, out in enumerate(size, 1):
        x = x.index_select(axis, torch.div(torch.arange(out) * x.shape[axis], out, rounding_mode="floor"))
    return (x,)


def nearest_cases(driver, report, rng):
    for size, grid in [((4, 6, 8), (2, 2, 3, 4)), ((3, 7, 5), (1, 6, 4, 9)), ((1, 14, 10), (2, 1, 7, 5)), ((2, 3, 4), (2, 8, 9, 4))]:
        for c in (3, 16):
            report.case("resize", "nearest %s to %s, %d" % (grid, size, c), lambda: check(
                driver, "resize", lambda x: (last(F.interpolate(first(x), size, mode="nearest")),), [rounded(rng, *grid, c)],
                "size=%d,%d,%d mode=nearest" % size))
    # PyTorch multiplies by in/out in float: output 41 of 82 reads voxel 0 of 2 there, not 1
    report.case("resize", "nearest 2 to 82", lambda: check(
        driver, "resize", lambda x: picked(x, (1, 1, 82)), [rounded(rng, 1, 1, 1, 2, 3)], "size=1,1,82 mode=nearest"))


def adaptive(size):
    return lambda x: (last(F.adaptive_avg_pool3d(first(x), size)),)


def adaptive_cases(driver, report, rng):
    for size, grid in [((1, 1, 1), (2, 3, 4, 5)), ((2, 3, 4), (2, 3, 5, 7)), ((1, 16, 16), (1, 1, 37, 30)), ((5, 2, 3), (1, 2, 9, 3)),
                       ((3, 1, 2), (2, 3, 6, 2))]:
        for c in (3, 16):
            report.case("adaptive_avg_pool", "%s to %s, %d" % (grid, size, c), lambda: check(
                driver, "adaptive_avg_pool", adaptive(size), [rounded(rng, *grid, c)], "size=%d,%d,%d" % size))


def pool_cases(driver, report, rng):
    pools = [("avg_pool", lambda x, f: F.avg_pool3d(x, f)), ("max_pool", lambda x, f: F.max_pool3d(x, f))]
    for op, pool in pools:
        for factor, grid in [((2, 2, 2), (2, 4, 6, 8)), ((1, 2, 3), (1, 3, 4, 9)), ((4, 1, 2), (2, 8, 3, 2))]:
            for c in (3, 16):
                report.case(op, "%s %s %d" % (factor, grid, c),
                            lambda: check(driver, op, lambda x: (last(pool(first(x), factor)),),
                                          [rounded(rng, *grid, c)], "factor=%d,%d,%d" % factor))
    # Of few values, so that windows have several maxima: the first gets the gradient there, too.
    for size, grid in [((1, 5, 5), (2, 1, 9, 7)), ((3, 1, 5), (2, 4, 3, 8)), ((3, 7, 3), (1, 3, 2, 6)), ((1, 13, 13), (1, 1, 5, 6))]:
        for c in (3, 16):
            report.case("window_max", "%s over %s, %d" % (size, grid, c), lambda: check(
                driver, "window_max", lambda x: (last(F.max_pool3d(first(x), size, 1, [n // 2 for n in size])),),
                [np.round(2 * rounded(rng, *grid, c)) / 2], "size=%d,%d,%d" % size))
    for shape in ((2, 1, 5, 3, 7), (2, 40, 64), (9, 1), (3, 5, 45)):
        report.case("channel_pool", "%s" % (shape,), lambda: check(
            driver, "channel_pool", lambda x: (torch.stack([x.mean(-1), x.max(-1)[0]], -1),), [rounded(rng, *shape)]))
    for size, grid in [((4, 6, 8), (2, 2, 3, 4)), ((3, 7, 5), (1, 6, 4, 9)), ((5, 5, 5), (2, 1, 5, 2)),
                       ((2, 3, 4), (2, 8, 9, 4)), ((9, 1, 3), (1, 4, 5, 2))]:
        for c in (3, 16):
            report.case("resize", "%s to %s, %d" % (grid, size, c),
                        lambda: check(driver, "resize", resize(size), [rounded(rng, *grid, c)], "size=%d,%d,%d" % size))


def multiply(sigmoid, plus):
    return lambda a, b: (a * ((torch.sigmoid(b) if sigmoid else b) + plus),)


def elementwise_cases(driver, report, rng):
    for a, b in [((2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 4, 5), (4, 5)), ((3, 7), (7,))]:
        report.case("add", "%s + %s" % (a, b),
                    lambda: check(driver, "add", lambda x, y: (x + y,), [rounded(rng, *a), rounded(rng, *b)]))
    for a, b in [((2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 4, 5), (5,)), ((2, 3, 4, 5), (3, 4, 5)), ((2, 3, 4, 5, 17), (2, 3, 4, 5, 1)),
                 ((2, 3, 4, 5, 8), (2, 1, 1, 1, 8)), ((2, 70, 33, 5), (1,)), ((2, 9, 7), (2, 1, 1))]:
        for sigmoid, plus in ((0, 0), (1, 0), (1, 1), (0, -.5)):
            report.case("multiply", "%s * %s, sigmoid %d plus %g" % (a, b, sigmoid, plus), lambda: check(
                driver, "multiply", multiply(sigmoid, plus), [rounded(rng, *a), rounded(rng, *b)], "sigmoid=%d plus=%g" % (sigmoid, plus)))
    for a, b, scale in [((2, 3, 4, 5), (2, 3, 4, 5), .5), ((2, 3, 4, 16), (4, 16), -3), ((2, 70, 5), (5,), .125)]:
        report.case("add", "%s + %g %s" % (a, scale, b), lambda: check(
            driver, "add", lambda x, y: (x + scale * y,), [rounded(rng, *a), rounded(rng, *b)], "scale=%g" % scale))
    for count in (1, 3):
        report.case("expand", "%d" % count, lambda: check(
            driver, "expand", lambda x: (x.expand(count, *x.shape),), [rounded(rng, 4, 5)], "count=%d" % count))
        report.case("expand", "%d of each" % count, lambda: check(
            driver, "expand", lambda x: (x.repeat_interleave(count, 0),), [rounded(rng, 3, 4, 5)], "count=%d inner=1" % count))
    kinds = [("relu", F.relu), ("gelu", F.gelu), ("sigmoid", torch.sigmoid), ("leaky_relu", F.leaky_relu),
             ("leaky_relu slope=0.2", lambda x: F.leaky_relu(x, .2)), ("silu", F.silu),
             ("step", lambda x: (x > 0).double())]
    for kind, function in kinds:
        for scale in (1, 8):
            report.case("activation", "%s x %d" % (kind, scale), lambda: check(
                driver, "activation", lambda x: (function(x),), [scale * rounded(rng, 2, 3, 37)], "kind=" + kind))
        report.case("activation", "%s, far out" % kind, lambda: check(
            driver, "activation", lambda x: (function(x),), [np.linspace(-2000, 2000, 101)], "kind=" + kind))
    for drop, scale in ((0, 4), (1, 4), (2, 4), (1, 100)): # e^x beyond float; at x 1000 all rows may saturate: no gradient is left
        logits = scale * rounded(rng, 2, 3, 5, 9)
        report.case("softmax", "drop %d x %d" % (drop, scale), lambda: check(
            driver, "softmax", lambda x: (x.softmax(-1)[..., :x.shape[-1] - drop],), [logits],
            "drop=%d" % drop))
    weights = [.5, -2, 3]
    report.case("weighted_sum", "3 terms", lambda: check(
        driver, "weighted_sum", lambda *x: (sum(w * t for w, t in zip(weights, x)),), [rounded(rng) for _ in weights],
        "weight0=.5 weight1=-2 weight2=3"))


def patches(edge):
    def oracle(x):
        n, grid, c = x.shape[0], [s // p for s, p in zip(x.shape[1:4], edge)], x.shape[4]
        cells = x.reshape(n, grid[0], edge[0], grid[1], edge[1], grid[2], edge[2], c).permute(0, 1, 3, 5, 2, 4, 6, 7)
        return (cells.reshape(n, *grid, -1),)
    return oracle


def patches_back(edge):
    def oracle(x):
        n, (d, h, w) = x.shape[0], x.shape[1:4]
        cells = x.reshape(n, d, h, w, *edge, -1).permute(0, 1, 4, 2, 5, 3, 6, 7)
        return (cells.reshape(n, d * edge[0], h * edge[1], w * edge[2], -1),)
    return oracle


def place(size, before, stride):
    def oracle(x):
        y = x.new_zeros(x.shape[0], *size, x.shape[4])
        at = [slice(b, b + s * (n - 1) + 1, s) for b, s, n in zip(before, stride, x.shape[1:4])]
        y[(slice(None), *at)] = x
        return (y,)
    return oracle


def place_cases(driver, report, rng):
    for edge, grid in [((2, 2, 2), (2, 4, 2, 6)), ((1, 4, 4), (1, 1, 8, 12)), ((3, 1, 2), (2, 6, 5, 4))]:
        for c in (3, 16):
            options = "patch=%d,%d,%d" % edge
            voxels = edge[0] * edge[1] * edge[2]
            report.case("patches", "%s of %s, %d" % (edge, grid, c), lambda: check(
                driver, "patches", patches(edge), [rounded(rng, *grid, c)], options))
            report.case("patches", "%s back, %s, %d" % (edge, grid, c), lambda: check(
                driver, "patches", patches_back(edge), [rounded(rng, *grid, c * voxels)], options + " inverse=1"))
    for size, before, stride, grid in [((4, 5, 6), (1, 1, 1), (1, 1, 1), (2, 3, 4, 5)), ((5, 7, 9), (0, 1, 2), (2, 3, 1), (2, 3, 2, 5)),
                                       ((1, 9, 9), (0, 0, 0), (1, 2, 2), (1, 1, 5, 5))]:
        for c in (3, 16):
            options = "size=%d,%d,%d before=%d,%d,%d stride=%d,%d,%d" % (*size, *before, *stride)
            report.case("place", "%s, %d" % (options, c), lambda: check(
                driver, "place", place(size, before, stride), [rounded(rng, *grid, c)], options))
    report.case("fill", "a map", lambda: check(
        driver, "fill", lambda: (torch.full((2, 3, 5), -.25, dtype=torch.float64),), [], "shape=2,3,5 value=-.25"))


def token_cases(driver, report, rng):
    def concat(*parts):
        return (torch.cat([p.reshape(p.shape[0], -1, p.shape[-1]) for p in parts], 1),)
    inputs = [rounded(rng, 2, 7, 5), rounded(rng, 2, 3, 2, 4, 5), rounded(rng, 2, 1, 5)]
    report.case("concat", "tokens and a grid", lambda: check(driver, "concat", concat, inputs))
    for parts in [(3, 5), (16, 16, 32, 8), (1, 1), (7,)]:
        report.case("concat", "channels %s" % (parts,), lambda: check(
            driver, "concat", lambda *x: (torch.cat(x, -1),), [rounded(rng, 2, 3, 4, 5, c) for c in parts], "axis=channels"))
    for shape, axes in [((2, 37, 19), (1, 2)), ((2, 3, 5, 4, 7), (2, 3)), ((2, 3, 5, 4, 7), (1, 4)), ((2, 3, 5, 4, 8), (3, 1)),
                        ((3, 2, 5), (0, 1)), ((64, 48), (1, 0))]:
        report.case("swap", "%s %s" % (shape, axes), lambda: check(
            driver, "swap", lambda x: (x.transpose(*axes),), [rounded(rng, *shape)], "axes=%d,%d" % axes))
    for shape, to in [((2, 3, 4, 5, 6), (2, 0, 6)), ((2, 60, 6), (2, 3, 4, 5, 6)), ((4, 5), (0,))]:
        report.case("reshape", "%s to %s" % (shape, to), lambda: check(
            driver, "reshape", lambda x: (x.reshape([n or -1 for n in to]),), [rounded(rng, *shape)],
            "shape=" + ",".join(map(str, to))))
    tokens = rounded(rng, 2, 37, 5)
    report.case("slice", "tokens", lambda: check(
        driver, "slice", lambda x: (x[:, 3:14],), [tokens], "start=3 length=11"))
    report.case("slice", "grid", lambda: check(
        driver, "slice", lambda x: (x[:, 5:29].reshape(2, 2, 3, 4, 5),), [tokens], "start=5 length=24 grid=2,3,4"))
    for factor, grid in [((2, 2, 2), (2, 4, 6, 8)), ((1, 3, 2), (1, 5, 9, 4)), ((4, 2, 1), (2, 8, 2, 3))]:
        labels = rng.integers(0, 16, grid).astype(np.int32)

        def nearest(x):
            at = [torch.div((2 * torch.arange(n // f) + 1) * f, 2, rounding_mode="floor")
                  for n, f in zip(x.shape[1:], factor)]
            return (x[:, at[0]][:, :, at[1]][:, :, :, at[2]],)
        report.case("nearest_labels", "%s %s" % (factor, grid), lambda: check(
            driver, "nearest_labels", nearest, [labels], "factor=%d,%d,%d" % factor))


def run(driver, report):
    rng = np.random.default_rng(1)
    for cases in (conv_cases, conv_transpose_cases, grouped_conv_cases, linear_cases, depth_mix_cases, matmul_cases, norm_cases, pool_cases,
                  nearest_cases, adaptive_cases, elementwise_cases, place_cases, token_cases):
        cases(driver, report, rng)
