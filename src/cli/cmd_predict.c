/* harness predict: a trained trial on new images. */
#include <omp.h>
#include <string.h>

#include "src/cli/cli.h"
#include "src/cli/weights.h"
#include "src/train/config.h"
#include "src/train/prediction.h"

typedef struct Choice {
  Common common;
  const char *trial;
  PredictionOptions prediction;
  double threads;    /* 0: as the trial */
  int device_number; /* -1: the CPU */
} Choice;

enum { KEY_PROBABILITIES = 1, KEY_OVERWRITE, KEY_RAW, KEY_THREADS, KEY_DEVICE };

static const struct argp_option options[] = {
    {"probabilities", KEY_PROBABILITIES, 0, 0,
     "Also write OUT/probabilities/CASE.nii.gz: 4D, a volume a class, float32", 0},
    {"overwrite", KEY_OVERWRITE, 0, 0, "Predict again what is there already", 0},
    {"no-postprocess", KEY_RAW, 0, 0,
     "Keep every component, even where the trial's validation chose the largest", 0},
    {"device", KEY_DEVICE, "cpu|cuda", 0,
     "Where (default cpu, wherever the trial was trained); cuda:1 is the second GPU", 0},
    {"threads", KEY_THREADS, "N", 0, "Threads (default: as the trial)", 0},
    {0}};

static bool take_device(const char *value, Choice *choice, Error *error) {
  if (backend_names_gpu(value, &choice->device_number) || strcmp(value, "cpu") == 0) return true;
  return fail(error, "--device is cpu, cuda or cuda:NUMBER, not \"%s\"", value);
}

static bool take(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  PredictionOptions *p = &choice->prediction;
  if (key == ' ' && p->out) return false;
  if (key == ' ') *(!choice->trial ? &choice->trial : !p->in ? &p->in : &p->out) = value;
  if (key == KEY_PROBABILITIES) p->probabilities = true;
  if (key == KEY_OVERWRITE) p->overwrite = true;
  if (key == KEY_RAW) p->postprocess = false;
  if (key == KEY_DEVICE) return take_device(value, choice, error);
  return key != KEY_THREADS || cli_number("--threads", value, 1, &choice->threads, error);
}

static const Cli cli = {
    "predict",
    "TRIAL IN OUT",
    "  harness predict 3f2a imagesTs predictions\n"
    "  harness predict 3f2a scan.nii.gz scan_labels.nii.gz --probabilities\n"
    "  harness predict 3f2a imagesTs predictions --device cuda\n",
    "Label maps of new images by a trained trial (leading digits as `harness runs list` prints "
    "them), prepared as its training images were, with the images' geometry. IN is an image or a "
    "folder of them, a file per channel (CASE_0000.nii.gz, as nnU-Net) or one with all (4D, as "
    "MSD; colours of a .png or .jpg); OUT is a folder, or a file for one image; label maps of "
    "pictures are PNG. What is there already stays.",
    options,
    take};

static int predict(const Choice *choice, Store *store, Error *error) {
  json_t *config = weights_trial(choice->common.home, store, choice->trial, NULL, error);
  if (!config) return EXIT_NOTHING;
  if (choice->threads > 0) omp_set_num_threads((int)choice->threads);
  json_object_set_new(config, "device", json_string(choice->device_number < 0 ? "cpu" : "cuda"));
  json_object_set_new(config, "device_number",
                      json_integer(choice->device_number < 0 ? 0 : choice->device_number));
  PredictionOutcome outcome;
  bool good = prediction_run(config, &choice->prediction, &outcome, error);
  json_decref(config);
  if (!good) return EXIT_UNFIT;
  printf("%d written, %d kept, %d failed: %s\n", outcome.written, outcome.kept, outcome.failed,
         choice->prediction.out);
  if (outcome.failed) fail(error, "%d image(s) could not be predicted", outcome.failed);
  return outcome.failed ? EXIT_SOME_FAILED : EXIT_DONE;
}

int command_predict(int argc, char **argv) {
  Choice choice = {.prediction.postprocess = true, .device_number = -1};
  Error error = {""};
  Store *store = NULL;
  cli_parse(&cli, argc, argv, &choice.common, &choice);
  choice.prediction.quiet = choice.common.quiet;
  int code = EXIT_USAGE;
  if (!choice.prediction.out)
    fail(&error, "harness predict needs a trial, images and a place: TRIAL IN OUT");
  else if (!store_exists(choice.common.db)) {
    fail(&error, "%s: nothing is stored yet; `harness run FILE` makes results", choice.common.db);
    code = EXIT_NOTHING;
  } else if (!store_open(&store, choice.common.db, STORE_READ, &error))
    code = EXIT_UNFIT;
  else
    code = predict(&choice, store, &error);
  store_close(store);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}
