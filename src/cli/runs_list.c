/* harness runs list: trials with their state and figure. */
#include <string.h>

#include "src/cli/cli.h"
#include "src/cli/runs.h"
#include "src/data/sets/json_text.h"
#include "src/machine/document.h"
#include "src/report/sheet.h"
#include "src/store/field.h"

/* Where a trial stands in the tables; a try of a rate (tries.h) in that whose rate it is of. */
static const char list_sql[] =
    "WITH place AS (SELECT c.trial_id, p.used, e.name, r.key FROM"
    "  (SELECT row_id, trial_id FROM cells UNION ALL SELECT row_id, trial_id FROM tries) c"
    "  JOIN rows r ON r.id = c.row_id JOIN plans p ON p.id = r.plan_id"
    "  JOIN experiments e ON e.id = p.experiment_id)"
    " SELECT t.hash, t.status, t.scale, t.dataset, t.device, t.seed, t.fold,"
    " (SELECT name FROM place p WHERE p.trial_id = t.id ORDER BY used DESC LIMIT 1) AS experiment,"
    " trim(coalesce((SELECT key FROM place p WHERE p.trial_id = t.id ORDER BY used DESC LIMIT 1),"
    "  '') || iif(t.config ->> '$.inner_split' IS NULL, '', ' try lr=' || (t.config ->> '$.lr')))"
    "  AS \"row\","
    " (SELECT s.value FROM v_score s WHERE s.trial_id = t.id ORDER BY s.metric <> 'dice' LIMIT 1)"
    "  AS figure,"
    " (SELECT s.metric FROM v_score s WHERE s.trial_id = t.id ORDER BY s.metric <> 'dice' LIMIT 1)"
    "  AS metric,"
    " (SELECT count(*) FROM attempts a WHERE a.trial_id = t.id AND a.removed = 0) AS attempts,"
    " (SELECT a.wall_s FROM attempts a WHERE a.trial_id = t.id AND a.removed = 0"
    "  ORDER BY a.id DESC LIMIT 1) AS wall_s,"
    " (SELECT a.message FROM attempts a WHERE a.trial_id = t.id AND a.removed = 0"
    "  ORDER BY a.id DESC LIMIT 1) AS message,"
    " (SELECT group_concat(text, ' ') FROM remarks m WHERE m.trial_id = t.id AND kind = 'tag')"
    "  AS tags"
    " FROM trials t WHERE (t.status = ?1 OR ?1 IS NULL)"
    " AND (?2 IS NULL OR EXISTS (SELECT 1 FROM place p WHERE p.trial_id = t.id AND p.name = ?2))"
    " AND (?4 IS NULL OR EXISTS (SELECT 1 FROM remarks m WHERE m.trial_id = t.id AND kind = 'tag'"
    "  AND text = ?4))"
    " ORDER BY CASE ?3 WHEN 'figure' THEN figure WHEN 'wall' THEN wall_s"
    "  WHEN 'attempts' THEN attempts END DESC, t.id";

static void print_list(const json_t *trials) {
  static const char *const heads[] = {"trial", "status", "experiment", "row",      "seed", "scale",
                                      "data",  "device", "figure",     "attempts", "wall"};
  static const char *const told[] = {"attempts",   "device", "scale", "data",
                                     "experiment", "seed",   NULL};
  int count = (int)json_array_size(trials);
  Sheet sheet = sheet_make(count + 1, 11);
  for (int i = 0; i < 11; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  for (int i = 0; i < count; i++) {
    const json_t *trial = json_array_get(trials, (size_t)i);
    sheet_set(&sheet, i + 1, 0, "%.8s", field_text(trial, "hash"));
    sheet_set(&sheet, i + 1, 1, "%s", field_text(trial, "status"));
    sheet_set(&sheet, i + 1, 2, "%s", field_text(trial, "experiment"));
    sheet_set(&sheet, i + 1, 3, "%s", field_text(trial, "row"));
    sheet_set(&sheet, i + 1, 4, "%d", (int)field_number(trial, "seed"));
    sheet_set(&sheet, i + 1, 5, "%s", field_text(trial, "scale"));
    sheet_set(&sheet, i + 1, 6, "%s", field_text(trial, "dataset"));
    sheet_set(&sheet, i + 1, 7, "%s", field_text(trial, "device"));
    sheet_set(&sheet, i + 1, 8, field_known(trial, "figure") ? "%.3f" : "-",
              field_number(trial, "figure"));
    sheet_set(&sheet, i + 1, 9, "%d", (int)field_number(trial, "attempts"));
    sheet_set(&sheet, i + 1, 10, field_known(trial, "wall_s") ? "%.1f s" : "-",
              field_number(trial, "wall_s"));
  }
  sheet_narrow(&sheet, told, stdout);
  sheet_free(&sheet);
}

/* `running` in the database is only true while somebody holds the lock. */
static void tell_stale(const json_t *trials, const char *path) {
  int running = 0;
  const json_t *trial;
  size_t i;
  json_array_foreach(trials, i, trial) running += !strcmp(field_text(trial, "status"), "running");
  if (running && !store_lock_holder(path))
    fprintf(stderr,
            "harness: %d trial%s read running, but their program has died; the next run "
            "goes on with them\n",
            running, running == 1 ? "" : "s");
}

int runs_list(Store *store, const RunsChoice *choice, Error *error) {
  json_t *name = choice->experiment ? json_name(choice->experiment) : json_null(), *trials,
         *parameters = json_pack("[s?, o, s?, o]", choice->status, name, choice->sort,
                                 choice->tag ? json_name(choice->tag) : json_null());
  bool good = store_query(store, list_sql, parameters, &trials, error);
  json_decref(parameters);
  if (!good) return EXIT_UNFIT;
  tell_stale(trials, store_path(store));
  if (choice->json)
    document_print(document_make("trials", (DocumentOf){0}, json_pack("{s:O}", "trials", trials)),
                   stdout);
  else
    print_list(trials);
  int code = json_array_size(trials) ? EXIT_DONE : EXIT_NOTHING;
  if (code) fail(error, "%s: no such trial is stored", store_path(store));
  json_decref(trials);
  return code;
}
