/* The report's front page: which claims held. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/report/html.h"
#include "src/report/report.h"
#include "src/report/sheet.h"
#include "src/statistics/family.h"
#include "src/store/field.h"

void report_title(const ReportExperiment *e, char *text, size_t bytes) {
  const char *title = e->result ? e->result->title : field_text(e->wanted, "title");
  int table =
      e->result ? e->result->table : (int)json_integer_value(json_object_get(e->wanted, "table"));
  if (table)
    snprintf(text, bytes, "Table %d: %s", table, title);
  else
    snprintf(text, bytes, "%s", title);
}

/* How many verdicts of each kind: on the paper's claims, and on what is asked beside them. */
typedef struct Totals {
  int claims[CLAIMS], questions[CLAIMS];
} Totals;

static Claim verdict_of(const ResultRow *row) {
  for (int c = CLAIM_NONE + 1; c < CLAIMS; c++)
    if (!strcmp(row->verdict, claim_names[c])) return (Claim)c;
  return CLAIM_NONE;
}

static void put_summary_row(Sheet *sheet, int line, const ReportExperiment *e, Totals *total) {
  const Result *result = e->result;
  int count[CLAIMS] = {0}, done = 0, cells = 0;
  char title[160];
  report_title(e, title, sizeof title);
  sheet_set(sheet, line, 0, "%s", title);
  for (int i = 0; result && i < result->rows; i++) {
    const ResultRow *row = &result->row[i];
    Claim verdict = verdict_of(row);
    count[verdict]++;
    (row_question(row) ? total->questions : total->claims)[verdict]++;
    done += result->row[i].status[STATUS_DONE];
    cells += result->row[i].cells;
  }
  bool claims = false;
  for (int c = CLAIM_SUPPORTED; c < CLAIMS; c++) claims = claims || count[c];
  for (int c = CLAIM_SUPPORTED; c < CLAIMS; c++)
    sheet_set(sheet, line, c, claims ? "%d" : "-", count[c]);
  bool tau = result && !isnan(result->tau.value);
  sheet_set(sheet, line, CLAIMS, tau ? "%+.2f" : "-", tau ? result->tau.value : 0);
  sheet_set(sheet, line, CLAIMS + 1, "%s", result ? result->scale : "-");
  sheet_set(sheet, line, CLAIMS + 2, "%d of %d", done, cells);
  if (!result) sheet_set(sheet, line, CLAIMS + 2, "missing");
}

static void put_questions(const int total[CLAIMS], FILE *out) {
  int open = total[CLAIM_UNDECIDED] + total[CLAIM_OUT_OF_REACH];
  int judged = total[CLAIM_DIFFERS] + open;
  if (judged)
    fprintf(out,
            "<p>Asked beside the paper's claims: of %d row%s <b class=\"open\">%d differ%s</b> "
            "from what they are compared with, of %d the table says within which bound they do "
            "not.</p>\n",
            judged, judged == 1 ? "" : "s", total[CLAIM_DIFFERS],
            total[CLAIM_DIFFERS] == 1 ? "s" : "", open);
}

static void put_verdicts(const int total[CLAIMS], FILE *out) {
  int judged = total[CLAIM_SUPPORTED] + total[CLAIM_CONTRADICTED] + total[CLAIM_UNDECIDED] +
               total[CLAIM_OUT_OF_REACH];
  if (judged)
    fprintf(out,
            "<p>Of %d claim%s that could be judged here, <b class=\"good\">%d supported</b>, "
            "<b class=\"bad\">%d contradicted</b>, <b class=\"open\">%d undecided</b>, "
            "<b class=\"open\">%d out of reach</b>.</p>\n",
            judged, judged == 1 ? "" : "s", total[CLAIM_SUPPORTED], total[CLAIM_CONTRADICTED],
            total[CLAIM_UNDECIDED], total[CLAIM_OUT_OF_REACH]);
  else
    fputs("<p><b class=\"open\">No claim could be judged here yet.</b></p>\n", out);
  if (total[CLAIM_TOO_FEW])
    fprintf(out, "<p>%d claim%s too few seeds: a verdict needs %d trials a row.</p>\n",
            total[CLAIM_TOO_FEW], total[CLAIM_TOO_FEW] == 1 ? " has" : "s have", SEEDS_VERDICT);
}

typedef struct Pair {
  const ResultRow *row, *against;
} Pair;

/* The paper's claims of all tables at once: a pair of configurations counts once. */
static void put_family(const Report *report) {
  int most = 0, claims = 0, held[CLAIMS] = {0};
  for (int e = 0; e < report->experiments; e++)
    most += report->experiment[e].result ? report->experiment[e].result->rows : 0;
  Pair *claim = calloc((size_t)most + 1, sizeof *claim);
  double *p = calloc((size_t)most + 1, sizeof *p);
  CHECK(claim && p, "no memory for the report");
  for (int e = 0; e < report->experiments; e++) {
    const Result *result = report->experiment[e].result;
    for (int i = 0; result && i < result->rows; i++) {
      const ResultRow *row = &result->row[i];
      bool twice = !claim_made(row->claimed);
      for (int k = 0; k < claims && !twice; k++)
        twice = !strcmp(claim[k].row->trials, row->trials) &&
                !strcmp(claim[k].against->trials, result->row[row->against].trials);
      if (twice) continue;
      claim[claims] = (Pair){row, &result->row[row->against]};
      p[claims++] = row->p_claim;
    }
  }
  holm_adjust(p, claims, p);
  for (int k = 0; k < claims; k++) {
    const ResultRow *row = claim[k].row;
    if (p[k] <= CLAIM_ALPHA) held[claim_decided(row->claimed, row->difference)]++;
  }
  if (claims > 0)
    fprintf(
        report->out,
        "<p>Corrected for all %d different claim%s of this page at once (Holm): %d supported, %d "
        "contradicted. Were all rows equal, at most 5 of 100 such pages would show one.</p>\n",
        claims, claims == 1 ? "" : "s", held[CLAIM_SUPPORTED], held[CLAIM_CONTRADICTED]);
  free(claim);
  free(p);
}

bool summary_write(Report *report, Error *error) {
  (void)error;
  int experiments = report->experiments;
  Totals total = {{0}, {0}};
  Sheet sheet = sheet_make(experiments + 1, CLAIMS + 3);
  sheet_set(&sheet, 0, 0, "experiment");
  for (int c = CLAIM_SUPPORTED; c < CLAIMS; c++) sheet_set(&sheet, 0, c, "%s", claim_names[c]);
  sheet_set(&sheet, 0, CLAIMS, "Kendall's tau");
  sheet_set(&sheet, 0, CLAIMS + 1, "scale");
  sheet_set(&sheet, 0, CLAIMS + 2, "trials done");
  for (int i = 0; i < experiments; i++)
    put_summary_row(&sheet, i + 1, &report->experiment[i], &total);
  put_verdicts(total.claims, report->out);
  put_family(report);
  put_questions(total.questions, report->out);
  html_sheet(&sheet, false, report->out);
  sheet_free(&sheet);
  fputs("<p class=\"faint\">A claim is the sign of the paper's difference between a row and the "
        "row that it is compared with, mostly the one above, or that a row collapses. Supported or "
        "contradicted: the interval of our "
        "difference, corrected for the claims of its table, leaves out 0. Out of reach: undecided, "
        "and more seeds than are ever run would leave it so. Differs: asked where the paper "
        "says nothing, and decided. Kendall's tau-b compares the order of "
        "all rows: +1 the paper's, -1 reversed.</p>\n",
        report->out);
  int open = report->opens;
  if (open)
    fprintf(report->out,
            "<p><a href=\"#open\">Skipped, failed, collapsed or missing: %d entr%s</a>.</p>\n",
            open, open == 1 ? "y" : "ies");
  return true;
}
