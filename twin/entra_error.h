/* twin/entra_error.h - how Entra ID says no: AADSTS numbers as JSON, as a redirect and as a page.
 *
 * Why       Clients read `error`, `suberror` and the number; administrators read the text. All three are copied from the real one.
 * Promise   The JSON has the members of the real one: error, error_description, error_codes, timestamp, trace_id, correlation_id, error_uri, suberror.
 * Owns      Nothing.
 * Refuses   Nothing: a number without a row panics, since it is written in our code.
 * See       tables/twin_errors.def */
#pragma once
#include "twin/twin_http.h"
#include "twin/twin_tenant.h"

struct entra_error_row {
	int code;
	const char *error, *suberror;
	int status;
	const char *text;
};

/* What the braces of a text stand for; the empty ones may be left out. */
struct entra_error_values {
	struct span client, tenant, resource, name, issued;
};

/* The row of a number. */
const struct entra_error_row *entra_error_row(int code);

/* "AADSTS65001: ..." appended, without trace and time. */
void entra_error_text(struct buf *out, int code, const struct entra_error_values *);

/* Fills the response with the JSON of the token endpoint. */
void entra_error_json(struct twin_response *, int code, const struct entra_error_values *, int64_t wall_ms);

/* A GUID of random bytes. */
void entra_random_id(char out[TWIN_ID_BYTES]);
