"""`harness evaluate` against NumPy and SciPy, and against MONAI, MedPy and DeepMind's surface-distance
where they can be imported.

    python3 tests/oracle/metrics.py [--harness build/harness] [--speed]

Pairs: real hippocampus labels (and a multi-organ CT) when ../shared/data is there, blobs otherwise; each
against itself moved, eroded, with a hole, with a structure missing, or against another case's labels; with
isotropic and anisotropic spacing. --speed compares times over the same pairs, in memory, whole case with
all labels."""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import nibabel
import numpy as np
from scipy import ndimage

SHARED = os.path.join("..", "shared", "data")  # beside the repository, which is the working directory
TOLERANCE_MM = 1.4  # a multiple of a spacing below: distances of exactly the tolerance occur
SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.3, 2.5), (0.7, 0.7, 9.0)]


# ---- pairs of label maps ----------------------------------------------------------------------------

def blobs(rng, shape, labels):
    """Smooth random structures that touch each other and the border."""
    fields = [ndimage.gaussian_filter(rng.standard_normal(shape), 3) for _ in range(labels + 1)]
    return np.argmax(fields, axis=0).astype(np.uint8)


def references():
    folder = os.path.join(SHARED, "Task04_Hippocampus", "labelsTr")
    if not os.path.isdir(folder):
        print("%s is not there: blobs instead of hippocampi" % os.path.normpath(folder))
        rng = np.random.default_rng(1)
        return [blobs(rng, (35, 50, 36), 2) for _ in range(12)]
    files = sorted(os.listdir(folder))[::16]
    maps = [load(os.path.join(folder, name)) for name in files]
    organs = os.path.join(SHARED, "TotalSegmentator_example", "labelsTr", "tsex_ct.nii.gz")
    return maps + ([load(organs)] if os.path.exists(organs) else [])


def load(path):
    return np.asarray(nibabel.load(path).dataobj).astype(np.uint8)


def fitted(labels, shape):
    """Cropped or padded with background at the far ends."""
    result = np.zeros(shape, np.uint8)
    part = tuple(slice(0, min(a, b)) for a, b in zip(labels.shape, shape))
    result[part] = labels[part]
    return result


def changed(kind, labels, other):
    if kind == "moved":
        return ndimage.shift(labels, (1, -2, 1), order=0)
    if kind == "eroded":
        return (labels * ndimage.binary_erosion(labels > 0)).astype(np.uint8)
    if kind == "hole":
        result = labels.copy()
        result[tuple(slice(n // 3, n // 2) for n in labels.shape)] = 0
        return result
    if kind == "missing":
        return (labels * (labels != 1)).astype(np.uint8)
    return fitted(other, labels.shape)


def pairs():
    kinds = ["moved", "eroded", "hole", "missing", "other"]
    maps = references()
    for i, labels in enumerate(maps):
        yield labels, changed(kinds[i % 5], labels, maps[i - 1]), SPACINGS[i % 3]


# ---- the metrics, written anew ----------------------------------------------------------------------

def surface(mask):
    return mask & ~ndimage.binary_erosion(mask)


def directed(a, b, spacing):
    return ndimage.distance_transform_edt(~surface(b), sampling=spacing)[surface(a)]


def expected(a, b, spacing):
    both = np.logical_and(a, b).sum()
    ml = np.prod(spacing) / 1000
    values = {"reference_ml": a.sum() * ml, "prediction_ml": b.sum() * ml}
    if not a.any() and not b.any():
        return dict(values, **{m: None for m in ("dice", "iou", "hd95", "hd95_pooled", "hd", "assd", "nsd")})
    values.update(dice=2 * both / (a.sum() + b.sum()), iou=both / np.logical_or(a, b).sum())
    if not a.any() or not b.any():
        diagonal = math.sqrt(sum((n * s) ** 2 for n, s in zip(a.shape, spacing)))
        return dict(values, hd95=diagonal, hd95_pooled=diagonal, hd=diagonal, assd=diagonal, nsd=0)
    there, back = directed(a, b, spacing), directed(b, a, spacing)
    every = np.concatenate([there, back])
    return dict(values, hd95=max(np.percentile(there, 95), np.percentile(back, 95)),
                hd95_pooled=np.percentile(every, 95), hd=every.max(), assd=every.mean(),
                nsd=(every <= TOLERANCE_MM + 1e-6).mean())


# ---- other implementations: {metric: value} of a structure present in both maps ---------------------

def monai_values(a, b, spacing):
    import torch
    from monai.metrics import (compute_average_surface_distance, compute_dice, compute_hausdorff_distance,
                               compute_surface_dice)
    x, y = (torch.tensor(m[None, None]) for m in (b, a))
    number = dict(include_background=True, spacing=spacing)
    return {
        "dice": compute_dice(x.float(), y.float()).item(),
        "hd95": compute_hausdorff_distance(x, y, percentile=95, **number).item(),
        "hd": compute_hausdorff_distance(x, y, **number).item(),
        "assd": compute_average_surface_distance(x, y, symmetric=True, **number).item(),
        "nsd": compute_surface_dice(x, y, [TOLERANCE_MM], **number).item(),
    }


def medpy_values(a, b, spacing):
    from medpy.metric import binary
    return {
        "dice": binary.dc(b, a),
        "iou": binary.jc(b, a),
        "hd95_pooled": binary.hd95(b, a, spacing),
        "hd": binary.hd(b, a, spacing),
        "assd": float(binary.assd(b, a, spacing)),
    }


def deepmind_values(a, b, spacing):
    import surface_distance as sd
    found = sd.compute_surface_distances(a, b, spacing)
    weights = np.concatenate([found["surfel_areas_gt"], found["surfel_areas_pred"]])
    distances = np.concatenate([found["distances_gt_to_pred"], found["distances_pred_to_gt"]])
    return {
        "dice": sd.compute_dice_coefficient(a, b),
        "hd95": sd.compute_robust_hausdorff(found, 95),
        "hd": sd.compute_robust_hausdorff(found, 100),
        "assd": (weights * distances).sum() / weights.sum(),
        "nsd": sd.compute_surface_dice_at_tolerance(found, TOLERANCE_MM + 1e-6),
    }


PEERS = [("monai", monai_values, "voxels"), ("medpy", medpy_values, "voxels"),
         ("surface_distance", deepmind_values, "surfels")]


def available(module):
    try:
        __import__(module)
        return True
    except ImportError:
        return False


# ---- running and comparing --------------------------------------------------------------------------

def write(folder, cases):
    labels = {"background": 0}
    labels.update({"label%d" % i: i for i in range(1, max(int(r.max()) for r, _, _ in cases) + 1)})
    for name in ("labelsTr", "predictions"):
        os.makedirs(os.path.join(folder, name))
    with open(os.path.join(folder, "dataset.json"), "w") as file:
        json.dump({"labels": labels, "channel_names": {"0": "MRI"}, "file_ending": ".nii"}, file)
    for i, (reference, prediction, spacing) in enumerate(cases):
        affine = np.diag(list(spacing) + [1])
        for name, array in (("labelsTr", reference), ("predictions", prediction)):
            image = nibabel.Nifti1Image(array, affine)
            nibabel.save(image, os.path.join(folder, name, "case%03d.nii" % i))


def evaluate(harness, folder, *options):
    command = [harness, "evaluate", os.path.join(folder, "labelsTr"), os.path.join(folder, "predictions"),
               "--tolerance", str(TOLERANCE_MM), "--json", *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def apart(found, wanted):
    """Relative error; a null only equals a null."""
    if found is None or wanted is None:
        return 0 if found is None and (wanted is None or math.isnan(wanted)) else math.inf
    return abs(found - wanted) / max(1, abs(wanted))


def compare(document, cases, values, needs_both, limit):
    """Number of equal values, the largest error and the differences."""
    worst, count, wrong = 0, 0, []
    for row in document["rows"]:
        if needs_both and row["situation"] != "both":
            continue
        reference, prediction, spacing = cases[int(row["case"][4:])]
        wanted = values(reference == row["label"], prediction == row["label"], spacing)
        for metric, value in wanted.items():
            error = apart(row[metric], value)
            if error > limit:
                wrong.append("%s, label %d, %s: %r, expected %r" % (row["case"], row["label"], metric,
                                                                    row[metric], value))
            worst, count = max(worst, error), count + 1
    return count, worst, wrong


def seconds_of(values, cases):
    """The time a peer needs for all structures that are in both maps."""
    start = time.perf_counter()
    for reference, prediction, spacing in cases:
        for label in range(1, int(reference.max()) + 1):
            a, b = reference == label, prediction == label
            if a.any() and b.any():
                values(a, b, spacing)
    return time.perf_counter() - start


def speed(harness, folder, cases, rounds=3):
    for module, values, kind in PEERS:
        if not available(module):
            continue
        ratios = []
        values(*[m == 1 for m in cases[0][:2]], cases[0][2])  # imports, first call
        for _ in range(rounds):
            theirs = seconds_of(values, cases)
            ours = evaluate(harness, folder, "--surface", kind)["score_s"]
            ratios.append(theirs / ours)
            print("%-16s %8.1f ms, ours %7.2f ms: %.0fx" % (module, 1e3 * theirs, 1e3 * ours, ratios[-1]))
        print("%-16s median ratio %.0fx" % (module, sorted(ratios)[rounds // 2]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--harness", default=os.environ.get("BUILD", "build") + "/harness")
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    passed = failed = skipped = 0
    cases = list(pairs())
    with tempfile.TemporaryDirectory() as folder:
        write(folder, cases)
        documents = {kind: evaluate(arguments.harness, folder, "--surface", kind) for kind in ("voxels", "surfels")}
        judges = [("scipy", expected, "voxels", False, 2e-6)]
        judges += [(module, values, kind, True, 2e-6) for module, values, kind in PEERS]
        for module, values, kind, needs_both, limit in judges:
            if not available(module):
                print("%s cannot be imported: not compared" % module)
                skipped += 1
                continue
            count, worst, wrong = compare(documents[kind], cases, values, needs_both, limit)
            print("%-16s %4d values, largest error %.1e" % (module, count, worst))
            for text in wrong[:5]:
                print("FAIL %s: %s" % (module, text))
            passed, failed = passed + (not wrong), failed + bool(wrong)
        if arguments.speed:
            speed(arguments.harness, folder, cases)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
