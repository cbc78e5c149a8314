/* harness plot triptych: image, truth and prediction of a validation case. */
#include "src/cli/figure.h"

#include <string.h>
#include <unistd.h>

#include "src/data/metrics/structures.h"
#include "src/report/report.h"
#include "src/report/triptych.h"
#include "src/train/config.h"
#include "src/train/inference.h"

static const struct argp_option triptych_options[] = {
    {"case", FIGURE_CASE, "N", 0, "The N-th validation case (default 1)", 0}, {0}};

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
  Score score[DATASET_LABELS_MAX];
  char *names[LABEL_VALUES];
  good = good && score_structures(&dataset->labelling, volume->label.data, label,
                                  &volume->image.grid, NULL, score, error);
  if (good) {
    labels_value_names(dataset, names);
    triptych_name(trial, index, name);
    snprintf(title, sizeof title, "%s, seed %d, trial %.8s: %s, mean Dice %.3f",
             config_text(trial, "label"), (int)config_int(trial, "seed"),
             config_text(trial, "hash"), volume->name,
             score_mean(score, dataset->labels, METRIC_dice));
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

static bool draw_trial(const FigureRequest *r, Store *store, const json_t *trial, json_t *config,
                       char path[PLOT_PATH], Error *error) {
  Trained trained;
  bool good = figure_open(r, &trained, trial, config, error);
  int index = (int)r->number - 1;
  if (good && index >= trained.cases.validations)
    good = fail(error, "--case %d: there are %d validation cases", index + 1,
                trained.cases.validations);
  InferenceOptions options = inference_options(config, &trained.cases.dataset.labelling);
  good = good && draw_case(&trained, index, trial, &options, store_folder(store), path, error);
  trained_free(&trained);
  return good;
}

static int draw(const FigureRequest *r, Store *store, Error *error) {
  char hash[HASH_BYTES];
  json_t *trials = NULL, *trial, *config = NULL;
  if ((r->what && !store_find(store, r->what, hash, error)) ||
      !figure_trials(store, r->what ? hash : NULL, 0, &trials, error))
    return EXIT_NOTHING;
  size_t i;
  json_array_foreach(trials, i, trial) {
    config = figure_config(r, store, trial);
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

/* One row's trial: image, truth and prediction of the first validation case. */
static void report_triptych(const FigureRequest *r, Store *store, const json_t *result,
                            const json_t *trial, json_t *config, json_t *pictures, json_t *open) {
  char path[PLOT_PATH], name[64], caption[400], command[80];
  Error error = {""};
  const char *label = config_text(trial, "label");
  triptych_name(trial, 0, name);
  snprintf(path, sizeof path, "%.4000s/plots/%s.png", store_folder(store), name);
  bool good = figure_is_newer(path, config) || draw_trial(r, store, trial, config, path, &error);
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

static void report(const FigureRequest *r, Store *store, const json_t *result, json_t *pictures,
                   json_t *open) {
  json_t *trials = NULL, *row;
  Error error = {""};
  if (!figure_trials(store, NULL, config_int(result, "plan_id"), &trials, &error)) return;
  size_t i;
  json_array_foreach(json_object_get(result, "rows"), i, row) {
    json_t *config = NULL;
    const json_t *trial = figure_pick(r, store, trials, config_int(row, "position"), &config);
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

const Figure triptych_figure = {
    {"plot triptych", "[TRIAL]", "  harness plot triptych\n  harness plot triptych 3f2a --case 2\n",
     "Draws image, truth and prediction of a validation case, its middle slices across D, H and W. "
     "The prediction comes from the trial's weights through the sliding window. TRIAL: leading "
     "digits as `harness runs list` prints them; without it the newest trial that has weights.",
     triptych_options, figure_take},
    draw,
    report};
