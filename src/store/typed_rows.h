/* Rows of a query as structs: a name that is no column, or a column that is no name, is a fault of
 * the program and ends it.
 *
 *   typedef struct Trial {
 *     const char *hash;
 *     int seed;
 *     double wall_s;
 *   } Trial;
 *   static const Column columns[] = {COLUMN(Trial, hash), COLUMN(Trial, seed),
 *                                    COLUMN(Trial, wall_s), {0}};
 *   Rows rows;
 *   if (!store_rows(store, "SELECT hash, seed, wall_s FROM ...", parameters, columns,
 *                   sizeof(Trial), &rows, error)) return false;
 *   const Trial *trial = rows.row;
 *   ...
 *   rows_free(&rows); */
#ifndef STORE_TYPED_ROWS_H
#define STORE_TYPED_ROWS_H

#include "src/store/store.h"

#include <stddef.h>

/* What NULL is read as: "", 0, 0, NaN. */
typedef enum ColumnKind { COLUMN_TEXT, COLUMN_INT, COLUMN_LONG, COLUMN_NUMBER } ColumnKind;

typedef struct Column {
  const char *name; /* NULL after the last */
  ColumnKind kind;
  size_t offset;
} Column;

/* The kind is the field's type: const char *, int, int64_t or double. */
#define COLUMN_AS(type, field, column)                                                                \
  {                                                                                                   \
    column, _Generic(((type *)0)->field, const char *: COLUMN_TEXT, int: COLUMN_INT,                \
           int64_t: COLUMN_LONG, double: COLUMN_NUMBER), offsetof(type, field) \
  }
#define COLUMN(type, field) COLUMN_AS(type, field, #field)

typedef struct Rows {
  void *row; /* structs, so many */
  int count;
  json_t *texts; /* what the structs' texts are part of */
} Rows;

/* parameters as of store_query, but the reference is taken over. On false there is nothing to
 * free. */
bool store_rows(Store *store, const char *sql, json_t *parameters, const Column *columns,
                size_t bytes, Rows *rows, Error *error);
void rows_free(Rows *rows);
/* The first row alone; *texts: the caller decrefs, NULL: there is no row, which leaves *row. */
bool store_row(Store *store, const char *sql, json_t *parameters, const Column *columns, void *row,
               json_t **texts, Error *error);
/* One struct from a JSON object, which may have other keys too: those that it lacks are as NULL. */
void row_read(const json_t *object, const Column *columns, void *row);

#endif
