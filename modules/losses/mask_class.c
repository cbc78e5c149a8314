/* The loss of MaskMed Eq. 6: per stage, cross-entropy of the classes plus BCE and Dice of the
 * matched masks, with one bipartite matching at the final stage whose indices serve every stage. */
#include "modules/losses/supervision.h"

typedef struct MaskClassOptions {
  double class_weight, bce_weight, dice_weight, loss_scale, none_weight;
  int match, supervision, regions, drop_lowest, mask_loss_at;
} MaskClassOptions;

enum { MATCH_ONCE, MATCH_PER_STAGE, MATCH_FIXED };
enum { MAX_STAGES = (MAX_VALUES - 1) / 2 }; /* labels, and masks and classes of each */
_Static_assert(MAX_STAGES <= (int)MAX_TERMS, "a loss is one weighted sum over the stages");
enum { SUPERVISE_HALVED, SUPERVISE_EQUAL };
enum { MASKS_EVERY, MASKS_FINAL };

static const Option options_table[] = {
    {"class_weight", OPTION_FLOAT, offsetof(MaskClassOptions, class_weight), 2, 0, 1e6, NULL, NULL,
     "lambda of the class term, in the loss and in the matching cost (Table 7)"},
    {"bce_weight", OPTION_FLOAT, offsetof(MaskClassOptions, bce_weight), 10, 0, 1e6, NULL, NULL,
     "lambda of the masks' binary cross-entropy (Table 7)"},
    {"dice_weight", OPTION_FLOAT, offsetof(MaskClassOptions, dice_weight), 10, 0, 1e6, NULL, NULL,
     "lambda of the masks' Dice loss (Table 7)"},
    {"loss_scale", OPTION_FLOAT, offsetof(MaskClassOptions, loss_scale), 0.1, 1e-6, 1e6, NULL, NULL,
     "factor on the whole loss, not on the cost"},
    {"none_weight", OPTION_FLOAT, offsetof(MaskClassOptions, none_weight), 0.1, 0, 1e3, NULL, NULL,
     "weight of 'no object' in the class term"},
    {"match", OPTION_CHOICE, offsetof(MaskClassOptions, match), MATCH_ONCE, 0, 0,
     "once|per_stage|fixed", NULL,
     "once: at the final stage (MaskMed); per_stage (Mask2Former); fixed: query i is class i"},
    {"supervision", OPTION_CHOICE, offsetof(MaskClassOptions, supervision), SUPERVISE_HALVED, 0, 0,
     "halved|equal", NULL,
     "weights of the predictions: halved with each reduction in resolution (MaskMed), or equal"},
    {"regions", OPTION_BOOL, offsetof(MaskClassOptions, regions), 0, 0, 1, NULL, NULL,
     "labels are sets of regions that may overlap; there is no background class"},
    {"drop_lowest", OPTION_BOOL, offsetof(MaskClassOptions, drop_lowest), 0, 0, 1, NULL, NULL,
     "the lowest stage has weight 0, as in nnU-Net; MaskMed Eq. 6: none has"},
    {"mask_loss_at", OPTION_CHOICE, offsetof(MaskClassOptions, mask_loss_at), MASKS_EVERY, 0, 0,
     "every|final", NULL,
     "where masks have a loss: at every stage (MaskMed 3.2: deep supervision), or at the final one "
     "alone, with all stages' weight (Eq. 6 to the letter)"},
    {0}};

static Value *matched(Graph *graph, const MaskClassOptions *o, Value *classes, Value *masks,
                      Value *labels) {
  MatchOptions match = {.class_weight = o->class_weight,
                        .bce_weight = o->bce_weight,
                        .dice_weight = o->dice_weight,
                        .fixed = o->match == MATCH_FIXED,
                        .regions = o->regions};
  return apply(graph, OP_match, &match, classes, masks, labels);
}

static double stage_weight(const MaskClassOptions *o, int stage, int stages) {
  bool drops = o->drop_lowest && stages > 1;
  if (o->supervision == SUPERVISE_HALVED) return supervision_weight(stage, stages, drops);
  return drops && stage == 0 ? 0 : 1.0 / (stages - drops);
}

/* in: labels, masks of every stage, classes of every stage, lowest resolution first. */
static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const MaskClassOptions *o = options;
  int stages = (in->count - 1) / 2, first = o->drop_lowest && stages > 1;
  Value *const *masks = &in->v[1], *const *classes = &in->v[1 + stages];
  if (in->count != 1 + 2 * stages) {
    module_fail(graph, "wants labels, then as many masks as classes; found %d inputs", in->count);
    return;
  }
  bool per_stage = o->match == MATCH_PER_STAGE;
  Value *assignment =
      per_stage ? NULL : matched(graph, o, classes[stages - 1], masks[stages - 1], in->v[0]);
  MaskLossOptions mask_loss = {.regions = o->regions};
  Value *terms[3][MAX_STAGES];
  double weight[MAX_STAGES];
  for (int s = first; s < stages; s++) {
    Value *labels = supervision_labels(graph, in->v[0], masks[s]);
    weight[s] = stage_weight(o, s, stages);
    if (per_stage) assignment = matched(graph, o, classes[s], masks[s], labels);
    ClassLossOptions class_loss = {.none_weight = o->none_weight};
    terms[0][s] = apply(graph, OP_class_loss, &class_loss, classes[s], assignment);
    if (s < stages - 1 && o->mask_loss_at == MASKS_FINAL) continue;
    terms[1][s] = apply(graph, OP_mask_loss, &mask_loss, masks[s], labels, assignment);
    terms[2][s] = graph_out(terms[1][s], 1);
  }
  Value *parts[3];
  const double one[] = {1};
  double lambda[3] = {o->loss_scale * o->class_weight, o->loss_scale * o->bce_weight,
                      o->loss_scale * o->dice_weight};
  for (int t = 0; t < 3; t++) {
    bool final = t > 0 && o->mask_loss_at == MASKS_FINAL;
    int from = final ? stages - 1 : first;
    parts[t] = supervision_sum(graph, &terms[t][from], final ? one : &weight[from], stages - from);
  }
  out->v[out->count++] = supervision_sum(graph, parts, lambda, 3);
  for (int t = 0; t < 3; t++) out->v[out->count++] = parts[t];
}

const Module module_mask_class_loss = {
    .name = "mask_class_loss",
    .doc = "Matched class, BCE and Dice loss with deep supervision (MaskMed Eq. 5 and 6)",
    .in = "labels masks... classes... (lowest resolution first)",
    .out = "loss class bce dice",
    .min_in = 3,
    .max_in = 1 + 2 * MAX_STAGES,
    .options = options_table,
    .options_bytes = sizeof(MaskClassOptions),
    .build = build,
};
