/* The loss of MaskSAM: with one matching of queries and classes, cross-entropy of the classes, BCE
 * and Dice of the masks and of the auxiliary masks that prompted them, distance and GIoU of the
 * boxes. Cost and loss have the same terms and weights, those of the public code for ACDC; all sums
 * are means over the matched pairs of the batch. A sample is a slice: all but the matching of a
 * volume is a slice's own. */
#include "modules/losses/supervision.h"

typedef struct MaskSamLossOptions {
  double class_weight, bce_weight, dice_weight, aux_weight, l1_weight, giou_weight, loss_scale,
      none_weight;
  int group, regions;
} MaskSamLossOptions;

static const Option options_table[] = {
    {"class_weight", OPTION_FLOAT, offsetof(MaskSamLossOptions, class_weight), .2, 0, 1e6, NULL,
     NULL, "lambda of the class term, in the loss and in the matching cost"},
    {"bce_weight", OPTION_FLOAT, offsetof(MaskSamLossOptions, bce_weight), 1.5, 0, 1e6, NULL, NULL,
     "lambda of the masks' binary cross-entropy"},
    {"dice_weight", OPTION_FLOAT, offsetof(MaskSamLossOptions, dice_weight), 1.5, 0, 1e6, NULL,
     NULL, "lambda of the masks' Dice loss"},
    {"aux_weight", OPTION_FLOAT, offsetof(MaskSamLossOptions, aux_weight), .5, 0, 1e6, NULL, NULL,
     "lambda of the auxiliary masks' cross-entropy and Dice loss"},
    {"l1_weight", OPTION_FLOAT, offsetof(MaskSamLossOptions, l1_weight), .5, 0, 1e6, NULL, NULL,
     "lambda of the boxes' distance"},
    {"giou_weight", OPTION_FLOAT, offsetof(MaskSamLossOptions, giou_weight), .2, 0, 1e6, NULL, NULL,
     "lambda of the boxes' generalised overlap"},
    {"loss_scale", OPTION_FLOAT, offsetof(MaskSamLossOptions, loss_scale), 1, 1e-6, 1e6, NULL, NULL,
     "factor on the whole loss, not on the cost"},
    {"none_weight", OPTION_FLOAT, offsetof(MaskSamLossOptions, none_weight), .1, 0, 1e3, NULL, NULL,
     "weight of 'no object' in the class term"},
    {"slices", OPTION_INT, offsetof(MaskSamLossOptions, group), 1, 1, 65536, NULL, NULL,
     "samples that are matched as one: the slices of a volume"},
    {"regions", OPTION_BOOL, offsetof(MaskSamLossOptions, regions), 0, 0, 1, NULL, NULL,
     "labels are sets of regions that may overlap; there is no background class"},
    {0}};

typedef struct Terms {
  int count;
  Value *term[MAX_TERMS];
  double weight[MAX_TERMS];
} Terms;

static void add(Terms *terms, Value *term, double weight) {
  terms->term[terms->count] = term;
  terms->weight[terms->count++] = weight;
}

static Value *assign(Graph *graph, const MaskSamLossOptions *o, const Values *in, Value *aux,
                     Value *boxes) {
  MatchOptions match = {.class_weight = o->class_weight,
                        .bce_weight = o->bce_weight,
                        .dice_weight = o->dice_weight,
                        .aux_weight = o->aux_weight,
                        .l1_weight = o->l1_weight,
                        .giou_weight = o->giou_weight,
                        .regions = o->regions,
                        .group = o->group};
  Value *none = graph_absent(graph);
  return apply(graph, OP_match, &match, in->v[2], in->v[1], in->v[0], aux ? aux : none,
               boxes ? boxes : none);
}

/* Both terms of masks. */
static void add_masks(Graph *graph, const MaskSamLossOptions *o, Terms *terms, Value *masks,
                      Value *labels, Value *assignment, double by_bce, double by_dice) {
  MaskLossOptions loss = {.regions = o->regions};
  Value *bce = apply(graph, OP_mask_loss, &loss, masks, labels, assignment);
  add(terms, bce, o->loss_scale * by_bce);
  add(terms, graph_out(bce, 1), o->loss_scale * by_dice);
}

/* in: labels, masks, classes, then auxiliary masks (five axes), boxes (three), either or both. */
static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const MaskSamLossOptions *o = options;
  Value *aux = NULL, *boxes = NULL;
  for (int i = 3; i < in->count; i++) *(in->v[i]->tensor.rank == 5 ? &aux : &boxes) = in->v[i];
  Value *assignment = assign(graph, o, in, aux, boxes);
  ClassLossOptions class_loss = {.none_weight = o->none_weight};
  BoxLossOptions box_loss = {.regions = o->regions};
  Terms terms = {0};
  add(&terms, apply(graph, OP_class_loss, &class_loss, in->v[2], assignment),
      o->loss_scale * o->class_weight);
  add_masks(graph, o, &terms, in->v[1], in->v[0], assignment, o->bce_weight, o->dice_weight);
  if (aux) add_masks(graph, o, &terms, aux, in->v[0], assignment, o->aux_weight, o->aux_weight);
  if (boxes) {
    Value *l1 = apply(graph, OP_box_loss, &box_loss, boxes, in->v[0], assignment);
    add(&terms, l1, o->loss_scale * o->l1_weight);
    add(&terms, graph_out(l1, 1), o->loss_scale * o->giou_weight);
  }
  out->v[out->count++] = supervision_sum(graph, terms.term, terms.weight, terms.count);
  for (int t = 0; t < 3; t++) out->v[out->count++] = terms.term[t];
}

const Module module_masksam_loss = {
    .name = "masksam_loss",
    .doc = "Matched loss of masks, classes and the prompts that made them (MaskSAM)",
    .in = "labels masks classes [auxiliary masks] [boxes]",
    .out = "loss class bce dice",
    .min_in = 3,
    .max_in = 5,
    .options = options_table,
    .options_bytes = sizeof(MaskSamLossOptions),
    .build = build,
};
