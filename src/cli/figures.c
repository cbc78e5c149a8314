/* harness plot triptych and harness plot embeddings: pictures for which trained weights are run
 * again. */
#include "src/cli/figures.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/cli/cli.h"
#include "src/cli/weights.h"
#include "src/data/metrics/structures.h"
#include "src/data/sets/json_text.h"
#include "src/report/heatmap.h"
#include "src/report/report.h"
#include "src/report/result.h"
#include "src/report/triptych.h"
#include "src/train/config.h"
#include "src/train/inference.h"
#include "src/train/trained.h"

typedef struct Request {
  Common common;
  const char *what; /* a trial, or an experiment */
  const char *scale;
  double number; /* of the validation case, from 1 */
  DataSeen *seen;
} Request;

enum { KEY_CASE = 1, KEY_SCALE };

static bool take(int key, char *value, void *user, Error *error) {
  Request *r = user;
  if (key == KEY_CASE) return cli_number("--case", value, 1, &r->number, error);
  if (key == KEY_SCALE) r->scale = value;
  if (key == ' ' && r->what) return false;
  if (key == ' ') r->what = value;
  return true;
}

/* ---- trials with weights ------------------------------------------------------------------------
 */

/* Trials that are done, newest first: all, one by its hash, or those of a plan by row. */
static const char trials_sql[] =
    "SELECT t.hash, t.data_hash, t.config, t.seed, coalesce(r.label, '') AS label, r.position"
    " FROM v_attempt v JOIN trials t ON t.id = v.trial_id"
    " LEFT JOIN cells c ON c.trial_id = t.id LEFT JOIN rows r ON r.id = c.row_id"
    " WHERE (t.hash = ?1 OR ?1 IS NULL) AND (r.plan_id = ?2 OR ?2 = 0)"
    " AND t.config ->> '$.kind' IS NULL ORDER BY v.attempt_id DESC, r.id";

static json_t *config_of(const Request *r, Store *store, const json_t *trial) {
  return weights_config(r->common.home, store, config_text(trial, "hash"),
                        config_text(trial, "config"));
}

static bool open_trial(const Request *r, Trained *trained, const json_t *trial, json_t *config,
                       Error *error) {
  *trained = (Trained){0};
  return weights_data(config, config_text(trial, "hash"), config_text(trial, "data_hash"), r->seen,
                      error) &&
         trained_open(trained, config, error);
}

static bool list_trials(Store *store, const char *hash, int64_t plan, json_t **trials,
                        Error *error) {
  json_t *parameters = json_array();
  json_array_append_new(parameters, hash ? json_name(hash) : json_null());
  json_array_append_new(parameters, json_integer(plan));
  bool good = store_query(store, trials_sql, parameters, trials, error);
  json_decref(parameters);
  return good;
}

/* ---- triptych -----------------------------------------------------------------------------------
 */

static const struct argp_option triptych_options[] = {
    {"case", KEY_CASE, "N", 0, "The N-th validation case (default 1)", 0}, {0}};

static const Cli triptych_cli = {
    "plot triptych",
    "[TRIAL]",
    "  harness plot triptych\n  harness plot triptych 3f2a --case 2\n",
    "Draws image, truth and prediction of a validation case, its middle slices across D, H and W. "
    "The prediction comes from the trial's weights through the sliding window. TRIAL: leading "
    "digits as `harness runs list` prints them; without it the newest trial that has weights.",
    triptych_options,
    take};

/* Under FOLDER/plots: the first case's picture has the trial's name alone. */
static void triptych_name(const json_t *trial, int index, char name[64]) {
  snprintf(name, 64, "triptych-%.8s", config_text(trial, "hash"));
  if (index > 0) snprintf(name, 64, "triptych-%.8s-case%d", config_text(trial, "hash"), index + 1);
}

static bool draw_case(const Trained *trained, int index, const json_t *trial,
                      const InferenceOptions *options, const char *folder, char path[PLOT_PATH],
                      Error *error) {
  const Volume *volume = &trained->cases.validation[index];
  char name[64], title[512];
  size_t voxels = grid_voxels(&volume->image.grid);
  uint8_t *label = malloc(voxels);
  if (!label) return fail(error, "no memory for %zu labels", voxels);
  Frame frame = frame_identity(&volume->image.grid); /* shown as the network sees it */
  bool good = inference_run(trained->plan, &trained->model, &volume->image, &frame, options, label,
                            NULL, error);
  const Dataset *dataset = &trained->cases.dataset;
  Dice dice[DATASET_LABELS_MAX];
  char *names[LABEL_VALUES];
  good =
      good && dice_structures(&dataset->labelling, label, volume->label.data, voxels, dice, error);
  if (good) {
    labels_value_names(dataset, names);
    triptych_name(trial, index, name);
    snprintf(title, sizeof title, "%s, seed %d, trial %.8s: %s, mean Dice %.3f",
             config_text(trial, "label"), (int)config_int(trial, "seed"),
             config_text(trial, "hash"), volume->name, dice_mean(dice, dataset->labels, NULL));
    Triptych triptych = {.name = name,
                         .title = title,
                         .image = &volume->image,
                         .truth = volume->label.data,
                         .prediction = label,
                         .labels = dataset->labelling.values,
                         .label_name = names};
    good = triptych_plot(&triptych, folder, path, error);
  }
  free(label);
  return good;
}

static bool draw_trial(const Request *r, Store *store, const json_t *trial, json_t *config,
                       char path[PLOT_PATH], Error *error) {
  Trained trained;
  bool good = open_trial(r, &trained, trial, config, error);
  int index = (int)r->number - 1;
  if (good && index >= trained.cases.validations)
    good = fail(error, "--case %d: there are %d validation cases", index + 1,
                trained.cases.validations);
  InferenceOptions options = inference_options(config, &trained.cases.dataset.labelling);
  good = good && draw_case(&trained, index, trial, &options, store_folder(store), path, error);
  trained_free(&trained);
  return good;
}

static int triptych(const Request *r, Store *store, Error *error) {
  char hash[HASH_BYTES];
  json_t *trials = NULL, *trial, *config = NULL;
  if ((r->what && !store_find(store, r->what, hash, error)) ||
      !list_trials(store, r->what ? hash : NULL, 0, &trials, error))
    return EXIT_NOTHING;
  size_t i;
  json_array_foreach(trials, i, trial) {
    config = config_of(r, store, trial);
    if (config) break;
  }
  char path[PLOT_PATH];
  bool good = config && draw_trial(r, store, trial, config, path, error);
  if (good) printf("%s\n", path);
  if (!config)
    fail(error,
         "%s: no trial%s%s that is done has its weights under checkpoints/; `harness run` makes "
         "them",
         r->common.db, r->what ? " " : "", r->what ? r->what : "");
  int code = good ? EXIT_DONE : config ? EXIT_UNFIT : EXIT_NOTHING;
  json_decref(config);
  json_decref(trials);
  return code;
}

/* ---- embeddings ---------------------------------------------------------------------------------
 */

static const struct argp_option embeddings_options[] = {
    {"scale", KEY_SCALE, "NAME", 0, "Of the trials at this scale", 0}, {0}};

static const Cli embeddings_cli = {
    "plot embeddings",
    "[EXPERIMENT]",
    "  harness plot embeddings\n  harness plot embeddings seg_heads\n",
    "Draws the class and the mask embeddings of every query as heat maps, for two validation "
    "patches and each row of the experiment (default: embeddings), from the weights of one trial "
    "a row: MaskMed's Figures 3 to 5. What does not depend on the image is drawn once.",
    embeddings_options,
    take};

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

static bool add_trial(Gallery *g, const Request *r, const json_t *trial, json_t *config,
                      Error *error) {
  Trained trained;
  const char *label = config_text(trial, "label");
  if (!r->common.quiet)
    fprintf(stderr, "harness: running %s, trial %.8s\n", label, config_text(trial, "hash"));
  bool good =
      open_trial(r, &trained, trial, config, error) && add_inputs(g, &trained, label, error);
  trained_free(&trained);
  return good;
}

/* The trial of a row with the lowest seed that has its weights. */
static json_t *pick(const Request *r, Store *store, const json_t *trials, json_int_t position,
                    json_t **config) {
  json_t *trial, *best = NULL;
  size_t i;
  json_array_foreach(trials, i, trial) {
    if (config_int(trial, "position") != position) continue;
    if (best && config_int(best, "seed") <= config_int(trial, "seed")) continue;
    json_t *found = config_of(r, store, trial);
    if (!found) continue;
    json_decref(*config);
    *config = found;
    best = trial;
  }
  return best;
}

static bool collect(const Request *r, Store *store, const json_t *result, Gallery *g,
                    Error *error) {
  json_t *trials = NULL, *row;
  if (!list_trials(store, NULL, config_int(result, "plan_id"), &trials, error)) return false;
  bool good = true;
  size_t i;
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    json_t *config = NULL;
    const json_t *trial = pick(r, store, trials, config_int(row, "position"), &config);
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
static int draw_embeddings(const Request *r, Store *store, const json_t *result,
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

static int embeddings(const Request *r, Store *store, Error *error) {
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

/* ---- for the report -----------------------------------------------------------------------------
 */

/* The picture is newer than the weights of a configuration. */
static bool is_newer(const char *path, const json_t *config) {
  struct stat picture, weights;
  return stat(path, &picture) == 0 && stat(config_text(config, "checkpoint"), &weights) == 0 &&
         (picture.st_mtim.tv_sec > weights.st_mtim.tv_sec ||
          (picture.st_mtim.tv_sec == weights.st_mtim.tv_sec &&
           picture.st_mtim.tv_nsec > weights.st_mtim.tv_nsec));
}

/* One row's trial: image, truth and prediction of the first validation case. */
static void report_triptych(const Request *r, Store *store, const json_t *result,
                            const json_t *trial, json_t *config, json_t *pictures, json_t *open) {
  char path[PLOT_PATH], name[64], caption[400], command[80];
  Error error = {""};
  const char *label = config_text(trial, "label");
  triptych_name(trial, 0, name);
  snprintf(path, sizeof path, "%.4000s/plots/%s.png", store_folder(store), name);
  bool good = is_newer(path, config) || draw_trial(r, store, trial, config, path, &error);
  if (strlen(path) > 4) strcpy(path + strlen(path) - 4, ".png");
  if (good && access(path, R_OK)) strcpy(path + strlen(path) - 4, ".svg"); /* no pngcairo */
  snprintf(caption, sizeof caption, "%.200s: image, truth and prediction", label);
  if (good) {
    report_add_picture(pictures, config_text(result, "experiment"), caption, path);
    return;
  }
  snprintf(command, sizeof command, "./harness plot triptych %.8s", config_text(trial, "hash"));
  report_add_open(open, caption, "skipped", error.text, command);
}

static void report_triptychs(const Request *r, Store *store, const json_t *result, json_t *pictures,
                             json_t *open) {
  json_t *trials = NULL, *row;
  Error error = {""};
  if (!list_trials(store, NULL, config_int(result, "plan_id"), &trials, &error)) return;
  size_t i;
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    json_t *config = NULL;
    const json_t *trial = pick(r, store, trials, config_int(row, "position"), &config);
    char what[400];
    snprintf(what, sizeof what, "%.200s: image, truth and prediction", config_text(row, "label"));
    if (trial)
      report_triptych(r, store, result, trial, config, pictures, open);
    else
      report_add_open(open, what, "skipped",
                      "no trial of this row that is done has its weights under checkpoints/",
                      "./harness plot triptych");
    json_decref(config);
  }
  json_decref(trials);
}

/* Both pictures are there and newer than the weights of every row that has some. */
static bool gallery_drawn(const Request *r, Store *store, const json_t *result,
                          char path[2][PLOT_PATH]) {
  json_t *trials = NULL, *row;
  Error error = {""};
  if (!list_trials(store, NULL, config_int(result, "plan_id"), &trials, &error)) return false;
  bool newer = true;
  size_t i;
  for (int kind = 0; kind < 2; kind++)
    snprintf(path[kind], PLOT_PATH, "%.4000s/plots/%.80s-%s.svg", store_folder(store),
             config_text(result, "experiment"), kinds[kind]);
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    json_t *config = NULL;
    if (pick(r, store, trials, config_int(row, "position"), &config))
      newer = newer && is_newer(path[0], config) && is_newer(path[1], config);
    json_decref(config);
  }
  json_decref(trials);
  return newer && access(path[0], R_OK) == 0 && access(path[1], R_OK) == 0;
}

static void report_embeddings(const Request *r, Store *store, const json_t *result,
                              json_t *pictures, json_t *open) {
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

void figures_report(const Common *common, Store *store, const json_t *result, json_t *pictures,
                    json_t *open) {
  const char *experiment = config_text(result, "experiment");
  DataSeen seen = {.dir = ""};
  const Request request = {.common = *common, .number = 1, .seen = &seen};
  if (!strcmp(experiment, "comparison")) report_triptychs(&request, store, result, pictures, open);
  if (!strcmp(experiment, "embeddings")) report_embeddings(&request, store, result, pictures, open);
}

/* ---- entry --------------------------------------------------------------------------------------
 */

typedef struct Figure {
  const char *name;
  const Cli *cli;
  int (*draw)(const Request *request, Store *store, Error *error);
} Figure;

static const Figure figures[] = {{"triptych", &triptych_cli, triptych},
                                 {"embeddings", &embeddings_cli, embeddings}};

static int run(const Figure *figure, int argc, char **argv) {
  DataSeen seen = {.dir = ""};
  Request request = {.number = 1, .seen = &seen};
  Error error = {""};
  Store *store = NULL;
  cli_parse(figure->cli, argc, argv, &request.common, &request);
  int code = EXIT_NOTHING;
  if (!store_exists(request.common.db))
    fail(&error, "%s: nothing is stored yet; `harness run FILE` makes results", request.common.db);
  else if (!store_open(&store, request.common.db, STORE_READ, &error))
    code = EXIT_UNFIT;
  else
    code = figure->draw(&request, store, &error);
  store_close(store);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}

bool command_figure(int argc, char **argv, int *code) {
  for (size_t f = 0; argc > 1 && f < sizeof figures / sizeof *figures; f++) {
    if (strcmp(argv[1], figures[f].name) != 0) continue;
    *code = run(&figures[f], argc - 1, argv + 1);
    return true;
  }
  return false;
}
