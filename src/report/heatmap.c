#include "src/report/heatmap.h"

#include <math.h>

static const char margins[] = "set lmargin 8\nset rmargin 4\n";
static const char tics[] =
    "set xtics out nomirror font \",9\"\nset ytics out nomirror font \",9\"\n"
    "set cbtics font \",9\"\n";

/* gnuplot's `matrix` block: row 0 first, drawn at the top by a reversed axis. */
static void write_map(FILE *out, const HeatMap *map) {
  for (int r = 0; r < map->rows; r++)
    for (int c = 0; c < map->columns; c++) {
      float value =
          map->transposed ? map->value[c * map->rows + r] : map->value[r * map->columns + c];
      fprintf(out, "%.5g%c", (double)value, c + 1 < map->columns ? '\t' : '\n');
    }
  fputs("\n\n", out);
}

static void write_slice(FILE *out, const HeatSheet *s, const uint8_t *label) {
  for (int y = 0; y < s->height; y++)
    for (int x = 0; x < s->width; x++) {
      unsigned char rgb[3] = {0};
      if (label[y * s->width + x]) picture_colour(label[y * s->width + x], rgb);
      fprintf(out, "%d\t%d\t%d\t%d\t%d\n", x, y, rgb[0], rgb[1], rgb[2]);
    }
  fputs("\n\n", out);
}

static bool write_data(const HeatSheet *s, const char *folder, Error *error) {
  FILE *out = picture_create(folder, s->name, ".tsv", error);
  if (!out) return false;
  for (int i = 0; i < HEATMAP_INPUTS; i++) {
    for (int h = 0; h < s->heads; h++)
      if (s->map[i][h].value) write_map(out, &s->map[i][h]);
    write_slice(out, s, s->slice[i]);
  }
  return picture_finish(out, s->name, error);
}

/* One range of colours for a head, so that its two inputs can be compared. */
static void put_range(FILE *out, const HeatSheet *s, int head) {
  float low = INFINITY, high = -INFINITY;
  for (int i = 0; i < HEATMAP_INPUTS; i++) {
    const HeatMap *map = &s->map[i][head];
    for (int k = 0; map->value && k < map->rows * map->columns; k++) {
      low = fminf(low, map->value[k]);
      high = fmaxf(high, map->value[k]);
    }
  }
  if (low < high)
    fprintf(out, "set cbrange [%.4g:%.4g]\n", (double)low, (double)high);
  else
    fputs("set cbrange [*:*]\n", out);
}

static bool first_of_row(const HeatSheet *s, int input, int head) {
  for (int h = 0; h < head; h++)
    if (s->map[input][h].value) return false;
  return true;
}

static void put_map(FILE *out, const HeatSheet *s, int input, int head, int index) {
  const HeatMap *map = &s->map[input][head];
  fputs("set title ", out);
  picture_text(out, s->head[head]);
  fputs(" font \",11\"\n", out);
  put_range(out, s, head);
  fprintf(out,
          "set xrange [-0.5:%.1f]\nset yrange [%.1f:-0.5]\nset xlabel \"%s\"\n"
          "set ylabel \"%s\"\nplot \"%s.tsv\" index %d matrix with image notitle\n",
          map->columns - 0.5, map->rows - 0.5, s->x_axis,
          first_of_row(s, input, head) ? "query" : "", s->name, index);
}

/* What does not depend on the image is drawn for the first input alone. */
static void put_same(FILE *out) {
  fputs("unset title\nunset xlabel\nunset ylabel\nunset tics\nunset border\n"
        "set xrange [0:1]\nset yrange [0:1]\nset label 1 \"as above: it does\\nnot depend on\\nthe "
        "image\" at graph 0.5,0.6 center tc rgb \"#555555\"\nplot NaN notitle\nunset label 1\n"
        "set border\n",
        out);
  fputs(tics, out);
}

static void put_slice(FILE *out, const HeatSheet *s, int input, int index) {
  fprintf(out,
          "set title \"input %d: ground truth\" font \",11\"\nset xrange [-0.5:%.1f]\nset yrange "
          "[-0.5:%.1f]\nunset xlabel\nunset ylabel\nunset tics\nset size ratio %.4f\n"
          "set lmargin 1\nset rmargin 1\n"
          "plot \"%s.tsv\" index %d using 1:2:3:4:5 with rgbimage notitle\n"
          "set size noratio\n%s",
          input + 1, s->width - 0.5, s->height - 0.5, (double)s->height / s->width, s->name, index,
          margins);
  fputs(tics, out);
}

static bool write_script(const HeatSheet *s, const char *folder, Error *error) {
  FILE *out = picture_create(folder, s->name, ".gp", error);
  if (!out) return false;
  int wide = 330 * (s->heads + 1);
  picture_terminal(out, wide, 720, 11, 11);
  fprintf(out, "set multiplot layout 2,%d title ", s->heads + 1);
  picture_text(out, s->title);
  /* viridis: high values are yellow, as in the paper's figures */
  fputs(" font \",15\"\nset palette defined (0 \"#440154\", 1 \"#414487\", 2 \"#2a788e\", "
        "3 \"#22a884\", 4 \"#7ad151\", 5 \"#fde725\")\nunset key\nset datafile separator \"\\t\"\n",
        out);
  fputs(margins, out);
  fputs(tics, out);
  int index = 0;
  for (int i = 0; i < HEATMAP_INPUTS; i++) {
    for (int h = 0; h < s->heads; h++) {
      if (s->map[i][h].value)
        put_map(out, s, i, h, index++);
      else
        put_same(out);
    }
    put_slice(out, s, i, index++);
  }
  fputs("unset multiplot\n", out);
  return picture_finish(out, s->name, error);
}

bool heatmap_plot(const HeatSheet *s, const char *folder, char path[PLOT_PATH], Error *error) {
  return write_data(s, folder, error) && write_script(s, folder, error) &&
         picture_draw(folder, s->name, path, error);
}
