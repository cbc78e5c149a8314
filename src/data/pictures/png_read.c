/* PNG files, by libpng (pictures.h). */
#include "src/data/pictures/picture_file.h"
#include "src/data/pictures/pictures.h"

#include <png.h>
#include <string.h>

enum { DEFLATE_RATIO_MAX = 1032, PALETTE = 256 };

/* A file that is being read; all that must be freed. */
typedef struct PngFile {
  const char *path;
  FILE *file;
  int64_t bytes;
  png_structp png;
  png_infop info;
  char why[128];
  /* of the header */
  int width, height, depth, colour, exif;
  double raw_bytes; /* of all rows, unpacked */
  png_color *palette;
  int colours;
  png_byte *opacity; /* of the palette's first colours */
  int opacities;
  /* decoded: samples of 8 bits, or of 16 in this machine's order */
  int samples; /* of a pixel */
  int passes;  /* over the rows: an interlaced file has several */
  size_t stride;
  uint8_t *rows;
} PngFile;

/* libpng's errors end the step that it was called in; its warnings change no pixel. */
static void png_ended(png_structp png, png_const_charp text) {
  PngFile *p = png_get_error_ptr(png);
  snprintf(p->why, sizeof p->why, "%s",
           strcmp(text, "Read Error") ? text : "unexpected end of file");
  png_longjmp(png, 1);
}

static void png_warned(png_structp png, png_const_charp text) {
  (void)png, (void)text;
}

typedef void PngStep(PngFile *p);

static bool guarded(PngFile *p, PngStep *step, Error *error) {
  if (setjmp(png_jmpbuf(p->png)) == 0) {
    step(p);
    return true;
  }
  return fail(error, "%s: corrupt (%s); copy or export the file again", p->path, p->why);
}

static void header_step(PngFile *p) {
  png_init_io(p->png, p->file);
  png_set_user_limits(p->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* picture_size_check's business */
  png_read_info(p->png, p->info);
  p->width = (int)png_get_image_width(p->png, p->info);
  p->height = (int)png_get_image_height(p->png, p->info);
  p->depth = png_get_bit_depth(p->png, p->info);
  p->colour = png_get_color_type(p->png, p->info);
  p->raw_bytes = (double)p->height * (1 + (double)png_get_rowbytes(p->png, p->info));
  if (p->colour == PNG_COLOR_TYPE_PALETTE) {
    png_get_PLTE(p->png, p->info, &p->palette, &p->colours);
    png_get_tRNS(p->png, p->info, &p->opacity, &p->opacities, NULL);
  }
  png_bytep exif;
  png_uint_32 bytes;
  if (png_get_eXIf_1(p->png, p->info, &bytes, &exif)) p->exif = exif_orientation(exif, bytes);
}

static void png_close(PngFile *p) {
  png_destroy_read_struct(&p->png, &p->info, NULL);
  if (p->file) fclose(p->file);
  free(p->rows);
}

/* The header, checked. Whatever it returns, png_close frees. */
static bool png_begin(PngFile *p, const char *path, Error *error) {
  *p = (PngFile){.path = path};
  p->file = picture_open(path, "PNG", &p->bytes, error);
  if (!p->file) return false;
  p->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, p, png_ended, png_warned);
  p->info = p->png ? png_create_info_struct(p->png) : NULL;
  if (!p->info) return fail(error, "%s: libpng cannot begin: out of memory", path);
  return guarded(p, header_step, error) &&
         picture_size_check(path, p->width, p->height, p->raw_bytes / DEFLATE_RATIO_MAX, p->bytes,
                            error);
}

static void rows_step(PngFile *p) {
  for (int pass = 0; pass < p->passes; pass++)
    for (int y = 0; y < p->height; y++) png_read_row(p->png, p->rows + (size_t)y * p->stride, NULL);
  png_read_end(p->png, NULL);
}

/* One byte or, of 16 bits, two a sample; those of fewer bits as they are stored, or scaled. */
static void unpack_step(PngFile *p) {
  const uint16_t one = 1;
  if (p->depth < 8) png_set_packing(p->png);
  if (p->depth == 16 && *(const uint8_t *)&one) png_set_swap(p->png);
  p->passes = png_set_interlace_handling(p->png);
  png_read_update_info(p->png, p->info);
  p->stride = png_get_rowbytes(p->png, p->info);
  p->samples = png_get_channels(p->png, p->info);
}

static bool png_decode(PngFile *p, Error *error) {
  if (!guarded(p, unpack_step, error)) return false;
  p->rows = malloc(p->stride * (size_t)p->height);
  if (!p->rows)
    return fail(error, "out of memory: %s, %dx%d pixels, needs %zu bytes", p->path, p->width,
                p->height, p->stride * (size_t)p->height);
  return guarded(p, rows_step, error);
}

static const void *row_of(const PngFile *p, int y) {
  return p->rows + (size_t)y * p->stride;
}

static int sample(const PngFile *p, const void *row, size_t at) {
  return p->depth == 16 ? ((const uint16_t *)row)[at] : ((const uint8_t *)row)[at];
}

/* ---- images ---------------------------------------------------------------------------------- */

static bool palette_grey(const PngFile *p) {
  for (int i = 0; i < p->colours; i++)
    if (p->palette[i].red != p->palette[i].green || p->palette[i].red != p->palette[i].blue)
      return false;
  return true;
}

/* Alpha is what a palette has where a colour of it is not opaque. A single colour of other pictures
 * that is to be seen through (tRNS) is left as the colour that it is. */
static bool has_alpha(const PngFile *p) {
  for (int i = 0; i < p->opacities; i++)
    if (p->opacity[i] != 255) return true;
  return p->colour & PNG_COLOR_MASK_ALPHA;
}

static int channels_of(const PngFile *p) {
  bool grey =
      p->colour == PNG_COLOR_TYPE_PALETTE ? palette_grey(p) : !(p->colour & PNG_COLOR_MASK_COLOR);
  return (grey ? 1 : 3) + has_alpha(p);
}

static Grid grid_of(const PngFile *p) {
  return picture_grid(p->width, p->height, has_alpha(p), p->exif);
}

static bool index_check(const PngFile *p, int index, int x, int y, Error *error) {
  return index < p->colours ||
         fail(error,
              "%s: corrupt (colour %d at (h,w) = (%d,%d) of a palette of %d); copy or export "
              "the file again",
              p->path, index, y, x, p->colours);
}

static bool palette_to_image(const PngFile *p, Image *image, Error *error) {
  int channels = image->channels;
  bool alpha = has_alpha(p);
  float *out = image->data;
  for (int y = 0; y < p->height; y++)
    for (int x = 0; x < p->width; x++) {
      int index = sample(p, row_of(p, y), (size_t)x);
      if (!index_check(p, index, x, y, error)) return false;
      png_color c = p->palette[index];
      *out++ = c.red;
      if (channels > 2) *out++ = c.green, *out++ = c.blue;
      if (alpha) *out++ = index < p->opacities ? p->opacity[index] : 255;
    }
  return true;
}

static void samples_to_image(const PngFile *p, Image *image) {
  size_t values = (size_t)p->width * (size_t)p->samples;
  int scale = p->depth < 8 ? 255 / ((1 << p->depth) - 1) : 1;
  float *out = image->data;
  for (int y = 0; y < p->height; y++)
    for (size_t i = 0; i < values; i++) *out++ = (float)(scale * sample(p, row_of(p, y), i));
}

static bool image_of(PngFile *p, Image *image, Error *error) {
  Grid grid = grid_of(p);
  if (!png_decode(p, error) || !image_alloc(image, &grid, channels_of(p), error)) return false;
  if (p->colour == PNG_COLOR_TYPE_PALETTE) return palette_to_image(p, image, error);
  CHECK(p->samples == image->channels, "%s: %d samples, %d channels", p->path, p->samples,
        image->channels);
  samples_to_image(p, image);
  return true;
}

bool png_file_image_read(Image *image, const char *path, Error *error) {
  PngFile p;
  *image = (Image){0};
  bool good = png_begin(&p, path, error) && image_of(&p, image, error);
  png_close(&p);
  if (!good) image_free(image);
  return good;
}

bool png_file_inspect(const char *path, Grid *grid, int *channels, Error *error) {
  PngFile p;
  bool good = png_begin(&p, path, error);
  if (good) *grid = grid_of(&p), *channels = channels_of(&p);
  png_close(&p);
  return good;
}

/* ---- labels ---------------------------------------------------------------------------------- */

static bool label_colour_check(const PngFile *p, Error *error) {
  if (p->colour == PNG_COLOR_TYPE_GRAY || p->colour == PNG_COLOR_TYPE_PALETTE) return true;
  return fail(error,
              "%s: %d channels (%s); a label map has one value per pixel, the number of its label "
              "in dataset.json: turn its colours into numbers and save it as a grey PNG",
              p->path, channels_of(p),
              p->colour == PNG_COLOR_TYPE_GRAY_ALPHA  ? "grey and alpha"
              : p->colour == PNG_COLOR_TYPE_RGB_ALPHA ? "RGB and alpha"
                                                      : "RGB");
}

/* Numbers of colours are labels, but a program that packs grey values into a palette gives them
 * other numbers. */
static bool label_palette_check(const PngFile *p, const int64_t count[PALETTE], Error *error) {
  if (p->colour != PNG_COLOR_TYPE_PALETTE || !palette_grey(p)) return true;
  for (int i = 0; i < p->colours; i++)
    if (count[i] && p->palette[i].red != i)
      return fail(
          error,
          "%s: a palette of greys whose colour %d is grey %d: is the label %d or %d? Save it "
          "as a grey PNG of the labels",
          p->path, i, p->palette[i].red, i, p->palette[i].red);
  return true;
}

static bool label_of(PngFile *p, LabelMap *label, Error *error) {
  Grid grid = grid_of(p);
  int64_t count[PALETTE] = {0}, bad = 0;
  int first[3] = {0};
  if (!label_colour_check(p, error) || !png_decode(p, error) || !label_alloc(label, &grid, error))
    return false;
  uint8_t *out = label->data;
  for (int y = 0; y < p->height; y++)
    for (int x = 0; x < p->width; x++, out++) {
      int value = sample(p, row_of(p, y), (size_t)x);
      if (value < PALETTE)
        count[value]++, *out = (uint8_t)value;
      else if (!bad++)
        first[0] = value, first[1] = y, first[2] = x;
      if (p->colour == PNG_COLOR_TYPE_PALETTE && !index_check(p, value, x, y, error)) return false;
    }
  if (bad)
    return fail(
        error,
        "%s: %lld pixel(s) are not a whole number from 0 to 255; the first is %d at (h,w) = "
        "(%d,%d)",
        p->path, (long long)bad, first[0], first[1], first[2]);
  return label_palette_check(p, count, error);
}

bool png_file_label_read(LabelMap *label, const char *path, Error *error) {
  PngFile p;
  *label = (LabelMap){0};
  bool good = png_begin(&p, path, error) && label_of(&p, label, error);
  png_close(&p);
  if (!good) label_free(label);
  return good;
}
