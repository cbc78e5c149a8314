#include "src/report/quote.h"

#include "base/utf8.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int plain(char c) {
  return (unsigned char)c < ' ' ? ' ' : c;
}

void quote_line(const char *text, FILE *out) {
  for (; *text; text++) fputc(plain(*text), out);
}

void quote_wrapped(const char *first, const char *rest, const char *text, int width, FILE *out) {
  int used = utf8_width(first, strlen(first));
  bool fresh = true; /* no word on this line yet */
  fputs(first, out);
  while (*text) {
    size_t blanks = strspn(text, " "), bytes = strcspn(text + blanks, " ");
    int wide = utf8_width(text + blanks, bytes);
    if (!fresh && used + 1 + wide > width) {
      fprintf(out, "\n%s", rest);
      used = utf8_width(rest, strlen(rest));
      fresh = true;
    }
    if (!fresh) fputc(' ', out);
    for (size_t i = 0; i < bytes; i++) fputc(plain(text[blanks + i]), out);
    used += wide + !fresh;
    fresh = false;
    text += blanks + bytes;
  }
  fputc('\n', out);
}

/* Brackets mean something where a link follows only; escaped everywhere they would be hard to
 * read. */
void quote_markdown(const char *text, FILE *out) {
  for (; *text; text++) {
    bool link = *text == '[' && strstr(text, "](");
    if (link || strchr("\\`*_<|~$&", *text)) fputc('\\', out);
    fputc(plain(*text), out);
  }
}

/* =f(x), @f(x), and behind a sign all in which a name stands: "-0.02 ± 0.01" is none. */
static bool is_formula(const char *text) {
  text += strspn(text, " \t\r\n");
  if (*text == '=' || *text == '@') return true;
  if (*text != '+' && *text != '-') return false;
  char *end;
  strtod(text, &end);
  if (!*end) return false;
  while (*text && !isalpha((unsigned char)*text)) text++;
  return *text != 0;
}

void quote_csv(const char *text, FILE *out) {
  bool quoted = strpbrk(text, ",\"\r\n") != NULL;
  if (quoted) fputc('"', out);
  if (is_formula(text)) fputc('\'', out);
  for (; *text; text++) {
    if (*text == '"') fputc('"', out);
    fputc(*text, out);
  }
  if (quoted) fputc('"', out);
}

static bool is_word(const char *text) {
  const char *at = text;
  while (isalnum((unsigned char)*at) || (*at && strchr("_-+=:,./@%", *at)) || (*at & 0x80)) at++;
  return *text && !*at;
}

void quote_shell(const char *text, FILE *out) {
  if (is_word(text)) {
    fputs(text, out);
    return;
  }
  fputc('\'', out);
  for (; *text; text++) fputs(*text == '\'' ? "'\\''" : (char[]){*text, 0}, out);
  fputc('\'', out);
}
