/* Each row of trials, attempts and metrics carries a checksum of its other columns, so that a
 * change by hand is seen (verify.h). It is no signature: who computes it anew is not found out. */
#ifndef STORE_CHECKSUM_H
#define STORE_CHECKSUM_H

#include "src/store/database.h"

/* The tables, NULL-ended. */
extern const char *const checksum_tables[];

/* Teaches the connection the SQL function row_sum(name, value, ...). A column that is NULL does not
 * count, so that one which comes later leaves the checksums of stored rows. */
bool checksum_function(Store *store, Error *error);
/* From now on every row that this connection writes gets its checksum, whoever writes it: triggers
 * of the connection, which other programs do not have. A row that had none, or a wrong one, does
 * not get a right one by a change. */
bool checksum_keep(Store *store, Error *error);

/* "row_sum('id', r."id", ...)" of the columns of a row `r` ("": without a name before them), to be
 * freed by sqlite3_free. *sum NULL: the table has no checksums. */
bool checksum_of_row(Store *store, const char *table, const char *row, char **sum, Error *error);
/* What is stored as the checksum of a row that is copied from `row` of another database: NULL, by
 * which it is computed, where the original's is right; else that, or '' where it has none. As
 * above. */
bool checksum_taken(Store *store, const char *table, const char *row, char **value, Error *error);

#endif
