/* harness evaluate: metrics of label maps against references. */
#include <string.h>

#include "base/nearest.h"
#include "src/cli/cli.h"
#include "src/report/scores.h"

typedef struct Choice {
  ComparisonOptions comparison;
  bool json, csv, cases;
} Choice;

enum { KEY_DATASET = 1, KEY_TOLERANCE, KEY_SURFACE, KEY_PARTIAL, KEY_CASES, KEY_JSON, KEY_CSV };

static const struct argp_option options[] = {
    {"dataset", KEY_DATASET, "FILE", 0,
     "The dataset.json that names the labels (default: beside or above REF)", 0},
    {"tolerance", KEY_TOLERANCE, "MM", 0, "Of the NSD (default 1)", 0},
    {"surface", KEY_SURFACE, "KIND", 0,
     "voxels (default): voxels with a face outside, as MONAI and MedPy; surfels: marching-cubes "
     "areas, as DeepMind's surface-distance",
     0},
    {"partial", KEY_PARTIAL, 0, 0, "Leave out references that have no prediction", 0},
    {"cases", KEY_CASES, 0, 0, "Print every case, not only the means", 0},
    {"json", KEY_JSON, 0, 0, "One JSON document", 0},
    {"csv", KEY_CSV, 0, 0, "A line per case and label", 0},
    {0}};

static bool take_surface(const char *value, SurfaceKind *kind, Error *error) {
  const char *names[] = {surface_name(SURFACE_VOXELS), surface_name(SURFACE_SURFELS)};
  for (int i = 0; i < 2; i++) {
    *kind = (SurfaceKind)i;
    if (!strcmp(value, names[i])) return true;
  }
  return fail(error, "--surface \"%s\" is neither voxels nor surfels%s", value,
              nearest_hint(value, names, 2, NULL).text);
}

static bool take(int key, char *value, void *user, Error *error) {
  Choice *choice = user;
  ComparisonOptions *c = &choice->comparison;
  if (key == ' ' && c->prediction) return false;
  if (key == ' ') *(c->reference ? &c->prediction : &c->reference) = value;
  if (key == KEY_DATASET) c->dataset = value;
  if (key == KEY_PARTIAL) c->partial = true;
  if (key == KEY_CASES) choice->cases = true;
  if (key == KEY_JSON) choice->json = true;
  if (key == KEY_CSV) choice->csv = true;
  if (key == KEY_SURFACE) return take_surface(value, &c->surface.kind, error);
  if (key != KEY_TOLERANCE) return true;
  return cli_number("--tolerance", value, 0, &c->surface.tolerance, error);
}

static const Cli cli = {"evaluate",
                        "REF PRED",
                        "  harness evaluate labelsTr predictions\n"
                        "  harness evaluate REF.nii.gz PRED.nii.gz --tolerance 2 --json\n",
                        "", /* see command_evaluate */
                        options,
                        take};

static const char about[] =
    "Of each case and label, from two folders whose files have the same names or from two files: "
    "%s (higher is better); %s (lower is better); volumes. Distances are in mm, by the reference's "
    "spacing. hd95 is the larger of both directions' 95th percentiles, as MONAI's; hd95_pooled is "
    "of both directions together, as MedPy's; --json and --csv have every metric. A missed "
    "structure and a false positive count with the worst value (Dice 0, distance = the volume's "
    "diagonal); a structure in neither map does not count.";

static const char *higher(const MetricRow *row) {
  return row->better == METRIC_HIGHER ? row->name : NULL;
}

static const char *lower(const MetricRow *row) {
  return row->better == METRIC_LOWER ? row->name : NULL;
}

int command_evaluate(int argc, char **argv) {
  Common common;
  Error error = {""};
  Choice choice = {.comparison.surface.tolerance = 1};
  char high[METRIC_LIST], low[METRIC_LIST], text[sizeof about + 2 * METRIC_LIST];
  Cli told = cli;
  metric_list(higher, high);
  metric_list(lower, low);
  snprintf(text, sizeof text, about, high, low);
  told.text = text;
  cli_parse(&told, argc, argv, &common, &choice);
  const ComparisonOptions *options_given = &choice.comparison;
  if (!options_given->prediction) {
    fail(&error, "harness evaluate needs two files or two folders: REF PRED");
    return cli_error(EXIT_USAGE, &error);
  }
  Comparison comparison;
  bool nothing, good = comparison_run(&comparison, options_given, &nothing, &error);
  if (!common.quiet) comparison_tell(&comparison, stderr);
  if (good && choice.json)
    scores_json(&comparison, &options_given->surface, stdout);
  else if (good && choice.csv)
    scores_csv(&comparison, stdout);
  else if (good)
    scores_text(&comparison, &options_given->surface, choice.cases, stdout);
  comparison_free(&comparison);
  return good ? EXIT_DONE : cli_error(nothing ? EXIT_NOTHING : EXIT_UNFIT, &error);
}
