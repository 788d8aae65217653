#include "base/json.h"
#include "base/rand.h"
#include "twin/entra.h"

#include <stdio.h>
#include <string.h>

enum { USER_CODE_LETTERS = 9 };

static void make_user_code(char out[16])
{
	static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

	for (size_t i = 0; i < USER_CODE_LETTERS; i++)
		out[i] = letters[rand_below(sizeof letters - 1)];
	out[USER_CODE_LETTERS] = 0;
}

struct entra_device *entra_device_waiting(struct entra *e, struct span user_code, int64_t wall_ms)
{
	char typed[16];
	size_t size = 0;

	for (size_t i = 0; i < user_code.size && size < sizeof typed - 1; i++)
		if (user_code.at[i] != '-' && user_code.at[i] != ' ')
			typed[size++] = user_code.at[i];
	typed[size] = 0;
	for (size_t i = 0; i < ENTRA_DEVICES_MAX; i++) {
		struct entra_device *d = &e->devices[i];

		if (d->state == ENTRA_DEVICE_PENDING && d->until_ms > wall_ms && span_equal_fold(span_of(d->user_code), span_of(typed)))
			return d;
	}
	return NULL;
}

static void answer(struct entra *e, const struct entra_device *d, struct twin_response *r)
{
	char url[TWIN_ADDRESS_BYTES * 2], message[TWIN_ADDRESS_BYTES * 4];
	json_t *json = json_object();

	snprintf(url, sizeof url, "%s/devicelogin", e->base_url);
	snprintf(message, sizeof message, "To sign in, use a web browser to open the page %s and enter the code %s to authenticate.", url, d->user_code);
	json_put_text(json, "user_code", span_of(d->user_code));
	json_put_text(json, "device_code", span_of(d->device_code));
	json_put_text(json, "verification_uri", span_of(url));
	json_put_whole(json, "expires_in", e->tenant->values[TWIN_SWITCH_device_seconds]);
	json_put_whole(json, "interval", 5);
	json_put_text(json, "message", span_of(message));
	entra_answer_json(r, 200, json);
}

void entra_devicecode(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	struct entra_device *d = &e->devices[e->device_next % ENTRA_DEVICES_MAX];
	char client[TWIN_TEXT_BYTES], scope[TWIN_SCOPE_BYTES];
	struct entra_error_values v = { .tenant = span_of(e->tenant->name) };
	struct span bad = SPAN("client_id");
	struct twin_app *app;
	int code;

	twin_field_text(q, SPAN("client_id"), client, sizeof client);
	twin_field_text(q, SPAN("scope"), scope, sizeof scope);
	app = twin_tenant_app(e->tenant, span_of(client));
	v.client = span_of(client);
	code = !client[0] ? 900144 : !app ? 700016 : entra_check_scopes(span_of(scope), &bad);
	if (!code && !scope[0]) {
		code = 900144;
		bad = SPAN("scope");
	}
	if (code) {
		v.name = bad;
		entra_error_json(r, code, &v, q->wall_ms);
		return;
	}
	e->device_next++;
	memset(d, 0, sizeof *d);
	d->state = ENTRA_DEVICE_PENDING;
	d->until_ms = q->wall_ms + e->tenant->values[TWIN_SWITCH_device_seconds] * 1000;
	entra_random_code(d->device_code, "");
	make_user_code(d->user_code);
	snprintf(d->grant.client_id, sizeof d->grant.client_id, "%s", app->id);
	snprintf(d->grant.scope, sizeof d->grant.scope, "%s", scope);
	answer(e, d, r);
}
