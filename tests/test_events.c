/* Every event of the table, through a real `harness run` whose trial is this program: each field
 * must arrive in its column. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "src/store/event.h"
#include "src/store/store.h"

#include <cmocka.h> /* last: it makes a macro of `fail` */

static char own[4096]; /* this program */

/* ---- the trial ------------------------------------------------------------------------------- */

/* Texts that only some words can stand for; else the field's own name serves. */
static const char *word_for(const char *field) {
  return !strcmp(field, "status") ? "done" : !strcmp(field, "situation") ? "both" : field;
}

/* Another number in every field of every event. */
static double number_for(int event, int field) {
  return 100 * (event + 1) + field + 1;
}

static Event fill(int kind) {
  Event event = {.kind = (EventKind)kind};
  for (int i = 0; event_table[kind].field[i].name; i++) {
    const EventField *field = &event_table[kind].field[i];
    void *at = (char *)&event + field->offset;
    if (field->kind == EVENT_TEXT) *(Event_TEXT *)at = word_for(field->name);
    if (field->kind == EVENT_WHOLE) *(Event_WHOLE *)at = (int64_t)number_for(kind, i);
    if (field->kind == EVENT_NUMBER) *(Event_NUMBER *)at = number_for(kind, i) + 0.5;
  }
  return event;
}

static int play_trial(void) {
  FILE *events = fdopen(3, "w");
  for (int kind = 0; kind < EVENT_COUNT; kind++) {
    Event event = fill(kind);
    if (kind != EVENT_end) event_send(events, &event);
  }
  Event end = fill(EVENT_end);
  event_send(events, &end);
  return 0;
}

/* ---- the parent ------------------------------------------------------------------------------ */

static json_t *ask(Store *store, const char *sql) {
  Error error = {""};
  json_t *rows;
  if (!store_query(store, sql, NULL, &rows, &error)) fail_msg("%s", error.text);
  if (json_array_size(rows) != 1) fail_msg("%s: %zu rows", sql, json_array_size(rows));
  json_t *value = json_incref(json_object_get(json_array_get(rows, 0), "value"));
  json_decref(rows);
  return value;
}

static void check_column(Store *store, const char *table, int kind, int at) {
  const EventField *field = &event_table[kind].field[at];
  char sql[256];
  snprintf(sql, sizeof sql, "SELECT %s AS value FROM %s", field->name, table);
  json_t *value = ask(store, sql);
  bool good =
      field->kind == EVENT_TEXT
          ? json_is_string(value) && !strcmp(json_string_value(value), word_for(field->name))
          : json_number_value(value) ==
                number_for(kind, at) + (field->kind == EVENT_NUMBER ? 0.5 : 0);
  if (!good) fail_msg("%s of the event %s did not arrive", field->name, event_table[kind].name);
  json_decref(value);
}

/* What the parent makes of an end: the columns of the same name. */
static void check_end(Store *store) {
  static const char *const kept[] = {"status", "message", "train_s", "eval_s"};
  for (int i = 0; event_table[EVENT_end].field[i].name; i++)
    for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
      if (!strcmp(event_table[EVENT_end].field[i].name, kept[k]))
        check_column(store, "attempts", EVENT_end, i);
}

static void test_all_arrive(void **state) {
  (void)state;
  char folder[] = "/tmp/harness-events-XXXXXX", command[9000], path[64], build[4096];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/h.db", folder);
  snprintf(build, sizeof build, "%s", own);
  for (int i = 0; i < 2; i++) *strrchr(build, '/') = 0; /* BUILD/tests/test_events */
  snprintf(
      command, sizeof command,
      "tests/make_experiment rows=1 seeds=1 >%s/experiment.json && HARNESS_TRIAL_PROGRAM='%.4000s' "
      "'%.4000s/harness' run -q %s/experiment.json --db %s >%s/out",
      folder, own, build, folder, path, folder);
  int code = system(command);
  if (code) fail_msg("the run ended with %d", code);
  Error error = {""};
  Store *store;
  if (!store_open(&store, path, STORE_READ, &error)) fail_msg("%s", error.text);
  for (int kind = 0; kind < EVENT_COUNT; kind++)
    for (int i = 0; event_table[kind].field[i].name; i++)
      if (event_table[kind].field[i].stored) check_column(store, event_table[kind].table, kind, i);
  check_end(store);
  store_close(store);
  snprintf(command, sizeof command, "rm -r %s", folder);
  assert_int_equal(system(command), 0);
}

/* ---- one line -------------------------------------------------------------------------------- */

/* What arrives of an event; *json keeps its texts. */
static Event sent(const Event *event, json_t **json) {
  char *line = NULL;
  size_t bytes = 0;
  Error error = {""};
  Event read;
  FILE *memory = open_memstream(&line, &bytes);
  event_send(memory, event);
  fclose(memory);
  assert_ptr_equal(strchr(line, '\n'), line + bytes - 1); /* one line */
  *json = json_loads(line, 0, NULL);
  assert_non_null(*json);
  if (!event_read(*json, &read, &error)) fail_msg("%s", error.text);
  free(line);
  return read;
}

static void test_what_is_not_known(void **state) {
  (void)state;
  json_t *json;
  Event event = fill(EVENT_step);
  event.step.loss = NAN;
  event.step.grad_norm = INFINITY;
  Event read = sent(&event, &json);
  assert_true(isnan(read.step.loss) && isnan(read.step.grad_norm));
  assert_true(json_is_null(json_object_get(json, "grad_norm")));
  assert_true(read.step.lr == event.step.lr && read.step.step == event.step.step);
  json_decref(json);
}

static void test_names_that_are_no_text(void **state) {
  (void)state;
  json_t *json;
  Event event = fill(EVENT_metric), other = fill(EVENT_metric);
  event.metric.case_name = "caf\xe9\n\"1\"";
  other.metric.case_name = "\xc3\xa9\xe2\x82\xac"; /* proper UTF-8 stays */
  Event read = sent(&event, &json);
  assert_string_equal(read.metric.case_name, "caf%E9\n\"1\"");
  json_decref(json);
  read = sent(&other, &json);
  assert_string_equal(read.metric.case_name, other.metric.case_name);
  json_decref(json);
}

static void refuse(const char *text, const char *expected) {
  Error error = {""};
  Event event;
  json_t *json = json_loads(text, 0, NULL);
  assert_non_null(json);
  assert_false(event_read(json, &event, &error));
  if (!strstr(error.text, expected)) fail_msg("\"%s\" lacks \"%s\"", error.text, expected);
  json_decref(json);
}

static void test_what_is_refused(void **state) {
  (void)state;
  refuse("{}", "unknown event \"\"");
  refuse("{\"event\": \"song\"}", "unknown event \"song\"");
  refuse("{\"event\": \"eval\", \"cases\": 2}", "lacks a proper \"cases_done\"");
  refuse("{\"event\": \"eval\", \"cases\": 2, \"cases_done\": 0.5}",
         "lacks a proper \"cases_done\"");
  refuse("{\"event\": \"probe\", \"determinism\": null}", "lacks a proper \"determinism\"");
  refuse("{\"event\": \"eval\", \"cases\": 2, \"cases_done\": 1, \"case\": 1}",
         "no field \"case\"");
  refuse(
      "{\"event\": \"metric\", \"split\": \"val\", \"case_name\": \"a\", \"label\": 1, \"name\": "
      "\"b\", \"metric\": \"dice\", \"value\": null, \"situation\": \"missed\"}",
      "null exactly when");
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "trial") == 0) return play_trial();
  if (readlink("/proc/self/exe", own, sizeof own - 1) < 0) return 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_arrive),
      cmocka_unit_test(test_what_is_not_known),
      cmocka_unit_test(test_names_that_are_no_text),
      cmocka_unit_test(test_what_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
