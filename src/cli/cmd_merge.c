/* harness merge: joins databases of other machines, or of a sweep's shards, into one. */
#include <string.h>

#include "src/cli/bring.h"
#include "src/cli/cli.h"

enum { FILES_MAX = 4096 };

typedef struct Files {
  const char *name[FILES_MAX];
  int count;
} Files;

static bool take(int key, char *value, void *user, Error *error) {
  Files *files = user;
  (void)key;
  if (files->count == FILES_MAX) return fail(error, "at most %d files are joined", FILES_MAX);
  files->name[files->count++] = value;
  return true;
}

static const Cli cli = {
    "merge",
    "DATABASE ...",
    "  harness merge node1/results/harness.db node2/results/harness.db\n"
    "  harness merge old.db --db results/harness.db\n",
    "Joins other databases into this one: trials, their attempts and figures, tables, benches; "
    "their logs and weights are linked or copied beside it. The others are only read, also while "
    "programs write them: what runs is left for the next time. What is there already is left as it "
    "is, so the same again changes nothing. Of a trial that both have, all attempts are kept, and "
    "the one that came last counts.",
    (const struct argp_option[]){{0}},
    take};

static const char *plural(int count) {
  return count == 1 ? "" : "s";
}

static void tell(const char *file, const MergeCount *count) {
  printf("%s: %d attempt%s of %d trial%s", file, count->attempts, plural(count->attempts),
         count->trials, plural(count->trials));
  if (count->plans) printf(", %d table%s", count->plans, plural(count->plans));
  if (count->running) printf("; %d still run%s", count->running, count->running == 1 ? "s" : "");
  if (count->decided)
    printf("; of %d trial%s there was a figure, now the one that came counts", count->decided,
           plural(count->decided));
  putchar('\n');
}

/* One file after the other: of what is joined nothing is lost when the next cannot be. */
static bool join(Store *store, const Common *common, const char *file) {
  Error error = {""};
  MergeCount count;
  bool ended = store_lock_holder(file) == 0;
  bool good = bring_database(store, file, ended, NULL, &count, &error);
  if (!good) cli_error(EXIT_UNFIT, &error);
  if (good && !common->quiet) tell(file, &count);
  return good;
}

int command_merge(int argc, char **argv) {
  Common common;
  static Files files;
  Error error = {""};
  Store *store;
  cli_parse(&cli, argc, argv, &common, &files);
  if (files.count == 0) {
    fail(&error,
         "harness merge needs the databases that are joined into %s, such as "
         "node1/results/harness.db",
         common.db);
    return cli_error(EXIT_USAGE, &error);
  }
  if (!store_open(&store, common.db, STORE_WRITE, &error)) return cli_error(EXIT_UNFIT, &error);
  bool good = true;
  for (int i = 0; i < files.count; i++) good = join(store, &common, files.name[i]) && good;
  store_close(store);
  return good ? EXIT_DONE : EXIT_UNFIT;
}
