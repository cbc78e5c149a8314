#include "modules/module.h"

#include <stdarg.h>
#include <string.h>

#define MODULE(name) extern const Module module_##name;
#include "modules/modules.def"
#undef MODULE

const Module *const module_table[MODULE_COUNT] = {
#define MODULE(name) &module_##name,
#include "modules/modules.def"
#undef MODULE
};

const Module *module_find(const char *name) {
  for (int i = 0; i < MODULE_COUNT; i++)
    if (strcmp(module_table[i]->name, name) == 0) return module_table[i];
  return NULL;
}

void module_fail(Graph *graph, const char *format, ...) {
  char text[ERROR_BYTES / 2];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fail(&graph->error, "%s%s%s: %s", graph->where, graph->where[0] ? ": " : "", graph->scope, text);
}

bool module_build(Graph *graph, const Module *module, const char *scope, const void *options,
                  const Values *in, Values *out) {
  if (graph->error.text[0]) return false;
  graph_push(graph, "%s", scope);
  *out = (Values){0};
  if (in->count < module->min_in || in->count > module->max_in)
    module_fail(graph, "%s takes %d to %d inputs (%s), found %d", module->name, module->min_in,
                module->max_in, module->in, in->count);
  else
    module->build(graph, options, in, out);
  graph_pop(graph);
  return !graph->error.text[0];
}
