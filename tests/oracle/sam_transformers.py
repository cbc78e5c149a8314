"""SAM against a second implementation, SamModel of transformers, which `make oracles` fetches: on our exported weights, by its
own names and strictly, its image encoder, prompt encoder and decoder give our masks and their quality. Some of its norms and its
softmax are in float32 whatever the model is, so forward alone is compared, to 1e-5; gradients: sam.py."""

import importlib.abc
import importlib.machinery
import os
import sys
import types

import numpy as np
import torch
import torch.nn.functional as F

import model
import sam

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import sam_files

TOLERANCE = {"cpu": 1e-5, "portable": 1e-5, "reference": 1e-5}
SMALL, WIDE = ({**options, "decoder_eps": 1e-6} for options in (sam.SMALL, sam.WIDE))
VARIANTS = {
    "boxes": {**SMALL, "prompts": "box"},
    "points": {**SMALL, "prompts": "points", "point_labels": "1,0,-1"},
    "boxes, points and masks": {**SMALL, "prompts": "all", "point_labels": "0,1"},
    "masks alone": {**SMALL, "prompts": "mask"},
    "a small image in SAM's frame": {**WIDE, "prompts": "box_mask"},
    "a frame of its own": {**WIDE, "patch": "1,96,96", "batch": 1, "prompts": "box_points", "frame": "resize"},
}


class Nothing:
    """A base, or a decorator, that does nothing."""

    def __init__(self, *_, **__):
        pass

    def __call__(self, decorated):
        return decorated


class StandIn(types.ModuleType):
    """Each name is a class, or, in capitals, a text."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return "" if name.isupper() else type(name, (Nothing,), {})


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """In place of what transformers imports for files, downloads and texts, which SAM never calls."""

    NAMES = {"huggingface_hub", "tokenizers", "safetensors", "regex", "filelock", "tqdm", "requests", "yaml",
             "transformers.dependency_versions_check", "transformers.generation"}

    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        known = {parts[0], ".".join(parts[:2])} & self.NAMES
        return importlib.machinery.ModuleSpec(name, self) if known else None

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        pass


def package():
    """transformers.models.sam; ImportError without it."""
    sys.path.append(os.path.join(os.environ.get("BUILD", "build"), "oracles"))
    os.environ["TRANSFORMERS_VERBOSITY"] = "error" # it has no folder for files
    stand_ins = StandIns()
    sys.meta_path.insert(0, stand_ins)
    try:
        from transformers.models.sam.configuration_sam import SamConfig
        from transformers.models.sam.modeling_sam import SamModel
    finally:
        sys.meta_path.remove(stand_ins)
    SamModel.can_generate = classmethod(lambda cls: False) # texts
    return SamConfig, SamModel


def whole(config, model_of, c):
    side, every, width = c["vit_side"] * c["vit_patch"], c["vit_global_every"], c["sam_width"]
    vision = {
        "hidden_size": c["vit_width"], "output_channels": width, "num_hidden_layers": c["vit_blocks"], "num_attention_heads": c["vit_heads"],
        "mlp_dim": c["vit_mlp"], "image_size": side, "patch_size": c["vit_patch"], "window_size": c["vit_window"],
        "global_attn_indexes": list(range(every - 1, c["vit_blocks"], every)), "num_pos_feats": width // 2}
    prompts = {"hidden_size": width, "image_size": side, "patch_size": c["vit_patch"], "mask_input_channels": c["sam_mask_width"]}
    decoder = {"hidden_size": width, "mlp_dim": c["sam_mlp"], "num_attention_heads": c["sam_heads"], "iou_head_hidden_dim": width,
               "layer_norm_eps": c["decoder_eps"]}
    return model_of(config(vision, prompts, decoder)).double().eval()


def load(found, arrays):
    """Strict, but for a prompt that the run was not given, and the twin of the random frequencies, which is the same one."""
    given = {sam_files.hf_name(name): torch.tensor(array, dtype=torch.float64) for name, array in arrays.items()}
    missing, unexpected = found.load_state_dict(given, strict=False)
    allowed = tuple("prompt_encoder." + part for part in ("point_embed", "not_a_point", "no_mask", "mask_embed", "shared_embedding"))
    wrong = [name for name in missing if not name.startswith(allowed)] + unexpected
    if wrong:
        raise AssertionError("names that only one side has: " + ", ".join(wrong))


def embed(found, image, c):
    """Its image encoder, whose patch embedding takes one size alone; its layers stretch relative tables."""
    encoder = found.vision_encoder
    x = encoder.patch_embed.projection(image).permute(0, 2, 3, 1)
    h, w = x.shape[1:3]
    position = encoder.pos_embed
    if c["frame"] == "resize":
        position = F.interpolate(position.permute(0, 3, 1, 2), (h, w), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    x = x + position[:, :h, :w]
    for layer in encoder.layers:
        x = layer(x)[0]
    return encoder.neck(x)


def decoder(found, c, height, width):
    h, w = height // c["vit_patch"], width // c["vit_patch"]
    if c["frame"] == "resize": # square ones alone
        found.config.prompt_encoder_config.image_embedding_size = h
        found.prompt_encoder.image_embedding_size, found.prompt_encoder.input_image_size = (h, w), height
    pe = found.get_image_wide_positional_embeddings()[..., :h, :w]

    def decode(features, part):
        queries = c["count"] # each a sample with one prompt
        points = labels = boxes = masks = None
        if "points" in part:
            points, labels = part["points"].double()[:, None], torch.tensor(c["point_labels"]).expand(queries, 1, -1)
        if "boxes" in part:
            boxes = part["boxes"].double()[:, None]
        if "masks" in part:
            masks = part["masks"].double()[:, None]
        sparse, dense = found.prompt_encoder(points, labels, boxes, masks)
        given = (features.expand(queries, -1, -1, -1), pe.expand(queries, -1, -1, -1), sparse.double().expand(queries, -1, -1, -1),
                 dense[..., :h, :w].expand(queries, -1, -1, -1))
        one, several = (found.mask_decoder(*given, multimask_output=many)[:2] for many in (False, True))
        return [torch.cat(pair, 2)[:, 0] for pair in zip(one, several)]

    return decode


def case(models, backend, package, options):
    scene, given = model.scene(options), sam.prompts(options, np.random.default_rng(9))
    run, given = sam.prompted(models, backend, options, scene, given, 1)
    c = {**run.config, "count": int(run.tensors["map"].shape[-1])}
    found = whole(*package, c)
    load(found, run.pytorch)
    with torch.no_grad():
        masks, quality = sam.masks_of(scene[0], given, c, lambda image: embed(found, image, c), decoder(found, c, *scene[0].shape[2:4]))
    errors = {}
    for name, value in sam.told(masks, quality).items():
        errors[name] = model.one_error(run.tensors[name], value.numpy())
        if not errors[name] <= TOLERANCE[backend]:
            raise AssertionError("%s differs by %.1e" % (name, errors[name]))
    return max(errors.values())


def run(models, report, backends):
    try:
        there = package()
    except ImportError as missing:
        report.skip("sam_transformers", "%s (make oracles fetches it)" % missing)
        return
    for backend in backends:
        for name, options in VARIANTS.items():
            report.case("sam_transformers", "%s, %s" % (name, backend), lambda: case(models, backend, there, options))
