/* Of a table whose networks start from another trial's (src/cli/starts.h): which, and how well that
 * one does what it was trained for. */
#ifndef REPORT_START_NOTES_H
#define REPORT_START_NOTES_H

#include "src/report/result.h"

/* A trial that rows of a table start from. */
struct ResultStart {
  const char *hash, *model, *dataset, *labels; /* labels: of the rows */
  int steps, seed, rows, cases;
  double iou;  /* of its held-out cases: the mean over structures of the mean over cases */
  double loss; /* over its last steps */
  double train_s;
};

/* Reads those of the result's plan into result->start. */
bool starts_read(Store *store, Result *result, Error *error);
/* A note each, begun by mark. */
void start_notes(const Result *result, const char *mark, FILE *out);
/* [{"trial", "model", "dataset", "steps", "seed", "rows", "iou", "loss", "cases",
 * "train_s"}]. New reference. */
json_t *starts_json(const Result *result);

#endif
