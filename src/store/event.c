#include "src/store/event.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "src/data/metrics/metric.h"
#include "src/data/sets/json_text.h"

enum { PASSED = false, COLUMN = true };

const EventRow event_table[EVENT_COUNT] = {
/* clang-format off */
#define EVENT(name, into, table)     {#name, EVENT_##into, #table, {
#define FIELD(event, name, kind, to)   {#name, EVENT_##kind, to, offsetof(Event, event.name)},
#define END(event)                   }},
/* clang-format on */
#include "src/store/events.def"
#undef EVENT
#undef FIELD
#undef END
};

/* ---- sending --------------------------------------------------------------------------------- */

static json_t *value_of(const Event *event, const EventField *field) {
  const void *at = (const char *)event + field->offset;
  if (field->kind == EVENT_WHOLE) return json_integer(*(const Event_WHOLE *)at);
  Event_NUMBER number = field->kind == EVENT_NUMBER ? *(const Event_NUMBER *)at : 0;
  if (field->kind == EVENT_NUMBER) return isfinite(number) ? json_real(number) : json_null();
  Event_TEXT text = *(const Event_TEXT *)at;
  CHECK(text, "the event's %s is NULL", field->name);
  return json_name(text);
}

json_t *event_json(const Event *event) {
  const EventRow *row = &event_table[event->kind];
  json_t *json = json_object();
  json_object_set_new(json, "event", json_string(row->name));
  for (const EventField *field = row->field; field->name; field++)
    json_object_set_new(json, field->name, value_of(event, field));
  return json;
}

void event_send(FILE *events, const Event *event) {
  json_t *json = event_json(event);
  json_line(json, events);
  fflush(events);
  json_decref(json);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* NULL: there is no event of this name. */
static const EventRow *row_of(const char *name) {
  for (int i = 0; i < EVENT_COUNT; i++)
    if (strcmp(name, event_table[i].name) == 0) return &event_table[i];
  return NULL;
}

static bool read_field(const json_t *value, const EventField *field, Event *event) {
  void *at = (char *)event + field->offset;
  if (field->kind == EVENT_WHOLE) {
    *(Event_WHOLE *)at = json_integer_value(value);
    return json_is_integer(value);
  }
  if (field->kind == EVENT_NUMBER) {
    *(Event_NUMBER *)at = json_is_number(value) ? json_number_value(value) : NAN;
    return json_is_number(value) || json_is_null(value);
  }
  *(Event_TEXT *)at = json_string_value(value);
  return json_is_string(value);
}

static const char *foreign_field(const json_t *json, const EventRow *row) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)json, key, value) {
    bool known = strcmp(key, "event") == 0;
    for (const EventField *field = row->field; field->name; field++)
      known = known || strcmp(key, field->name) == 0;
    if (!known) return key;
  }
  return NULL;
}

static bool metric_fits(const Event *event, Error *error) {
  const char *situation = event->metric.situation;
  bool declared = false;
  for (int i = 0; i < SITUATIONS; i++) declared = declared || !strcmp(situation, situation_name(i));
  if (!declared) return fail(error, "the trial sent a metric with situation \"%s\"", situation);
  bool absent = strcmp(situation, situation_name(SITUATION_ABSENT)) == 0;
  if (absent == isnan(event->metric.value)) return true;
  return fail(error,
              "the trial sent a metric whose value and situation \"%s\" do not fit: a value "
              "is null exactly when the structure is absent",
              situation);
}

bool event_read(const json_t *json, Event *event, Error *error) {
  const char *name = json_string_value(json_object_get(json, "event"));
  const EventRow *row = name ? row_of(name) : NULL;
  if (!row) return fail(error, "the trial sent an unknown event \"%s\"", name ? name : "");
  event->kind = (EventKind)(row - event_table);
  for (const EventField *field = row->field; field->name; field++)
    if (!read_field(json_object_get(json, field->name), field, event))
      return fail(error, "the trial's event \"%s\" lacks a proper \"%s\"", name, field->name);
  const char *foreign = foreign_field(json, row);
  if (foreign) return fail(error, "the trial's event \"%s\" has no field \"%s\"", name, foreign);
  return event->kind != EVENT_metric || metric_fits(event, error);
}

/* ---- storing --------------------------------------------------------------------------------- */

/* "lr = ?2, loss = ?3", "lr, loss" or "?2, ?3" */
static void put_columns(FILE *out, const EventRow *row, bool names, bool places) {
  int place = 2;
  for (const EventField *field = row->field; field->name; field++) {
    if (!field->stored) continue;
    fprintf(out, "%s%s", place > 2 ? ", " : " ", names ? field->name : "");
    if (places) fprintf(out, "%s?%d", names ? " = " : "", place);
    place++;
  }
}

char *event_sql(const EventRow *row) {
  char *sql = NULL;
  size_t bytes = 0;
  if (row->into == EVENT_TOLD) return NULL;
  FILE *out = open_memstream(&sql, &bytes);
  CHECK(out, "no memory for a statement");
  if (row->into == EVENT_CHANGES) {
    fprintf(out, "UPDATE %s SET", row->table);
    put_columns(out, row, true, true);
    fputs(" WHERE id = ?1", out);
  } else {
    fprintf(out, "INSERT%s INTO %s(attempt_id,", row->into == EVENT_REPLACES ? " OR REPLACE" : "",
            row->table);
    put_columns(out, row, true, false);
    fputs(") VALUES(?1,", out);
    put_columns(out, row, false, true);
    fputc(')', out);
  }
  CHECK(fclose(out) == 0 && sql, "no memory for a statement");
  return sql;
}
