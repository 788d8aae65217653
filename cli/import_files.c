#include "cli/import_files.h"

#include "base/whole_file.h"
#include "wire/import_graph.h"
#include "wire/import_msmtp.h"
#include "wire/import_postfix.h"
#include "wire/import_proxy.h"

#include <errno.h>
#include <stdio.h>

/* Where Postfix keeps the files of daemons that see nothing else. */
static const char CHROOT[] = "/var/spool/postfix";

static int say(const char *path, const char *why)
{
	fprintf(stderr, "postern: %s: %s\n", path, why);
	return CLI_FAILED;
}

static int say_unreadable(const char *path)
{
	fprintf(stderr, "postern: ");
	fprintf(stderr, cli_word(CLI_WORD_CANNOT_READ), path, strerror(errno));
	fputc('\n', stderr);
	return CLI_FAILED;
}

/* A whole file in the arena; false with errno. */
static bool load(const struct cli *c, const char *path, struct span *out)
{
	struct buf text;
	bool good;

	buf_init(&text, IMPORT_TEXT_BYTES);
	good = whole_file_read(path, &text);
	if (good)
		*out = arena_copy(c->arena, buf_span(&text));
	buf_wipe(&text);
	return good;
}

static struct span directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (struct span){ path, (size_t)(slash - path) } : SPAN(".");
}

/* --- Postfix */

/* A table that main.cf names, as the text beside it. */
static int read_wanted(const struct cli *c, struct import_postfix *p)
{
	for (size_t i = 0; i < p->wanted_count; i++) {
		char *path = arena_text(c->arena, p->wanted[i].path);
		struct span text;

		if (!load(c, path, &text))
			return say_unreadable(path);
		if (import_postfix_table(p, p->wanted[i].kind, text) != FAULT_OK)
			return say(path, p->into->why);
	}
	return CLI_DONE;
}

static int read_postfix_file(const struct cli *c, struct import_postfix *p, const char *path, struct span text)
{
	struct span trimmed = span_trim(text);
	enum import_postfix_kind kind;
	enum fault fault;

	if (trimmed.size && *trimmed.at == '{') {
		fault = import_postfix_xoauth2(p, text);
	} else {
		kind = import_postfix_guess(text);
		fault = kind == IMPORT_POSTFIX_MAIN ? import_postfix_main(p, text, directory_of(path)) : import_postfix_table(p, kind, text);
	}
	return fault == FAULT_OK ? CLI_DONE : say(path, p->into->why);
}

static void read_token(const struct cli *c, struct import_postfix *p, struct import_account *a)
{
	char *path = arena_text(c->arena, a->token_file);
	struct span text = { "", 0 };

	if (!load(c, path, &text) && errno == ENOENT)
		(void)load(c, arena_print(c->arena, "%s%s", CHROOT, path).at, &text);
	import_postfix_token(p, a, text);
}

static int finish_postfix(const struct cli *c, struct import_postfix *p)
{
	int result = read_wanted(c, p);

	if (result)
		return result;
	if (import_postfix_join(p) != FAULT_OK)
		return say("postfix", p->into->why);
	for (size_t i = 0; i < p->into->account_count; i++)
		if (p->into->accounts[i].token_file.size)
			read_token(c, p, &p->into->accounts[i]);
	return CLI_DONE;
}

/* --- email-oauth2-proxy */

/* Each line of what was given is a password of some account. */
static void unseal(const struct cli *c, struct import *i)
{
	struct span given = cli_value(c, "password");

	for (size_t at = 0; at < i->account_count; at++) {
		struct import_account *a = &i->accounts[at];
		struct span rest = given, line;
		bool is_open = !a->sealed.refresh_token.size && !a->sealed.client_secret.size;

		while (!is_open && rest.size && span_cut(&rest, '\n', &line)) {
			if (line.size && line.at[line.size - 1] == '\r')
				line.size--;
			is_open = line.size && import_proxy_unseal(i, a, line);
		}
		if (!is_open)
			import_remark(i, given.at ? IMPORT_NOTE_SHUT : IMPORT_NOTE_NO_PASSWORD, a->address, SPAN(""));
	}
}

/* --- all */

static int read_file(const struct cli *c, struct import *i, struct import_postfix *p, struct span from, const char *path)
{
	struct span text;
	enum fault fault;

	if (!load(c, path, &text))
		return say_unreadable(path);
	if (span_equal(from, SPAN("postfix")))
		return read_postfix_file(c, p, path, text);
	fault = span_equal(from, SPAN("msmtp"))	       ? import_msmtp_read(i, text)
		: span_equal(from, SPAN("smtp2graph")) ? import_graph_read(i, text)
						       : import_proxy_read(i, text);
	return fault == FAULT_OK ? CLI_DONE : say(path, i->why);
}

static bool is_known(struct span from)
{
	return span_equal(from, SPAN("email-oauth2-proxy")) || span_equal(from, SPAN("postfix")) || span_equal(from, SPAN("msmtp")) ||
	       span_equal(from, SPAN("smtp2graph"));
}

int import_files_read(const struct cli *c, struct import *i)
{
	struct span from = cli_value(c, "from");
	struct import_postfix *p = import_postfix_new(i);
	size_t files = 0;
	int result = CLI_DONE;

	if (!is_known(from)) {
		fprintf(stderr, "postern: ");
		fprintf(stderr, cli_word(CLI_WORD_IMPORT_FROM), SPAN_ARGS(from));
		fputc('\n', stderr);
		return CLI_USAGE;
	}
	for (size_t at = 0; at < c->count && !result; at++)
		if (span_equal(c->values[at].name, SPAN("file"))) {
			const char *path = arena_text(c->arena, c->values[at].value);

			result = ++files > IMPORT_POSTFIX_FILES_MAX ? say(path, cli_word(CLI_WORD_IMPORT_FILES)) : read_file(c, i, p, from, path);
		}
	if (!files) {
		fprintf(stderr, "postern: ");
		fprintf(stderr, cli_word(CLI_WORD_MISSING), "file");
		fputc('\n', stderr);
		return CLI_USAGE;
	}
	if (!result && span_equal(from, SPAN("postfix")))
		result = finish_postfix(c, p);
	if (!result)
		unseal(c, i);
	return result;
}
