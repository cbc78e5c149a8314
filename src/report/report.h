/* The report: one HTML file that needs nothing beside itself. */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "src/report/result.h"

/* What a report is made of. The arrays belong to the caller.
 * experiments: in the report's order, [{"name", "file", "wanted": the plan document as the
 *   experiment file asks for it at the stored scale (null: there is no such file any more),
 *   "result": of result_load (null: nothing is stored)}]
 * pictures: of trained weights, [{"experiment", "caption", "path"}]; drawn by the caller
 * open: what is not there, [{"what", "state", "why", "command"}]; the report adds what it finds
 * options: of experiment_options */
typedef struct Report {
  Store *store;
  json_t *experiments, *pictures, *open, *options;
  FILE *out;
  int figures; /* on the page so far */
} Report;

/* Draws the plots (what is drawn from the same data already is not drawn again) and writes the
 * page. A plot that fails is told in the page. */
bool report_write(Report *report, Error *error);

/* Adds an entry to an array like report->open. Texts that were cut to fit are mended. */
void report_add_open(json_t *open, const char *what, const char *state, const char *why,
                     const char *command);
/* Adds an entry to an array like report->pictures. */
void report_add_picture(json_t *pictures, const char *experiment, const char *caption,
                        const char *path);

/* What the page says about how its results were made (settings.c). */
bool settings_configuration(Report *report, Error *error);
bool settings_environment(Report *report, Error *error);
/* The command that would run what an experiment lacks: with the options its trials were given;
 * malloced. more: flags, or "". */
char *settings_command(const Report *report, const json_t *experiment, const char *more);

#endif
