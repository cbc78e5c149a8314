/* harness data import: the work is in src/data/. */
#include <string.h>

#include "src/cli/cli.h"
#include "src/cli/data.h"
#include "src/data/sets/import.h"

typedef struct Request {
  const char *layout;
  ImportOptions options;
} Request;

enum { KEY_CT = 1, KEY_HOW_COPY, KEY_HOW_SYMLINK, KEY_VALIDATION };

static const char *const layouts[] = {"amos", "btcv", "msd"};
static bool (*const readers[])(Import *, const ImportOptions *,
                               Error *) = {import_amos, import_btcv, import_msd};

static bool take_validation(const char *text, ImportOptions *options, Error *error) {
  static const char *const names[] = {"train", "split", "leave"};
  for (int i = 0; i < 3; i++)
    if (!strcmp(text, names[i])) {
      options->validation = (ImportValidation)i;
      return true;
    }
  return fail(error, "--validation needs train, split or leave, not \"%s\"", text);
}

static bool take(int key, char *value, void *user, Error *error) {
  Request *request = user;
  ImportOptions *options = &request->options;
  if (key == KEY_CT) options->ct_only = true;
  if (key == KEY_HOW_COPY) options->how = IMPORT_COPY;
  if (key == KEY_HOW_SYMLINK) options->how = IMPORT_SYMLINK;
  if (key == KEY_VALIDATION) return take_validation(value, options, error);
  if (key != ' ') return true;
  const char **operand = !request->layout   ? &request->layout
                         : !options->source ? &options->source
                                            : &options->target;
  if (*operand) return false;
  *operand = value;
  return true;
}

static const struct argp_option import_options[] = {
    {"ct-only", KEY_CT, 0, 0, "AMOS22: the CT scans (numbers up to 500) alone", 0},
    {"validation", KEY_VALIDATION, "WHAT", 0,
     "AMOS22's validation cases: train (default; nnU-Net's converter: 200 + 100 cases), split (the "
     "same, with a splits_final.json that validates on them), leave (out)",
     0},
    {"copy", KEY_HOW_COPY, 0, 0, "Copy files instead of linking them", 0},
    {"symlink", KEY_HOW_SYMLINK, 0, 0, "Link symbolically", 0},
    {0}};

static const Cli import_cli = {
    "data import",
    "amos|btcv|msd SOURCE TARGET",
    "  harness data import amos amos22 data/AMOS22 --ct-only\n"
    "  harness data import msd Task04_Hippocampus data/Task04_Hippocampus\n",
    "Makes an nnU-Net v2 raw folder of a data set as it is distributed: AMOS22 (amos22.zip "
    "unpacked), BTCV (RawData.zip unpacked, or averaged-training-images and -labels) or a task of "
    "the Medical Segmentation Decathlon. Files are linked, the source is never changed.",
    import_options,
    take};

static int layout_of(const char *name) {
  for (int i = 0; i < 3; i++)
    if (!strcmp(name, layouts[i])) return i;
  return -1;
}

int data_import_command(int argc, char **argv) {
  Common common;
  Error error = {""};
  Request request = {.layout = NULL};
  cli_parse(&import_cli, argc, argv, &common, &request);
  if (!request.options.target) {
    fail(&error, "harness data import needs amos, btcv or msd, a SOURCE and a TARGET");
    return cli_error(EXIT_USAGE, &error);
  }
  int layout = layout_of(request.layout);
  if (layout < 0) return cli_unknown("layout", request.layout, layouts, 3);
  Import import;
  ImportOutcome outcome;
  bool good = readers[layout](&import, &request.options, &error) &&
              import_write(&import, &request.options, &outcome, &error);
  import_free(&import);
  if (!good) return cli_error(EXIT_UNFIT, &error);
  static const char *const words[] = {"hard links", "symbolic links", "copies"};
  fprintf(stderr,
          "%s: %d labelled cases (%d of them the source's validation), %d test images; %s\n",
          request.options.target, outcome.training, outcome.validation, outcome.test,
          words[outcome.how]);
  if (outcome.missing)
    fprintf(stderr, "%s: %d test image(s) that dataset.json lists are not there\n",
            request.options.source, outcome.missing);
  return EXIT_DONE;
}
