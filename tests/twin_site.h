/* tests/twin_site.h - a tenant with sessions, for the tests of this folder.
 *
 * Why       Several tests need the preset's people, keys and a token.
 * Promise   Times are the caller's; nothing waits.
 * Owns      Everything in it, until test_tenant_fini().
 * Refuses   Nothing: what fails fails the test. */
#pragma once
#include "tests/test.h"
#include "twin/exchange_session.h"
#include "twin/twin_config.h"

#include <stdlib.h>

struct test_tenant {
	struct twin_tenant tenant;
	struct twin_scripts scripts;
	struct exchange_counter *counters, *gmail_counters;
	struct twin_keys *keys;
	struct exchange_world world;
};

static inline void test_tenant_init(struct test_tenant *t, struct twin_keys *keys)
{
	struct twin_config config = { .tenant = &t->tenant };
	char why[TWIN_WHY_BYTES];

	memset(t, 0, sizeof *t);
	twin_tenant_init(&t->tenant);
	assert_int_equal(twin_config_read(&config, twin_config_preset(), why), FAULT_OK);
	t->keys = keys;
	t->counters = calloc(TWIN_USERS_MAX, sizeof *t->counters);
	t->gmail_counters = calloc(TWIN_USERS_MAX, sizeof *t->gmail_counters);
	t->world = (struct exchange_world){ .tenant = &t->tenant, .scripts = &t->scripts, .shelf = twin_shelf_new(NULL), .keys = keys,
					    .counters = t->counters, .gmail_counters = t->gmail_counters };
}

static inline void test_tenant_fini(struct test_tenant *t)
{
	twin_shelf_free(&t->world.shelf);
	free(t->counters);
	free(t->gmail_counters);
}

static inline void test_tenant_set(struct test_tenant *t, const char *name, const char *value, const char *mailbox)
{
	struct twin_change change;

	assert_int_equal(twin_tenant_set(&t->tenant, span_of(name), span_of(value), span_of(mailbox), 1, &change), FAULT_OK);
}

static inline void test_tenant_fault(struct test_tenant *t, const char *name, const char *stage, int64_t times, int64_t ms)
{
	assert_int_equal(twin_script_add(&t->scripts, &(struct twin_script_wish){ .name = span_of(name), .stage = span_of(stage), .times = times, .ms = ms }),
			 FAULT_OK);
}

/* A token of the address for the audience, as a SASL response in the clear. */
static inline void test_tenant_xoauth2(struct test_tenant *t, struct buf *out, const char *user, const char *owner, const char *audience, int64_t wall_ms)
{
	struct twin_claims claims = { .tenant = &t->tenant, .user = twin_tenant_user(&t->tenant, span_of(owner)), .client_id = t->tenant.apps[0].id,
				      .issuer = "http://localhost/x/v2.0", .audience = span_of(audience), .scope = SPAN("SMTP.Send IMAP.AccessAsUser.All"),
				      .has_factor = true, .wall_ms = wall_ms, .seconds = 3600 };

	buf_print(out, "user=%s\1auth=Bearer ", user);
	assert_int_equal(twin_access_put(out, t->keys, &claims), FAULT_OK);
	buf_print(out, "\1\1");
}
