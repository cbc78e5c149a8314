#include "src/report/wrap.h"

#include "base/error.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MOST = 80, LEAST = 40 };

int wrap_width(FILE *out) {
  struct winsize size = {0};
  int file = fileno(out);
  if (file < 0 || !isatty(file)) return 0;
  bool known = ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return !known || size.ws_col > MOST ? MOST : size.ws_col < LEAST ? LEAST : size.ws_col;
}

static void wrap_line(const char *line, size_t bytes, int width, FILE *out) {
  size_t indent = strspn(line, " ");
  int column = 0;
  for (size_t at = indent < bytes ? indent : bytes; at < bytes;) {
    size_t word = strcspn(line + at, " \n"), blanks = strspn(line + at + word, " ");
    int room = utf8_width(line + at, word);
    bool breaks = column > (int)indent + 2 && column + 1 + room > width;
    if (breaks) fputc('\n', out);
    if (breaks || column == 0) {
      column = (int)indent + (breaks ? 2 : 0);
      fprintf(out, "%*s", column, "");
    } else {
      fputc(' ', out);
      column++;
    }
    fwrite(line + at, 1, word, out);
    column += room;
    at += word + blanks;
  }
  fputc('\n', out);
}

void wrap_text(const char *text, int width, FILE *out) {
  if (!width) fputs(text, out);
  while (width && *text) {
    size_t bytes = strcspn(text, "\n");
    if (utf8_width(text, bytes) > width)
      wrap_line(text, bytes, width, out);
    else
      fprintf(out, "%.*s\n", (int)bytes, text);
    text += bytes + (text[bytes] == '\n');
  }
}

FILE *wrap_begin(Wrapping *w, FILE *out) {
  *w = (Wrapping){.out = out};
  if (!wrap_width(out)) return out;
  w->memory = open_memstream(&w->text, &w->bytes);
  CHECK(w->memory, "no memory for lines");
  return w->memory;
}

void wrap_end(Wrapping *w) {
  if (!w->memory) return;
  CHECK(fclose(w->memory) == 0 && w->text, "no memory for lines");
  wrap_text(w->text, wrap_width(w->out), w->out);
  free(w->text);
}
