/* nnU-Net's loss for point-wise heads (MaskMed Eq. 1-4, appendix C): cross-entropy plus soft Dice
 * over the softmax, or over a sigmoid per region, with deep supervision. */
#include "modules/losses/supervision.h"

typedef struct VoxelClassOptions {
  int batch_dice, drop_lowest, regions, loss;
  double smooth;
} VoxelClassOptions;

enum { LOSS_CE_DICE, LOSS_BCE_DICE };

static const Option options_table[] = {
    {"batch_dice", OPTION_BOOL, offsetof(VoxelClassOptions, batch_dice), 0, 0, 1, NULL, NULL,
     "Dice's sums run over the batch (nnU-Net's plan decides)"},
    {"drop_lowest", OPTION_BOOL, offsetof(VoxelClassOptions, drop_lowest), 1, 0, 1, NULL, NULL,
     "the lowest stage has weight 0, as in nnU-Net"},
    {"smooth", OPTION_FLOAT, offsetof(VoxelClassOptions, smooth), 1e-5, 0, 10, NULL, NULL,
     "added to Dice's numerator and denominator"},
    {"regions", OPTION_BOOL, offsetof(VoxelClassOptions, regions), 0, 0, 1, NULL, NULL,
     "labels are sets of regions that may overlap: binary cross-entropy and Dice of each"},
    {"loss", OPTION_CHOICE, offsetof(VoxelClassOptions, loss), LOSS_CE_DICE, 0, 0,
     "ce_dice|bce_dice", NULL,
     "beside Dice: cross-entropy (nnU-Net; MaskMed appendix C), or the binary one of each class's "
     "softmax, mean over the classes (Eq. 1-4 to the letter); regions have a binary one anyway"},
    {0}};

static Value *stage_loss(Graph *graph, const VoxelClassOptions *o, Value *logits, Value *labels) {
  VoxelLossOptions voxel = {
      .batch = o->batch_dice, .smooth = o->smooth, .binary = o->loss == LOSS_BCE_DICE};
  RegionLossOptions region = {.batch = o->batch_dice, .smooth = o->smooth};
  return o->regions ? apply(graph, OP_region_loss, &region, logits, labels)
                    : apply(graph, OP_voxel_loss, &voxel, logits, labels);
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const VoxelClassOptions *o = options;
  int stages = in->count - 1, first = o->drop_lowest && stages > 1;
  Value *terms[2][MAX_VALUES];
  double weight[MAX_VALUES];
  for (int s = first; s < stages; s++) {
    Value *logits = in->v[1 + s], *labels = supervision_labels(graph, in->v[0], logits);
    terms[0][s - first] = stage_loss(graph, o, logits, labels);
    terms[1][s - first] = graph_out(terms[0][s - first], 1);
    weight[s - first] = supervision_weight(s, stages, o->drop_lowest);
  }
  Value *parts[2];
  double one[2] = {1, 1};
  for (int t = 0; t < 2; t++) parts[t] = supervision_sum(graph, terms[t], weight, stages - first);
  out->v[out->count++] = supervision_sum(graph, parts, one, 2);
  for (int t = 0; t < 2; t++) out->v[out->count++] = parts[t];
}

const Module module_voxel_class_loss = {
    .name = "voxel_class_loss",
    .doc = "Cross-entropy and Dice of a point-wise head with deep supervision (MaskMed Eq. 1)",
    .in = "labels logits... (lowest resolution first)",
    .out = "loss cross_entropy dice",
    .min_in = 2,
    .max_in = 9,
    .options = options_table,
    .options_bytes = sizeof(VoxelClassOptions),
    .build = build,
};
