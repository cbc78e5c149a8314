/* harness evaluate: metrics of label maps against references. */
#include "base/nearest.h"
#include "src/cli/cli.h"
#include "src/data/metrics/comparison.h"
#include "src/data/sets/json_text.h"
#include "src/machine/document.h"
#include "src/report/quote.h"
#include "src/report/sheet.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* ---- printing -------------------------------------------------------------------------------- */

/* What a comparison of label maps found, as a table for reading, CSV or JSON.
 *
 * CSV: a line per case and label. JSON: {"schema", "surface", "unit", "tolerance_mm", "dataset",
 * "cases", "unpredicted", "rules", "rows": [per case and label], "labels": [per label: counts of
 * the situations; "dice": {"mean", "sd", "n"} ...; and "found": the same over the cases whose
 * situation is "both"], "mean": {over labels}, "read_s", "score_s"}. Distances in mm, volumes in
 * ml; of pictures distances in px (hd95_px of CSV, tolerance_px), and no volumes. */

typedef struct Mean {
  double mean, sd; /* NaN: of none */
  int n;
} Mean;

typedef struct LabelSummary {
  int label, situation[SITUATIONS];
  Mean all[METRICS], found[METRICS]; /* absent left out; only "both" */
} LabelSummary;

/* "voxels", "surfels". */
static const char *surface_name(SurfaceKind kind) {
  static const char *const name[] = {"voxels", "surfels"};
  return name[kind];
}

/* ---- means ----------------------------------------------------------------------------------- */

static Mean mean_over(const Comparison *c, int label, Metric metric, bool found) {
  Mean m = {0};
  double sum = 0, square = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < c->cases; i++) {
      const Score *s = &c->item[i].score[label];
      if (found && s->situation != SITUATION_BOTH) continue;
      if (metric_situation(metric, s->situation) == SITUATION_ABSENT) continue;
      double value = s->value[metric];
      if (pass == 0) sum += value, m.n++;
      if (pass == 1) square += (value - sum / m.n) * (value - sum / m.n);
    }
  m.mean = m.n ? sum / m.n : NAN;
  m.sd = m.n > 1 ? sqrt(square / (m.n - 1)) : NAN;
  return m;
}

static LabelSummary summary_make(const Comparison *c, int label) {
  LabelSummary s = {.label = label};
  for (int i = 0; i < c->cases; i++) s.situation[c->item[i].score[label].situation]++;
  for (int m = 0; m < METRICS; m++) {
    s.all[m] = mean_over(c, label, m, false);
    s.found[m] = mean_over(c, label, m, true);
  }
  return s;
}

/* Of every label, malloced. */
static LabelSummary *summaries_make(const Comparison *c, int *count) {
  LabelSummary *list = calloc(LABEL_VALUES, sizeof *list);
  CHECK(list, "no memory for the summary");
  *count = 0;
  for (int l = 1; l < LABEL_VALUES; l++)
    if (c->scored[l]) list[(*count)++] = summary_make(c, l);
  return list;
}

/* Over the labels that any case holds. */
static double mean_of_labels(const LabelSummary *list, int count, Metric metric) {
  double sum = 0;
  int n = 0;
  for (int i = 0; i < count; i++) {
    if (!list[i].all[metric].n) continue;
    sum += list[i].all[metric].mean;
    n++;
  }
  return n ? sum / n : NAN;
}

static const char *label_text(const Comparison *c, int label) {
  return c->label_name[label] ? c->label_name[label] : "";
}

/* ---- text ------------------------------------------------------------------------------------ */

/* The metrics that have a column, in order; returns how many. */
static const char *unit_of(const Comparison *c, Metric metric) {
  const char *unit = metric_table[metric].unit;
  return c->pictures && !strcmp(unit, "mm") ? "px" : unit;
}

/* Pictures have no volumes. */
static int columns_list(const Comparison *c, Metric column[METRICS]) {
  int count = 0;
  for (int m = 0; m < METRICS; m++)
    if (metric_table[m].head && metric_is_of(m, c->pictures) &&
        !(c->pictures && !strcmp(metric_table[m].unit, "ml")))
      column[count++] = m;
  return count;
}

static void set_number(Sheet *sheet, int row, int column, Metric metric, double value) {
  if (isnan(value))
    sheet_set(sheet, row, column, "-");
  else
    sheet_set(sheet, row, column, "%.*f", metric_table[metric].digits, value);
}

static void set_heads(Sheet *sheet, int first, const Comparison *c, const Metric *column,
                      int columns) {
  for (int i = 0; i < columns; i++) {
    const char *unit = unit_of(c, column[i]);
    sheet_set(sheet, 0, first + i, "%s%s%s", metric_table[column[i]].head, unit[0] ? " " : "",
              unit);
  }
}

static void text_labels(const Comparison *c, FILE *out) {
  static const char *const heads[] = {"label", "cases", "missed", "false positive", "absent"};
  Metric column[METRICS];
  int count, columns = columns_list(c, column);
  LabelSummary *list = summaries_make(c, &count);
  Sheet sheet = sheet_make(count + 2, 5 + columns);
  for (int i = 0; i < 5; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  set_heads(&sheet, 5, c, column, columns);
  for (int i = 0; i < count; i++) {
    const LabelSummary *s = &list[i];
    int numbers[] = {s->all[METRIC_dice].n, s->situation[SITUATION_MISSED],
                     s->situation[SITUATION_FALSE_POSITIVE], s->situation[SITUATION_ABSENT]};
    sheet_set(&sheet, i + 1, 0, "%d %s", s->label, label_text(c, s->label));
    for (int k = 0; k < 4; k++) sheet_set(&sheet, i + 1, 1 + k, "%d", numbers[k]);
    for (int k = 0; k < columns; k++)
      set_number(&sheet, i + 1, 5 + k, column[k], s->all[column[k]].mean);
  }
  sheet_set(&sheet, count + 1, 0, "mean of labels");
  for (int k = 0; k < columns; k++)
    set_number(&sheet, count + 1, 5 + k, column[k], mean_of_labels(list, count, column[k]));
  sheet_fitted(&sheet, false, out);
  sheet_free(&sheet);
  free(list);
}

static void text_cases(const Comparison *c, FILE *out) {
  Metric column[METRICS];
  int count, columns = columns_list(c, column);
  LabelSummary *list = summaries_make(c, &count);
  Sheet sheet = sheet_make(c->cases * count + 1, 3 + columns);
  static const char *const heads[] = {"case", "label", "situation"};
  for (int i = 0; i < 3; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  set_heads(&sheet, 3, c, column, columns);
  for (int i = 0; i < c->cases; i++)
    for (int k = 0; k < count; k++) {
      int row = i * count + k + 1, label = list[k].label;
      const Score *s = &c->item[i].score[label];
      sheet_set(&sheet, row, 0, "%s", c->item[i].name);
      sheet_set(&sheet, row, 1, "%d %s", label, label_text(c, label));
      sheet_set(&sheet, row, 2, "%s", situation_name(s->situation));
      for (int m = 0; m < columns; m++)
        set_number(&sheet, row, 3 + m, column[m], s->value[column[m]]);
    }
  sheet_fitted(&sheet, false, out);
  sheet_free(&sheet);
  free(list);
}

static const char *zero_head(const MetricRow *row) {
  return row->missed == MISSED_ZERO ? row->head : NULL;
}

static const char *zero_name(const MetricRow *row) {
  return row->missed == MISSED_ZERO ? row->name : NULL;
}

/* The table's rows: per label, and with each_case (or when there is one case) per case too. */
static void scores_text(const Comparison *c, const SurfaceOptions *surface, bool each_case,
                        FILE *out) {
  fprintf(out, "%d case%s, labels of %s; surfaces: %s, NSD at %g %s\n", c->cases,
          c->cases == 1 ? "" : "s", c->dataset ? c->dataset : "the references",
          surface_name(surface->kind), surface->tolerance, c->pictures ? "px" : "mm");
  if (c->unpredicted)
    fprintf(out, "%d reference(s) without a prediction are left out\n", c->unpredicted);
  fputc('\n', out);
  if (each_case || c->cases == 1) {
    text_cases(c, out);
    fputc('\n', out);
  }
  text_labels(c, out);
  char zero[METRIC_LIST];
  metric_list(zero_head, c->pictures, zero);
  fprintf(out,
          "\nA mean counts a missed structure and a false positive as %s 0 and as distance the "
          "%s's\ndiagonal; a structure that is in neither map does not count%s.\n",
          zero, c->pictures ? "picture" : "volume",
          c->pictures ? ", but for MAE and Acc, which\nall cases have" : "");
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void scores_csv(const Comparison *c, FILE *out) {
  fprintf(out, "case,label,name,situation,reference_voxels,prediction_voxels,overlap_voxels");
  for (int m = 0; m < METRICS; m++)
    if (metric_is_of(m, c->pictures))
      fprintf(out, ",%s%s%s", metric_table[m].name, strcmp(metric_table[m].unit, "mm") ? "" : "_",
              strcmp(metric_table[m].unit, "mm") ? "" : unit_of(c, m));
  fputc('\n', out);
  for (int i = 0; i < c->cases; i++)
    for (int l = 1; l < LABEL_VALUES; l++) {
      const Score *s = &c->item[i].score[l];
      if (!c->scored[l]) continue;
      quote_csv(c->item[i].name, out);
      fprintf(out, ",%d,", l);
      quote_csv(label_text(c, l), out);
      fprintf(out, ",%s,%lld,%lld,%lld", situation_name(s->situation), (long long)s->reference,
              (long long)s->prediction, (long long)s->overlap);
      for (int m = 0; m < METRICS; m++)
        if (metric_is_of(m, c->pictures))
          isnan(s->value[m]) ? fputc(',', out) : fprintf(out, ",%.9g", s->value[m]);
      fputc('\n', out);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *number(double value) {
  return isnan(value) ? json_null() : json_real(value);
}

static json_t *json_rows(const Comparison *c) {
  json_t *rows = json_array();
  for (int i = 0; i < c->cases; i++)
    for (int l = 1; l < LABEL_VALUES; l++) {
      const Score *s = &c->item[i].score[l];
      if (!c->scored[l]) continue;
      json_t *row =
          json_pack("{s:o, s:i, s:s, s:s, s:I, s:I, s:I}", "case", json_name(c->item[i].name),
                    "label", l, "name", label_text(c, l), "situation", situation_name(s->situation),
                    "reference_voxels", (json_int_t)s->reference, "prediction_voxels",
                    (json_int_t)s->prediction, "overlap_voxels", (json_int_t)s->overlap);
      for (int m = 0; m < METRICS; m++)
        if (metric_is_of(m, c->pictures))
          json_object_set_new(row, metric_table[m].name, number(s->value[m]));
      json_array_append_new(rows, row);
    }
  return rows;
}

static json_t *json_means(const Comparison *c, const Mean means[METRICS]) {
  json_t *object = json_object();
  for (int m = 0; m < METRICS; m++)
    if (metric_is_of(m, c->pictures))
      json_object_set_new(object, metric_table[m].name,
                          json_pack("{s:o, s:o, s:i}", "mean", number(means[m].mean), "sd",
                                    number(means[m].sd), "n", means[m].n));
  return object;
}

static json_t *json_labels(const Comparison *c, const LabelSummary *list, int count) {
  json_t *labels = json_array();
  for (int i = 0; i < count; i++) {
    json_t *row =
        json_pack("{s:i, s:s}", "label", list[i].label, "name", label_text(c, list[i].label));
    for (int k = 0; k < SITUATIONS; k++)
      json_object_set_new(row, situation_name(k), json_integer(list[i].situation[k]));
    json_t *means = json_means(c, list[i].all);
    json_object_update(row, means);
    json_decref(means);
    json_object_set_new(row, "found", json_means(c, list[i].found));
    json_array_append_new(labels, row);
  }
  return labels;
}

static json_t *json_rules(const Comparison *c) {
  char zero[METRIC_LIST], one_map[METRIC_LIST + 64];
  metric_list(zero_name, c->pictures, zero);
  snprintf(one_map, sizeof one_map, "%s 0; distances: the %s", zero,
           c->pictures ? "picture's diagonal in pixels" : "volume's diagonal in mm");
  return json_pack(
      "{s:s, s:s, s:s, s:s}", "missed", one_map, "false_positive", one_map, "absent",
      "null, not counted", "hd95",
      "the larger of the two directions' 95th percentiles; hd95_pooled: of both together");
}

static void scores_json(const Comparison *c, const SurfaceOptions *surface, FILE *out) {
  int count;
  LabelSummary *list = summaries_make(c, &count);
  json_t *mean = json_object();
  for (int m = 0; m < METRICS; m++)
    if (metric_is_of(m, c->pictures))
      json_object_set_new(mean, metric_table[m].name, number(mean_of_labels(list, count, m)));
  json_t *document = document_make(
      "scores", (DocumentOf){0},
      json_pack("{s:s, s:f, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:f, s:f}", "surface",
                surface_name(surface->kind), c->pictures ? "tolerance_px" : "tolerance_mm",
                surface->tolerance, "dataset", c->dataset ? json_name(c->dataset) : json_null(),
                "cases", c->cases, "unpredicted", c->unpredicted, "rules", json_rules(c), "rows",
                json_rows(c), "labels", json_labels(c, list, count), "mean", mean, "read_s",
                c->read_s, "score_s", c->score_s));
  json_object_set_new(document, "unit", json_string(c->pictures ? "px" : "mm"));
  document_print(document, out);
  free(list);
}

/* ---- the command ----------------------------------------------------------------------------- */

typedef struct Choice {
  ComparisonOptions comparison;
  bool json, csv, cases;
} Choice;

enum { KEY_DATASET = 1, KEY_TOLERANCE, KEY_SURFACE, KEY_PARTIAL, KEY_CASES, KEY_JSON, KEY_CSV };

static const struct argp_option options[] = {
    {"dataset", KEY_DATASET, "FILE", 0,
     "The dataset.json that names the labels (default: beside or above REF)", 0},
    {"tolerance", KEY_TOLERANCE, "MM", 0, "Of the NSD (default 1); of pictures in pixels", 0},
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
    "spacing, of pictures in pixels. hd95 is the larger of both directions' 95th percentiles, as "
    "MONAI's; hd95_pooled is "
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
  Cli with_names = cli;
  metric_list(higher, true, high);
  metric_list(lower, true, low);
  snprintf(text, sizeof text, about, high, low);
  with_names.text = text;
  cli_parse(&with_names, argc, argv, &common, &choice);
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
