#include "src/machine/document.h"

#include "base/error.h"
#include "src/data/metrics/metric.h"
#include "src/data/sets/json_text.h"
#include "src/machine/built.h"

enum { SCHEMA = 1 };

static json_t *text_or_null(const char *text) {
  return text && text[0] ? json_name(text) : json_null();
}

json_t *document_begin(const char *kind, DocumentOf of) {
  return json_pack("{s:i, s:s, s:o, s:o, s:o, s:o}", "schema", SCHEMA, "document", kind,
                   "experiment", text_or_null(of.experiment), "metric", text_or_null(of.metric),
                   "unit", text_or_null(of.metric ? metric_unit(of.metric) : NULL), "commit",
                   text_or_null(of.commit ? of.commit : built.commit));
}

json_t *document_make(const char *kind, DocumentOf of, json_t *more) {
  json_t *document = document_begin(kind, of);
  CHECK(document && more, "a document holds a text that is not UTF-8, or a number not finite");
  json_object_update_missing(document, more);
  json_decref(more);
  return document;
}

void document_print(json_t *document, FILE *out) {
  json_text_print(document, out);
  json_decref(document);
}
