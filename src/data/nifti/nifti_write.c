/* Images and label maps into NIfTI files (nifti_file.h). */
#include "src/data/nifti/nifti_file.h"

#include "base/whole_file.h"

#include <errno.h>
#include <math.h>
#include <nifti/nifti2_io.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK = 1 << 14, DATA_OFFSET = 352, PATH_BYTES = 4096, LEVEL = 1 };

static const struct {
  int code, bytes;
} types[] = {[VOXEL_U8] = {NIFTI_TYPE_UINT8, 1},
             [VOXEL_I16] = {NIFTI_TYPE_INT16, 2},
             [VOXEL_F32] = {NIFTI_TYPE_FLOAT32, 4}};

static nifti_1_header header_make(const Grid *grid, int channels, VoxelType type) {
  nifti_1_header header = {.sizeof_hdr = 348, .vox_offset = DATA_OFFSET, .scl_slope = 1};
  int dim[5] = {channels > 1 ? 4 : 3, grid->dim[2], grid->dim[1], grid->dim[0], channels};
  for (int i = 0; i < 8; i++) header.dim[i] = i < 5 ? (short)dim[i] : 1;
  for (int i = 0; i < 3; i++) header.pixdim[1 + i] = (float)grid->spacing[2 - i];
  header.pixdim[4] = 1;
  header.datatype = (short)types[type].code;
  header.bitpix = (short)(8 * types[type].bytes);
  header.xyzt_units = NIFTI_UNITS_MM;
  memcpy(header.magic, "n+1", 4);
  if (grid->remarks & GRID_UNORIENTED) return header; /* no more is known than pixdim */
  header.sform_code = NIFTI_XFORM_SCANNER_ANAT;
  float *row[3] = {header.srow_x, header.srow_y, header.srow_z};
  nifti_dmat44 affine;
  memcpy(affine.m, grid->affine, sizeof affine.m);
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 4; j++) row[i][j] = (float)grid->affine[i][j];
  double b, c, d, x, y, z, dx, dy, dz, flip;
  nifti_dmat44_to_quatern(affine, &b, &c, &d, &x, &y, &z, &dx, &dy, &dz, &flip);
  header.qform_code = NIFTI_XFORM_SCANNER_ANAT;
  header.quatern_b = (float)b, header.quatern_c = (float)c, header.quatern_d = (float)d;
  header.qoffset_x = (float)x, header.qoffset_y = (float)y, header.qoffset_z = (float)z;
  header.pixdim[0] = (float)flip;
  return header;
}

static double clamp(double value, double low, double high) {
  return value < low ? low : value > high ? high : value;
}

static void pack(VoxelType type, double value, int at, void *chunk) {
  if (type == VOXEL_U8) ((uint8_t *)chunk)[at] = (uint8_t)clamp(rint(value), 0, 255);
  if (type == VOXEL_I16) ((int16_t *)chunk)[at] = (int16_t)clamp(rint(value), -32768, 32767);
  if (type == VOXEL_F32) ((float *)chunk)[at] = (float)value;
}

/* Exactly one of file, image and label is given; the last two with the rest. */
typedef struct Source {
  const char *file;
  const Grid *grid;
  const float *image;
  const uint8_t *label;
  int channels;
  VoxelType type;
} Source;

static bool copy(gzFile file, const char *from) {
  static _Thread_local char chunk[CHUNK];
  gzFile in = gzopen(from, "rb");
  int got = in ? 1 : -1, code = Z_OK;
  while (got > 0) {
    got = gzread(in, chunk, sizeof chunk);
    if (got > 0 && gzwrite(file, chunk, (unsigned)got) != got) got = -1;
  }
  if (in) gzerror(in, &code);
  if (in) gzclose_r(in);
  return got == 0 && code == Z_OK;
}

static bool stream(gzFile file, const Source *source) {
  static _Thread_local float chunk[CHUNK];
  if (source->file) return copy(file, source->file);
  nifti_1_header header = header_make(source->grid, source->channels, source->type);
  char no_extension[DATA_OFFSET - sizeof header] = {0};
  if (gzwrite(file, &header, sizeof header) != (int)sizeof header) return false;
  if (gzwrite(file, no_extension, sizeof no_extension) != (int)sizeof no_extension) return false;
  size_t voxels = grid_voxels(source->grid), channels = (size_t)source->channels;
  for (size_t first = 0; first < voxels * channels; first += CHUNK) {
    int count = voxels * channels - first < CHUNK ? (int)(voxels * channels - first) : CHUNK;
    for (int i = 0; i < count; i++) {
      size_t at = first + (size_t)i;
      double value =
          source->label ? source->label[at] : source->image[at % voxels * channels + at / voxels];
      pack(source->type, value, i, chunk);
    }
    int bytes = count * types[source->type].bytes;
    if (gzwrite(file, chunk, (unsigned)bytes) != bytes) return false;
  }
  return true;
}

static bool ends_with(const char *text, const char *end) {
  size_t a = strlen(text), b = strlen(end);
  return a >= b && !strcmp(text + a - b, end);
}

static bool source_check(const Source *source, const char *path, Error *error) {
  for (int axis = 0; source->grid && axis < 3; axis++)
    if (source->grid->dim[axis] < 1 || source->grid->dim[axis] > INT16_MAX)
      return fail(error, "%s: NIfTI-1 holds 1..32767 voxels along an axis, not %d", path,
                  source->grid->dim[axis]);
  if (ends_with(path, ".nii") || ends_with(path, ".nii.gz")) return true;
  return fail(error, "%s: expected a name that ends in .nii.gz or .nii", path);
}

static bool write_whole(const Source *source, const char *path, Error *error) {
  if (!source_check(source, path, error)) return false;
  char temporary[PATH_BYTES];
  int length = snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid());
  if (length >= (int)sizeof temporary) return fail(error, "%s: path too long", path);
  errno = 0;
  char mode[8];
  snprintf(mode, sizeof mode, ends_with(path, ".gz") ? "wb%d" : "wbT", LEVEL);
  gzFile file = gzopen(temporary, mode);
  if (!file) return fail(error, "%s: cannot write: %s", path, strerror(errno));
  errno = 0;
  bool fine = stream(file, source);
  int why = errno;
  bool closed = gzclose(file) == Z_OK;
  if (fine && !closed) why = errno;
  if (fine && closed) return whole_place(temporary, path, error);
  unlink(temporary);
  return fail(error, "%s: not written: %s", path, why ? strerror(why) : "zlib error");
}

bool nifti_file_image_write(const Image *image, VoxelType type, const char *path, Error *error) {
  Source source = {
      .grid = &image->grid, .image = image->data, .channels = image->channels, .type = type};
  return write_whole(&source, path, error);
}

bool nifti_file_label_write(const LabelMap *label, const char *path, Error *error) {
  Source source = {.grid = &label->grid, .label = label->data, .channels = 1, .type = VOXEL_U8};
  return write_whole(&source, path, error);
}

bool nifti_repack(const char *from, const char *path, Error *error) {
  return write_whole(&(Source){.file = from}, path, error);
}
