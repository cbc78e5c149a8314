/* Batch norm by itself, for models that put their blocks together in Lua. */
#include "kernels/norm_activation.h"
#include "modules/layers.h"

typedef struct Options {
  double epsilon, momentum, slope;
  int activation, track;
} Options;

static const Option options_table[] = {
    {"epsilon", OPTION_FLOAT, offsetof(Options, epsilon), 1e-5, 0, 1, NULL, NULL,
     "added to the variance"},
    {"momentum", OPTION_FLOAT, offsetof(Options, momentum), .1, 0, 1, NULL, NULL,
     "share of a batch in the running mean and variance"},
    NORM_ACTIVATION_OPTIONS(Options),
    {"track", OPTION_BOOL, offsetof(Options, track), 1, 0, 1, NULL, NULL,
     "running mean and variance are kept, for inference; false: a batch's own serve there, too"},
    {0}};

static void build(Graph *graph, const void *options, const Values *in, Values *out) {
  const Options *o = options;
  BatchNormOptions norm = {.epsilon = o->epsilon,
                           .momentum = o->momentum,
                           .slope = o->slope,
                           .activation = o->activation,
                           .mode = o->track ? BATCH_NORM_TRAIN : BATCH_NORM_BATCH};
  out->v[out->count++] = batch_norm(graph, NULL, in->v[0], &norm);
}

const Module module_batch_norm = {
    .name = "batch_norm",
    .doc =
        "Batch norm, scale and shift, and LeakyReLU or SiLU: by the batch's mean and variance in "
        "training, by the running ones, which are saved with the weights, in inference and where "
        "its scale is frozen",
    .in = "feature",
    .out = "feature",
    .min_in = 1,
    .max_in = 1,
    .options = options_table,
    .options_bytes = sizeof(Options),
    .build = build,
};
