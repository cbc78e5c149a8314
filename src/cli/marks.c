#include "src/cli/marks.h"

#include <stdlib.h>
#include <string.h>

#include "src/machine/environment.h"
#include "src/store/code.h"
#include "src/store/typed_rows.h"

static const char build_sql[] =
    "SELECT n.binary_hash AS hash, a.weights_of IS NOT NULL AND a.weights_of NOT IN"
    " (SELECT attempt_id FROM v_attempt) AND NOT EXISTS (SELECT 1 FROM attempts w JOIN trials t"
    "  ON t.id = w.trial_id WHERE w.id = a.weights_of AND w.removed = 0 AND w.status = 'collapsed'"
    "  AND w.id = (SELECT max(id) FROM attempts WHERE trial_id = t.id)) AS replaced"
    " FROM v_attempt v JOIN attempts a ON a.id = v.attempt_id"
    " JOIN environments n ON n.id = a.environment_id WHERE v.trial_id = ?1";

typedef struct Build {
  const char *hash;
  int replaced;
} Build;

static bool mark_build(Store *store, const Cell *trial, const char *binary, Mark *mark,
                       Error *error) {
  static const Column columns[] = {COLUMN(Build, hash), COLUMN(Build, replaced), {0}};
  Build build = {binary, 0};
  json_t *texts;
  if (!store_row(store, build_sql, json_pack("[I]", (json_int_t)trial->id), columns, &build, &texts,
                 error))
    return false;
  mark->other_build = strcmp(build.hash, binary) != 0;
  mark->other_weights = build.replaced;
  json_decref(texts);
  return true;
}

static bool mark_text(Store *store, CodeToday *today, const Cell *trial, Mark *mark, Error *error) {
  CodeState state;
  const char *path = json_string_value(json_object_get(trial->config, "model_path"));
  if (!code_of_trial(store, today, trial->id, path, &state, &mark->file, error)) return false;
  mark->other_text = state == CODE_OTHER;
  mark->unknown_text = state == CODE_UNKNOWN && trial->status == STATUS_DONE;
  return true;
}

Mark *marks_read(Store *store, const char *home, const Experiment *experiment, Error *error) {
  Mark *marks = calloc((size_t)experiment->trials + 1, sizeof *marks);
  CHECK(marks, "no memory for the marks of %d trials", experiment->trials);
  CodeToday today = {.home = home};
  char binary[17];
  bool good = true;
  environment_binary(binary);
  for (int i = 0; store && good && i < experiment->trials; i++) {
    const Cell *trial = &experiment->trial[i];
    if (!trial->id || trial->status == STATUS_PLANNED) continue;
    good = mark_text(store, &today, trial, &marks[i], error) &&
           mark_build(store, trial, binary, &marks[i], error);
  }
  code_free(&today);
  if (good) return marks;
  marks_free(marks, experiment->trials);
  return NULL;
}

void marks_free(Mark *marks, int count) {
  for (int i = 0; marks && i < count; i++) free(marks[i].file);
  free(marks);
}

void marks_tell(const Experiments *experiments, Mark *const *marks, const char *head, FILE *out) {
  int texts = 0, unknown = 0, builds = 0, weights = 0;
  for (int p = 0; p < experiments->count; p++)
    for (int i = 0; i < experiments->item[p].trials; i++) {
      if (experiments_repeated(experiments, p, i)) continue;
      texts += marks[p][i].other_text;
      unknown += marks[p][i].unknown_text;
      builds += marks[p][i].other_build;
      weights += marks[p][i].other_weights;
    }
  if (texts)
    fprintf(out,
            "%s%d of these trials ran with another text of their model's Lua files; --retry stale "
            "repeats them\n",
            head, texts);
  if (weights)
    fprintf(out,
            "%s%d of these trials scored weights whose training was repeated or taken back since; "
            "--retry stale scores them again\n",
            head, weights);
  if (unknown)
    fprintf(out, "%sof %d of these trials the text of their model's Lua files was not stored\n",
            head, unknown);
  if (builds)
    fprintf(out,
            "%s%d of these trials ran with another build of the program; --retry done repeats "
            "them\n",
            head, builds);
}
