#include "src/train/course.h"

#include <math.h>
#include <string.h>

void course_tell(Course *course, FILE *events, const Event *step) {
  if (!course->told) course->told = json_array();
  json_array_append_new(course->told, event_json(step));
  event_send(events, step);
}

void course_repeat(const Course *course, FILE *events) {
  size_t i;
  json_t *told;
  json_array_foreach(course->told, i, told) {
    Event event;
    Error none = {""};
    if (event_read(told, &event, &none)) event_send(events, &event);
  }
}

void course_free(Course *course) {
  json_decref(course->told);
  course->told = NULL;
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static json_t *number(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

/* Reads back to the same bits: jansson writes 17 digits. */
char *course_text(const Course *course, const CollapseWatch *watch) {
  const Window *w = &course->window;
  json_t *sums = json_array(), *told = course->told ? json_incref(course->told) : json_array();
  for (int i = 0; i < STEPPER_RESULTS; i++) json_array_append_new(sums, number(w->value[i]));
  json_t *json = json_pack("{s:o, s:o, s:i, s:i, s:o, s:i, s:o}", "sums", sums, "norm",
                           number(w->norm), "steps", w->steps, "clipped", w->clipped, "dice",
                           number(watch->mean), "measured", watch->measured, "told", told);
  char *text = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  CHECK(text, "no memory for the course of a training");
  return text;
}

static bool take_number(const json_t *value, double *number) {
  *number = json_is_number(value) ? json_number_value(value) : NAN;
  return json_is_number(value) || json_is_null(value);
}

static bool take_count(const json_t *value, int *count) {
  json_int_t found = json_integer_value(value);
  *count = (int)found;
  return json_is_integer(value) && found >= 0 && found == *count;
}

static bool take_window(const json_t *json, Window *w) {
  const json_t *sums = json_object_get(json, "sums");
  bool good = json_array_size(sums) == STEPPER_RESULTS;
  for (size_t i = 0; i < STEPPER_RESULTS; i++)
    good = take_number(json_array_get(sums, i), &w->value[i]) && good;
  return good && take_number(json_object_get(json, "norm"), &w->norm) &&
         take_count(json_object_get(json, "steps"), &w->steps) &&
         take_count(json_object_get(json, "clipped"), &w->clipped);
}

static bool are_steps(const json_t *told, Error *error) {
  size_t i;
  json_t *one;
  json_array_foreach((json_t *)(uintptr_t)told, i, one) {
    Event event;
    if (!event_read(one, &event, error)) return false;
    if (event.kind != EVENT_step) return fail(error, "an event that is no step");
  }
  return json_is_array(told) || fail(error, "no list of what was told");
}

bool course_read(Course *course, CollapseWatch *watch, const char *text, const char *path,
                 Error *error) {
  json_error_t syntax;
  Error why = {""};
  json_t *json = json_loads(text, 0, &syntax), *told = json_object_get(json, "told");
  *course = (Course){0};
  bool good = json ? take_window(json, &course->window) &&
                         take_number(json_object_get(json, "dice"), &watch->mean) &&
                         take_count(json_object_get(json, "measured"), &watch->measured)
                   : fail(&why, "%s", syntax.text);
  good = good && are_steps(told, &why);
  if (good) course->told = json_incref(told);
  json_decref(json);
  return good || fail(error, "%s: the course of its training cannot be read%s%s", path,
                      why.text[0] ? ": " : "", why.text);
}
