#include "src/report/written.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "src/report/quote.h"
#include "src/report/table.h"
#include "src/report/wrap.h"

static void print_tex(const Result *result, const Sheet *sheet, Notes *notes, FILE *out) {
  fputs("% needs \\usepackage{booktabs}\n% ", out);
  table_head(result, "; ", out);
  notes(result, "% ", out);
  sheet_tex(sheet, true, out);
}

char *table_text(Notes *print, const Result *result, const char *argument) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&text, &bytes);
  CHECK(memory, "no memory for a table");
  print(result, argument, memory);
  CHECK(fclose(memory) == 0 && text, "no memory for a table");
  return text;
}

void table_wrapped(Notes *print, const Result *result, const char *argument, FILE *out) {
  char *text = table_text(print, result, argument);
  wrap_text(text, wrap_width(out), out);
  free(text);
}

static void put_markdown(const char *before, const char *line, const char *after, FILE *out) {
  fputs(before, out);
  quote_markdown(line, out);
  fputs(after, out);
}

static void print_markdown(const Result *result, const Sheet *sheet, Notes *notes, FILE *out) {
  char *head = table_text(table_head, result, "\n"), *list = table_text(notes, result, "");
  put_markdown("**", strtok(head, "\n"), "**  \n", out);
  put_markdown("", strtok(NULL, "\n"), "\n\n", out);
  sheet_markdown(sheet, true, out);
  fputc('\n', out);
  for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n"))
    put_markdown("- ", line, "\n", out);
  free(head);
  free(list);
}

void table_written(const Result *result, const Sheet *sheet, Notes *notes, const char *format,
                   FILE *out) {
  (strcmp(format, "tex") ? print_markdown : print_tex)(result, sheet, notes, out);
}
