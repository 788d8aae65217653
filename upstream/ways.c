#include "upstream/ways.h"

#include "base/panic.h"

#include <stdlib.h>

struct ways {
	struct smtp_way *smtp;
};

struct ways *ways_new(struct loop *loop, struct dns *dns, struct tls *tls, const struct smtp_way_settings *settings,
		      const struct way_events *events, void *self)
{
	struct ways *w = calloc(1, sizeof *w);

	if (!w)
		panic("out of memory");
	w->smtp = smtp_way_new(loop, dns, tls, settings, events, self);
	return w;
}

void ways_free(struct ways **out)
{
	struct ways *w = *out;

	if (!w)
		return;
	smtp_way_free(&w->smtp);
	free(w);
	*out = NULL;
}

void ways_set(struct ways *w, struct tls *tls, const struct smtp_way_settings *settings)
{
	smtp_way_set(w->smtp, tls, settings);
}

void ways_send(struct ways *w, struct way_letter *letter)
{
	switch (letter->way) {
	case WAY_SMTP:
	case WAY_CONNECTOR:
	case WAY_APP_PASSWORD: smtp_way_send(w->smtp, letter); return;
	case WAY_NONE:
	case WAY_END: break;
	}
	panic("a letter without a way");
}

void ways_token(struct ways *w, const struct message_token *t)
{
	switch ((enum way)t->way) {
	case WAY_SMTP:
	case WAY_CONNECTOR:
	case WAY_APP_PASSWORD: smtp_way_token(w->smtp, t); return;
	case WAY_NONE:
	case WAY_END: return;
	}
}

void ways_vault_ended(struct ways *w)
{
	smtp_way_vault_ended(w->smtp);
}

void ways_renew(struct ways *w, uint64_t mailbox)
{
	smtp_way_renew(w->smtp, mailbox);
}

unsigned ways_connections(const struct ways *w)
{
	return smtp_way_connections(w->smtp);
}
