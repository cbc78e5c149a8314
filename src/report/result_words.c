/* What is said of a result that is loaded. */
#include "src/data/metrics/metric.h"
#include "src/report/claim.h"
#include "src/report/result.h"

DocumentOf result_document(const Result *r) {
  return (DocumentOf){r->experiment, r->metric, r->measured ? r->environment.commit_hash : NULL};
}

const char *result_metric(const Result *r, char text[RESULT_METRIC]) {
  const MetricRow *metric = metric_stored(r->metric);
  if (!metric)
    snprintf(text, RESULT_METRIC, "%.60s", r->metric);
  else if (metric->paper)
    snprintf(text, RESULT_METRIC, "%s", metric->paper);
  else
    snprintf(text, RESULT_METRIC, "%s%s%s", metric->head, metric->unit[0] ? ", " : "",
             metric->unit);
  return text;
}

Compares result_compares(const Result *r) {
  int one = -1;
  bool above = true, alone = true;
  for (int i = 0; i < r->rows; i++) {
    int against = r->row[i].against;
    if (against < 0) continue;
    above = above && against == i - 1;
    alone = alone && (one < 0 || against == one);
    one = against;
  }
  return above ? COMPARES_ABOVE : alone ? COMPARES_ONE : COMPARES_SEVERAL;
}

const char *result_compared(const Result *r) {
  Compares compares = result_compares(r);
  for (int i = 0; compares == COMPARES_ONE && i < r->rows; i++)
    if (r->row[i].against >= 0) return r->row[i].against_label;
  return compares == COMPARES_ABOVE ? "the row above" : "the row named";
}

bool row_question(const ResultRow *row) {
  return row->asked && row->against >= 0 && !claim_made(row->claimed);
}

bool row_judged(const ResultRow *row) {
  return claim_made(row->claimed) || row_question(row);
}

const char *result_status(const ResultRow *row) {
  static const Status gravest[] = {STATUS_RUNNING,   STATUS_FAILED,  STATUS_OOM,
                                   STATUS_COLLAPSED, STATUS_TIMEOUT, STATUS_INTERRUPTED,
                                   STATUS_PLANNED};
  if (!row->cells && !row->status[STATUS_PLANNED]) return "no rate";
  for (size_t i = 0; i < sizeof gravest / sizeof gravest[0]; i++)
    if (row->status[gravest[i]] > 0) return status_name(gravest[i]);
  return status_name(STATUS_DONE);
}
