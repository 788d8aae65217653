/* tests/provider.h - for tests: a provider that speaks SMTP on loopback and does as it is told.
 *
 * Why       Post, and the way out by SMTP, are proved against what a provider may say, not against a stand-in for our own code.
 * Promise   Takes what it is given and keeps it; answers by its rules, first come first, and sensibly where there is none.
 * Owns      A listener on 127.0.0.1, its connections, the mail it took.
 * Refuses   Nothing. */
#pragma once
#include "base/buf.h"
#include "loop/stream.h"
#include "tests/test.h"

#include <stdlib.h>

enum { PROVIDER_RULES_MAX = 32, PROVIDER_MAILS_MAX = 4096 };

/* What it answers to a command that begins so, in place of 250; used `times` times (0: always), after skipping `skip`. "greeting", "sign-in" and
 * "." stand for the greeting, the end of AUTH and the end of a message. */
struct provider_rule {
	const char *verb, *reply;
	unsigned times, skip;
	bool stall, hang_up; /* says nothing; closes instead */
};

/* What it took. */
struct provider_mail {
	char sender[128], recipients[1024], user[512];
	struct buf data;
};

struct provider;

struct provider_connection {
	struct provider *provider;
	struct stream *stream;
	bool in_data, in_auth, encrypted, wants_tls;
	struct provider_mail *mail;
	char user[512];
	struct provider_connection *next;
};

struct provider {
	struct loop *loop;
	struct listener *listener;
	uint16_t port;
	struct tls *tls; /* where it offers STARTTLS */
	bool is_implicit;
	struct provider_rule rules[PROVIDER_RULES_MAX];
	size_t rule_count, mail_count, connections, sign_ins;
	struct provider_mail mails[PROVIDER_MAILS_MAX];
	struct provider_connection *open; /* the newest first */
};

/* Whoever waits looks again at what came. */
static inline void provider_wake(struct provider *p)
{
	loop_stop(p->loop);
}

static inline void provider_rule(struct provider *r, struct provider_rule rule)
{
	assert_true(r->rule_count < PROVIDER_RULES_MAX);
	r->rules[r->rule_count++] = rule;
}

static inline void provider_forget_rules(struct provider *r)
{
	r->rule_count = 0;
}

static inline const struct provider_rule *provider_find_rule(struct provider *r, struct span line)
{
	for (size_t i = 0; i < r->rule_count; i++) {
		struct provider_rule *rule = &r->rules[i];

		if (!rule->verb || !span_starts_fold(line, span_of(rule->verb)))
			continue;
		if (rule->skip) {
			rule->skip--;
			continue;
		}
		if (rule->times && !--rule->times) {
			static struct provider_rule last;

			last = *rule;
			rule->verb = NULL;
			return &last;
		}
		return rule;
	}
	return NULL;
}

static inline void provider_say(struct provider_connection *c, const char *text)
{
	stream_write(c->stream, span_of(text));
	stream_write(c->stream, SPAN("\r\n"));
}

/* Says what a rule says; true when there was one. */
static inline bool provider_by_rule(struct provider_connection *c, struct span line)
{
	const struct provider_rule *rule = provider_find_rule(c->provider, line);

	if (!rule)
		return false;
	if (rule->reply)
		provider_say(c, rule->reply);
	if (rule->hang_up)
		stream_finish(&c->stream);
	return true;
}

static inline void provider_between(char *to, size_t size, struct span line)
{
	size_t from = span_find_byte(line, '<') + 1, end = span_find_byte(line, '>');

	if (strlen(to) + 2 < size)
		snprintf(to + strlen(to), size - strlen(to), "%s%.*s", *to ? " " : "", (int)(end - from), line.at + from);
}

static inline void provider_new_mail(struct provider_connection *c, struct span line)
{
	assert_true(c->provider->mail_count < PROVIDER_MAILS_MAX);
	c->mail = &c->provider->mails[c->provider->mail_count];
	buf_free(&c->mail->data);
	memset(c->mail, 0, sizeof *c->mail);
	buf_init(&c->mail->data, 1 << 26);
	provider_between(c->mail->sender, sizeof c->mail->sender, line);
	snprintf(c->mail->user, sizeof c->mail->user, "%s", c->user);
}

static inline void provider_signed_in(struct provider_connection *c, struct span secret)
{
	c->in_auth = false;
	c->provider->sign_ins++;
	snprintf(c->user, sizeof c->user, "%.*s", SPAN_ARGS(secret));
	if (!provider_by_rule(c, SPAN("sign-in")))
		provider_say(c, "235 2.7.0 Authentication successful");
}

static inline void provider_command(struct provider_connection *c, struct span line)
{
	if (c->in_auth) {
		provider_signed_in(c, line);
		return;
	}
	if (provider_by_rule(c, line))
		return;
	if (span_starts_fold(line, SPAN("EHLO"))) {
		if (c->provider->tls && !c->encrypted)
			provider_say(c, "250-provider\r\n250 STARTTLS");
		else
			provider_say(c, "250-provider\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-SIZE 100000000\r\n250 AUTH PLAIN LOGIN XOAUTH2");
	} else if (c->provider->tls && span_starts_fold(line, SPAN("STARTTLS"))) {
		c->wants_tls = true;
		provider_say(c, "220 2.0.0 go ahead");
		stream_start_tls_server(c->stream, c->provider->tls);
	} else if (span_starts_fold(line, SPAN("AUTH"))) {
		size_t blank = span_find_byte(span_slice(line, 5, line.size), ' ');

		c->in_auth = true;
		if (blank + 5 < line.size)
			provider_signed_in(c, span_slice(line, blank + 6, line.size));
		else
			provider_say(c, "334 ");
	} else if (span_starts_fold(line, SPAN("MAIL"))) {
		provider_new_mail(c, line);
		provider_say(c, "250 2.1.0 Sender OK");
	} else if (span_starts_fold(line, SPAN("RSET"))) {
		c->mail = NULL;
		provider_say(c, "250 2.0.0 OK");
	} else if (!c->mail && !span_starts_fold(line, SPAN("QUIT"))) {
		provider_say(c, "503 5.5.1 MAIL first");
	} else if (span_starts_fold(line, SPAN("RCPT"))) {
		provider_between(c->mail->recipients, sizeof c->mail->recipients, line);
		provider_say(c, "250 2.1.5 Recipient OK");
	} else if (span_starts_fold(line, SPAN("DATA")) && !c->mail->recipients[0]) {
		provider_say(c, "554 5.5.1 no valid recipients");
	} else if (span_starts_fold(line, SPAN("DATA"))) {
		c->in_data = true;
		provider_say(c, "354 Start mail input");
	} else if (span_starts_fold(line, SPAN("QUIT"))) {
		provider_say(c, "221 2.0.0 Bye");
		stream_finish(&c->stream);
	} else {
		provider_say(c, "250 2.0.0 OK");
	}
}

static inline void provider_data_line(struct provider_connection *c, struct span line)
{
	if (span_equal(line, SPAN("."))) {
		c->in_data = false;
		if (provider_by_rule(c, SPAN(".")))
			return;
		c->provider->mail_count++;
		c->mail = NULL;
		provider_say(c, "250 2.0.0 OK <taken>");
		provider_wake(c->provider);
		return;
	}
	if (line.size && line.at[0] == '.')
		line = span_slice(line, 1, line.size);
	buf_put(&c->mail->data, line);
	buf_put(&c->mail->data, SPAN("\r\n"));
}

static inline void provider_on_opened(void *self)
{
	struct provider_connection *c = self;

	if (c->provider->is_implicit && !c->wants_tls) {
		c->wants_tls = true;
		stream_start_tls_server(c->stream, c->provider->tls);
		return;
	}
	c->encrypted = c->wants_tls;
	if ((!c->encrypted || c->provider->is_implicit) && !provider_by_rule(c, SPAN("greeting")))
		provider_say(c, "220 provider ESMTP");
}

static inline size_t provider_on_data(void *self, struct span bytes)
{
	struct provider_connection *c = self;
	size_t taken = 0, size;

	provider_wake(c->provider);
	while (c->stream && (size = span_find(span_slice(bytes, taken, bytes.size), SPAN("\r\n"))) < bytes.size - taken) {
		struct span line = span_slice(bytes, taken, size);

		taken += size + 2;
		if (c->in_data)
			provider_data_line(c, line);
		else
			provider_command(c, line);
	}
	return taken;
}

static inline void provider_on_ended(void *self, enum fault fault, struct span why)
{
	struct provider_connection *c = self;

	(void)fault;
	(void)why;
	stream_close(&c->stream);
}

static const struct stream_events provider_events = { .opened = provider_on_opened, .data = provider_on_data, .ended = provider_on_ended };

static inline void provider_on_accepted(void *self, int fd, const struct address *peer)
{
	struct provider *r = self;
	struct provider_connection *c = calloc(1, sizeof *c);

	(void)peer;
	c->provider = r;
	c->next = r->open;
	r->open = c;
	r->connections++;
	c->stream = stream_adopt_take(r->loop, fd, &provider_events, c);
	provider_wake(r);
}

static inline void provider_begin(struct provider *p, struct loop *loop)
{
	struct address loopback = { 0 };
	int fd;

	*p = (struct provider){ .loop = loop };
	assert_true(address_parse(&loopback, SPAN("127.0.0.1"), 0));
	fd = listener_bind(&loopback, 64);
	assert_true(fd >= 0);
	p->port = listener_address(fd).port;
	p->listener = listener_new(loop, fd, provider_on_accepted, p);
}

static inline void provider_end(struct provider *p)
{
	while (p->open) {
		struct provider_connection *c = p->open;

		p->open = c->next;
		stream_close(&c->stream);
		free(c);
	}
	for (size_t i = 0; i < PROVIDER_MAILS_MAX; i++)
		buf_free(&p->mails[i].data);
	listener_free(&p->listener);
}
