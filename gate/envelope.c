#include "gate/envelope.h"

#include "base/message.h"

static bool may_send_as(const struct grant_mailbox *m, struct span address)
{
	struct grant one = { .mailbox_count = 1, .mailboxes = (struct grant_mailbox *)m };

	return grant_mailbox_for(&one, address) != NULL;
}

static enum fault take(struct envelope_route *out, const struct grant_mailbox *m, struct span sender, bool is_rewritten)
{
	if (!m)
		return FAULT_SENDER_NOT_GRANTED;
	*out = (struct envelope_route){ .mailbox = m, .sender = sender, .is_rewritten = is_rewritten, .is_null = out->is_null };
	return m->ready;
}

enum fault envelope_route(struct envelope_route *out, const struct grant *g, struct span sender)
{
	const struct grant_mailbox *preset = grant_mailbox(g, g->default_mailbox), *m;
	struct span mapped;

	*out = (struct envelope_route){ .is_null = !sender.size };
	if (!sender.size)
		return take(out, preset, preset ? preset->address : sender, false);
	/* Several mailboxes may send as one address; the client's own choice goes first. */
	if (preset && may_send_as(preset, sender))
		return take(out, preset, sender, false);
	m = grant_mailbox_for(g, sender);
	if (m)
		return take(out, m, sender, false);
	switch (g->sender_rule) {
	case GRANT_SENDER_REWRITE: return take(out, preset, preset ? preset->address : sender, true);
	case GRANT_SENDER_MAP:
		mapped = grant_mapped(g, sender);
		return take(out, mapped.size ? grant_mailbox_for(g, mapped) : NULL, mapped, true);
	case GRANT_SENDER_REFUSE: break;
	}
	return FAULT_SENDER_NOT_GRANTED;
}

enum fault envelope_from(struct span *out, const struct grant *g, const struct envelope_route *route, struct span from)
{
	struct span mapped;

	*out = from;
	if (may_send_as(route->mailbox, from))
		return FAULT_OK;
	if (g->sender_rule == GRANT_SENDER_REWRITE) {
		*out = route->mailbox->address;
		return FAULT_OK;
	}
	if (g->sender_rule == GRANT_SENDER_MAP) {
		mapped = grant_mapped(g, from);
		*out = mapped.size ? mapped : from;
		return mapped.size && may_send_as(route->mailbox, mapped) ? FAULT_OK : FAULT_SENDER_NOT_GRANTED;
	}
	return FAULT_SENDER_NOT_GRANTED;
}
