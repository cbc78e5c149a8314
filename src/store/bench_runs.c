#include "src/store/bench_runs.h"

#include <string.h>

#include "src/store/database.h"

static const char run_sql[] =
    "INSERT INTO bench_runs(environment_id, started_at, command, limit_s, noise_target, threads,"
    " copy_gbps, fma_gflops, machine, warning)"
    " VALUES(?1, " NOW ", ?2 ->> '$.command', ?2 ->> '$.limit_s', ?2 ->> '$.noise_target',"
    " ?2 ->> '$.machine.threads', ?2 ->> '$.machine.copy_gbps', ?2 ->> '$.machine.fma_gflops',"
    " ?2 -> '$.machine', ?2 ->> '$.warning')";

/* SQLite takes the rows apart itself: the names of columns and keys are the same. */
#define PLAIN_COLUMNS                                                                              \
  PLAIN(kernel)                                                                                    \
  PLAIN(pass)                                                                                      \
  PLAIN(shape)                                                                                     \
  PLAIN(device)                                                                                    \
  PLAIN(dtype)                                                                                     \
  PLAIN(threads)                                                                                   \
  PLAIN(error)                                                                                     \
  PLAIN(tolerance)                                                                                 \
  PLAIN(reference)                                                                                 \
  PLAIN(wrong)                                                                                     \
  PLAIN(not_timed)                                                                                 \
  PLAIN(timing)                                                                                    \
  PLAIN(median_us)                                                                                 \
  PLAIN(q1_us)                                                                                     \
  PLAIN(q3_us)                                                                                     \
  PLAIN(min_us)                                                                                    \
  PLAIN(samples)                                                                                   \
  PLAIN(noise_met)                                                                                 \
  PLAIN(hot_median_us)                                                                             \
  PLAIN(flops)                                                                                     \
  PLAIN(bytes)                                                                                     \
  PLAIN(gflops)                                                                                    \
  PLAIN(gbps)                                                                                      \
  PLAIN(ceiling_us)                                                                                \
  PLAIN(ceiling_pct)                                                                               \
  PLAIN(bound)                                                                                     \
  PLAIN(peak_bytes)                                                                                \
  PLAIN(baseline)                                                                                  \
  PLAIN(baseline_us)                                                                               \
  PLAIN(speedup)                                                                                   \
  PLAIN(speedup_low)                                                                               \
  PLAIN(speedup_high)                                                                              \
  PLAIN(baseline_bytes)

static const char rows_sql[] = "INSERT INTO bench_rows(run_id, position,"
#define PLAIN(name) " " #name ","
    PLAIN_COLUMNS
#undef PLAIN
                               " case_name, cold_list, hot_list, baseline_list) SELECT ?1, key,"
#define PLAIN(name) " value ->> '$." #name "',"
    PLAIN_COLUMNS
#undef PLAIN
                               " value ->> '$.case', value -> '$.cold_list', value -> '$.hot_list',"
                               " value -> '$.baseline_list' FROM json_each(?2)";

static bool insert(Store *store, int64_t environment, const json_t *run, const json_t *rows,
                   int64_t *id, Error *error) {
  char *run_text = json_dumps(run, JSON_COMPACT);
  char *rows_text = json_dumps(rows, JSON_COMPACT | JSON_REAL_PRECISION(7));
  CHECK(run_text && rows_text, "no memory for the rows' text");
  bool good = database_run(store, error, run_sql, "is", environment, run_text);
  *id = good ? sqlite3_last_insert_rowid(store->db) : 0;
  good = good && database_run(store, error, rows_sql, "is", *id, rows_text);
  free(run_text);
  free(rows_text);
  return good;
}

bool store_bench_add(Store *store, const json_t *environment, const json_t *run, const json_t *rows,
                     int64_t *id, Error *error) {
  int64_t environment_id;
  if (!store_environment(store, environment, &environment_id, error) ||
      !database_begin(store, error))
    return false;
  return database_end(store, insert(store, environment_id, run, rows, id, error), error);
}

bool store_bench_find(Store *store, const char *word, int64_t *id, Error *error) {
  *id = 0;
  if (!strcmp(word, "last") || !strcmp(word, "prev"))
    return database_integer(store, error, 0, id,
                            "SELECT id FROM bench_runs ORDER BY id DESC LIMIT 1 OFFSET ?1", "i",
                            (int64_t)(word[0] == 'p'));
  char *end;
  long long number = strtoll(word, &end, 10);
  if (end == word || *end || number < 1)
    return fail(error, "\"%s\" names no bench run: give its number, last or prev", word);
  return database_integer(store, error, 0, id, "SELECT id FROM bench_runs WHERE id = ?1", "i",
                          (int64_t)number);
}

bool store_bench_rows(Store *store, int64_t run, json_t **rows, Error *error) {
  json_t *parameters = json_pack("[I]", (json_int_t)run);
  bool good = store_query(store, "SELECT * FROM bench_rows WHERE run_id = ?1 ORDER BY position",
                          parameters, rows, error);
  json_decref(parameters);
  return good;
}
