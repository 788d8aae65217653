#include "cli/outgoing.h"

#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"
#include "cli/cli.h"
#include "wire/encoded.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { READ_BYTES = 16 * 1024, EDIT_BYTES = 8192 };

void outgoing_init(struct outgoing *o, const struct outgoing_settings *settings)
{
	*o = (struct outgoing){ .settings = *settings };
	addressees_init(&o->to);
	line_mend_init(&o->mend, !settings->ignores_dots);
	buf_init(&o->block, OUTGOING_HEADER_BYTES);
	buf_init(&o->rest, 4 * (READ_BYTES + LINE_MEND_HELD_BYTES));
	buf_init(&o->head, 2 * OUTGOING_HEADER_BYTES + EDIT_BYTES);
	buf_init(&o->sender, 2 * MAIL_ADDRESS_BYTES);
	header_init(&o->header, &o->block);
}

void outgoing_free(struct outgoing *o)
{
	addressees_free(&o->to);
	buf_free(&o->block);
	buf_free(&o->rest);
	buf_free(&o->head);
	buf_free(&o->sender);
}

static int fails(struct outgoing *o, int code, const char *why)
{
	snprintf(o->wrong, sizeof o->wrong, "%s", why);
	return code;
}

/* --- reading */

/* Some more, mended, behind what is in `rest`. */
static int read_more(struct outgoing *o)
{
	char piece[READ_BYTES];
	ssize_t got;

	do
		got = read(o->settings.fd, piece, sizeof piece);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fails(o, EX_NOINPUT, strerror(errno));
	o->is_over = !got;
	if (got ? !line_mend_put(&o->mend, (struct span){ piece, (size_t)got }, &o->rest) : !line_mend_end(&o->mend, &o->rest))
		return fails(o, EX_SOFTWARE, strerror(ENOMEM));
	o->is_over = o->is_over || o->mend.ended;
	return 0;
}

/* A line such as mailbox files have before each message; some programs write one. */
static bool is_separator(const struct outgoing *o)
{
	struct span block = buf_span(&o->block);

	return !o->header.size && (span_starts(block, SPAN("From ")) || span_starts(block, SPAN(">From ")));
}

static enum fault feed(struct outgoing *o)
{
	size_t taken = 0;
	enum fault f = header_feed(&o->header, buf_span(&o->rest), &taken);

	buf_drop(&o->rest, taken);
	if (f == FAULT_OK && !o->header.ended && o->is_over)
		f = header_finish(&o->header);
	return f;
}

static int read_header(struct outgoing *o)
{
	bool may_separate = true;

	while (!o->header.ended) {
		enum fault f = FAULT_OK;
		int code = o->is_over ? 0 : read_more(o);

		if (!code)
			f = feed(o);
		if (f != FAULT_OK)
			code = fails(o, EX_DATAERR, fault_row(f)->says[cli_language()]);
		if (code)
			return code;
		if (o->header.ended && may_separate && is_separator(o)) {
			may_separate = false;
			buf_clear(&o->block);
			header_init(&o->header, &o->block);
			f = feed(o);
		}
		if (f != FAULT_OK)
			return fails(o, EX_DATAERR, fault_row(f)->says[cli_language()]);
	}
	return 0;
}

int outgoing_read_body(struct outgoing *o, struct span *piece_out)
{
	int code = 0;

	if (o->has_given)
		buf_clear(&o->rest);
	o->has_given = true;
	while (!code && !o->is_over && !o->rest.size)
		code = read_more(o);
	*piece_out = buf_span(&o->rest);
	return code;
}

/* --- recipients */

static bool is_one_of(struct span name, const char *const *names)
{
	for (; *names; names++)
		if (span_equal_fold(name, span_of(*names)))
			return true;
	return false;
}

static const char *const plain_fields[] = { "To", "Cc", "Bcc", NULL };
static const char *const resent_fields[] = { "Resent-To", "Resent-Cc", "Resent-Bcc", NULL };
static const char *const hidden_fields[] = { "Bcc", "Resent-Bcc", NULL };

static bool has_field(const struct header *h, const char *const *names)
{
	struct header_field field;

	for (size_t at = 0; header_next_field(h, &at, &field);)
		if (is_one_of(field.name, names))
			return true;
	return false;
}

static int read_recipients(struct outgoing *o)
{
	const char *const *names = has_field(&o->header, resent_fields) ? resent_fields : plain_fields;
	struct header_field field;

	for (size_t at = 0; o->settings.reads_recipients && header_next_field(&o->header, &at, &field);)
		if (is_one_of(field.name, names) && !addressees_add(&o->to, field.value))
			return fails(o, EX_DATAERR, o->to.wrong);
	return o->to.count ? 0 : fails(o, EX_USAGE, cli_word(CLI_WORD_SENDMAIL_NO_RECIPIENT));
}

/* --- who it is from */

struct person {
	char login[64], name[128];
};

static void find_person(struct person *p, struct span full_name)
{
	const struct passwd *found = getpwuid(geteuid());
	const char *given = getenv("NAME");
	struct span gecos = span_of(found ? found->pw_gecos : ""), name;

	if (!found || !span_text(p->login, sizeof p->login, span_of(found->pw_name)))
		snprintf(p->login, sizeof p->login, "%lu", (unsigned long)geteuid());
	if (!span_cut(&gecos, ',', &name))
		name = SPAN("");
	if (full_name.size)
		name = full_name;
	else if (given && *given)
		name = span_of(given);
	name = span_trim(name);
	if (!text_is_utf8(name) || !span_text(p->name, sizeof p->name, name))
		p->name[0] = 0;
}

/* The first mailbox of From, as it can be read. */
static bool first_from(const struct outgoing *o, struct mailbox *out)
{
	struct mailbox_list list = { .rest = header_value(&o->header, SPAN("From")) };

	return mailbox_list_next(&list, out) == MAILBOX_FOUND;
}

/* "root (Cron Daemon)": a bare name with a comment for a name. */
static bool bare_from(struct outgoing *o, struct buf *address, struct span *name_out)
{
	struct span value = header_value(&o->header, SPAN("From")), bare = span_trim(span_slice(value, 0, span_find_byte(value, '('))), comment;
	size_t open = span_find_byte(value, '('), close = span_find_byte(value, ')');

	comment = open < close && close < value.size ? span_slice(value, open + 1, close - open - 1) : SPAN("");
	*name_out = span_trim(comment);
	if (span_find_byte(value, ',') < value.size || span_find_byte(value, '@') < value.size)
		return false;
	return bare.size && addressee_whole(&o->to, bare, address);
}

static void put_from(struct buf *out, struct span name, struct span address)
{
	size_t before = out->size;

	buf_put(out, SPAN("From: "));
	if (name.size && encoded_phrase(out, name, out->size - before))
		buf_put_byte(out, ' ');
	buf_print(out, "<%.*s>\r\n", SPAN_ARGS(address));
}

/* Whose it is on the envelope: as told, else as the header says, else the user's. */
static int find_sender(struct outgoing *o, const struct person *p, struct buf *from_out, struct span *from_name_out)
{
	struct mailbox first;

	*from_name_out = SPAN("");
	if (o->settings.has_sender && o->settings.sender.size && !addressee_whole(&o->to, o->settings.sender, &o->sender))
		return fails(o, EX_DATAERR, o->to.wrong);
	if (first_from(o, &first)) {
		if (!o->settings.has_sender)
			buf_put(&o->sender, first.address);
		return 0;
	}
	if (bare_from(o, from_out, from_name_out)) {
		if (!o->settings.has_sender)
			buf_put(&o->sender, buf_span(from_out));
		return 0;
	}
	if (!o->settings.has_sender && !addressee_whole(&o->to, span_of(p->login), &o->sender))
		return fails(o, EX_DATAERR, o->to.wrong);
	if (!o->header.has_from) {
		*from_name_out = span_of(p->name);
		if (o->sender.size)
			buf_put(from_out, buf_span(&o->sender));
		else if (!addressee_whole(&o->to, span_of(p->login), from_out))
			return fails(o, EX_DATAERR, o->to.wrong);
	}
	return 0;
}

/* --- writing */

static void put_fields(struct outgoing *o, struct buf *out, bool drops_from)
{
	static const char *const shown[] = { "To", "Cc", NULL };
	struct header_field field;
	bool has_hidden = has_field(&o->header, hidden_fields);

	for (size_t at = 0; header_next_field(&o->header, &at, &field);)
		if (!is_one_of(field.name, hidden_fields) && !(drops_from && span_equal_fold(field.name, SPAN("From"))))
			buf_put(out, field.whole);
	if (has_hidden && !has_field(&o->header, shown))
		buf_put(out, SPAN("To: undisclosed-recipients:;\r\n"));
	buf_put(out, SPAN("\r\n"));
}

static int write_head(struct outgoing *o, struct buf *fields, struct span from)
{
	char id[400];
	struct buf text;
	struct header fresh;
	size_t taken;
	struct header_edits edits = { .date_ms = clock_wall_ms(), .from = from };
	enum fault f;

	buf_over(&text, id, sizeof id);
	buf_print(&text, "%llx.%016llx@%s", (unsigned long long)edits.date_ms, (unsigned long long)rand_below(UINT64_MAX), o->to.host);
	edits.message_id = buf_span(&text);
	buf_init(&text, OUTGOING_HEADER_BYTES + EDIT_BYTES);
	header_init(&fresh, &text);
	f = header_feed(&fresh, buf_span(fields), &taken);
	if (f == FAULT_OK)
		f = header_write(&fresh, &edits, &o->head);
	buf_free(&text);
	buf_put(&o->head, span_slice(buf_span(&o->block), o->header.body_at, o->block.size));
	if (f != FAULT_OK || o->head.overfull)
		return fails(o, EX_DATAERR, fault_row(FAULT_HEADER_TOO_LONG)->says[cli_language()]);
	return 0;
}

int outgoing_read_head(struct outgoing *o)
{
	char memory[MAIL_ADDRESS_BYTES + 1];
	struct person person = { 0 };
	struct span name = SPAN("");
	struct buf from, fields;
	int code = read_header(o);

	buf_over(&from, memory, sizeof memory);
	buf_init(&fields, OUTGOING_HEADER_BYTES + EDIT_BYTES);
	find_person(&person, o->settings.full_name);
	if (!code)
		code = read_recipients(o);
	if (!code)
		code = find_sender(o, &person, &from, &name);
	if (!code) {
		if (from.size)
			put_from(&fields, name, buf_span(&from));
		put_fields(o, &fields, from.size != 0);
		code = write_head(o, &fields, from.size ? buf_span(&from) : buf_span(&o->sender));
	}
	buf_free(&fields);
	return code;
}
