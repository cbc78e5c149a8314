"""segment-anything, which `make oracles` fetches: SAM as it was published."""

import functools
import importlib.machinery
import os
import sys
import types


def modeling():
    """Its modules; ImportError without it. torchvision, which serves its file tools alone, is not needed."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.append(os.path.join(root, os.environ.get("BUILD", "build"), "oracles"))
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.ops", "torchvision.ops.boxes"):
        stand_in = sys.modules.setdefault(name, types.ModuleType(name))
        stand_in.__spec__ = importlib.machinery.ModuleSpec(name, None) # which others look for
        for what in ("resize", "to_pil_image", "batched_nms", "box_area"):
            setattr(stand_in, what, None)
    import segment_anything.modeling as found
    return found


def network(modeling, c):
    """Of our configuration's sizes, as it is drawn."""
    import torch
    side, patch, width, every = (c[key] for key in ("vit_side", "vit_patch", "sam_width", "vit_global_every"))
    encoder = modeling.ImageEncoderViT(
        img_size=side * patch, patch_size=patch, embed_dim=c["vit_width"], depth=c["vit_blocks"], num_heads=c["vit_heads"],
        mlp_ratio=c["vit_mlp"] / c["vit_width"], out_chans=width, norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True, window_size=c["vit_window"], global_attn_indexes=tuple(range(every - 1, c["vit_blocks"], every)))
    prompts = modeling.PromptEncoder(width, (side, side), (side * patch, side * patch), c["sam_mask_width"])
    decoder = modeling.MaskDecoder(transformer_dim=width, iou_head_hidden_dim=width,
                                   transformer=modeling.TwoWayTransformer(2, width, c["sam_heads"], c["sam_mlp"]))
    return modeling.Sam(encoder, prompts, decoder)
