#include "src/data/nifti/nifti_header.h"

#include <errno.h>
#include <math.h>
#include <nifti/nifti2_io.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { DIM_MAX = 1 << 20, HEADER_BYTES = 544, DEFLATE_RATIO_MAX = 1032 };
static const double PIXDIM_AGREES = 1e-4; /* of the affine's spacing */

static const int supported[] = {
    NIFTI_TYPE_UINT8, NIFTI_TYPE_INT8,   NIFTI_TYPE_UINT16, NIFTI_TYPE_INT16,   NIFTI_TYPE_UINT32,
    NIFTI_TYPE_INT32, NIFTI_TYPE_UINT64, NIFTI_TYPE_INT64,  NIFTI_TYPE_FLOAT32, NIFTI_TYPE_FLOAT64};

/* Types of voxels that are not read, and what to convert them to. */
static const struct {
  int datatype;
  const char *instead;
} unsupported[] = {{NIFTI_TYPE_FLOAT128, "save it as 32 or 64 bit floats"},
                   {NIFTI_TYPE_COMPLEX64, "save its magnitude, or two channels, as 32 bit floats"},
                   {NIFTI_TYPE_COMPLEX128, "save its magnitude, or two channels, as 32 bit floats"},
                   {NIFTI_TYPE_COMPLEX256, "save its magnitude, or two channels, as 32 bit floats"},
                   {NIFTI_TYPE_RGB24, "save a grey value per voxel, or a channel per colour"},
                   {NIFTI_TYPE_RGBA32, "save a grey value per voxel, or a channel per colour"},
                   {DT_BINARY, "save it as 8 bit integers"}};

static bool datatype_check(int datatype, const char *path, Error *error) {
  for (size_t i = 0; i < sizeof supported / sizeof *supported; i++)
    if (supported[i] == datatype) return true;
  const char *instead = "convert it to one of these";
  for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
    if (unsupported[i].datatype == datatype) instead = unsupported[i].instead;
  return fail(error,
              "%s: voxel type %d (%s) cannot be read; expected 8 to 64 bit integers or 32 or 64 "
              "bit floats: %s",
              path, datatype, nifti_datatype_string(datatype), instead);
}

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
                  "can be read: save its channels in the fourth dimension",
                  path, axis, (long long)dim[axis]);
  return true;
}

static bool offset_check(double offset, int header_bytes, const char *path, Error *error) {
  if (offset >= header_bytes && offset < 0x1p50) return true;
  return fail(error,
              "%s: header says that voxels start at byte %g; expected %d or more: write the file "
              "again, or set vox_offset to %d",
              path, offset, header_bytes, header_bytes + 4);
}

/* No slope or none that is a number: values as stored. libnifti takes a bad intercept for 0. */
static bool scale_find(NiftiHeader *header, double slope, double inter, const char *path,
                       Error *error) {
  bool scaled = isfinite(slope) && slope != 0;
  header->slope = scaled ? slope : 1;
  header->add = scaled ? inter : 0;
  return isfinite(header->add) ||
         fail(error, "%s: header says scl_slope %g, but scl_inter %g; set scl_inter to a number",
              path, slope, inter);
}

static nifti_image *parse_1(NiftiHeader *out, const void *raw, const char *path, Error *error) {
  nifti_1_header header;
  memcpy(&header, raw, sizeof header);
  out->swapped = header.sizeof_hdr != (int)sizeof header;
  nifti_1_header native = header;
  if (out->swapped) swap_nifti_header(&native, 1);
  int64_t dim[8];
  for (int i = 0; i < 8; i++) dim[i] = native.dim[i];
  if (memcmp(header.magic, "n+1", 4)) {
    fail(error, "%s: not a single-file NIfTI (.hdr/.img pairs cannot be read; convert to .nii.gz)",
         path);
    return NULL;
  }
  if (!dims_check(dim, path, error)) return NULL;
  if (!offset_check(native.vox_offset, sizeof header, path, error)) return NULL;
  if (!datatype_check(native.datatype, path, error) ||
      !scale_find(out, native.scl_slope, native.scl_inter, path, error))
    return NULL;
  return nifti_convert_n1hdr2nim(header, path);
}

static nifti_image *parse_2(NiftiHeader *out, const void *raw, const char *path, Error *error) {
  nifti_2_header header;
  memcpy(&header, raw, sizeof header);
  out->swapped = header.sizeof_hdr != (int)sizeof header;
  nifti_2_header native = header;
  if (out->swapped) swap_nifti_header(&native, 2);
  int64_t dim[8];
  memcpy(dim, native.dim, sizeof dim);
  if (!dims_check(dim, path, error)) return NULL;
  if (!offset_check((double)native.vox_offset, sizeof header, path, error)) return NULL;
  if (!datatype_check(native.datatype, path, error) ||
      !scale_find(out, native.scl_slope, native.scl_inter, path, error))
    return NULL;
  return nifti_convert_n2hdr2nim(header, path);
}

typedef enum Geometry { GEOMETRY_FINE, GEOMETRY_FLAT, GEOMETRY_SHEARED } Geometry;

/* Spacings above zero, an origin that is a number, and axes at right angles within 3 degrees: what
 * is further off (gantry tilt, a broken sform) would be taken for a box that it is not. */
static Geometry affine_judge(double affine[4][4]) {
  double length[3];
  for (int row = 0; row < 3; row++)
    if (!isfinite(affine[row][3])) return GEOMETRY_FLAT;
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

/* mm per unit of length of the header. */
static double unit_mm(int unit, unsigned *remarks) {
  if (unit == NIFTI_UNITS_MM || unit == NIFTI_UNITS_UNKNOWN) return 1;
  bool known = unit == NIFTI_UNITS_METER || unit == NIFTI_UNITS_MICRON;
  *remarks |= known ? GRID_UNIT_OTHER : GRID_UNIT_UNKNOWN;
  return unit == NIFTI_UNITS_METER ? 1000 : known ? 0.001 : 1;
}

static void affine_in_mm(const nifti_dmat44 *stored, double unit, double affine[4][4]) {
  for (int i = 0; i < 12; i++) affine[i / 4][i % 4] = stored->m[i / 4][i % 4] * unit;
  affine[3][0] = affine[3][1] = affine[3][2] = 0, affine[3][3] = 1;
}

/* The affine: sform, else qform, else pixdim (libnifti puts pixdim on qto_xyz's diagonal without a
 * qform). */
static bool affine_find(Grid *grid, const nifti_image *nim, double unit, const char *path,
                        Error *error) {
  Geometry found = GEOMETRY_FLAT;
  affine_in_mm(&nim->sto_xyz, unit, grid->affine);
  if (nim->sform_code > 0) found = affine_judge(grid->affine);
  if (found == GEOMETRY_FINE) return true;
  if (found == GEOMETRY_SHEARED && nim->qform_code <= 0)
    return fail(error,
                "%s: its sform's axes are not at right angles (more than 3 degrees off) and it has "
                "no qform; resample it to an upright grid first",
                path);
  affine_in_mm(&nim->qto_xyz, unit, grid->affine);
  if (nim->qform_code <= 0)
    grid->remarks |= GRID_UNORIENTED;
  else if (nim->sform_code > 0)
    grid->remarks |= GRID_SFORM_UNFIT;
  return affine_judge(grid->affine) == GEOMETRY_FINE ||
         fail(error, "%s: neither sform, qform nor pixdim gives a spacing above zero and an origin",
              path);
}

static void spacing_find(Grid *grid, const nifti_image *nim, double unit) {
  const double pixdim[3] = {nim->dx, nim->dy, nim->dz};
  for (int column = 0; column < 3; column++) {
    double square = 0;
    for (int row = 0; row < 3; row++)
      square += grid->affine[row][column] * grid->affine[row][column];
    double length = sqrt(square), stated = fabs(pixdim[column]);
    if (unit != 1) stated = (float)(stated * unit); /* 0.001 m, a float, is 1 mm and no more */
    bool same = fabs(stated - length) <= PIXDIM_AGREES * length;
    grid->spacing[2 - column] = same ? stated : length;
    if (!same) grid->remarks |= GRID_PIXDIM_OTHER;
  }
  double longest = 0;
  for (int axis = 0; axis < 3; axis++)
    longest = fmax(longest, grid->spacing[axis] * grid->dim[axis]);
  if (longest > 5000 || longest < 0.999) grid->remarks |= GRID_SIZE_ODD;
}

static void forms_compare(Grid *grid, const nifti_image *nim, double unit) {
  Grid other = *grid;
  if (nim->sform_code <= 0 || nim->qform_code <= 0) return;
  affine_in_mm(&nim->qto_xyz, unit, other.affine);
  double voxel = fmin(grid->spacing[0], fmin(grid->spacing[1], grid->spacing[2]));
  if (grid_apart(grid, &other) > voxel / 2) grid->remarks |= GRID_FORMS_DIFFER;
}

/* grid->dim is there. */
static bool geometry(Grid *grid, const nifti_image *nim, const char *path, Error *error) {
  double unit = unit_mm(nim->xyz_units, &grid->remarks);
  if (!affine_find(grid, nim, unit, path, error)) return false;
  spacing_find(grid, nim, unit);
  forms_compare(grid, nim, unit);
  return true;
}

static bool fill(NiftiHeader *header, const nifti_image *nim, const char *path, Error *error) {
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
  return geometry(&header->grid, nim, path, error);
}

const char *gzip_error(gzFile file, const char *path, int *code) {
  const char *why = gzerror(file, code);
  size_t length = strlen(path);
  bool named = !strncmp(why, path, length) && !strncmp(why + length, ": ", 2);
  return named ? why + length + 2 : why;
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

static nifti_image *parse(NiftiHeader *header, const void *raw, int got, const char *path,
                          Error *error) {
  int version = nifti_header_version(raw, (size_t)got);
  bool whole = (version == 1 && got >= (int)sizeof(nifti_1_header)) ||
               (version == 2 && got >= (int)sizeof(nifti_2_header));
  if (!whole) {
    fail(error, "%s: not a NIfTI file (no NIfTI header in its first %d bytes)", path, got);
    return NULL;
  }
  nifti_image *nim =
      version == 1 ? parse_1(header, raw, path, error) : parse_2(header, raw, path, error);
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
  const char *why = gzip_error(file, path, &code);
  if (got < 0) fail(error, "%s: corrupt (%s); copy or export the file again", path, why);
  gzclose_r(file);
  if (got < 0) return false;
  nifti_image *nim = parse(header, raw, got, path, error);
  if (!nim) return false;
  bool fine = fill(header, nim, path, error);
  nifti_image_free(nim);
  return fine && size_check(header, path, gzip, status.st_size, error);
}
