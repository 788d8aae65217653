#include "wire/service_key.h"

#include "base/json.h"

enum { WHY_BYTES = 256 };

enum fault service_key_read(struct service_key *out, struct span file)
{
	char why[WHY_BYTES];

	*out = (struct service_key){ .document = json_read(file, SERVICE_KEY_BYTES) };
	out->email = json_text(out->document, "client_email");
	out->key_id = json_text(out->document, "private_key_id");
	if (!span_equal(json_text(out->document, "type"), SPAN("service_account")) || !out->key_id.size || span_find_byte(out->email, '@') == out->email.size)
		return FAULT_MALFORMED;
	return signing_key_read(&out->key, json_text(out->document, "private_key"), false, why);
}

void service_key_free(struct service_key *k)
{
	signing_key_free(&k->key);
	json_decref(k->document);
	*k = (struct service_key){ 0 };
}
