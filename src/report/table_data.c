/* A table as data. */
#include "src/report/table_data.h"

#include <math.h>

#include "src/data/sets/json_text.h"
#include "src/machine/document.h"
#include "src/report/paper_marks.h"
#include "src/report/sheet.h"
#include "src/report/start_notes.h"
#include "src/report/tuned_notes.h"

static json_t *number(double value) {
  return isnan(value) ? json_null() : json_real(value);
}

static json_t *text(const char *value) {
  return value[0] ? json_string(value) : json_null();
}

/* The key of the row that it is compared with; "": none. */
static const char *against(const Result *result, const ResultRow *row) {
  return row->against >= 0 ? result->row[row->against].key : "";
}

static json_t *json_row(const Result *result, const ResultRow *r) {
  return json_pack(
      "{s:s,s:s,s:o,s:o,s:o,s:i,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:i,s:i,"
      "s:o,s:o,s:O?,s:o}",
      "key", r->key, "label", r->label, "paper", number(r->paper), "mean", number(r->mean), "sd",
      number(r->sd), "n", r->n, "status", result_status(r), "paper_word", text(r->paper_word),
      "parameters", isnan(r->parameters) ? json_null() : json_integer((json_int_t)r->parameters),
      "difference", number(r->difference), "low", number(r->low), "high", number(r->high),
      "verdict", text(r->verdict), "with_collapsed", number(r->with_collapsed), "claimed",
      number(r->claimed), "p", number(r->p), "p_corrected", number(r->p_corrected), "corrected_low",
      number(r->corrected_low), "corrected_high", number(r->corrected_high), "seeds_needed",
      isinf(r->seeds_needed) ? json_null() : number(r->seeds_needed), "other_text", r->other_text,
      "unknown_text", r->unknown_text, "against", text(against(result, r)), "within",
      number(r->within), "otherwise", json_array_get(result->otherwise, (size_t)(r - result->row)),
      "reason", r->reason[0] ? json_name(r->reason) : json_null());
}

static json_t *json_family(const ResultFamily *f) {
  return json_pack("{s:i,s:i,s:i,s:f,s:s,s:s,s:i,s:i,s:o,s:o,s:o,s:o,s:f}", "claims", f->claims,
                   "questions", f->questions, "decided", f->decided, "level", f->level, "cases",
                   f->cases_fixed ? "fixed" : "random", "unit",
                   f->folds      ? "fold"
                   : f->patients ? "patient"
                                 : "case",
                   "units", f->folds ? f->folds : f->units, "seeds", f->seeds, "sigma",
                   number(f->sigma), "tau", number(f->tau), "detectable", number(f->detectable),
                   "floor", number(f->floor), "freedom", f->freedom);
}

static json_t *json_looks(const ResultLooks *l) {
  return json_pack("{s:i,s:i,s:i,s:b}", "spent", l->spent, "planned", l->planned, "most", l->most,
                   "early", l->early);
}

static json_t *json_tau(const ResultTau *t) {
  json_t *tau = json_pack("{s:f,s:i}", "value", t->value, "rows", t->rows);
  if (!isnan(t->p)) json_object_set_new(tau, "p", json_real(t->p));
  if (!isnan(t->least)) json_object_set_new(tau, "least", json_real(t->least));
  return tau;
}

/* Of single structures what the paper has and we have. */
static json_t *json_structures(const Result *result) {
  json_t *list = json_array();
  for (int i = 0; i < result->labels; i++) {
    const ResultLabel *item = &result->label[i];
    for (int k = 0; k < result->rows; k++) {
      const ResultRow *row = &result->row[k];
      double paper = paper_figure(result, row, item->name);
      if (row->position != item->position || isnan(paper)) continue;
      json_array_append_new(list,
                            json_pack("{s:s,s:s,s:f,s:o}", "key", row->key, "structure", item->name,
                                      "paper", paper, "mean", number(item->mean)));
    }
  }
  return list;
}

void table_json(const Result *result, json_t *printed, FILE *out) {
  json_t *lines = json_array();
  for (int i = 0; i < result->rows; i++)
    json_array_append_new(lines, json_row(result, &result->row[i]));
  json_t *document = document_make(
      "table", result_document(result),
      json_pack("{s:o,s:s,s:s,s:s,s:o,s:i,s:i}", "table",
                result->table ? json_integer(result->table) : json_null(), "scale", result->scale,
                "dataset", result->dataset, "device", result->device, "rows", lines, "scores",
                result->scores, "trainings", result->trainings));
  json_object_set_new(document, "trial_s", number(result->trial_s));
  json_object_set_new(document, "family", json_family(&result->family));
  if (result->looks.found) json_object_set_new(document, "looks", json_looks(&result->looks));
  if (!isnan(result->tau.value)) json_object_set_new(document, "tau", json_tau(&result->tau));
  if (result->tuneds) json_object_set_new(document, "tuned", tuned_json(result));
  if (result->starts) json_object_set_new(document, "starts", starts_json(result));
  json_t *structures = json_structures(result);
  if (json_array_size(structures)) json_object_set(document, "structures", structures);
  json_decref(structures);
  json_object_set_new(document, "reproduce",
                      result->reproduce ? json_name(result->reproduce) : json_null());
  if (printed) json_object_set_new(document, "printed", printed);
  document_print(document, out);
}

static void put_plain(Sheet *sheet, int row, int column, const char *format, double value) {
  if (!isnan(value)) sheet_set(sheet, row, column, format, value);
}

void table_csv(const Result *result, FILE *out) {
  static const char *const heads[] = {"key",
                                      "label",
                                      "paper",
                                      "mean",
                                      "sd",
                                      "n",
                                      "status",
                                      "difference",
                                      "low",
                                      "high",
                                      "verdict",
                                      "parameters",
                                      "claimed",
                                      "p",
                                      "p_corrected",
                                      "corrected_low",
                                      "corrected_high",
                                      "against",
                                      "within"};
  enum { COLUMNS = sizeof heads / sizeof heads[0] };
  Sheet sheet = sheet_make(result->rows + 1, COLUMNS);
  for (int k = 0; k < COLUMNS; k++) sheet_set(&sheet, 0, k, "%s", heads[k]);
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    sheet_set(&sheet, i + 1, 0, "%s", row->key);
    sheet_set(&sheet, i + 1, 1, "%s", row->label);
    put_plain(&sheet, i + 1, 2, "%.12g", row->paper);
    put_plain(&sheet, i + 1, 3, "%.12g", row->mean);
    put_plain(&sheet, i + 1, 4, "%.12g", row->sd);
    sheet_set(&sheet, i + 1, 5, "%d", row->n);
    sheet_set(&sheet, i + 1, 6, "%s", result_status(row));
    put_plain(&sheet, i + 1, 7, "%.12g", row->difference);
    put_plain(&sheet, i + 1, 8, "%.12g", row->low);
    put_plain(&sheet, i + 1, 9, "%.12g", row->high);
    sheet_set(&sheet, i + 1, 10, "%s", row->verdict);
    put_plain(&sheet, i + 1, 11, "%.0f", row->parameters);
    put_plain(&sheet, i + 1, 12, "%.12g", row->claimed);
    put_plain(&sheet, i + 1, 13, "%.12g", row->p);
    put_plain(&sheet, i + 1, 14, "%.12g", row->p_corrected);
    put_plain(&sheet, i + 1, 15, "%.12g", row->corrected_low);
    put_plain(&sheet, i + 1, 16, "%.12g", row->corrected_high);
    sheet_set(&sheet, i + 1, 17, "%s", against(result, row));
    put_plain(&sheet, i + 1, 18, "%.12g", row->within);
  }
  sheet_csv(&sheet, out);
  sheet_free(&sheet);
}
