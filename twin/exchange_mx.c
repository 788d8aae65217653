#include "loop/address.h"
#include "twin/exchange_parts.h"

static bool holds(struct span networks, struct span peer)
{
	struct address address;
	struct network network;
	struct span one;

	if (!address_parse(&address, peer, 0))
		return false;
	while (span_cut(&networks, ' ', &one))
		if (one.size && network_parse(&network, one) && network_holds(&network, &address))
			return true;
	return false;
}

/* "*.example" stands for the domain's own names, one label deep, and for the certificate that says the same. */
static bool certifies(struct span wanted, struct span shown)
{
	struct span tail = span_slice(wanted, 1, wanted.size), one;

	while (wanted.size && span_cut(&shown, ' ', &one)) {
		if (span_equal_fold(one, wanted))
			return true;
		if (wanted.at[0] == '*' && span_ends_fold(one, tail) && span_find_byte(one, '.') == one.size - tail.size)
			return true;
	}
	return false;
}

const struct twin_connector *exchange_connector(const struct exchange_session *s)
{
	const struct twin_tenant *t = s->world->tenant;

	if (s->door != EXCHANGE_MX || t->values[TWIN_SWITCH_connectors] == TWIN_OFF)
		return NULL;
	for (size_t i = 0; i < t->connector_count; i++)
		if (certifies(span_of(t->connectors[i].certificate), span_of(s->shown)))
			return &t->connectors[i];
	for (size_t i = 0; i < t->connector_count; i++)
		if (holds(span_of(t->connectors[i].addresses), span_of(s->peer)))
			return &t->connectors[i];
	return NULL;
}

enum twin_reply exchange_mx_sender(const struct exchange_session *s)
{
	const struct twin_connector *c = exchange_connector(s);

	return c && !c->takes_clear && !s->tls ? TWIN_REPLY_mx_tls_required : TWIN_REPLY_sender_accepted;
}

/* Who is known by no connector may write to the organisation's people, like anyone; through one, its own people may write to the world. */
enum twin_reply exchange_mx_recipient(const struct exchange_session *s, struct span recipient)
{
	const struct twin_tenant *t = s->world->tenant;
	bool known = exchange_connector(s), own = twin_tenant_accepts(t, buf_span(&s->sender));

	if (!known && own && t->values[TWIN_SWITCH_reject_direct_send] == TWIN_ON)
		return TWIN_REPLY_direct_send_refused;
	if (twin_tenant_accepts(t, recipient))
		return twin_tenant_knows(t, recipient) ? TWIN_REPLY_recipient_accepted : TWIN_REPLY_recipient_unknown;
	if (known && own)
		return TWIN_REPLY_recipient_accepted;
	return t->connector_count ? TWIN_REPLY_tenant_attribution : TWIN_REPLY_relay_domain;
}
