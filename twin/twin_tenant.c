#include "twin/twin_tenant.h"

#include "base/seal.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define WORD false
#define NUMBER true
static const struct twin_switch_row switch_rows[] = {
#define TWIN_SWITCH(name, type, words, preset, lowest, highest, ends, en, fr)                                              \
	{ #name, type, words, preset, lowest, highest, TWIN_ENDS_##ends, { en, fr } },
#define TWIN_MAILBOX(...)
#include "tables/twin_switches.def"
#undef TWIN_SWITCH
#undef TWIN_MAILBOX
};

static const struct twin_switch_row mailbox_rows[] = {
#define TWIN_SWITCH(...)
#define TWIN_MAILBOX(name, words, preset, ends, en, fr) { #name, false, words, preset, 0, 0, TWIN_ENDS_##ends, { en, fr } },
#include "tables/twin_switches.def"
#undef TWIN_SWITCH
#undef TWIN_MAILBOX
};

const struct twin_switch_row *twin_switch_row(enum twin_switch at)
{
	return &switch_rows[at];
}

const struct twin_switch_row *twin_mailbox_row(enum twin_mailbox_switch at)
{
	return &mailbox_rows[at];
}

bool twin_switch_parse(const struct twin_switch_row *row, struct span text, int64_t *value_out)
{
	struct span rest = span_of(row->words), word;
	uint64_t number;

	if (row->is_number) {
		if (!span_number(text, &number) || number > INT64_MAX || (int64_t)number < row->lowest || (int64_t)number > row->highest)
			return false;
		*value_out = (int64_t)number;
		return true;
	}
	for (int64_t at = 0; span_cut(&rest, ' ', &word); at++) {
		if (!span_equal_fold(word, text))
			continue;
		*value_out = at;
		return true;
	}
	return false;
}

void twin_switch_print(struct buf *out, const struct twin_switch_row *row, int64_t value)
{
	struct span rest = span_of(row->words), word;

	if (row->is_number) {
		buf_print(out, "%lld", (long long)value);
		return;
	}
	for (int64_t at = 0; span_cut(&rest, ' ', &word); at++)
		if (at == value)
			buf_put(out, word);
}

void twin_tenant_init(struct twin_tenant *t)
{
	memset(t, 0, sizeof *t);
	for (size_t i = 0; i < TWIN_SWITCH_COUNT; i++)
		(void)twin_switch_parse(&switch_rows[i], span_of(switch_rows[i].preset), &t->values[i]);
}

struct twin_user *twin_tenant_user(struct twin_tenant *t, struct span address)
{
	for (size_t i = 0; i < t->user_count; i++)
		if (span_equal_fold(span_of(t->users[i].address), address))
			return &t->users[i];
	return NULL;
}

struct twin_user *twin_tenant_user_id(struct twin_tenant *t, struct span oid)
{
	for (size_t i = 0; i < t->user_count; i++)
		if (span_equal_fold(span_of(t->users[i].oid), oid))
			return &t->users[i];
	return NULL;
}

/* An id in the shape of a GUID, made from the digest of a text. */
static void id_print(char out[TWIN_ID_BYTES], struct span text)
{
	unsigned char d[SEAL_DIGEST_BYTES];

	seal_digest(d, text);
	snprintf(out, TWIN_ID_BYTES, "%02x%02x%02x%02x-%02x%02x-4%x%02x-%x%x%02x-%02x%02x%02x%02x%02x%02x", d[0], d[1], d[2], d[3], d[4], d[5],
		 d[6] & 15u, d[7], 8 + (d[8] & 3u), d[8] >> 4, d[9], d[10], d[11], d[12], d[13], d[14], d[15]);
}

void twin_principal_id(char out[TWIN_ID_BYTES], const char *client_id)
{
	char text[TWIN_TEXT_BYTES];

	snprintf(text, sizeof text, "principal %s", client_id);
	id_print(out, span_of(text));
}

enum fault twin_tenant_add_user(struct twin_tenant *t, struct span address, struct twin_user **out)
{
	struct twin_user *u = &t->users[t->user_count];

	if (!address.size || address.size >= sizeof u->address || span_find_byte(address, '@') == address.size || !text_is_ascii(address) ||
	    span_find_byte(address, ' ') != address.size)
		return FAULT_MALFORMED;
	if (twin_tenant_user(t, address))
		return FAULT_EXISTS;
	if (t->user_count == TWIN_USERS_MAX)
		return FAULT_TOO_LARGE;
	memset(u, 0, sizeof *u);
	memcpy(u->address, address.at, address.size);
	id_print(u->oid, address);
	for (size_t i = 0; i < TWIN_MAILBOX_COUNT; i++)
		(void)twin_switch_parse(&mailbox_rows[i], span_of(mailbox_rows[i].preset), &u->values[i]);
	t->user_count++;
	*out = u;
	return FAULT_OK;
}

struct twin_app *twin_tenant_app(struct twin_tenant *t, struct span client_id)
{
	for (size_t i = 0; i < t->app_count; i++)
		if (span_equal_fold(span_of(t->apps[i].id), client_id))
			return &t->apps[i];
	return NULL;
}

struct twin_service *twin_tenant_service(struct twin_tenant *t, struct span email)
{
	for (size_t i = 0; i < t->service_count; i++)
		if (span_equal_fold(span_of(t->services[i].email), email))
			return &t->services[i];
	return NULL;
}

struct twin_connector *twin_tenant_connector(struct twin_tenant *t, struct span name)
{
	for (size_t i = 0; i < t->connector_count; i++)
		if (span_equal_fold(span_of(t->connectors[i].name), name))
			return &t->connectors[i];
	return NULL;
}

struct twin_connector *twin_tenant_add_connector(struct twin_tenant *t, struct span name)
{
	struct twin_connector *c = twin_tenant_connector(t, name);

	if (c || !name.size || name.size >= sizeof c->name || t->connector_count == TWIN_CONNECTORS_MAX)
		return c;
	c = &t->connectors[t->connector_count++];
	*c = (struct twin_connector){ 0 };
	memcpy(c->name, name.at, name.size);
	return c;
}

bool twin_tenant_accepts(const struct twin_tenant *t, struct span address)
{
	struct span domain = span_slice(address, span_find_byte(address, '@') + 1, address.size), rest = span_of(t->domains), one;

	if (span_equal_fold(span_of(t->domain), domain))
		return true;
	while (span_cut(&rest, ' ', &one))
		if (one.size && span_equal_fold(one, domain))
			return true;
	return false;
}

bool twin_tenant_knows(const struct twin_tenant *t, struct span address)
{
	for (size_t i = 0; i < t->user_count; i++)
		if (twin_user_may_send_as(&t->users[i], address))
			return true;
	return false;
}

bool twin_tenant_is(const struct twin_tenant *t, struct span name)
{
	return span_equal_fold(name, span_of(t->id)) || span_equal_fold(name, span_of(t->domain)) || span_equal(name, SPAN("common")) ||
	       span_equal(name, SPAN("organizations"));
}

bool twin_user_may_send_as(const struct twin_user *u, struct span address)
{
	struct span rest = span_of(u->send_as), one;

	if (span_equal_fold(span_of(u->address), address))
		return true;
	while (span_cut(&rest, ' ', &one))
		if (one.size && span_equal_fold(one, address))
			return true;
	return false;
}

bool twin_tenant_needs_factor(const struct twin_tenant *t, const struct twin_user *u)
{
	return u->values[TWIN_MAILBOX_mfa] != TWIN_MFA_DISABLED || t->values[TWIN_SWITCH_security_defaults] == TWIN_ON;
}

static enum fault set_tenant(struct twin_tenant *t, struct span name, struct span value, struct twin_change *change)
{
	for (size_t i = 0; i < TWIN_SWITCH_COUNT; i++) {
		int64_t number;

		if (!span_equal(span_of(switch_rows[i].name), name))
			continue;
		if (!twin_switch_parse(&switch_rows[i], value, &number))
			return FAULT_MALFORMED;
		if (t->values[i] != number)
			change->ends = switch_rows[i].ends;
		t->values[i] = number;
		return FAULT_OK;
	}
	return FAULT_NOT_FOUND;
}

static enum fault set_mailbox(struct twin_user *u, struct span name, struct span value, int64_t wall_ms, struct twin_change *change)
{
	for (size_t i = 0; i < TWIN_MAILBOX_COUNT; i++) {
		int64_t number;

		if (!span_equal(span_of(mailbox_rows[i].name), name))
			continue;
		if (!twin_switch_parse(&mailbox_rows[i], value, &number))
			return FAULT_MALFORMED;
		if (u->values[i] != number || i == TWIN_MAILBOX_grant)
			change->ends = mailbox_rows[i].ends;
		u->values[i] = number;
		if (i == TWIN_MAILBOX_consent)
			u->consented = number ? ~0u : 0;
		if (i == TWIN_MAILBOX_grant)
			u->grants_from_ms = number == TWIN_GRANT_VALID ? 0 : wall_ms;
		return FAULT_OK;
	}
	return FAULT_NOT_FOUND;
}

enum fault twin_tenant_set(struct twin_tenant *t, struct span name, struct span value, struct span address, int64_t wall_ms,
			   struct twin_change *change_out)
{
	*change_out = (struct twin_change){ NULL, TWIN_ENDS_NONE };
	if (!address.size)
		return set_tenant(t, name, value, change_out);
	change_out->user = twin_tenant_user(t, address);
	return change_out->user ? set_mailbox(change_out->user, name, value, wall_ms, change_out) : FAULT_NOT_FOUND;
}
