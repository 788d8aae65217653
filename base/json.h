/* base/json.h - JSON in and out, over jansson.
 *
 * Why       Arguments, results, tokens and keys are JSON that others wrote; ceilings and the refusal of doubled names stand in one place.
 * Promise   Reading members never fails: what is missing or of another type gives the empty span, the preset, or nothing. Freed JSON is wiped,
 *           since it held secrets, once json_begin() was called.
 * Owns      Nothing; a document belongs to its reader (json_decref), spans live as long as it.
 * Refuses   Texts over the ceiling given, doubled member names, anything behind the end, nesting over 64, a NUL: NULL.
 * See       RFC 8259; jansson */
#pragma once
#include "base/buf.h"

#include <jansson.h>

/* Makes jansson wipe what it frees. To be called before any document exists; again is harmless. */
void json_begin(void);

/* The document, which must be an object or array, or NULL. */
json_t *json_read(struct span text, size_t ceiling_bytes);

/* A text member of an object; the empty span when it is none. */
struct span json_text(const json_t *object, const char *name);

/* Whether the member is there and not null. */
bool json_has(const json_t *object, const char *name);

/* A number, or a text that is one (command lines give texts). False: neither. */
bool json_whole(const json_t *object, const char *name, int64_t *out);

/* A boolean, or a text such as yes, no, true, false, on, off, 1, 0; `preset` when it is none. */
bool json_flag(const json_t *object, const char *name, bool preset);

/* The `at`th text of a member that is an array of texts, or the one text that it is itself; false past the end. */
bool json_item(const json_t *object, const char *name, size_t at, struct span *out);

/* Sets a member to a text (where it is not UTF-8 or holds a NUL, what cannot be shown becomes `?`), a number or a boolean. */
void json_put_text(json_t *object, const char *name, struct span);
void json_put_whole(json_t *object, const char *name, int64_t);
void json_put_flag(json_t *object, const char *name, bool);

/* Appends the text of a document, in one line, members in the order in which they were set. False when `out` is full. */
bool json_write(struct buf *out, const json_t *);
