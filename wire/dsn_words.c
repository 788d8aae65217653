#include "base/remedy.h"
#include "base/text.h"
#include "wire/dsn_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ACTIONS = DSN_EXPANDED + 1 };

/* Everything a report says by itself, once in each language. */
static const struct words {
	const char *subject[ACTIONS], *heading[ACTIONS];
	const char *greeting, *reason, *said, *provider, *remedy, *until, *more, *about, *known_as;
} words[LANGUAGE_COUNT] = {
	[LANGUAGE_EN] = {
		.subject = { "Mail not delivered", "Mail delayed, still being tried", "Mail delivered", "Mail handed on",
			     "Mail passed on to a list" },
		.heading = { "Your message could not be delivered to:",
			     "Your message is delayed. You need not send it again: it is still being tried for:",
			     "Your message was delivered to:",
			     "Your message was handed to a system that does not confirm deliveries, for:",
			     "Your message was passed on to the members of:" },
		.greeting = "This is a report of Postern, the mail gateway at %.*s.",
		.reason = "Reason:",
		.said = "%.*s said:",
		.provider = "The provider",
		.remedy = "What to do:",
		.until = "Tried until:",
		.more = "and %zu more, all named in the second part of this report.",
		.about = "The message was",
		.known_as = "known here as",
	},
	[LANGUAGE_FR] = {
		.subject = { "Courrier non remis", "Courrier retardé, envoi toujours en cours", "Courrier remis",
			     "Courrier transmis", "Courrier transmis à une liste" },
		.heading = { "Votre message n'a pas pu être remis à :",
			     "Votre message est retardé. Inutile de le renvoyer : de nouvelles tentatives ont lieu pour :",
			     "Votre message a été remis à :",
			     "Votre message a été transmis à un système qui ne confirme pas la remise, pour :",
			     "Votre message a été transmis aux membres de :" },
		.greeting = "Ceci est un rapport de Postern, la passerelle de courrier %.*s.",
		.reason = "Motif :",
		.said = "%.*s a répondu :",
		.provider = "Le fournisseur",
		.remedy = "Que faire :",
		.until = "Tentatives jusqu'au :",
		.more = "et %zu autres, tous nommés dans la deuxième partie de ce rapport.",
		.about = "Il s'agit du message",
		.known_as = "connu ici sous",
	},
};

enum dsn_action dsn_gravest(const struct dsn_report *d)
{
	enum dsn_action gravest = DSN_EXPANDED;

	for (size_t i = 0; i < d->recipient_count; i++)
		if (dsn_wants(d->recipients[i].notify, d->recipients[i].action) && d->recipients[i].action < gravest)
			gravest = d->recipients[i].action;
	return gravest;
}

struct span dsn_subject(enum dsn_action action, enum language language)
{
	return span_of(words[language].subject[action]);
}

/* Quoted-printable as it is written (RFC 2045 6.7). */
struct quoted {
	struct buf *out;
	size_t column;
};

/* A blank is quoted where a line ends in it: mail systems take those away. */
static void end_line(struct quoted *q)
{
	if (q->column && q->out->size && q->out->at[q->out->size - 1] == ' ') {
		q->out->size--;
		buf_put(q->out, SPAN("=20"));
	}
	buf_put(q->out, SPAN("\r\n"));
	q->column = 0;
}

static void say_byte(struct quoted *q, unsigned char c)
{
	bool plain;

	if (q->column > 72) {
		buf_put(q->out, SPAN("="));
		end_line(q);
	}
	plain = c >= ' ' && c <= '~' && c != '=' && (c != '.' || q->column);
	if (plain)
		buf_put_byte(q->out, (char)c);
	else
		buf_print(q->out, "=%02X", c);
	q->column += plain ? 1 : 3;
}

/* Text without line ends of its own; what could break a line becomes `?`. */
static void say(struct quoted *q, struct span text)
{
	char memory[512];
	struct buf b;

	while (text.size) {
		struct span piece = span_slice(text, 0, sizeof memory);

		/* cut between characters */
		while (piece.size > 500 && piece.size < text.size && ((unsigned char)text.at[piece.size] & 0xc0) == 0x80)
			piece.size--;
		buf_over(&b, memory, sizeof memory);
		text_plain(&b, piece);
		for (size_t i = 0; i < b.size; i++)
			say_byte(q, (unsigned char)b.at[i]);
		text = span_slice(text, piece.size, text.size);
	}
}

static void say_format(struct quoted *q, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say_format(struct quoted *q, const char *format, ...)
{
	char text[1024];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	say(q, span_of(text));
}

/* One indented line. */
static void say_line(struct quoted *q, const char *label, const char *text)
{
	say_format(q, "    %s ", label);
	say(q, span_of(text));
	end_line(q);
}

static void say_reply(struct quoted *q, const struct dsn_recipient *r, const struct words *w)
{
	struct span who = r->remote.size ? r->remote : span_of(w->provider);

	say(q, SPAN("    "));
	say_format(q, w->said, SPAN_ARGS(who));
	say_format(q, " %d%s%s %s", r->outcome->code, *r->outcome->enhanced ? " " : "", r->outcome->enhanced, r->outcome->text);
	end_line(q);
}

static void say_remedy(struct quoted *q, const struct dsn_report *d, enum fault f)
{
	const struct remedy_names names = { .mailbox = d->mailbox, .message = d->queue_id };
	struct buf text;

	buf_init(&text, REMEDY_BYTES_MAX);
	remedy_put(&text, f, d->language, &names);
	if (text.size) {
		say_format(q, "    %s ", words[d->language].remedy);
		say(q, buf_span(&text));
		end_line(q);
	}
	buf_free(&text);
}

static void say_cause(struct quoted *q, const struct dsn_report *d, const struct dsn_recipient *r)
{
	const struct fault_row *row = fault_row(r->outcome->fault);
	const struct words *w = &words[d->language];
	char memory[64];
	struct buf date;

	say_line(q, w->reason, row->says[d->language]);
	if (r->outcome->code)
		say_reply(q, r, w);
	say_remedy(q, d, r->outcome->fault);
	if (r->action == DSN_DELAYED && r->until_ms) {
		buf_over(&date, memory, sizeof memory - 1);
		text_mail_date(&date, r->until_ms);
		memory[date.size] = 0;
		say_line(q, w->until, memory);
	}
}

static void say_recipient(struct quoted *q, const struct dsn_report *d, const struct dsn_recipient *r)
{
	end_line(q);
	say(q, SPAN("  <"));
	say(q, r->address);
	say(q, SPAN(">"));
	end_line(q);
	if (r->action == DSN_FAILED || r->action == DSN_DELAYED)
		say_cause(q, d, r);
}

/* Those of one action, as far as the list may grow; returns how many were left out. */
static size_t say_group(struct quoted *q, const struct dsn_report *d, enum dsn_action action, size_t *named)
{
	bool first = true;
	size_t left_out = 0;

	for (size_t i = 0; i < d->recipient_count; i++) {
		const struct dsn_recipient *r = &d->recipients[i];

		if (r->action != action || !dsn_wants(r->notify, action))
			continue;
		if (*named >= DSN_NAMED_RECIPIENTS) {
			left_out++;
			continue;
		}
		if (first) {
			end_line(q);
			say(q, span_of(words[d->language].heading[action]));
			end_line(q);
		}
		first = false;
		(*named)++;
		say_recipient(q, d, r);
	}
	return left_out;
}

static void say_about(struct quoted *q, const struct dsn_report *d)
{
	const struct words *w = &words[d->language];

	if (!d->about.size && !d->queue_id.size)
		return;
	end_line(q);
	say_format(q, "%s", w->about);
	if (d->about.size)
		say_format(q, " %.*s", SPAN_ARGS(span_slice(d->about, 0, 500)));
	if (d->queue_id.size)
		say_format(q, "%s %s %.*s", d->about.size ? "," : "", w->known_as,
			   SPAN_ARGS(span_slice(d->queue_id, 0, 100)));
	say(q, SPAN("."));
	end_line(q);
}

void dsn_put_words(struct buf *out, const struct dsn_report *d)
{
	struct quoted q = { out, 0 };
	size_t named = 0, left_out = 0;

	say_format(&q, words[d->language].greeting, SPAN_ARGS(d->host));
	end_line(&q);
	for (enum dsn_action action = DSN_FAILED; action <= DSN_EXPANDED; action++)
		left_out += say_group(&q, d, action, &named);
	if (left_out) {
		end_line(&q);
		say_format(&q, words[d->language].more, left_out);
		end_line(&q);
	}
	say_about(&q, d);
}
