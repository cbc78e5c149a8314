#include "src/report/triptych.h"

#include <string.h>

enum { SAMPLES = 50000, COLUMNS = 3 };
static const double COVER = 0.6; /* of a structure's colour over the image */

/* ---- grey levels --------------------------------------------------------------------------------
 */

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* From the first to the last percent of the voxels' values. */
static bool window_of(const Image *image, float window[2], Error *error) {
  size_t voxels = grid_voxels(&image->grid), step = voxels / SAMPLES + 1, count = voxels / step;
  float *sample = malloc((count + 1) * sizeof *sample);
  if (!sample) return fail(error, "no memory for %zu samples", count);
  for (size_t i = 0; i < count; i++) sample[i] = image->data[i * step * (size_t)image->channels];
  qsort(sample, count, sizeof *sample, ascending);
  window[0] = sample[count / 100];
  window[1] = sample[count - 1 - count / 100];
  free(sample);
  return true;
}

static int grey(const Image *image, size_t voxel, const float window[2]) {
  float value = image->data[voxel * (size_t)image->channels], room = window[1] - window[0];
  float share = room > 0 ? (value - window[0]) / room : 0;
  return (int)(255 * (share < 0 ? 0 : share > 1 ? 1 : share));
}

/* ---- slices -------------------------------------------------------------------------------------
 */

/* The middle slice across one axis: which axes run across and up, and where a voxel lies. */
typedef struct Slice {
  int across, up, wide, high;
  size_t origin, step_across, step_up; /* in voxels */
} Slice;

static Slice slice_of(const Grid *grid, int axis) {
  const int *dim = grid->dim;
  size_t step[3] = {(size_t)dim[1] * (size_t)dim[2], (size_t)dim[2], 1};
  Slice s = {.across = axis == 2 ? 1 : 2, .up = axis == 0 ? 1 : 0};
  s.wide = dim[s.across];
  s.high = dim[s.up];
  s.step_across = step[s.across];
  s.step_up = step[s.up];
  s.origin = (size_t)(dim[axis] / 2) * step[axis];
  return s;
}

static void write_panel(FILE *out, const Triptych *t, const Slice *s, const uint8_t *label,
                        const float window[2]) {
  const double *spacing = t->image->grid.spacing;
  for (int y = 0; y < s->high; y++)
    for (int x = 0; x < s->wide; x++) {
      size_t voxel = s->origin + (size_t)y * s->step_up + (size_t)x * s->step_across;
      int level = grey(t->image, voxel, window);
      unsigned char rgb[3] = {0};
      bool covered = label && label[voxel];
      if (covered) picture_colour(label[voxel], rgb);
      fprintf(out, "%g\t%g", x * spacing[s->across], y * spacing[s->up]);
      for (int c = 0; c < 3; c++)
        fprintf(out, "\t%d", covered ? (int)(COVER * rgb[c] + (1 - COVER) * level) : level);
      fputc('\n', out);
    }
  fputs("\n\n", out);
}

static bool write_data(const Triptych *t, const char *folder, Error *error) {
  float window[2] = {0};
  if (!window_of(t->image, window, error)) return false;
  FILE *out = picture_create(folder, t->name, ".tsv", error);
  if (!out) return false;
  const uint8_t *column[COLUMNS] = {NULL, t->truth, t->prediction};
  for (int axis = 0; axis < 3; axis++)
    for (int i = 0; i < COLUMNS; i++) {
      Slice slice = slice_of(&t->image->grid, axis);
      write_panel(out, t, &slice, column[i], window);
    }
  return picture_finish(out, t->name, error);
}

/* ---- script -------------------------------------------------------------------------------------
 */

static void count_labels(const Triptych *t, const uint8_t *label, bool seen[256]) {
  for (int axis = 0; axis < 3; axis++) {
    Slice s = slice_of(&t->image->grid, axis);
    for (int y = 0; y < s.high; y++)
      for (int x = 0; x < s.wide; x++)
        seen[label[s.origin + (size_t)y * s.step_up + (size_t)x * s.step_across]] = true;
  }
}

/* Names of the structures that the slices show, in their colours, at the right. */
static void put_names(FILE *out, const Triptych *t) {
  bool seen[256] = {false};
  count_labels(t, t->truth, seen);
  count_labels(t, t->prediction, seen);
  int line = 0;
  for (int label = 1; label < t->labels; label++) {
    if (!seen[label]) continue;
    unsigned char rgb[3];
    picture_colour(label, rgb);
    fprintf(
        out,
        "set label %d \"■ \" at screen 0.835,%.3f right tc rgb \"#%02x%02x%02x\" font \",16\"\n",
        2 * label, 0.88 - 0.036 * line, rgb[0], rgb[1], rgb[2]);
    fprintf(out, "set label %d ", 2 * label + 1);
    picture_text(out, t->label_name[label]);
    fprintf(out, " at screen 0.84,%.3f left\n", 0.88 - 0.036 * line++);
  }
}

static void put_panel(FILE *out, const Triptych *t, int axis, int column) {
  static const char *const heads[COLUMNS] = {"image", "truth", "prediction"};
  static const char *const axes[3] = {"across D", "across H", "across W"};
  const double *spacing = t->image->grid.spacing;
  Slice s = slice_of(&t->image->grid, axis);
  fprintf(out, axis ? "unset title\n" : "set title \"%s\"\n", heads[column]);
  fprintf(out, column ? "unset ylabel\n" : "set ylabel \"%s\"\n", axes[axis]);
  fprintf(out,
          "set xrange [%g:%g]\nset yrange [%g:%g]\n"
          "plot \"%s.tsv\" index %d using 1:2:3:4:5 with rgbimage notitle\n",
          -0.5 * spacing[s.across], (s.wide - 0.5) * spacing[s.across], -0.5 * spacing[s.up],
          (s.high - 0.5) * spacing[s.up], t->name, axis * COLUMNS + column);
  if (axis == 0 && column == 0) fputs("unset label\n", out); /* the names stand once */
}

static bool write_script(const Triptych *t, const char *folder, Error *error) {
  FILE *out = picture_create(folder, t->name, ".gp", error);
  if (!out) return false;
  picture_terminal(out, 980, 860, 12, 12);
  fputs("set multiplot layout 3,3 margins screen 0.05,0.80,0.02,0.90 spacing screen 0.01,0.012 "
        "title ",
        out);
  picture_text(out, t->title);
  fputs(" font \",13\"\nunset tics\nunset key\nset size ratio -1\nset border lc rgb \"#bbbbbb\"\n"
        "set datafile separator \"\\t\"\n",
        out);
  put_names(out, t);
  for (int axis = 0; axis < 3; axis++)
    for (int column = 0; column < COLUMNS; column++) put_panel(out, t, axis, column);
  fputs("unset multiplot\n", out);
  return picture_finish(out, t->name, error);
}

bool triptych_plot(const Triptych *t, const char *folder, char path[PLOT_PATH], Error *error) {
  return write_data(t, folder, error) && write_script(t, folder, error) &&
         picture_draw(folder, t->name, path, error);
}
