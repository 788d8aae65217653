#include "base/clock.h"
#include "loop/certificate.h"
#include "vault/arguments.h"
#include "vault/connector.h"

#include <stdio.h>
#include <string.h>

static const struct span SUBJECT = { "provider", 8 }, KEY = { "connector_key", 13 };

/* --- which one a mailbox goes out by */

const struct registry_provider *connector_of(const struct vault *v, const struct registry_mailbox *m)
{
	const struct registry_provider *own = registry_by_id(&v->registry.providers, m->row.provider), *found = NULL, *p;
	size_t at = 0;

	if (own && provider_kind(own->provider)->is_connector)
		return own;
	while ((p = map_next(&v->registry.providers, &at)))
		if (p->row.organisation == m->row.organisation && provider_kind(p->provider)->is_connector && (!found || p->row.id < found->row.id))
			found = p;
	return found;
}

/* --- what people set */

static void read_certificate(struct arguments *a, struct connector_edit *e)
{
	struct certificate_pair pair;
	const char *why;

	if (certificate_read(&pair, json_text(a->json, "certificate"), &why) != FAULT_OK) {
		arguments_wrong(a, FAULT_MALFORMED, "certificate: %s", why);
	} else {
		e->row->certificate = arena_copy(a->arena, buf_span(&pair.certificate_pem));
		e->key = secret_new(buf_span(&pair.key_pem));
	}
	certificate_pair_free(&pair);
}

void connector_read(struct arguments *a, struct connector_edit *e)
{
	struct address address;

	arguments_word(a, "source", &e->row->source);
	arguments_word(a, "registered_address", &e->row->registered_address);
	if (e->row->registered_address.size && (!address_parse(&address, e->row->registered_address, 0) || address.family == ADDRESS_PATH))
		arguments_wrong(a, FAULT_MALFORMED, "registered_address: not an address");
	if (!arguments_has(a, "certificate"))
		return;
	if (span_trim(json_text(a->json, "certificate")).size) {
		read_certificate(a, e);
		return;
	}
	e->row->certificate = (struct span){ "", 0 };
	e->drops_key = true;
}

void connector_seal(struct change *c, struct connector_edit *e)
{
	if (e->key)
		e->sealed = change_seal(c, SUBJECT, e->row->id, KEY, secret_borrow(e->key));
}

enum fault connector_store(struct sqlite *db, const struct connector_edit *e)
{
	return e->sealed.sealed.size ? secrets_put(db, &e->sealed) : e->drops_key ? secrets_remove(db, SUBJECT, e->row->id, KEY) : FAULT_OK;
}

/* --- what is shown */

/* What stands where the address is not known yet. */
static const char *const unknown_address[LANGUAGE_COUNT] = { "THE-PUBLIC-IPV4-ADDRESS-OF-THIS-SERVER", "L-ADRESSE-IPV4-PUBLIQUE-DE-CE-SERVEUR" };

static const char *const plans[LANGUAGE_COUNT] = {
	"The organisation needs a plan with Exchange Online (Exchange Online Plan 1 or 2, or a Microsoft 365 plan that holds one) or Exchange Online Protection; "
	"senders must be in one of its accepted domains, and the address must be static and this server's alone.",
	"L'organisation doit avoir un forfait avec Exchange Online (Exchange Online Plan 1 ou 2, ou un forfait Microsoft 365 qui le comprend) ou Exchange Online "
	"Protection ; les expéditeurs doivent être dans un de ses domaines acceptés, et l'adresse doit être fixe et propre à ce serveur.",
};

static const char *const changed[LANGUAGE_COUNT] = {
	"The provider now sees another address than the one registered: register it, then say so by `postern provider set NAME --registered-address ADDRESS`.",
	"Le fournisseur voit désormais une autre adresse que celle inscrite : inscrivez-la, puis dites-le par `postern provider set NOM --registered-address ADRESSE`.",
};

bool connector_moved(const struct registry_provider *p)
{
	return p->row.seen_address.size && p->row.registered_address.size && !span_equal(p->row.seen_address, p->row.registered_address);
}

/* Both addresses while it moves, so that mail goes on meanwhile. The first name of a certificate stands for it. */
static void put_command(struct buf *out, const struct registry_provider *p, struct span names, enum language language)
{
	struct span name;
	struct buf quoted;

	buf_init(&quoted, 4096);
	for (size_t i = 0; i < p->row.name.size; i++)
		buf_print(&quoted, p->row.name.at[i] == '\'' ? "''" : "%c", p->row.name.at[i]);
	buf_print(out, "New-InboundConnector -Name 'Postern %.*s' -ConnectorType OnPremises -SenderDomains '*' -RequireTls $true ", SPAN_ARGS(buf_span(&quoted)));
	buf_free(&quoted);
	if (span_cut(&names, ' ', &name) && name.size) {
		buf_print(out, "-TlsSenderCertificateName '%.*s'", SPAN_ARGS(name));
		return;
	}
	buf_put(out, SPAN("-SenderIPAddresses "));
	if (!p->row.seen_address.size && !p->row.registered_address.size)
		buf_put(out, span_of(unknown_address[language]));
	else
		buf_put(out, p->row.registered_address.size ? p->row.registered_address : p->row.seen_address);
	if (connector_moved(p))
		buf_print(out, ",%.*s", SPAN_ARGS(p->row.seen_address));
}

void connector_describe(const struct registry_provider *p, enum language language, json_t *to)
{
	struct certificate_facts facts;
	struct buf command;

	if (!provider_kind(p->provider)->is_connector)
		return;
	certificate_says(&facts, p->row.certificate);
	buf_init(&command, 8192);
	put_command(&command, p, buf_span(&facts.names), language);
	json_put_text(to, "source", p->row.source);
	json_put_text(to, "certificate_names", buf_span(&facts.names));
	operations_put_date(to, "certificate_ends_at", facts.ends_at_ms);
	json_put_text(to, "seen_address", p->row.seen_address);
	json_put_text(to, "registered_address", p->row.registered_address);
	json_put_text(to, "plan", span_of(plans[language]));
	json_put_text(to, "command", buf_span(&command));
	if (connector_moved(p))
		json_put_text(to, "attention", span_of(changed[language]));
	buf_free(&command);
	buf_free(&facts.names);
}

void connector_each_moved(const struct vault *v, void (*each)(void *self, const struct connector_move *), void *self)
{
	const struct registry_provider *p;
	size_t at = 0;

	while ((p = map_next(&v->registry.providers, &at)))
		if (provider_kind(p->provider)->is_connector && connector_moved(p))
			each(self, &(struct connector_move){ p->row.id, p->row.organisation, p->row.name, p->row.registered_address, p->row.seen_address,
							     p->row.address_changed_at_ms });
}

struct attention {
	json_t *list;
	enum language language;
};

static void put_attention(void *self, const struct connector_move *move)
{
	struct attention *a = self;
	json_t *item = json_object();

	json_put_text(item, "provider", move->name);
	json_put_text(item, "registered_address", move->registered);
	json_put_text(item, "seen_address", move->seen);
	operations_put_date(item, "changed_at", move->at_ms);
	json_put_text(item, "remedy", span_of(changed[a->language]));
	json_array_append_new(a->list, item);
}

void connector_put_attention(const struct vault *v, json_t *list, enum language language)
{
	connector_each_moved(v, put_attention, &(struct attention){ list, language });
}

/* --- what the provider sees */

static enum fault store_seen(struct change *c, struct sqlite *db)
{
	return providers_see(db, c->data);
}

static void seen_stored(struct change *c)
{
	const struct provider_row *row = c->data;
	struct registry_provider *p = registry_by_id(&c->vault->registry.providers, row->id);
	struct provider_row now;

	if (c->fault != FAULT_OK || !p)
		return;
	now = registry_copy_provider(c->arena, &p->row);
	now.seen_address = row->seen_address;
	now.registered_address = row->registered_address;
	now.address_changed_at_ms = row->address_changed_at_ms;
	registry_put_provider(&c->vault->registry, &now);
	if (connector_moved(p))
		TRAIL(&c->vault->trail, EVENT_ADDRESS_CHANGED, TRAIL_TEXT("provider", now.name), TRAIL_TEXT("address", now.seen_address),
		      TRAIL_TEXT("before", now.registered_address));
	else
		TRAIL(&c->vault->trail, EVENT_ADDRESS_SEEN, TRAIL_TEXT("provider", now.name), TRAIL_TEXT("address", now.seen_address));
}

void connector_seen(struct vault *v, const struct message_address_seen *seen)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, seen->mailbox);
	const struct registry_provider *p = m ? connector_of(v, m) : NULL;
	struct provider_row *row;
	struct address address;
	struct change *c;

	/* The peer's word: only an address is one. */
	if (!p || !address_parse(&address, seen->address, 0) || address.family == ADDRESS_PATH || span_equal(p->row.seen_address, seen->address))
		return;
	c = change_new(v, store_seen, seen_stored, sizeof *row);
	row = c->data;
	*row = registry_copy_provider(c->arena, &p->row);
	row->seen_address = arena_copy(c->arena, seen->address);
	if (!row->registered_address.size)
		row->registered_address = row->seen_address;
	else if (!span_equal(row->registered_address, row->seen_address))
		row->address_changed_at_ms = clock_wall_ms();
	change_run_take(c);
}

/* --- given to post */

static void give(struct vault *v, const struct lend_wish *f, enum fault fault, struct span key)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, f->mailbox);
	const struct registry_provider *p = m ? connector_of(v, m) : NULL;
	struct message_token t = { .request = f->request, .mailbox = f->mailbox, .way = WAY_CONNECTOR, .fault = fault, .token = key };

	if (p) {
		t.by_mx = !p->row.smtp_host.size;
		t.host = t.by_mx ? p->row.tenant : p->row.smtp_host;
		t.port = provider_port(p->provider);
		t.tls = (uint8_t)provider_tls(p->provider);
		t.tenant = p->row.tenant.size ? p->row.tenant : p->row.name;
		t.source = p->row.source.size ? p->row.source : SPAN("0.0.0.0"); /* connectors know IPv4 addresses alone */
		t.certificate = p->row.certificate;
	}
	if (m) {
		t.user = t.address = m->row.address;
		t.language = (uint8_t)m->row.language;
	}
	vault_tell_one(v, ROLE_POST, f->post, &(struct message){ .type = MESSAGE_token, .fd = -1, .token = t });
}

void connector_wanted(struct vault *v, const struct vault_peer *peer, const struct message_token_wanted *w)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, w->mailbox);
	const struct registry_provider *p = m ? connector_of(v, m) : NULL;
	const struct lend_wish wish = { .post = peer->index, .request = w->request, .mailbox = w->mailbox, .subject = SUBJECT, .name = KEY,
					.row = p ? p->row.id : 0, .missing = FAULT_NOT_FOUND };

	if (!p || !m->row.enabled || !p->row.certificate.size)
		give(v, &wish, p ? m->row.enabled ? FAULT_OK : FAULT_MAILBOX_DISABLED : FAULT_CONNECTOR_NOT_SET, SPAN(""));
	else
		lend_secret(v, &wish, give);
}
