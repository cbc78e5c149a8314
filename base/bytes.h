/* An amount of memory as people read it. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

enum { BYTES_TEXT = 24 };

/* "110 MiB", "1.5 GiB": three digits, the unit by the size; "-" for what is no number. */
const char *bytes_text(double bytes, char text[BYTES_TEXT]);

#endif
