/* The course of a training comes back from its checkpoint to the bit, and a hostile one is refused.
 * */
#include "src/train/course.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const Event step = {EVENT_step, .step = {.step = 7,
                                                .steps = 20,
                                                .loss = 1. / 3,
                                                .class_loss = NAN,
                                                .bce_loss = 1e-300,
                                                .dice_loss = -.1,
                                                .lr = .01,
                                                .grad_norm = 12345.678901234567,
                                                .clipped = 3,
                                                .val_dice = NAN}};

static void test_it_comes_back(void **state) {
  (void)state;
  Error error = {""};
  char *sent = NULL, *again = NULL;
  size_t bytes;
  Course course = {.window = {{.1, 2. / 3, NAN, 0}, M_PI, 4, 1}}, back;
  CollapseWatch watch = {.mean = .7 / 3, .measured = 5}, other = {.patches = NULL};
  FILE *events = open_memstream(&sent, &bytes);
  course_tell(&course, events, &step);
  course_tell(&course, events, &step);
  fclose(events);
  char *text = course_text(&course, &watch);
  assert_true(course_read(&back, &other, text, "file", &error));
  assert_true(back.window.value[0] == .1 && back.window.value[1] == 2. / 3);
  assert_true(isnan(back.window.value[2]) && back.window.value[3] == 0);
  assert_true(back.window.norm == M_PI && back.window.steps == 4 && back.window.clipped == 1);
  assert_true(other.mean == watch.mean && other.measured == 5);
  events = open_memstream(&again, &bytes);
  course_repeat(&back, events);
  fclose(events);
  assert_string_equal(sent, again);
  char *same = course_text(&back, &other);
  assert_string_equal(text, same);
  course_free(&course);
  course_free(&back);
  free(sent), free(again), free(text), free(same);
}

static void test_what_is_none_is_refused(void **state) {
  (void)state;
#define START                                                                                      \
  "{\"sums\":[1,2,3,4],\"norm\":1,\"steps\":1,\"clipped\":0,\"dice\":0,\"measured\":0,\"told\":"
  static const char *const texts[] = {"",
                                      "x",
                                      "[]",
                                      "{}",
                                      START "1}",
                                      START "[1]}",
                                      START "[{\"event\":\"step\"}]}",
                                      START "[{\"event\":\"eval\",\"cases_done\":1,\"cases\":2}]}",
                                      "{\"sums\":[1,2,3],\"norm\":1,\"steps\":1,\"clipped\":0,"
                                      "\"dice\":0,\"measured\":0,\"told\":[]}",
                                      "{\"sums\":[1,2,3,4],\"norm\":1,\"steps\":-1,\"clipped\":0,"
                                      "\"dice\":0,\"measured\":0,\"told\":[]}",
                                      "{\"sums\":[1,2,3,4],\"norm\":1,\"steps\":1e9,\"clipped\":0,"
                                      "\"dice\":0,\"measured\":0,\"told\":[]}"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    Error error = {""};
    Course course;
    CollapseWatch watch = {.patches = NULL};
    if (course_read(&course, &watch, texts[i], "FILE", &error)) fail_msg("taken: %s", texts[i]);
    assert_memory_equal(error.text, "FILE: the course of its training cannot be read", 47);
    course_free(&course);
  }
  Error error = {""};
  Course course;
  CollapseWatch watch = {.patches = NULL};
  assert_true(course_read(&course, &watch, START "[]}", "FILE", &error));
  course_free(&course);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_it_comes_back),
                                     cmocka_unit_test(test_what_is_none_is_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
