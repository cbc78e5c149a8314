/* The database's schema: see schema.c for tables and the documented views. */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

enum { STORE_APPLICATION_ID = 0x48524e53 }; /* "HRNS" */

/* migrations[i] is a NULL-ended list of SQL texts that bring user_version i to i + 1. */
extern const char *const *const migrations[];
extern const int migration_count;

#endif
