/* The report: one HTML file that needs nothing beside itself. */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "src/report/result.h"

typedef struct ReportExperiment {
  const char *name, *file; /* of whoever lists them */
  json_t *wanted; /* what the file asks for at the stored scale; NULL: there is none any more */
  Result *result; /* NULL: nothing is stored */
} ReportExperiment;

/* Of trained weights, drawn by the caller. */
typedef struct ReportPicture {
  char *experiment, *caption, *path;
} ReportPicture;

/* What is not there. */
typedef struct ReportOpen {
  char *what, *state, *why, *command;
} ReportOpen;

/* What a report is made of. The lists are freed by report_free; the report adds to what is open. */
typedef struct Report {
  Store *store;
  ReportExperiment *experiment; /* (experiments) in the report's order */
  ReportPicture *picture;
  ReportOpen *open;
  int experiments, pictures, opens;
  const char *home;
  json_t *options; /* experiment_options of every model, and those of results' own */
  FILE *out;
  int figures; /* on the page so far */
} Report;

/* Draws the plots (what is drawn from the same data already is not drawn again) and writes the
 * page. A plot that fails is told in the page. */
bool report_write(Report *report, Error *error);

/* Adds to the list of what is open, of pictures. Texts that were cut to fit are mended. */
void report_add_open(Report *report, const char *what, const char *state, const char *why,
                     const char *command);
void report_add_picture(Report *report, const char *experiment, const char *caption,
                        const char *path);
void report_free(Report *report);

/* "Table 3: SegHead", of what is stored about an experiment, or of what its file asks for. */
void report_title(const ReportExperiment *experiment, char *text, size_t bytes);

/* Which claims held (summary.c). */
bool summary_write(Report *report, Error *error);
/* Every paper's tables, from their data alone (paper_page.c). */
bool papers_write(Report *report, Error *error);
/* What the page says about how its results were made (settings.c). */
bool settings_configuration(Report *report, Error *error);
bool settings_environment(Report *report, Error *error);
/* The command that would run what an experiment lacks: with the options its trials were given;
 * malloced. more: flags, or "". */
char *settings_command(const Report *report, const ReportExperiment *experiment, const char *more);

#endif
