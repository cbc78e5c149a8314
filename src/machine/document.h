/* What every JSON document of this program begins with; docs/json.md lists all keys of all. */
#ifndef MACHINE_DOCUMENT_H
#define MACHINE_DOCUMENT_H

#include <jansson.h>

/* NULL: the document is of none. */
typedef struct DocumentOf {
  const char *experiment, *metric;
  const char *commit; /* of the program that measured; NULL: nothing was, this one's */
} DocumentOf;

/* {"schema", "document", "experiment", "metric", "unit", "commit"}; kind is what docs/json.md calls
 * it. */
json_t *document_begin(const char *kind, DocumentOf of);
/* The same with the keys of more, whose reference is taken over, behind. */
json_t *document_make(const char *kind, DocumentOf of, json_t *more);
/* Prints and lets go of a document. */
void document_print(json_t *document, FILE *out);

#endif
