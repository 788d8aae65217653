#include "vault/inner.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

/* Device codes (RFC 8628): the person types a code on another machine, and we ask from time to time whether that is done. A code lives a quarter of
 * an hour and in memory only; after a restart the person asks for another. */

enum { DEVICES_MAX = 256, SLOWER_MS = 5000, FORM_BYTES_MAX = 128 * 1024, ODD_MAX = 5 };

struct device {
	struct vault *vault;
	struct vault_pending pending;
	struct asker asker;
	bool is_answered;
	uint64_t mailbox;
	struct http_fetch *fetch;
	struct provider *asked;
	struct timer timer;
	struct secret *code;
	int64_t interval_ms, ends_at_ms; /* loop time */
	unsigned odd;                    /* answers in a row that made no sense */
};

struct devices {
	unsigned count;
};

static void poll(void *self);

void device_start(struct vault *v)
{
	v->devices = calloc(1, sizeof *v->devices);
	if (!v->devices)
		panic("out of memory");
}

void device_free(struct vault *v)
{
	free(v->devices);
	v->devices = NULL;
}

static void drop(void *self)
{
	struct device *d = self;

	vault_pending_remove(&d->pending);
	if (d->asked)
		provider_forget(d->asked, d);
	http_cancel(&d->fetch);
	timer_stop(&d->timer);
	secret_free(&d->code);
	d->vault->devices->count--;
	free(d);
}

static struct provider *provider_of(const struct device *d)
{
	const struct registry_mailbox *m = registry_by_id(&d->vault->registry.mailboxes, d->mailbox);

	return m ? mailbox_provider(d->vault, m) : NULL;
}

static void fail(struct device *d, enum fault fault, struct span why)
{
	const struct registry_mailbox *m = registry_by_id(&d->vault->registry.mailboxes, d->mailbox);

	if (!d->is_answered)
		asker_answer(d->vault, &d->asker, fault, why, NULL);
	TRAIL(&d->vault->trail, EVENT_LINK_FAILED, TRAIL_TEXT("mailbox", m ? m->row.address : SPAN("")), TRAIL_TEXT("way", SPAN("device")),
	      TRAIL_TEXT("fault", span_of(fault_row(fault)->name)), TRAIL_TEXT("why", why));
	drop(d);
}

static void signed_in(void *self, const struct sign_in_result *r)
{
	drop(self);
}

/* --- asking whether it is done */

static void wait_on(struct device *d)
{
	if (loop_now_ms(d->vault->loop) + d->interval_ms > d->ends_at_ms)
		fail(d, FAULT_OAUTH_CODE_EXPIRED, SPAN(""));
	else
		timer_after(&d->timer, d->interval_ms);
}

static void polled(void *self, const struct http_answer *http)
{
	struct device *d = self;
	const struct sign_in_wish wish = { .mailbox = d->mailbox, .way = "device" };
	struct oauth_answer answer = { 0 };
	enum fault fault = http->fault;

	d->fetch = NULL;
	if (fault == FAULT_OK)
		fault = oauth_read_token(&answer, http->status, http->body);
	if (fault == FAULT_OK) {
		sign_in_begin_take(d->vault, &wish, &answer, signed_in, d);
		return;
	}
	if (fault == FAULT_OAUTH_SLOW_DOWN || http->status == 429)
		d->interval_ms += SLOWER_MS;
	d->odd = fault == FAULT_OAUTH_PENDING || fault == FAULT_OAUTH_SLOW_DOWN ? 0 : d->odd + 1;
	/* What passes by itself is asked again, though not for ever. */
	if (fault_row(fault)->class == FAULT_CLASS_RETRY && d->odd <= ODD_MAX) {
		if (http->fault == FAULT_TIMEOUT)
			d->interval_ms *= 2; /* RFC 8628 3.5 */
		wait_on(d);
	} else {
		fail(d, fault, answer.description);
	}
	oauth_answer_free(&answer);
}

static void poll_endpoints(void *self, enum fault fault, struct span why, const struct provider_endpoints *e)
{
	struct device *d = self;
	struct provider *p = d->asked;
	struct oauth_client client;
	struct buf form;

	d->asked = NULL;
	if (fault != FAULT_OK) {
		fail(d, fault, why);
		return;
	}
	client = provider_client(p);
	buf_init(&form, FORM_BYTES_MAX);
	if (oauth_device_poll_form(&form, &client, secret_borrow(d->code)))
		d->fetch = sign_in_post(d->vault, e->token, buf_span(&form), polled, d);
	buf_wipe(&form);
}

static void poll(void *self)
{
	struct device *d = self;

	d->asked = provider_of(d);
	if (d->asked)
		provider_endpoints(d->asked, poll_endpoints, d);
	else
		fail(d, FAULT_NOT_FOUND, SPAN(""));
}

/* --- the code */

static void tell(struct device *d, const struct oauth_answer *a)
{
	const struct registry_mailbox *m = registry_by_id(&d->vault->registry.mailboxes, d->mailbox);
	json_t *result = json_object();
	char memory[64];
	struct buf date;

	buf_over(&date, memory, sizeof memory);
	text_date(&date, clock_wall_ms() + a->expires_in_s * 1000);
	json_put_text(result, "user_code", a->user_code);
	json_put_text(result, "verification_uri", a->verification_uri);
	json_put_text(result, "message", a->message);
	json_put_text(result, "address", m ? m->row.address : SPAN(""));
	json_put_text(result, "expires_at", buf_span(&date));
	d->is_answered = true;
	asker_answer(d->vault, &d->asker, FAULT_OK, SPAN(""), result);
	TRAIL(&d->vault->trail, EVENT_LINK_MADE, TRAIL_TEXT("mailbox", m ? m->row.address : SPAN("")),
	      TRAIL_TEXT("actor", span_of(d->asker.actor)), TRAIL_TEXT("way", SPAN("device")));
}

static void code_came(void *self, const struct http_answer *http)
{
	struct device *d = self;
	struct oauth_answer answer = { 0 };
	enum fault fault = http->fault;

	d->fetch = NULL;
	if (fault == FAULT_OK)
		fault = oauth_read_device(&answer, http->status, http->body);
	if (fault == FAULT_OK) {
		d->code = secret_new(answer.device_code);
		d->interval_ms = answer.interval_s * 1000;
		d->ends_at_ms = loop_now_ms(d->vault->loop) + answer.expires_in_s * 1000;
		tell(d, &answer);
		wait_on(d);
	} else {
		fail(d, fault, http->fault != FAULT_OK ? http->why : answer.description);
	}
	oauth_answer_free(&answer);
}

static void code_endpoints(void *self, enum fault fault, struct span why, const struct provider_endpoints *e)
{
	struct device *d = self;
	struct provider *p = d->asked;
	struct oauth_client client;
	struct buf form, url;

	d->asked = NULL;
	if (fault == FAULT_OK && !e->device.size) {
		fault = FAULT_FORBIDDEN;
		why = SPAN("this provider knows no device codes; use a link");
	}
	if (fault != FAULT_OK) {
		fail(d, fault, why);
		return;
	}
	client = provider_client(p);
	buf_init(&form, FORM_BYTES_MAX);
	buf_init(&url, FORM_BYTES_MAX);
	buf_put(&url, e->device);
	/* Entra takes the language of its message from the address. */
	if (d->asker.language == LANGUAGE_FR && provider_kind(p)->account == PROVIDER_ACCOUNT_TENANT)
		buf_put(&url, SPAN("?mkt=fr-FR"));
	if (oauth_device_form(&form, &client))
		d->fetch = sign_in_post(d->vault, buf_span(&url), buf_span(&form), code_came, d);
	buf_wipe(&form);
	buf_free(&url);
}

void device_begin(struct vault *v, const struct asker *a, const struct registry_mailbox *m)
{
	struct device *d;

	if (v->devices->count >= DEVICES_MAX) {
		asker_answer(v, a, FAULT_TOO_BUSY, SPAN(""), NULL);
		return;
	}
	d = calloc(1, sizeof *d);
	if (!d)
		panic("out of memory");
	*d = (struct device){ .vault = v, .asker = *a, .mailbox = m->row.id };
	v->devices->count++;
	vault_pending_add(v, &d->pending, drop, d);
	timer_init(&d->timer, v->loop, poll, d);
	d->asked = provider_of(d);
	if (d->asked)
		provider_endpoints(d->asked, code_endpoints, d);
	else
		fail(d, FAULT_NOT_FOUND, SPAN(""));
}
