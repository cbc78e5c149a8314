/* What the workers of a sweep have made becomes part of the user's database. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/paths.h"
#include "src/cli/bring.h"
#include "src/cli/slurm.h"

/* What is done: objects of claims.h, read once. */
static json_t *read_done(const char *folder) {
  char *path = path_join(folder, "done");
  json_t *names = slurm_names(path), *name, *list = json_array();
  size_t i;
  free(path);
  json_array_foreach(names, i, name) {
    json_t *done = claims_read(folder, json_string_value(name), -1);
    if (done) json_array_append_new(list, done);
  }
  json_decref(names);
  return list;
}

/* Trials that this worker was done with after another: what it had of them is kept and does not
 * count. Of one with several turns it may have been first in one. */
static json_t *overruled_of(const json_t *done, const char *worker) {
  json_t *own = json_object(), *others = json_object(), *list = json_array(), *one, *trial, *value;
  const char *hash;
  size_t i, k;
  json_array_foreach(done, i, one) {
    const char *by = json_string_value(json_object_get(one, "worker"));
    json_t *side = by && !strcmp(by, worker) ? own : others;
    json_array_foreach(json_object_get(one, "trials"), k, trial) {
      json_object_set_new(side, json_string_value(trial), json_true());
    }
  }
  json_object_foreach(others, hash, value) {
    if (!json_object_get(own, hash)) json_array_append_new(list, json_string(hash));
  }
  json_decref(own);
  json_decref(others);
  return list;
}

static bool join_shard(Store *store, SlurmSite *site, const char *worker, const json_t *done,
                       MergeCount *sum, Error *error) {
  char path[4600];
  MergeCount count;
  snprintf(path, sizeof path, "%.4000s/shards/%.160s/harness.db", site->folder, worker);
  if (access(path, F_OK)) return true; /* it has not begun */
  bool ended = !slurm_lives(site, worker);
  json_t *overruled = overruled_of(done, worker);
  bool good = bring_database(store, path, ended, overruled, &count, error);
  json_decref(overruled);
  sum->attempts += count.attempts, sum->trials += count.trials, sum->running += count.running;
  return good;
}

static int restart_of(const json_t *worker) {
  const char *dot = strrchr(json_string_value(worker), '.');
  return dot ? atoi(dot + 1) : 0;
}

/* Those that were started again come later, so that attempts are numbered as they were made. */
bool slurm_join(Store *store, SlurmSite *site, MergeCount *sum, Error *error) {
  char *path = path_join(site->folder, "shards");
  json_t *workers = slurm_names(path), *done = read_done(site->folder), *worker;
  size_t i;
  int last = 0;
  *sum = (MergeCount){0};
  json_array_foreach(workers, i, worker) {
    if (restart_of(worker) > last) last = restart_of(worker);
  }
  bool good = true;
  for (int restart = 0; restart <= last; restart++) json_array_foreach(workers, i, worker) {
      Error own = {""};
      if (restart_of(worker) != restart ||
          join_shard(store, site, json_string_value(worker), done, sum, &own))
        continue;
      fprintf(stderr, "harness: not joined: %s\n", own.text);
      good = false;
    }
  json_decref(workers);
  json_decref(done);
  free(path);
  return good || fail(error,
                      "%s: not all of what the workers made could be joined (above: why); "
                      "nothing is lost, the same command tries again",
                      site->folder);
}
