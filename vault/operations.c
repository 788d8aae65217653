#include "vault/inner.h"

#include "base/metric.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ARGUMENTS_BYTES_MAX = 1024 * 1024, PAGE_PRESET = 1000, PAGE_MAX = 2000 };

static const struct vault_operation *const tables[] = { organisation_operations, provider_operations, mailbox_operations, client_operations,
							key_operations, consent_operations, status_operations, backup_operations, app_password_operations };

void asker_answer(struct vault *v, const struct asker *a, enum fault fault, struct span why, json_t *result)
{
	struct buf text;

	buf_init(&text, MESSAGE_BYTES_MAX - 4096);
	if (!result)
		result = json_object();
	if (!json_write(&text, result)) {
		buf_clear(&text);
		buf_put(&text, SPAN("{}"));
		fault = FAULT_TOO_LARGE;
	}
	vault_tell_one(v, a->role, a->index, &MESSAGE_OF(answer, .request = a->request, .fault = fault, .why = why, .result = buf_span(&text)));
	json_decref(result);
	buf_wipe(&text);
}

void asker_answer_print(struct vault *v, const struct asker *a, enum fault fault, const char *format, ...)
{
	char why[VAULT_WHY_BYTES];
	va_list list;

	va_start(list, format);
	vsnprintf(why, sizeof why, format, list);
	va_end(list);
	asker_answer(v, a, fault, span_of(why), NULL);
}

void asker_note(struct vault *v, const struct asker *a, struct span name, struct span organisation)
{
	TRAIL(&v->trail, EVENT_VAULT_CHANGED, TRAIL_TEXT("operation", span_of(a->operation)), TRAIL_TEXT("actor", span_of(a->actor)),
	      TRAIL_TEXT("name", name), TRAIL_TEXT("organisation", organisation));
}

void operations_put_date(json_t *to, const char *name, int64_t wall_ms)
{
	char memory[64];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	if (wall_ms && text_date(&text, wall_ms))
		json_put_text(to, name, buf_span(&text));
}

void operations_put_lines(json_t *to, const char *name, struct span lines)
{
	json_t *array = json_array();
	struct span line;

	while (lines.size && span_cut(&lines, '\n', &line))
		json_array_append_new(array, json_stringn(line.at, line.size));
	json_object_set_new(to, name, array);
}

struct span operations_organisation(const struct vault *v, uint64_t id)
{
	const struct registry_organisation *o = registry_by_id(&v->registry.organisations, id);

	return o ? o->row.name : (struct span){ "", 0 };
}

bool operations_page_add(struct operations_page *p, struct span name, json_t *item)
{
	p->has_more = (int64_t)json_array_size(p->items) >= p->limit;
	if (p->has_more) {
		json_decref(item);
		return false;
	}
	p->last = name;
	json_array_append_new(p->items, item);
	return true;
}

void operations_list(struct vault *v, const struct asker *a, const json_t *arguments, const struct map *map, uint64_t after,
		     bool (*one)(const struct vault *, const struct asker *, const void *which, struct span org, struct operations_page *))
{
	struct arena *arena = arena_new(SIZE_MAX);
	struct operations_page page = { .items = json_array(), .limit = PAGE_PRESET };
	struct span org = json_text(arguments, "org");
	json_t *result = json_object();
	size_t count;
	void **all = registry_sorted(map, arena, &count);

	if (json_whole(arguments, "limit", &page.limit) && (page.limit < 1 || page.limit > PAGE_MAX))
		page.limit = PAGE_MAX;
	page.after = after;
	for (size_t i = 0; i < count && one(v, a, all[i], org, &page); i++)
		;
	json_object_set_new(result, "items", page.items);
	if (page.has_more)
		json_put_text(result, "next", page.last);
	asker_answer(v, a, FAULT_OK, SPAN(""), result);
	arena_free(&arena);
}

static vault_run *find(struct span name)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		for (const struct vault_operation *o = tables[i]; o->name; o++)
			if (span_equal(span_of(o->name), name))
				return o->run;
	return NULL;
}

/* Desk adds to every question the address under which people reach it. */
static void keep_public_url(struct vault *v, const json_t *arguments)
{
	struct span url = json_text(arguments, "public_url");

	if (!url.size || span_equal(url, buf_span(&v->public_url)))
		return;
	buf_clear(&v->public_url);
	buf_put(&v->public_url, url);
}

static void give_metrics(const struct vault_peer *peer, uint64_t request)
{
	struct buf text;

	mailbox_count(peer->vault);
	buf_init(&text, MESSAGE_BYTES_MAX - 4096);
	metric_expose(&text, "vault", 0, false);
	link_send(peer->link, &MESSAGE_OF(answer, .request = request, .result = buf_span(&text)));
	buf_free(&text);
}

void operations_call(struct vault *v, const struct vault_peer *peer, const struct message_call *m)
{
	struct asker a = { .role = peer->role, .index = peer->index, .request = m->request,
			   .language = m->language < LANGUAGE_COUNT ? (enum language)m->language : LANGUAGE_EN };
	vault_run *run = find(m->operation);
	json_t *arguments;

	snprintf(a.actor, sizeof a.actor, "%.*s", SPAN_ARGS(m->actor));
	snprintf(a.operation, sizeof a.operation, "%.*s", SPAN_ARGS(m->operation));
	if (span_equal(m->operation, SPAN("metrics"))) {
		give_metrics(peer, m->request);
		return;
	}
	arguments = m->arguments.size ? json_read(m->arguments, ARGUMENTS_BYTES_MAX) : json_object();
	if (!run)
		asker_answer(v, &a, FAULT_NOT_FOUND, SPAN(""), NULL);
	else if (!json_is_object(arguments))
		asker_answer(v, &a, FAULT_MALFORMED, SPAN("the arguments are no JSON object"), NULL);
	else if (v->is_draining)
		asker_answer(v, &a, FAULT_SHUTTING_DOWN, SPAN(""), NULL);
	else {
		keep_public_url(v, arguments);
		run(v, &a, arguments);
	}
	json_decref(arguments);
}
