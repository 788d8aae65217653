#include "twin/entra_flow.h"

#include "base/json.h"

#include <string.h>

/* Its members, once for both ways. */
#define TEXTS(ONE)                                                                                                                                   \
	ONE(client_id) ONE(redirect_uri) ONE(state) ONE(nonce) ONE(scope) ONE(challenge) ONE(prompt) ONE(hint) ONE(user_code) ONE(oid)
#define NUMBERS(ONE) ONE(mode) ONE(plain) ONE(has_factor) ONE(is_google) ONE(is_offline) ONE(made_at_ms) ONE(signed_in_at_ms)

enum fault entra_flow_put(struct buf *out, const struct twin_keys *keys, const struct entra_flow *f)
{
	json_t *json = json_object();
	struct buf text;
	bool ok;

	buf_init(&text, ENTRA_FLOW_BYTES);
#define PUT(name) json_put_text(json, #name, span_of(f->name));
	TEXTS(PUT)
#undef PUT
#define PUT(name) json_put_whole(json, #name, f->name);
	NUMBERS(PUT)
#undef PUT
	ok = json_write(&text, json) && twin_sealed_put(out, keys, SPAN("flow"), buf_span(&text));
	json_decref(json);
	buf_free(&text);
	return ok ? FAULT_OK : FAULT_TOO_LARGE;
}

enum fault entra_flow_read(struct entra_flow *f, const struct twin_keys *keys, struct span sealed, int64_t wall_ms)
{
	json_t *json = NULL;
	struct buf text;
	bool ok = true;

	memset(f, 0, sizeof *f);
	buf_init(&text, ENTRA_FLOW_BYTES);
	if (twin_sealed_open(&text, keys, SPAN("flow"), sealed))
		json = json_read(buf_span(&text), ENTRA_FLOW_BYTES);
	if (json) {
#define READ(name) ok = span_text(f->name, sizeof f->name, json_text(json, #name)) && ok;
		TEXTS(READ)
#undef READ
#define READ(name) ok = json_whole(json, #name, &f->name) && ok;
		NUMBERS(READ)
#undef READ
	}
	buf_free(&text);
	if (!json || !ok) {
		json_decref(json);
		return FAULT_MALFORMED;
	}
	json_decref(json);
	return f->made_at_ms + ENTRA_FLOW_MS > wall_ms ? FAULT_OK : FAULT_EXPIRED;
}
