/* harness plot triptych: image, truth and prediction of a validation case side by side: its middle
 * axial, coronal and sagittal slices. */
#include "base/home.h"
#include "src/cli/figures.h"
#include "src/data/metrics/score.h"
#include "src/data/volumes/placement.h"
#include "src/report/picture.h"
#include "src/report/report.h"
#include "src/train/config.h"
#include "src/train/prediction.h"

#include <string.h>
#include <unistd.h>

/* ---- drawing --------------------------------------------------------------------------------- */

typedef struct Triptych {
  const char *name, *title;
  const Image *image;                /* the first channel is shown */
  const uint8_t *truth, *prediction; /* (D,H,W) */
  int labels;
  char *const *label_name;
} Triptych;

enum { SAMPLES = 50000, COLUMNS = 3 };
static const double COVER = 0.6; /* of a structure's colour over the image */

/* ---- grey levels ----------------------------------------------------------------------------- */

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

/* ---- slices ---------------------------------------------------------------------------------- */

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

/* ---- script ---------------------------------------------------------------------------------- */

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

/* To which side the axes D, H and W grow, as "SAR"; "": not known. */
static void sides_of(const Grid *grid, char sides[ORIENTATION_BYTES]) {
  char code[ORIENTATION_BYTES];
  sides[0] = 0;
  if (grid->remarks & (GRID_UNORIENTED | GRID_PICTURE)) return;
  grid_orientation(grid, code);
  for (int axis = 0; axis < 3; axis++) sides[axis] = code[2 - axis];
  sides[3] = 0;
}

static const char *plane_of(char side) {
  return strchr("SI", side) ? "axial" : strchr("AP", side) ? "coronal" : "sagittal";
}

static char opposite(char side) {
  static const char both[] = "RLAPSI";
  return both[(strchr(both, side) - both) ^ 1];
}

/* Letters at the panel's edges, as they stand on films: which side of the body is there. */
static void put_sides(FILE *out, const Slice *s, const char *sides) {
  static const char *const places[] = {"0.03,graph 0.5 left", "0.97,graph 0.5 right",
                                       "0.5,graph 0.05 center", "0.5,graph 0.95 center"};
  const char letters[] = {opposite(sides[s->across]), sides[s->across], opposite(sides[s->up]),
                          sides[s->up]};
  for (int i = 0; i < 4; i++)
    fprintf(out, "set label %d '%c' at graph %s front tc rgb \"#ffdd55\" font \",11\"\n", 900 + i,
            letters[i], places[i]);
}

static void put_panel(FILE *out, const Triptych *t, int axis, int column) {
  static const char *const heads[COLUMNS] = {"image", "truth", "prediction"};
  static const char *const axes[3] = {"across D", "across H", "across W"};
  char sides[ORIENTATION_BYTES];
  sides_of(&t->image->grid, sides);
  const double *spacing = t->image->grid.spacing;
  Slice s = slice_of(&t->image->grid, axis);
  fprintf(out, axis ? "unset title\n" : "set title \"%s\"\n", heads[column]);
  fprintf(out, column ? "unset ylabel\n" : "set ylabel \"%s\"\n",
          sides[0] ? plane_of(sides[axis]) : axes[axis]);
  if (sides[0]) put_sides(out, &s, sides);
  fprintf(out,
          "set xrange [%g:%g]\nset yrange [%g:%g]\n"
          "plot \"%s.tsv\" index %d using 1:2:3:4:5 with rgbimage notitle\n",
          -0.5 * spacing[s.across], (s.wide - 0.5) * spacing[s.across], -0.5 * spacing[s.up],
          (s.high - 0.5) * spacing[s.up], t->name, axis * COLUMNS + column);
  if (sides[0] || (axis == 0 && column == 0)) fputs("unset label\n", out); /* they stand once */
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

static bool triptych_plot(const Triptych *t, const char *folder, char path[PLOT_PATH],
                          Error *error) {
  return write_data(t, folder, error) && write_script(t, folder, error) &&
         picture_draw(folder, t->name, path, error);
}

/* ---- what is drawn --------------------------------------------------------------------------- */

static const struct argp_option triptych_options[] = {
    {"case", FIGURE_CASE, "N", 0, "The N-th validation case (default 1)", 0}, FIGURE_OUTPUT, {0}};

/* Under FOLDER/plots: the first case's picture has the trial's name alone. */
static void triptych_name(const json_t *trial, int index, char name[64]) {
  snprintf(name, 64, "triptych-%.8s", config_text(trial, "hash"));
  if (index > 0) snprintf(name, 64, "triptych-%.8s-case%d", config_text(trial, "hash"), index + 1);
}

static bool draw_case(const TrainedNetwork *network, int index, const json_t *trial,
                      const InferenceOptions *options, const char *folder, char path[PLOT_PATH],
                      Error *error) {
  const Volume *volume = &network->cases.validation[index];
  char name[64], title[512];
  size_t voxels = grid_voxels(&volume->image.grid);
  uint8_t *label = malloc(voxels);
  if (!label) return fail(error, "no memory for %zu labels", voxels);
  Frame frame = frame_identity(&volume->image.grid); /* shown as the network sees it */
  bool good = inference_run(network->plan, &network->model, &volume->image, &frame, options, label,
                            NULL, error);
  const Dataset *dataset = &network->cases.dataset;
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
  TrainedNetwork network;
  bool good = figure_open(r, &network, trial, config, error);
  int index = (int)r->number - 1;
  if (good && index >= network.cases.validations)
    good = fail(error, "--case %d: there are %d validation cases", index + 1,
                network.cases.validations);
  InferenceOptions options = inference_options(config, &network.cases.dataset.labelling);
  good = good && draw_case(&network, index, trial, &options, figure_folder(r, store), path, error);
  trained_network_free(&network);
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
static void report_triptych(const FigureRequest *r, Report *page, const Result *result,
                            const json_t *trial, json_t *config) {
  Store *store = page->store;
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
    report_add_picture(page, result->experiment, caption, path);
    return;
  }
  snprintf(command, sizeof command, "%s plot triptych %.8s", home_program(),
           config_text(trial, "hash"));
  report_add_open(page, caption, "skipped", error.text, command);
}

static void report(const FigureRequest *r, Report *page, const Result *result) {
  json_t *trials = NULL;
  Error error = {""};
  if (!figure_trials(page->store, NULL, result->plan_id, &trials, &error)) return;
  for (int i = 0; i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    json_t *config = NULL;
    const json_t *trial = figure_pick(r, page->store, trials, row->position, &config);
    char what[400], command[40];
    snprintf(command, sizeof command, "%s plot triptych", home_program());
    snprintf(what, sizeof what, "%.200s: image, truth and prediction", row->label);
    if (trial)
      report_triptych(r, page, result, trial, config);
    else
      report_add_open(page, what, "skipped",
                      "no trial of this row that is done has its weights under checkpoints/",
                      command);
    json_decref(config);
  }
  json_decref(trials);
}

const Figure triptych_figure = {
    {"plot triptych", "[TRIAL]", "  harness plot triptych\n  harness plot triptych 3f2a --case 2\n",
     "Draws image, truth and prediction of a validation case, its middle axial, coronal and "
     "sagittal "
     "slices, with the sides of the body (across D, H and W where a file does not say how it "
     "lies). "
     "The prediction comes from the trial's weights through the sliding window. TRIAL: leading "
     "digits as `harness runs list` prints them; without it the newest trial that has weights.",
     triptych_options, figure_take},
    draw,
    report};
