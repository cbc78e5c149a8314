/* Where the numbers of a step that are not finite come from: forward and backward once, and every
 * tensor looked at as soon as it is written. */
#ifndef ENGINE_TRACE_H
#define ENGINE_TRACE_H

#include "engine/plan.h"

/* Who wrote the first of a kind; all NULL: nobody did. */
typedef struct TraceFirst {
  const Node *node;   /* its outputs, or in its gradient's place those of its inputs */
  const Value *value; /* no node's: an input, or a parameter */
  int index;          /* of the node's outputs, or inputs */
  int64_t at, count;  /* the first number of the tensor, and how many of it there are */
} TraceFirst;

typedef struct Trace {
  TraceFirst infinite, nan;
} Trace;

/* input[i]->host holds the batch, over which a run may write; the plan is bound, and stays so. No
 * parameter and no buffer is changed; gradients are. */
Trace trace_run(Plan *plan, Value *const *input, int inputs);
bool trace_clean(const Trace *trace);
/* Both as one sentence: op, scope, and the line of Lua that made it. "": clean. */
void trace_text(const Trace *trace, char *text, size_t bytes);

#endif
