#include "src/cli/starts.h"

#include <stdlib.h>
#include <string.h>

#include "src/cli/share.h"

static json_t *starts_of(const Experiment *experiment) {
  return json_object_get(experiment->document, "starts");
}

/* ---- as experiments -------------------------------------------------------------------------- */

static void list(const Experiments *experiments, Experiments *starts) {
  size_t count = 0;
  for (int p = 0; p < experiments->count; p++)
    count += json_array_size(starts_of(&experiments->item[p]));
  *starts = (Experiments){calloc(count + 1, sizeof *starts->item), 0, true};
  CHECK(starts->item, "no memory for %zu starts", count);
  for (int p = 0; p < experiments->count; p++) {
    json_t *document;
    size_t i;
    json_array_foreach(starts_of(&experiments->item[p]), i, document) {
      Experiment one = {.document = json_incref(document),
                        .resolved = experiments->item[p].resolved};
      starts->item[starts->count++] = one;
    }
  }
}

/* ---- in the cells that start from them ------------------------------------------------------- */

/* of: the experiment's own starts, of which a cell names one by its positions. */
static bool settle_cells(json_t *cells, const Experiment *of, Error *error) {
  json_t *cell;
  size_t i;
  json_array_foreach(cells, i, cell) {
    const json_t *start = json_object_get(cell, "start");
    if (!start) continue;
    const Experiment *one = &of[json_integer_value(json_object_get(start, "of"))];
    size_t position = (size_t)json_integer_value(json_object_get(start, "cell"));
    const json_t *its = json_array_get(json_object_get(one->document, "cells"), position);
    char hash[HASH_BYTES];
    if (!trial_hash(json_object_get(its, "config"), one->data_hash, hash, error)) return false;
    json_object_set_new(json_object_get(cell, "config"), "pretrained", json_string(hash));
  }
  return true;
}

bool starts_settle(Experiments *experiments, Experiments *starts, const char *home, bool make,
                   bool quiet, Error *error) {
  list(experiments, starts);
  if (!experiments_prepare(starts, home, make, quiet, error)) return false;
  const Experiment *of = starts->item;
  for (int p = 0; p < experiments->count; p++) {
    json_t *document = experiments->item[p].document, *tries = json_object_get(document, "tries");
    if (!settle_cells(json_object_get(document, "cells"), of, error) ||
        !settle_cells(json_object_get(document, "later"), of, error) ||
        !settle_cells(json_object_get(tries, "cells"), of, error))
      return false;
    of += json_array_size(starts_of(&experiments->item[p]));
  }
  return true;
}

/* ---- their weights --------------------------------------------------------------------------- */

static bool has_weights(const Cell *trial, const char *folder) {
  char why[ERROR_BYTES];
  share_judge(folder, trial->hash, trial, why);
  return !why[0];
}

void starts_reopen(Experiments *starts, const char *folder) {
  for (int p = 0; p < starts->count; p++)
    for (int i = 0; i < starts->item[p].trials; i++) {
      Cell *trial = &starts->item[p].trial[i];
      if (trial->status == STATUS_DONE && !has_weights(trial, folder))
        trial->status = STATUS_PLANNED;
    }
}

int starts_lost(const Experiments *starts, const char *folder, bool *open) {
  int lost = 0;
  *open = true;
  for (int p = 0; p < starts->count; p++)
    for (int i = 0; i < starts->item[p].trials; i++) {
      const Cell *trial = &starts->item[p].trial[i];
      if (experiments_repeated(starts, p, i)) continue;
      if (trial->status == STATUS_DONE && has_weights(trial, folder)) continue;
      lost++;
      char *label = experiments_label(starts, p, i);
      bool waits = trial->status == STATUS_PLANNED || trial->status == STATUS_INTERRUPTED;
      *open = *open && waits;
      if (!waits)
        fprintf(stderr,
                "harness: %s, trial %.8s, which others start from, is %s%s; `harness runs show "
                "%.8s` says more, --retry all runs it again\n",
                label, trial->hash, status_name(trial->status),
                trial->status == STATUS_DONE ? " and has no weights" : "", trial->hash);
      free(label);
    }
  return lost;
}
