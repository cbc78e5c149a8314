#include "src/report/html.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ------------------------------------------------------------------------------------ */

void html_text(const char *text, FILE *out) {
  static const char special[] = "&<>\"'", *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;",
                                                               "&#39;"};
  while (*text) {
    int length = utf8_length(text);
    const char *found = strchr(special, *text);
    if (length == 0)
      fputs("\xef\xbf\xbd", out);
    else if (found)
      fputs(entities[found - special], out);
    else if ((unsigned char)*text < ' ' && *text != '\n')
      fputc(' ', out);
    else
      fwrite(text, 1, (size_t)length, out);
    text += length ? length : 1;
  }
}

void html_print(FILE *out, const char *format, ...) {
  va_list values, again;
  va_start(values, format);
  va_copy(again, values);
  int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  char *text = length < 0 ? NULL : malloc((size_t)length + 1);
  CHECK(text, "no memory for a text");
  vsnprintf(text, (size_t)length + 1, format, values);
  va_end(values);
  html_text(text, out);
  free(text);
}

void html_lines(const char *lines, FILE *out) {
  fputs("<ul class=\"notes\">\n", out);
  while (*lines) {
    int length = (int)strcspn(lines, "\n");
    fputs("<li>", out);
    html_print(out, "%.*s", length, lines);
    fputs("</li>\n", out);
    lines += length + (lines[length] != 0);
  }
  fputs("</ul>\n", out);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const char *class_of(const char *cell) {
  static const char *const marks[][2] = {
      {"kept", "good"},         {"broken", "bad"},       {"open", "open"},
      {"supported", "good"},    {"contradicted", "bad"}, {"undecided", "open"},
      {"out of reach", "open"}, {"failed", "bad"},       {"oom", "bad"},
      {"timeout", "bad"},       {"collapsed", "bad"},    {"interrupted", "open"},
      {"planned", "open"},      {"missing", "open"},     {"running", "open"},
      {"too few seeds", "open"}};
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
    if (!strcmp(cell, marks[i][0])) return marks[i][1];
  return NULL;
}

static void put_cell(const Sheet *sheet, int row, int column, bool text_last, FILE *out) {
  const char *cell = sheet_get(sheet, row, column), *mark = row ? class_of(cell) : NULL;
  const char *tag = row == 0 ? "th scope=\"col\"" : column == 0 ? "th scope=\"row\"" : "td";
  bool left = column == 0 || (text_last && column == sheet->columns - 1);
  fprintf(out, "<%s class=\"%s%s%s\">", tag, left ? "left" : "", mark ? " " : "", mark ? mark : "");
  html_text(cell, out);
  fprintf(out, "</%.2s>", tag);
}

void html_sheet(const Sheet *sheet, bool text_last, FILE *out) {
  fputs("<div class=\"wide\"><table class=\"sheet\">\n<thead>", out);
  for (int row = 0; row < sheet->rows; row++) {
    if (row == 1) fputs("<tbody>\n", out);
    fputs("<tr>", out);
    for (int column = 0; column < sheet->columns; column++)
      put_cell(sheet, row, column, text_last, out);
    fputs(row ? "</tr>\n" : "</tr></thead>\n", out);
  }
  fputs(sheet->rows > 1 ? "</tbody></table></div>\n" : "</table></div>\n", out);
}

/* ---- pictures -------------------------------------------------------------------------------- */

static char *read_whole(const char *path, size_t *bytes, Error *error) {
  FILE *file = fopen(path, "rb");
  long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
  char *content = size < 0 ? NULL : malloc((size_t)size + 1);
  if (content) rewind(file);
  bool good = content && fread(content, 1, (size_t)size, file) == (size_t)size;
  if (!good) fail(error, "%s: the picture cannot be read: %s", path, strerror(errno));
  if (file) fclose(file);
  if (!good) free(content);
  if (!good) return NULL;
  content[size] = 0;
  *bytes = (size_t)size;
  return content;
}

static void base64(const unsigned char *data, size_t bytes, FILE *out) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes; i += 3) {
    size_t left = bytes - i;
    unsigned word = (unsigned)data[i] << 16 | (left > 1 ? (unsigned)data[i + 1] << 8 : 0) |
                    (left > 2 ? (unsigned)data[i + 2] : 0);
    fputc(digits[word >> 18], out);
    fputc(digits[word >> 12 & 63], out);
    fputc(left > 1 ? digits[word >> 6 & 63] : '=', out);
    fputc(left > 2 ? digits[word & 63] : '=', out);
  }
}

/* Where an id is given or named; the id follows the text. */
static const char *const id_places[] = {" id=\"", " id='", "href=\"#", "href='#", "url(#"};

static const char *id_place(const char *at) {
  for (size_t i = 0; i < sizeof id_places / sizeof *id_places; i++)
    if (!strncmp(at, id_places[i], strlen(id_places[i]))) return id_places[i];
  return NULL;
}

static void put_svg(const char *svg, const char *caption, int figure, FILE *out) {
  const char *from = strstr(svg, "<svg");
  if (!from) from = svg;
  if (!strncmp(from, "<svg", 4)) {
    fputs("<svg role=\"img\" aria-label=\"", out);
    html_text(caption, out);
    fputs("\" ", out);
    from += 4;
  }
  const char *drop = strstr(from, "<title>Gnuplot</title>"); /* a tooltip over the whole picture */
  for (bool tag = true; *from; tag = *from == '<' || (tag && *from != '>'), from++) {
    if (from == drop) from += strlen("<title>Gnuplot</title>");
    const char *place = tag ? id_place(from) : NULL;
    if (!place) {
      fputc(*from, out);
      continue;
    }
    fprintf(out, "%sf%d-", place, figure);
    from += strlen(place) - 1;
  }
}

static void put_png(const char *data, size_t bytes, const char *caption, FILE *out) {
  fputs("<img alt=\"", out);
  html_text(caption, out);
  fputs("\" src=\"data:image/png;base64,", out);
  base64((const unsigned char *)data, bytes, out);
  fputs("\">\n", out);
}

bool html_picture(const char *path, const char *caption, int figure, FILE *out, Error *error) {
  size_t bytes, length = strlen(path);
  char *content = read_whole(path, &bytes, error);
  if (!content) return false;
  fputs("<figure><div class=\"paper\">\n", out);
  if (length > 4 && !strcmp(path + length - 4, ".png"))
    put_png(content, bytes, caption, out);
  else
    put_svg(content, caption, figure, out);
  fputs("</div><figcaption>", out);
  html_print(out, "Figure %d: %s", figure, caption);
  fputs("</figcaption></figure>\n", out);
  free(content);
  return true;
}

/* ---- the frame ------------------------------------------------------------------------------- */

/* The frame of a page: its style. Colours are named once for light and once for dark; print is
 * always light. Pictures keep a white ground, for which their colours are made. */

static const char colours[] =
    ":root{color-scheme:light dark;--ground:#fff;--ink:#1b1f24;--faint:#57606a;--line:#d0d7de;"
    "--band:#f6f8fa;--link:#0550ae;--good:#116329;--bad:#a40e26;--open:#7d4e00}\n"
    "@media(prefers-color-scheme:dark){:root{--ground:#0d1117;--ink:#e6edf3;--faint:#9da7b3;"
    "--line:#3d444d;--band:#161b22;--link:#79b8ff;--good:#56d364;--bad:#ff938a;--open:#e3b341}}\n";

static const char layout[] =
    "*{box-sizing:border-box}\n"
    "body{background:var(--ground);color:var(--ink);margin:2rem auto;padding:0 1.2rem;"
    "max-width:70rem;font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",\"Liberation Sans\","
    "sans-serif}\n"
    "h1{font-size:1.7rem;margin:0 0 .3rem}h2{font-size:1.35rem;margin:2.6rem 0 .6rem;"
    "border-bottom:1px solid var(--line);padding-bottom:.2rem}h3{font-size:1.12rem;margin:2rem 0 "
    ".3rem}\n"
    "a{color:var(--link)}p{margin:.5rem 0}.faint,.notes,figcaption{color:var(--faint);"
    "font-size:.88rem}.notes{padding-left:1.2rem;margin:.6rem 0}\n"
    "nav a{margin-right:1rem;white-space:nowrap}\n"
    ".wide{overflow-x:auto;margin:.7rem 0}table{border-collapse:collapse;font-size:.88rem;"
    "font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right;"
    "vertical-align:top}thead th{background:var(--band);font-weight:600;vertical-align:bottom}"
    "tbody th{font-weight:400}.left{text-align:left}.sheet td{white-space:nowrap}\n"
    ".good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}"
    ".open{color:var(--open)}\n"
    "code,pre{font:.85em/1.45 ui-monospace,\"DejaVu Sans Mono\",monospace;background:var(--band);"
    "border-radius:3px}code{padding:.1em .3em;overflow-wrap:anywhere}pre{padding:.7rem;"
    "overflow-x:auto;white-space:pre-wrap}\n"
    "figure{margin:1.2rem 0}.paper{background:#fff;border:1px solid var(--line);padding:.4rem;"
    "border-radius:4px}.paper svg,.paper img{display:block;max-width:100%;height:auto;margin:auto}"
    "\n"
    "details{margin:.5rem 0}summary{cursor:pointer;color:var(--link)}\n";

static const char print[] =
    "@page{size:A4;margin:15mm 13mm}\n"
    "@media(max-width:45rem){.paper{overflow-x:auto}"
    ".paper svg,.paper img{max-width:none;width:44rem}}"
    "@media print{:root{color-scheme:light;--ground:#fff;--ink:#000;--faint:#333;--line:#999;"
    "--band:#eee;--link:#000;--good:#0b4d1d;--bad:#8b0a1f;--open:#5c3900}\n"
    "body{margin:0;padding:0;max-width:none;font-size:10pt}nav{display:none}a{text-decoration:none}"
    "h2,.result{break-before:page}h2.first,h2+.result{break-before:auto}h2,h3{break-after:avoid}"
    "table{font-size:7.6pt}.config table{table-layout:fixed;width:100%}th,td{padding:2pt 4pt}"
    "thead{display:table-header-group}tr,figure,.notes li{break-inside:avoid}"
    ".wide,pre{overflow:visible}.paper{border:0;padding:0}.paper svg,.paper img{max-height:225mm}\n"
    ".paper img{max-height:112mm}details:not([open]){display:none}}\n";

void html_open(const char *title, FILE *out) {
  fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
        "name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
        out);
  html_text(title, out);
  fprintf(out, "</title>\n<style>\n%s%s%s</style>\n</head>\n<body>\n", colours, layout, print);
}

void html_close(FILE *out) {
  fputs("</body>\n</html>\n", out);
}
