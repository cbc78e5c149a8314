/* Claims on processors by several processes at once, and the limits of control groups. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "src/machine/processors.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The only processor this process is bound to; -1: more than one. */
static int bound_to(void) {
  cpu_set_t mask;
  assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &mask)) return CPU_COUNT(&mask) == 1 ? i : -1;
  return -1;
}

/* A scope of this run's own: trials that run beside the test do not matter. */
static const char *scope(void) {
  static char text[64];
  snprintf(text, sizeof text, "harness-test-%d", (int)getpid());
  return text;
}

typedef struct Child {
  pid_t pid;
  int to, from;
} Child;

/* A process that claims one processor, says which (-1: none) and waits until it may end. */
static Child child_start(const char *name, const int *list, int count) {
  int to[2], from[2];
  char go;
  assert_int_equal(pipe(to) + pipe(from), 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(to[1]);
    int got = processors_claim(name, list, count, 1) ? bound_to() : -1;
    ssize_t sent = write(from[1], &got, sizeof got);
    _exit(sent != sizeof got || read(to[0], &go, 1) != 1);
  }
  close(to[0]);
  close(from[1]);
  return (Child){pid, to[1], from[0]};
}

static int child_answer(const Child *child) {
  int got;
  assert_int_equal(read(child->from, &got, sizeof got), sizeof got);
  return got;
}

static void child_end(const Child *child) {
  int status;
  assert_int_equal(write(child->to, "", 1), 1);
  close(child->to);
  assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
  assert_int_equal(status, 0);
  close(child->from);
}

static void test_no_two_the_same(void **state) {
  (void)state;
  int list[PROCESSORS_MAX], count = processors_list(list), seen[PROCESSORS_MAX] = {0};
  assert_true(count >= 1);
  count = count < 4 ? count : 4;
  Child child[5]; /* at once, one more than there are processors */
  for (int i = 0; i <= count; i++) child[i] = child_start(scope(), list, count);
  int none = 0;
  for (int i = 0; i <= count; i++) {
    int got = child_answer(&child[i]);
    if (got < 0) none++;
    for (int k = 0; got >= 0 && k < count; k++) seen[k] += list[k] == got;
  }
  assert_int_equal(none, 1);
  for (int k = 0; k < count; k++) assert_int_equal(seen[k], 1);
  for (int i = 0; i <= count; i++) child_end(&child[i]);
  Child later =
      child_start(scope(), list, count); /* processes that ended no longer hold a processor */
  assert_int_equal(child_answer(&later), list[0]);
  child_end(&later);
}

static void test_too_many_change_nothing(void **state) {
  (void)state;
  int list[PROCESSORS_MAX], count = processors_list(list);
  cpu_set_t before, after;
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  assert_false(processors_claim(scope(), list, count, count + 1));
  assert_false(processors_claim(scope(), list, count, 0));
  assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
  assert_true(CPU_EQUAL(&before, &after));
  Child child = child_start(scope(), list, count); /* none is held */
  assert_int_equal(child_answer(&child), list[0]);
  child_end(&child);
}

static void test_mask_is_respected(void **state) {
  (void)state;
  int list[PROCESSORS_MAX], count = processors_list(list), narrow[PROCESSORS_MAX];
  cpu_set_t before, one;
  sched_getaffinity(0, sizeof before, &before);
  CPU_ZERO(&one);
  CPU_SET(list[count - 1], &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  assert_int_equal(processors_list(narrow), 1);
  assert_int_equal(narrow[0], list[count - 1]);
  assert_int_equal(processors_usable(), 1);
  sched_setaffinity(0, sizeof before, &before);
}

static void put(const char *root, const char *name, const char *text) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", root, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void test_quota(void **state) {
  (void)state;
  char root[] = "/tmp/harness-quota-XXXXXX", command[64], folder[64];
  assert_non_null(mkdtemp(root));
  assert_int_equal(processors_quota(root), 0); /* no control groups */
  snprintf(folder, sizeof folder, "%s/cpu", root);
  mkdir(folder, 0777);
  put(root, "cpu/cpu.cfs_period_us", "100000\n");
  put(root, "cpu/cpu.cfs_quota_us", "-1\n");
  assert_int_equal(processors_quota(root), 0);
  put(root, "cpu/cpu.cfs_quota_us", "300000\n");
  assert_int_equal(processors_quota(root), 3);
  put(root, "cpu.max", "max 100000\n"); /* version 2 stands before version 1 */
  assert_int_equal(processors_quota(root), 0);
  put(root, "cpu.max", "250000 100000\n");
  assert_int_equal(processors_quota(root), 2);
  put(root, "cpu.max", "50000 100000\n");
  assert_int_equal(processors_quota(root), 1);
  snprintf(command, sizeof command, "rm -r %s", root);
  assert_int_equal(system(command), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_two_the_same),
      cmocka_unit_test(test_too_many_change_nothing),
      cmocka_unit_test(test_mask_is_respected),
      cmocka_unit_test(test_quota),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
