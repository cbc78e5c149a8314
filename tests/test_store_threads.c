/* Two handles of one database in two threads, as two programs have it: what both write is there. */
#include "tests/store_files.h"

#include <pthread.h>

enum { TRIALS = 6 };

static void *write_attempts(void *user) {
  const char *scale = user;
  Store *store = open_store(STORE_WRITE);
  int64_t plan;
  int count;
  json_t *experiment = make_experiment(TRIALS / 2, scale);
  Cell *trials = add(store, experiment, &plan, &count);
  for (int i = 0; i < count; i++) attempt(store, trials[i].id, STATUS_DONE, one_value(.5));
  free(trials);
  json_decref(experiment);
  store_close(store);
  return NULL;
}

static void *read_attempts(void *user) {
  for (int i = 0; i < TRIALS; i++) {
    Store *store = open_store(STORE_READ);
    assert_true(ask(store, "SELECT count(*) FROM v_score") >= 0);
    store_close(store);
  }
  return user;
}

static void handles_of_two_threads(void **state) {
  (void)state;
  static char quick[] = "quick", small[] = "small";
  pthread_t thread[3];
  store_close(open_store(STORE_WRITE));
  assert_int_equal(pthread_create(&thread[0], NULL, write_attempts, quick), 0);
  assert_int_equal(pthread_create(&thread[1], NULL, write_attempts, small), 0);
  assert_int_equal(pthread_create(&thread[2], NULL, read_attempts, NULL), 0);
  for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
  Store *store = open_store(STORE_READ);
  assert_near(ask(store, "SELECT count(*) FROM plans"), 2);
  assert_near(ask(store, "SELECT count(*) FROM attempts WHERE status = 'done'"), 2 * TRIALS);
  assert_near(
      ask(store, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
  store_close(store);
}

int main(void) {
  const struct CMUnitTest tests[] = {CASE(handles_of_two_threads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
