/* The frame of a page: its style. Colours are named once for light and once for dark; print is
 * always light. Pictures keep a white ground, for which their colours are made. */
#include "src/report/html.h"

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
