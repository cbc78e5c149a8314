#include "src/cli/forecast.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "src/cli/estimate.h"
#include "src/cli/estimate_text.h"
#include "src/data/sets/json_text.h"
#include "src/machine/environment.h"
#include "src/store/field.h"
#include "src/train/config.h"

/* {"work", "peak"} of a configuration, or {"why"} it cannot be trained here. */
static json_t *look(const Forecast *forecast, const json_t *experiment, const json_t *config) {
  Error why = {""};
  Footprint f;
  json_t *own = json_copy((json_t *)(uintptr_t)config);
  json_object_set_new(own, "home", json_string(forecast->home));
  omp_set_num_threads((int)config_int(config, "threads"));
  bool good = estimate_footprint(experiment, own, NULL, &f, &why);
  json_decref(own);
  if (!good) return json_pack("{s:o}", "why", json_name(why.text));
  json_t *found = json_pack("{s:f, s:f}", "work", f.flops * (double)config_int(config, "steps"),
                            "peak", footprint_peak(&f));
  footprint_free(&f);
  return found;
}

bool forecast_add(Forecast *forecast, const json_t *experiment, const Cell *trial, Error *why) {
  char hash[HASH_BYTES];
  const char *stand_in = getenv("HARNESS_TRIAL_PROGRAM"); /* its trials are not ours to build */
  if ((stand_in && stand_in[0]) || json_object_get(trial->config, "kind")) return true;
  if (!seedless_hash(trial->config, "", hash, why)) return false;
  if (!forecast->known) forecast->known = json_object();
  json_t *found = json_object_get(forecast->known, hash);
  if (!found) {
    found = look(forecast, experiment, trial->config);
    json_object_set_new(forecast->known, hash, found);
  }
  const char *reason = field_text_if(found, "why");
  forecast->failing += reason[0] != 0;
  if (reason[0]) return fail(why, "%s", reason);
  double peak = field_number(found, "peak");
  forecast->trials++;
  forecast->threads = (int)config_int(trial->config, "threads");
  forecast->work += field_number(found, "work");
  if (peak > forecast->peak) forecast->peak = peak;
  return true;
}

/* FLOP/s of training, as stored trials of this processor had it; 0: there are none. */
static double stored_rate(const char *db, const char *device, int threads) {
  static const char sql[] =
      "SELECT sum(a.flops * (t.config ->> '$.steps')) / sum(a.train_s) AS rate FROM v_attempt v"
      " JOIN attempts a ON a.id = v.attempt_id JOIN trials t ON t.id = v.trial_id"
      " JOIN environments n ON n.id = a.environment_id WHERE t.device = ?1 AND a.train_s > 0"
      " AND a.weights_of IS NULL AND coalesce(a.first_step, 0) = 0"
      " AND (t.device <> 'cpu' OR (n.cpu = ?2 AND t.config ->> '$.threads' = ?3))";
  char cpu[256];
  Store *store = NULL;
  Error unread = {""};
  json_t *rows = NULL;
  environment_cpu(cpu, sizeof cpu);
  json_t *parameters = json_pack("[s, s, i]", device, cpu, threads);
  double rate = 0;
  if (store_exists(db) && store_open(&store, db, STORE_READ, &unread) &&
      store_query(store, sql, parameters, &rows, &unread))
    rate = json_number_value(json_object_get(json_array_get(rows, 0), "rate"));
  json_decref(rows);
  json_decref(parameters);
  store_close(store);
  return rate;
}

void forecast_print(const Forecast *forecast, const char *device, int jobs, FILE *out) {
  char time[HOURS_TEXT], bytes[BYTES_TEXT];
  if (forecast->failing) fprintf(out, "%d of these would fail here\n", forecast->failing);
  if (!forecast->trials) return;
  double rate = stored_rate(forecast->db, device, forecast->threads);
  if (jobs > forecast->trials) jobs = forecast->trials;
  if (rate > 0)
    fprintf(out, "training: about %s, %d at a time, as fast as what is stored from here; ",
            hours_text(forecast->work / rate / jobs / 3600, time), jobs);
  else
    fprintf(out,
            "training: %.3g TFLOP, hours are not known before one is stored (`harness "
            "estimate` times a step); ",
            forecast->work / 1e12);
  fprintf(out, "memory of the largest: %s\n", bytes_text(forecast->peak, bytes));
}

void forecast_free(Forecast *forecast) {
  json_decref(forecast->known);
  forecast->known = NULL;
}
