/* The papers' building blocks. A module only builds: it calls ops and other modules' layers, makes
 * parameters under the current scope, and has no backward of its own.
 *
 * Adding one: a .c in its folder ending in `const Module module_NAME = {...}`, a line in
 * modules.def, a row in tests/test_models.c. Lua sees it as m.NAME{ inputs..., option = value }. */
#ifndef MODULES_MODULE_H
#define MODULES_MODULE_H

#include "engine/graph.h"
#include "kernels/options.h"

enum { MAX_VALUES = 32 };

/* The inputs or outputs of a module: lists in Lua arrive flattened, a nil as NULL. */
typedef struct Values {
  int count;
  Value *v[MAX_VALUES];
} Values;

typedef struct Module {
  const char *name;
  const char *doc;      /* what it is, with the paper's section */
  const char *in, *out; /* names, for help: "feature queries position [prior]" */
  int min_in, max_in;
  bool list; /* Lua gets the outputs as one list, not as several values */
  const Option *options;
  size_t options_bytes;
  /* Problems go into graph->error (see module_fail). */
  void (*build)(Graph *graph, const void *options, const Values *in, Values *out);
} Module;

typedef enum ModuleId {
#define MODULE(name) MODULE_##name,
#include "modules/modules.def"
#undef MODULE
  MODULE_COUNT
} ModuleId;

extern const Module *const module_table[MODULE_COUNT];
const Module *module_find(const char *name); /* NULL when there is none */

/* Checks the number of inputs, pushes the scope, builds. False: see graph->error. */
bool module_build(Graph *graph, const Module *module, const char *scope, const void *options,
                  const Values *in, Values *out);
/* A sentence into graph->error, with the Lua line and the scope in front. */
void module_fail(Graph *graph, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
