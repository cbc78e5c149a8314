/* The voxels of NIfTI files, as images, as label maps, or only looked at (nifti_file.h). */

#include "src/data/nifti/nifti_header.h"

#include <errno.h>
#include <math.h>
#include <nifti/nifti2_io.h>
#include <string.h>
#include <zlib.h>

enum { CHUNK = 1 << 14 }; /* voxels */
static const double LABEL_ROUNDING = 1e-3;

#define TYPES(X)                                                                                   \
  X(NIFTI_TYPE_UINT8, uint8_t)                                                                     \
  X(NIFTI_TYPE_INT8, int8_t)                                                                       \
  X(NIFTI_TYPE_UINT16, uint16_t)                                                                   \
  X(NIFTI_TYPE_INT16, int16_t)                                                                     \
  X(NIFTI_TYPE_UINT32, uint32_t)                                                                   \
  X(NIFTI_TYPE_INT32, int32_t)                                                                     \
  X(NIFTI_TYPE_FLOAT32, float)                                                                     \
  X(NIFTI_TYPE_FLOAT64, double)

/* 64-bit integers that a double does not hold exactly become NaN, which no sink accepts. */
#define LONG_TYPES(X)                                                                              \
  X(NIFTI_TYPE_UINT64, uint64_t)                                                                   \
  X(NIFTI_TYPE_INT64, int64_t)

#define WIDEN(code, type)                                                                          \
  static void widen_##type(const void *raw, int count, double *value) {                            \
    for (int i = 0; i < count; i++) value[i] = ((const type *)raw)[i];                             \
  }
TYPES(WIDEN)

#define WIDEN_LONG(code, type)                                                                     \
  static void widen_##type(const void *raw, int count, double *value) {                            \
    for (int i = 0; i < count; i++) {                                                              \
      type whole = ((const type *)raw)[i];                                                         \
      value[i] = (double)whole;                                                                    \
      if (value[i] >= 0x1p63 || (type)value[i] != whole) value[i] = NAN;                           \
    }                                                                                              \
  }
LONG_TYPES(WIDEN_LONG)

typedef struct Widener {
  int datatype;
  void (*widen)(const void *raw, int count, double *value);
} Widener;
#define ROW(code, type) {code, widen_##type},
static const Widener wideners[] = {TYPES(ROW) LONG_TYPES(ROW)};

/* Where the values go, and what was wrong with them. */
typedef struct Sink {
  float *image;   /* or NULL */
  uint8_t *label; /* or NULL */
  int channels;
  int64_t voxels; /* of one channel */
  int64_t bad, first_bad;
  double bad_value;
} Sink;

static bool image_accepts(double value) {
  return isfinite((float)value);
}

/* Saving as 16-bit integers with a slope, or resampling without change, leaves 1.9999999 for 2. */
static bool label_accepts(double value) {
  double whole = rint(value);
  return whole >= 0 && whole <= 255 && fabs(value - whole) <= LABEL_ROUNDING;
}

static void sink_take(Sink *sink, int64_t first, int count, const double *value) {
  for (int i = 0; i < count; i++) {
    int64_t at = first + i;
    if (!(sink->image ? image_accepts(value[i]) : label_accepts(value[i]))) {
      if (!sink->bad++) sink->first_bad = at, sink->bad_value = value[i];
      continue;
    }
    if (sink->label)
      sink->label[at] = (uint8_t)rint(value[i]);
    else
      sink->image[at % sink->voxels * sink->channels + at / sink->voxels] = (float)value[i];
  }
}

static bool read_failed(gzFile file, const char *path, int64_t at, Error *error) {
  int code;
  const char *why = gzip_error(file, path, &code);
  if (code == Z_ERRNO) why = strerror(errno);
  if (code == Z_OK || code == Z_BUF_ERROR) why = "unexpected end of file";
  return fail(error,
              "%s: corrupt after %lld uncompressed bytes (%s); copy or export the file "
              "again",
              path, (long long)at, why);
}

/* Reads on to the end so that zlib compares the checksum of what it unpacked. */
static bool finish(gzFile file, const char *path, int64_t at, Error *error) {
  char rest[4096];
  int got = 1;
  for (int i = 0; i < 256 && got > 0; i++) got = gzread(file, rest, sizeof rest);
  int code = Z_OK;
  gzerror(file, &code);
  if (got < 0 || code == Z_BUF_ERROR) return read_failed(file, path, at, error);
  return true;
}

static bool stream(gzFile file, const NiftiHeader *header, const char *path, Sink *sink,
                   Error *error) {
  static _Thread_local double value[CHUNK];
  static _Thread_local double raw[CHUNK]; /* as wide as the widest type, and aligned for all */
  const Widener *widener = wideners;
  while (widener->datatype != header->datatype) widener++;
  int64_t at = header->offset;
  if (gzseek(file, header->offset, SEEK_SET) < 0) return read_failed(file, path, 0, error);
  int64_t total = header->bytes / header->width;
  for (int64_t first = 0; first < total; first += CHUNK) {
    int count = total - first < CHUNK ? (int)(total - first) : CHUNK;
    int bytes = count * header->width;
    int got = gzread(file, raw, (unsigned)bytes);
    if (got != bytes) return read_failed(file, path, at + (got > 0 ? got : 0), error);
    if (header->swapped && header->width > 1) nifti_swap_Nbytes(count, header->width, raw);
    widener->widen(raw, count, value);
    for (int i = 0; i < count; i++) value[i] = value[i] * header->slope + header->add;
    sink_take(sink, first, count, value);
    at += bytes;
  }
  return finish(file, path, at, error);
}

static bool sink_check(const Sink *sink, const NiftiHeader *header, const char *path,
                       Error *error) {
  if (!sink->bad) return true;
  const Grid *grid = &header->grid;
  int64_t at = sink->first_bad % sink->voxels;
  int w = (int)(at % grid->dim[2]), h = (int)(at / grid->dim[2] % grid->dim[1]);
  int d = (int)(at / grid->dim[2] / grid->dim[1]);
  if (isnan(sink->bad_value) && header->width == 8 && header->datatype != NIFTI_TYPE_FLOAT64)
    return fail(error,
                "%s: %lld voxel(s) are integers too large for a 64 bit float (beyond 2^53); the "
                "first is at (d,h,w) = (%d,%d,%d)",
                path, (long long)sink->bad, d, h, w);
  const char *expected =
      sink->image ? "a finite number" : "a whole number from 0 to 255 (within 0.001)";
  return fail(error, "%s: %lld voxel(s) are not %s; the first is %.9g at (d,h,w) = (%d,%d,%d)",
              path, (long long)sink->bad, expected, sink->bad_value, d, h, w);
}

static bool voxels_read(const NiftiHeader *header, const char *path, Sink *sink, Error *error) {
  sink->channels = header->channels;
  sink->voxels = (int64_t)grid_voxels(&header->grid);
  gzFile file = gzopen(path, "rb");
  if (!file) return fail(error, "%s: cannot open: %s", path, strerror(errno));
  gzbuffer(file, 1 << 17);
  bool fine = stream(file, header, path, sink, error);
  gzclose_r(file);
  return fine && sink_check(sink, header, path, error);
}

bool nifti_file_image_read(Image *image, const char *path, Error *error) {
  *image = (Image){0};
  NiftiHeader header;
  if (!nifti_header_read(&header, path, error)) return false;
  if (!image_alloc(image, &header.grid, header.channels, error)) return false;
  if (voxels_read(&header, path, &(Sink){.image = image->data}, error)) return true;
  image_free(image);
  return false;
}

bool nifti_file_label_read(LabelMap *label, const char *path, Error *error) {
  *label = (LabelMap){0};
  NiftiHeader header;
  if (!nifti_header_read(&header, path, error)) return false;
  if (header.channels != 1)
    return fail(error, "%s: a label map has one value per voxel, found %d channels", path,
                header.channels);
  if (!label_alloc(label, &header.grid, error)) return false;
  if (voxels_read(&header, path, &(Sink){.label = label->data}, error)) return true;
  label_free(label);
  return false;
}

bool nifti_file_inspect(const char *path, Grid *grid, int *channels, Error *error) {
  NiftiHeader header;
  if (!nifti_header_read(&header, path, error)) return false;
  *grid = header.grid;
  *channels = header.channels;
  return true;
}
