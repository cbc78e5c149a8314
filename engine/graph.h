/* The static graph of a step: values (tensors to be) and nodes (uses of ops) in execution order.
 *
 * Built once per trial; graph_backward appends the gradient nodes; plan.h gives every value a
 * place; runner.c walks the list. Errors are sticky: the first is kept in graph->error, after which
 * every builder returns NULL, so that building code needs no checks between two ops. */
#ifndef ENGINE_GRAPH_H
#define ENGINE_GRAPH_H

#include "engine/arena.h"
#include "engine/params.h"
#include "kernels/op.h"

typedef struct Value Value;
typedef struct Node Node;

typedef enum ValueKind {
  VALUE_ACTIVATION, /* produced by a node, lives in the plan's arena */
  VALUE_INPUT,      /* written by the caller before each run, lives in the arena */
  VALUE_PARAM,      /* in the block of a parameter's kind */
  VALUE_GRADIENT,   /* in the block of the trained parameters' gradients */
} ValueKind;

struct Value {
  int id;
  ValueKind kind;
  Tensor tensor;
  const char *name;
  Node *producer; /* NULL for inputs and parameters */
  Param *param;
  bool differentiable; /* depends on a trained parameter */
  bool constant; /* the same in every run: what is frozen, a buffer that no op writes, what is made
                      of them */
  bool keep;     /* read after the run: never reused */
  bool loaded;   /* an input that the host writes whether or not a node reads it */
  Value *gradient; /* after graph_backward; NULL when none arrives */
  Value *again;    /* the same numbers, computed again for the gradients that read them */
  bool leaves;     /* a block: read outside it, or after the run */
  /* The plan's: */
  Value *alias;    /* shares this value's memory (in place) */
  int first, last; /* indices of the nodes that write and last read it */
  size_t offset;
  void *host; /* where the host writes an input and reads a kept value: the tensor itself, or, with
                 a device, a copy that plan_send and plan_fetch carry */
};

struct Node {
  int index;
  OpId op;
  Call call;
  Value *in[MAX_IN], *out[MAX_OUT], *din[MAX_IN], *dout[MAX_OUT];
  bool constant;             /* all it reads is: it runs once, before the first run */
  int block;                 /* that it was built in, or is run again for; 0: none */
  bool sum;                  /* graph_backward made it: it adds two gradients of one value */
  const char *scope, *where; /* "encoder.stage0", "lua/harness/models/maskmed.lua:12" */
  size_t scratch_offset;
  double seconds; /* summed over runs when profiling */
  int launches;   /* of a run on a device, when profiling */
};

enum { MAX_SCOPES = 32 };
typedef struct Graph {
  Arena arena;
  Params *params; /* shared, not owned */
  DType real;     /* params->real */
  DType storage;  /* of activations where the kernels allow it: real (the default) or BF16 */
  Value **values;
  Node **nodes;
  int value_count, node_count, value_room, node_room;
  char scope[256];
  int scope_end[MAX_SCOPES], scopes; /* the text's length before each push */
  bool recompute;                    /* blocks keep nothing for the gradient: graph_block */
  int block, blocks,
      block_before[MAX_SCOPES]; /* the one that is built, or 0; how many; outer ones */
  bool freezes;                 /* parameters that are made now are frozen */
  bool training;                /* steps are made with it: batch norm learns its statistics */
  const char *freeze; /* and those of these names, at any time: freeze_names; NULL: none */
  bool thaws;         /* those are not frozen, but late (ParamAs) */
  Group overrides;    /* the group of parameters that are made now; negative: as their block says */
  Value *absent;      /* graph_absent's; NULL: never asked for */
  const char *where;
  Error error;
} Graph;

Graph *graph_make(Params *params);
void graph_free(Graph *graph);

Value *graph_input(Graph *graph, const char *name, DType type, int rank, const int64_t *dim);
Value *graph_input_named(const Graph *graph, const char *name); /* NULL: none */
/* The parameter SCOPE.name, made on first use: trained, or frozen while graph->freezes. One
 * dimension is a bias, more are a weight; graph_param_of is told another role. */
Value *graph_param(Graph *graph, const char *name, int rank, const int64_t *dim, Group group,
                   Init init);
Value *graph_param_of(Graph *graph, ParamRole role, const char *name, int rank, const int64_t *dim,
                      Group group, Init init);
/* Whether patterns ("encoder,*.norm.*"; "encoder,-*.adapter": but not those) mean a parameter of
 * this name. And whether each means one, and leaves one to train: what a user mistyped must not
 * train. */
bool freeze_names(const char *patterns, const char *name);
bool freeze_check(const Params *params, const char *patterns, Error *error);
/* Numbers that are kept and saved, and that no gradient reaches. An op may write one (Op.updates):
 * in every run once, whatever is computed again, and it is what the run before left. */
Value *graph_buffer(Graph *graph, const char *name, int rank, const int64_t *dim, Init init);
/* Stands where an optional input of an op is left out: a value of no numbers. */
Value *graph_absent(Graph *graph);
/* One use of an op; options are copied, NULL: its defaults. Returns output 0; the others by
 * graph_out. */
Value *graph_op(Graph *graph, OpId op, const void *options, int count, Value *const *in);
Value *graph_out(const Value *value, int index);
/* graph_op with the inputs as arguments: apply(g, OP_add, NULL, a, b). */
#define apply(graph, op, options, ...)                                                             \
  graph_op(graph, op, options, (int)(sizeof((Value *[]){__VA_ARGS__}) / sizeof(Value *)),          \
           (Value *[]){__VA_ARGS__})

/* Scopes name parameters and nodes: "encoder" then "stage0" gives "encoder.stage0". A name may have
 * dots of its own; graph_pop takes back one push. */
void graph_push(Graph *graph, const char *format, ...) __attribute__((format(printf, 2, 3)));
void graph_pop(Graph *graph);
/* The scope that was pushed last is a block: a stage of an encoder, a transformer's layer. With
 * graph->recompute only what leaves it is kept for the gradient; the rest is computed again, before
 * the first gradient that reads it, to the same bits. A block in a block counts for itself. */
void graph_block(Graph *graph);

/* Appends the gradient of the scalar `loss`: parameters' gradients end in params->gradient. */
bool graph_backward(Graph *graph, Value *loss);

/* Of a run: the sum of every node's cost, but what is computed once; and of that. */
Cost graph_cost(const Graph *graph);
Cost graph_cost_once(const Graph *graph);

/* Inside the engine: a value of this shape, a node appended. */
Value *graph_value(Graph *graph, ValueKind kind, const Tensor *shape, const char *name);
Node *graph_append(Graph *graph, OpId op);

#endif
