/* The weights of a model: named parameters in flat blocks (weight, gradient, momentum), so that
 * the optimiser, clipping and checkpoints are loops over a block. The training and the inference
 * graph of a trial share one Params. */
#ifndef ENGINE_PARAMS_H
#define ENGINE_PARAMS_H

#include "engine/arena.h"
#include "kernels/op.h"

struct Backend;

/* Learning-rate groups (MaskMed appendix C, eq. 7: lambda_CNN, lambda_Trans). */
typedef enum Group { GROUP_CNN, GROUP_TRANSFORMER, GROUP_COUNT } Group;

typedef enum InitKind {
  INIT_ZERO,
  INIT_CONSTANT, /* a */
  INIT_NORMAL,   /* mean 0, sd a */
  INIT_UNIFORM,  /* -a .. a */
  INIT_OFFSETS,  /* deformable attention's directional bias: a heads, b levels, c points */
} InitKind;
typedef struct Init {
  InitKind kind;
  double a, b, c;
} Init;

Init init_kaiming(int64_t fan_in, double slope);   /* normal, nnU-Net's rule */
Init init_xavier(int64_t fan_in, int64_t fan_out); /* uniform */

typedef struct Param {
  const char *name; /* "encoder.stage0.conv1.weight" */
  Tensor shape;     /* data stays NULL */
  size_t offset;    /* elements from the start of each block */
  Group group;
  Init init;
} Param;

enum { MAX_PARAMS = 2048 };
typedef struct Params {
  Arena arena;
  DType real; /* F32, or F64 for the reference backend */
  int count;
  Param *list[MAX_PARAMS];
  size_t elements;                    /* of each block, padding between parameters included */
  void *weight, *gradient, *momentum; /* the host's; NULL until params_allocate */
  /* The same blocks in a device's memory, where a plan of that backend finds them; NULL: not
   * placed. Checkpoints are written from there and read to there. */
  void *placed[3];
  const struct Backend *place;
} Params;

Params *params_make(DType real);
void params_free(Params *params);
/* The parameter of this name; made if there is none and the blocks are not allocated yet.
 * NULL with an error when an existing one has another shape. */
Param *params_get(Params *params, const char *name, int rank, const int64_t *dim, Group group,
                  Init init, Error *error);
/* Allocates the blocks (gradient and momentum zero) and draws the weights: a pure function of
 * (seed, name), so adding a parameter changes no other. */
bool params_allocate(Params *params, uint64_t seed, Error *error);
/* Copies the three blocks to the backend's device; nothing if they are there. */
bool params_place(Params *params, const struct Backend *backend, Error *error);
/* Between the host's blocks and the device's: weights and momentum; nothing if not placed. */
void params_send(const Params *params);
void params_fetch(const Params *params);
int64_t params_total(const Params *params); /* trainable numbers, without padding */
size_t params_bytes(const Params *params);  /* of all three blocks */
/* The parameter's place in a block. */
void *params_at(const Params *params, const void *block, const Param *param);

/* Checkpoints, in the safetensors format: F32 (or F64) tensors by name. `momentum` adds
 * "NAME.momentum". `metadata` (may be NULL) is a list of key, value, ..., NULL texts. Written to a
 * temporary file and renamed: whole or not at all. Loading wants every parameter, with its
 * shape. */
bool params_save(const Params *params, bool momentum, const char *const *metadata, const char *path,
                 Error *error);
bool params_load(Params *params, bool momentum, const char *path, Error *error);
/* The metadata value of a key in a checkpoint, into `value`; false if absent. */
bool checkpoint_metadata(const char *path, const char *key, char *value, size_t bytes);

#endif
