#include "tests/replay/cloud.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/text.h"
#include "loop/fake/world.h"
#include "loop/http_client.h"
#include "tests/replay/person.h"
#include "twin/twin.h"

#include <stdio.h>
#include <stdlib.h>

enum { SMTP_PORT = 3587, HTTP_PORT = 3443, KEYS_BYTES = 64 * 1024, FULL = TWIN_SHELF_MAILS / 2 };

struct cloud {
	struct loop *loop;
	struct twin *twin;
	char authority[128];
	struct buf ca;
	uint64_t seen; /* mail up to this number */
	unsigned people;
};

static char keys_memory[KEYS_BYTES];
static struct buf saved_keys;

void cloud_prepare(int64_t wall_ms)
{
	struct twin_keys *made;

	if (saved_keys.at)
		return;
	buf_over(&saved_keys, keys_memory, sizeof keys_memory);
	if (twin_keys_make(&made, wall_ms) || twin_keys_save(made, &saved_keys))
		panic("no keys for the twin");
	twin_keys_free(&made);
}

static struct twin_keys *keys(void)
{
	struct twin_keys *loaded;

	if (twin_keys_load(&loaded, buf_span(&saved_keys), clock_wall_ms()))
		panic("the keys of the twin do not load");
	return loaded;
}

struct cloud *cloud_new(void)
{
	struct cloud *c = calloc(1, sizeof *c);
	struct twin_settings settings = { .smtp_port = SMTP_PORT, .http_port = HTTP_PORT, .keys = keys() };
	char why[TWIN_WHY_BYTES] = "";

	if (!c)
		panic("out of memory");
	c->loop = world_loop("twin");
	if (twin_new(&c->twin, c->loop, &settings, why))
		panic("the twin does not start: %s", why);
	buf_init(&c->ca, KEYS_BYTES);
	buf_put(&c->ca, twin_ca(c->twin));
	buf_put(&c->ca, world_authority(c->authority, "replay"));
	return c;
}

void cloud_free(struct cloud **cloud)
{
	struct cloud *c = *cloud;

	*cloud = NULL;
	if (!c)
		return;
	twin_free(&c->twin);
	loop_free(&c->loop);
	buf_free(&c->ca);
	free(c);
}

uint16_t cloud_http_port(const struct cloud *c)
{
	return HTTP_PORT;
}

uint16_t cloud_smtp_port(const struct cloud *c)
{
	return twin_smtp_port(c->twin);
}

struct span cloud_ca(const struct cloud *c)
{
	return buf_span(&c->ca);
}

bool cloud_switch(struct cloud *c, struct span name, struct span value, struct span mailbox)
{
	return twin_set(c->twin, name, value, mailbox) == FAULT_OK;
}

bool cloud_script(struct cloud *c, const struct cloud_fault *f)
{
	return twin_fault(c->twin, &(struct twin_script_wish){ .name = f->name, .stage = f->stage, .mailbox = f->mailbox, .text = f->text,
							       .times = f->times, .ms = f->wait_ms, .percent = f->percent }) == FAULT_OK;
}

void cloud_unscript(struct cloud *c)
{
	twin_unscript(c->twin);
}

bool cloud_approve(struct cloud *c, struct span user_code, struct span address)
{
	const struct twin_user *user = twin_tenant_user(twin_tenant(c->twin), address);

	return user && person_approves(twin_url(c->twin), user_code, user);
}

void cloud_mails(struct cloud *c, void (*each)(void *self, const struct cloud_mail *), void *self)
{
	const struct twin_shelf *shelf = twin_mail(c->twin);
	uint64_t last = twin_shelf_last(shelf);

	/* Mail that the shelf forgot before it was looked at would pass for lost. */
	ASSERT(c->seen + 1 >= twin_shelf_first(shelf) || !last);
	while (c->seen < last) {
		const struct twin_mail *mail = twin_shelf_mail(shelf, ++c->seen);

		each(self, &(struct cloud_mail){ mail->recipients, mail->bytes, mail->taken_at_ms });
	}
}

bool cloud_is_full(const struct cloud *c)
{
	return twin_shelf_last(twin_mail(c->twin)) >= c->seen + FULL;
}

bool cloud_overshot(const struct cloud *c, struct span word, uint64_t *out)
{
	struct twin_overshot over = twin_overshot(c->twin);
	const struct {
		const char *word;
		uint64_t number;
	} numbers[] = { { "minute", over.minute }, { "day", over.day }, { "sessions", over.sessions }, { "most", over.most_in_minute } };

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (span_equal(word, span_of(numbers[i].word))) {
			*out = numbers[i].number;
			return true;
		}
	return false;
}

const char *cloud_add_person(struct cloud *c)
{
	struct twin_user *user;
	char address[64];

	snprintf(address, sizeof address, "p%u@contoso.example", ++c->people);
	if (twin_tenant_add_user(twin_tenant(c->twin), span_of(address), &user))
		panic("the twin takes no more people");
	snprintf(user->password, sizeof user->password, "Number-%u-Please", c->people);
	snprintf(user->authenticator, sizeof user->authenticator, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP");
	user->values[TWIN_MAILBOX_mfa] = TWIN_MFA_ENFORCED;
	return user->address;
}

void cloud_registration(struct cloud *c, struct buf *out)
{
	const struct twin_tenant *tenant = twin_tenant(c->twin);

	buf_print(out,
		  "\"kind\":\"microsoft\",\"tenant\":\"%s\",\"client_id\":\"%s\",\"client_secret\":\"%s\",\"issuer\":\"%s/%s/v2.0\","
		  "\"smtp_host\":\"localhost\",\"smtp_port\":\"%u\",\"smtp_tls\":\"starttls\",\"messages_per_minute\":0,\"recipients_per_day\":0",
		  tenant->id, tenant->apps[0].id, tenant->apps[0].secret, twin_url(c->twin), tenant->id, twin_smtp_port(c->twin));
}
