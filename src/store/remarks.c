#include "src/store/remarks.h"

#include "src/store/database.h"

#define TRIAL "(SELECT id FROM trials WHERE hash = ?1)"

bool remark_add(Store *store, const char *prefix, const char *kind, const char *text,
                Error *error) {
  char hash[HASH_BYTES];
  return store_find(store, prefix, hash, error) &&
         database_run(store, error,
                      "INSERT OR IGNORE INTO remarks(trial_id, kind, text, at) VALUES(" TRIAL
                      ", ?2, ?3, " NOW ")",
                      "sss", hash, kind, text);
}

bool remark_remove(Store *store, const char *prefix, const char *kind, const char *text,
                   Error *error) {
  char hash[HASH_BYTES];
  return store_find(store, prefix, hash, error) &&
         database_run(store, error,
                      "DELETE FROM remarks WHERE trial_id = " TRIAL " AND kind = ?2 AND text = ?3",
                      "sss", hash, kind, text) &&
         (sqlite3_changes(store->db) > 0 ||
          fail(error, "trial %.8s has no %s \"%s\"", hash, kind, text));
}
