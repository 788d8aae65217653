#include "base/panic.h"
#include "post/inner.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAILBOXES_MAX = 1000000 };

static struct span number_span(const uint64_t *id)
{
	return (struct span){ (const char *)id, sizeof *id };
}

const struct known_mailbox *post_mailbox(const struct post *p, uint64_t id)
{
	return map_get(&p->mailboxes, number_span(&id));
}

struct span post_mailbox_address(const struct post *p, uint64_t id)
{
	const struct known_mailbox *k = post_mailbox(p, id);

	return span_of(k ? k->address : "");
}

struct span post_account_address(const struct post *p, uint64_t id)
{
	const struct known_mailbox *k = post_mailbox(p, id);

	return post_mailbox_address(p, k ? k->account : 0);
}

enum way post_way(const struct post *p, uint64_t mailbox, size_t at)
{
	const struct known_mailbox *k = post_mailbox(p, mailbox);

	if (!k || !k->way_count)
		return at ? WAY_NONE : WAY_SMTP; /* the vault has the last word, when it is asked for what to sign in with */
	return at < k->way_count ? (enum way)k->ways[at] : WAY_NONE;
}

static void learn_ways(struct known_mailbox *k, struct span ways)
{
	k->way_count = 0;
	for (size_t i = 0; i < ways.size && k->way_count < sizeof k->ways; i++)
		if (ways.at[i] > WAY_NONE && ways.at[i] < WAY_END)
			k->ways[k->way_count++] = (unsigned char)ways.at[i];
}

void post_mailbox_state(struct post *p, const struct message_mailbox_state *m)
{
	struct known_mailbox *k = map_get(&p->mailboxes, number_span(&m->mailbox));

	if (!k && map_count(&p->mailboxes) < MAILBOXES_MAX) {
		k = calloc(1, sizeof *k);
		if (!k)
			panic("out of memory");
		k->id = m->mailbox;
		map_put(&p->mailboxes, number_span(&k->id), k);
	}
	if (k) {
		k->enabled = m->enabled;
		k->notice_mailbox = m->notify_mailbox;
		k->account = m->account;
		k->language = m->language < LANGUAGE_COUNT ? (enum language)m->language : LANGUAGE_EN;
		snprintf(k->address, sizeof k->address, "%.*s", SPAN_ARGS(m->address));
		learn_ways(k, m->ways);
		k->rates = (struct limit_rates){ m->messages_per_minute, m->recipients_per_day, m->connections };
		schedule_rates_changed(queue_schedule(p->queue), k->id);
	}
	hold_mailbox_state(p, m);
}

void post_mailboxes_free(struct post *p)
{
	struct known_mailbox *k;

	for (size_t at = 0; (k = map_next(&p->mailboxes, &at));) {
		map_remove(&p->mailboxes, number_span(&k->id));
		free(k);
	}
	map_free(&p->mailboxes);
}

/* --- a sign-in without mail, for whoever wants to know */

struct post_probe {
	struct post *post;
	struct post_probe *next;
	uint64_t request;
	struct way_letter letter;
};

static void probe_free(struct post_probe *probe)
{
	struct post_probe **at = &probe->post->probes;

	while (*at != probe)
		at = &(*at)->next;
	*at = probe->next;
	free(probe);
}

static void on_probed(void *self, const struct way_end *end)
{
	struct post_probe *probe = self;
	struct post *p = probe->post;
	char words[OUTCOME_WORDS_BYTES];

	p->tries--;
	if (p->vault)
		link_send(p->vault, &MESSAGE_OF(probed, .request = probe->request, .fault = end->outcome->fault, .host = end->host,
						.why = outcome_words(end->outcome, words)));
	probe_free(probe);
	post_try_ended(p);
}

void post_probe(struct post *p, const struct message_probe *m)
{
	struct post_probe *probe;

	if (m->way <= WAY_NONE || m->way >= WAY_END || p->is_draining) {
		link_send(p->vault, &MESSAGE_OF(probed, .request = m->request, .fault = FAULT_POST_AWAY));
		return;
	}
	probe = calloc(1, sizeof *probe);
	if (!probe)
		panic("out of memory");
	*probe = (struct post_probe){ .post = p, .next = p->probes, .request = m->request,
				      .letter = { .mailbox = m->mailbox, .way = (enum way)m->way, .done = on_probed, .self = probe } };
	p->probes = probe;
	p->tries++;
	ways_send(p->ways, &probe->letter);
}

void post_probes_free(struct post *p)
{
	while (p->probes)
		probe_free(p->probes);
}
