/* Figures of single structures, the paper's beside ours. */
#include "src/report/table.h"

#include <math.h>
#include <string.h>

#include "src/report/paper_marks.h"

const char TABLE_PAPER[] = "paper";

/* The paper has a figure of some structure in this row. */
static bool has_paper(const Result *result, int row) {
  for (int i = 0; i < result->labels; i++)
    if (result->label[i].position == result->row[row].position &&
        !isnan(paper_figure(result, &result->row[row], result->label[i].name)))
      return true;
  return false;
}

/* Heads, and of each row the column of ours, that of the paper's behind it. */
static void put_heads(const Result *result, Sheet *sheet, const int *own) {
  bool wide = result->rows > 8;
  for (int i = 0; i < result->rows; i++) wide = wide || strlen(result->row[i].label) > 24;
  for (int i = 0; i < result->rows; i++) { /* columns as wide as such names would be unreadable */
    sheet_set(sheet, 0, own[i], "%s", result->row[i].label);
    if (wide) sheet_set(sheet, 0, own[i], "row %d", i + 1);
    if (own[i + 1] - own[i] > 1) sheet_set(sheet, 0, own[i] + 1, TABLE_PAPER);
  }
}

static void put_item(const Result *result, Sheet *sheet, int line, const int *own, int k,
                     const ResultLabel *item) {
  char marks[PAPER_MARKS];
  const ResultRow *row = &result->row[k];
  double paper = paper_figure(result, row, item->name);
  if (!isnan(item->mean))
    sheet_set(sheet, line, own[k], "%.3f%s", item->mean,
              item->above > 0   ? "+"
              : item->above < 0 ? "-"
                                : "");
  if (own[k + 1] - own[k] > 1 && !isnan(paper))
    sheet_set(sheet, line, own[k] + 1, "%.3f%s", paper,
              paper_marks(result, row, item->name, marks));
}

/* One line a label, one column a row of the table; the list is ordered by label. */
Sheet table_labels(const Result *result) {
  int lines = 0, own[result->rows + 1];
  for (int i = 0; i < result->labels; i++)
    lines += i == 0 || result->label[i].label != result->label[i - 1].label;
  own[0] = 1;
  for (int i = 0; i < result->rows; i++) own[i + 1] = own[i] + (has_paper(result, i) ? 2 : 1);
  Sheet sheet = sheet_make(lines + 1, own[result->rows]);
  sheet_set(&sheet, 0, 0, "%s per structure", result_metric(result, (char[RESULT_METRIC]){""}));
  put_heads(result, &sheet, own);
  for (int line = 1; line <= lines; line++)
    for (int i = 1; i < sheet.columns; i++) sheet_set(&sheet, line, i, "-");
  int line = 0;
  for (int i = 0; i < result->labels; i++) {
    const ResultLabel *item = &result->label[i];
    line += i == 0 || item->label != item[-1].label;
    sheet_set(&sheet, line, 0, "%s", item->name);
    for (int k = 0; k < result->rows; k++)
      if (result->row[k].position == item->position) put_item(result, &sheet, line, own, k, item);
  }
  return sheet;
}
