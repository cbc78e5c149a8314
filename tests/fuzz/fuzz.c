#define _GNU_SOURCE /* memfd_create, nftw */
#include "tests/fuzz/fuzz.h"

#include <ftw.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

FuzzTarget *fuzz_target(const char *name) {
#define TARGET(target, most)                                                                       \
  if (!strcmp(name, #target)) return fuzz_##target;
#include "tests/fuzz/targets.def"
#undef TARGET
  return NULL;
}

static void write_all(int file, const void *data, size_t bytes) {
  CHECK(ftruncate(file, 0) == 0 && pwrite(file, data, bytes, 0) == (ssize_t)bytes,
        "an input cannot be written");
}

const char *fuzz_file(const uint8_t *data, size_t bytes) {
  static int file = -1;
  static char path[64];
  if (file < 0) file = memfd_create("input", MFD_CLOEXEC);
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  write_all(file, data, bytes);
  return path;
}

static char folder[256];

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at) {
  (void)status, (void)kind, (void)at;
  return remove(path);
}

static void remove_folder(void) {
  nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void) {
  if (folder[0]) return folder;
  const char *base = getenv("TMPDIR");
  bool shared = access("/dev/shm", W_OK) == 0;
  snprintf(folder, sizeof folder, "%.200s/harness-fuzz-XXXXXX",
           shared ? "/dev/shm"
           : base ? base
                  : "/tmp");
  CHECK(mkdtemp(folder), "%s: cannot be made", folder);
  atexit(remove_folder);
  return folder;
}

void fuzz_write(const char *name, const void *data, size_t bytes) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
  char *slash = strchr(path + strlen(folder) + 1, '/');
  if (slash) {
    *slash = 0;
    mkdir(path, 0777);
    *slash = '/';
  }
  FILE *file = fopen(path, "wb");
  CHECK(file && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0, "%s: not written",
        path);
}

char *fuzz_text(const uint8_t *data, size_t bytes) {
  char *text = malloc(bytes + 1);
  CHECK(text, "no memory for an input");
  if (bytes) memcpy(text, data, bytes);
  text[bytes] = 0;
  return text;
}

const char *fuzz_home(void) {
  const char *home = getenv("HARNESS_HOME");
  return home ? home : ".";
}

void fuzz_judge(bool good, const Error *error) {
  CHECK(good == !error->text[0], "%s, but %s", good ? "read" : "refused",
        good ? error->text : "without a word");
}
