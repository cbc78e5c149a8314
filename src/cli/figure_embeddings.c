/* harness plot embeddings: what each query stands for, MaskMed's Figures 3-5: heat maps of
 * embeddings, a row for each input, a column for each kind of head, the ground truth of a slice at
 * the right. */
#include "base/home.h"
#include "src/cli/figures.h"
#include "src/report/picture.h"
#include "src/report/report.h"
#include "src/report/result.h"
#include "src/train/config.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* ---- drawing --------------------------------------------------------------------------------- */

enum { HEATMAP_INPUTS = 2, HEATMAP_HEADS = 8 };

/* Values (rows, columns), or (columns, rows) when transposed; NULL: nothing is drawn there. */
typedef struct HeatMap {
  const float *value;
  int rows, columns;
  bool transposed;
} HeatMap;

typedef struct HeatSheet {
  const char *name, *title;
  const char *x_axis; /* "class", "channel"; y is the query */
  int heads;
  char head[HEATMAP_HEADS][80];
  HeatMap map[HEATMAP_INPUTS][HEATMAP_HEADS];
  const uint8_t *slice[HEATMAP_INPUTS]; /* labels (height, width) */
  int height, width;
} HeatSheet;

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

static bool heatmap_plot(const HeatSheet *s, const char *folder, char path[PLOT_PATH],
                         Error *error) {
  return write_data(s, folder, error) && write_script(s, folder, error) &&
         picture_draw(folder, s->name, path, error);
}

/* ---- what is drawn --------------------------------------------------------------------------- */

static const struct argp_option embeddings_options[] = {
    {"scale", FIGURE_SCALE, "NAME", 0, "Of the trials at this scale", 0}, FIGURE_OUTPUT, {0}};

/* The values of both pictures, copied out of the graphs. */
typedef struct Gallery {
  HeatSheet sheet[2]; /* class, mask */
  float *copy[2 * HEATMAP_INPUTS * HEATMAP_HEADS];
  int copies;
  uint8_t *labels[HEATMAP_INPUTS]; /* of whole patches */
} Gallery;

static const Value *extra_of(const Model *model, const char *name) {
  for (int i = 0; i < model->extras; i++)
    if (!strcmp(model->extra[i].name, name)) return model->extra[i].value;
  return NULL;
}

static void add_map(Gallery *g, int kind, int input, int head, const Model *model) {
  static const char *const names[2][2] = {{"class_embedding", "class_weight"},
                                          {"mask_embedding", "mask_weight"}};
  const Value *moving = extra_of(model, names[kind][0]), *fixed = extra_of(model, names[kind][1]);
  const Value *value = moving ? moving : input == 0 ? fixed : NULL;
  if (!value) return;
  const Tensor *t = &value->tensor;
  bool transposed = !moving && kind == 0; /* a weight (classes, queries) */
  int last = (int)tensor_last(t), rows = (int)(tensor_count(t) / last);
  float *copy = malloc(tensor_bytes(t));
  CHECK(copy, "no memory for an embedding");
  memcpy(copy, t->data, tensor_bytes(t));
  g->copy[g->copies++] = copy;
  g->sheet[kind].map[input][head] = (HeatMap){.value = copy,
                                              .rows = transposed ? last : rows,
                                              .columns = transposed ? rows : last,
                                              .transposed = transposed};
}

/* The model has this kind of embedding: the conventional head's classes are no column. */
static bool has(const Model *model, int kind) {
  return kind == 0 ? extra_of(model, "class_embedding") || extra_of(model, "class_weight")
                   : extra_of(model, "mask_embedding") || extra_of(model, "mask_weight");
}

static bool add_inputs(Gallery *g, const TrainedNetwork *network, const char *label, Error *error) {
  const int64_t *patch = &network->model.image->tensor.dim[1];
  if (network->cases.validations < HEATMAP_INPUTS)
    return fail(error, "two validation cases are shown, the data set has %d",
                network->cases.validations);
  int column[2] = {-1, -1};
  for (int kind = 0; kind < 2; kind++) {
    HeatSheet *sheet = &g->sheet[kind];
    if (!has(&network->model, kind) || sheet->heads == HEATMAP_HEADS) continue;
    column[kind] = sheet->heads;
    snprintf(sheet->head[sheet->heads++], sizeof sheet->head[0], "%s", label);
  }
  for (int input = 0; input < HEATMAP_INPUTS; input++) {
    free(g->labels[input]);
    g->labels[input] = malloc((size_t)(patch[0] * patch[1] * patch[2]));
    CHECK(g->labels[input], "no memory for a patch's labels");
    trained_network_patch(network, &network->cases.validation[input], g->labels[input]);
    plan_run(network->plan, false);
    for (int kind = 0; kind < 2; kind++) {
      if (column[kind] >= 0) add_map(g, kind, input, column[kind], &network->model);
      g->sheet[kind].height = (int)patch[1];
      g->sheet[kind].width = (int)patch[2];
      g->sheet[kind].slice[input] = g->labels[input] + patch[0] / 2 * patch[1] * patch[2];
    }
  }
  return true;
}

static bool add_trial(Gallery *g, const FigureRequest *r, const json_t *trial, json_t *config,
                      Error *error) {
  TrainedNetwork network;
  const char *label = config_text(trial, "label");
  if (!r->common.quiet)
    fprintf(stderr, "harness: running %s, trial %.8s\n", label, config_text(trial, "hash"));
  bool good =
      figure_open(r, &network, trial, config, error) && add_inputs(g, &network, label, error);
  trained_network_free(&network);
  return good;
}

static bool collect(const FigureRequest *r, Store *store, const Result *result, Gallery *g,
                    Error *error) {
  json_t *trials = NULL;
  if (!figure_trials(store, NULL, result->plan_id, &trials, error)) return false;
  bool good = true;
  for (int i = 0; i < result->rows; i++) {
    json_t *config = NULL;
    const json_t *trial = figure_pick(r, store, trials, result->row[i].position, &config);
    if (trial && good) good = add_trial(g, r, trial, config, error);
    if (!trial && !r->common.quiet)
      fprintf(stderr, "harness: %s has no trial with weights yet: left out\n",
              result->row[i].label);
    json_decref(config);
  }
  json_decref(trials);
  return good;
}

static const char *const kinds[2] = {"class", "mask"};

/* path[kind]: empty where no row has such an embedding. */
static bool draw_gallery(Gallery *g, const char *experiment, const char *folder,
                         char path[2][PLOT_PATH], Error *error) {
  static const char *const axes[2] = {"class", "channel"};
  for (int kind = 0; kind < 2; kind++) {
    char name[128], title[256];
    path[kind][0] = 0;
    HeatSheet *sheet = &g->sheet[kind];
    if (!sheet->heads) continue;
    snprintf(name, sizeof name, "%.80s-%s", experiment, kinds[kind]);
    snprintf(title, sizeof title, "%c%s embedding per query, two inputs",
             kinds[kind][0] - 'a' + 'A', kinds[kind] + 1);
    sheet->name = name;
    sheet->title = title;
    sheet->x_axis = axes[kind];
    if (!heatmap_plot(sheet, folder, path[kind], error)) return false;
  }
  return true;
}

static void gallery_free(Gallery *g) {
  for (int i = 0; i < g->copies; i++) free(g->copy[i]);
  for (int i = 0; i < HEATMAP_INPUTS; i++) free(g->labels[i]);
}

/* Returns an exit code, EXIT_DONE with the pictures' paths. */
static int draw_embeddings(const FigureRequest *r, Store *store, const Result *result,
                           char path[2][PLOT_PATH], Error *error) {
  Gallery gallery = {0};
  const char *experiment = result->experiment;
  bool good = collect(r, store, result, &gallery, error);
  bool any = gallery.sheet[0].heads || gallery.sheet[1].heads;
  if (good && !any)
    fail(error, "%s: no trial of %s that is done has weights and embeddings", r->common.db,
         experiment);
  bool drawn =
      good && any && draw_gallery(&gallery, experiment, figure_folder(r, store), path, error);
  gallery_free(&gallery);
  return drawn ? EXIT_DONE : good && !any ? EXIT_NOTHING : EXIT_UNFIT;
}

static int draw(const FigureRequest *r, Store *store, Error *error) {
  Result *result = NULL;
  char path[2][PLOT_PATH];
  ResultChoice choice = {.what = r->what ? r->what : "embeddings", .scale = r->scale};
  bool good = result_load(store, &choice, &result, error);
  if (good && !result)
    fail(error, "%s: nothing is stored for %s; `harness run experiments/%s.lua` trains it",
         r->common.db, choice.what, choice.what);
  if (!result) return good ? EXIT_NOTHING : EXIT_UNFIT;
  int code = draw_embeddings(r, store, result, path, error);
  for (int kind = 0; code == EXIT_DONE && kind < 2; kind++)
    if (path[kind][0]) printf("%s\n", path[kind]);
  result_free(result);
  return code;
}

/* Both pictures are there and newer than the weights of every row that has some. */
static bool gallery_drawn(const FigureRequest *r, Store *store, const Result *result,
                          char path[2][PLOT_PATH]) {
  json_t *trials = NULL;
  Error error = {""};
  if (!figure_trials(store, NULL, result->plan_id, &trials, &error)) return false;
  bool newer = true;
  for (int kind = 0; kind < 2; kind++)
    snprintf(path[kind], PLOT_PATH, "%.4000s/plots/%.80s-%s.svg", store_folder(store),
             result->experiment, kinds[kind]);
  for (int i = 0; i < result->rows; i++) {
    json_t *config = NULL;
    if (figure_pick(r, store, trials, result->row[i].position, &config))
      newer = newer && figure_is_newer(path[0], config) && figure_is_newer(path[1], config);
    json_decref(config);
  }
  json_decref(trials);
  return newer && access(path[0], R_OK) == 0 && access(path[1], R_OK) == 0;
}

static void report(const FigureRequest *r, Report *page, const Result *result) {
  char path[2][PLOT_PATH], caption[80], command[40];
  Error error = {""};
  if (!gallery_drawn(r, page->store, result, path) &&
      draw_embeddings(r, page->store, result, path, &error) != EXIT_DONE) {
    snprintf(command, sizeof command, "%s plot embeddings", home_program());
    report_add_open(page, "class and mask embeddings per query", "skipped", error.text, command);
    return;
  }
  for (int kind = 0; kind < 2; kind++) {
    snprintf(caption, sizeof caption, "%s embedding per query, two inputs", kinds[kind]);
    if (path[kind][0]) report_add_picture(page, result->experiment, caption, path[kind]);
  }
}

const Figure embeddings_figure = {
    {"plot embeddings", "[EXPERIMENT]",
     "  harness plot embeddings\n  harness plot embeddings seg_heads\n",
     "Draws the class and the mask embeddings of every query as heat maps, for two validation "
     "patches and each row of the experiment (default: embeddings), from the weights of one trial "
     "a row: MaskMed's Figures 3 to 5. What does not depend on the image is drawn once.",
     embeddings_options, figure_take},
    draw,
    report};
