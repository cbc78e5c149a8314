/* What a table or a plot is made of: one experiment's rows and figures, read from the database
 * alone. A text that is not known is "", a number NaN. */
#ifndef REPORT_RESULT_H
#define REPORT_RESULT_H

#include "src/store/typed_rows.h"

/* Which cells. what is a table's number or an experiment's name; scale, dataset and device may be
 * NULL: then the newest decide. plan_id: exactly these, when not 0. metric: another one that
 * its trials stored ("hd95"), without the paper's figures and claims; NULL: the experiment's. */
typedef struct ResultChoice {
  const char *what, *scale, *dataset, *device, *metric;
  int64_t plan_id;
  const char *home; /* where today's Lua files are, see code_notes.h; may be NULL */
} ResultChoice;

typedef struct ResultRow {
  int position;
  const char *key, *label, *paper_word;
  double paper, mean, sd, parameters;
  int n, cells, builds;         /* v_table's */
  int status[STATUS_COUNT];     /* how many trials ended so */
  int other_text, unknown_text; /* trials whose model had other Lua text than today's, or which */
  /* Of result_judge. */
  double claimed;        /* the paper's difference to the row above */
  double difference;     /* ours */
  double low, high;      /* its 95 % interval; NaN where the seeds are too few */
  double with_collapsed; /* the mean with collapsed trials counted as 0, where there are any */
  const char *verdict;   /* one of claim_words; "": a first row without a claim of its own */
} ResultRow;

/* One structure in one row of the table. */
typedef struct ResultLabel {
  int label, position;
  const char *name;
  double mean, low, high;
  int n, missed, false_positive, cases;
} ResultLabel;

/* A bridge of an experiment of kind "plan"; the last three are NaN where the step was not run. */
typedef struct ResultPoint {
  int position, covered;
  const char *key, *label, *scale, *bridge;
  double planned_bytes, flops, parameters, step_s, allocated_bytes, resident_bytes;
} ResultPoint;

typedef struct ResultEnvironment {
  const char *version, *commit_hash, *cpu, *ended_at;
  int dirty, cores;
} ResultEnvironment;

typedef struct ResultTau {
  double value, p, least;
  int rows;
} ResultTau;

typedef struct Result {
  int64_t plan_id;
  int table; /* its number in the paper; 0: none */
  const char *experiment, *title, *metric, *model, *axis, *scale, *dataset, *device, *split;
  int seeds, folds;
  ResultRow *row; /* (rows) */
  int rows;
  ResultLabel *label; /* (labels), by label, then position */
  int labels;
  bool plans;         /* of kind "plan": metric "plan" */
  ResultPoint *point; /* (points) */
  int points;
  int comparisons; /* rows with an interval */
  ResultTau tau;   /* of rows with both numbers; value NaN: fewer than two */
  bool measured;   /* environment is that of the newest trial */
  ResultEnvironment environment;
  json_t *mixed_files; /* Lua files of which the trials' models had different texts */
  json_t *notes;       /* texts */
  json_t *others;      /* what else is stored, texts */
  Rows held[4];        /* rows, labels, points, plans */
  json_t *texts;       /* what other texts are part of */
} Result;

/* A newest plan all of whose trials belong to a larger plan of the same kind gives way to it.
 * Nothing stored: true and *result NULL. */
bool result_load(Store *store, const ResultChoice *choice, Result **result, Error *error);
/* The rows that an experiment's file asks for (see experiment_read), of which nothing is stored. */
Result *result_of_file(const json_t *document);
void result_free(Result *result); /* may be NULL */

/* The state of a row in one word: done when all its trials are, else the gravest of them. */
const char *result_status(const ResultRow *row);

#endif
