#include "src/report/start_notes.h"

#include <math.h>

#include "src/report/quote.h"

/* IoU = Dice / (2 - Dice) of every case and structure. */
#define HELD_OUT                                                                                   \
  " FROM metrics m JOIN v_attempt v ON v.attempt_id = m.attempt_id"                                \
  " WHERE v.trial_id = s.id AND m.metric = 'dice' AND m.value IS NOT NULL"

static const char starts_sql[] =
    "SELECT s.hash, coalesce(s.config ->> '$.model', '') AS model, s.dataset, s.seed,"
    " CAST(s.config ->> '$.steps' AS INTEGER) AS steps, count(DISTINCT r.position) AS rows,"
    " group_concat(DISTINCT r.label) AS labels,"
    " (SELECT avg(one) FROM (SELECT avg(m.value / (2 - m.value)) AS one" HELD_OUT
    "   GROUP BY m.label)) AS iou,"
    " (SELECT count(DISTINCT m.case_name)" HELD_OUT ") AS cases,"
    " (SELECT k.loss FROM curves k JOIN v_attempt v ON v.attempt_id = k.attempt_id"
    "  WHERE v.trial_id = s.id ORDER BY k.step DESC LIMIT 1) AS loss,"
    " (SELECT a.train_s FROM attempts a JOIN v_attempt v ON v.attempt_id = a.id"
    "  WHERE v.trial_id = s.id) AS train_s"
    " FROM rows r JOIN cells c ON c.row_id = r.id JOIN trials t ON t.id = c.trial_id"
    " JOIN trials s ON s.hash = t.config ->> '$.pretrained'"
    " WHERE r.plan_id = ?1 GROUP BY s.id ORDER BY min(r.position)";

static const Column columns[] = {
    COLUMN(ResultStart, hash),   COLUMN(ResultStart, model),   COLUMN(ResultStart, dataset),
    COLUMN(ResultStart, labels), COLUMN(ResultStart, steps),   COLUMN(ResultStart, seed),
    COLUMN(ResultStart, rows),   COLUMN(ResultStart, cases),   COLUMN(ResultStart, iou),
    COLUMN(ResultStart, loss),   COLUMN(ResultStart, train_s), {0}};

bool starts_read(Store *store, Result *r, Error *error) {
  Rows *rows = &r->held[RESULT_STARTS];
  if (!store_rows(store, starts_sql, json_pack("[I]", (json_int_t)r->plan_id), columns,
                  sizeof(ResultStart), rows, error))
    return false;
  r->start = rows->row, r->starts = rows->count;
  return true;
}

void start_notes(const Result *r, const char *mark, FILE *out) {
  for (int i = 0; i < r->starts; i++) {
    const ResultStart *start = &r->start[i];
    fputs(mark, out);
    if (start->rows < r->rows) quote_line(start->labels, out);
    fprintf(out, "%s from trial %.8s (", start->rows < r->rows ? " start" : "Networks start",
            start->hash);
    quote_line(start->model, out);
    fprintf(out, " on ");
    quote_line(start->dataset, out);
    fprintf(out, ", %d steps, seed %d)", start->steps, start->seed);
    if (!isnan(start->iou))
      fprintf(out, ", whose IoU on %d held-out case%s is %.3f", start->cases,
              start->cases == 1 ? "" : "s", start->iou);
    if (start->iou == 0) /* it may have been trained for another thing */
      fprintf(out, " (it finds no masks; its loss came to %.3g)", start->loss);
    if (!isnan(start->train_s)) fprintf(out, "; it trained %.0f s", start->train_s);
    fputc('\n', out);
  }
}

static json_t *number(double value) {
  return isnan(value) ? json_null() : json_real(value);
}

json_t *starts_json(const Result *r) {
  json_t *list = json_array();
  for (int i = 0; i < r->starts; i++) {
    const ResultStart *start = &r->start[i];
    json_array_append_new(list,
                          json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:o,s:o,s:i,s:o}", "trial",
                                    start->hash, "model", start->model, "dataset", start->dataset,
                                    "steps", start->steps, "seed", start->seed, "rows", start->rows,
                                    "iou", number(start->iou), "loss", number(start->loss), "cases",
                                    start->cases, "train_s", number(start->train_s)));
  }
  return list;
}
