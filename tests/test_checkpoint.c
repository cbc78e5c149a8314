/* Checkpoints survive: a process group killed before, or in the middle of, any system call of a
 * write; a disk that refuses any of them; a byte that is not what it was, wherever it lies. */
#define _GNU_SOURCE /* syscall */
#include "engine/optimizer.h"
#include "engine/params.h"
#include "engine/safetensors.h"
#include "tests/injected.h"
#include "tests/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

static Scratch scratch;

/* ---- system calls ---------------------------------------------------------------------------- */

/* This program's own, in place of libc's: the calls of a write are counted, and at the one of
 * number `at` it ends as `end` says. */
typedef enum End { NOTHING, KILLED, TORN, REFUSED } End;
static struct {
  End end;
  int at, calls;
  int unsynced; /* a file that was written to and not yet brought to the disk; 0: none */
} fault;

/* A power cut: what did not come to the disk is half there. */
static void die(void) {
  struct stat information;
  if (fault.unsynced && !fstat(fault.unsynced, &information) &&
      syscall(SYS_ftruncate, fault.unsynced, information.st_size / 2)) {
  }
  kill(0, SIGKILL); /* its process group */
}

/* Whether this call fails. */
static bool happens(void) {
  if (fault.end == NOTHING || ++fault.calls != fault.at) return false;
  if (fault.end != REFUSED) die();
  errno = ENOSPC;
  return true;
}

ssize_t write(int file, const void *data, size_t bytes) {
  bool torn = fault.end == TORN && fault.calls + 1 == fault.at;
  if (torn && syscall(SYS_write, file, data, bytes / 2) < 0) return -1;
  if (happens()) return -1;
  if (fault.end != NOTHING) fault.unsynced = file;
  return syscall(SYS_write, file, data, bytes);
}

int fsync(int file) {
  if (happens()) return -1;
  if (fault.unsynced == file) fault.unsynced = 0;
  return (int)syscall(SYS_fsync, file);
}

int rename(const char *from, const char *to) {
  return happens() ? -1 : renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int link(const char *from, const char *to) {
  return happens() ? -1 : linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path) {
  return happens() ? -1 : unlinkat(AT_FDCWD, path, 0);
}

/* ---- a training's numbers -------------------------------------------------------------------- */

/* As they are after so many steps. */
static Params *params_at_step(int step) {
  static const Optimizer optimizer = {.id = OPTIMIZER_adamw, .average = .9};
  Params *params = params_make(F32);
  Error error = {""};
  const ParamAs as = {.role = ROLE_WEIGHT, .init = {INIT_CONSTANT, 1, 0, 0}};
  optimizer_states(&optimizer, params);
  params_get(params, "one", 2, (int64_t[]){3, 5}, &as, &error);
  params_get(params, "two", 1, (int64_t[]){7}, &as, &error);
  if (!params_allocate(params, 1, &error)) fail_msg("%s", error.text);
  for (int b = 0; b < PARAM_BLOCKS; b++)
    for (size_t i = 0; i < params_block_bytes(params, b) / sizeof(float); i++)
      ((float *)params->host[b])[i] = (float)(1000 * step + 100 * b) + (float)i;
  params->updates = step;
  return params;
}

static bool save(int step, const char *path, Error *error) {
  char text[16];
  Params *params = params_at_step(step);
  snprintf(text, sizeof text, "%d", step);
  bool good =
      params_save(params, true, (const char *[]){"step", text, "code", "c", NULL}, path, error);
  params_free(params);
  return good;
}

/* The step that everything in the file is of; -1: it cannot be loaded, or is a mixture. */
static int step_in(const char *path) {
  char text[16];
  Error error = {""};
  Params *found = params_at_step(99);
  if (!params_load(found, true, path, &error) ||
      !checkpoint_metadata(path, "step", text, sizeof text)) {
    params_free(found);
    return -1;
  }
  Params *expected = params_at_step(atoi(text));
  bool same = found->updates == expected->updates;
  for (int i = 0; i < found->count; i++)
    for (int b = 0; b < PARAM_BLOCKS; b++)
      if (b != PARAM_FROZEN && b != PARAM_BUFFER && b != BLOCK_GRADIENT &&
          params_block_bytes(found, b)) {
        const Param *param = found->list[i];
        same = same &&
               !memcmp(params_at(found, found->host[b], param),
                       params_at(expected, expected->host[b], param), tensor_bytes(&param->shape));
      }
  params_free(found);
  params_free(expected);
  return same ? atoi(text) : -1;
}

static bool is_there(const char *path, const char *ending) {
  return access(scratch_path(&scratch, "%s%s", strrchr(path, '/') + 1, ending), F_OK) == 0;
}

/* A new path, with a checkpoint of step 1 and the one of step 0 before it. */
static const char *two_kept(void) {
  static char path[300];
  static int number;
  Error error = {""};
  snprintf(path, sizeof path, "%s", scratch_path(&scratch, "%d", number++));
  if (!save(0, path, &error) || !save(1, path, &error)) fail_msg("%s", error.text);
  assert_true(is_there(path, ".previous") && !is_there(path, ".part"));
  return path;
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* Saves step 2 in a process group of its own, which ends at system call `at`. Whether it did. */
static bool save_and_die(const char *path, End end, int at) {
  pid_t pid = fork();
  if (pid == 0) {
    Error error = {""};
    setpgid(0, 0);
    fault.end = end;
    fault.at = at;
    bool good = save(2, path, &error);
    fault.end = NOTHING;
    _exit(good ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (WIFSIGNALED(status)) assert_int_equal(WTERMSIG(status), SIGKILL);
  if (!WIFSIGNALED(status)) assert_int_equal(WEXITSTATUS(status), 0);
  return WIFSIGNALED(status);
}

/* Whatever is left is one of the two steps, whole, and the next save is as if nothing had been. */
static void test_a_write_that_is_cut_off_leaves_a_whole_checkpoint(void **state) {
  (void)state;
  Error error = {""};
  int deaths = 0;
  for (int torn = 0; torn < 2; torn++)
    for (int at = 1;; at++) {
      char note[512];
      const char *path = two_kept();
      bool died = save_and_die(path, torn ? TORN : KILLED, at);
      deaths += died;
      assert_true(is_there(path, ""));
      assert_true(checkpoint_settle(path, note, sizeof note));
      assert_string_equal(note, "");
      int step = step_in(path);
      if (step != 1 && step != 2) fail_msg("killed at call %d: step %d", at, step);
      if (!save(3, path, &error)) fail_msg("%s", error.text);
      assert_int_equal(step_in(path), 3);
      assert_false(is_there(path, ".part"));
      checkpoint_remove(path);
      assert_false(is_there(path, "") || is_there(path, ".previous"));
      if (!died) break;
    }
  /* write, fsync, unlink, link, rename, fsync of the folder */
  assert_int_equal(deaths, 12);
  injected("process group killed at, and torn in, a call of writing a checkpoint", deaths, 0);
}

/* Nothing is lost, nothing is left behind, and it is said. */
static void test_a_disk_that_refuses_leaves_what_was_there(void **state) {
  (void)state;
  for (int at = 1;; at++) {
    Error error = {""};
    char note[512];
    const char *path = two_kept();
    fault.calls = 0;
    fault.at = at;
    fault.end = REFUSED;
    bool good = save(2, path, &error);
    bool reached = fault.calls >= at;
    fault.end = NOTHING;
    assert_true(checkpoint_settle(path, note, sizeof note));
    assert_string_equal(note, "");
    int step = step_in(path);
    if (step != 1 && step != 2) fail_msg("refused at call %d: step %d", at, step);
    if (!good && !(strstr(error.text, path) && strstr(error.text, "No space left on device")))
      fail_msg("refused at call %d: %s", at, error.text);
    if (good) assert_int_equal(step, 2);
    assert_false(is_there(path, ".part"));
    checkpoint_remove(path);
    if (!reached) injected("a call of writing a checkpoint refused (ENOSPC)", at - 1, 0);
    if (!reached) break;
    assert_in_range(at, 1, 7);
  }
}

static char *bytes_of(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  fseek(file, 0, SEEK_END);
  *bytes = (size_t)ftell(file);
  rewind(file);
  char *all = malloc(*bytes);
  assert_int_equal(fread(all, 1, *bytes, file), *bytes);
  fclose(file);
  return all;
}

/* The checkpoint is damaged: it is named, and the one before it is used. */
static void previous_is_used(const char *path, const char *what, size_t where) {
  char note[512], expected[512];
  snprintf(expected, sizeof expected,
           "goes on from the checkpoint before its last, which is not whole: %s", path);
  assert_int_equal(step_in(path), -1);
  if (!checkpoint_settle(path, note, sizeof note))
    fail_msg("%s at %zu: nothing is left", what, where);
  if (strncmp(note, expected, strlen(expected))) fail_msg("%s at %zu: \"%s\"", what, where, note);
  assert_int_equal(step_in(path), 0);
  assert_false(is_there(path, ".previous"));
}

static void test_damage_anywhere_is_seen(void **state) {
  (void)state;
  size_t bytes, older;
  const char *path = two_kept();
  const char *previous = scratch_path(&scratch, "%s.previous", strrchr(path, '/') + 1);
  char *good = bytes_of(path, &bytes), *before = bytes_of(previous, &older);
  for (size_t i = 0; i < bytes; i++) {
    good[i] ^= (char)(1 << i % 8);
    bytes_write(path, good, bytes);
    good[i] ^= (char)(1 << i % 8);
    bytes_write(previous, before, older);
    previous_is_used(path, "a bit turned", i);
  }
  for (size_t length = 0; length < bytes; length += 1 + length / 16) {
    bytes_write(path, good, length);
    bytes_write(previous, before, older);
    previous_is_used(path, "cut", length);
  }
  injected("a bit of a checkpoint turned, every byte of it", (int)bytes, 0);
  free(good);
  free(before);
  checkpoint_remove(path);
}

static void test_what_is_gone_and_what_is_nowhere_whole(void **state) {
  (void)state;
  char note[512];
  const char *path = two_kept();
  unlink(path);
  assert_true(checkpoint_settle(path, note, sizeof note));
  assert_non_null(strstr(note, "goes on from the checkpoint before its last, which is gone"));
  assert_int_equal(step_in(path), 0);
  text_write(path, "no checkpoint");
  text_write(scratch_path(&scratch, "%s.previous", strrchr(path, '/') + 1), "nor this");
  assert_false(checkpoint_settle(path, note, sizeof note));
  assert_non_null(strstr(note, "begins anew: its checkpoint is not whole: "));
  assert_non_null(strstr(note, "; nor is the one before it: "));
  checkpoint_remove(path);
  assert_false(checkpoint_settle(path, note, sizeof note));
  assert_string_equal(note, "");
}

/* What others write has no checksum. */
static void test_files_without_a_checksum_are_read(void **state) {
  (void)state;
  Error error = {""};
  float number = 1;
  const TensorToStore tensor = {"one", F32, 1, (int64_t[]){1}, &number};
  const char *path = scratch_path(&scratch, "plain");
  assert_true(safetensors_write(path, NULL, 1, &tensor, NULL, &error));
  assert_null(checkpoint_text(path, "checksum"));
  assert_true(safetensors_verify(path, &error));
  static const char other[] =
      "....\0\0\0\0{\"one\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"__metadata__\":{\"step\":\"4\"}}1234";
  char text[sizeof other];
  memcpy(text, other, sizeof other);
  uint32_t header = sizeof other - 1 - 8 - 4;
  memcpy(text, &header, 4);
  bytes_write(path, text, sizeof other - 1);
  if (!safetensors_verify(path, &error)) fail_msg("%s", error.text);
}

static int make(void **state) {
  (void)state;
  scratch = scratch_make();
  return 0;
}

static int clean(void **state) {
  (void)state;
  scratch_free(&scratch);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_write_that_is_cut_off_leaves_a_whole_checkpoint),
      cmocka_unit_test(test_a_disk_that_refuses_leaves_what_was_there),
      cmocka_unit_test(test_damage_anywhere_is_seen),
      cmocka_unit_test(test_what_is_gone_and_what_is_nowhere_whole),
      cmocka_unit_test(test_files_without_a_checksum_are_read),
  };
  return cmocka_run_group_tests(tests, make, clean);
}
