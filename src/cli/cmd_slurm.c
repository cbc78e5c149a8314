/* harness slurm: a sweep on a Slurm cluster. */
#include <string.h>

#include "src/cli/slurm.h"

enum {
  KEY_PARTITION = 'p',
  KEY_TIME = 't',
  KEY_DRY = 'n',
  KEY_GRES = 1,
  KEY_MOST,
  KEY_SETUP,
  KEY_CONTAINER,
  KEY_SBATCH,
  KEY_RETRY,
  KEY_JSON
};

/* ---- submitting ------------------------------------------------------------------------------ */

static const struct argp_option options[] = {
    {"partition", KEY_PARTITION, "NAME", 0, "Of the cluster", 0},
    {"gres", KEY_GRES, "WHAT", 0,
     "Of each task: gpu:1. With a GPU trials compute on it (device=cpu: not)", 0},
    {"time", KEY_TIME, "LIMIT", 0,
     "Of each task, as sbatch takes it: 4:00:00. What is not done by then is saved, and the task "
     "queues again",
     0},
    {"max", KEY_MOST, "N", 0, "At most so many tasks (default: one for each trial)", 0},
    {"setup", KEY_SETUP, "SHELL", 0, "What a task's shell does first: \"module load cuda\"", 0},
    {"container", KEY_CONTAINER, "COMMAND", 0,
     "What the program runs under: \"apptainer exec --nv harness.sif\"", 0},
    {"sbatch", KEY_SBATCH, "ARGUMENT", 0,
     "One more of sbatch's, such as --sbatch=--mem=16G; may be given more than once", 0},
    {"retry", KEY_RETRY, "CLASS,...", 0, "Run again what ended so; as of `harness run`", 0},
    {"dry-run", KEY_DRY, 0, 0, "Show what would run and the job; change nothing", 0},
    CLI_PART("status", "What sweeps have come to"),
    CLI_PART("merge", "Joins what tasks have come to, also while they run"),
    CLI_PART("cancel", "Takes a sweep's jobs out of the queue"),
    CLI_PART("work", "What a task's script calls"),
    {0}};

static bool take(int key, char *value, void *user, Error *error) {
  Slurm *slurm = user;
  double number;
  if (key == ' ') return run_operand(value, &slurm->run, error);
  if (key == KEY_RETRY) return run_retry(value, &slurm->run, error);
  if (key == KEY_PARTITION) slurm->partition = value;
  if (key == KEY_GRES) slurm->gres = value;
  if (key == KEY_TIME) slurm->time = value;
  if (key == KEY_SETUP) slurm->setup = value;
  if (key == KEY_CONTAINER) slurm->container = value;
  if (key == KEY_DRY) slurm->run.dry_run = true;
  if (key == KEY_MOST) {
    if (!cli_number("--max", value, 1, &number, error)) return false;
    slurm->most = (int)number;
  }
  if (key == KEY_SBATCH) {
    if (slurm->arguments == SLURM_ARGUMENTS)
      return fail(error, "--sbatch: at most %d are taken", SLURM_ARGUMENTS);
    slurm->sbatch[slurm->arguments++] = value;
  }
  return true;
}

static const Cli cli = {
    "slurm",
    "FILE [key=value ...]",
    "  harness slurm experiments/query_count.lua scale=paper --gres gpu:1 --time 8:00:00\n"
    "  harness slurm experiments/all.lua --partition short --max 20 --dry-run\n"
    "  harness slurm status            (also: merge, cancel; [SWEEP])\n",
    "Submits what an experiment still lacks as one array job of a Slurm cluster, and ends: its "
    "tasks "
    "pull trials, longest first, until none is left. The same command again joins what they came "
    "to "
    "and submits what is missing; when nothing is, it prints the table. The folder of the database "
    "must lie on a disk that the nodes see. Keys are those of `harness run`; docs/slurm.md says "
    "more.",
    options,
    take};

/* A GPU that is asked for is to be used, unless it is typed otherwise. */
static void choose_device(Slurm *slurm) {
  static char cuda[] = "device=cuda";
  Run *run = &slurm->run;
  bool typed = false;
  for (int i = 0; i < run->overrides; i++)
    typed = typed || !strncmp(run->override[i], "device=", 7);
  if (slurm->gres && !strncmp(slurm->gres, "gpu", 3) && !typed)
    run->override[run->overrides++] = cuda;
}

static int submit(int argc, char **argv) {
  Slurm slurm = {.run = run_defaults()};
  Error error = {""};
  cli_parse(&cli, argc, argv, &slurm.run.common, &slurm);
  if (!slurm.run.file) {
    fail(&error, "harness slurm needs an experiment, such as experiments/query_count.lua, or one "
                 "of status, merge and cancel");
    return cli_error(EXIT_USAGE, &error);
  }
  choose_device(&slurm);
  slurm.run.hand_out = slurm_hand_out;
  slurm.run.dry = slurm_dry;
  return run_file(&slurm.run);
}

/* ---- looking --------------------------------------------------------------------------------- */

typedef struct Choice {
  const char *word; /* how a sweep's name begins; NULL: all */
  bool json;
} Choice;

static bool take_choice(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  (void)error;
  if (key == KEY_JSON) choice->json = true;
  if (key == KEY_JSON) return true;
  if (choice->word) return false;
  choice->word = value;
  return true;
}

typedef struct Part {
  const char *name;
  int (*work)(const Common *common, const Choice *choice, Error *error);
  Cli cli;
} Part;

static int status(const Common *common, const Choice *choice, Error *error) {
  char *root = slurm_root(common->db);
  json_t *sweeps = slurm_sweeps(root, choice->word, error);
  int code =
      sweeps ? slurm_status(root, sweeps, choice->json, error) : cli_error(EXIT_NOTHING, error);
  json_decref(sweeps);
  free(root);
  return code;
}

static int cancel(const Common *common, const Choice *choice, Error *error) {
  char *root = slurm_root(common->db);
  json_t *sweeps = slurm_sweeps(root, choice->word, error);
  int code =
      sweeps ? slurm_cancel(root, sweeps, common->quiet, error) : cli_error(EXIT_NOTHING, error);
  json_decref(sweeps);
  free(root);
  return code;
}

static bool join_all(Store *store, const char *root, const json_t *sweeps, bool quiet,
                     Error *error) {
  json_t *name;
  size_t i;
  bool good = true;
  json_array_foreach((json_t *)sweeps, i, name) {
    SlurmSite site;
    MergeCount count;
    Error own = {""};
    char folder[4600];
    snprintf(folder, sizeof folder, "%.4000s/%.400s", root, json_string_value(name));
    slurm_site(&site, folder, false);
    if (!slurm_join(store, &site, &count, &own)) good = fail(error, "%s", own.text);
    slurm_site_free(&site);
    if (!quiet)
      printf("%s: %d attempt%s of %d trial%s joined, %d running\n", json_string_value(name),
             count.attempts, count.attempts == 1 ? "" : "s", count.trials,
             count.trials == 1 ? "" : "s", count.running);
  }
  return good;
}

static int merge(const Common *common, const Choice *choice, Error *error) {
  char *root = slurm_root(common->db);
  Store *store = NULL;
  json_t *sweeps = slurm_sweeps(root, choice->word, error);
  bool good = sweeps && store_open(&store, common->db, STORE_WRITE, error) &&
              join_all(store, root, sweeps, common->quiet, error);
  int code = good ? EXIT_DONE : cli_error(sweeps ? EXIT_UNFIT : EXIT_NOTHING, error);
  store_close(store);
  json_decref(sweeps);
  free(root);
  return code;
}

static int work(const Common *common, const Choice *choice, Error *error) {
  if (choice->word) return slurm_work(common, choice->word, error);
  fail(error, "harness slurm work needs the folder of a sweep; a job's script calls it");
  return cli_error(EXIT_USAGE, error);
}

static const struct argp_option none[] = {{0}};
static const struct argp_option json_options[] = {{"json", KEY_JSON, 0, 0, "One JSON document", 0},
                                                  {0}};
#define SWEEP " SWEEP: how its name begins (without: all)."

static const Part parts[] = {
    {"status",
     status,
     {"slurm status", "[SWEEP]",
      "  harness slurm status\n  harness slurm status query_count --json\n",
      "Shows what sweeps on the cluster have come to, and who runs what." SWEEP, json_options,
      take_choice}},
    {"merge",
     merge,
     {"slurm merge", "[SWEEP]", "  harness slurm merge\n  harness slurm merge query_count\n",
      "Joins what the tasks have come to into the database, also while they run." SWEEP, none,
      take_choice}},
    {"cancel",
     cancel,
     {"slurm cancel", "[SWEEP]",
      "  harness slurm cancel query_count\n  harness slurm cancel --quiet\n",
      "Takes jobs out of the queue. What runs is saved; the same `harness slurm` command goes "
      "on." SWEEP,
      none, take_choice}},
    {"work",
     work,
     {"slurm work", "FOLDER", "  harness slurm work results/slurm/query_count-1a2b3c4d\n",
      "Pulls trials of a sweep until none is left: what a task's script calls.", none,
      take_choice}},
};

int command_slurm(int argc, char **argv) {
  const char *word = argc > 1 ? argv[1] : "";
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    if (strcmp(word, parts[i].name)) continue;
    Common common;
    Choice choice = {.word = NULL};
    Error error = {""};
    cli_parse(&parts[i].cli, argc - 1, argv + 1, &common, &choice);
    return parts[i].work(&common, &choice, &error);
  }
  return submit(argc, argv);
}
