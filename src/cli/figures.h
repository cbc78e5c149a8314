/* What the pictures that run trained weights again have in common: how they are asked for, and
 * their trials. Private to src/cli/figure*.c. */
#ifndef CLI_FIGURES_H
#define CLI_FIGURES_H

#include "src/cli/cli.h"
#include "src/cli/weights.h"
#include "src/report/report.h"
#include "src/train/network.h"

/* ---- asking ---------------------------------------------------------------------------------- */

typedef struct FigureRequest {
  Common common;
  const char *what; /* a trial, or an experiment */
  const char *scale;
  double number;      /* of the validation case, from 1 */
  const char *output; /* a folder; NULL: the database's */
  DataSeen *seen;
} FigureRequest;

enum { FIGURE_CASE = 1, FIGURE_SCALE };
#define FIGURE_OUTPUT                                                                              \
  { "output", 'o', "FOLDER", 0, "Write under FOLDER/plots, not beside the database", 0 }
/* A Cli's take: `--case`, `--scale`, `-o` and one operand. */
bool figure_take(int key, char *value, void *request, Error *error);

/* Trials that are done, newest first: all, one by its hash (NULL: all), or those of cells (0: all)
 * by row. A new reference. */
bool figure_trials(Store *store, const char *hash, int64_t plan_id, json_t **trials, Error *error);
/* Where the pictures go. */
const char *figure_folder(const FigureRequest *request, const Store *store);
/* A trial's configuration, a new reference; NULL: its weights are gone. */
json_t *figure_config(const FigureRequest *request, Store *store, const json_t *trial);
/* The trial of a row with the lowest seed that has its weights, and its configuration. */
json_t *figure_pick(const FigureRequest *request, Store *store, const json_t *trials,
                    json_int_t position, json_t **config);
/* The trained network with its data, which must be those that it was trained on. Whatever it
 * returns, trained_network_free frees it. */
bool figure_open(const FigureRequest *request, TrainedNetwork *network, const json_t *trial,
                 json_t *config, Error *error);
/* The picture is newer than the weights of a configuration. */
bool figure_is_newer(const char *path, const json_t *config);

/* A FIGURE row of src/report/plots.def. */
typedef struct Figure {
  Cli cli;
  /* Draws and prints paths; an exit code. */
  int (*draw)(const FigureRequest *request, Store *store, Error *error);
  /* For the report: see figures_report. */
  void (*report)(const FigureRequest *request, Report *report, const Result *result);
} Figure;
#define PLOT(id, word, of, caption)
#define FIGURE(id, word, experiment, caption) extern const Figure id##_figure;
#include "src/report/plots.def"
#undef FIGURE
#undef PLOT

/* ---- the pictures ---------------------------------------------------------------------------- */

/* When argv[1] names such a picture: draws it, *code is the exit code, true. */
bool command_figure(int argc, char **argv, int *code);

/* Adds what the report shows of trained weights, of one of its results. A picture newer than its
 * weights is not drawn again. */
void figures_report(const Common *common, Report *report, const Result *result);

#endif
