/* twin/twin_fault.h - what was told to go wrong: by name, at a stage, so many times.
 *
 * Why       Every reply of the providers, every stall and every cut can be had on demand.
 * Promise   A script is used up exactly `times` times, the oldest that fits (and has the luck, where it has a chance only) first.
 * Owns      At most TWIN_SCRIPTS_MAX scripts.
 * Refuses   Names and stages that the tables do not know, and one too many.
 * See       tables/twin_faults.def, tables/twin_replies.def, tables/twin_errors.def, tables/twin_graph.def, tables/twin_google_errors.def */
#pragma once
#include "base/fault.h"
#include "twin/twin_tenant.h"

enum { TWIN_SCRIPTS_MAX = 64, TWIN_SCRIPT_TEXT_BYTES = 1024, TWIN_ALWAYS = -1 };

enum twin_stage {
	TWIN_STAGE_NONE,
	TWIN_STAGE_GREETING,
	TWIN_STAGE_EHLO,
	TWIN_STAGE_STARTTLS,
	TWIN_STAGE_AUTH,
	TWIN_STAGE_MAIL,
	TWIN_STAGE_RCPT,
	TWIN_STAGE_DATA,
	TWIN_STAGE_BODY,
	TWIN_STAGE_DOT,
	TWIN_STAGE_AUTHORIZE,
	TWIN_STAGE_TOKEN,
	TWIN_STAGE_DEVICECODE,
	TWIN_STAGE_DISCOVERY,
	TWIN_STAGE_KEYS,
	TWIN_STAGE_USERINFO,
	TWIN_STAGE_GRAPH_SEND,
	TWIN_STAGE_GRAPH_DRAFT,
	TWIN_STAGE_GRAPH_UPLOAD,
	TWIN_STAGE_GRAPH_READ,
	TWIN_STAGE_GMAIL_SEND,
	TWIN_STAGE_GMAIL_UPLOAD,
	TWIN_STAGE_GMAIL_READ,
	TWIN_STAGE_COUNT
};

enum twin_fault_kind {
	TWIN_FAULT_REPLY, /* `number` is an enum twin_reply, or the text given with the script */
	TWIN_FAULT_ERROR, /* `number` is an AADSTS code */
	TWIN_FAULT_STALL,
	TWIN_FAULT_CUT,
	TWIN_FAULT_CUT_AFTER,
	TWIN_FAULT_STATUS,
	TWIN_FAULT_HTML,
	TWIN_FAULT_HANG,
	TWIN_FAULT_NO_REFRESH,
	TWIN_FAULT_AMEND,
	TWIN_FAULT_GARBAGE,
	TWIN_FAULT_HUGE,
	TWIN_FAULT_GRAPH, /* `number` is an enum graph_error */
	TWIN_FAULT_GOOGLE, /* `number` is an enum google_error */
};

/* What SMTP says, row by row of tables/twin_replies.def. */
enum twin_reply {
#define TWIN_REPLY(name, stage, text) TWIN_REPLY_##name,
#include "tables/twin_replies.def"
#undef TWIN_REPLY
	TWIN_REPLY_COUNT
};

/* What Graph says, row by row of tables/twin_graph.def. */
enum graph_error {
#define TWIN_GRAPH(name, ...) GRAPH_ERROR_##name,
#include "tables/twin_graph.def"
#undef TWIN_GRAPH
	GRAPH_ERROR_COUNT,
	GRAPH_OK = GRAPH_ERROR_COUNT
};

/* What Google's token endpoint and the Gmail API say, row by row of tables/twin_google_errors.def. */
enum google_error {
	GOOGLE_OK,
#define GOOGLE_TOKEN(name, ...) GOOGLE_ERROR_##name,
#define GOOGLE_API(name, ...) GOOGLE_ERROR_##name,
#include "tables/twin_google_errors.def"
#undef GOOGLE_TOKEN
#undef GOOGLE_API
};

/* Its text, with what stands in braces. */
const char *twin_reply_text(enum twin_reply);

struct twin_fault_row {
	const char *name;
	enum twin_stage stage; /* where it comes unless told otherwise */
	enum twin_fault_kind kind;
	int64_t number;
	const char *says;
};

/* The rows of all five tables in turn, or NULL past the end. */
const struct twin_fault_row *twin_fault_row(size_t at);

/* The row of that name in any case ("535" and other three-digit texts are none), or NULL. */
const struct twin_fault_row *twin_fault_named(struct span name);

/* "greeting", "dot"...; TWIN_STAGE_NONE for another. */
enum twin_stage twin_stage_named(struct span name);
const char *twin_stage_name(enum twin_stage);

struct twin_script {
	const struct twin_fault_row *row;
	enum twin_stage stage;
	int64_t times; /* left, or TWIN_ALWAYS */
	int64_t ms;    /* of a stall; Retry-After of a status */
	int64_t percent; /* it comes in so many of a hundred cases */
	char mailbox[TWIN_ADDRESS_BYTES]; /* empty: any */
	char text[TWIN_SCRIPT_TEXT_BYTES]; /* instead of the reply's own; empty: its own */
};

struct twin_scripts {
	struct twin_script list[TWIN_SCRIPTS_MAX];
	size_t count;
};

/* What is wanted; empty and 0 mean what the row says. */
struct twin_script_wish {
	struct span name, stage, mailbox, text;
	int64_t times, ms; /* times 0 means once */
	int64_t percent;   /* 1 to 99: by chance */
};

/* Adds one. FAULT_NOT_FOUND for a name or stage there is not, FAULT_TOO_LARGE. The name "reply" takes its text from the wish. */
MUST_CHECK enum fault twin_script_add(struct twin_scripts *, const struct twin_script_wish *);

/* The oldest script of the stage that fits the mailbox (an empty one fits only scripts for any), used once; false when there is none. */
bool twin_script_take(struct twin_scripts *, enum twin_stage, struct span mailbox, struct twin_script *out);

/* Forgets them all. */
void twin_scripts_clear(struct twin_scripts *);
