/* Claims of many processes on one folder, some of them killed at any moment: each unit is done
 * once, by one that had it, and whoever lives is not robbed. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/cli/claims.h"

#include <cmocka.h>

enum { UNITS = 120, WORKERS = 8, KILLS = 40 };

static char folder[64];

static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/harness-claims-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command);
}

static bool everybody_lives(void *user, const char *worker) {
  (void)user, (void)worker;
  return true;
}

static bool nobody_lives(void *user, const char *worker) {
  (void)user, (void)worker;
  return false;
}

/* Workers are named by their process. */
static bool process_lives(void *user, const char *worker) {
  (void)user;
  return kill(atoi(worker), 0) == 0;
}

static Claims claims_of(const char *worker, bool (*lives)(void *, const char *)) {
  Error error = {""};
  Claims claims = {.folder = folder, .worker = worker, .lives = lives};
  if (!claims_folders(&claims, &error)) fail_msg("%s", error.text);
  return claims;
}

static ClaimState look(const Claims *claims, const char *unit) {
  Error error = {""};
  ClaimState state;
  if (!claims_look(claims, unit, &state, &error)) fail_msg("%s", error.text);
  return state;
}

static bool take(const Claims *claims, const char *unit) {
  Error error = {""};
  ClaimState state = look(claims, unit);
  bool taken;
  if (!claims_take(claims, unit, &state, NULL, &taken, &error)) fail_msg("%s", error.text);
  return taken;
}

static void assert_holder(const char *unit, int number, const char *worker) {
  json_t *claim = claims_read(folder, unit, number);
  assert_string_equal(json_string_value(json_object_get(claim, "worker")), worker);
  json_decref(claim);
}

static void test_one_takes_it(void **state) {
  (void)state;
  const Claims a = claims_of("a", everybody_lives), b = claims_of("b", everybody_lives);
  ClaimState before = look(&b, "u.0");
  Error error = {""};
  bool taken;
  assert_false(before.done || before.held);
  assert_true(take(&a, "u.0"));
  assert_true(claims_take(&b, "u.0", &before, NULL, &taken, &error)); /* it saw it free */
  assert_false(taken);
  assert_true(look(&b, "u.0").held);
  assert_holder("u.0", 0, "a");
  assert_true(claims_give_back(&a, "u.0", 0, &error));
  assert_false(look(&b, "u.0").held);
  assert_true(take(&b, "u.0"));
  assert_holder("u.0", 1, "b");
  assert_true(claims_lost(&a, "u.0", 0));
  assert_false(claims_lost(&b, "u.0", 1));
}

static void test_first_done_counts(void **state) {
  (void)state;
  const Claims a = claims_of("a", nobody_lives), b = claims_of("b", everybody_lives);
  Error error = {""};
  bool first;
  assert_true(take(&a, "u.0"));
  const Claims c = claims_of("c", nobody_lives);
  assert_true(take(&c, "u.0")); /* a is thought to be gone */
  assert_true(claims_finish(&a, "u.0", NULL, &first, &error));
  assert_true(first);
  assert_true(claims_finish(&c, "u.0", NULL, &first, &error));
  assert_false(first);
  assert_holder("u.0", -1, "a");
  ClaimState after = look(&b, "u.0");
  assert_true(after.done && !after.held && !after.given_up);
}

static void test_what_kills_is_left(void **state) {
  (void)state;
  const Claims claims = claims_of("a", nobody_lives);
  Error error = {""};
  for (int i = 0; i < CLAIM_DEATHS; i++) {
    assert_false(look(&claims, "u.0").given_up);
    assert_true(take(&claims, "u.0"));
    assert_int_equal(look(&claims, "u.0").deaths, i + 1);
  }
  assert_true(look(&claims, "u.0").given_up);
  for (int i = 0; i < 2 * CLAIM_DEATHS; i++) { /* who gives back did not die */
    assert_true(take(&claims, "v.0"));
    assert_true(claims_give_back(&claims, "v.0", i, &error));
  }
  assert_int_equal(look(&claims, "v.0").deaths, 0);
}

static void test_rubbish_is_told(void **state) {
  (void)state;
  const Claims claims = claims_of("a", everybody_lives);
  char path[128];
  snprintf(path, sizeof path, "%s/claims/u.0.0", folder);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fclose(file);
  Error error = {""};
  ClaimState of;
  assert_false(claims_look(&claims, "u.0", &of, &error));
  assert_non_null(strstr(error.text, "claims/u.0.0: this is no claim"));
}

/* ---- many processes -------------------------------------------------------------------------- */

/* A unit is worked on in a moment that another could not share: its file is made anew. */
static void work_on(const char *unit) {
  char path[160];
  snprintf(path, sizeof path, "%s/at-%s-%d", folder, unit, (int)getpid());
  close(open(path, O_CREAT | O_EXCL | O_WRONLY, 0600));
  usleep(300);
  unlink(path);
}

static bool one_turn(const Claims *claims, unsigned *seed) {
  int open_units = 0, from = rand_r(seed) % UNITS;
  Error error = {""};
  for (int i = 0; i < UNITS; i++) {
    char unit[32];
    ClaimState state;
    bool taken, first;
    snprintf(unit, sizeof unit, "u%d.0", (from + i) % UNITS);
    if (!claims_look(claims, unit, &state, &error)) _exit(3);
    if (state.done) continue;
    open_units++;
    if (state.held) continue;
    if (!claims_take(claims, unit, &state, NULL, &taken, &error)) _exit(4);
    if (!taken) continue;
    work_on(unit);
    if (!claims_finish(claims, unit, NULL, &first, &error)) _exit(5);
    if (!first) _exit(6); /* somebody took it from one that lives */
  }
  return open_units > 0;
}

static pid_t start_worker(int number) {
  pid_t pid = fork();
  if (pid) return pid;
  char name[24];
  unsigned seed = (unsigned)number * 7919 + 1;
  snprintf(name, sizeof name, "%d", (int)getpid());
  const Claims claims = {.folder = folder, .worker = name, .lives = process_lives};
  while (one_turn(&claims, &seed)) usleep(1000);
  _exit(0);
}

static void assert_done_once(const char *unit, int *overtaken) {
  json_t *done = claims_read(folder, unit, -1), *last = NULL, *next;
  assert_non_null(done);
  int taken = 0;
  for (; (next = claims_read(folder, unit, taken)); taken++) {
    json_decref(last);
    last = next;
  }
  assert_true(json_equal(json_object_get(done, "worker"), json_object_get(last, "worker")));
  *overtaken += taken > 1;
  json_decref(done);
  json_decref(last);
}

/* Killed ones are reaped and replaced at once, so that their process is known to be gone. */
static void test_killed_at_any_moment(void **state) {
  (void)state;
  pid_t pid[WORKERS];
  int started = 0, status, overtaken = 0;
  unsigned seed = 1;
  claims_of("parent", everybody_lives);
  for (int i = 0; i < WORKERS; i++) pid[i] = start_worker(started++);
  for (int kills = 0; kills < KILLS; kills++) {
    int victim = rand_r(&seed) % WORKERS;
    usleep((useconds_t)(rand_r(&seed) % 3000));
    kill(pid[victim], SIGKILL);
    assert_int_equal(waitpid(pid[victim], &status, 0), pid[victim]);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    pid[victim] = start_worker(started++);
  }
  for (int i = 0; i < WORKERS; i++) {
    assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
  }
  for (int i = 0; i < UNITS; i++) {
    char unit[32];
    snprintf(unit, sizeof unit, "u%d.0", i);
    assert_done_once(unit, &overtaken);
  }
  print_message("%d of %d units were taken over\n", overtaken, UNITS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(test_one_takes_it),    CASE(test_first_done_counts),    CASE(test_what_kills_is_left),
      CASE(test_rubbish_is_told), CASE(test_killed_at_any_moment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
