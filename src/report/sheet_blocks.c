/* A wide sheet for narrow screens. */
#include "src/report/sheet.h"

#include "base/error.h"
#include "base/utf8.h"
#include "src/report/wrap.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2 };

/* How a column is set: characters of its figures and of the marks behind them. */
typedef struct Setting {
  int body, mark;
  bool words;
} Setting;

static int characters(const char *text, const char *end) {
  return utf8_width(text, (size_t)(end - text));
}

/* Where "[1][2]" behind a cell's text begins; its end when there is none. */
static const char *marks_of(const char *cell) {
  const char *end = cell + strlen(cell), *at = end;
  while (at > cell && at[-1] == ']') {
    const char *open = at - 1;
    while (open > cell && isdigit((unsigned char)open[-1])) open--;
    if (open == at - 1 || open == cell || open[-1] != '[') break;
    at = open - 1;
  }
  return at;
}

/* 12, 1e-4, 0.762[1], 0.62+ */
static bool is_number(const char *cell) {
  char *end;
  strtod(cell, &end);
  return end > cell && (!*end || strchr("+-[", *end));
}

static Setting setting_of(const Sheet *sheet, int column) {
  Setting s = {0, 0, false};
  int numbers = 0, words = 0;
  for (int row = 0; row < sheet->rows; row++) {
    const char *cell = sheet_get(sheet, row, column), *marks = marks_of(cell);
    int body = characters(cell, marks), mark = characters(marks, marks + strlen(marks));
    if (body > s.body) s.body = body;
    if (mark > s.mark) s.mark = mark;
    if (row == 0 || !strcmp(cell, "-")) continue;
    numbers += is_number(cell);
    words += !is_number(cell);
  }
  s.words = column == 0 || words > numbers;
  return s;
}

static void put_blanks(int count, FILE *out) {
  fprintf(out, "%*s", count > 0 ? count : 0, "");
}

/* Without blanks at the end of a line. */
static void put_cell(const char *cell, const Setting *s, bool last, FILE *out) {
  const char *marks = marks_of(cell);
  int body = characters(cell, marks), all = characters(cell, cell + strlen(cell));
  if (!s->words) put_blanks(s->body - body, out);
  fputs(cell, out);
  int used = s->words ? all : s->body + all - body;
  if (!last) put_blanks(s->body + s->mark - used + GAP, out);
}

static int room_of(const Setting *s) {
  return s->body + s->mark + GAP;
}

/* Behind the columns that belong together from this one on. */
static int run_end(const char *const *group, int column, int columns) {
  int end = column + 1;
  while (group && group[column][0] && end < columns && !strcmp(group[end], group[column])) end++;
  return end;
}

/* Behind the last column of the block that begins with this one. */
static int block_end(const Setting *setting, const char *const *group, int first, int columns,
                     int width) {
  int used = room_of(&setting[0]) - GAP, end = first;
  while (end < columns) {
    int next = run_end(group, end, columns), wide = 0;
    for (int k = end; k < next; k++) wide += room_of(&setting[k]);
    if (used + wide > width && end == first) { /* too many to stand together, or alone too wide */
      for (next = end + 1, wide = room_of(&setting[end]); next < columns; next++) {
        if (used + wide + room_of(&setting[next]) > width) break;
        wide += room_of(&setting[next]);
      }
      return next;
    }
    if (used + wide > width) break;
    used += wide;
    end = next;
  }
  return end;
}

static void put_groups(const Setting *setting, const char *const *group, int first, int end,
                       FILE *out) {
  bool any = false;
  for (int k = first; group && k < end; k++) any = any || group[k][0];
  if (!any) return;
  int owed = room_of(&setting[0]); /* blanks before what comes next */
  for (int k = first; k < end; k++) {
    if (group[k][0] && (k == first || strcmp(group[k], group[k - 1]) != 0)) {
      put_blanks(owed, out);
      fputs(group[k], out);
      owed = -characters(group[k], group[k] + strlen(group[k]));
    }
    owed += room_of(&setting[k]);
  }
  fputc('\n', out);
}

static void put_line(const Sheet *sheet, const Setting *setting, int row, int first, int end,
                     FILE *out) {
  put_cell(sheet_get(sheet, row, 0), &setting[0], first >= end, out);
  for (int k = first; k < end; k++)
    put_cell(sheet_get(sheet, row, k), &setting[k], k == end - 1, out);
  fputc('\n', out);
}

static void put_rule(const Setting *setting, int first, int end, FILE *out) {
  for (int k = 0; k < end; k = k ? k + 1 : first) {
    if (k) put_blanks(GAP, out);
    for (int i = room_of(&setting[k]) - GAP; i > 0; i--) fputc('-', out);
  }
  fputc('\n', out);
}

/* A group's name has room above its columns. */
static void widen(Setting *setting, const char *const *group, int columns) {
  for (int k = 1, end; k < columns; k = end) {
    end = run_end(group, k, columns);
    int room = -GAP, name = characters(group[k], group[k] + strlen(group[k]));
    for (int i = k; i < end; i++) room += room_of(&setting[i]);
    if (name > room) setting[end - 1].mark += name - room;
  }
}

void sheet_blocks(const Sheet *sheet, const char *const *group, int width, FILE *out) {
  Setting setting[sheet->columns];
  for (int k = 0; k < sheet->columns; k++) setting[k] = setting_of(sheet, k);
  if (group) widen(setting, group, sheet->columns);
  for (int first = 1, end; first < sheet->columns; first = end) {
    end = block_end(setting, group, first, sheet->columns, width);
    if (first > 1) fputc('\n', out);
    put_groups(setting, group, first, end, out);
    for (int row = 0; row < sheet->rows; row++) {
      put_line(sheet, setting, row, first, end, out);
      if (row == 0) put_rule(setting, first, end, out);
    }
  }
}

static int sheet_width(const Sheet *sheet) {
  int used = -GAP;
  for (int column = 0; column < sheet->columns; column++) {
    int widest = 0;
    for (int row = 0; row < sheet->rows; row++) {
      const char *cell = sheet_get(sheet, row, column);
      int wide = utf8_width(cell, strlen(cell));
      if (wide > widest) widest = wide;
    }
    used += widest + GAP;
  }
  return used;
}

void sheet_fitted(const Sheet *sheet, bool text_last, FILE *out) {
  int width = wrap_width(out);
  if (width && sheet_width(sheet) > width)
    sheet_blocks(sheet, NULL, width, out);
  else
    sheet_text(sheet, text_last, out);
}

/* The column with this head, if all its rows have the same; else 0. */
static int column_of_equals(const Sheet *sheet, const char *head) {
  int column = sheet->columns - 1;
  while (column > 0 && strcmp(sheet_get(sheet, 0, column), head) != 0) column--;
  for (int row = 2; row < sheet->rows; row++)
    if (strcmp(sheet_get(sheet, row, column), sheet_get(sheet, 1, column)) != 0) return 0;
  return column;
}

void sheet_narrow(Sheet *sheet, const char *const *told, FILE *out) {
  char *below = NULL;
  size_t bytes = 0;
  bool any = false;
  FILE *notes = open_memstream(&below, &bytes);
  CHECK(notes, "no memory for a table's notes");
  for (; *told && sheet->rows > 1 && sheet_width(sheet) > SHEET_WIDTH; told++) {
    int column = column_of_equals(sheet, *told);
    if (!column) continue;
    fprintf(notes, "%s%s %s", any ? ", " : "in all rows: ", *told, sheet_get(sheet, 1, column));
    sheet_drop(sheet, column);
    any = true;
  }
  if (any) fputc('\n', notes);
  CHECK(fclose(notes) == 0 && below, "no memory for a table's notes");
  if (sheet_width(sheet) > SHEET_WIDTH)
    sheet_blocks(sheet, NULL, SHEET_WIDTH, out);
  else
    sheet_text(sheet, false, out);
  wrap_text(below, SHEET_WIDTH, out);
  free(below);
}
