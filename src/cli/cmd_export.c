/* harness export: figures case by case. */
#include <string.h>

#include "base/nearest.h"
#include "src/cli/cli.h"
#include "src/cli/printed.h"
#include "src/report/export.h"

typedef struct Choice {
  ResultChoice result;
  const char *number; /* of a table of the paper that is named before it */
  const char *output;
  ExportForm form;
} Choice;

enum { KEY_FORMAT = 1, KEY_SCALE, KEY_DATASET, KEY_DEVICE, KEY_METRIC, KEY_RUN };

static const struct argp_option options[] = {
    {"format", KEY_FORMAT, "NAME", 0, "csv (default) or jsonl: a JSON document a line", 0},
    {"metric", KEY_METRIC, "NAME", 0, "Only this one, as dice or hd95", 0},
    {"scale", KEY_SCALE, "NAME", 0, "Of the results at this scale", 0},
    {"dataset", KEY_DATASET, "NAME", 0, "Of the results on this data set", 0},
    {"device", KEY_DEVICE, "NAME", 0, "Of the results from this device", 0},
    {"run", KEY_RUN, "N", 0, "Of this run, as `table NAME --list` numbers them", 0},
    {"output", 'o', "FILE", 0, "Write there (-: standard output)", 0},
    {0}};

static bool take_form(const char *value, ExportForm *form, Error *error) {
  for (int i = 0; i < EXPORT_FORMS; i++) {
    if (strcmp(value, export_forms[i]) != 0) continue;
    *form = (ExportForm)i;
    return true;
  }
  return fail(error, "--format \"%s\" is none of csv and jsonl%s", value,
              nearest_hint(value, export_forms, EXPORT_FORMS, NULL).text);
}

static bool take(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  double run = 0;
  if (key == ' ' && choice->number) return false;
  if (key == ' ' && choice->result.what) choice->number = value;
  if (key == ' ' && !choice->result.what) choice->result.what = value;
  if (key == KEY_SCALE) choice->result.scale = value;
  if (key == KEY_DATASET) choice->result.dataset = value;
  if (key == KEY_DEVICE) choice->result.device = value;
  if (key == KEY_METRIC) choice->result.metric = value;
  if (key == 'o') choice->output = value;
  if (key == KEY_RUN && !cli_number("--run", value, 1, &run, error)) return false;
  if (key == KEY_RUN) choice->result.plan_id = (int64_t)run;
  return key != KEY_FORMAT || take_form(value, &choice->form, error);
}

static const Cli cli = {
    "export",
    "[[PAPER] N|EXPERIMENT]",
    "  harness export 6 > figures.csv\n  harness export query_count --format jsonl -o "
    "figures.jsonl\n  harness export --metric hd95\n",
    "Prints what is stored case by case, for statistics elsewhere: a line per row of the table, "
    "trial, case, structure and metric, with its unit and situation (both, missed, "
    "false_positive, absent: then there is no value), of the attempts that count. Without a word "
    "of all experiments. A figure that stands in several runs of a table is there once; --run "
    "takes one run's alone. Exit code 5 when nothing is stored.",
    options,
    take};

/* Nothing of the name where what is written would be half. */
static int write(Store *store, const Choice *choice, Error *error) {
  bool to_file = choice->output && strcmp(choice->output, "-");
  FILE *out = to_file ? fopen(choice->output, "w") : stdout;
  int64_t lines = 0;
  if (!out) fail(error, "%s: cannot be written", choice->output);
  bool good = out && export_write(store, &choice->result, choice->form, out, &lines, error);
  if (out && to_file && fclose(out) && good)
    good = fail(error, "%s: could not be written whole", choice->output);
  if (good && !lines) fail(error, "%s: no such figure is stored", store_path(store));
  if (to_file && out && (!good || !lines)) remove(choice->output);
  return !good ? EXIT_UNFIT : lines ? EXIT_DONE : EXIT_NOTHING;
}

int command_export(int argc, char **argv) {
  Common common;
  Choice choice = {.form = EXPORT_CSV};
  Printed paper = {0};
  Error error = {""};
  Store *store = NULL;
  int code = EXIT_UNFIT;
  cli_parse(&cli, argc, argv, &common, &choice);
  if (choice.result.what &&
      !printed_find(&paper, common.home, &choice.result, choice.number, false, false, &error)) {
    code = EXIT_USAGE;
  } else if (!store_exists(common.db)) {
    fail(&error, "%s: nothing is stored yet; `harness run FILE` makes results", common.db);
    code = EXIT_NOTHING;
  } else if (store_open(&store, common.db, STORE_READ, &error)) {
    code = write(store, &choice, &error);
  }
  if (code == EXIT_NOTHING && choice.result.what) printed_hint(&paper, &choice.result, &error);
  store_close(store);
  printed_free(&paper);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}
