#include "src/report/code_notes.h"

#include <string.h>

#include "src/report/quote.h"
#include "src/store/code.h"

/* A file of the attempt that counts for a trial; file "": none is stored. */
typedef struct TrialFile {
  int position;
  int64_t trial;
  const char *model_path, *file, *code_hash;
} TrialFile;

static const Column columns[] = {COLUMN(TrialFile, position),   COLUMN(TrialFile, trial),
                                 COLUMN(TrialFile, model_path), COLUMN(TrialFile, file),
                                 COLUMN(TrialFile, code_hash),  {0}};

static const char files_sql[] =
    "SELECT r.position, x.trial_id AS trial, t.config ->> '$.model_path' AS model_path, c.file,"
    " c.code_hash FROM rows r JOIN cells x ON x.row_id = r.id JOIN trials t ON t.id = x.trial_id"
    " JOIN v_attempt v ON v.trial_id = t.id LEFT JOIN v_code c ON c.attempt_id = v.attempt_id"
    " WHERE r.plan_id = ?1 ORDER BY r.position, x.trial_id, c.file";

static ResultRow *row_at(Result *r, int position) {
  for (int i = 0; i < r->rows; i++)
    if (r->row[i].position == position) return &r->row[i];
  return NULL;
}

static bool has_name(const json_t *names, const char *name) {
  const json_t *item;
  size_t i;
  json_array_foreach((json_t *)names, i, item) {
    if (!strcmp(json_string_value(item), name)) return true;
  }
  return false;
}

/* first: by file, the text that was met first. */
static void judge_mixed(Result *r, json_t *first, const TrialFile *f) {
  const char *known = json_string_value(json_object_get(first, f->file));
  if (!known)
    json_object_set_new(first, f->file, json_string(f->code_hash));
  else if (strcmp(known, f->code_hash) && !has_name(r->mixed_files, f->file))
    json_array_append_new(r->mixed_files, json_string(f->file));
}

bool code_judge(Store *store, const char *home, Result *r, Error *error) {
  Rows rows;
  if (!store_rows(store, files_sql, json_pack("[I]", (json_int_t)r->plan_id), columns,
                  sizeof(TrialFile), &rows, error))
    return false;
  CodeToday today = {.home = home};
  json_t *first = json_object();
  r->mixed_files = json_array();
  int64_t counted = 0; /* a trial counts once, whatever number of its files differ */
  for (int i = 0; i < rows.count; i++) {
    const TrialFile *f = (TrialFile *)rows.row + i;
    ResultRow *row = row_at(r, f->position);
    if (!row) continue;
    if (!f->file[0]) row->unknown_text++;
    if (!f->file[0]) continue;
    judge_mixed(r, first, f);
    bool other = home && strcmp(code_today(&today, f->file, f->model_path), f->code_hash);
    if (!other || counted == f->trial) continue;
    row->other_text++;
    counted = f->trial;
  }
  json_decref(first);
  code_free(&today);
  rows_free(&rows);
  return true;
}

void code_notes(const Result *r, const char *mark, FILE *out) {
  int unknown = 0;
  const json_t *file;
  size_t k;
  json_array_foreach(r->mixed_files, k, file) {
    fprintf(out, "%smixed: these trials' models were made of different texts of ", mark);
    quote_line(json_string_value(file), out);
    fputc('\n', out);
  }
  for (int i = 0; i < r->rows; i++) {
    const ResultRow *row = &r->row[i];
    unknown += row->unknown_text;
    if (!row->other_text) continue;
    fputs(mark, out);
    quote_line(row->label, out);
    fprintf(out,
            ": %d of %d trials ran with another text of their model's Lua files than today's "
            "(`run --retry stale` repeats them)\n",
            row->other_text, row->n);
  }
  if (unknown)
    fprintf(out, "%sof %d trials the text of their model's Lua files was not stored\n", mark,
            unknown);
}
