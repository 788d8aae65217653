/* desk/route.h - from a method and a path to what is meant by it, and from a request to the arguments of an operation.
 *
 * Why       The tables of routes and of operations say what there is; one reader of both keeps command line, control socket and pages in step.
 * Promise   An operation gets every argument under its own name, in its own shape (text, list, switch), and no other. Lists are always
 *           arrays and switches always booleans, however they were given.
 * Owns      The decoded parts of a path, inside struct route.
 * Refuses   Unknown paths (NOT_FOUND), other methods (METHOD_WRONG), broken percent encoding, NUL or what is not UTF-8 in a path, unknown, doubled
 *           or missing arguments, JSON of another shape: MALFORMED with a text.
 * See       tables/routes.def, tables/operations.def; RFC 3986 2.1 */
#pragma once
#include "base/json.h"
#include "base/message.h"

enum route_realm { ROUTE_PUBLIC = 1, ROUTE_CONTROL = 2 };

enum route_handler {
#define ROUTE(handler, ...) ROUTE_##handler,
#include "tables/routes.def"
#undef ROUTE
	ROUTE_HANDLERS,
	ROUTE_operation = ROUTE_HANDLERS,
};

struct route_operation {
	enum role role;
	const char *name; /* "mailbox.link" */
	const char *method, *path, *positional, *options;
};

enum { ROUTE_VALUES_MAX = 3, ROUTE_STORE_BYTES = 1024, ROUTE_PATH_BYTES_MAX = 2048, ROUTE_LIST_MAX = 1000 };

/* What was found. `names` point into the tables, `values` into `store`. */
struct route {
	enum route_handler handler;
	const struct route_operation *operation; /* NULL unless `handler` is ROUTE_operation */
	const char *allow;                       /* the methods of this path; set with METHOD_WRONG too */
	size_t value_count;
	struct span names[ROUTE_VALUES_MAX], values[ROUTE_VALUES_MAX];
	size_t stored;
	char store[ROUTE_STORE_BYTES];
	char allow_text[64];
};

/* Finds by method and encoded path, for one realm. HEAD is found where GET is. */
MUST_CHECK enum fault route_find(struct route *out, enum route_realm, struct span method, struct span path);

/* The value of a part of the path, or the empty span. */
struct span route_value(const struct route *, struct span name);

/* The arguments of an operation: parts of the path, fields of the query, members of the JSON body. On FAULT_OK `out` has one reference. */
MUST_CHECK enum fault route_arguments(const struct route *, struct span content_type, struct span query, struct span body, json_t **out,
				      struct buf *why);

/* The rows, for tests and documents; NULL past the end. */
struct route_row {
	enum route_handler handler;
	unsigned realms;
	const char *method, *path, *summary;
};
const struct route_row *route_row(size_t at);
const struct route_operation *route_operation_row(size_t at);
