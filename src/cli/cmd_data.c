/* harness data: check and phantom; the work is in src/data/. */
#include <string.h>

#include "src/cli/cli.h"
#include "src/cli/data.h"
#include "src/data/sets/command.h"

typedef struct Choice {
  const char *dir;
  bool json;
  PhantomOptions phantom;
} Choice;

enum { KEY_JSON = 1, KEY_SIZE, KEY_CASES, KEY_VALIDATION, KEY_ORGANS, KEY_NOISE, KEY_SEED };

static bool take_size(const char *text, int size[3], Error *error) {
  int used = 0;
  int count = sscanf(text, "%dx%dx%d%n", &size[0], &size[1], &size[2], &used);
  if (count == 1) size[1] = size[2] = size[0];
  bool one = count == 1 && strspn(text, "0123456789") == strlen(text);
  bool three = count == 3 && !text[used];
  if ((one || three) && size[0] > 0 && size[1] > 0 && size[2] > 0) return true;
  return fail(error, "--size needs one number or DxHxW, such as 48 or 40x48x48, not \"%s\"", text);
}

static bool take(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  double number = 0;
  if (key == ' ' && choice->dir) return false;
  if (key == ' ') choice->dir = value;
  if (key == KEY_JSON) choice->json = true;
  if (key == ' ' || key == KEY_JSON) return true;
  if (key == KEY_SIZE) return take_size(value, choice->phantom.size, error);
  double least = key == KEY_CASES || key == KEY_ORGANS ? 1 : 0;
  static const char *const names[] = {"",         "",        "--size", "--cases", "--validation",
                                      "--organs", "--noise", "--seed"};
  if (!cli_number(names[key], value, least, &number, error)) return false;
  if (key == KEY_CASES) choice->phantom.cases = (int)number;
  if (key == KEY_VALIDATION) choice->phantom.validation = (int)number;
  if (key == KEY_ORGANS) choice->phantom.organs = (int)number;
  if (key == KEY_NOISE) choice->phantom.noise_hu = number;
  if (key == KEY_SEED) choice->phantom.seed = (uint64_t)number;
  return true;
}

static const struct argp_option check_options[] = {{"json", KEY_JSON, 0, 0, "One JSON document", 0},
                                                   {0}};

static const Cli check_cli = {
    "data check",
    "DIR",
    "  harness data check /data/Task04_Hippocampus\n  harness data check "
    "results/data/phantom-quick --json\n",
    "Reads every case of an MSD or nnU-Net folder and reports shapes, spacing, intensities, labels "
    "and everything that is wrong. Exit code 3 when something is.",
    check_options,
    take};

static const struct argp_option phantom_options[] = {
    {"size", KEY_SIZE, "N|DxHxW", 0, "Voxels of a volume (default 48)", 0},
    {"cases", KEY_CASES, "N", 0, "Volumes, validation included (default 30)", 0},
    {"validation", KEY_VALIDATION, "N", 0, "The last so many are for validation (default 6)", 0},
    {"organs", KEY_ORGANS, "N", 0, "The largest N of the 15 organs (default 15)", 0},
    {"noise", KEY_NOISE, "HU", 0, "Standard deviation of the noise (default 15)", 0},
    {"seed", KEY_SEED, "N", 0, "Another set of patients", 0},
    {0}};

static const Cli phantom_cli = {
    "data phantom",
    "DIR",
    "  harness data phantom /tmp/abdomen\n  harness data phantom /tmp/abdomen --size 64 --cases "
    "40\n",
    "Makes the phantom: a deterministic abdomen with up to 15 organs, as an nnU-Net folder of "
    ".nii.gz files.",
    phantom_options,
    take};

static int check_or_make(const Cli *cli, int argc, char **argv) {
  Common common;
  Choice choice = {.phantom = phantom_defaults()};
  cli_parse(cli, argc, argv, &common, &choice);
  Error error = {""};
  if (!choice.dir) {
    fail(&error, "harness %s needs a folder: DIR", cli->name);
    return cli_error(EXIT_USAGE, &error);
  }
  if (cli == &check_cli) return data_check_command(choice.dir, choice.json);
  return data_phantom_command(choice.dir, &choice.phantom);
}

static int check_main(int argc, char **argv) {
  return check_or_make(&check_cli, argc, argv);
}

static int phantom_main(int argc, char **argv) {
  return check_or_make(&phantom_cli, argc, argv);
}

static int plan_main(int argc, char **argv) {
  return data_plan_command(true, argc, argv);
}

static int preprocess_main(int argc, char **argv) {
  return data_plan_command(false, argc, argv);
}

static const Command parts[] = {
    {"check", "what is in a folder, and what is wrong with it", check_main},
    {"import", "AMOS22, BTCV or MSD as distributed, into an nnU-Net folder", data_import_command},
    {"plan", "spacing, patch, batch and network by nnU-Net's rules", plan_main},
    {"preprocess", "prepare every volume for training, once", preprocess_main},
    {"phantom", "make the synthetic abdomen", phantom_main},
};
enum { PARTS = sizeof parts / sizeof *parts };

static void print_usage(FILE *out) {
  fputs("Examples:\n  harness data check /data/Task04_Hippocampus\n"
        "  harness data plan /data/Task04_Hippocampus\n\n"
        "Usage: harness data PART [options] DIR\n\nParts:\n",
        out);
  for (int i = 0; i < PARTS; i++) fprintf(out, "  %-11s %s\n", parts[i].name, parts[i].summary);
  fputs("\n`harness data PART --help` says more.\n", out);
}

int command_data(int argc, char **argv) {
  const char *word = argc > 1 ? argv[1] : "", *names[PARTS];
  for (int i = 0; i < PARTS; i++) {
    names[i] = parts[i].name;
    if (!strcmp(word, parts[i].name)) return parts[i].main(argc - 1, argv + 1);
  }
  bool help = !strcmp(word, "--help") || !strcmp(word, "-h");
  if (word[0] && !help) return cli_unknown("subcommand of data", word, names, PARTS);
  print_usage(help ? stdout : stderr);
  return help ? EXIT_DONE : EXIT_USAGE;
}
