/* harness data; the work is in src/data/. */
#include "src/cli/data_plan.h"
#include "src/data/phantom/phantom.h"
#include "src/data/phantom/phantom2d.h"
#include "src/data/sets/dataset.h"
#include "src/data/sets/import.h"
#include "src/machine/document.h"

#include <string.h>

/* ---- data import ----------------------------------------------------------------------------- */

typedef struct Importing {
  const char *layout;
  ImportOptions options;
} Importing;

enum { KEY_CT = 1, KEY_HOW_COPY, KEY_HOW_SYMLINK, KEY_UNLABELLED, KEY_TYPES };

static bool take_validation(const char *text, ImportOptions *options, Error *error) {
  static const char *const names[] = {"train", "split", "leave"};
  for (int i = 0; i < 3; i++)
    if (!strcmp(text, names[i])) {
      options->validation = (ImportValidation)i;
      return true;
    }
  return fail(error, "--validation needs train, split or leave, not \"%s\"", text);
}

static bool take_import(int key, char *value, void *user, Error *error) {
  Importing *request = user;
  ImportOptions *options = &request->options;
  if (key == KEY_CT) options->ct_only = true;
  if (key == KEY_TYPES) options->types = true;
  if (key == KEY_HOW_COPY) options->how = IMPORT_COPY;
  if (key == KEY_HOW_SYMLINK) options->how = IMPORT_SYMLINK;
  if (key == KEY_UNLABELLED) return take_validation(value, options, error);
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
    {"validation", KEY_UNLABELLED, "WHAT", 0,
     "AMOS22's validation cases: train (default; nnU-Net's converter: 200 + 100 cases), split (the "
     "same, with a splits_final.json that validates on them), leave (out)",
     0},
    {"types", KEY_TYPES, 0, 0,
     "NeoPolyp: non-neoplastic and neoplastic polyps as two labels, not as one", 0},
    {"copy", KEY_HOW_COPY, 0, 0, "Copy files instead of linking them", 0},
    {"symlink", KEY_HOW_SYMLINK, 0, 0, "Link symbolically", 0},
    {0}};

static const Cli import_cli = {
    "data import",
    "LAYOUT SOURCE TARGET",
    "  harness data import amos amos22 data/AMOS22 --ct-only\n"
    "  harness data import msd Task04_Hippocampus data/Task04_Hippocampus\n"
    "  harness data import isic2016 Downloads data/ISIC2016\n",
    "Makes an nnU-Net v2 raw folder of a data set as it is distributed. Files are linked, masks "
    "become label maps, the source is never changed. LAYOUT is one of\n"
#define LAYOUT(name, what) "  " #name "  " what "\n"
#include "src/data/sets/layouts.def"
#undef LAYOUT
    ,
    import_options,
    take_import};

static int layout_of(const char *name) {
  for (int i = 0; i < IMPORT_LAYOUTS; i++)
    if (!strcmp(name, import_names[i])) return i;
  return -1;
}

static void tell_import(const Importing *request, const ImportOutcome *outcome, const char *note) {
  static const char *const words[] = {"hard links", "symbolic links", "copies"};
  fprintf(stderr,
          "%s: %d labelled cases (%d of them the source's validation), %d test images; %s\n",
          request->options.target, outcome->training, outcome->validation, outcome->test,
          words[outcome->how]);
  if (outcome->missing)
    fprintf(stderr, "%s: %d test image(s) that dataset.json lists are not there\n",
            request->options.source, outcome->missing);
  if (outcome->twins)
    fprintf(stderr, "%s: %d picture(s) that another case has, too, byte by byte: %s and %s\n",
            request->options.target, outcome->twins, outcome->pair[0], outcome->pair[1]);
  if (note) fprintf(stderr, "%s: %s\n", request->options.target, note);
}

static int data_import_command(int argc, char **argv) {
  Common common;
  Error error = {""};
  Importing request = {.layout = NULL};
  cli_parse(&import_cli, argc, argv, &common, &request);
  if (!request.options.target) {
    fail(&error, "harness data import needs a LAYOUT, a SOURCE and a TARGET");
    return cli_error(EXIT_USAGE, &error);
  }
  int layout = layout_of(request.layout);
  if (layout < 0) return cli_unknown("layout", request.layout, import_names, IMPORT_LAYOUTS);
  Import import;
  ImportOutcome outcome;
  bool good = import_read[layout](&import, &request.options, &error) &&
              import_write(&import, &request.options, &outcome, &error);
  const char *note = import.note;
  import_free(&import);
  if (!good) return cli_error(EXIT_UNFIT, &error);
  tell_import(&request, &outcome, note);
  return EXIT_DONE;
}

/* ---- data check and phantom ------------------------------------------------------------------ */

static int data_check_command(const char *dir, bool json) {
  json_t *head = json ? document_begin("data", (DocumentOf){0}) : NULL;
  int problems = dataset_check(dir, stdout, head);
  json_decref(head);
  return problems ? EXIT_UNFIT : EXIT_DONE;
}

/* ---- the command ----------------------------------------------------------------------------- */

enum {
  KEY_JSON = 1,
  KEY_SIZE,
  KEY_CASES,
  KEY_VALIDATION,
  KEY_ORGANS,
  KEY_ANATOMY,
  KEY_NOISE,
  KEY_SEED,
  KEY_PICTURE,
  KEY_VARIANT,
  KEYS
};

static const char *const key_names[KEYS] = {
    [KEY_SIZE] = "--size",     [KEY_CASES] = "--cases",    [KEY_VALIDATION] = "--validation",
    [KEY_ORGANS] = "--organs", [KEY_NOISE] = "--noise",    [KEY_ANATOMY] = "--anatomy",
    [KEY_SEED] = "--seed",     [KEY_VARIANT] = "--variant"};

typedef struct Choice {
  const char *dir;
  bool json;
  bool set[KEYS]; /* by key: it was typed */
  int size[3], sizes;
  PhantomOptions phantom;
  Phantom2dOptions picture;
} Choice;

/* N, HxW or DxHxW. */
static bool take_size(const char *text, Choice *choice, Error *error) {
  int used[3] = {0}, *size = choice->size;
  int count =
      sscanf(text, "%d%nx%d%nx%d%n", &size[0], &used[0], &size[1], &used[1], &size[2], &used[2]);
  choice->sizes = count;
  bool good = count > 0 && !text[used[count - 1]] && strspn(text, "0123456789x") == strlen(text);
  for (int i = 0; i < count; i++) good &= size[i] > 0;
  return good ||
         fail(error,
              "--size needs one number, DxHxW or, of pictures, HxW, such as 48, 40x48x48 or "
              "96x128, not \"%s\"",
              text);
}

/* The size of so many axes; one number stands for all of them. */
static bool settle_size(const Choice *choice, int axes, int *size, Error *error) {
  if (choice->sizes > 1 && choice->sizes != axes)
    return fail(error, "--size: %s is %s", axes == 3 ? "a volume" : "a picture",
                axes == 3 ? "one number or DxHxW" : "one number or HxW");
  for (int i = 0; choice->sizes && i < axes; i++) size[i] = choice->size[choice->sizes > 1 ? i : 0];
  return true;
}

static bool take(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  double number = 0;
  if (key == ' ' && choice->dir) return false;
  if (key == ' ') choice->dir = value;
  if (key == KEY_JSON) choice->json = true;
  if (key == ' ' || key == KEY_JSON) return true;
  choice->set[key] = true;
  if (key == KEY_SIZE) return take_size(value, choice, error);
  if (key == KEY_PICTURE) return phantom2d_parse(value, &choice->picture.kind, error);
  bool one = key == KEY_CASES || key == KEY_ORGANS || key == KEY_ANATOMY || key == KEY_VARIANT;
  double least = one ? 1 : 0;
  if (!cli_number(key_names[key], value, least, &number, error)) return false;
  if (key == KEY_CASES) choice->phantom.cases = choice->picture.cases = (int)number;
  if (key == KEY_VALIDATION) choice->phantom.validation = choice->picture.validation = (int)number;
  if (key == KEY_ORGANS) choice->phantom.organs = (int)number;
  if (key == KEY_ANATOMY) choice->phantom.anatomy = (int)number;
  if (key == KEY_VARIANT) choice->picture.variant = (int)number;
  if (key == KEY_NOISE) choice->phantom.noise_hu = number;
  if (key == KEY_SEED) choice->phantom.seed = choice->picture.seed = (uint64_t)number;
  return true;
}

static bool settle_choice(Choice *choice, Error *error) {
  bool flat = choice->set[KEY_PICTURE];
  for (int key = KEY_ORGANS; flat && key <= KEY_NOISE; key++)
    if (choice->set[key]) return fail(error, "%s: pictures have none", key_names[key]);
  if (!flat && choice->set[KEY_VARIANT])
    return fail(error, "--variant: of pictures alone; the abdomens' is --anatomy");
  return flat ? settle_size(choice, 2, choice->picture.size, error)
              : settle_size(choice, 3, choice->phantom.size, error);
}

static bool make_phantom2d(const Choice *choice, Error *error) {
  const Phantom2dOptions *o = &choice->picture;
  if (!phantom2d_make(o, choice->dir, error)) return false;
  fprintf(stderr, "%s: %d pictures (%s) of %dx%d, seed %llu\n", choice->dir, o->cases,
          phantom2d_kinds[o->kind], o->size[0], o->size[1], (unsigned long long)o->seed);
  return true;
}

static bool make_phantom(const Choice *choice, Error *error) {
  const PhantomOptions *o = &choice->phantom;
  if (!phantom_make(o, choice->dir, error)) return false;
  fprintf(stderr, "%s: %d cases of %dx%dx%d, %d organs, seed %llu\n", choice->dir, o->cases,
          o->size[0], o->size[1], o->size[2], o->organs, (unsigned long long)o->seed);
  return true;
}

static int data_phantom_command(Choice *choice) {
  Error error = {""};
  if (!settle_choice(choice, &error)) return cli_error(EXIT_USAGE, &error);
  bool good =
      choice->set[KEY_PICTURE] ? make_phantom2d(choice, &error) : make_phantom(choice, &error);
  return good ? EXIT_DONE : cli_error(EXIT_UNFIT, &error);
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
    {"picture", KEY_PICTURE, "lesion|nuclei|vessels", 0,
     "2D pictures in colour in place of the abdomen: one blob of unclear border, many bodies that "
     "touch, thin lines",
     0},
    {"variant", KEY_VARIANT, "1|2", 0,
     "Of pictures; 2: weaker contrast, more noise, and what looks alike but is not labelled "
     "(default "
     "1)",
     0},
    {"size", KEY_SIZE, "N|DxHxW|HxW", 0, "Of a volume (default 48) or a picture (default 128)", 0},
    {"cases", KEY_CASES, "N", 0, "Validation included (default 30, pictures 200)", 0},
    {"validation", KEY_VALIDATION, "N", 0,
     "The last so many are for validation (default 6, pictures 60)", 0},
    {"organs", KEY_ORGANS, "N", 0, "The largest N of the 15 organs (default 15)", 0},
    {"anatomy", KEY_ANATOMY, "1|2", 0,
     "2: small organs are large, clear and inside enough to be learnt (default 1)", 0},
    {"noise", KEY_NOISE, "HU", 0, "Standard deviation of the noise (default 15)", 0},
    {"seed", KEY_SEED, "N", 0, "Another set of patients", 0},
    {0}};

static const Cli phantom_cli = {
    "data phantom",
    "DIR",
    "  harness data phantom /tmp/abdomen --size 64 --cases 40\n"
    "  harness data phantom /tmp/lesions --picture lesion\n",
    "Makes a phantom as an nnU-Net folder: a deterministic abdomen with up to 15 organs, or 2D "
    "pictures.",
    phantom_options,
    take};

static int check_or_make(const Cli *cli, int argc, char **argv) {
  Common common;
  Choice choice = {.phantom = phantom_defaults(), .picture = phantom2d_defaults()};
  cli_parse(cli, argc, argv, &common, &choice);
  Error error = {""};
  if (!choice.dir) {
    fail(&error, "harness %s needs a folder: DIR", cli->name);
    return cli_error(EXIT_USAGE, &error);
  }
  if (cli == &check_cli) return data_check_command(choice.dir, choice.json);
  return data_phantom_command(&choice);
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
    {"import", "a data set as it is distributed, into an nnU-Net folder", data_import_command},
    {"plan", "spacing, patch, batch and network by nnU-Net's rules", plan_main},
    {"preprocess", "prepare every volume for training, once", preprocess_main},
    {"phantom", "make the synthetic abdomen", phantom_main},
};
enum { PARTS = sizeof parts / sizeof *parts };

int command_data(int argc, char **argv) {
  const char *word = argc > 1 ? argv[1] : "", *names[PARTS];
  char usage[1200];
  size_t used = (size_t)snprintf(usage, sizeof usage,
                                 "Examples:\n  harness data check /data/Task04_Hippocampus\n"
                                 "  harness data plan /data/Task04_Hippocampus\n\n"
                                 "Usage: harness data PART [options] DIR\n\nParts:\n");
  for (int i = 0; i < PARTS; i++) {
    names[i] = parts[i].name;
    used += (size_t)snprintf(usage + used, sizeof usage - used, "  %-11s %s\n", parts[i].name,
                             parts[i].summary);
    if (!strcmp(word, parts[i].name)) return parts[i].main(argc - 1, argv + 1);
  }
  snprintf(usage + used, sizeof usage - used, "\n`harness data PART --help` says more.\n");
  return cli_parts("data", word, names, PARTS, usage);
}
