/* harness weights list|export: the numbers of a trained trial, and of files of other programs. */
#include <string.h>
#include <unistd.h>

#include "engine/safetensors.h"
#include "src/cli/cli.h"
#include "src/cli/weights.h"
#include "src/train/config.h"
#include "src/train/network.h"
#include "src/train/weights_file.h"

typedef struct Choice {
  Common common;
  const char *what, *out, *names;
  int most; /* operands */
} Choice;

enum { KEY_NAMES = 1 };

static bool take(int key, char *value, void *user, Error *error) {
  (void)error;
  Choice *choice = user;
  const char **place = !choice->what ? &choice->what : &choice->out;
  if (key == ' ' && (*place || (choice->what && choice->most < 2))) return false;
  if (key == ' ') *place = value;
  if (key == KEY_NAMES) choice->names = value;
  return true;
}

/* ---- list ------------------------------------------------------------------------------------ */

static const struct argp_option no_options[] = {{0}};
static const Cli list_cli = {
    "weights list",
    "FILE|TRIAL",
    "  harness weights list pretrained.safetensors\n  harness weights list 1a2b3c4d\n",
    "Names, types and shapes of the tensors in a safetensors file, or in a trial's checkpoint: "
    "what a map of names has to speak of (docs/weights.md).",
    no_options,
    take};

static int print_file(const char *path, Error *error) {
  Safetensors *file = safetensors_open(path, error);
  int64_t numbers = 0;
  if (!file) return EXIT_UNFIT;
  for (int i = 0; i < safetensors_count(file); i++) {
    const StoredTensor *tensor = safetensors_tensor(file, i);
    numbers += stored_count(tensor);
    printf("%-5s %-24s %s\n", tensor->type, stored_shape_text(tensor), tensor->name);
  }
  printf("%d tensors, %lld numbers: %s\n", safetensors_count(file), (long long)numbers, path);
  safetensors_close(file);
  return EXIT_DONE;
}

static int list(const Choice *choice, Store *store, Error *error) {
  json_t *config = weights_trial(choice->common.home, store, choice->what, NULL, error);
  if (!config) return EXIT_NOTHING;
  int code = print_file(config_text(config, "checkpoint"), error);
  json_decref(config);
  return code;
}

/* ---- export ---------------------------------------------------------------------------------- */

static const struct argp_option export_options[] = {
    {"names", KEY_NAMES, "pytorch|own|FILE.lua", 0,
     "What the tensors are called, by which map (default pytorch: as the model says)", 0},
    {0}};
static const Cli export_cli = {
    "weights export",
    "TRIAL FILE",
    "  harness weights export 1a2b3c4d unet.safetensors\n"
    "  harness weights export 1a2b3c4d ours.safetensors --names own\n",
    "Writes a trained trial's weights as safetensors, with the names and layouts that PyTorch's "
    "implementation of the model has; a parameter that has none there keeps its own.",
    export_options,
    take};

static bool write_file(const Choice *choice, const json_t *config, const char *hash, Error *error) {
  TrainedNetwork network;
  Recipe recipe;
  json_t *labels = NULL;
  const char *const metadata[] = {"format", "pt", "trial", hash, NULL};
  bool good =
      trained_network_open_alone(&network, config, &recipe, &labels, error) &&
      weights_file_write(network.params, config, choice->names, metadata, choice->out, error);
  json_decref(labels);
  trained_network_free(&network);
  return good;
}

static int export(const Choice *choice, Store *store, Error *error) {
  char hash[HASH_BYTES];
  json_t *config = weights_trial(choice->common.home, store, choice->what, hash, error);
  if (!config) return EXIT_NOTHING;
  json_object_set_new(config, "device", json_string("cpu"));
  bool good = write_file(choice, config, hash, error);
  json_decref(config);
  if (!good) return EXIT_UNFIT;
  printf("%s: the weights of trial %.8s, names: %s\n", choice->out, hash, choice->names);
  return EXIT_DONE;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static int with_store(Choice *choice, int (*work)(const Choice *, Store *, Error *)) {
  Error error = {""};
  Store *store = NULL;
  int code = EXIT_UNFIT;
  if (!store_exists(choice->common.db)) {
    fail(&error, "%s: nothing is stored yet; `harness run FILE` makes results", choice->common.db);
    code = EXIT_NOTHING;
  } else if (store_open(&store, choice->common.db, STORE_READ, &error))
    code = work(choice, store, &error);
  store_close(store);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}

static int list_main(int argc, char **argv) {
  Choice choice = {.most = 1};
  Error error = {""};
  cli_parse(&list_cli, argc, argv, &choice.common, &choice);
  if (!choice.what) {
    fail(&error, "harness weights list needs a file or a trial");
    return cli_error(EXIT_USAGE, &error);
  }
  bool file = strchr(choice.what, '/') || strchr(choice.what, '.'); /* no trial has such a name */
  if (!file && access(choice.what, F_OK)) return with_store(&choice, list);
  int code = print_file(choice.what, &error);
  return code == EXIT_DONE ? code : cli_error(code, &error);
}

static int export_main(int argc, char **argv) {
  Choice choice = {.most = 2, .names = "pytorch"};
  Error error = {""};
  cli_parse(&export_cli, argc, argv, &choice.common, &choice);
  if (!choice.out)
    fail(&error, "harness weights export needs a trial and a file to write: TRIAL FILE");
  else if (!access(choice.out, F_OK))
    fail(&error, "%s: is there already", choice.out);
  else
    return with_store(&choice, export);
  return cli_error(EXIT_USAGE, &error);
}

static const Command parts[] = {
    {"list", "the tensors in a file or of a trial", list_main},
    {"export", "a trial's weights with PyTorch's names", export_main},
};
enum { PARTS = sizeof parts / sizeof *parts };

int command_weights(int argc, char **argv) {
  static const char usage[] = "Examples:\n  harness weights list pretrained.safetensors\n"
                              "  harness weights export 1a2b3c4d unet.safetensors\n\n"
                              "Usage: harness weights list|export [options] ...\n"
                              "`harness weights list --help` and so on say more.\n";
  const char *names[PARTS], *word = argc > 1 ? argv[1] : "";
  for (int i = 0; i < PARTS; i++) {
    names[i] = parts[i].name;
    if (!strcmp(word, parts[i].name)) return parts[i].main(argc - 1, argv + 1);
  }
  return cli_parts("weights", word, names, PARTS, usage);
}
