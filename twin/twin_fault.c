#include "twin/twin_fault.h"

#include "base/rand.h"

#include <string.h>

static const char *const stage_names[TWIN_STAGE_COUNT] = { "",	   "greeting", "ehlo",	    "starttls", "auth",	      "mail",	   "rcpt",    "data",
							   "body", "dot",      "authorize", "token",	"devicecode", "discovery", "keys",    "userinfo",
							   "graph_send", "graph_draft", "graph_upload", "graph_read", "gmail_send", "gmail_upload", "gmail_read" };

static const char *const reply_texts[] = {
#define TWIN_REPLY(name, stage, text) text,
#include "tables/twin_replies.def"
#undef TWIN_REPLY
};

static const struct twin_fault_row rows[] = {
#define TWIN_FAULT(name, stage, kind, number, says) { #name, TWIN_STAGE_##stage, TWIN_FAULT_##kind, number, says },
#include "tables/twin_faults.def"
#undef TWIN_FAULT
	{ "reply", TWIN_STAGE_DOT, TWIN_FAULT_REPLY, TWIN_REPLY_COUNT, "the text given with it: text=..." },
#define TWIN_REPLY(name, stage, text) { #name, TWIN_STAGE_##stage, TWIN_FAULT_REPLY, TWIN_REPLY_##name, text },
#include "tables/twin_replies.def"
#undef TWIN_REPLY
#define TWIN_ERROR(code, error, suberror, status, text) { "aadsts" #code, TWIN_STAGE_TOKEN, TWIN_FAULT_ERROR, code, text },
#include "tables/twin_errors.def"
#undef TWIN_ERROR
#define TWIN_GRAPH(name, stage, status, code, message) { "graph_" #name, TWIN_STAGE_##stage, TWIN_FAULT_GRAPH, GRAPH_ERROR_##name, message },
#include "tables/twin_graph.def"
#undef TWIN_GRAPH
#define GOOGLE_TOKEN(name, status, error, text) { #name, TWIN_STAGE_TOKEN, TWIN_FAULT_GOOGLE, GOOGLE_ERROR_##name, text },
#define GOOGLE_API(name, status, state, reason, domain, text) { #name, TWIN_STAGE_GMAIL_SEND, TWIN_FAULT_GOOGLE, GOOGLE_ERROR_##name, text },
#include "tables/twin_google_errors.def"
#undef GOOGLE_TOKEN
#undef GOOGLE_API
};

const char *twin_reply_text(enum twin_reply reply)
{
	return reply_texts[reply];
}

const struct twin_fault_row *twin_fault_row(size_t at)
{
	return at < sizeof rows / sizeof *rows ? &rows[at] : NULL;
}

const struct twin_fault_row *twin_fault_named(struct span name)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal_fold(span_of(rows[i].name), name))
			return &rows[i];
	return NULL;
}

enum twin_stage twin_stage_named(struct span name)
{
	for (size_t i = 1; i < TWIN_STAGE_COUNT; i++)
		if (span_equal_fold(span_of(stage_names[i]), name))
			return (enum twin_stage)i;
	return TWIN_STAGE_NONE;
}

const char *twin_stage_name(enum twin_stage stage)
{
	return stage_names[stage];
}

enum fault twin_script_add(struct twin_scripts *all, const struct twin_script_wish *wish)
{
	const struct twin_fault_row *row = twin_fault_named(wish->name);
	struct twin_script s = { .row = row, .times = wish->times ? wish->times : 1, .ms = wish->ms,
				 .percent = wish->percent > 0 && wish->percent < 100 ? wish->percent : 100 };

	if (!row)
		return FAULT_NOT_FOUND;
	s.stage = wish->stage.size ? twin_stage_named(wish->stage) : row->stage;
	if (!s.ms && row->kind == TWIN_FAULT_STALL)
		s.ms = row->number;
	if (s.stage == TWIN_STAGE_NONE)
		return FAULT_NOT_FOUND;
	if (!span_text(s.mailbox, sizeof s.mailbox, wish->mailbox) || !span_text(s.text, sizeof s.text, wish->text) || all->count == TWIN_SCRIPTS_MAX)
		return FAULT_TOO_LARGE;
	if (row->kind == TWIN_FAULT_REPLY && row->number == TWIN_REPLY_COUNT && !s.text[0])
		return FAULT_MALFORMED;
	all->list[all->count++] = s;
	return FAULT_OK;
}

bool twin_script_take(struct twin_scripts *all, enum twin_stage stage, struct span mailbox, struct twin_script *out)
{
	for (size_t i = 0; i < all->count; i++) {
		struct twin_script *s = &all->list[i];

		if (s->stage != stage || (s->mailbox[0] && !span_equal_fold(span_of(s->mailbox), mailbox)))
			continue;
		if (s->percent < 100 && (int64_t)rand_below(100) >= s->percent)
			continue;
		*out = *s;
		if (s->times != TWIN_ALWAYS && !--s->times)
			memmove(s, s + 1, (--all->count - i) * sizeof *s);
		return true;
	}
	return false;
}

void twin_scripts_clear(struct twin_scripts *all)
{
	all->count = 0;
}
