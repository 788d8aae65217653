#include "cli/addressee.h"

#include "base/whole_file.h"
#include "cli/cli.h"
#include "wire/mailbox_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIST_BYTES = ADDRESSEES_MAX * (MAIL_ADDRESS_BYTES + 1), FILE_BYTES = 1 << 20, ALIAS_DEPTH = 10, NAME_BYTES = 64 };

static void find_host(char out[ADDRESSEE_HOST_BYTES])
{
	char name[ADDRESSEE_HOST_BYTES] = "";
	struct span text;
	struct buf file;

	buf_init(&file, 4096);
	if (whole_file_read("/etc/mailname", &file) && span_text(name, sizeof name, span_trim(buf_span(&file))))
		text = span_of(name);
	else
		text = span_of(gethostname(name, sizeof name - 1) ? "" : name);
	if (!mail_address_is_domain(text) || !span_text(out, ADDRESSEE_HOST_BYTES, text))
		snprintf(out, ADDRESSEE_HOST_BYTES, "localhost");
	buf_free(&file);
}

void addressees_init(struct addressees *a)
{
	const char *path = getenv("POSTERN_ALIASES");

	*a = (struct addressees){ 0 };
	find_host(a->host);
	buf_init(&a->list, LIST_BYTES);
	buf_init(&a->aliases, FILE_BYTES);
	if (!whole_file_read(path && *path ? path : "/etc/aliases", &a->aliases))
		buf_clear(&a->aliases);
}

void addressees_free(struct addressees *a)
{
	buf_free(&a->list);
	buf_free(&a->aliases);
}

static bool fails(struct addressees *a, enum cli_word word, struct span text)
{
	char about[300];

	snprintf(about, sizeof about, "%.*s", (int)(text.size < 200 ? text.size : 200), text.at);
	for (char *at = about; *at; at++)
		*at = (unsigned char)*at < 0x20 || *at == 0x7f ? ' ' : *at;
	snprintf(a->wrong, sizeof a->wrong, cli_word(word), about);
	return false;
}

static bool holds(const struct addressees *a, struct span address)
{
	struct span rest = buf_span(&a->list), line;

	while (rest.size && span_cut(&rest, '\n', &line))
		if (span_equal_fold(line, address))
			return true;
	return false;
}

static bool put(struct addressees *a, struct span address)
{
	char most[16];

	if (holds(a, address))
		return true;
	snprintf(most, sizeof most, "%d", ADDRESSEES_MAX);
	if (a->count == ADDRESSEES_MAX || !buf_put(&a->list, address) || !buf_put_byte(&a->list, '\n'))
		return fails(a, CLI_WORD_SENDMAIL_TOO_MANY, span_of(most));
	a->count++;
	return true;
}

static struct span without_brackets(struct span text)
{
	text = span_trim(text);
	return text.size > 1 && *text.at == '<' && text.at[text.size - 1] == '>' ? span_trim(span_slice(text, 1, text.size - 2)) : text;
}

/* A word that stands for somebody of this machine. */
static bool is_bare(struct span name)
{
	for (size_t i = 0; i < name.size; i++) {
		char c = name.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("!#$%&'*+-/=?^_`{|}~.", c))))
			return false;
	}
	return name.size && name.size <= NAME_BYTES && *name.at != '-';
}

bool addressee_whole(struct addressees *a, struct span text, struct buf *out)
{
	struct mail_address address;
	char memory[MAIL_ADDRESS_BYTES + 1];
	struct buf whole;

	text = without_brackets(text);
	if (mail_address_parse(&address, text) == FAULT_OK)
		return buf_put(out, text);
	buf_over(&whole, memory, sizeof memory);
	if (!is_bare(text) || !buf_print(&whole, "%.*s@%s", SPAN_ARGS(text), a->host) || mail_address_parse(&address, buf_span(&whole)) != FAULT_OK)
		return fails(a, CLI_WORD_SENDMAIL_BAD_ADDRESS, text);
	return buf_put(out, buf_span(&whole));
}

/* --- aliases: "name: one, two", lines that begin with a blank go on */

static bool alias_of(const struct addressees *a, struct span name, struct buf *out)
{
	struct span rest = buf_span(&a->aliases), line, left;
	bool is_found = false;

	while (rest.size && span_cut(&rest, '\n', &line)) {
		bool goes_on = line.size && (*line.at == ' ' || *line.at == '\t');

		if (is_found && goes_on && *span_trim(line).at != '#')
			buf_put(out, line);
		if (goes_on || !line.size || *line.at == '#')
			continue;
		if (is_found)
			break;
		is_found = span_cut(&line, ':', &left) && span_equal_fold(span_trim(left), name) && buf_put(out, line);
	}
	return is_found;
}

static bool add_list(struct addressees *, struct span text, unsigned depth);

/* Programs and files are for a machine that has mail of its own. */
static bool add_bare(struct addressees *a, struct span name, unsigned depth)
{
	char memory[MAIL_ADDRESS_BYTES + 1];
	struct buf whole, value;
	bool good;

	buf_init(&value, FILE_BYTES);
	if (depth < ALIAS_DEPTH && alias_of(a, name, &value)) {
		good = add_list(a, buf_span(&value), depth + 1);
	} else {
		buf_over(&whole, memory, sizeof memory);
		good = addressee_whole(a, name, &whole) && put(a, buf_span(&whole));
	}
	buf_free(&value);
	return good;
}

/* What stands before the next comma that is in no quotes, comment or brackets. */
static struct span take_item(struct span *rest)
{
	size_t at = 0;
	unsigned comments = 0;
	bool is_quoted = false;
	struct span item;

	for (; at < rest->size; at++) {
		char c = rest->at[at];

		if (c == '\\')
			at++;
		else if (c == '"' && !comments)
			is_quoted = !is_quoted;
		else if (!is_quoted && c == '(')
			comments++;
		else if (!is_quoted && c == ')' && comments)
			comments--;
		else if (!is_quoted && !comments && c == ',')
			break;
	}
	item = span_trim(span_slice(*rest, 0, at));
	*rest = span_slice(*rest, at + 1, rest->size);
	return item;
}

static bool is_readable(struct span text)
{
	struct mailbox_list list = { .rest = text };
	enum mailbox_found found;
	struct mailbox one;

	while ((found = mailbox_list_next(&list, &one)) == MAILBOX_FOUND)
		continue;
	return found == MAILBOX_END;
}

static bool add_readable(struct addressees *a, struct span text)
{
	struct mailbox_list list = { .rest = text };
	struct mailbox one;

	while (mailbox_list_next(&list, &one) == MAILBOX_FOUND)
		if (!put(a, one.address))
			return false;
	return true;
}

/* "root (the administrator)", "<root>" */
static struct span bare_name(struct span item)
{
	size_t comment = span_find_byte(item, '(');

	return without_brackets(span_slice(item, 0, comment));
}

static bool add_list(struct addressees *a, struct span text, unsigned depth)
{
	if (is_readable(text))
		return add_readable(a, text);
	while (text.size) {
		struct span item = take_item(&text);
		bool good = !item.size || (is_readable(item) ? add_readable(a, item) : add_bare(a, bare_name(item), depth));

		if (!good)
			return false;
	}
	return true;
}

bool addressees_add(struct addressees *a, struct span text)
{
	return add_list(a, text, 0);
}
