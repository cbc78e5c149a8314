#include "src/bench/selection.h"
#include "base/nearest.h"

#include <string.h>

enum { STEPS_MAX = 16 };

void chosen_name(const Chosen *chosen, char *text, size_t bytes) {
  if (chosen->step)
    snprintf(text, bytes, "step:%s", chosen->step->name);
  else
    snprintf(text, bytes, "%s, %s", op_table[chosen->op]->name, chosen->c->name);
}

static bool fits(const Chosen *chosen, const char *filter) {
  char name[160];
  chosen_name(chosen, name, sizeof name);
  if (chosen->step) return !strncmp(filter, "step", 4) && !strncmp(name, filter, strlen(filter));
  OpId op = op_find(filter);
  return op == OP_COUNT ? strstr(name, filter) != NULL : op == chosen->op;
}

/* A step's whole name: it means that step alone, not those whose names go on after it. */
static bool is_step(const Chosen *all, int count, const char *filter) {
  char name[160];
  for (int i = 0; i < count; i++) {
    chosen_name(&all[i], name, sizeof name);
    if (all[i].step && !strcmp(name, filter)) return true;
  }
  return false;
}

static bool unknown(const char *filter, Error *error) {
  const char *names[OP_COUNT + STEPS_MAX];
  char steps[STEPS_MAX][64];
  int count = 0;
  for (; count < OP_COUNT; count++) names[count] = op_table[count]->name;
  for (int i = 0; step_cases[i].name && i < STEPS_MAX; i++) {
    snprintf(steps[i], sizeof steps[i], "step:%s", step_cases[i].name);
    names[count++] = steps[i];
  }
  return fail(error, "no bench fits \"%s\"%s", filter,
              nearest_hint(filter, names, count, "`harness bench --list` names them all").text);
}

/* Marks which of `all` a filter means; with no filter the ops. */
static bool take(const BenchOptions *options, const Chosen *all, int count, bool *wanted,
                 Error *error) {
  for (int i = 0; i < count; i++) wanted[i] = !options->filters && !all[i].step;
  for (int f = 0; f < options->filters; f++) {
    bool any = false, whole = is_step(all, count, options->filter[f]);
    for (int i = 0; i < count; i++) {
      if (!fits(&all[i], options->filter[f]) || (whole && !is_step(&all[i], 1, options->filter[f])))
        continue;
      wanted[i] = any = true;
    }
    if (!any) return unknown(options->filter[f], error);
  }
  return true;
}

static int every(const Backend *backend, Chosen *all) {
  int count = 0;
  for (int id = 0; id < OP_COUNT; id++)
    for (const OpCase *c = op_cases[id]; c->name; c++) {
      if (!c->bench) continue;
      if (all) all[count] = (Chosen){(OpId)id, c, NULL};
      count++;
    }
  for (const StepCase *s = step_cases; s->name; s++) {
    if (!step_on(s, backend)) continue;
    if (all) all[count] = (Chosen){OP_COUNT, NULL, s};
    count++;
  }
  return count;
}

bool selection_make(const BenchOptions *options, Chosen **list, int *count, Error *error) {
  int total = every(options->backend, NULL);
  *list = calloc((size_t)total, sizeof **list);
  bool *wanted = calloc((size_t)total, sizeof *wanted);
  CHECK(*list && wanted, "no memory for %d benches", total);
  every(options->backend, *list);
  *count = 0;
  bool good = take(options, *list, total, wanted, error);
  for (int i = 0; good && i < total; i++)
    if (wanted[i]) (*list)[(*count)++] = (*list)[i];
  free(wanted);
  if (!good) free(*list);
  if (!good) *list = NULL;
  return good;
}
