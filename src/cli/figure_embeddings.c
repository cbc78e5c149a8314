/* harness plot embeddings: what each query stands for, as heat maps. */
#include "src/cli/figure.h"

#include <string.h>
#include <unistd.h>

#include "src/report/heatmap.h"
#include "src/report/report.h"
#include "src/report/result.h"
#include "src/train/config.h"

static const struct argp_option embeddings_options[] = {
    {"scale", FIGURE_SCALE, "NAME", 0, "Of the trials at this scale", 0}, {0}};

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

static bool add_inputs(Gallery *g, const Trained *trained, const char *label, Error *error) {
  const int64_t *patch = &trained->model.image->tensor.dim[1];
  if (trained->cases.validations < HEATMAP_INPUTS)
    return fail(error, "two validation cases are shown, the data set has %d",
                trained->cases.validations);
  int column[2] = {-1, -1};
  for (int kind = 0; kind < 2; kind++) {
    HeatSheet *sheet = &g->sheet[kind];
    if (!has(&trained->model, kind) || sheet->heads == HEATMAP_HEADS) continue;
    column[kind] = sheet->heads;
    snprintf(sheet->head[sheet->heads++], sizeof sheet->head[0], "%s", label);
  }
  for (int input = 0; input < HEATMAP_INPUTS; input++) {
    free(g->labels[input]);
    g->labels[input] = malloc((size_t)(patch[0] * patch[1] * patch[2]));
    CHECK(g->labels[input], "no memory for a patch's labels");
    trained_patch(trained, &trained->cases.validation[input], g->labels[input]);
    plan_run(trained->plan, false);
    for (int kind = 0; kind < 2; kind++) {
      if (column[kind] >= 0) add_map(g, kind, input, column[kind], &trained->model);
      g->sheet[kind].height = (int)patch[1];
      g->sheet[kind].width = (int)patch[2];
      g->sheet[kind].slice[input] = g->labels[input] + patch[0] / 2 * patch[1] * patch[2];
    }
  }
  return true;
}

static bool add_trial(Gallery *g, const FigureRequest *r, const json_t *trial, json_t *config,
                      Error *error) {
  Trained trained;
  const char *label = config_text(trial, "label");
  if (!r->common.quiet)
    fprintf(stderr, "harness: running %s, trial %.8s\n", label, config_text(trial, "hash"));
  bool good =
      figure_open(r, &trained, trial, config, error) && add_inputs(g, &trained, label, error);
  trained_free(&trained);
  return good;
}

static bool collect(const FigureRequest *r, Store *store, const json_t *result, Gallery *g,
                    Error *error) {
  json_t *trials = NULL, *row;
  if (!figure_trials(store, NULL, config_int(result, "plan_id"), &trials, error)) return false;
  bool good = true;
  size_t i;
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    json_t *config = NULL;
    const json_t *trial = figure_pick(r, store, trials, config_int(row, "position"), &config);
    if (trial && good) good = add_trial(g, r, trial, config, error);
    if (!trial && !r->common.quiet)
      fprintf(stderr, "harness: %s has no trial with weights yet: left out\n",
              config_text(row, "label"));
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
static int draw_embeddings(const FigureRequest *r, Store *store, const json_t *result,
                           char path[2][PLOT_PATH], Error *error) {
  Gallery gallery = {0};
  const char *experiment = config_text(result, "experiment");
  bool good = collect(r, store, result, &gallery, error);
  bool any = gallery.sheet[0].heads || gallery.sheet[1].heads;
  if (good && !any)
    fail(error, "%s: no trial of %s that is done has weights and embeddings", r->common.db,
         experiment);
  bool drawn = good && any && draw_gallery(&gallery, experiment, store_folder(store), path, error);
  gallery_free(&gallery);
  return drawn ? EXIT_DONE : good && !any ? EXIT_NOTHING : EXIT_UNFIT;
}

static int draw(const FigureRequest *r, Store *store, Error *error) {
  json_t *result = NULL;
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
  json_decref(result);
  return code;
}

/* Both pictures are there and newer than the weights of every row that has some. */
static bool gallery_drawn(const FigureRequest *r, Store *store, const json_t *result,
                          char path[2][PLOT_PATH]) {
  json_t *trials = NULL, *row;
  Error error = {""};
  if (!figure_trials(store, NULL, config_int(result, "plan_id"), &trials, &error)) return false;
  bool newer = true;
  size_t i;
  for (int kind = 0; kind < 2; kind++)
    snprintf(path[kind], PLOT_PATH, "%.4000s/plots/%.80s-%s.svg", store_folder(store),
             config_text(result, "experiment"), kinds[kind]);
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    json_t *config = NULL;
    if (figure_pick(r, store, trials, config_int(row, "position"), &config))
      newer = newer && figure_is_newer(path[0], config) && figure_is_newer(path[1], config);
    json_decref(config);
  }
  json_decref(trials);
  return newer && access(path[0], R_OK) == 0 && access(path[1], R_OK) == 0;
}

static void report(const FigureRequest *r, Store *store, const json_t *result, json_t *pictures,
                   json_t *open) {
  char path[2][PLOT_PATH], caption[80];
  Error error = {""};
  if (!gallery_drawn(r, store, result, path) &&
      draw_embeddings(r, store, result, path, &error) != EXIT_DONE) {
    report_add_open(open, "class and mask embeddings per query", "skipped", error.text,
                    "./harness plot embeddings");
    return;
  }
  for (int kind = 0; kind < 2; kind++) {
    snprintf(caption, sizeof caption, "%s embedding per query, two inputs", kinds[kind]);
    if (path[kind][0])
      report_add_picture(pictures, config_text(result, "experiment"), caption, path[kind]);
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
