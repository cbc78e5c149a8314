#include "src/report/sheet.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "src/report/quote.h"

Sheet sheet_make(int rows, int columns) {
  Sheet sheet = {rows, columns, calloc((size_t)(rows * columns), SHEET_CELL)};
  CHECK(sheet.cell, "no memory for a table");
  return sheet;
}

void sheet_free(Sheet *sheet) {
  free(sheet->cell);
  sheet->cell = NULL;
}

void sheet_trim(char *text) {
  size_t length = strlen(text), back = 0;
  while (back < 3 && back < length && ((unsigned char)text[length - 1 - back] & 0xc0) == 0x80)
    back++;
  unsigned char first = back < length ? (unsigned char)text[length - 1 - back] : 0;
  size_t wanted = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
  if (wanted > back) text[length - 1 - back] = 0;
}

void sheet_set(Sheet *sheet, int row, int column, const char *format, ...) {
  va_list values;
  va_start(values, format);
  char *cell = sheet->cell[row * sheet->columns + column];
  vsnprintf(cell, SHEET_CELL, format, values);
  va_end(values);
  sheet_trim(cell);
  for (; *cell; cell++)
    if ((unsigned char)*cell < ' ') *cell = ' '; /* a cell is one line in every format */
}

const char *sheet_get(const Sheet *sheet, int row, int column) {
  return sheet->cell[row * sheet->columns + column];
}

static int width(const char *text) {
  return utf8_width(text, strlen(text));
}

static int column_width(const Sheet *sheet, int column) {
  int widest = 0;
  for (int row = 0; row < sheet->rows; row++) {
    int w = width(sheet_get(sheet, row, column));
    if (w > widest) widest = w;
  }
  return widest;
}

static bool to_left(const Sheet *sheet, int column, bool text_last) {
  return column == 0 || (text_last && column == sheet->columns - 1);
}

static void padded(const char *text, int room, bool left, bool last, FILE *out) {
  int blank = room - width(text);
  if (!left) fprintf(out, "%*s", blank, "");
  fputs(text, out);
  if (left && !last) fprintf(out, "%*s", blank, "");
}

static bool is_empty(const Sheet *sheet, int column) {
  for (int row = 1; row < sheet->rows; row++) {
    const char *cell = sheet_get(sheet, row, column);
    if (cell[0] && strcmp(cell, "-") != 0) return false;
  }
  return true;
}

void sheet_drop(Sheet *sheet, int column) {
  Sheet kept = sheet_make(sheet->rows, sheet->columns - 1);
  for (int row = 0; row < kept.rows; row++)
    for (int at = 0; at < kept.columns; at++)
      strcpy(kept.cell[row * kept.columns + at], sheet_get(sheet, row, at + (at >= column)));
  sheet_free(sheet);
  *sheet = kept;
}

void sheet_drop_empty(Sheet *sheet) {
  for (int column = sheet->columns - 1; sheet->rows > 1 && column > 0; column--)
    if (is_empty(sheet, column)) sheet_drop(sheet, column);
}

void sheet_text(const Sheet *sheet, bool text_last, FILE *out) {
  for (int row = 0; row < sheet->rows; row++) {
    for (int column = 0; column < sheet->columns; column++) {
      bool last = column == sheet->columns - 1;
      padded(sheet_get(sheet, row, column), column_width(sheet, column),
             to_left(sheet, column, text_last), last, out);
      fputs(last ? "\n" : "  ", out);
    }
    for (int column = 0; row == 0 && column < sheet->columns; column++) {
      for (int i = column_width(sheet, column); i > 0; i--) fputc('-', out);
      fputs(column == sheet->columns - 1 ? "\n" : "  ", out);
    }
  }
}

void sheet_markdown(const Sheet *sheet, bool text_last, FILE *out) {
  for (int row = 0; row < sheet->rows; row++) {
    for (int column = 0; column < sheet->columns; column++) {
      fputs("| ", out);
      quote_markdown(sheet_get(sheet, row, column), out);
      fputc(' ', out);
    }
    fputs("|\n", out);
    for (int column = 0; row == 0 && column < sheet->columns; column++)
      fputs(to_left(sheet, column, text_last) ? "|---" : "|---:", out);
    if (row == 0) fputs("|\n", out);
  }
}

void sheet_csv(const Sheet *sheet, FILE *out) {
  for (int row = 0; row < sheet->rows; row++) {
    for (int column = 0; column < sheet->columns; column++) {
      quote_csv(sheet_get(sheet, row, column), out);
      fputs(column == sheet->columns - 1 ? "\r\n" : ",", out);
    }
  }
}

/* What TeX or its fonts would not set as it stands. */
static const char *const tex_forms[][2] = {
    {"\\", "\\textbackslash{}"},
    {"~", "\\textasciitilde{}"},
    {"^", "\\textasciicircum{}"},
    {"<", "\\textless{}"},
    {">", "\\textgreater{}"},
    {"|", "\\textbar{}"},
    {"\"", "''"},
    {"&", "\\&"},
    {"%", "\\%"},
    {"$", "\\$"},
    {"#", "\\#"},
    {"_", "\\_"},
    {"{", "\\{"},
    {"}", "\\}"},
    {"±", "$\\pm$"},
    {"×", "$\\times$"},
    {"µ", "$\\mu$"},
    {"–", "--"},
    {"—", "---"},
    {"…", "\\dots{}"},
    {"≤", "$\\leq$"},
    {"≥", "$\\geq$"},
    {"→", "$\\rightarrow$"},
};

/* What pdflatex knows without a package: Latin letters up to U+017F, two bytes each. */
static bool tex_knows(const char *text) {
  unsigned char first = (unsigned char)*text;
  return first < 0x80 || (first >= 0xc3 && first <= 0xc5);
}

static const char *tex_form(const char *text, size_t *length) {
  for (size_t i = 0; i < sizeof tex_forms / sizeof *tex_forms; i++) {
    *length = strlen(tex_forms[i][0]);
    if (!strncmp(text, tex_forms[i][0], *length)) return tex_forms[i][1];
  }
  *length = 1;
  while (((unsigned char)text[*length] & 0xc0) == 0x80) (*length)++;
  return tex_knows(text) ? NULL : "?";
}

/* Writes text with what TeX would read as a command made harmless. */
static void tex_text(const char *text, FILE *out) {
  /* At the start of a row TeX would take them for options of the line break before it. */
  if (*text == '[' || *text == '*') fputs("{}", out);
  for (size_t length; *text; text += length) {
    const char *form = tex_form(text, &length);
    bool minus = *text == '-' && text[1] >= '0' && text[1] <= '9';
    if (minus)
      fputs("$-$", out);
    else if (form)
      fputs(form, out);
    else
      fwrite(text, 1, length, out);
  }
}

void sheet_tex(const Sheet *sheet, bool text_last, FILE *out) {
  fputs("\\begin{tabular}{", out);
  for (int column = 0; column < sheet->columns; column++)
    fputc(to_left(sheet, column, text_last) ? 'l' : 'r', out);
  fputs("}\n\\toprule\n", out);
  for (int row = 0; row < sheet->rows; row++) {
    for (int column = 0; column < sheet->columns; column++) {
      tex_text(sheet_get(sheet, row, column), out);
      fputs(column == sheet->columns - 1 ? " \\\\\n" : " & ", out);
    }
    if (row == 0) fputs("\\midrule\n", out);
  }
  fputs("\\bottomrule\n\\end{tabular}\n", out);
}
