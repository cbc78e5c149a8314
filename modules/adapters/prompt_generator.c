/* MaskSAM's prompt generator (2.4, Fig. 4b): out of the image encoder's result and of what its
 * global blocks leave, features up to the masks' resolution, and auxiliary masks. Level 0 is two
 * convolution blocks on the encoder's result; level i doubles level i - 1 in the slice, while i is
 * at most `upsample`, and joins it with the blocks' outputs, the last block first, which a branch
 * of doublings and convolution blocks brings to its resolution. Block: 3x3x3, instance norm,
 * LeakyReLU. Masks: a point-wise projection of the last level. Of MaskSAM's code: ACDC widths
 * 256,128,128 upsample 2 (levels 2 to 4 have one branch, their weights the same); AMOS widths
 * 256,128,128,64,64 upsample 4. */
#include "modules/layers.h"

enum { SKIPS_SHARED, SKIPS_OWN };

typedef struct GeneratorOptions {
  Ints widths;
  int upsample, queries, skips;
} GeneratorOptions;

static const Option options_table[] = {
    {"widths", OPTION_INTS, offsetof(GeneratorOptions, widths), 0, 1, 4096, NULL, "256,128,128",
     "channels of each level; the last is that of all further ones"},
    {"upsample", OPTION_INT, offsetof(GeneratorOptions, upsample), 2, 0, 8, NULL, NULL,
     "levels after the first that double the slice's edges"},
    {"queries", OPTION_INT, offsetof(GeneratorOptions, queries), 8, 1, 1024, NULL, NULL,
     "auxiliary masks"},
    {"skips", OPTION_CHOICE, offsetof(GeneratorOptions, skips), SKIPS_SHARED, 0, 0, "shared|own",
     NULL,
     "the branches of levels of one resolution are one, with the same weights, as in MaskSAM's "
     "code for ACDC, or each level's own"},
    {0}};

static const int ONE[3] = {1, 1, 1}, THREE[3] = {3, 3, 3}, SLICE[3] = {1, 2, 2};

static int width_of(const GeneratorOptions *o, int level) {
  int last = o->widths.count > 1 ? o->widths.count - 1 : 0;
  return o->widths.v[level < last ? level : last];
}

static int doublings(const GeneratorOptions *o, int level) {
  return level < o->upsample ? level : o->upsample;
}

static Value *block(Graph *graph, const char *name, Value *x, Value *skip, int width) {
  return x ? conv_block(graph, name, x, skip, width, THREE, ONE) : NULL;
}

/* A block's output at the level's resolution. */
static Value *branch(Graph *graph, const GeneratorOptions *o, int level, Value *x) {
  int width = width_of(o, level), times = doublings(o, level);
  graph_push(graph, "skip%d", o->skips == SKIPS_SHARED ? times : level);
  graph_block(graph);
  if (!times) x = block(graph, "conv", x, NULL, width);
  for (int i = 0; i < times; i++) {
    char up[16], conv[16];
    snprintf(up, sizeof up, "up%d", i);
    snprintf(conv, sizeof conv, "conv%d", i);
    x = block(graph, conv, enlarged(graph, up, x, width, SLICE), NULL, width);
  }
  graph_pop(graph);
  return x;
}

static Value *first_level(Graph *graph, const GeneratorOptions *o, Value *neck) {
  graph_push(graph, "level0");
  graph_block(graph);
  Value *x = block(graph, "conv0", neck, NULL, width_of(o, 0));
  x = block(graph, "conv1", x, NULL, width_of(o, 0));
  graph_pop(graph);
  return x;
}

static Value *next_level(Graph *graph, const GeneratorOptions *o, int level, Value *below,
                         Value *output) {
  int width = width_of(o, level);
  Value *skip = branch(graph, o, level, output);
  graph_push(graph, "level%d", level);
  graph_block(graph);
  if (level <= o->upsample) below = enlarged(graph, "up", below, width, SLICE);
  below = block(graph, "conv", below, skip, width);
  graph_pop(graph);
  return below;
}

static bool fits(Graph *graph, const GeneratorOptions *o, const Values *in) {
  int levels = in->count;
  if (!o->widths.count || o->upsample >= levels) {
    module_fail(graph,
                "widths of one level or more, upsample below the levels, which are one and as many "
                "as outputs of blocks: found %d widths, upsample = %d, %d levels",
                o->widths.count, o->upsample, levels);
    return false;
  }
  for (int i = o->upsample > 1 ? o->upsample : 1; i < levels && o->skips == SKIPS_SHARED; i++)
    if (width_of(o, i) != width_of(o, levels - 1)) {
      module_fail(graph,
                  "skips = shared: levels %d to %d have one branch and so one width, found "
                  "%d and %d (or skips = own)",
                  o->upsample, levels - 1, width_of(o, i), width_of(o, levels - 1));
      return false;
    }
  return true;
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const GeneratorOptions *o = options;
  if (!fits(graph, o, in)) return;
  Value *level[MAX_VALUES] = {first_level(graph, o, in->v[0])};
  for (int i = 1; i < in->count; i++)
    level[i] = next_level(graph, o, i, level[i - 1], in->v[in->count - i]);
  Value *last = level[in->count - 1];
  if (!last) return;
  Init start = init_torch_linear(tensor_last(&last->tensor));
  out->v[out->count++] =
      linear_layer_init(graph, "masks", last, o->queries, ACT_NONE, GROUP_CNN, start, start);
  for (int i = 0; i < in->count; i++) out->v[out->count++] = level[i];
}

const Module module_prompt_generator = {
    .name = "prompt_generator",
    .doc = "MaskSAM's prompt generator (2.4): auxiliary masks out of the image encoder's features, "
           "and the levels that boxes and class tokens are made of",
    .in = "encoder's result, outputs of its global blocks (first to last)",
    .out = "masks level0 level1 ...",
    .min_in = 1,
    .max_in = 12,
    .options = options_table,
    .options_bytes = sizeof(GeneratorOptions),
    .build = build,
};
