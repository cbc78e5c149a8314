/* What a table or a plot is made of: one experiment's rows and figures, read from the database
 * alone. */
#ifndef REPORT_RESULT_H
#define REPORT_RESULT_H

#include "src/store/store.h"

/* Which cells. what is a table's number or an experiment's name; scale, dataset and device may be
 * NULL: then the newest decide. plan_id: exactly these, when not 0. metric: another one that
 * its trials stored ("hd95"), without the paper's figures and claims; NULL: the experiment's. */
typedef struct ResultChoice {
  const char *what, *scale, *dataset, *device, *metric;
  int64_t plan_id;
} ResultChoice;

/* One JSON object that the caller decrefs:
 * {"table", "experiment", "title", "metric", "model", "axis", "scale", "dataset", "device",
 *  "plan_id", "notes": [text], "seeds": n, "folds": n, "others": [text of what else is stored],
 *  "rows": [{"position", "key", "label", "paper", "paper_word", "mean", "sd", "n", "cells",
 *            "done", ..., "builds" (v_table), "parameters", and what result_judge adds}],
 *  "labels": [{"label", "name", "position", "mean", "low", "high", "n", "missed",
 *              "false_positive", "cases"}],
 *  "environment": {"version", "commit_hash", "dirty", "cpu", "cores", "ended_at"} or absent}
 * Of an experiment of kind "plan" (metric "plan") also "points", see coverage.h. A newest
 * plan all of whose trials belong to a larger plan of the same kind gives way to it. Nothing
 * stored: true and *result NULL. */
bool result_load(Store *store, const ResultChoice *choice, json_t **result, Error *error);

/* The state of a row in one word: done when all its trials are, else the gravest of them. */
const char *result_status(const json_t *row);

#endif
