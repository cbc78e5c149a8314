"""SAM against segment-anything itself, which `make oracles` fetches: its modules take our exported weights
(load_state_dict, strict), run in float64, and give our masks, their quality and every gradient. Images of other sizes than
positions are made for are put through its blocks by hand, in each of our frames."""

import contextlib
import os
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

import maskmed
import model

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import segment_anything_package

OUTPUTS = {"cpu": 2e-5, "portable": 2e-5, "reference": 1e-9}
ALONE = {"experiment": "lua/harness/any_model.lua", "model": "sam"}
SMALL = {
    **ALONE, "scale": "quick", "vit_width": 24, "vit_blocks": 4, "vit_heads": 3, "vit_mlp": 48, "vit_global_every": 2,
    "vit_window": 3, "vit_patch": 8, "vit_side": 8, "sam_width": 32, "sam_heads": 4, "sam_mlp": 64, "sam_mask_width": 16,
    "patch": "2,64,64", "batch": 1, "classes": 3, "channels": 3, "jitter": .15, "multimask": True, "extras": 1, "pytorch": 1,
}
WIDE = {**SMALL, "patch": "1,40,56", "batch": 2}
VARIANTS = {
    "boxes": {**SMALL, "prompts": "box"},
    "points": {**SMALL, "prompts": "points", "point_labels": "1,0,-1"},
    "boxes, points and masks": {**SMALL, "prompts": "all", "point_labels": "0,1", "decoder_eps": 1e-6},
    "masks alone": {**SMALL, "prompts": "mask"},
    "a small image in SAM's frame": {**WIDE, "prompts": "box_mask"},
    "tables cut": {**WIDE, "prompts": "box", "frame": "crop"},
    "a frame of its own": {**WIDE, "patch": "1,32,128", "prompts": "box_points", "frame": "resize"},
}


def whole(modeling, c):
    sam = segment_anything_package.network(modeling, c).double()
    for name, norm in sam.mask_decoder.transformer.named_modules():
        if isinstance(norm, torch.nn.LayerNorm) and not name.endswith("final_attn"):
            norm.eps = c["decoder_eps"]
    prompts = sam.prompt_encoder
    encode = prompts.pe_layer._pe_encoding # which gets float32
    prompts.pe_layer._pe_encoding = lambda coordinates: encode(coordinates.double())
    return sam


def load(sam, arrays):
    """Strict, but for what the run did not build: a prompt that is not given."""
    given = {name: torch.tensor(array, dtype=torch.float64) for name, array in arrays.items()}
    missing, unexpected = sam.load_state_dict(given, strict=False)
    allowed = ("prompt_encoder.point_embed", "prompt_encoder.not_a_point", "prompt_encoder.no_mask", "prompt_encoder.mask_down")
    wrong = [name for name in missing if not name.startswith(allowed)] + unexpected
    if wrong:
        raise AssertionError("names that only one side has: " + ", ".join(wrong))


def embed(sam, image, c):
    """Its image encoder, in the frame asked for: blocks stretch relative tables by themselves."""
    encoder, side = sam.image_encoder, c["vit_side"]
    x = encoder.patch_embed(image)
    h, w = x.shape[1:3]
    position = encoder.pos_embed
    if c["frame"] == "resize":
        position = F.interpolate(position.permute(0, 3, 1, 2), (h, w), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    x = x + position[:, :h, :w]
    with contextlib.ExitStack() as undo:
        for block in encoder.blocks:
            if c["frame"] == "crop" and block.window_size == 0:
                cut_tables(block.attn, h, w, side, undo)
            x = block(x)
    return encoder.neck(x.permute(0, 3, 1, 2))


def cut_tables(attention, h, w, side, undo):
    for name, size in (("rel_pos_h", h), ("rel_pos_w", w)):
        table = getattr(attention, name)
        del attention._parameters[name]
        setattr(attention, name, table[side - size:side + size - 1])
        undo.callback(lambda name=name, table=table: (delattr(attention, name), attention._parameters.__setitem__(name, table)))


def masks_of(image, given, c, embed, decode):
    """Logits (N, D, Q, 4, 4h, 4w) and quality (N, D, Q, 4): decode(features, prompts) of each slice."""
    n, d = image.shape[:2]
    features = embed(torch.tensor(image, dtype=torch.float64).flatten(0, 1).permute(0, 3, 1, 2))
    found = [decode(features[at:at + 1], {name: torch.tensor(array[at // d, :, at % d]) for name, array in given.items()})
             for at in range(n * d)]
    return [torch.stack(parts).unflatten(0, (n, d)) for parts in zip(*found)]


def decoder(sam, c, height, width):
    h, w = height // c["vit_patch"], width // c["vit_patch"]
    if c["frame"] == "resize":
        sam.prompt_encoder.image_embedding_size, sam.prompt_encoder.input_image_size = (h, w), (height, width)
    pe = sam.prompt_encoder.get_dense_pe()[..., :h, :w]

    def decode(features, part):
        points = None
        if "points" in part:
            points = (part["points"], torch.tensor(c["point_labels"]).expand(len(part["points"]), -1))
        masks = part["masks"].double()[:, None] if "masks" in part else None
        sparse, dense = sam.prompt_encoder(points=points, boxes=part.get("boxes"), masks=masks)
        queries = c["count"]
        sparse = sparse.double() if len(sparse) == queries else torch.zeros(queries, 0, c["sam_width"]).double()
        dense = dense[..., :h, :w].expand(queries, -1, -1, -1)
        return sam.mask_decoder.predict_masks(features, pe, sparse, dense)

    return decode


def loss_of(logits, labels):
    """Query i is label i's, where there is one in the sample."""
    bce, dice, pairs = 0, 0, 0
    assignment = torch.full(logits.shape[::4], -1)
    for i in range(len(labels)):
        for label in labels[i].unique().tolist():
            terms = maskmed.mask_terms(logits[i, ..., label].flatten(), (labels[i] == label).double().flatten())
            bce, dice, pairs = bce + terms[0], dice + terms[1], pairs + 1
            assignment[i, label] = label
    return bce / pairs, dice / pairs, assignment


def told(masks, quality):
    """By the driver's names."""
    low = masks.permute(3, 0, 1, 4, 5, 2) # (4, N, D, 4h, 4w, Q)
    outputs = {"extra_logits%s" % (i or ""): low[i] for i in range(4)}
    return {**outputs, "extra_quality": quality.permute(0, 2, 1, 3).flatten(0, 2)[:, None]}


class Expected:
    """As model.Expected, of the package's own modules."""

    def __init__(self, modeling, run, scene, given):
        c = {**run.config, "count": int(run.tensors["map"].shape[-1])}
        sam = whole(modeling, c)
        load(sam, run.pytorch)
        masks, quality = masks_of(scene[0], given, c, lambda image: embed(sam, image, c), decoder(sam, c, *scene[0].shape[2:4]))
        first = masks[:, :, :, 0].flatten(0, 1)
        full = F.interpolate(first, scene[0].shape[2:4], mode="bilinear", align_corners=False)
        full = full.unflatten(0, scene[0].shape[:2]).permute(0, 1, 3, 4, 2)
        bce, dice, assignment = loss_of(full, torch.tensor(scene[1]).long())
        loss = bce + dice
        loss.backward()
        outputs = {"masks0": full, "map": full.sigmoid(), "loss": loss, "bce": bce, "dice": dice, "assignment0": assignment,
                   **told(masks, quality)}
        self.outputs = {name: value.detach().numpy() for name, value in outputs.items()}
        self.gradients = gradients_of(sam, run)


def gradients_of(sam, run):
    """By our names: what ours is called is told by equal numbers."""
    theirs = {}
    for name, parameter in sam.named_parameters():
        array = parameter.detach().numpy()
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if array.ndim == 4 and not name.endswith("pos_embed"): # a convolution: channels last
            array, gradient = np.moveaxis(array, 1, -1), gradient.movedim(1, -1)
        theirs[array.astype(np.float32).tobytes()] = gradient.numpy()
    gradients = {}
    for name in run.gradients:
        if name in run.buffers:
            continue
        weight = run.weights[name]
        gradients[name] = theirs[weight.astype(np.float32).tobytes()].reshape(weight.shape)
    return gradients


def eighths(x):
    return (np.round(8 * x) / 8).astype(np.float32)


def prompts(options, rng):
    """Boxes off the diagonal; eighths of pixels in frames of 2^n, which its float32 holds to the last bit."""
    n, q = options["batch"], options["classes"]
    d, height, width = map(int, options["patch"].split(","))
    h, w = height // options["vit_patch"], width // options["vit_patch"]
    kinds, sides = options["prompts"], np.array([width, height, width, height])
    given = {}
    if kinds in ("box", "box_points", "box_mask", "all"):
        given["boxes"] = eighths(rng.uniform((0, 0, .5, .5), (.4, .4, 1, 1), (n, q, d, 1, 4)) * sides)
    if kinds in ("points", "box_points", "all"):
        count = len(options.get("point_labels", "1").split(","))
        given["points"] = eighths(rng.uniform(0, 1, (n, q, d, count, 2)) * sides[:2])
    if kinds in ("mask", "box_mask", "all"):
        given["masks"] = rng.standard_normal((n, q, d, 4 * h, 4 * w)).astype(np.float32)
    return given


def prompted(models, backend, options, scene, given, seed):
    """The run, and prompts as other programs take them."""
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, array in given.items():
            files["input." + name] = os.path.join(folder, name)
            array.tofile(files["input." + name])
        run = models.run(backend, scene, **options, **files, seed=seed)
    run.buffers = [name for name in run.weights if "gaussian" in name]
    return run, {name: array[..., 0, :] if name == "boxes" else array for name, array in given.items()}


def one(models, backend, modeling, options, scene, given, seed):
    """The worst error and what differs."""
    run, given = prompted(models, backend, options, scene, given, seed)
    expected = Expected(modeling, run, scene, given)
    worst, differs = model.compare(run, expected)
    for name, value in expected.outputs.items():
        error = model.one_error(run.tensors[name], value)
        if not error <= OUTPUTS[backend]:
            differs = differs or "%s differs by %.1e" % (name, error)
    return worst, differs


def case(models, backend, modeling, options):
    scene, given = model.scene(options), prompts(options, np.random.default_rng(9))
    for seed in model.SEEDS:
        worst, differs = one(models, backend, modeling, options, scene, given, seed)
        if not differs:
            return worst
        if backend == "reference" or not worst <= model.ABSURD:
            break
    raise AssertionError(differs)


def count(models):
    """The three published sizes, to the tensor: 314 of ViT-B, 93,735,472 numbers; the one for no mask is not built with masks."""
    for name, tensors, numbers in (("B", 314, 93735472), ("L", 482, 312342832), ("H", 594, 641090608)):
        _, found, total = models.count(**ALONE, scale="paper", sam=name, patch="1,1024,1024", batch=1, channels=3, classes=1,
                                       prompts="all", point_labels="1,0,-1", multimask=True)
        if (len(found) + 1, total + 256) != (tensors, numbers):
            raise AssertionError("ViT-%s has %d tensors, %d numbers; expected %d, %d" % (name, len(found) + 1, total + 256, tensors, numbers))
    return 0.0


def run(models, report, backends):
    report.case("sam", "parameters", lambda: count(models))
    try:
        modeling = segment_anything_package.modeling()
    except ImportError as missing:
        report.skip("sam", "%s (make oracles fetches it)" % missing)
        return
    for backend in backends:
        for name, options in VARIANTS.items():
            report.case("sam", "%s, %s" % (name, backend), lambda: case(models, backend, modeling, options))
