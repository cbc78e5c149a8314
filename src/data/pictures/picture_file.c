#include "src/data/pictures/picture_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* How files begin that are called by another's name. */
static const struct {
  const char *name;
  const char *bytes;
  size_t count;
} beginnings[] = {{"PNG", "\x89PNG\r\n\x1a\n", 8},
                  {"JPEG", "\xff\xd8\xff", 3},
                  {"GIF", "GIF8", 4},
                  {"BMP", "BM", 2},
                  {"TIFF", "II*\0", 4},
                  {"TIFF", "MM\0*", 4},
                  {"WebP", "RIFF", 4},
                  {"gzip", "\x1f\x8b", 2}};

static const char *format_of(const char *raw, size_t count) {
  for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
    if (count >= beginnings[i].count && !memcmp(raw, beginnings[i].bytes, beginnings[i].count))
      return beginnings[i].name;
  return NULL;
}

FILE *picture_open(const char *path, const char *format, int64_t *bytes, Error *error) {
  struct stat status;
  char raw[8] = {0};
  bool good = stat(path, &status) == 0;
  if (!good) fail(error, "%s: cannot open: %s", path, strerror(errno));
  if (good && !S_ISREG(status.st_mode)) good = fail(error, "%s: not a regular file", path);
  if (good && status.st_size == 0) good = fail(error, "%s: empty file", path);
  FILE *file = good ? fopen(path, "rb") : NULL;
  if (good && !file) fail(error, "%s: cannot open: %s", path, strerror(errno));
  if (!file) return NULL;
  const char *found = format_of(raw, fread(raw, 1, sizeof raw, file));
  if (found && !strcmp(found, format)) {
    *bytes = status.st_size;
    rewind(file);
    return file;
  }
  if (found)
    fail(error,
         "%s: not a %s file, as its name says, but a %s file by its first bytes; save it as %s",
         path, format, found, format);
  else
    fail(error, "%s: not a %s file (its first bytes are no %s file's)", path, format, format);
  fclose(file);
  return NULL;
}

bool picture_size_check(const char *path, int width, int height, double least, int64_t bytes,
                        Error *error) {
  if (width < 1 || height < 1 || width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX)
    return fail(error, "%s: header says %d pixels wide and %d high; expected 1..%d", path, width,
                height, PICTURE_SIDE_MAX);
  if ((double)bytes >= least) return true;
  return fail(error,
              "%s: truncated or not what its header says: %dx%d pixels (wide, high) cannot be "
              "packed into less than %.0f bytes, found %lld; copy or export the file again",
              path, width, height, least, (long long)bytes);
}

/* ---- EXIF ------------------------------------------------------------------------------------ */

typedef struct Tiff {
  const unsigned char *data;
  size_t bytes;
  bool big; /* endian */
} Tiff;

static unsigned number_at(const Tiff *tiff, size_t at, int bytes) {
  unsigned value = 0;
  if (at > tiff->bytes || tiff->bytes - at < (size_t)bytes) return 0;
  for (int i = 0; i < bytes; i++)
    value = value << 8 | tiff->data[at + (size_t)(tiff->big ? i : bytes - 1 - i)];
  return value;
}

int exif_orientation(const unsigned char *data, size_t bytes) {
  enum { ENTRY = 12, ORIENTATION = 0x112, SHORT = 3 };
  if (bytes < 8 || (memcmp(data, "II*\0", 4) && memcmp(data, "MM\0*", 4))) return 0;
  Tiff tiff = {data, bytes, data[0] == 'M'};
  size_t folder = number_at(&tiff, 4, 4);
  unsigned entries = number_at(&tiff, folder, 2);
  for (unsigned i = 0; i < entries; i++) {
    size_t entry = folder + 2 + i * (size_t)ENTRY;
    if (entry + ENTRY > bytes) return 0;
    if (number_at(&tiff, entry, 2) != ORIENTATION || number_at(&tiff, entry + 2, 2) != SHORT)
      continue;
    unsigned value = number_at(&tiff, entry + 8, 2);
    return value <= 8 ? (int)value : 0;
  }
  return 0;
}

Grid picture_grid(int width, int height, bool alpha, int orientation) {
  Grid grid = grid_picture(height, width);
  if (alpha) grid.remarks |= GRID_ALPHA;
  if (orientation > 1) grid.remarks |= GRID_EXIF_TURNED;
  return grid;
}
