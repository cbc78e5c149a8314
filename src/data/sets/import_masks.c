#include "src/data/sets/import_masks.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

/* ---- what a pixel of a mask says ------------------------------------------------------------- */

/* 0 and 255 are written; between them lies what a later program made of an edge. */
enum { BRIGHT = 128 };

static int bright(const float *pixel, int channels) {
  (void)channels;
  return pixel[0] >= BRIGHT;
}

/* OpenCV's HSV of 8 bits: hue in half degrees, saturation and value to 255. */
typedef struct Hsv {
  double hue, saturation, value;
} Hsv;

static Hsv hsv_of(const float *rgb) {
  double r = rgb[0], g = rgb[1], b = rgb[2];
  double most = fmax(r, fmax(g, b)), range = most - fmin(r, fmin(g, b)), hue = 0;
  if (range > 0)
    hue = most == r ? 60 * (g - b) / range
                    : (most == g ? 120 + 60 * (b - r) / range : 240 + 60 * (r - g) / range);
  if (hue < 0) hue += 360;
  return (Hsv){fmod(rint(hue / 2), 180), most > 0 ? rint(255 * range / most) : 0, most};
}

/* NeoPolyp's: red is neoplastic (2), green is not (1). JPEG blurs colours, so that they are ranges:
 * those of QTSeg's code. */
static int polyp_type(const float *pixel, int channels) {
  if (channels < 3) return 0; /* nothing in it has a colour */
  Hsv c = hsv_of(pixel);
  if ((c.hue <= 10 || c.hue >= 160) && c.saturation >= 100 && c.value >= 20) return 2;
  return c.hue >= 36 && c.hue <= 70 && c.saturation >= 25 && c.value >= 25;
}

static int polyp(const float *pixel, int channels) {
  return polyp_type(pixel, channels) > 0;
}

static int (*const pixel_value[MASKS])(const float *pixel, int channels) = {
    [MASK_BRIGHT] = bright,
    [MASK_INSTANCES] = bright,
    [MASK_POLYP] = polyp,
    [MASK_POLYP_TYPES] = polyp_type,
};

/* ---- a case's ------------------------------------------------------------------------------- */

static bool mask_add(const ImportEntry *entry, int number, LabelMap *label, Image *instances,
                     Error *error) {
  Image mask;
  const char *path = entry->mask[number];
  if (!image_read(&mask, path, error)) return false;
  const int *is = mask.grid.dim, *of = label->grid.dim;
  bool good = grid_same_dim(&mask.grid, &label->grid) ||
              fail(error, "%s: %dx%d pixels (H,W), its picture %s has %dx%d", path, is[1], is[2],
                   entry->item.image[0], of[1], of[2]);
  size_t pixels = grid_voxels(&label->grid);
  for (size_t i = 0; good && i < pixels; i++) {
    int value = pixel_value[entry->rule](mask.data + i * (size_t)mask.channels, mask.channels);
    if (!value) continue;
    label->data[i] = (uint8_t)value;
    if (instances) instances->data[i] = (float)(number + 1);
  }
  image_free(&mask);
  return good;
}

bool masks_label(const ImportEntry *entry, LabelMap *label, Image *instances, Error *error) {
  Grid grid;
  int channels;
  *label = (LabelMap){0};
  if (instances) *instances = (Image){0};
  bool good = volume_inspect(entry->item.image[0], &grid, &channels, error) &&
              label_alloc(label, &grid, error) &&
              (!instances || image_alloc(instances, &grid, 1, error));
  for (int i = 0; good && i < entry->masks; i++) good = mask_add(entry, i, label, instances, error);
  if (good) return true;
  label_free(label);
  if (instances) image_free(instances);
  return false;
}

/* ---- the same picture twice ------------------------------------------------------------------ */

typedef struct Print {
  XXH128_hash_t hash;
  int entry;
} Print;

static int by_hash(const void *a, const void *b) {
  const Print *x = a, *y = b;
  int order = XXH128_cmp(&x->hash, &y->hash);
  return order ? order : (x->entry > y->entry) - (x->entry < y->entry);
}

static bool file_hash(const char *path, XXH128_hash_t *hash, Error *error) {
  static char chunk[1 << 16];
  FILE *file = fopen(path, "rb");
  if (!file) return fail(error, "%s: cannot open: %s", path, strerror(errno));
  XXH3_state_t *state = XXH3_createState();
  CHECK(state, "out of memory for a hash");
  XXH3_128bits_reset(state);
  for (size_t got; (got = fread(chunk, 1, sizeof chunk, file));)
    XXH3_128bits_update(state, chunk, got);
  *hash = XXH3_128bits_digest(state);
  XXH3_freeState(state);
  bool good = !ferror(file) || fail(error, "%s: cannot read: %s", path, strerror(errno));
  fclose(file);
  return good;
}

bool import_twins(const Import *import, int *twins, int pair[2], Error *error) {
  *twins = 0, pair[0] = pair[1] = -1;
  Print *print = calloc((size_t)import->entries + 1, sizeof *print);
  CHECK(print, "out of memory for %d pictures", import->entries);
  bool good = true;
  for (int i = 0; good && i < import->entries; i++) {
    print[i].entry = i;
    good = file_hash(import->entry[i].item.image[0], &print[i].hash, error);
  }
  qsort(print, (size_t)import->entries, sizeof *print, by_hash);
  for (int i = 1; good && i < import->entries; i++) {
    if (!XXH128_isEqual(print[i - 1].hash, print[i].hash)) continue;
    if (!(*twins)++) pair[0] = print[i - 1].entry, pair[1] = print[i].entry;
  }
  free(print);
  return good;
}
