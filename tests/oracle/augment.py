#!/usr/bin/python3
"""SciPy and PyTorch as judges of the augmentation: augment.py FOLDER, as tests/test_augment.c fills it.

Single maps and steps are compared voxel by voxel; random ones in distribution, by two-sample
Kolmogorov-Smirnov tests of what the patches show, against the same table of probabilities and ranges
drawn here, or against batchgeneratorsv2 itself where it is installed."""
import os
import sys

import numpy
import torch
from scipy import ndimage, stats

ALARM = 1e-4  # of a KS test; the draws are seeded, so what passes once passes always
failures = []


def expect(good, text):
    if not good:
        failures.append(text)
        print("wrong:", text)


def rotation(angle, scale, thin):
    """batchgeneratorsv2's create_affine_matrix_3d: Rz Ry Rx S."""
    matrix = numpy.diag([1.0 if axis == thin else scale for axis in range(3)])
    for axis in range(3):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = numpy.eye(3)
        turn[a, a] = turn[b, b] = numpy.cos(angle[axis])
        turn[b, a] = numpy.sin(angle[axis])
        turn[a, b] = -turn[b, a]
        matrix = turn @ matrix
    return matrix


# ---- one map ------------------------------------------------------------------------------------


def check_warps(folder, dim, channels, labels):
    volume = numpy.fromfile(folder + "/volume.image", "f4").reshape(*dim, channels).astype("f8")
    classes = numpy.fromfile(folder + "/volume.label", "u1").reshape(dim)
    for line in open(folder + "/warps.txt"):
        number = line.split()
        name, numbers = number[0], numpy.array(number[1:], "f8")
        patch, origin = numbers[:3].astype(int), numbers[3:6]
        matrix, angle, scale, thin = numbers[6:15].reshape(3, 3), numbers[15:18], numbers[18], int(numbers[19])
        flips = numpy.where(numbers[20:23] > 0, -1, 1)
        expect(numpy.abs(rotation(angle, scale, thin) * flips - matrix).max() < 1e-12, name + ": matrix")
        centre = (patch - 1) / 2
        offset = origin + centre - matrix @ centre

        def read(values, outside=0.0):
            return ndimage.affine_transform(values, matrix, offset, tuple(patch), order=1, mode="grid-constant", cval=outside)

        image = numpy.fromfile("%s/%s.image" % (folder, name), "f4").reshape(*patch, channels)
        label = numpy.fromfile("%s/%s.label" % (folder, name), "i4").reshape(patch)
        for c in range(channels):
            error = numpy.abs(read(volume[..., c]) - image[..., c]).max()
            expect(error < 2e-4, "%s: channel %d is off by %g" % (name, c, error))
        share = numpy.stack([read((classes == l).astype("f8"), 1.0 if l == 0 else 0.0) for l in range(labels)])
        ordered = numpy.sort(share, 0)
        clear = ordered[-1] - ordered[-2] > 1e-3
        expect(numpy.array_equal(share.argmax(0)[clear], label[clear]), name + ": labels")
        own = numpy.take_along_axis(share, label[None].astype(int), 0)[0]
        expect((own > ordered[-1] - 1e-3).all(), name + ": a label without the largest share")


# ---- one step -----------------------------------------------------------------------------------


def blur(x, sigma):
    for axis in range(3):
        wide = sigma[axis] * 6 + 0.5
        taps = 2 * int(wide // 2) + 1  # the nearest odd number
        at = numpy.arange(taps) - (taps - 1) / 2
        weight = numpy.exp(-0.5 * (at / sigma[axis]) ** 2)
        x = ndimage.correlate1d(x, weight / weight.sum(), axis, mode="mirror")
    return x


def low_resolution(x, zoom):
    size = [round(n * z) for n, z in zip(x.shape, zoom)]
    small = torch.nn.functional.interpolate(torch.from_numpy(x)[None, None], size, mode="nearest-exact")
    return torch.nn.functional.interpolate(small, x.shape, mode="trilinear")[0, 0].numpy()


def brightness(x, amount):
    return x * amount[0]


def contrast(x, amount):
    return numpy.clip((x - x.mean()) * amount[0] + x.mean(), x.min(), x.max())


def gamma(x, amount):
    spread = x.max() - x.min()
    y = ((x - x.min()) / max(spread, 1e-7)) ** amount[0] * spread + x.min()
    return (y - y.mean()) * (x.std() / max(y.std(), 1e-7)) + x.mean()


def gamma_inverted(x, amount):
    return -gamma(-x, amount)


STEPS = dict(blur=blur, low_resolution=low_resolution, brightness=brightness, contrast=contrast, gamma=gamma,
             gamma_inverted=gamma_inverted)


def check_steps(folder):
    names = set()
    for line in open(folder + "/steps.txt"):
        file, step, *rest = line.split()
        shape, amount = [int(n) for n in rest[:3]], [float(a) for a in rest[3:]]
        before, after = numpy.fromfile("%s/%s.step" % (folder, file), "f4").astype("f8").reshape(2, *shape)
        error = numpy.abs(STEPS[step](before, amount) - after).max()
        expect(error < 1e-4, "%s %s %s: off by %g" % (step, shape, amount, error))
        names.add(step)
    expect(names == set(STEPS), "steps that were not compared: %s" % (set(STEPS) - names))


# ---- distributions ------------------------------------------------------------------------------


def factor(random, low, high):
    return [random.uniform(low, 1) if random.random() < 0.5 else random.uniform(1, high)]


def noise(patch, random):
    sd = random.uniform(0, 0.1)
    return patch + sd * random.standard_normal(patch.shape)


def by_channel(step, draw, share=1.0):
    def apply(patch, random):
        return numpy.stack([step(x, draw(random)) if random.random() < share else x for x in patch])

    return apply


TABLE = [(0.1, noise),
         (0.2, by_channel(blur, lambda r: r.uniform(0.5, 1, 3), 0.5)),
         (0.15, by_channel(brightness, lambda r: factor(r, 0.75, 1.25))),
         (0.15, by_channel(contrast, lambda r: factor(r, 0.75, 1.25))),
         (0.25, by_channel(low_resolution, lambda r: [r.uniform(0.5, 1)] * 3, 0.5)),
         (0.1, by_channel(gamma_inverted, lambda r: factor(r, 0.7, 1.5))),
         (0.3, by_channel(gamma, lambda r: factor(r, 0.7, 1.5)))]


def own_patches(patch, count):
    random = numpy.random.default_rng(11)
    for _ in range(count):
        x = patch
        for share, step in TABLE:
            if random.random() < share:
                x = step(x, random)
        yield x


def peer_patches(patch, count):
    """nnU-Net's intensity steps as its trainer sets them."""
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    def either(low, high):
        return BGContrast((low, high))

    steps = ComposeTransforms([
        RandomTransform(GaussianNoiseTransform((0, 0.1), 1, True), 0.1),
        RandomTransform(GaussianBlurTransform((0.5, 1.0), False, False, 0.5), 0.2),
        RandomTransform(MultiplicativeBrightnessTransform(either(0.75, 1.25), False, 1), 0.15),
        RandomTransform(ContrastTransform(either(0.75, 1.25), True, False, 1), 0.15),
        RandomTransform(SimulateLowResolutionTransform((0.5, 1), False, True, None, None, 0.5), 0.25),
        RandomTransform(GammaTransform(either(0.7, 1.5), 1, False, 1, 1), 0.1),
        RandomTransform(GammaTransform(either(0.7, 1.5), 0, False, 1, 1), 0.3)])
    for _ in range(count):
        yield steps(image=torch.from_numpy(patch).float().clone())["image"].numpy().astype("f8")


def features(x):
    """What a patch (channels, D, H, W) shows; rounded, so that an untouched one is exactly a tie."""
    row = []
    for c in x:
        row += [c.mean(), c.std(), c.min(), c.max(), stats.skew(c, None)]
        row += [numpy.abs(numpy.diff(c, axis=axis)).mean() for axis in range(3)]
        row += [numpy.abs(c[:, :, 0]).mean(), (c[1:-1, 1:-1, 1:-1] - ndimage.uniform_filter(c, 3)[1:-1, 1:-1, 1:-1]).std()]
    row.append(numpy.corrcoef(x[0].ravel(), x[1].ravel())[0, 1])
    return numpy.round(row, 4)


def same_distribution(name, ours, theirs):
    for i in range(ours.shape[1]):
        p = stats.ks_2samp(ours[:, i], theirs[:, i], mode="asymp").pvalue
        expect(p > ALARM, "%s: value %d differs in distribution (p = %.1e), means %.4f %.4f"
               % (name, i, p, ours[:, i].mean(), theirs[:, i].mean()))


def check_intensity(folder, shape, draw):
    patches = numpy.fromfile(folder + "/intensity.image", "f4").astype("f8").reshape(-1, 2, *shape)
    before, changed = patches[0], patches[1:]
    untouched = (changed == before).all(axis=(1, 2, 3, 4)).mean()
    nothing = 0.9 * 0.85 * 0.85 * 0.9 * 0.7 * (0.8 + 0.2 / 4) * (0.75 + 0.25 / 4)
    expect(abs(untouched - nothing) < 5 * (nothing / len(changed)) ** 0.5, "untouched: %.3f, expected %.3f" % (untouched, nothing))
    theirs = numpy.array([features(x) for x in draw(before, len(changed))])
    same_distribution("intensity", numpy.array([features(x) for x in changed]), theirs)


def own_matrices(count, degrees, thin):
    random = numpy.random.default_rng(12)
    for _ in range(count):
        turns, grows = random.random(2) < 0.2
        angle = numpy.radians(random.uniform(-degrees, degrees, 3)) * turns
        if thin >= 0:
            angle *= numpy.arange(3) == thin
        yield rotation(angle, random.uniform(0.7, 1.4) if grows else 1.0, thin).ravel()


def peer_matrices(count, degrees, thin):
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    flat, most = thin >= 0, degrees * numpy.pi / 180
    size = (4, 4) if flat else (4, 4, 4)
    spatial = SpatialTransform(size, 0, False, p_rotation=0.2, rotation=(-most, most), p_scaling=0.2,
                               scaling=(0.7, 1.4), p_synchronize_scaling_across_axes=1)
    for _ in range(count):
        affine, full = spatial.get_parameters(image=torch.zeros(1, *size))["affine"], numpy.eye(3)
        if affine is not None:
            full[3 - len(size):, 3 - len(size):] = affine
        yield full.ravel()


def check_matrices(folder, draw):
    for name, degrees, thin in (("solid", 30, -1), ("flat", 180, 0)):
        ours = numpy.fromfile("%s/%s.matrix" % (folder, name), "f8").reshape(-1, 9)
        theirs = numpy.array(list(draw(len(ours), degrees, thin)))
        same_distribution(name + " matrices", numpy.round(ours, 9), numpy.round(theirs, 9))


def main(folder):
    dim, labels, channels, shape = (13, 15, 17), 4, 2, (10, 12, 11)
    numpy.random.seed(13)
    torch.manual_seed(13)
    torch.set_num_threads(1)
    judges = [("the table", own_matrices, own_patches)]
    try:
        import batchgeneratorsv2  # noqa: F401
        judges.append(("batchgeneratorsv2", peer_matrices, peer_patches))
    except ImportError:
        pass
    check_warps(folder, dim, channels, labels)
    check_steps(folder)
    for name, matrices, patches in judges:
        print("in distribution against", name)
        check_matrices(folder, matrices)
        check_intensity(folder, shape, patches)
    print("%d disagreements" % len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
