#include "vault/connector.h"
#include "vault/notices.h"
#include "vault/troubles.h"

enum { ATTENTION_MAX = 50, LAPSES_MAX = 50, TROUBLES_MAX = 50 };

static void put_attention(struct vault *v, json_t *list, const struct registry_mailbox *m, enum language language)
{
	struct token_state token = tokens_state(v->tokens, m->row.id);
	const struct fault_row *row = fault_row(token.fault);
	json_t *item = json_object();

	json_put_text(item, "address", m->row.address);
	json_put_text(item, "fault", span_of(row->name));
	json_put_text(item, "says", span_of(row->says[language]));
	json_put_text(item, "provider_says", token.why);
	remedy_put_json(item, token.fault, language, &(struct remedy_names){ .mailbox = m->row.address });
	json_array_append_new(list, item);
}

static void status(struct vault *v, const struct asker *asker, const json_t *arguments)
{
	static const char *const names[] = { "ready", "unlinked", "held", "disabled" };
	int64_t counts[sizeof names / sizeof *names] = { 0 };
	json_t *result = json_object(), *mailboxes = json_object(), *attention = json_array();
	const struct registry_mailbox *m;
	size_t at = 0;

	while ((m = map_next(&v->registry.mailboxes, &at))) {
		enum mailbox_state state = mailbox_state(v, m);

		counts[state]++;
		if (state == MAILBOX_HELD && json_array_size(attention) < ATTENTION_MAX)
			put_attention(v, attention, m, asker->language);
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		json_put_whole(mailboxes, names[i], counts[i]);
	json_object_set_new(result, "lapses", lookout_describe(v, asker->language, LAPSES_MAX));
	json_object_set_new(result, "troubles", troubles_describe(v, asker->language, TROUBLES_MAX));
	json_put_whole(result, "notices_waiting", (int64_t)notices_count(v));
	json_put_whole(result, "organisations", (int64_t)map_count(&v->registry.organisations));
	json_put_whole(result, "providers", (int64_t)map_count(&v->registry.providers));
	json_object_set_new(result, "mailboxes", mailboxes);
	json_put_whole(result, "clients", (int64_t)map_count(&v->registry.clients));
	json_put_whole(result, "key", (int64_t)keyring_current(v->keys));
	json_put_flag(result, "key_rotation", keyring_retiring(v->keys, 0) != 0);
	json_put_whole(result, "tokens_in_flight", tokens_in_flight(v->tokens));
	connector_put_attention(v, attention, asker->language);
	json_object_set_new(result, "attention", attention);
	asker_answer(v, asker, FAULT_OK, SPAN(""), result);
}

const struct vault_operation status_operations[] = { { "status", status }, { NULL, NULL } };
