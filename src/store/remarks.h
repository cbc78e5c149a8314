/* What people say of trials: tags, by which they are found, and notes. */
#ifndef STORE_REMARKS_H
#define STORE_REMARKS_H

#include "src/store/store.h"

/* kind: "tag" or "note". The trial is named by leading digits (store_find). Said again, nothing
 * changes. False: no such trial, or, to be taken back, no such remark. */
bool remark_add(Store *store, const char *prefix, const char *kind, const char *text, Error *error);
bool remark_remove(Store *store, const char *prefix, const char *kind, const char *text,
                   Error *error);

#endif
