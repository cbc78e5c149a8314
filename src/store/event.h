/* Events: what a trial's process tells the one that started it, one JSON object a line. events.def
 * is the only list of them; senders fill its structs, the parent admits what it holds and nothing
 * else, the store takes columns and statements from it. */
#ifndef STORE_EVENT_H
#define STORE_EVENT_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

typedef enum EventKind {
#define EVENT(name, into, table) EVENT_##name,
#define FIELD(event, name, kind, to)
#define END(event)
#include "src/store/events.def"
#undef EVENT
#undef FIELD
#undef END
  EVENT_COUNT
} EventKind;

typedef const char *Event_TEXT; /* not NULL */
typedef int64_t Event_WHOLE;
typedef double Event_NUMBER; /* NaN or infinite: sent as null, read as NaN */

/* The fields of its kind count: {EVENT_eval, .eval = {.cases_done = 1, .cases = 2}}. */
typedef struct Event {
  EventKind kind;
  union {
/* clang-format off */
#define EVENT(name, into, table)     struct {
#define FIELD(event, name, kind, to)   Event_##kind name;
#define END(event)                   } event;
/* clang-format on */
#include "src/store/events.def"
#undef EVENT
#undef FIELD
#undef END
  };
} Event;

/* Writes the event as a line and flushes it. A text that is not UTF-8 arrives with %XX in place of
 * its bytes above 127. */
void event_send(FILE *events, const Event *event);
/* The same as a new reference. */
json_t *event_json(const Event *event);

/* Reads what was sent. Refuses, with the reason: an unknown event, a field that is missing, of
 * another kind or not the event's, a metric whose situation is unknown or does not fit its value.
 * Texts stay the JSON object's. */
bool event_read(const json_t *json, Event *event, Error *error);

/* ---- the table ------------------------------------------------------------------------------- */

typedef enum EventFieldKind { EVENT_TEXT, EVENT_WHOLE, EVENT_NUMBER } EventFieldKind;
typedef enum EventInto { EVENT_TOLD, EVENT_ADDS, EVENT_REPLACES, EVENT_CHANGES } EventInto;

typedef struct EventField {
  const char *name; /* NULL after the last */
  EventFieldKind kind;
  bool stored;
  size_t offset; /* in Event */
} EventField;

enum { EVENT_FIELDS = 16 };
typedef struct EventRow {
  const char *name;
  EventInto into;
  const char *table;
  EventField field[EVENT_FIELDS];
} EventRow;

extern const EventRow event_table[EVENT_COUNT]; /* by EventKind */

/* The statement that stores one, to be freed: ?1 is the attempt, ?2 ... are the stored fields in
 * the table's order. NULL: it is told only. */
char *event_sql(const EventRow *row);

#endif
