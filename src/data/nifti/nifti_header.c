#include "src/data/nifti/nifti_header.h"

#include <errno.h>
#include <math.h>
#include <nifti/nifti2_io.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { DIM_MAX = 1 << 20, HEADER_BYTES = 544, DEFLATE_RATIO_MAX = 1032 };

static const int supported[] = {NIFTI_TYPE_UINT8,   NIFTI_TYPE_INT8,   NIFTI_TYPE_UINT16,
                                NIFTI_TYPE_INT16,   NIFTI_TYPE_UINT32, NIFTI_TYPE_INT32,
                                NIFTI_TYPE_FLOAT32, NIFTI_TYPE_FLOAT64};

/* The raw dimensions: libnifti silently repairs some that are negative. */
static bool dims_check(const int64_t dim[8], const char *path, Error *error) {
  if (dim[0] < 1 || dim[0] > 7)
    return fail(error, "%s: header says %lld dimensions; expected 3, or 4 with channels last", path,
                (long long)dim[0]);
  for (int axis = 1; axis <= dim[0]; axis++)
    if (dim[axis] < 1 || dim[axis] > DIM_MAX)
      return fail(error, "%s: header says dimension %d is %lld; expected 1..%d", path, axis,
                  (long long)dim[axis], DIM_MAX);
  for (int axis = 5; axis <= dim[0]; axis++)
    if (dim[axis] != 1)
      return fail(error,
                  "%s: header says dimension %d is %lld; only 3D and 4D (channels) volumes "
                  "can be read",
                  path, axis, (long long)dim[axis]);
  return true;
}

static bool offset_check(double offset, int header_bytes, const char *path, Error *error) {
  if (offset >= header_bytes && offset < 0x1p50) return true;
  return fail(error, "%s: header says that voxels start at byte %g; expected %d or more", path,
              offset, header_bytes);
}

static nifti_image *parse_1(const void *raw, const char *path, bool *swapped, Error *error) {
  nifti_1_header header;
  memcpy(&header, raw, sizeof header);
  *swapped = header.sizeof_hdr != (int)sizeof header;
  nifti_1_header native = header;
  if (*swapped) swap_nifti_header(&native, 1);
  int64_t dim[8];
  for (int i = 0; i < 8; i++) dim[i] = native.dim[i];
  if (memcmp(header.magic, "n+1", 4)) {
    fail(error, "%s: not a single-file NIfTI (.hdr/.img pairs cannot be read; convert to .nii.gz)",
         path);
    return NULL;
  }
  if (!dims_check(dim, path, error)) return NULL;
  if (!offset_check(native.vox_offset, sizeof header, path, error)) return NULL;
  return nifti_convert_n1hdr2nim(header, path);
}

static nifti_image *parse_2(const void *raw, const char *path, bool *swapped, Error *error) {
  nifti_2_header header;
  memcpy(&header, raw, sizeof header);
  *swapped = header.sizeof_hdr != (int)sizeof header;
  nifti_2_header native = header;
  if (*swapped) swap_nifti_header(&native, 2);
  int64_t dim[8];
  memcpy(dim, native.dim, sizeof dim);
  if (!dims_check(dim, path, error)) return NULL;
  if (!offset_check((double)native.vox_offset, sizeof header, path, error)) return NULL;
  return nifti_convert_n2hdr2nim(header, path);
}

typedef enum Geometry { GEOMETRY_FINE, GEOMETRY_FLAT, GEOMETRY_SHEARED } Geometry;

/* Spacings above zero, and axes at right angles within 3 degrees: what is further off (gantry tilt,
 * a broken sform) would be taken for a box that it is not. */
static Geometry affine_judge(double affine[4][4]) {
  double length[3];
  for (int column = 0; column < 3; column++) {
    double square = 0;
    for (int row = 0; row < 3; row++) square += affine[row][column] * affine[row][column];
    if (!isfinite(square) || square <= 0) return GEOMETRY_FLAT;
    length[column] = sqrt(square);
  }
  for (int a = 0; a < 3; a++) {
    int b = (a + 1) % 3;
    double dot = 0;
    for (int row = 0; row < 3; row++) dot += affine[row][a] * affine[row][b];
    if (fabs(dot) > 0.05 * length[a] * length[b]) return GEOMETRY_SHEARED;
  }
  return GEOMETRY_FINE;
}

/* sform, else qform, else pixdim (libnifti puts pixdim on qto_xyz's diagonal without a qform). */
static bool geometry(Grid *grid, const nifti_image *nim, const char *path, Error *error) {
  Geometry found = GEOMETRY_FLAT;
  memcpy(grid->affine, nim->sto_xyz.m, sizeof grid->affine);
  if (nim->sform_code > 0) found = affine_judge(grid->affine);
  if (found == GEOMETRY_SHEARED && nim->qform_code <= 0)
    return fail(error,
                "%s: its sform's axes are not at right angles (more than 3 degrees off) and it has "
                "no qform; resample it to an upright grid first",
                path);
  if (found != GEOMETRY_FINE) memcpy(grid->affine, nim->qto_xyz.m, sizeof grid->affine);
  if (affine_judge(grid->affine) != GEOMETRY_FINE)
    return fail(error, "%s: neither sform, qform nor pixdim gives a spacing above zero", path);
  for (int column = 0; column < 3; column++)
    grid->spacing[2 - column] = sqrt(grid->affine[0][column] * grid->affine[0][column] +
                                     grid->affine[1][column] * grid->affine[1][column] +
                                     grid->affine[2][column] * grid->affine[2][column]);
  return true;
}

static bool is_supported(int datatype) {
  for (size_t i = 0; i < sizeof supported / sizeof *supported; i++)
    if (supported[i] == datatype) return true;
  return false;
}

static bool fill(NiftiHeader *header, const nifti_image *nim, const char *path, Error *error) {
  if (!is_supported(nim->datatype))
    return fail(error,
                "%s: voxel type %s cannot be read; expected 8, 16 or 32 bit integers or "
                "32 or 64 bit floats",
                path, nifti_datatype_string(nim->datatype));
  int64_t dim[4] = {nim->nz, nim->ny, nim->nx, nim->nt};
  header->bytes = nim->nbyper;
  for (int axis = 0; axis < 4; axis++) {
    int64_t size = dim[axis] < 1 ? 1 : dim[axis];
    if (axis < 3) header->grid.dim[axis] = (int)size;
    if (__builtin_mul_overflow(header->bytes, size, &header->bytes))
      return fail(error, "%s: header says %lldx%lldx%lldx%lld voxels, more than any file can hold",
                  path, (long long)dim[0], (long long)dim[1], (long long)dim[2], (long long)dim[3]);
  }
  header->channels = nim->nt < 1 ? 1 : (int)nim->nt;
  header->datatype = nim->datatype;
  header->width = nim->nbyper;
  header->offset = nim->iname_offset;
  bool scaled = isfinite(nim->scl_slope) && nim->scl_slope != 0 && isfinite(nim->scl_inter);
  header->slope = scaled ? nim->scl_slope : 1;
  header->add = scaled ? nim->scl_inter : 0;
  return geometry(&header->grid, nim, path, error);
}

/* How many uncompressed bytes the gzip file really holds, at most `enough`. */
static bool gzip_count(const char *path, int64_t enough, int64_t *found, Error *error) {
  static _Thread_local unsigned char chunk[1 << 16];
  gzFile file = gzopen(path, "rb");
  if (!file) return fail(error, "%s: cannot open: %s", path, strerror(errno));
  int got = 1;
  for (*found = 0; *found < enough && got > 0; *found += got > 0 ? got : 0)
    got = gzread(file, chunk, sizeof chunk);
  gzclose_r(file);
  return true;
}

/* gzip's last four bytes are its uncompressed size modulo 2^32. When they agree with the header,
 * and deflate could have packed that much, believe them; else count. */
static bool gzip_holds(const char *path, int64_t size, int64_t expected, int64_t *found,
                       Error *error) {
  unsigned char tail[4] = {0};
  FILE *file = fopen(path, "rb");
  if (!file) return fail(error, "%s: cannot open: %s", path, strerror(errno));
  bool read = fseek(file, -4, SEEK_END) == 0 && fread(tail, 1, 4, file) == 4;
  fclose(file);
  uint32_t stated =
      tail[0] | (uint32_t)tail[1] << 8 | (uint32_t)tail[2] << 16 | (uint32_t)tail[3] << 24;
  bool possible = expected / DEFLATE_RATIO_MAX <= size;
  *found = expected;
  if (read && possible && stated == (uint32_t)expected) return true;
  return gzip_count(path, expected, found, error);
}

static bool size_check(const NiftiHeader *header, const char *path, bool gzip, int64_t size,
                       Error *error) {
  int64_t expected;
  if (__builtin_add_overflow(header->offset, header->bytes, &expected)) expected = INT64_MAX;
  int64_t found = size;
  if (gzip && !gzip_holds(path, size, expected, &found, error)) return false;
  if (found >= expected) return true;
  return fail(error,
              "%s: truncated or not what its header says: %dx%dx%d voxels, %d channel(s), "
              "%d bytes each need %lld bytes%s, found %lld; copy or export the file again",
              path, header->grid.dim[0], header->grid.dim[1], header->grid.dim[2], header->channels,
              header->width, (long long)expected, gzip ? " uncompressed" : "", (long long)found);
}

static nifti_image *parse(const void *raw, int got, const char *path, bool *swapped, Error *error) {
  int version = nifti_header_version(raw, (size_t)got);
  bool whole = (version == 1 && got >= (int)sizeof(nifti_1_header)) ||
               (version == 2 && got >= (int)sizeof(nifti_2_header));
  if (!whole) {
    fail(error, "%s: not a NIfTI file (no NIfTI header in its first %d bytes)", path, got);
    return NULL;
  }
  nifti_image *nim =
      version == 1 ? parse_1(raw, path, swapped, error) : parse_2(raw, path, swapped, error);
  if (!nim) fail(error, "%s: its NIfTI header cannot be understood", path);
  return nim;
}

bool nifti_header_read(NiftiHeader *header, const char *path, Error *error) {
  *header = (NiftiHeader){0};
  nifti_set_debug_level(0);
  struct stat status;
  if (stat(path, &status)) return fail(error, "%s: cannot open: %s", path, strerror(errno));
  if (!S_ISREG(status.st_mode)) return fail(error, "%s: not a regular file", path);
  if (status.st_size == 0) return fail(error, "%s: empty file", path);
  unsigned char raw[HEADER_BYTES] = {0};
  gzFile file = gzopen(path, "rb");
  if (!file) return fail(error, "%s: cannot open: %s", path, strerror(errno));
  int got = gzread(file, raw, sizeof raw);
  bool gzip = !gzdirect(file);
  int code;
  const char *why = gzerror(file, &code);
  if (got < 0) fail(error, "%s: corrupt (%s); copy or export the file again", path, why);
  gzclose_r(file);
  if (got < 0) return false;
  nifti_image *nim = parse(raw, got, path, &header->swapped, error);
  if (!nim) return false;
  bool fine = fill(header, nim, path, error);
  nifti_image_free(nim);
  return fine && size_check(header, path, gzip, status.st_size, error);
}
