/* What test_models.c builds: each variant, and of every model what makes it small. */
#ifndef TESTS_MODEL_VARIANTS_H
#define TESTS_MODEL_VARIANTS_H

#include <stddef.h>

#define PYRAMIDS "maskmed mask2former maskformer" /* encoders of convolutions */
#define SAMS     "sam sam_promptable sam_masked masksam"

/* Non-cubic everywhere, so that a turned axis shows. */
static const struct {
  const char *option, *of; /* of: the models that have it; NULL: all */
} small[] = {{"patch=8,16,12", NULL},
             {"batch=2", NULL},
             {"widths=6,8,10", PYRAMIDS},
             {"strides=1,1,1,2,2,2,1,2,2", PYRAMIDS},
             {"kernels=1,3,3,3,3,3,3,3,3", PYRAMIDS},
             {"hidden=12", PYRAMIDS},
             {"heads=2", PYRAMIDS},
             {"points=2", "maskmed mask2former"},
             {"ffn=16", PYRAMIDS},
             {"query_scales=2", "maskmed"},
             {"key_grid=4,4,3", PYRAMIDS},
             {"queries=1", PYRAMIDS},
             {"fpn_width=6", "maskformer mask2former"},
             {"decoder_layers=3", "maskformer mask2former"},
             {"seeds=1", NULL},
             {"loss_scale=1", PYRAMIDS},
             {"vit_width=12", SAMS},
             {"vit_blocks=2", "sam sam_promptable sam_masked"},
             {"vit_blocks=4", "masksam"},
             {"vit_heads=2", SAMS},
             {"vit_mlp=16", SAMS},
             {"vit_window=3", SAMS},
             {"vit_patch=2", "sam"},
             {"vit_patch=4", "masksam sam_promptable sam_masked"},
             {"vit_side=6", SAMS},
             {"sam_width=16", SAMS},
             {"sam_heads=2", SAMS},
             {"sam_mlp=16", SAMS},
             {"sam_mask_width=8", "sam sam_promptable"},
             {"generator_widths=6,5,4", "masksam"},
             {"input_widths=4", "masksam"},
             {"query_count=5", "masksam"},
             {"n_channel=2", "qtseg"},
             {"token_heads=2", "qtseg"},
             {"mlp=16", "qtseg"}};

static const char *const variants[] = {
    "head=decoupled bridge=fsad",
    "head=attention_class bridge=standard",
    "model=mask2former decoder_layers=9",
    /* --small ends here */
    "head=point_wise bridge=none",
    "head=point_wise bridge=none decoder_convs=3",
    "head=point_wise bridge=none larger_decoder=true shared_queries=false",
    "head=mlp_class bridge=none",
    "head=attention_class bridge=none shared_queries=false masked_attention=false",
    "head=attention_both bridge=none shared_queries=false masked_attention=false",
    "head=attention_both bridge=none",
    "head=decoupled bridge=none shared_queries=false masked_attention=false",
    "head=decoupled bridge=none masked_attention=false",
    "head=decoupled bridge=none",
    "head=decoupled bridge=standard",
    "head=decoupled bridge=deformable",
    "bridge=fsad bridge_layers=2 bridge_norm=post head_norm=inside",
    "bridge=fsad bridge_norm=pre head_norm=pre blocks=2 class_layers=2",
    "bridge=standard bridge_layers=2 standard_scales=3",
    "queries=3 match=per_stage mask_resize=trilinear",
    "match=fixed none_weight=1",
    "bridge=standard head_init=xavier attention_init=separate bridge_zero_init=true",
    "bridge=fsad bridge_input_norm=group hidden=36 bridge_norm=post",
    "drop_lowest=yes mask_loss_at=final match=per_stage",
    "head=attention_both drop_lowest=no voxel_loss=bce_dice",
    "model=maskformer",
    "model=mask2former",
    "model=mask2former decoder_heads=own pixel_decoder=laterals decoder_layers=1",
    "model=mask2former recompute=true freeze=norm,level1 decoder_layers=2",
    "freeze=encoder,head.*.norm.weight,bridge.layer0.ffn recompute=true blocks=2",
    "encoder=residual encoder_blocks=1,2,1 head=point_wise bridge=none",
    "encoder=residual encoder_blocks=1,1,2 bridge=fsad recompute=true",
    "model=mask2former encoder=residual encoder_blocks=1,1,1 decoder_layers=1",
    "head=point_wise bridge=none conv_norm=batch conv_activation=silu recompute=true",
    "bridge=fsad conv_norm=batch freeze=encoder.stage0",
    "model=maskformer conv_activation=relu",
    "bridge=fsad bridge_adapter=mlp_middle head_adapter=conv_middle bridge_layers=2",
    "bridge=standard bridge_adapter=conv_middle head_adapter=vanilla",
    "encoder=residual encoder_blocks=1,1,1 encoder_adapter=mlp_after head=point_wise bridge=none",
    "encoder=residual encoder_blocks=1,1,1 encoder_adapter=conv_middle freeze=encoder,-*.adapter "
    "bridge=none",
    "model=sam prompts=all point_labels=1,-1,0 recompute=true",
    "model=sam prompts=points frame=resize vit_padding=code vit_side=5",
    "model=sam frame=crop vit_padding=masked decoder_eps=1e-6 freeze=image_encoder.blocks",
    "model=sam_promptable data=scenes patch=1,8,12",
    "model=sam_masked data=scenes patch=1,8,12",
    /* Another encoder, of other widths than the options say: only its pyramid is known. */
    "encoder=pooled",
    "encoder=pooled bridge=standard",
    "model=mask2former encoder=pooled",
    /* Table 4 of MaskSAM: B9, B1, B2, and what else there is to choose. */
    "model=masksam",
    "model=masksam sam_frozen=false recompute=true match_over=volume",
    "model=masksam prompts=mask depth_position=false token_adapter=vanilla image_adapter=vanilla",
    "model=masksam prompts=box token_adapter=mlp_after image_adapter=mlp_after frame=resize",
    "model=masksam prompts=mask_box mask_prompt=signed box_prompt=smooth box_norm=none frame=crop",
    "model=masksam box_gradient=soft mask_prompt=logits aux_sigmoid=twice class_token=pooled",
    /* QTSeg's setting 6, SAM's layers, and what else there is to choose. */
    "model=qtseg patch=1,64,64",
    "model=qtseg patch=1,64,64 decoder=medsam mlfd=false recompute=true depths=1,2",
    "model=qtseg patch=1,64,64 depths=1,1 cab=paper sam_kernel=3 sam_residual=false "
    "token_mlp=shared",
    "model=qtseg patch=1,64,64 depths=1 cab=none cfta=false token_position=sine",
    "model=qtseg patch=1,64,64 depths=1 sam_kernel=0 token_position=learned freeze=encoder",
    /* A block alone, between the image and a head: what makes one feature of m.image. */
    "m.embedding { m.image, width = 5, layers = 2 }",
    "m.op.resize { m.residual_block { m.image, width = 5, stride = { 1, 2, 2 } }, size = { 4, 8, "
    "12 } }",
    "m.op.resize { m.residual_block { m.image, width = 5, stride = { 1, 2, 2 }, skip = 'plain' }, "
    "size = { 4, 8, 12 } }",
    "m.residual_block { m.residual_block { m.image, width = 4, name = 'a' }, kernel = { 1, 3, 3 }, "
    "skip = 'plain', name = 'b' }",
    "m.batch_norm { m.image, activation = 'silu', momentum = 0.25 }",
    "m.batch_norm { m.image, slope = 0.1, track = false }",
    "m.batch_norm { m.image, frozen = true }",
    "m.convolution { { m.image, m.op.activation { m.image, kind = 'gelu' }, m.image }, width = 5, "
    "kernel = { 1, 3, 3 }, bias = false }",
    "m.convolution { m.convolution { m.convolution { m.image, width = 6, name = 'a' }, width = 6, "
    "groups = 0, stride = { 1, 1, 1 }, name = 'b' }, width = 4, groups = 2, transposed = true, "
    "name = 'c' }",
    "m.op.add { m.image, m.adapter { m.image, ratio = 1 } }",
    "m.adapter { m.input_adapter { m.image }, kind = 'mlp_before', name = 'a' }",
    "m.adapter { m.convolution { m.image, width = 8 }, kind = 'mlp_middle', zero = true }",
    "m.adapter { m.convolution { m.image, width = 9 }, kind = 'mlp_after' }",
    "m.adapter { m.convolution { m.image, width = 12 }, kind = 'conv_middle', ratio = 2 }",
    /* Batches of slices and of streams, in both forms. */
    "m.op.reshape { m.adapter { m.op.reshape { m.convolution { m.image, width = 6 }, shape = { 16, "
    "48, 6 } }, kind = 'mlp_middle', slices = 4, streams = 2 }, shape = { 2, 4, 8, 12, 6 } }",
    "m.op.reshape { m.adapter { m.op.reshape { m.convolution { m.image, width = 6 }, shape = { 16, "
    "4, 12, 6 } }, kind = 'conv_middle', slices = 4, streams = 2 }, shape = { 2, 4, 8, 12, 6 } }",
    "m.adapter { m.convolution { m.image, width = 5 }, kind = 'mlp_middle', window = 5 }",
    "m.adapter { m.convolution { m.image, width = 5 }, kind = 'conv_middle', window = 4 }",
    "m.depth_position { m.convolution { m.image, width = 5 } }",
    "m.depth_position { m.convolution { m.image, width = 5 }, per = 'voxel' }",
    "m.op.add { m.convolution { m.image, width = 6 }, m.depth_position { m.op.fill { shape = { 8, "
    "12, 6 }, value = 2 }, slices = 4, per = 'voxel' } }",
    "m.op.resize { m.input_adapter { m.image, widths = { 4, 5, 6 }, upsample = 1 }, size = { 4, 8, "
    "12 } }",
    "m.op.resize { m.final_conv { m.op.avg_pool { m.image, factor = { 1, 2, 2 } }, width = 5, "
    "upsample = 1 }, size = { 4, 8, 12 } }",
    "m.prompt_generator { m.op.avg_pool { m.image, factor = { 1, 4, 4 } }, m.op.avg_pool { "
    "m.image, "
    "factor = { 1, 4, 4 } }, m.op.avg_pool { m.image, factor = { 1, 4, 4 } }, m.op.avg_pool { "
    "m.image, factor = { 1, 4, 4 } }, widths = { 6, 5, 4 }, queries = 5 }",
    "m.prompt_generator { m.op.avg_pool { m.image, factor = { 1, 2, 2 } }, m.op.avg_pool { "
    "m.image, "
    "factor = { 1, 2, 2 } }, m.op.avg_pool { m.image, factor = { 1, 2, 2 } }, widths = { 6, 5 }, "
    "upsample = 1, skips = 'own', queries = 5 }",
    "m.op.matmul { m.convolution { m.image, width = 4 }, m.op.reshape { m.class_token { m.image, "
    "m.op.avg_pool { m.image, factor = { 1, 2, 2 } }, queries = 3, width = 4 }, shape = { 2, 12, 4 "
    "} } }",
    "m.op.matmul { m.convolution { m.image, width = 5 }, m.op.reshape { m.class_token { m.image, "
    "queries = 3, width = 5, from = 'pooled', shared = false }, shape = { 2, 12, 5 } } }",
    /* The same parameters twice, the second time on what the first made. */
    "m.embedding { m.embedding { m.image, width = 1, layers = 2, name = 'twice' }, width = 1, "
    "layers = 2, name = 'twice', share = true }",
};

#endif
