/* JPEG files, by libjpeg (pictures.h). */
#include "src/data/pictures/picture_file.h"
#include "src/data/pictures/pictures.h"

#include <setjmp.h>
#include <stdio.h> /* which libjpeg forgets */
#include <string.h>

#include <jpeglib.h>

#include <jerror.h> /* numbers its messages by what the other one says */

enum { EXIF_MARKER = JPEG_APP0 + 1, EXIF_HEAD = 6, SCANS_MAX = 500, BLOCK = 64 };

/* A file that is being read; all that must be freed. */
typedef struct JpegFile {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_error_mgr told;
  struct jpeg_progress_mgr progress;
  jmp_buf back;
  char why[JMSG_LENGTH_MAX];
  const char *path;
  FILE *file;
  int64_t bytes;
  int exif;
  Image *image; /* decoded into; allocated between two steps */
  JSAMPLE *row;
} JpegFile;

static void jpeg_ended(j_common_ptr jpeg) {
  JpegFile *p = jpeg->client_data;
  jpeg->err->format_message(jpeg, p->why);
  longjmp(p->back, 1);
}

/* libjpeg warns where it makes pixels up; what it warns of besides loses none. */
static void jpeg_warned(j_common_ptr jpeg, int level) {
  static const int losses[] = {JWRN_JPEG_EOF, JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE, JWRN_MUST_RESYNC,
                               JWRN_ARITH_BAD_CODE};
  if (level >= 0) return;
  for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
    if (jpeg->err->msg_code == losses[i]) jpeg_ended(jpeg);
}

/* A small file of very many scans would be decoded for hours. */
static void jpeg_scanned(j_common_ptr jpeg) {
  JpegFile *p = jpeg->client_data;
  if (p->jpeg.input_scan_number <= SCANS_MAX) return;
  snprintf(p->why, sizeof p->why, "more than %d scans", SCANS_MAX);
  longjmp(p->back, 1);
}

typedef void JpegStep(JpegFile *p);

static bool guarded(JpegFile *p, JpegStep *step, Error *error) {
  if (setjmp(p->back) == 0) {
    step(p);
    return true;
  }
  return fail(error, "%s: corrupt (%s); copy or export the file again", p->path, p->why);
}

static void header_step(JpegFile *p) {
  static const char head[EXIF_HEAD] = "Exif\0";
  jpeg_create_decompress(&p->jpeg);
  p->jpeg.client_data = p;
  p->jpeg.progress = &p->progress;
  jpeg_stdio_src(&p->jpeg, p->file);
  jpeg_save_markers(&p->jpeg, EXIF_MARKER, 0xffff);
  jpeg_read_header(&p->jpeg, TRUE);
  for (jpeg_saved_marker_ptr m = p->jpeg.marker_list; m && !p->exif; m = m->next)
    if (m->marker == EXIF_MARKER && m->data_length > EXIF_HEAD && !memcmp(m->data, head, EXIF_HEAD))
      p->exif = exif_orientation(m->data + EXIF_HEAD, m->data_length - EXIF_HEAD);
}

static void jpeg_close(JpegFile *p) {
  jpeg_destroy_decompress(&p->jpeg);
  if (p->file) fclose(p->file);
  free(p->row);
}

static bool colours_check(const JpegFile *p, Error *error) {
  J_COLOR_SPACE space = p->jpeg.jpeg_color_space;
  if (space == JCS_GRAYSCALE || space == JCS_YCbCr || space == JCS_RGB) return true;
  return fail(error, "%s: its colours are %s (%d components); save it as RGB or grey", p->path,
              space == JCS_CMYK || space == JCS_YCCK ? "CMYK" : "of an unknown kind",
              p->jpeg.num_components);
}

/* The header, checked. Whatever it returns, jpeg_close frees. A block of 8x8 samples takes a bit or
 * more; coded arithmetically it may take a part of one, of one colour next to nothing. */
static bool jpeg_begin(JpegFile *p, const char *path, Error *error) {
  memset(p, 0, sizeof *p);
  p->path = path;
  p->file = picture_open(path, "JPEG", &p->bytes, error);
  if (!p->file) return false;
  p->jpeg.err = jpeg_std_error(&p->told);
  p->jpeg.client_data = p;
  p->told.error_exit = jpeg_ended;
  p->told.emit_message = jpeg_warned;
  p->progress.progress_monitor = jpeg_scanned;
  if (!guarded(p, header_step, error)) return false;
  int width = (int)p->jpeg.image_width, height = (int)p->jpeg.image_height;
  double least = (double)width * height / BLOCK / (p->jpeg.arith_code ? 128 : 8);
  return picture_size_check(path, width, height, least, p->bytes, error) && colours_check(p, error);
}

static int channels_of(const JpegFile *p) {
  return p->jpeg.jpeg_color_space == JCS_GRAYSCALE ? 1 : 3;
}

static Grid grid_of(const JpegFile *p) {
  return picture_grid((int)p->jpeg.image_width, (int)p->jpeg.image_height, false, p->exif);
}

static void rows_step(JpegFile *p) {
  p->jpeg.out_color_space = p->image->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&p->jpeg);
  size_t values = (size_t)p->jpeg.output_width * (size_t)p->image->channels;
  float *out = p->image->data;
  while (p->jpeg.output_scanline < p->jpeg.output_height) {
    jpeg_read_scanlines(&p->jpeg, &p->row, 1);
    for (size_t i = 0; i < values; i++) *out++ = p->row[i];
  }
  jpeg_finish_decompress(&p->jpeg);
}

static bool image_of(JpegFile *p, Image *image, Error *error) {
  Grid grid = grid_of(p);
  if (!image_alloc(image, &grid, channels_of(p), error)) return false;
  p->image = image;
  p->row = malloc((size_t)grid.dim[2] * (size_t)image->channels);
  return p->row ? guarded(p, rows_step, error) : fail(error, "out of memory: %s", p->path);
}

bool jpeg_file_image_read(Image *image, const char *path, Error *error) {
  JpegFile p;
  *image = (Image){0};
  bool good = jpeg_begin(&p, path, error) && image_of(&p, image, error);
  jpeg_close(&p);
  if (!good) image_free(image);
  return good;
}

bool jpeg_file_inspect(const char *path, Grid *grid, int *channels, Error *error) {
  JpegFile p;
  bool good = jpeg_begin(&p, path, error);
  if (good) *grid = grid_of(&p), *channels = channels_of(&p);
  jpeg_close(&p);
  return good;
}

/* ---- what JPEG does not keep ----------------------------------------------------------------- */

static bool refuse(const char *path, const char *what, Error *error) {
  return fail(error,
              "%s: JPEG does not keep the values of %s: those near an edge become others; use PNG "
              "(a label map that was saved as JPEG is best made anew from where it came from)",
              path, what);
}

bool jpeg_file_label_refuse(LabelMap *label, const char *path, Error *error) {
  *label = (LabelMap){0};
  return refuse(path, "a label map", error);
}

bool jpeg_file_image_refuse(const Image *image, VoxelType type, const char *path, Error *error) {
  (void)image, (void)type;
  return refuse(path, "an image", error);
}

bool jpeg_file_label_write_refuse(const LabelMap *label, const char *path, Error *error) {
  (void)label;
  return refuse(path, "a label map", error);
}
