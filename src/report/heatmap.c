#include "src/report/heatmap.h"

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

static void put_map(FILE *out, const HeatSheet *s, int input, int head, int index) {
  const HeatMap *map = &s->map[input][head];
  fputs("set title \"", out);
  picture_label(out, s->head[head]);
  fprintf(out,
          "\" font \",11\"\nset xrange [-0.5:%.1f]\nset yrange [%.1f:-0.5]\nset xlabel \"%s\"\n"
          "set ylabel \"%s\"\nplot \"%s.tsv\" index %d matrix with image notitle\n",
          map->columns - 0.5, map->rows - 0.5, s->x_axis, head ? "" : "query", s->name, index);
}

static void put_slice(FILE *out, const HeatSheet *s, int input, int index) {
  fprintf(out,
          "set title \"input %d: ground truth\" font \",11\"\nset xrange [-0.5:%.1f]\nset yrange "
          "[-0.5:%.1f]\nunset xlabel\nunset ylabel\nunset tics\nset size ratio %.4f\n"
          "plot \"%s.tsv\" index %d using 1:2:3:4:5 with rgbimage notitle\n"
          "set size noratio\nset tics out nomirror font \",9\"\n",
          input + 1, s->width - 0.5, s->height - 0.5, (double)s->height / s->width, s->name, index);
}

static bool write_script(const HeatSheet *s, const char *folder, Error *error) {
  FILE *out = picture_create(folder, s->name, ".gp", error);
  if (!out) return false;
  int wide = 330 * (s->heads + 1);
  fprintf(out,
          "if (!exists(\"ending\")) ending = \"svg\"\n"
          "if (ending eq \"png\") set terminal pngcairo size %d,720 font \"Sans,11\" enhanced; \\\n"
          "else set terminal svg size %d,720 font \"Sans,11\" enhanced background \"white\"\n"
          "set multiplot layout 2,%d title \"",
          wide, wide, s->heads + 1);
  picture_label(out, s->title);
  /* viridis: high values are yellow, as in the paper's figures */
  fputs("\" font \",15\"\nset palette defined (0 \"#440154\", 1 \"#414487\", 2 \"#2a788e\", "
        "3 \"#22a884\", 4 \"#7ad151\", 5 \"#fde725\")\nset tics out nomirror font \",9\"\n"
        "unset key\nset datafile separator \"\\t\"\n",
        out);
  int index = 0;
  for (int i = 0; i < HEATMAP_INPUTS; i++) {
    for (int h = 0; h < s->heads; h++) {
      if (s->map[i][h].value)
        put_map(out, s, i, h, index++);
      else
        fputs("set multiplot next\n", out);
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
