/* harness runs list|show|logs|diff|tag|note|rm: looking at what is stored, trial by trial. */
#include <string.h>

#include "src/cli/cli.h"
#include "src/cli/runs.h"
#include "src/cli/trial_log.h"

enum { KEY_JSON = 1, KEY_STATUS, KEY_EXPERIMENT, KEY_SORT, KEY_TAG, KEY_REMOVE };

static const struct argp_option list_options[] = {
    {"status", KEY_STATUS, "NAME", 0, "Only trials in this state", 0},
    {"experiment", KEY_EXPERIMENT, "NAME", 0, "Only trials of this experiment", 0},
    {"sort", KEY_SORT, "NAME", 0, "By figure, wall or attempts, the largest first", 0},
    {"tag", KEY_TAG, "WORD", 0, "Only trials that `runs tag` gave this word", 0},
    {"json", KEY_JSON, 0, 0, "One JSON document", 0},
    {0}};
static const struct argp_option remark_options[] = {{"remove", KEY_REMOVE, 0, 0, "Take it back", 0},
                                                    {0}};
static const struct argp_option show_options[] = {{"json", KEY_JSON, 0, 0, "One JSON document", 0},
                                                  {0}};
static const struct argp_option no_options[] = {{0}};

static bool take(int key, char *value, void *user, Error *error) {
  RunsChoice *choice = user;
  Status status;
  if (key == ' ' && choice->trials == choice->most) return false;
  if (key == ' ') choice->trial[choice->trials++] = value;
  if (key == KEY_JSON) choice->json = true;
  if (key == KEY_REMOVE) choice->remove = true;
  if (key == KEY_TAG) choice->tag = value;
  if (key == KEY_EXPERIMENT) choice->experiment = value;
  if (key == KEY_STATUS) choice->status = value;
  if (key == KEY_SORT) choice->sort = value;
  if (key == KEY_SORT && strcmp(value, "figure") && strcmp(value, "wall") &&
      strcmp(value, "attempts"))
    return fail(error, "--sort is figure, wall or attempts, not \"%s\"", value);
  if (key != KEY_STATUS || status_parse(value, &status)) return true;
  return fail(error,
              "--status does not know \"%s\"; known: planned, running, done, failed, oom, "
              "collapsed, interrupted, timeout",
              value);
}

static int logs(Store *store, const RunsChoice *choice, Error *error) {
  return trial_log(store, choice->trial[0], stdout, error) ? EXIT_DONE : EXIT_NOTHING;
}

static int take_back(Store *store, const RunsChoice *choice, Error *error) {
  for (int i = 0; i < choice->trials; i++) {
    if (!store_remove(store, choice->trial[i], error)) return EXIT_NOTHING;
    fprintf(stderr, "harness: %s no longer counts; the next run does it again\n", choice->trial[i]);
  }
  return EXIT_DONE;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

typedef struct Part {
  const char *name;
  int least, most; /* trials it takes */
  StoreMode mode;
  int (*work)(Store *store, const RunsChoice *choice, Error *error);
  Cli cli;
} Part;

static const Part parts[] = {
    {"list",
     0,
     0,
     STORE_READ,
     runs_list,
     {"runs list", "", "  harness runs list\n  harness runs list --sort figure\n",
      "Lists trials with their state and figure (the mean of the metric over cases, then over "
      "structures).",
      list_options, take}},
    {"show",
     1,
     1,
     STORE_READ,
     runs_show,
     {"runs show", "TRIAL", "  harness runs show 1a2b3c4d\n  harness runs show 1a2b3c4d --json\n",
      "Shows a trial's configuration, attempts, environment, figures, and the Lua files that its "
      "model came from (with --json their texts).",
      show_options, take}},
    {"logs",
     1,
     1,
     STORE_READ,
     logs,
     {"runs logs", "TRIAL", "  harness runs logs 1a2b3c4d\n  harness runs logs 1a2b | tail\n",
      "Prints what a trial's latest attempt said, from its start to its end.", no_options, take}},
    {"diff",
     2,
     2,
     STORE_READ,
     runs_diff,
     {"runs diff", "TRIAL TRIAL",
      "  harness runs diff 1a2b3c4d 5e6f7a8b\n  harness runs diff 1a2b 5e6f\n",
      "Shows in what two trials differ.", no_options, take}},
    {"tag",
     2,
     RUNS_TRIALS,
     STORE_WRITE,
     runs_tag,
     {"runs tag", "TRIAL WORD ...",
      "  harness runs tag 1a2b3c4d camera-ready\n  harness runs list --tag camera-ready\n",
      "Gives a trial words by which `runs list --tag` finds it.", remark_options, take}},
    {"note",
     2,
     2,
     STORE_WRITE,
     runs_note,
     {"runs note", "TRIAL TEXT",
      "  harness runs note 1a2b3c4d 'loss spikes at step 300'\n  harness runs note 1a2b TEXT "
      "--remove\n",
      "Keeps a sentence about a trial, which `runs show` prints.", remark_options, take}},
    {"rm",
     1,
     RUNS_TRIALS,
     STORE_WRITE,
     take_back,
     {"runs rm", "TRIAL ...", "  harness runs rm 1a2b3c4d\n  harness runs rm 1a2b3c4d 5e6f7a8b\n",
      "Takes trials back: their attempts no longer count and the next run does them again. "
      "Nothing is erased.",
      no_options, take}},
};
enum { PARTS = sizeof parts / sizeof parts[0] };

static int work(const Part *part, int argc, char **argv) {
  Common common;
  RunsChoice choice = {.most = part->most};
  Error error = {""};
  Store *store;
  cli_parse(&part->cli, argc, argv, &common, &choice);
  if (choice.trials < part->least) {
    fail(&error, "harness %s needs %s; `harness runs list` prints the trials", part->cli.name,
         part->cli.operands);
    return cli_error(EXIT_USAGE, &error);
  }
  if (!store_exists(common.db)) {
    fail(&error, "%s: nothing is stored yet; `harness run FILE` makes results", common.db);
    return cli_error(EXIT_NOTHING, &error);
  }
  if (!store_open(&store, common.db, part->mode, &error)) return cli_error(EXIT_UNFIT, &error);
  choice.home = common.home;
  int code = part->work(store, &choice, &error);
  store_close(store);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}

int command_runs(int argc, char **argv) {
  static const char usage[] =
      "Examples:\n  harness runs list\n  harness runs show 1a2b3c4d\n\n"
      "Usage: harness runs list|show|logs|diff|tag|note|rm [options] [TRIAL ...]\n"
      "`harness runs list --help` and so on say more.\n";
  const char *names[PARTS], *word = argc > 1 ? argv[1] : "";
  for (int i = 0; i < PARTS; i++) {
    names[i] = parts[i].name;
    if (!strcmp(word, parts[i].name)) return work(&parts[i], argc - 1, argv + 1);
  }
  return cli_parts("runs", word, names, PARTS, usage);
}
