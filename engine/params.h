/* The numbers of a model: named parameters in flat blocks, so that the optimiser, clipping and
 * checkpoints are loops over a block. A parameter is trained, frozen or a buffer; only the trained
 * ones have a gradient and what the optimiser keeps beside them. The training and the inference
 * graph of a trial share one Params. */
#ifndef ENGINE_PARAMS_H
#define ENGINE_PARAMS_H

#include "engine/arena.h"
#include "kernels/op.h"

struct Backend;

typedef enum ParamKind {
  PARAM_TRAINED,
  PARAM_FROZEN, /* no step changes it; not in checkpoints: it comes back from where it came */
  PARAM_BUFFER, /* kept, but no gradient's: running statistics, a map drawn once. Beside an average
                   of the weights there is one of no buffer, as in torch.optim.swa_utils: running
                   statistics are an average over steps already, and the last one serves */
  PARAM_KINDS,
} ParamKind;

/* What a parameter is to weight decay. */
typedef enum ParamRole {
  ROLE_WEIGHT,
  ROLE_BIAS,
  ROLE_NORM,      /* scale and shift of a norm */
  ROLE_EMBEDDING, /* a table or token that is learned itself: queries, positions, levels */
  PARAM_ROLES,
} ParamRole;

/* A group's place in Params.group. The first two are always there (MaskMed appendix C, eq. 7:
 * lambda_CNN, lambda_Trans). */
typedef int Group;
enum { GROUP_CNN, GROUP_TRANSFORMER, FIRST_GROUPS, MAX_GROUPS = 64 };

typedef struct ParamGroup {
  const char *name;
  double factor; /* of the learning rate; 1 at first */
  bool decay;    /* false: none of its parameters decays, whatever its role; true at first */
} ParamGroup;

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
/* PyTorch's for nn.Linear, weight and bias: uniform within 1 / sqrt(fan_in). */
Init init_torch_linear(int64_t fan_in);

/* What a new parameter is, beside its name and shape. */
typedef struct ParamAs {
  ParamKind kind;
  ParamRole role;
  Group group;
  Init init;
  bool late; /* trained, but not in the first updates: Optimizer.late */
} ParamAs;

typedef struct Param {
  const char *name; /* "encoder.stage0.conv1.weight" */
  Tensor shape;     /* data stays NULL */
  size_t offset;    /* elements from the start of each block of its kind */
  ParamAs as;
  bool written; /* a buffer that a training graph's forward pass writes: graph_op */
} Param;

/* Blocks: the numbers themselves, by ParamKind; beside the trained ones their gradients, their
 * average over the last updates where one is kept (engine/optimizer.h), and the optimiser's
 * states. */
enum {
  BLOCK_GRADIENT = PARAM_KINDS,
  BLOCK_AVERAGE,
  BLOCK_STATE, /* the first of MAX_STATES */
  MAX_STATES = 2,
  PARAM_BLOCKS = BLOCK_STATE + MAX_STATES
};

enum { MAX_PARAMS = 2048, PARAM_UNIT = 16 /* parameters start at multiples: 64 bytes of float */ };
typedef struct Params {
  Arena arena;
  DType real; /* F32, or F64 for the reference backend */
  int count, groups, states;
  Param *list[MAX_PARAMS];
  ParamGroup group[MAX_GROUPS];
  const char *state_name[MAX_STATES]; /* "momentum" */
  size_t elements[PARAM_KINDS];       /* of a block, padding between parameters included */
  int64_t updates;                    /* of the trained weights by an optimiser, so far */
  int64_t changes;                    /* params_changed, so far */
  bool allocated;
  bool averaged;            /* there is BLOCK_AVERAGE */
  bool reads_average;       /* params_read_average */
  void *host[PARAM_BLOCKS]; /* NULL where there is none, and until params_allocate */
  /* The same blocks in a device's memory, where a plan of that backend finds them; NULL: not
   * placed. Checkpoints are written from there and read to there. */
  void *device[PARAM_BLOCKS];
  const struct Backend *place;
} Params;

/* Whether its numbers can be counted, and are not more than any memory's: asked where a tensor is
 * made of sizes from outside; all others rely on it. */
bool shape_countable(const Tensor *shape);

Params *params_make(DType real);
void params_free(Params *params);
/* The group of this name; made if there is none. -1 with an error: too many. */
Group params_group(Params *params, const char *name, Error *error);
/* The parameter of this name; made if there is none and the blocks are not allocated yet.
 * NULL with an error when an existing one has another shape or is of another kind. */
Param *params_get(Params *params, const char *name, int rank, const int64_t *dim, const ParamAs *as,
                  Error *error);
/* The blocks that an optimiser keeps beside the trained weights, zero at first; `averaged`: their
 * average is one of them. Before params_allocate; without it there are none. */
void params_states(Params *params, int count, const char *const *name, bool averaged);
/* From now on the trained weights' block and that of their average stand in each other's place, or
 * again in their own: what is bound afterwards (plan_bind) reads the average as the weights. No
 * number moves. Nothing where there is no average, or they stand so already. */
void params_read_average(Params *params, bool average);
/* Allocates the blocks and draws the numbers: a pure function of (seed, name), so adding a
 * parameter changes no other. */
bool params_allocate(Params *params, uint64_t seed, Error *error);
/* Copies the blocks to the backend's device; nothing if they are there. */
bool params_place(Params *params, const struct Backend *backend, Error *error);
/* Numbers were written into the host's blocks, by whoever is no optimiser: what was made of frozen
 * ones and buffers is made again (plan_refresh), and they go to where they are placed. */
void params_changed(Params *params);
/* From the device's blocks to the host's: all but the gradients; nothing if not placed. */
void params_fetch(const Params *params);
/* Numbers without padding: trained and frozen ones, the trained alone, those of one kind. */
int64_t params_total(const Params *params);
int64_t params_trained(const Params *params);
int64_t params_numbers(const Params *params, ParamKind kind);
size_t params_bytes(const Params *params); /* of all blocks */
/* Of one block; 0: there is none. */
size_t params_block_bytes(const Params *params, int block);
/* The parameter's place in a block of its kind, which starts there. */
void *params_at(const Params *params, const void *block, const Param *param);
/* The same in the host's blocks. The gradient of a parameter that is not trained: NULL. */
void *params_weight(const Params *params, const Param *param);
void *params_gradient(const Params *params, const Param *param);

/* Checkpoints, in the safetensors format: F32 (or F64) tensors by name, trained ones and buffers.
 * `states` adds the optimiser's, "NAME.momentum", and the number of updates; where an average is
 * kept, NAME is then the average, which is what a trained network is, and "NAME.unaveraged" the
 * weights, from which a training goes on. `metadata` (may be NULL) is a list of key, value, ...,
 * NULL texts. A checkpoint is there whole or not at all, with a checksum that loading asks after;
 * with `states` the one before it stays beside it, as PATH.previous. Loading wants every one of
 * these tensors, with its shape. */
bool params_save(const Params *params, bool states, const char *const *metadata, const char *path,
                 Error *error);
bool params_load(Params *params, bool states, const char *path, Error *error);
/* The metadata value of a key in a checkpoint, to be freed; NULL: absent. */
char *checkpoint_text(const char *path, const char *key);
/* The same into `value`; false if absent. */
bool checkpoint_metadata(const char *path, const char *key, char *value, size_t bytes);
/* Makes the newest checkpoint that is whole the one at `path`: where that is gone or corrupt, the
 * one before it. note: what must be said about it, or "". false: there is none. */
bool checkpoint_settle(const char *path, char *note, size_t bytes);
/* Whether a tensor of this name is a training's, of no use without it: an optimiser's state, or the
 * weights behind an average. */
bool checkpoint_is_state(const char *name);
/* At the end of a training: the one before the last. */
void checkpoint_drop_previous(const char *path);
/* Where the best weights of a training that chooses among its own lie meanwhile: PATH.best; best
 * holds WHOLE_PATH bytes. */
void checkpoint_best(const char *path, char *best);
/* All that params_save, and an interrupted one and a choice, have left. */
void checkpoint_remove(const char *path);

#endif
