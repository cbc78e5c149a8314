/* harness table and harness plot: from the database alone. */
#include "src/report/table.h"

#include <string.h>

#include "base/nearest.h"
#include "base/paths.h"
#include "src/cli/cli.h"
#include "src/cli/experiment_files.h"
#include "src/cli/figures.h"
#include "src/cli/printed.h"
#include "src/cli/sweeps.h"
#include "src/data/metrics/metric.h"
#include "src/report/plot.h"
#include "src/store/bench_runs.h"

enum { OPTIONS_MAX = 16 };

typedef struct Choice {
  ResultChoice result;
  const char *number; /* of a table of the paper that is named before it */
  const char *format;
  const char *output;
  char *option[OPTIONS_MAX]; /* "steps=250": of the trials of the sweep that is shown */
  int options;
  bool list, paper_alone;
} Choice;

enum {
  KEY_FORMAT = 1,
  KEY_SCALE,
  KEY_DATASET,
  KEY_DEVICE,
  KEY_METRIC,
  KEY_JSON,
  KEY_LIST,
  KEY_PAPER,
  KEY_RUN
};

#define CHOICE_OPTIONS                                                                             \
  {"scale", KEY_SCALE, "NAME", 0, "Of the results at this scale", 0},                              \
      {"dataset", KEY_DATASET, "NAME", 0, "Of the results on this data set", 0}, {                 \
    "device", KEY_DEVICE, "NAME", 0, "Of the results from this device", 0                          \
  }

static const struct argp_option table_options[] = {
    {"format", KEY_FORMAT, "NAME", 0,
     "text (default), md, csv, json, tex or macros: numbers for TeX's running text", 0},
    {"json", KEY_JSON, 0, 0, "The same as --format json", 0},
    CHOICE_OPTIONS,
    {"metric", KEY_METRIC, "NAME", 0, "Another figure that trials store, without the paper's", 0},
    {"list", KEY_LIST, 0, 0,
     "All papers' tables, or those of one: what they hold, what repeats them; with a table or an "
     "experiment, its runs that are stored",
     0},
    {"run", KEY_RUN, "N", 0, "Of this run, as --list numbers them", 0},
    {"paper", KEY_PAPER, 0, 0, "What the paper prints alone, also where results are stored", 0},
    {"output", 'o', "FILE", 0, "Write there (-: standard output)", 0},
    {0}};

static const struct argp_option plot_options[] = {
    CHOICE_OPTIONS,
    {"output", 'o', "FOLDER", 0, "Write under FOLDER/plots, not beside the database", 0},
#define PLOT(id, word, of, caption)
#define FIGURE(id, word, experiment, caption) CLI_PART(word, caption),
#include "src/report/plots.def"
#undef PLOT
#undef FIGURE
    {0}};

static bool take_format(const char *value, Choice *choice, Error *error) {
  for (int i = 0; i < TABLE_FORMATS; i++)
    if (!strcmp(value, table_formats[i])) choice->format = table_formats[i];
  if (!strcmp(choice->format, value)) return true;
  return fail(error, "--format \"%s\" is none of text, md, csv, json, tex and macros%s", value,
              nearest_hint(value, table_formats, TABLE_FORMATS, NULL).text);
}

static bool take(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  bool taken = false;
  if (key == ' ' && !cli_cases(value, &choice->result.cases_fixed, &taken, error)) return false;
  if (taken) return true;
  if (key == ' ' && choice->result.what) return false;
  if (key == ' ') choice->result.what = value;
  for (char *at = value; key == ' ' && *at; at++)
    if (*at == '-') *at = '_'; /* memory-scale is experiments/memory_scale.lua */
  if (key == KEY_SCALE) choice->result.scale = value;
  if (key == KEY_DATASET) choice->result.dataset = value;
  if (key == KEY_DEVICE) choice->result.device = value;
  if (key == KEY_METRIC) choice->result.metric = value;
  if (key == KEY_JSON) choice->format = "json";
  if (key == 'o') choice->output = value;
  return key != KEY_FORMAT || take_format(value, choice, error);
}

static bool take_table(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  if (key == KEY_LIST) choice->list = true;
  if (key == KEY_PAPER) choice->paper_alone = true;
  double run = 0;
  if (key == KEY_RUN && !cli_number("--run", value, 1, &run, error)) return false;
  if (key == KEY_RUN) choice->result.plan_id = (int64_t)run;
  bool option = key == ' ' && strchr(value, '=') && strncmp(value, "cases=", 6);
  if (option && choice->options == OPTIONS_MAX) return fail(error, "too many options");
  if (option) choice->option[choice->options++] = value;
  if (option) return true;
  const char *first = choice->result.what; /* a number is of the paper that needs no name */
  bool paper = first && !choice->number && first[strspn(first, "0123456789")];
  if (key != ' ' || !paper || strchr(value, '=')) return take(key, value, user, error);
  choice->number = value;
  return true;
}

static const Cli table_cli = {
    "table",
    "[PAPER] N|EXPERIMENT|--list [cases=fixed] [key=value ...]",
    "  harness table 6\n  harness table 6 --list\n  harness table 6 steps=250\n  harness table "
    "masksam 4\n  harness table --list\n"
    "  harness table query_count --format tex --scale small\n",
    "Prints a table of a paper by its number (MaskMed's where none is named), or an experiment's "
    "by "
    "name: our figures from what is stored, beside the paper's. A named paper's table needs "
    "nothing "
    "stored; what contradicts it stands below it, with a mark at the figure. "
    "Results of different scales, data sets or devices never stand in one table; of several, the "
    "newest run's is shown, or --run N's, or the newest whose trials all have an option, as in "
    "steps=250. Intervals and verdicts are for new seeds and new cases; with "
    "cases=fixed "
    "for these cases only. Exit code 5 when nothing is stored. Trials store ", /* and which */
    table_options,
    take_table};

static const Cli plot_cli = {
    "plot",
    "[KIND] [NAME] [cases=fixed]",
    "  harness plot query_count\n  harness plot curves query_count\n"
    "  harness plot per-organ comparison\n  harness plot roofline\n"
    "  harness plot triptych\n  harness plot embeddings\n",
    "Draws an experiment (paper against measured, or what its plans cost), of the newest run where "
    "no name is given; or a KIND: %s. Writes a data file, a gnuplot script, an SVG and a PNG under "
    "plots/ beside the database, or with -o elsewhere, and prints the SVG's path.",
    plot_options,
    take};

static const char *stored(const MetricRow *row) {
  return row->stored;
}

/* Opens the database and loads the choice; returns EXIT_DONE with *result, or another code. */
static int load(const Common *common, const ResultChoice *choice, Store **store, Result **result,
                Error *error) {
  *result = NULL;
  ResultChoice here = *choice;
  here.home = common->home;
  if (!store_exists(common->db)) {
    fail(error, "%s: nothing is stored yet; `harness run FILE` makes results", common->db);
    return EXIT_NOTHING;
  }
  if (!store_open(store, common->db, STORE_READ, error) ||
      !result_load(*store, &here, result, error))
    return EXIT_UNFIT;
  if (*result) return EXIT_DONE;
  fail(error, "%s: nothing is stored for %s%s%s%s%s%s%s", common->db,
       choice->what ? choice->what : "any experiment", choice->scale ? ", scale " : "",
       choice->scale ? choice->scale : "", choice->dataset ? ", data set " : "",
       choice->dataset ? choice->dataset : "", choice->device ? ", device " : "",
       choice->device ? choice->device : "");
  return EXIT_NOTHING;
}

static void tell_others(const Result *result, const Common *common) {
  const json_t *other;
  size_t i;
  if (json_array_size(result->others) == 0 || common->quiet) return;
  fprintf(stderr,
          "harness: the newest run's is shown; also stored (choose with --scale, --dataset, "
          "--device):\n");
  json_array_foreach(result->others, i, other) fprintf(stderr, "  %s\n", json_string_value(other));
}

/* Ours, and the paper's where that has more; result NULL: the paper's alone. */
static int print_table(const Result *result, const Printed *paper, const Choice *choice,
                       Error *error) {
  bool to_file = choice->output && strcmp(choice->output, "-");
  FILE *out = to_file ? fopen(choice->output, "w") : stdout;
  if (out) printed_print(paper, result, choice->format, out);
  bool good = out && !ferror(out) && (!to_file || fclose(out) == 0);
  if (good) return EXIT_DONE;
  fail(error, "%s: the table could not be written", to_file ? choice->output : "standard output");
  return EXIT_UNFIT;
}

/* The runs of a table or an experiment. */
static int show_sweeps(const Common *common, const Choice *choice, Error *error) {
  Store *store = NULL;
  json_t *sweeps = NULL;
  if (!store_exists(common->db)) {
    fail(error, "%s: nothing is stored yet; `harness run FILE` makes results", common->db);
    return EXIT_NOTHING;
  }
  bool good = store_open(&store, common->db, STORE_READ, error) &&
              sweeps_list(store, &choice->result, &sweeps, error);
  int code = !good ? EXIT_UNFIT : json_array_size(sweeps) ? EXIT_DONE : EXIT_NOTHING;
  if (code == EXIT_DONE) sweeps_print(sweeps, !strcmp(choice->format, "json"), stdout);
  if (code == EXIT_NOTHING)
    fail(error, "%s: nothing is stored for %s", common->db, choice->result.what);
  json_decref(sweeps);
  store_close(store);
  return code;
}

/* Takes the run that --run or options name. */
static bool choose_sweep(const Common *common, Choice *choice, Error *error) {
  Store *store = NULL;
  if ((!choice->options && !choice->result.plan_id) || !store_exists(common->db)) return true;
  bool good = store_open(&store, common->db, STORE_READ, error) &&
              sweeps_choose(store, &choice->result, choice->option, choice->options, error);
  store_close(store);
  return good;
}

/* Loads what is stored and prints it; nothing: what the paper prints, where it is named. */
static int show_table(const Common *common, Choice *choice, Printed *paper, Error *error) {
  Store *store = NULL;
  Result *result = NULL;
  int code = EXIT_NOTHING;
  bool newest = !choice->options && !choice->result.plan_id;
  if (!choice->paper_alone && !choose_sweep(common, choice, error)) return EXIT_NOTHING;
  if (!choice->paper_alone) code = load(common, &choice->result, &store, &result, error);
  if (code == EXIT_NOTHING && !paper->named) printed_hint(paper, &choice->result, error);
  if (result) tell_others(result, common);
  if (result && newest && !common->quiet) sweeps_tell(store, &choice->result, result, stderr);
  if (result || (code == EXIT_NOTHING && paper->named))
    code = print_table(result, paper, choice, error);
  result_free(result);
  store_close(store);
  return code;
}

/* The word is a table's number or an experiment, not a paper. */
static bool names_table(const char *home, const char *word) {
  char file[EXPERIMENT_FILE];
  if (!word) return false;
  return !word[strspn(word, "0123456789")] || experiment_file(home, word, file);
}

int command_table(int argc, char **argv) {
  Common common;
  Choice choice = {.format = "text"};
  Printed paper = {0};
  Error error = {""};
  char list[METRIC_LIST], text[1536];
  Cli with_names = table_cli;
  metric_list(stored, true, list);
  snprintf(text, sizeof text, "%s%s.", table_cli.text, list);
  with_names.text = text;
  cli_parse(&with_names, argc, argv, &common, &choice);
  int code = EXIT_USAGE;
  bool sweeps = choice.list && names_table(common.home, choice.result.what);
  if (sweeps) choice.list = false;
  if (!choice.result.what && !choice.list)
    fail(&error, "harness table needs a table's number or an experiment's name, such as 6");
  else if (choice.list && strcmp(choice.format, "text") && strcmp(choice.format, "json"))
    fail(&error, "--format %s: the list of tables is text or json", choice.format);
  else if (printed_find(&paper, common.home, &choice.result, choice.number, choice.list,
                        choice.paper_alone, &error))
    code = sweeps                       ? show_sweeps(&common, &choice, &error)
           : paper.table || !paper.list ? show_table(&common, &choice, &paper, &error)
                                        : print_table(NULL, &paper, &choice, &error);
  printed_free(&paper);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}

/* The bench run that a word names (NULL: the newest), as load. */
static int load_run(const Common *common, const char *word, Store **store, int64_t *run,
                    Error *error) {
  if (!store_exists(common->db)) {
    fail(error, "%s: nothing is stored yet; `harness bench` makes runs", common->db);
    return EXIT_NOTHING;
  }
  bool good = store_open(store, common->db, STORE_READ, error) &&
              (!word || store_bench_find(*store, word, run, error));
  return good ? EXIT_DONE : EXIT_UNFIT;
}

/* Takes the kind out of the operands. */
static const PlotKind *take_kind(int *argc, char **argv) {
  for (int i = 1; i < *argc; i++) {
    const PlotKind *kind = argv[i][0] ? plot_find(argv[i], NULL) : NULL;
    if (!kind) continue;
    memmove(&argv[i], &argv[i + 1], sizeof *argv * (size_t)(*argc - i));
    (*argc)--;
    return kind;
  }
  return plot_find("", NULL);
}

/* "per-organ (each structure, ...); triptych (..., by itself: --help)" */
static void list_kinds(char text[1024]) {
  static const char *const kinds[][3] = {
#define PLOT(id, word, of, caption) {word, caption, ""},
#define FIGURE(id, word, experiment, caption)                                                      \
  {word, caption, ", from trained weights; see its --help"},
#include "src/report/plots.def"
#undef PLOT
#undef FIGURE
  };
  size_t used = 0;
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
    if (kinds[k][0][0] && used < 1024)
      used += (size_t)snprintf(text + used, 1024 - used, "%s%s (%s%s)", used ? "; " : "",
                               kinds[k][0], kinds[k][1], kinds[k][2]);
}

int command_plot(int argc, char **argv) {
  Common common;
  Choice choice = {.format = "text"};
  Error error = {""};
  PlotOf of = {0};
  Result *result = NULL;
  Printed paper = {0};
  char path[PLOT_PATH], list[1024], text[2048];
  int code = EXIT_USAGE;
  if (command_figure(argc, argv, &code)) return code;
  const PlotKind *kind = take_kind(&argc, argv);
  Cli with_names = plot_cli;
  list_kinds(list);
  snprintf(text, sizeof text, plot_cli.text, list);
  with_names.text = text;
  cli_parse(&with_names, argc, argv, &common, &choice);
  if (kind->of == PLOT_BENCH)
    code = load_run(&common, choice.result.what, &of.store, &of.run, &error);
  else if (choice.result.what &&
           !printed_find(&paper, common.home, &choice.result, NULL, false, false, &error))
    code = EXIT_USAGE;
  else if (choice.result.what || kind->word[0])
    code = load(&common, &choice.result, &of.store, &result, &error);
  else
    fail(&error, "harness plot needs an experiment's name, such as query_count, or curves");
  if (code == EXIT_NOTHING && choice.result.what && kind->of != PLOT_BENCH)
    printed_hint(&paper, &choice.result, &error);
  if (result) tell_others(result, &common);
  if (result) kind = plot_find(kind->word, result);
  of.result = result;
  of.folder = choice.output ? choice.output : of.store ? store_folder(of.store) : "";
  if (code == EXIT_DONE && !path_make(of.folder))
    code = EXIT_UNFIT, fail(&error, "%s: cannot make the folder", of.folder);
  if (code == EXIT_DONE && !kind->draw(&of, path, &error)) code = EXIT_UNFIT;
  if (code == EXIT_DONE) printf("%s\n", path);
  result_free(result);
  store_close(of.store);
  printed_free(&paper);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}
