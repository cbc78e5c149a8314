#include "src/report/scores.h"
#include "src/data/sets/json_text.h"
#include "src/report/sheet.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

typedef struct Mean {
  double mean, sd; /* NaN: of none */
  int n;
} Mean;

typedef struct LabelSummary {
  int label, situation[4];
  Mean all[METRICS], found[METRICS]; /* absent left out; only "both" */
} LabelSummary;

const char *surface_name(SurfaceKind kind) {
  static const char *const name[] = {"voxels", "surfels"};
  return name[kind];
}

/* ---- means --------------------------------------------------------------------------------------
 */

static Mean mean_over(const Comparison *c, int label, Metric metric, bool found) {
  Mean m = {0};
  double sum = 0, square = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < c->cases; i++) {
      const Score *s = &c->item[i].score[label];
      if (s->status == DICE_ABSENT || (found && s->status != DICE_BOTH)) continue;
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
  for (int i = 0; i < c->cases; i++) s.situation[c->item[i].score[label].status]++;
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

/* ---- text ---------------------------------------------------------------------------------------
 */

static const struct {
  Metric metric;
  const char *head;
  int digits;
} columns[] = {{METRIC_DICE, "Dice", 4},
               {METRIC_IOU, "IoU", 4},
               {METRIC_HD95, "HD95 mm", 3},
               {METRIC_ASSD, "ASSD mm", 3},
               {METRIC_NSD, "NSD", 4},
               {METRIC_REFERENCE_ML, "reference ml", 3},
               {METRIC_PREDICTION_ML, "prediction ml", 3}};
enum { COLUMNS = sizeof columns / sizeof *columns };

static void set_number(Sheet *sheet, int row, int column, int digits, double value) {
  if (isnan(value))
    sheet_set(sheet, row, column, "-");
  else
    sheet_set(sheet, row, column, "%.*f", digits, value);
}

static void set_heads(Sheet *sheet, int first) {
  for (int i = 0; i < COLUMNS; i++) sheet_set(sheet, 0, first + i, "%s", columns[i].head);
}

static void text_labels(const Comparison *c, FILE *out) {
  static const char *const heads[] = {"label", "cases", "missed", "false positive", "absent"};
  int count;
  LabelSummary *list = summaries_make(c, &count);
  Sheet sheet = sheet_make(count + 2, 5 + COLUMNS);
  for (int i = 0; i < 5; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  set_heads(&sheet, 5);
  for (int i = 0; i < count; i++) {
    const LabelSummary *s = &list[i];
    int numbers[] = {s->all[METRIC_DICE].n, s->situation[DICE_MISSED],
                     s->situation[DICE_FALSE_POSITIVE], s->situation[DICE_ABSENT]};
    sheet_set(&sheet, i + 1, 0, "%d %s", s->label, label_text(c, s->label));
    for (int k = 0; k < 4; k++) sheet_set(&sheet, i + 1, 1 + k, "%d", numbers[k]);
    for (int k = 0; k < COLUMNS; k++)
      set_number(&sheet, i + 1, 5 + k, columns[k].digits, s->all[columns[k].metric].mean);
  }
  sheet_set(&sheet, count + 1, 0, "mean of labels");
  for (int k = 0; k < COLUMNS; k++)
    set_number(&sheet, count + 1, 5 + k, columns[k].digits,
               mean_of_labels(list, count, columns[k].metric));
  sheet_text(&sheet, false, out);
  sheet_free(&sheet);
  free(list);
}

static void text_cases(const Comparison *c, FILE *out) {
  int count;
  LabelSummary *list = summaries_make(c, &count);
  Sheet sheet = sheet_make(c->cases * count + 1, 3 + COLUMNS);
  static const char *const heads[] = {"case", "label", "situation"};
  for (int i = 0; i < 3; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  set_heads(&sheet, 3);
  for (int i = 0; i < c->cases; i++)
    for (int k = 0; k < count; k++) {
      int row = i * count + k + 1, label = list[k].label;
      const Score *s = &c->item[i].score[label];
      sheet_set(&sheet, row, 0, "%s", c->item[i].name);
      sheet_set(&sheet, row, 1, "%d %s", label, label_text(c, label));
      sheet_set(&sheet, row, 2, "%s", dice_status_name(s->status));
      for (int m = 0; m < COLUMNS; m++)
        set_number(&sheet, row, 3 + m, columns[m].digits, s->value[columns[m].metric]);
    }
  sheet_text(&sheet, false, out);
  sheet_free(&sheet);
  free(list);
}

void scores_text(const Comparison *c, const SurfaceOptions *surface, bool each_case, FILE *out) {
  fprintf(out, "%d case%s, labels of %s; surfaces: %s, NSD at %g mm\n", c->cases,
          c->cases == 1 ? "" : "s", c->dataset ? c->dataset : "the references",
          surface_name(surface->kind), surface->tolerance);
  if (c->unpredicted)
    fprintf(out, "%d reference(s) without a prediction are left out\n", c->unpredicted);
  fputc('\n', out);
  if (each_case || c->cases == 1) {
    text_cases(c, out);
    fputc('\n', out);
  }
  text_labels(c, out);
  fprintf(out, "\nA mean counts a missed structure and a false positive as Dice, IoU, NSD 0 and as "
               "distance the volume's\ndiagonal; a structure that is in neither map does not "
               "count.\n");
}

/* ---- CSV ----------------------------------------------------------------------------------------
 */

static void csv_text(const char *text, FILE *out) {
  bool quote = strpbrk(text, ",\"\n") != NULL;
  if (quote) fputc('"', out);
  for (; *text; text++) {
    if (*text == '"') fputc('"', out);
    fputc(*text, out);
  }
  if (quote) fputc('"', out);
}

void scores_csv(const Comparison *c, FILE *out) {
  fprintf(out, "case,label,name,situation,reference_voxels,prediction_voxels,overlap_voxels");
  for (int m = 0; m < METRICS; m++)
    fprintf(out, ",%s%s", metric_name(m), strcmp(metric_unit(m), "mm") ? "" : "_mm");
  fputc('\n', out);
  for (int i = 0; i < c->cases; i++)
    for (int l = 1; l < LABEL_VALUES; l++) {
      const Score *s = &c->item[i].score[l];
      if (!c->scored[l]) continue;
      csv_text(c->item[i].name, out);
      fprintf(out, ",%d,", l);
      csv_text(label_text(c, l), out);
      fprintf(out, ",%s,%lld,%lld,%lld", dice_status_name(s->status), (long long)s->reference,
              (long long)s->prediction, (long long)s->overlap);
      for (int m = 0; m < METRICS; m++)
        isnan(s->value[m]) ? fputc(',', out) : fprintf(out, ",%.9g", s->value[m]);
      fputc('\n', out);
    }
}

/* ---- JSON ---------------------------------------------------------------------------------------
 */

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
                    "label", l, "name", label_text(c, l), "situation", dice_status_name(s->status),
                    "reference_voxels", (json_int_t)s->reference, "prediction_voxels",
                    (json_int_t)s->prediction, "overlap_voxels", (json_int_t)s->overlap);
      for (int m = 0; m < METRICS; m++)
        json_object_set_new(row, metric_name(m), number(s->value[m]));
      json_array_append_new(rows, row);
    }
  return rows;
}

static json_t *json_means(const Mean means[METRICS]) {
  json_t *object = json_object();
  for (int m = 0; m < METRICS; m++)
    json_object_set_new(object, metric_name(m),
                        json_pack("{s:o, s:o, s:i}", "mean", number(means[m].mean), "sd",
                                  number(means[m].sd), "n", means[m].n));
  return object;
}

static json_t *json_labels(const Comparison *c, const LabelSummary *list, int count) {
  json_t *labels = json_array();
  for (int i = 0; i < count; i++) {
    json_t *row =
        json_pack("{s:i, s:s}", "label", list[i].label, "name", label_text(c, list[i].label));
    for (int k = 0; k < 4; k++)
      json_object_set_new(row, dice_status_name(k), json_integer(list[i].situation[k]));
    json_t *means = json_means(list[i].all);
    json_object_update(row, means);
    json_decref(means);
    json_object_set_new(row, "found", json_means(list[i].found));
    json_array_append_new(labels, row);
  }
  return labels;
}

static json_t *json_rules(void) {
  return json_pack(
      "{s:s, s:s, s:s, s:s}", "missed", "dice, iou, nsd 0; distances: the volume's diagonal in mm",
      "false_positive", "dice, iou, nsd 0; distances: the volume's diagonal in mm", "absent",
      "null, not counted", "hd95",
      "the larger of the two directions' 95th percentiles; hd95_pooled: of both together");
}

void scores_json(const Comparison *c, const SurfaceOptions *surface, FILE *out) {
  int count;
  LabelSummary *list = summaries_make(c, &count);
  json_t *mean = json_object();
  for (int m = 0; m < METRICS; m++)
    json_object_set_new(mean, metric_name(m), number(mean_of_labels(list, count, m)));
  json_t *document = json_pack(
      "{s:i, s:s, s:f, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:f, s:f}", "schema", 1, "surface",
      surface_name(surface->kind), "tolerance_mm", surface->tolerance, "dataset",
      c->dataset ? json_name(c->dataset) : json_null(), "cases", c->cases, "unpredicted",
      c->unpredicted, "rules", json_rules(), "rows", json_rows(c), "labels",
      json_labels(c, list, count), "mean", mean, "read_s", c->read_s, "score_s", c->score_s);
  CHECK(document, "the scores cannot be written as JSON");
  json_document(document, out, JSON_INDENT(1));
  json_decref(document);
  free(list);
}
