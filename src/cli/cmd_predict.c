/* harness predict: a trained trial on new images, or SAM on a picture. */
#include <omp.h>
#include <string.h>
#include <unistd.h>

#include "src/cli/cli.h"
#include "src/cli/weights.h"
#include "src/train/config.h"
#include "src/train/prediction.h"
#include "src/train/sam_prediction.h"

typedef struct Choice {
  Common common;
  const char *trial;
  PredictionOptions prediction;
  double threads;    /* 0: as the trial */
  int device_number; /* -1: the CPU */
  SamPrompts prompts;
} Choice;

enum { KEY_PROBABILITIES = 1, KEY_OVERWRITE, KEY_RAW, KEY_THREADS, KEY_DEVICE, KEY_BOX, KEY_POINT };

static const struct argp_option options[] = {
    {"probabilities", KEY_PROBABILITIES, 0, 0,
     "Also write OUT/probabilities/CASE.nii.gz: 4D, a volume a class, float32", 0},
    {"overwrite", KEY_OVERWRITE, 0, 0, "Predict again what is there already", 0},
    {"no-postprocess", KEY_RAW, 0, 0,
     "Keep every component, even where the trial's validation chose the largest", 0},
    {"device", KEY_DEVICE, "cpu|cuda", 0,
     "Where (default cpu, wherever the trial was trained); cuda:1 is the second GPU", 0},
    {"threads", KEY_THREADS, "N", 0, "Threads (default: as the trial)", 0},
    {"box", KEY_BOX, "X1,Y1,X2,Y2", 0,
     "SAM: corners in pixels; each box is a mask of its own, labelled 1, 2, ...", 0},
    {"point", KEY_POINT, "X,Y[,0]", 0,
     "SAM: a pixel within the mask, or, with 0, outside of it; several ask for one mask", 0},
    {0}};

static bool take_device(const char *value, Choice *choice, Error *error) {
  if (backend_names_gpu(value, &choice->device_number) || strcmp(value, "cpu") == 0) return true;
  return fail(error, "--device is cpu, cuda or cuda:NUMBER, not \"%s\"", value);
}

/* Up to `most` numbers between commas; how many, -1: something else. */
static int numbers_of(const char *text, int most, double *number) {
  int count = 0, used = 0;
  while (count < most && sscanf(text, "%lf%n", &number[count], &used) == 1) {
    count++;
    text += used;
    if (*text != ',') break;
    text++;
  }
  return *text || !count ? -1 : count;
}

static bool take_box(const char *value, SamPrompts *p, Error *error) {
  double v[4];
  if (p->boxes == SAM_PROMPTS_MAX) return fail(error, "--box: at most %d", SAM_PROMPTS_MAX);
  if (numbers_of(value, 4, v) != 4 || v[0] > v[2] || v[1] > v[3])
    return fail(error, "--box is X1,Y1,X2,Y2, the corner above on the left first, not \"%s\"",
                value);
  memcpy(p->box[p->boxes++], v, sizeof v);
  return true;
}

static bool take_point(const char *value, SamPrompts *p, Error *error) {
  double v[3] = {0, 0, 1};
  if (p->points == SAM_PROMPTS_MAX / 2)
    return fail(error, "--point: at most %d", SAM_PROMPTS_MAX / 2);
  if (numbers_of(value, 3, v) < 2 || (v[2] != 0 && v[2] != 1))
    return fail(error, "--point is X,Y, or X,Y,0 outside of the mask, not \"%s\"", value);
  memcpy(p->point[p->points], v, sizeof p->point[0]);
  p->inside[p->points++] = v[2] > 0;
  return true;
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
  if (key == KEY_BOX) return take_box(value, &choice->prompts, error);
  if (key == KEY_POINT) return take_point(value, &choice->prompts, error);
  return key != KEY_THREADS || cli_number("--threads", value, 1, &choice->threads, error);
}

static const Cli cli = {
    "predict",
    "TRIAL|SAM.safetensors IN OUT",
    "  harness predict 3f2a imagesTs predictions\n"
    "  harness predict 3f2a scan.nii.gz scan_labels.nii.gz --probabilities\n"
    "  harness predict 3f2a imagesTs predictions --device cuda\n"
    "  harness predict sam_vit_b.safetensors photo.png mask.png --box 120,40,300,260\n",
    "Label maps of new images by a trained trial (leading digits as `harness runs list` prints "
    "them), prepared as its training images were, with the images' geometry. IN is an image or a "
    "folder of them, a file per channel (CASE_0000.nii.gz, as nnU-Net) or one with all (4D, as "
    "MSD; colours of a .png or .jpg); OUT is a folder, or a file for one image; label maps of "
    "pictures are PNG. What is there already stays. With --box or --point it is SAM's weights, a "
    "file's or those of a small SAM that was pre-trained here (docs/weights.md), that find what "
    "these show in one picture.",
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

/* Weights that are a trial's: its configuration, whose reference is the caller's; NULL with an
 * error. */
static json_t *sam_trial(const Choice *choice, Error *error) {
  Store *store = NULL;
  char hash[HASH_BYTES];
  json_t *config = NULL;
  if (store_open(&store, choice->common.db, STORE_READ, error))
    config = weights_trial(choice->common.home, store, choice->trial, hash, error);
  store_close(store);
  if (!config || sam_trained_by(config)) return config;
  fail(error,
       "trial %.8s is of model=%s: --box and --point ask a SAM alone, a file of its weights or a "
       "trial of model=sam_promptable (`harness runs list`)",
       hash, config_text(config, "model"));
  json_decref(config);
  return NULL;
}

static bool is_digits(const char *text) {
  return text[0] && strspn(text, "0123456789abcdef") == strlen(text);
}

/* Of a file, or, where there is none of that name, of the trial that these digits begin. */
static bool predict_with(const Choice *choice, Error *error) {
  const PredictionOptions *p = &choice->prediction;
  SamWeights weights = {.path = choice->trial};
  json_t *trial = NULL;
  if (access(choice->trial, F_OK) != 0 && is_digits(choice->trial) &&
      store_exists(choice->common.db)) {
    if (!(trial = sam_trial(choice, error))) return false;
    weights = (SamWeights){config_text(trial, "checkpoint"), trial};
  }
  if (choice->threads > 0) omp_set_num_threads((int)choice->threads);
  bool good = sam_predict(choice->common.home, &weights, choice->device_number, &choice->prompts,
                          p->in, p->out, error);
  json_decref(trial);
  return good;
}

static int predict_by_sam(const Choice *choice, Error *error) {
  const PredictionOptions *p = &choice->prediction;
  const SamPrompts *prompts = &choice->prompts;
  if (prompts->points && prompts->boxes > 1) {
    fail(error, "several --box ask for a mask each, --point would ask for one: give one box");
    return EXIT_USAGE;
  }
  if (p->probabilities || !p->postprocess) {
    fail(error, "%s is for a trial's label maps, --box and --point are for SAM's masks",
         p->probabilities ? "--probabilities" : "--no-postprocess");
    return EXIT_USAGE;
  }
  if (!p->overwrite && access(p->out, F_OK) == 0) {
    printf("0 written, 1 kept: %s\n", p->out);
    return EXIT_DONE;
  }
  if (!predict_with(choice, error)) return EXIT_UNFIT;
  printf("1 written, 0 kept: %s\n", p->out);
  return EXIT_DONE;
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
  else if (choice.prompts.boxes + choice.prompts.points)
    code = predict_by_sam(&choice, &error);
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
