#include "src/train/sam_picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double MEAN[3] = {123.675, 116.28, 103.53}, DEVIATION[3] = {58.395, 57.12, 57.375};

/* ---- bilinear resizing ----------------------------------------------------------------------- */

/* `lines` blocks of (in, inner) to (out, inner) by a triangle of one pixel's width to each side,
 * or, antialiased, of as many as are shrunk to one. */
static void resize_axis(const float *from, int lines, int in, int out, int inner, bool antialias,
                        float *to) {
  double step = (double)in / out, reach = antialias && step > 1 ? step : 1;
  for (int o = 0; o < out; o++) {
    double centre = (o + .5) * step - .5, total = 0;
    int first = (int)fmax(ceil(centre - reach), 0), last = (int)fmin(floor(centre + reach), in - 1);
    for (int i = first; i <= last; i++) total += 1 - fabs(i - centre) / reach;
    for (int l = 0; l < lines; l++)
      for (int c = 0; c < inner; c++) {
        double sum = 0;
        for (int i = first; i <= last; i++)
          sum += (1 - fabs(i - centre) / reach) * from[((size_t)l * in + i) * inner + c];
        to[((size_t)l * out + o) * inner + c] = (float)(sum / total);
      }
  }
}

/* (height, width, channels) to (rows, columns, channels); the result is the caller's to free. */
static float *resized(const float *from, int height, int width, int channels, int rows, int columns,
                      bool antialias) {
  size_t pixels = (size_t)rows * (size_t)columns * (size_t)channels;
  float *half = malloc((size_t)height * (size_t)columns * (size_t)channels * sizeof *half);
  float *to = malloc(pixels * sizeof *to);
  CHECK(half && to, "no memory for a picture of %d x %d", rows, columns);
  resize_axis(from, height, width, columns, channels, antialias, half);
  resize_axis(half, 1, height, rows, columns * channels, antialias, to);
  free(half);
  return to;
}

/* ---- the picture ----------------------------------------------------------------------------- */

static int colours_of(const Image *image) {
  return image->channels - !!(image->grid.remarks & GRID_ALPHA);
}

/* Of pixels of 16 bits: back to 0..255, which the mean and the deviation are of. */
static double scale_of(const Image *image) {
  size_t count = grid_voxels(&image->grid) * (size_t)image->channels;
  float most = 0;
  for (size_t i = 0; i < count; i++) most = fmaxf(most, image->data[i]);
  return most > 255 ? 255. / 65535 : 1;
}

bool sam_picture_check(const Image *image, const char *path, Error *error) {
  int colours = colours_of(image);
  if (image->grid.dim[0] == 1 && (colours == 1 || colours == 3)) return true;
  return fail(error, "%s: SAM sees a picture of one or three channels, found %d slices of %d", path,
              image->grid.dim[0], colours);
}

void sam_picture_prepare(const Image *image, int side, float *square, SamPicture *picture) {
  int height = image->grid.dim[1], width = image->grid.dim[2], colours = colours_of(image);
  double factor = (double)side / (height > width ? height : width), scale = scale_of(image);
  *picture = (SamPicture){.side = side, .height = height, .width = width};
  picture->seen[0] = (int)(height * factor + .5);
  picture->seen[1] = (int)(width * factor + .5);
  picture->factor_y = (double)picture->seen[0] / height;
  picture->factor_x = (double)picture->seen[1] / width;
  float *small = resized(image->data, height, width, image->channels, picture->seen[0],
                         picture->seen[1], true);
  memset(square, 0, (size_t)side * (size_t)side * 3 * sizeof *square);
  for (int y = 0; y < picture->seen[0]; y++)
    for (int x = 0; x < picture->seen[1]; x++)
      for (int c = 0; c < 3; c++) {
        size_t pixel = (size_t)y * (size_t)picture->seen[1] + (size_t)x;
        double value = small[pixel * (size_t)image->channels + (size_t)(colours == 3 ? c : 0)];
        square[((size_t)y * (size_t)side + (size_t)x) * 3 + (size_t)c] =
            (float)((scale * value - MEAN[c]) / DEVIATION[c]);
      }
  free(small);
}

/* The part of the square that shows the picture. */
static float *seen_part(const SamPicture *p, const float *square, int masks) {
  size_t row = (size_t)p->seen[1] * (size_t)masks, pitch = (size_t)p->side * (size_t)masks;
  float *part = malloc((size_t)p->seen[0] * row * sizeof *part);
  CHECK(part, "no memory for a mask of %d x %d", p->seen[0], p->seen[1]);
  for (size_t y = 0; y < (size_t)p->seen[0]; y++)
    memcpy(part + y * row, square + y * pitch, row * sizeof *part);
  return part;
}

void sam_picture_masks(const SamPicture *p, const float *logits, const int64_t dim[5],
                       uint8_t *label) {
  int masks = (int)dim[4];
  float *square = resized(logits, (int)dim[2], (int)dim[3], masks, p->side, p->side, false);
  float *part = seen_part(p, square, masks);
  float *whole = resized(part, p->seen[0], p->seen[1], masks, p->height, p->width, false);
  for (size_t i = 0; i < (size_t)p->height * (size_t)p->width; i++) {
    float most = 0;
    label[i] = 0;
    for (int k = 0; k < masks; k++)
      if (whole[i * (size_t)masks + (size_t)k] > most) {
        most = whole[i * (size_t)masks + (size_t)k];
        label[i] = (uint8_t)(k + 1);
      }
  }
  free(square);
  free(part);
  free(whole);
}
