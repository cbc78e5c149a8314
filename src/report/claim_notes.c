#include "src/report/claim_notes.h"

#include <math.h>
#include <string.h>

#include "src/report/quote.h"
#include "src/statistics/family.h"
#include "src/statistics/looks.h"
#include "src/statistics/power.h"

static int count_verdict(const Result *result, Claim claim) {
  int count = 0;
  for (int i = 0; i < result->rows; i++)
    count += !strcmp(result->row[i].verdict, claim_names[claim]);
  return count;
}

static const char *units_word(const ResultFamily *family) {
  return family->patients ? "patients" : "cases";
}

/* What would be other in a repetition. */
static void note_interval(const ResultFamily *family, const char *mark, FILE *out) {
  fprintf(out, "%s[95 %%]: would hold the difference in 95 of 100 repetitions with ", mark);
  if (family->folds)
    fprintf(out,
            "other folds of this data set; paired by the %d folds that both rows have, for "
            "training sets of this data set\n",
            family->folds);
  else if (family->cases_fixed)
    fprintf(out, "new seeds, for these %s only (%d)\n", units_word(family), family->units);
  else
    fprintf(out, "new seeds and new %s (%d here)\n", units_word(family), family->units);
}

static void note_correction(const Result *result, const char *mark, FILE *out) {
  const ResultFamily *family = &result->family;
  if (family->claims < 1) return;
  fprintf(out,
          "%scorrected for %d claim%s (Holm), and p: were all rows equal, at most 5 of 100 such "
          "tables would show a verdict\n",
          mark, family->claims, family->claims == 1 ? "" : "s");
  if (family->claims > family->questions) {
    fprintf(out, "%sverdict: on the sign of the paper's difference to ", mark);
    quote_line(result_compared(result), out);
    fputs("; supported or contradicted where the corrected interval leaves out 0\n", out);
  }
  if (family->questions)
    fprintf(out,
            "%swhere the paper says nothing: differs where the corrected interval leaves out 0, on "
            "either side; else what the row changes is within the number given (in 95 of 100 such "
            "tables, all of these at once)\n",
            mark);
}

/* To two digits. */
static double rounded(double value) {
  double unit = 1;
  while (value / unit >= 100) unit *= 10;
  return round(value / unit) * unit;
}

void claim_need(double seeds, FILE *out) {
  if (isinf(seeds))
    fputs("more cases, not seeds", out);
  else
    fprintf(out, "about %.0f seeds", rounded(seeds));
}

/* Rows with the paper's smallest and largest difference; -1: none. */
static void find_claimed(const Result *result, int *smallest, int *largest) {
  *smallest = *largest = -1;
  for (int i = 0; i < result->rows; i++) {
    double claimed = fabs(result->row[i].claimed);
    if (!claim_made(claimed)) continue;
    if (*smallest < 0 || claimed < fabs(result->row[*smallest].claimed)) *smallest = i;
    if (*largest < 0 || claimed > fabs(result->row[*largest].claimed)) *largest = i;
  }
}

/* Of seeds that were added until claims were decided. */
static void note_looks(const Result *result, const char *mark, FILE *out) {
  const ResultLooks *looks = &result->looks;
  if (!looks->found) return;
  if (looks->planned == 0) {
    fprintf(out, "%suntil=decided: no look was taken yet, so there is no verdict\n", mark);
    return;
  }
  fprintf(out,
          "%s%d of %d looks spent (at most %d seeds a row); a claim's figures are those of its own "
          "looks, all paid for%s\n",
          mark, looks->spent, looks->planned, looks->most,
          looks->early ? "; decided early, so those differences are somewhat too large" : "");
}

static void note_power(const Result *result, const char *mark, FILE *out) {
  const ResultFamily *family = &result->family;
  int smallest, largest;
  if (isnan(family->detectable) || family->claims < 1) return;
  const char *unit = family->folds ? "fold" : "seed";
  fprintf(out,
          family->folds ? "%sspread of the differences of folds %.4f; "
                        : "%sspread between seeds %.3f; ",
          mark, family->sigma);
  fprintf(out, "these %d %ss see a difference of %.3f in 80 of 100 tries", family->seeds, unit,
          family->detectable);
  find_claimed(result, &smallest, &largest);
  if (smallest >= 0 && !family->folds) {
    const ResultRow *row = &result->row[smallest];
    fprintf(out, "; the paper's %.2g would need ", fabs(row->claimed));
    claim_need(row->seeds_needed, out);
    if (largest != smallest && !isinf(result->row[smallest].seeds_needed)) {
      row = &result->row[largest];
      fprintf(out, ", its %.2g ", fabs(row->claimed));
      claim_need(row->seeds_needed, out);
    }
  }
  fputc('\n', out);
}

static void note_words(const Result *result, const char *mark, FILE *out) {
  const ResultFamily *family = &result->family;
  if (count_verdict(result, CLAIM_OUT_OF_REACH) && result->looks.found)
    fprintf(
        out,
        "%sout of reach: given up, since less than 10 of 100 such claims would be decided by the "
        "last look\n",
        mark);
  else if (count_verdict(result, CLAIM_OUT_OF_REACH))
    fprintf(out,
            "%sout of reach: undecided, and %d seeds would show neither the paper's difference nor "
            "ours in 80 of 100 tries\n",
            mark, family->seeds > LOOKS_MOST ? family->seeds : LOOKS_MOST);
  if (count_verdict(result, CLAIM_TOO_FEW))
    fprintf(out,
            "%stoo few seeds: a verdict needs %d trials a row, or %d common folds, and %d %s; an "
            "interval needs %d\n",
            mark, SEEDS_VERDICT, FOLDS_VERDICT, UNITS_VERDICT, units_word(family), SEEDS_INTERVAL);
  if (family->same)
    fprintf(out, "%sA difference without an interval has no spread at all: copies of one trial?\n",
            mark);
}

static void note_structures(const Result *result, const char *mark, FILE *out) {
  fprintf(out, "%s+ or - behind a structure's figure: above or below that of ", mark);
  quote_line(result_compared(result), out);
  fprintf(out, ", after Holm over these %d comparisons, a family of their own\n",
          result->family.structures);
}

void claim_notes(const Result *result, const char *mark, FILE *out) {
  const ResultFamily *family = &result->family;
  bool dropped = false;
  for (int i = 0; i < result->rows; i++)
    dropped =
        dropped || (result->row[i].status[STATUS_COLLAPSED] > 0 && !isnan(result->row[i].mean));
  if (result->comparisons > 0) note_interval(family, mark, out);
  if (result->comparisons > 0) note_correction(result, mark, out);
  note_looks(result, mark, out);
  note_power(result, mark, out);
  note_words(result, mark, out);
  if (family->structures) note_structures(result, mark, out);
  if (family->earlier)
    fprintf(out,
            "%sSeeds were added after a look at %d: each look is another chance to err, so 5 of "
            "100 no longer holds. until=decided counts its looks\n",
            mark, family->earlier);
  if (dropped)
    fprintf(out,
            family->lower
                ? "%sWith collapsed trials a claim is undecided: no figure stands for theirs\n"
                : "%sA verdict that changes when collapsed trials count as 0 is undecided\n",
            mark);
}
