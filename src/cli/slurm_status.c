/* What sweeps on a cluster have come to, and how one is stopped. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/paths.h"
#include "src/cli/slurm.h"
#include "src/machine/document.h"

/* ---- folders --------------------------------------------------------------------------------- */

static int is_visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

json_t *slurm_names(const char *folder) {
  struct dirent **entry;
  json_t *names = json_array();
  int count = scandir(folder, &entry, is_visible, alphasort);
  for (int i = 0; i < count; i++) {
    json_array_append_new(names, json_string(entry[i]->d_name));
    free(entry[i]);
  }
  if (count >= 0) free(entry);
  return names;
}

static json_t *names_in(const char *folder, const char *name) {
  char *path = path_join(folder, name);
  json_t *names = slurm_names(path);
  free(path);
  return names;
}

char *slurm_root(const char *db) {
  const char *slash = strrchr(db, '/');
  char *folder = slash ? strndup(db, (size_t)(slash - db)) : strdup(".");
  CHECK(folder, "no memory for a path");
  char *there = realpath(folder, NULL), *root = path_join(there ? there : folder, "slurm");
  free(folder);
  free(there);
  return root;
}

json_t *slurm_sweeps(const char *root, const char *word, Error *error) {
  json_t *all = slurm_names(root), *found = json_array(), *name;
  size_t i, length = word ? strlen(word) : 0;
  json_array_foreach(all, i, name) {
    if (!strncmp(json_string_value(name), word ? word : "", length)) json_array_append(found, name);
  }
  size_t count = json_array_size(all);
  json_decref(all);
  if (json_array_size(found)) return found;
  json_decref(found);
  if (word && count)
    fail(error, "%s: no sweep's name begins with \"%s\"; `harness slurm status` lists them", root,
         word);
  else
    fail(error, "%s: nothing was submitted from here; `harness slurm FILE` does that", root);
  return NULL;
}

int slurm_open_tasks(SlurmSite *site) {
  json_t *arrays = names_in(site->folder, "arrays"), *array;
  size_t i;
  int sum = 0;
  json_array_foreach(arrays, i, array) {
    int count = slurm_queued(site, json_string_value(array));
    sum = count < 0 || sum < 0 ? -1 : sum + count;
  }
  json_decref(arrays);
  return sum;
}

/* ---- status ---------------------------------------------------------------------------------- */

/* {"label", "worker", "host", "state"} of the unit's last claim. */
static json_t *claim_of(SlurmSite *site, const char *unit, const ClaimState *state) {
  json_t *claim = claims_read(site->folder, unit, state->taken - 1);
  json_object_del(claim, "trials");
  json_object_set_new(claim, "taken", json_integer(state->taken));
  return claim;
}

static void count_up(json_t *of, const char *key) {
  json_object_set_new(of, key, json_integer(json_integer_value(json_object_get(of, key)) + 1));
}

static void add_unit(SlurmSite *site, const Claims *claims, const json_t *unit, json_t *status) {
  const char *name = json_string_value(json_object_get(unit, "name"));
  ClaimState state;
  Error error = {""};
  if (!claims_look(claims, name, &state, &error)) {
    json_array_append_new(json_object_get(status, "faults"), json_string(error.text));
    return;
  }
  count_up(status, state.done       ? "done"
                   : state.held     ? "running"
                   : state.given_up ? "given_up"
                                    : "open");
  if (state.held)
    json_array_append_new(json_object_get(status, "now"), claim_of(site, name, &state));
  if (state.given_up)
    json_array_append(json_object_get(status, "left"), json_object_get(unit, "label"));
}

static json_t *status_of(SlurmSite *site, const char *name, Error *error) {
  json_t *plan = slurm_plan(site->folder, error), *unit;
  size_t i;
  if (!plan) return NULL;
  const Claims claims = {.folder = site->folder, .worker = "", .lives = slurm_lives, .user = site};
  json_t *status =
      json_pack("{s:s,s:s,s:i,s:i,s:i,s:i,s:[],s:[],s:[]}", "sweep", name, "folder", site->folder,
                "done", 0, "running", 0, "open", 0, "given_up", 0, "now", "left", "faults");
  json_array_foreach(json_object_get(plan, "units"), i, unit) {
    add_unit(site, &claims, unit, status);
  }
  int queued = slurm_open_tasks(site);
  json_object_set_new(status, "arrays", names_in(site->folder, "arrays"));
  json_object_set_new(status, "queued", queued < 0 ? json_null() : json_integer(queued));
  json_decref(plan);
  return status;
}

static int number_of(const json_t *status, const char *key) {
  return (int)json_integer_value(json_object_get(status, key));
}

static const char *word_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "?";
}

static void print_tasks(const json_t *status) {
  const json_t *queued = json_object_get(status, "queued"), *arrays, *array;
  size_t i;
  arrays = json_object_get(status, "arrays");
  fputs("  job", stdout);
  json_array_foreach(arrays, i, array) printf(" %s", json_string_value(array));
  if (json_is_null(queued))
    puts(": the queue does not answer, so what runs is not known");
  else
    printf(": %d task%s in the queue\n", number_of(status, "queued"),
           number_of(status, "queued") == 1 ? "" : "s");
}

static void print_status(const json_t *status) {
  const json_t *one;
  size_t i;
  int open = number_of(status, "open"), left = number_of(status, "given_up");
  printf("%s: %d done, %d running, %d open", word_of(status, "sweep"), number_of(status, "done"),
         number_of(status, "running"), open);
  printf(left ? ", %d given up\n" : "\n", left);
  print_tasks(status);
  json_array_foreach(json_object_get(status, "now"), i, one) {
    printf("  %-12s %s on %s", word_of(one, "worker"), word_of(one, "label"), word_of(one, "host"));
    if (number_of(one, "taken") > 1) printf(", the %dth that took it", number_of(one, "taken"));
    putchar('\n');
  }
  json_array_foreach(json_object_get(status, "left"), i, one)
      printf("  given up: %d workers died of %s; their output is in log/\n", CLAIM_DEATHS,
             json_string_value(one));
  json_array_foreach(json_object_get(status, "faults"), i, one)
      printf("  %s\n", json_string_value(one));
  const json_t *queued = json_object_get(status, "queued");
  if (json_is_integer(queued) && number_of(status, "queued") == 0)
    puts(open + left ? "  the same `harness slurm` command submits what is open"
                     : "  the same `harness slurm` command joins it, and prints the table");
}

int slurm_status(const char *root, const json_t *sweeps, bool json, Error *error) {
  json_t *all = json_array(), *name;
  size_t i;
  bool good = true;
  json_array_foreach((json_t *)sweeps, i, name) {
    SlurmSite site;
    char *folder = path_join(root, json_string_value(name));
    slurm_site(&site, folder, false);
    json_t *status = good ? status_of(&site, json_string_value(name), error) : NULL;
    good = status != NULL;
    if (good) json_array_append_new(all, status);
    slurm_site_free(&site);
    free(folder);
    if (!good) break;
    if (!json) print_status(status);
  }
  if (good && json)
    document_print(document_make("slurm", (DocumentOf){0}, json_pack("{s:O}", "sweeps", all)),
                   stdout);
  json_decref(all);
  return good ? EXIT_DONE : cli_error(EXIT_UNFIT, error);
}

/* ---- cancel ---------------------------------------------------------------------------------- */

static bool cancel(SlurmSite *site, bool quiet, Error *error) {
  json_t *arrays = names_in(site->folder, "arrays"), *array;
  size_t i;
  bool good = true;
  json_array_foreach(arrays, i, array) {
    const char *id = json_string_value(array);
    if (slurm_queued(site, id) == 0) continue;
    const char *const argv[] = {"scancel", id, NULL};
    char *answer = slurm_command(argv, error);
    good = good && answer;
    if (answer && !quiet) printf("job %s of %s: cancelled\n", id, strrchr(site->folder, '/') + 1);
    free(answer);
  }
  json_decref(arrays);
  return good;
}

int slurm_cancel(const char *root, const json_t *sweeps, bool quiet, Error *error) {
  json_t *name;
  size_t i;
  bool good = true;
  json_array_foreach((json_t *)sweeps, i, name) {
    SlurmSite site;
    char *folder = path_join(root, json_string_value(name));
    slurm_site(&site, folder, false);
    good = cancel(&site, quiet, error) && good;
    slurm_site_free(&site);
    free(folder);
  }
  return good ? EXIT_DONE : cli_error(EXIT_UNFIT, error);
}
