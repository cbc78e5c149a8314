/* A folder for one test's files, and the small means to fill it. Static: every test program has its
 * own. Shell commands keep the tests short; paths hold no blanks or quotes. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include "src/data/sets/dataset.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

typedef struct Scratch {
  char dir[64];
} Scratch;

__attribute__((unused, format(printf, 1, 2))) static int shell(const char *format, ...) {
  char command[4096];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(command, sizeof command, format, arguments);
  va_end(arguments);
  return system(command);
}

__attribute__((unused)) static Scratch scratch_make(void) {
  Scratch scratch = {"/tmp/harness-test-XXXXXX"};
  CHECK(mkdtemp(scratch.dir), "no temporary folder");
  return scratch;
}

__attribute__((unused)) static void scratch_free(const Scratch *scratch) {
  CHECK(shell("chmod -R u+w %s && rm -rf %s", scratch->dir, scratch->dir) == 0, "cannot clean up");
}

/* The path of a file in the folder; four are valid at a time. */
__attribute__((unused, format(printf, 2, 3))) static const char *
scratch_path(const Scratch *scratch, const char *format, ...) {
  static char path[4][512];
  static int turn;
  char *out = path[turn++ % 4];
  int used = snprintf(out, sizeof *path, "%s/", scratch->dir);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(out + used, sizeof *path - (size_t)used, format, arguments);
  va_end(arguments);
  return out;
}

__attribute__((unused)) static void bytes_write(const char *path, const void *data, size_t bytes) {
  FILE *file = fopen(path, "wb");
  CHECK(file && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0, "cannot write %s",
        path);
}

__attribute__((unused)) static void text_write(const char *path, const char *text) {
  bytes_write(path, text, strlen(text));
}

/* An image whose voxel i holds base + i, and a label map whose voxel i holds i % labels. */
__attribute__((unused)) static void image_ramp(const char *path, int d, int h, int w, int channels,
                                               float base) {
  Error error = {0};
  Image image;
  Grid grid = grid_make((int[3]){d, h, w}, (double[3]){3, 2, 1});
  CHECK(image_alloc(&image, &grid, channels, &error), "%s", error.text);
  for (size_t i = 0; i < grid_voxels(&grid) * (size_t)channels; i++)
    image.data[i] = base + (float)i;
  CHECK(image_write(&image, VOXEL_F32, path, &error), "%s", error.text);
  image_free(&image);
}

__attribute__((unused)) static void label_ramp(const char *path, int d, int h, int w, int labels) {
  Error error = {0};
  LabelMap label;
  Grid grid = grid_make((int[3]){d, h, w}, (double[3]){3, 2, 1});
  CHECK(label_alloc(&label, &grid, &error), "%s", error.text);
  for (size_t i = 0; i < grid_voxels(&grid); i++) label.data[i] = (uint8_t)(i % (size_t)labels);
  CHECK(label_write(&label, path, &error), "%s", error.text);
  label_free(&label);
}

#endif
