/* nnU-Net's residual encoder (ResEnc, Isensee et al. 2024): a convolution block as stem, then per
 * stage residual blocks, the first with the stage's stride. */
#include "modules/adapters/adapter.h"
#include "modules/backbones/residual.h"
#include "modules/backbones/stages.h"

typedef struct EncoderOptions {
  Stages stages;
  Ints blocks;
  int skip;
  AdapterWay adapter;
} EncoderOptions;

static const Option options_table[] = {
    STAGES_OPTIONS(EncoderOptions),
    {"blocks", OPTION_INTS, offsetof(EncoderOptions, blocks), 0, 1, 64, NULL, "1,3,4,6,6,6",
     "residual blocks of each stage"},
    {"skip", OPTION_CHOICE, offsetof(EncoderOptions, skip), SKIP_POOLED, 0, 0, SKIP_CHOICES, NULL,
     SKIP_DOC},
    ADAPTER_OPTIONS(EncoderOptions, adapter, "behind every residual block"),
    {0}};

static const int ONE[3] = {1, 1, 1};

static Value *stage(Graph *graph, const EncoderOptions *o, int s, Value *x) {
  ResidualWay way = {o->stages.widths.v[s], stage_kernel(&o->stages.kernels, s), NULL,
                     (ResidualSkip)o->skip};
  graph_push(graph, "stage%d", s);
  for (int i = 0; i < o->blocks.v[s]; i++) {
    char name[16];
    snprintf(name, sizeof name, "block%d", i);
    way.stride = i ? ONE : stage_stride(&o->stages, s);
    x = residual_block(graph, name, x, &way);
    graph_push(graph, "%s", name);
    x = adapted(graph, "adapter", x, GROUP_CNN, &o->adapter);
    graph_pop(graph);
  }
  graph_pop(graph);
  return x;
}

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const EncoderOptions *o = options;
  int stages = o->stages.widths.count;
  if (!stages_check(graph, &o->stages)) return;
  if (o->blocks.count != stages) {
    module_fail(graph, "blocks: one number for each of %d stages, found %d", stages,
                o->blocks.count);
    return;
  }
  Value *x = conv_block(graph, "stem", in->v[0], NULL, o->stages.widths.v[0],
                        stage_kernel(&o->stages.kernels, 0), ONE);
  for (int s = 0; s < stages; s++) {
    x = stage(graph, o, s, x);
    out->v[out->count++] = x;
  }
}

const Module module_residual_encoder = {
    .name = "residual_encoder",
    .doc = "nnU-Net's residual encoder (ResEnc): the features of every stage, highest resolution "
           "first",
    .in = "image",
    .out = "stages",
    .min_in = 1,
    .max_in = 1,
    .list = true,
    .options = options_table,
    .options_bytes = sizeof(EncoderOptions),
    .build = build,
};
