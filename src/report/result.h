/* What a table or a plot is made of: one experiment's rows and figures, read from the database
 * alone. A text that is not known is "", a number NaN. */
#ifndef REPORT_RESULT_H
#define REPORT_RESULT_H

#include "src/machine/document.h"
#include "src/store/tries.h"
#include "src/store/typed_rows.h"

#include <stdbool.h>

/* Which cells. what is a table's number or an experiment's name; scale, dataset and device may be
 * NULL: then the newest decide. plan_id: exactly these, when not 0. metric: another one that
 * its trials stored ("hd95"), without the paper's figures and claims; NULL: the experiment's.
 * cases_fixed: intervals and verdicts are for these cases only. */
typedef struct ResultChoice {
  const char *what, *scale, *dataset, *device, *metric;
  const char *paper;        /* by its name: `what` is the number of one of its tables */
  const char *other_papers; /* names, a JSON list: `what` is the number of none of their tables */
  int64_t plan_id;
  const char *home; /* where today's Lua files are, see code_notes.h; may be NULL */
  bool cases_fixed;
  bool alone; /* without a look at earlier, smaller plans (family.earlier) */
} ResultChoice;

typedef struct ResultRow {
  int position;
  const char *key, *label, *paper_word;
  double paper, mean, sd, parameters;
  int n, cells, builds;         /* v_table's; no cells: no try of its rate ended well */
  int status[STATUS_COUNT];     /* how many trials ended so */
  int other_text, unknown_text; /* trials whose model had other Lua text than today's, or which */
  const char *reason;           /* why the newest of those that failed did; "": none did */
  const char *trials;           /* their numbers, ascending: rows of two tables may be the same */
  int against;                  /* the row that it is compared with; -1: none */
  const char *against_label;
  int asked; /* whether it differs, on either side, where the paper says nothing of it */
  /* Of result_judge; to the row `against`. NaN where there is none, or the seeds are too few. */
  double claimed;                       /* the paper's difference */
  double difference, p;                 /* ours; of that there is none, alone */
  double low, high;                     /* 95 %, alone */
  double p_claim;                       /* p as a claim may use it: 1 where too little is there */
  double p_corrected;                   /* of a claim, after Holm over the table's */
  double corrected_low, corrected_high; /* at the level that agrees with it */
  double seeds_needed;   /* for the paper's difference; infinite: no number would do */
  double with_collapsed; /* the mean with collapsed trials counted as 0, where there are any */
  double within;       /* of a question: what the difference is below, by the corrected interval */
  const char *verdict; /* one of claim_names; "": a first row without a claim of its own */
} ResultRow;

/* One structure in one row of the table. */
typedef struct ResultLabel {
  int label, position;
  const char *name;
  double mean, low, high;
  int n, missed, false_positive, cases;
  int above; /* 1, -1: larger, smaller than in the compared row, after Holm over all structures */
} ResultLabel;

/* A bridge of an experiment of kind "plan"; the last three are NaN where the step was not run. */
typedef struct ResultPoint {
  int position, covered;
  const char *key, *label, *scale, *bridge;
  double planned_bytes, flops, parameters, step_s, allocated_bytes, resident_bytes;
} ResultPoint;

typedef struct ResultEnvironment {
  const char *version, *commit_hash, *cpu, *gpu, *ended_at; /* gpu: of trials that ran on one */
  int dirty, cores;
} ResultEnvironment;

typedef struct ResultTau {
  double value, p, least;
  int rows;
} ResultTau;

/* What the claims of a table rest on. */
typedef struct ResultFamily {
  int claims;    /* m: rows whose paper's figure differs from the compared row's, and questions */
  int questions; /* of these: asked without the paper's difference */
  int decided;   /* R */
  double level;  /* of the corrected intervals: 0.05 / (m - R) */
  bool cases_fixed;
  bool patients;     /* units are patients, not cases */
  bool lower;        /* figures are better: none stands for a collapsed trial */
  int folds;         /* common ones, the units; 0: they are not */
  int units;         /* of the comparison that has fewest */
  int seeds;         /* trials of the compared row that has fewest; with folds: folds */
  double sigma, tau; /* pooled over the rows, see power.h; with folds sigma is the differences' */
  double freedom;    /* behind sigma */
  double detectable, floor; /* NaN: not known */
  bool same;                /* a comparison has no spread at all */
  int structures;           /* comparisons of structures, a family of their own */
  int earlier; /* seeds a row of an earlier, smaller plan that was judged; 0: none was */
} ResultFamily;

/* Of a plan whose seeds are added until its claims are decided. */
typedef struct ResultLooks {
  bool found;           /* it is one */
  int spent, planned;   /* looks; planned 0: the first trials are to tell how many */
  int most, first_seed; /* seeds a row, and which is the first */
  double budget_s;
  bool early; /* some claim was decided before the last look */
} ResultLooks;

typedef struct ResultStart ResultStart; /* see start_notes.h */

enum { RESULT_STARTS = 4, RESULT_HELD };

typedef struct Result {
  int64_t plan_id;
  int table; /* its number in the paper; 0: none */
  const char *experiment, *title, *metric, *model, *axis, *scale, *dataset, *device, *split;
  int seeds, folds;
  int scores, trainings; /* trials that are done, and trainings that they are of */
  double trial_s;        /* a trial took, from start to end; NaN: none is done */
  ResultRow *row;        /* (rows) */
  int rows;
  ResultLabel *label; /* (labels), by label, then position */
  int labels;
  bool plans;         /* of kind "plan": metric "plan" */
  ResultPoint *point; /* (points) */
  int points;
  struct SelfTest *self_test; /* of kind "self_test", see self_test.h; else NULL */
  int comparisons;            /* rows with an interval */
  ResultFamily family;
  ResultLooks looks;
  TriedRate *tuned; /* (tuneds) where rows' rates were chosen, by row, fold and rate */
  int tuneds;
  ResultStart *start; /* (starts) trials that its networks start from */
  int starts;
  ResultTau tau; /* of rows with both numbers; value NaN: fewer than two */
  bool measured; /* environment is that of the newest trial */
  ResultEnvironment environment;
  json_t *otherwise;      /* of default_notes.h */
  json_t *mixed_files;    /* Lua files of which the trials' models had different texts */
  json_t *notes;          /* texts */
  json_t *paper;          /* the paper's table (lua/bind.h) that it repeats; NULL: none is known */
  json_t *others;         /* what else is stored, texts */
  Rows held[RESULT_HELD]; /* rows, labels, points, plans, starts */
  char *reproduce;        /* the command that asks for it again; NULL: not known */
  json_t *texts;          /* what other texts are part of */
} Result;

/* A newest plan all of whose trials belong to a larger plan of the same kind gives way to it.
 * Nothing stored: true and *result NULL. */
bool result_load(Store *store, const ResultChoice *choice, Result **result, Error *error);
/* The rows that an experiment's file asks for (see experiment_read), of which nothing is stored. */
Result *result_of_file(const json_t *document);
/* With what its rows are compared: each with the row above, all others with one, or several. */
typedef enum Compares { COMPARES_ABOVE, COMPARES_ONE, COMPARES_SEVERAL } Compares;
Compares result_compares(const Result *result);
/* In words: "the row above", the one row's label, "the row named". */
const char *result_compared(const Result *result);

/* Something is judged of the row: a claim of the paper, or a question; which of them. */
bool row_judged(const ResultRow *row);
bool row_question(const ResultRow *row);
void result_free(Result *result); /* may be NULL */

/* The metric as a head has it: "DSC", "HD95, mm". */
enum { RESULT_METRIC = 64 };
const char *result_metric(const Result *result, char text[RESULT_METRIC]);

/* What a JSON document of it is of. */
DocumentOf result_document(const Result *result);

/* The state of a row in one word: done when all its trials are, else the gravest of them. */
const char *result_status(const ResultRow *row);

#endif
