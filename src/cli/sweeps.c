#include "src/cli/sweeps.h"

#include <string.h>

#include "src/data/sets/json_text.h"
#include "src/machine/document.h"
#include "src/report/sheet.h"
#include "src/store/field.h"

static const char list_sql[] =
    "SELECT p.id AS run, p.scale, p.dataset, p.device, count(DISTINCT r.id) AS \"rows\","
    " count(DISTINCT t.seed) AS seeds, group_concat(DISTINCT t.config ->> '$.steps') AS steps,"
    " count(DISTINCT t.id) AS trials, count(DISTINCT iif(t.status = 'done', t.id, NULL)) AS done,"
    " p.used_at AS used FROM plans p JOIN experiments e ON e.id = p.experiment_id"
    " JOIN rows r ON r.plan_id = p.id JOIN cells c ON c.row_id = r.id"
    " JOIN trials t ON t.id = c.trial_id"
    " WHERE (e.name = ?1 OR CAST(e.table_no AS TEXT) = ?1) AND (p.scale = ?2 OR ?2 IS NULL)"
    " AND (p.dataset = ?3 OR ?3 IS NULL) AND (p.device = ?4 OR ?4 IS NULL)"
    " AND (e.model = ?5 OR ?5 IS NULL)"
    " AND coalesce(e.model, '') NOT IN (SELECT value FROM json_each(coalesce(?6, '[]')))"
    " GROUP BY p.id ORDER BY p.used DESC";

/* Trials of the sweep that do not have the option's value. */
static const char others_sql[] =
    "SELECT count(*) AS others FROM rows r JOIN cells c ON c.row_id = r.id"
    " JOIN trials t ON t.id = c.trial_id WHERE r.plan_id = ?1"
    " AND coalesce(trim(CAST(t.config ->> ('$.' || ?2) AS TEXT), '[]'), '') <> ?3";

static json_t *text_or_null(const char *text) {
  return text ? json_name(text) : json_null();
}

bool sweeps_list(Store *store, const ResultChoice *choice, json_t **sweeps, Error *error) {
  json_t *parameters =
      json_pack("[o, o, o, o, o, o]", text_or_null(choice->what), text_or_null(choice->scale),
                text_or_null(choice->dataset), text_or_null(choice->device),
                text_or_null(choice->paper), text_or_null(choice->other_papers));
  bool good = store_query(store, list_sql, parameters, sweeps, error);
  json_decref(parameters);
  return good;
}

void sweeps_print(const json_t *sweeps, bool json, FILE *out) {
  static const char *const heads[] = {"run",   "scale", "data",        "device",   "rows",
                                      "seeds", "steps", "trials done", "last used"};
  if (json) {
    document_print(document_make("runs", (DocumentOf){0}, json_pack("{s:O}", "runs", sweeps)), out);
    return;
  }
  Sheet sheet = sheet_make((int)json_array_size(sweeps) + 1, 9);
  for (int i = 0; i < 9; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  const json_t *one;
  size_t k;
  json_array_foreach(sweeps, k, one) {
    int at = (int)k + 1;
    sheet_set(&sheet, at, 0, "%d", field_whole(one, "run"));
    sheet_set(&sheet, at, 1, "%s", field_text(one, "scale"));
    sheet_set(&sheet, at, 2, "%s", field_text(one, "dataset"));
    sheet_set(&sheet, at, 3, "%s", field_text(one, "device"));
    sheet_set(&sheet, at, 4, "%d", field_whole(one, "rows"));
    sheet_set(&sheet, at, 5, "%d", field_whole(one, "seeds"));
    sheet_set(&sheet, at, 6, "%s", field_text_if(one, "steps"));
    sheet_set(&sheet, at, 7, "%d of %d", field_whole(one, "done"), field_whole(one, "trials"));
    sheet_set(&sheet, at, 8, "%.10s %.5s", field_text(one, "used"), field_text(one, "used") + 11);
  }
  sheet_fitted(&sheet, true, out);
  sheet_free(&sheet);
}

static bool has_option(Store *store, int run, const char *word, bool *has, Error *error) {
  size_t length = strcspn(word, "=");
  json_t *rows = NULL, *parameters = json_pack("[i, s%, o]", run, word, length,
                                               json_name(word[length] ? word + length + 1 : ""));
  bool good = store_query(store, others_sql, parameters, &rows, error);
  if (good) *has = *has && field_whole(json_array_get(rows, 0), "others") == 0;
  json_decref(rows);
  json_decref(parameters);
  return good;
}

bool sweeps_choose(Store *store, ResultChoice *choice, char *const *word, int words, Error *error) {
  json_t *sweeps = NULL, *one;
  size_t i;
  bool good = sweeps_list(store, choice, &sweeps, error), found = false;
  json_array_foreach(sweeps, i, one) {
    int run = field_whole(one, "run");
    found = choice->plan_id == 0 || choice->plan_id == run;
    for (int k = 0; good && k < words; k++) good = has_option(store, run, word[k], &found, error);
    if (!good || !found) continue;
    choice->plan_id = run;
    break;
  }
  json_decref(sweeps);
  if (!good || found) return good;
  return fail(error, "no stored run of %s is so; `harness table %s --list` lists what there is",
              choice->what, choice->what);
}

void sweeps_tell(Store *store, const ResultChoice *choice, const Result *result, FILE *out) {
  json_t *sweeps = NULL, *one;
  const json_t *shown = NULL;
  Error unread = {""};
  size_t i;
  int others = 0;
  if (!choice->what || !sweeps_list(store, choice, &sweeps, &unread)) return;
  json_array_foreach(sweeps, i, one) if (field_whole(one, "run") == result->plan_id) shown = one;
  json_array_foreach(sweeps, i, one) others +=
      shown && !strcmp(field_text(one, "scale"), field_text(shown, "scale")) &&
      !strcmp(field_text(one, "dataset"), field_text(shown, "dataset")) &&
      !strcmp(field_text(one, "device"), field_text(shown, "device")) &&
      strcmp(field_text_if(one, "steps"), field_text_if(shown, "steps"));
  if (others)
    fprintf(out,
            "harness: run %d is shown, the newest, of %s steps; %d of other steps %s stored too: "
            "`harness table %s --list`, then --run N\n",
            (int)result->plan_id, field_text_if(shown, "steps"), others, others == 1 ? "is" : "are",
            choice->what);
  json_decref(sweeps);
}
