#include "src/report/judge_looks.h"

#include <math.h>

#include "src/report/claim.h"
#include "src/report/replay.h"

/* Nothing may be read off what no look was taken at. */
static void take_nothing(ResultRow *row) {
  row->p_claim = 1;
  row->p = row->p_corrected = row->corrected_low = row->corrected_high = row->within = NAN;
  row->verdict = claim_names[CLAIM_UNDECIDED];
}

static void take_claim(ResultRow *row, const LooksClaim *claim) {
  take_nothing(row);
  if (claim_made(claim->paper)) row->claimed = claim->paper;
  if (claim->looks == 0) return;
  row->difference = claim->contrast.value;
  row->p = claim->p;
  row->p_claim = claim->q;
  row->p_corrected = claim->adjusted;
  row->low = claim->alone_low, row->high = claim->alone_high;
  row->corrected_low = claim->low, row->corrected_high = claim->high;
  row->verdict = claim_names[claim->claim];
  row->within = claim_within(row);
}

static void take_claims(Result *result, const Replay *replay) {
  const Sequence *sequence = replay->sequence;
  ResultFamily *family = &result->family;
  int last = sequence->looks.most;
  family->claims = sequence->claims;
  family->decided = 0;
  family->level = replay->state.level;
  family->detectable = NAN; /* it is that of one look which has all of the 5 % */
  result->looks.spent = replay->state.looks;
  family->structures = 0; /* how many seeds there are depends on the figures: no mark holds then */
  for (int i = 0; i < result->labels; i++) result->label[i].above = 0;
  for (int i = 0; i < sequence->claims; i++) {
    const LooksClaim *claim = &replay->claim[i];
    bool decided = claim_is_decided(claim->claim);
    family->decided += decided;
    result->looks.early =
        result->looks.early || (decided && sequence->looks.seeds[claim->looks - 1] < last);
    for (int r = 0; r < result->rows; r++)
      if (result->row[r].position == sequence->claim[i].row) take_claim(&result->row[r], claim);
  }
}

bool judge_looks(Store *store, Result *result, Error *error) {
  Sequence sequence;
  Replay replay;
  bool found;
  if (!sequence_of_plan(store, result->plan_id, &sequence, &found, error)) return false;
  if (!found) return true;
  bool good = replay_load(store, &sequence, result->family.cases_fixed, &replay, error);
  if (good) {
    result->looks = (ResultLooks){.found = true,
                                  .planned = sequence.looks.count,
                                  .most = sequence.looks.most,
                                  .first_seed = sequence.first_seed,
                                  .budget_s = sequence.budget_s};
    take_claims(result, &replay);
    replay_free(&replay);
  }
  sequence_free(&sequence);
  return good;
}
