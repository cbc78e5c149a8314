#include "src/cli/estimate_text.h"
#include "src/machine/environment.h"
#include "src/report/sheet.h"
#include "src/report/wrap.h"
#include "src/store/field.h"

#include <string.h>

const char *hours_text(double hours, char text[HOURS_TEXT]) {
  if (hours < 1.0 / 60)
    snprintf(text, HOURS_TEXT, "%.0f s", 3600 * hours);
  else if (hours < 1)
    snprintf(text, HOURS_TEXT, "%.1f min", 60 * hours);
  else
    snprintf(text, HOURS_TEXT, hours < 1000 ? "%.1f h" : "%.0f h", hours);
  return text;
}

/* "21.0 M trained of 115.3 M" where some are frozen. */
static void put_parameters(Sheet *sheet, int r, const json_t *row) {
  double all = field_number(row, "parameters"), trained = field_number(row, "trained");
  double unit = all < 1e6 ? 1e3 : 1e6;
  const char *name = all < 1e6 ? "k" : "M";
  if (trained == all)
    sheet_set(sheet, r, 1, "%.0f", all);
  else
    sheet_set(sheet, r, 1, "%.1f %s trained of %.1f %s", trained / unit, name, all / unit, name);
}

/* As papers print it, to two digits behind the point, of little work to three that count. */
static void put_macs(Sheet *sheet, int r, int column, const json_t *row) {
  double giga = field_number(row, "macs") / 1e9;
  sheet_set(sheet, r, column, giga < 1 ? "%.3g" : "%.2f", giga);
}

/* "97, kept 110" where blocks compute again what would take that much. */
static void put_training(Sheet *sheet, int r, int column, const json_t *row) {
  double bytes = field_number(row, "train_bytes");
  if (json_object_get(row, "kept_bytes"))
    sheet_set(sheet, r, column, "%.0f, kept %.0f", bytes / 0x1p20,
              field_number(row, "kept_bytes") / 0x1p20);
  else
    sheet_set(sheet, r, column, "%.0f", bytes / 0x1p20);
}

static bool any_kept(const json_t *rows) {
  const json_t *row;
  size_t i;
  json_array_foreach(rows, i, row) if (json_object_get(row, "kept_bytes")) return true;
  return false;
}

static Sheet gpu_sheet(const json_t *rows) {
  static const char *const heads[] = {"variant",      "parameters",        "weights MiB",
                                      "GFLOP a step", "least GB a step",   "launches",
                                      "training MiB", "of it scratch MiB", "inference MiB"};
  int count = (int)json_array_size(rows), columns = sizeof heads / sizeof *heads;
  Sheet sheet = sheet_make(count + 1, columns);
  for (int i = 0; i < columns; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  for (int i = 0; i < count; i++) {
    const json_t *row = json_array_get(rows, (size_t)i);
    sheet_set(&sheet, i + 1, 0, "%s", json_string_value(json_object_get(row, "label")));
    put_parameters(&sheet, i + 1, row);
    sheet_set(&sheet, i + 1, 2, "%.1f", field_number(row, "weight_bytes") / 0x1p20);
    sheet_set(&sheet, i + 1, 3, "%.1f", field_number(row, "flops") / 1e9);
    sheet_set(&sheet, i + 1, 4, "%.1f", field_number(row, "least_bytes") / 1e9);
    sheet_set(&sheet, i + 1, 5, "%.0f", field_number(row, "launches"));
    put_training(&sheet, i + 1, 6, row);
    sheet_set(&sheet, i + 1, 7, "%.0f", field_number(row, "scratch_bytes") / 0x1p20);
    sheet_set(&sheet, i + 1, 8, "%.0f", field_number(row, "infer_bytes") / 0x1p20);
  }
  return sheet;
}

static void gpu_print(const json_t *estimate, FILE *out) {
  Sheet sheet = gpu_sheet(json_object_get(estimate, "rows"));
  fprintf(out, "%s, scale %s, planned for one %s\n\n",
          json_string_value(json_object_get(estimate, "experiment")),
          json_string_value(json_object_get(estimate, "scale")),
          json_string_value(json_object_get(estimate, "gpu")));
  sheet_fitted(&sheet, false, out);
  Wrapping wrapping;
  FILE *notes = wrap_begin(&wrapping, out);
  fprintf(notes,
          "\n  training: arena, weights, gradients, the optimiser's states, batches to come, of "
          "%.0f MiB; the "
          "driver's and the libraries' own memory comes on top\n"
          "  scratch: the most that one node's kernels take beside its operands: cuDNN's "
          "workspaces as its engines ask for, cuBLASLt's at the most it may take\n"
          "  least GB: each operand of each node moved once; launches: without the optimiser's\n",
          field_number(estimate, "gpu_bytes") / 0x1p20);
  wrap_end(&wrapping);
  sheet_free(&sheet);
}

static void put_row(Sheet *sheet, int r, const json_t *row) {
  bool measured = !strcmp(field_text(row, "from"), "measured");
  char time[32];
  hours_text(field_number(row, "hours"), time);
  put_parameters(sheet, r, row);
  sheet_set(sheet, r, 2, "%.1f", field_number(row, "weight_bytes") / 0x1p20);
  put_macs(sheet, r, 3, row);
  sheet_set(sheet, r, 4, "%.1f", field_number(row, "flops") / 1e9);
  put_training(sheet, r, 5, row);
  sheet_set(sheet, r, 6, "%.0f", field_number(row, "infer_bytes") / 0x1p20);
  sheet_set(sheet, r, 7, measured ? "%.3f" : "~%.1f", field_number(row, "step_s"));
  sheet_set(sheet, r, 8, measured ? "%s" : "~%s", time);
}

/* Below the table; how many rows have no numbers. */
static int print_unknown(const json_t *rows, FILE *out) {
  int count = 0;
  const json_t *row;
  size_t i;
  json_array_foreach(rows, i, row) {
    const char *why = field_text_if(row, "not_estimated");
    if (why[0])
      fprintf(out, "%s  %s is not estimated: %s\n", count++ ? "" : "\n", field_text(row, "label"),
              why);
  }
  return count;
}

static int count_starts(const json_t *rows) {
  const json_t *row;
  size_t i;
  int count = 0;
  json_array_foreach(rows, i, row) count += json_is_true(json_object_get(row, "start"));
  return count;
}

static Sheet sheet_of(const json_t *rows) {
  static const char *const heads[] = {"variant",       "parameters",   "weights MiB",
                                      "GMAC",          "GFLOP a step", "training MiB",
                                      "inference MiB", "step s",       "training time"};
  int count = (int)json_array_size(rows), columns = sizeof heads / sizeof *heads;
  Sheet sheet = sheet_make(count + 1, columns);
  for (int i = 0; i < columns; i++) sheet_set(&sheet, 0, i, "%s", heads[i]);
  for (int i = 0; i < count; i++) {
    const json_t *row = json_array_get(rows, (size_t)i);
    sheet_set(&sheet, i + 1, 0, "%s", json_string_value(json_object_get(row, "label")));
    for (int c = 1; c < columns; c++) sheet_set(&sheet, i + 1, c, "-");
    if (!field_text_if(row, "not_estimated")[0]) put_row(&sheet, i + 1, row);
  }
  return sheet;
}

/* What the table says, below it. */
static void print_notes(const json_t *estimate, int known, int starts, FILE *to) {
  const json_t *rows = json_object_get(estimate, "rows"), *rate = json_object_get(estimate, "rate");
  int seeds = field_whole(estimate, "seeds");
  double load[1] = {0};
  char total[HOURS_TEXT];
  hours_text(field_number(estimate, "hours"), total);
  Wrapping wrapping;
  FILE *out = wrap_begin(&wrapping, to);
  fprintf(out, "\n  one trial a line; all %d variant%s with %d seed%s", known,
          known == 1 ? "" : "s", seeds, seeds == 1 ? "" : "s");
  if (starts) fprintf(out, " and %d trial%s to start from", starts, starts == 1 ? "" : "s");
  if (json_object_get(estimate, "tries"))
    fprintf(out, " and %d tries of rates before", field_whole(estimate, "tries"));
  fprintf(out, ": %s, one trial at a time\n", total);
  fprintf(out, "  training: arena, weights, gradients, the optimiser's states; inference: of one "
               "patch; times are of the training steps, without validation\n"
               "  GMAC: multiply-adds of one patch's inference, as fvcore counts what papers call "
               "FLOPs\n");
  if (any_kept(rows)) fprintf(out, "  kept: what training would take without recompute\n");
  if (rate)
    fprintf(out,
            "  ~ from a rate of %.0f GFLOP/s (%s): the step itself is too large to be timed "
            "here\n",
            field_number(rate, "gflops"), json_string_value(json_object_get(rate, "from")));
  else
    fprintf(out, "  every step was timed here, on noise\n");
  if (getloadavg(load, 1) == 1 && load[0] > environment_cores() + 1)
    fprintf(out, "  the machine is busy (load %.1f): on a quiet one these times are shorter\n",
            load[0]);
  wrap_end(&wrapping);
}

void estimate_print(const json_t *estimate, FILE *out) {
  if (json_object_get(estimate, "gpu")) {
    gpu_print(estimate, out);
    return;
  }
  const json_t *rows = json_object_get(estimate, "rows");
  Sheet sheet = sheet_of(rows);
  int threads = field_whole(estimate, "threads");
  fprintf(out, "%s, scale %s, %d thread%s\n\n",
          json_string_value(json_object_get(estimate, "experiment")),
          json_string_value(json_object_get(estimate, "scale")), threads, threads == 1 ? "" : "s");
  sheet_fitted(&sheet, false, out);
  sheet_free(&sheet);
  int starts = count_starts(rows);
  int known = (int)json_array_size(rows) - print_unknown(rows, out) - starts;
  if (!known) return;
  print_notes(estimate, known, starts, out);
}
