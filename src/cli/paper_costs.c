#include "src/cli/paper_costs.h"

#include <stdio.h>
#include <string.h>

#include "lua/bind.h"
#include "src/cli/estimate.h"
#include "src/report/paper_runs.h"
#include "src/store/field.h"

static bool asks(const json_t *table) {
  const json_t *column;
  size_t k;
  bool any = false;
  json_array_foreach(json_object_get(table, "columns"), k, column) any =
      any || field_text(column, "cost")[0];
  return any;
}

/* The position of the row with this key; negative: there is none. */
static int position_of(const json_t *experiment, const char *key) {
  const json_t *row;
  size_t i;
  json_array_foreach(json_object_get(experiment, "rows"), i,
                     row) if (!strcmp(field_text(row, "key"), key)) return (int)i;
  return -1;
}

/* The first cell of a row; NULL: it has none. */
static const json_t *cell_of(const json_t *experiment, int position) {
  const json_t *cell;
  size_t i;
  json_array_foreach(json_object_get(experiment, "cells"), i,
                     cell) if (field_whole(cell, "row") == position) return cell;
  return NULL;
}

static void count_row(const json_t *experiment, int position, const char *home, json_t *row) {
  json_t *config = json_copy(json_object_get(cell_of(experiment, position), "config"));
  Footprint f;
  Error unplanned = {""};
  json_object_set_new(config, "home", json_string(home));
  if (config && estimate_footprint(experiment, config, NULL, &f, &unplanned)) {
    json_object_set_new(
        row, "counted",
        json_pack("{s:I, s:f}", "parameters", (json_int_t)f.parameters, "macs", f.macs));
    footprint_free(&f);
  }
  json_decref(config);
}

static void count_rows(const char *home, const char *file, json_t *table) {
  char path[8400], scale[] = "scale=paper", device[] = "device=cpu", seeds[] = "seeds=1";
  char *typed[] = {scale, device, seeds};
  json_t *experiment = NULL, *row;
  Error unread = {""};
  size_t i;
  snprintf(path, sizeof path, "%.4000s/%.4000s", home, file);
  if (!experiment_read(home, path, 3, typed, NULL, &experiment, &unread)) return;
  json_array_foreach(json_object_get(table, "rows"), i, row) {
    int position = position_of(experiment, field_text(row, "key"));
    if (position >= 0) count_row(experiment, position, home, row);
  }
  json_decref(experiment);
}

void paper_costs_count(const char *home, const json_t *runs, json_t *table) {
  if (!asks(table)) return;
  json_t *own = paper_runs_of(runs, table), *run;
  size_t i;
  json_array_foreach(own, i, run) count_rows(home, field_text(run, "experiment"), table);
  json_decref(own);
}
