#include "src/cli/tuning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/store/tries.h"

static json_t *tries_of(const Experiment *experiment) {
  return json_object_get(experiment->document, "tries");
}

bool tuning_asked(const Experiments *experiments) {
  for (int p = 0; p < experiments->count; p++)
    if (tries_of(&experiments->item[p])) return true;
  return false;
}

/* ---- the tries as experiments ---------------------------------------------------------------- */

static json_t *tries_document(const Experiment *experiment) {
  json_t *document = json_copy(experiment->document), *tries = tries_of(experiment);
  if (tries) json_object_set(document, "rows", json_object_get(tries, "rows"));
  json_object_set_new(document, "cells",
                      tries ? json_incref(json_object_get(tries, "cells")) : json_array());
  json_object_del(document, "tries");
  json_object_del(document, "until");
  return document;
}

void tuning_list(const Experiments *experiments, Experiments *tries) {
  size_t count = (size_t)experiments->count;
  *tries =
      (Experiments){calloc(count + 1, sizeof *tries->item), experiments->count, experiments->list};
  CHECK(tries->item, "no memory for the tries of %zu experiments", count);
  for (size_t p = 0; p < count; p++) {
    const Experiment *of = &experiments->item[p];
    tries->item[p] = (Experiment){.document = tries_document(of), .resolved = of->resolved};
    strcpy(tries->item[p].data_hash, of->data_hash);
  }
}

/* ---- the choice ------------------------------------------------------------------------------ */

static int row_of(const Experiment *tries, const Cell *cell) {
  const json_t *rows = json_object_get(tries->document, "rows");
  const json_t *row = json_array_get(rows, (size_t)cell->row);
  return (int)json_integer_value(json_object_get(row, "of"));
}

/* With what is stored of them by now: another cell may be the same trial. (tries->trials) */
static bool read_tries(const Experiment *tries, Store *store, Try *list, Error *error) {
  Cell *cell = NULL;
  int count;
  bool good = store_preview(store, tries->document, tries->data_hash, &cell, &count, error);
  for (int i = 0; good && i < count; i++) {
    list[i] = (Try){.position = row_of(tries, &cell[i]),
                    .fold = cell[i].fold,
                    .seed = cell[i].seed,
                    .lr = json_number_value(json_object_get(cell[i].config, "lr")),
                    .dice = NAN,
                    .used = NAN,
                    .status = cell[i].status};
    good = !store || tries_score(store, cell[i].id, &list[i], error);
  }
  free(cell);
  return good;
}

/* The rate as the try has it, so that a trial of it is that of a rate which is given. */
static json_t *rate_of(const Experiment *tries, const TriedRate *chosen) {
  for (int i = 0; i < tries->trials; i++) {
    json_t *lr = json_object_get(tries->trial[i].config, "lr");
    double value = json_number_value(lr);
    if (row_of(tries, &tries->trial[i]) == chosen->position && !(value < chosen->lr) &&
        !(value > chosen->lr))
      return lr;
  }
  CHECK(false, "a rate was chosen that was not tried: %g", chosen->lr);
}

static bool waits(const json_t *cell) {
  return json_is_string(json_object_get(json_object_get(cell, "config"), "lr"));
}

static bool cell_is_of(const json_t *cell, const TriedRate *rate) {
  return json_integer_value(json_object_get(cell, "row")) == rate->position &&
         json_integer_value(json_object_get(cell, "fold")) == rate->fold && waits(cell);
}

/* lr: NULL: the cells are left out. */
static void settle(Experiment *experiment, const TriedRate *rate, json_t *lr) {
  json_t *cells = json_object_get(experiment->document, "cells");
  for (size_t i = json_array_size(cells); i-- > 0;) {
    json_t *cell = json_array_get(cells, i);
    if (!cell_is_of(cell, rate)) continue;
    if (lr)
      json_object_set(json_object_get(cell, "config"), "lr", lr);
    else
      json_array_remove(cells, i);
  }
}

static void say_lost(const Experiment *experiment, const TriedRate *rate) {
  const json_t *rows = json_object_get(experiment->document, "rows");
  const json_t *row = json_array_get(rows, (size_t)rate->position);
  fprintf(stderr,
          "harness: %s: none of its tries of rates ended well, so it has no rate and no trials in "
          "fold %d; `harness runs list` shows them, --retry all runs them again\n",
          json_string_value(json_object_get(row, "key")), rate->fold);
}

static void choose_group(Experiment *experiment, const Experiment *tries, const TriedRate *rate,
                         int rates, bool quiet, Tuning *tuning) {
  int open = 0, choice = tries_choice(rate, rates);
  for (int i = 0; i < rates; i++) {
    open += rate[i].open;
    tuning->tries += rate[i].tries;
  }
  tuning->open += open;
  if (open) return;
  tuning->lost += choice < 0;
  if (choice < 0 && !quiet) say_lost(experiment, rate);
  settle(experiment, rate, choice < 0 ? NULL : rate_of(tries, &rate[choice]));
}

bool tuning_choose(Experiment *experiment, const Experiment *tries, Store *store, bool quiet,
                   Tuning *tuning, Error *error) {
  size_t room = (size_t)tries->trials + 1;
  Try *list = calloc(room, sizeof *list);
  TriedRate *rate = calloc(room, sizeof *rate);
  CHECK(list && rate, "no memory for %d tries", tries->trials);
  bool good = read_tries(tries, store, list, error);
  int rates = good ? tries_rates(list, tries->trials, rate) : 0;
  for (int first = 0, same; first < rates; first += same) {
    same = tries_group(&rate[first], rates - first);
    choose_group(experiment, tries, &rate[first], same, quiet, tuning);
  }
  free(list);
  free(rate);
  return good;
}

/* Equal rows have equal tries, and so, whichever rate these choose, the same trials. */
bool tuning_drop(Experiment *experiment, json_t *seen, int *dropped, Error *error) {
  json_t *cells = json_object_get(experiment->document, "cells");
  size_t before = json_object_size(seen);
  for (size_t i = json_array_size(cells); i-- > 0;) {
    char hash[HASH_BYTES];
    const json_t *cell = json_array_get(cells, i);
    if (!waits(cell)) continue;
    if (!trial_hash(json_object_get(cell, "config"), experiment->data_hash, hash, error))
      return false;
    json_object_set_new(seen, hash, json_true());
    json_array_remove(cells, i);
  }
  *dropped += (int)(json_object_size(seen) - before);
  return true;
}
