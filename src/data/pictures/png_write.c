/* Images and label maps of D = 1 into PNG files (pictures.h). */
#include "src/data/pictures/pictures.h"

#include "base/whole_file.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, LEVEL = 6 };

/* Exactly one of image and label is given. */
typedef struct PngOut {
  const char *path;
  const float *image;
  const uint8_t *label;
  int width, height, channels, depth;
  FILE *file;
  png_structp png;
  png_infop info;
  char why[128];
  uint8_t *row;
} PngOut;

static void png_ended(png_structp png, png_const_charp text) {
  PngOut *p = png_get_error_ptr(png);
  snprintf(p->why, sizeof p->why, "%s", errno ? strerror(errno) : text);
  png_longjmp(png, 1);
}

static void png_warned(png_structp png, png_const_charp text) {
  (void)png, (void)text;
}

/* PNG's bytes: of 16 bits the higher first. */
static void row_pack(PngOut *p, int y) {
  size_t values = (size_t)p->width * (size_t)p->channels, first = (size_t)y * values;
  double most = p->depth == 16 ? 65535 : 255;
  for (size_t i = 0; i < values; i++) {
    double value = p->label ? p->label[first + i] : rint(p->image[first + i]);
    unsigned whole = (unsigned)(value < 0 ? 0 : value > most ? most : value);
    if (p->depth == 16) p->row[2 * i] = (uint8_t)(whole >> 8);
    p->row[p->depth == 16 ? 2 * i + 1 : i] = (uint8_t)whole;
  }
}

static bool write_all(PngOut *p) {
  static const int colours[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA,
                                PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
  if (setjmp(png_jmpbuf(p->png))) return false;
  png_init_io(p->png, p->file);
  png_set_user_limits(p->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_compression_level(p->png, LEVEL);
  png_set_IHDR(p->png, p->info, (png_uint_32)p->width, (png_uint_32)p->height, p->depth,
               colours[p->channels], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(p->png, p->info);
  for (int y = 0; y < p->height; y++) {
    row_pack(p, y);
    png_write_row(p->png, p->row);
  }
  png_write_end(p->png, NULL);
  return true;
}

static bool write_file(PngOut *p, const char *temporary, Error *error) {
  errno = 0;
  p->file = fopen(temporary, "wb");
  if (!p->file) return fail(error, "%s: cannot write: %s", p->path, strerror(errno));
  p->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, p, png_ended, png_warned);
  p->info = p->png ? png_create_info_struct(p->png) : NULL;
  p->row = malloc((size_t)p->width * (size_t)p->channels * 2);
  errno = 0;
  bool begun = p->info && p->row, fine = begun && write_all(p);
  png_destroy_write_struct(&p->png, &p->info);
  free(p->row);
  bool closed = fclose(p->file) == 0;
  if (!begun) return fail(error, "%s: not written: out of memory", p->path);
  if (!fine) return fail(error, "%s: not written: %s", p->path, p->why);
  if (!closed) return fail(error, "%s: not written: %s", p->path, strerror(errno));
  return whole_place(temporary, p->path, error);
}

static bool write_whole(PngOut *p, const Grid *grid, const char *path, Error *error) {
  char temporary[PATH_BYTES];
  if (grid->dim[0] != 1)
    return fail(error,
                "%s: a PNG holds one slice, and the volume has %d (%dx%dx%d); write it as .nii.gz",
                path, grid->dim[0], grid->dim[0], grid->dim[1], grid->dim[2]);
  if (p->channels < 1 || p->channels > 4)
    return fail(error, "%s: a PNG holds 1..4 channels, not %d; write it as .nii.gz", path,
                p->channels);
  p->path = path, p->height = grid->dim[1], p->width = grid->dim[2];
  int length = snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid());
  if (length >= (int)sizeof temporary) return fail(error, "%s: path too long", path);
  bool good = write_file(p, temporary, error);
  if (!good) unlink(temporary);
  return good;
}

bool png_file_image_write(const Image *image, VoxelType type, const char *path, Error *error) {
  PngOut p = {
      .image = image->data, .channels = image->channels, .depth = type == VOXEL_U8 ? 8 : 16};
  if (type == VOXEL_F32)
    return fail(error, "%s: a PNG holds whole numbers; write it as .nii.gz", path);
  return write_whole(&p, &image->grid, path, error);
}

bool png_file_label_write(const LabelMap *label, const char *path, Error *error) {
  bool highest = memchr(label->data, 255, grid_voxels(&label->grid)) != NULL;
  PngOut p = {.label = label->data, .channels = 1, .depth = highest ? 16 : 8};
  return write_whole(&p, &label->grid, path, error);
}
