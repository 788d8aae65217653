#include "cli/sendmail.h"

#include "base/config.h"
#include "base/text.h"
#include "base/whole_file.h"
#include "cli/cli.h"
#include "cli/handover.h"
#include "cli/outgoing.h"
#include "cli/sendmail_inner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 4 << 20, ARENA_BYTES = 16 << 20 };
#define SIZE_PRESET 157286400ULL

void sendmail_say(const char *format, ...)
{
	char text[1500];
	struct buf plain;
	va_list values;

	va_start(values, format);
	vsnprintf(text, sizeof text, format, values);
	va_end(values);
	buf_init(&plain, 4 * sizeof text);
	text_plain(&plain, span_of(text));
	fprintf(stderr, "sendmail: %.*s\n", SPAN_ARGS(buf_span(&plain)));
	buf_free(&plain);
}

/* --- where Postern is */

static const char *boot_file(const struct sendmail *s)
{
	static const char *const usual[] = { "/etc/postern/postern.conf", "/var/lib/postern/postern.conf" };
	const char *data = s->data ? s->data : getenv("POSTERN_DATA");

	if (data && *data)
		return arena_print(s->arena, "%s/postern.conf", data).at;
	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (!access(usual[i], R_OK))
			return usual[i];
	return arena_print(s->arena, "%s/postern.conf", cli_data(s->arena, NULL)).at;
}

static const struct config_listener *local_listener(const struct config *c, struct span *path_out)
{
	for (size_t i = 0; i < c->listener_count; i++)
		for (size_t j = 0; j < c->listeners[i].addresses.count && span_equal(c->listeners[i].protocol, SPAN("smtp")); j++)
			if (span_starts(c->listeners[i].addresses.items[j], SPAN("/"))) {
				*path_out = c->listeners[i].addresses.items[j];
				return &c->listeners[i];
			}
	return NULL;
}

/* From the boot file, or from the keeper, which runs us for what waits. */
static int find_postern(struct sendmail *s)
{
	const char *path = boot_file(s), *socket = getenv("POSTERN_SENDMAIL_SOCKET"), *outbox = getenv("POSTERN_OUTBOX");
	struct config *config = NULL;
	struct span listening = SPAN("");
	const struct config_listener *l;
	char why[512] = "";
	struct buf text;

	s->size_max = SIZE_PRESET;
	if (socket && *socket && outbox && *outbox) {
		s->socket = socket;
		s->outbox = outbox;
		return 0;
	}
	buf_init(&text, FILE_BYTES_MAX);
	if (!whole_file_read(path, &text))
		snprintf(why, sizeof why, "%s", strerror(errno));
	else if (config_read(&config, path, buf_span(&text), why, sizeof why) == FAULT_OK)
		why[0] = 0;
	buf_free(&text);
	if (!config) {
		sendmail_say(cli_word(CLI_WORD_SENDMAIL_NO_BOOT_FILE), path, why);
		return EX_CONFIG;
	}
	s->data = arena_text(s->arena, config->data);
	s->outbox = arena_print(s->arena, "%s/outbox", s->data).at;
	l = local_listener(config, &listening);
	if (l) {
		s->socket = arena_text(s->arena, listening);
		s->size_max = (uint64_t)l->size_limit;
	} else {
		sendmail_say(cli_word(CLI_WORD_SENDMAIL_NO_LISTENER), path, s->data);
	}
	config_free(&config);
	return l ? 0 : EX_CONFIG;
}

/* --- what became of it */

static int code_of(const struct outcome *o)
{
	static const struct { const char *enhanced; int code; } rows[] = {
		{ "5.7.", EX_NOPERM }, { "5.1.", EX_NOUSER }, { "5.6.", EX_DATAERR }, { "5.3.4", EX_DATAERR }, { "5.2.3", EX_DATAERR },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_starts(span_of(o->enhanced), span_of(rows[i].enhanced)))
			return rows[i].code;
	return EX_UNAVAILABLE;
}

static int keep(struct sendmail *s, struct postbag_item *item, const struct outcome *o)
{
	char words[OUTCOME_WORDS_BYTES];

	outcome_words(o, words);
	if (postbag_keep(item)) {
		if (s->is_verbose)
			sendmail_say(cli_word(CLI_WORD_SENDMAIL_KEPT), words, s->outbox);
		return EX_OK;
	}
	sendmail_say(cli_word(CLI_WORD_SENDMAIL_NOT_KEPT), words, s->outbox, strerror(errno));
	return EX_TEMPFAIL;
}

/* --- one message */

static bool holds_eight_bit(struct span s)
{
	return !text_is_ascii(s);
}

/* The body behind the head, into the file. */
static int write_body(struct sendmail *s, struct outgoing *o, struct postbag_item *item)
{
	bool is_eight_bit = holds_eight_bit(buf_span(&o->head));
	struct span piece = buf_span(&o->head);
	int code = 0;

	while (!code && piece.size) {
		is_eight_bit = is_eight_bit || holds_eight_bit(piece);
		if (item->size_bytes + piece.size > s->size_max) {
			sendmail_say(cli_word(CLI_WORD_SENDMAIL_TOO_LARGE), (unsigned long long)s->size_max);
			return EX_DATAERR;
		}
		if (!postbag_put(item, piece)) {
			sendmail_say(cli_word(CLI_WORD_SENDMAIL_CANNOT_WRITE), strerror(errno));
			return EX_IOERR;
		}
		code = outgoing_read_body(o, &piece);
	}
	if (code)
		sendmail_say("%s", o->wrong);
	else if (!postbag_finish(item, is_eight_bit)) {
		sendmail_say(cli_word(CLI_WORD_SENDMAIL_CANNOT_WRITE), strerror(errno));
		code = EX_IOERR;
	}
	return code;
}

static int write_message(struct sendmail *s, struct outgoing *o, struct postbag_item *item, int directory)
{
	const struct postbag_envelope e = { .sender = buf_span(&o->sender), .recipients = buf_span(&o->to.list), .notify = s->notify, .returns = s->returns,
					   .envelope_id = s->envelope_id };

	if (!postbag_item_new(item, directory) || !postbag_begin(item, &e)) {
		sendmail_say(cli_word(CLI_WORD_SENDMAIL_CANNOT_WRITE), strerror(errno));
		return EX_CANTCREAT;
	}
	return write_body(s, o, item);
}

static int conclude(struct sendmail *s, struct postbag_item *item, const struct handover_end *end)
{
	char words[OUTCOME_WORDS_BYTES];

	outcome_words(&end->outcome, words);
	switch (end->kind) {
	case HANDOVER_AWAY: return keep(s, item, &end->outcome);
	case HANDOVER_REFUSED: sendmail_say(cli_word(CLI_WORD_SENDMAIL_REFUSED), words); return code_of(&end->outcome);
	case HANDOVER_DONE: break;
	}
	if (end->refused) {
		sendmail_say(cli_word(CLI_WORD_SENDMAIL_SOME_REFUSED), end->refused, words);
		return EX_UNAVAILABLE;
	}
	if (s->is_verbose)
		sendmail_say(cli_word(CLI_WORD_SENDMAIL_TAKEN), words);
	return EX_OK;
}

static int read_message(struct sendmail *s, struct outgoing *o)
{
	for (int i = 0; i < s->word_count; i++)
		if (!addressees_add(&o->to, span_of(s->words[i]))) {
			sendmail_say("%s", o->to.wrong);
			return EX_USAGE;
		}
	int code = outgoing_read_head(o);

	if (code)
		sendmail_say("%s", o->wrong);
	return code;
}

static int send_message(struct sendmail *s, int directory)
{
	struct outgoing o;
	struct postbag_item item = { .fd = -1, .directory = -1 };
	struct handover_end end;
	int code;

	outgoing_init(&o, &(struct outgoing_settings){ .fd = STDIN_FILENO, .reads_recipients = s->reads_recipients, .ignores_dots = s->ignores_dots,
						       .has_sender = s->has_sender, .sender = s->sender, .full_name = s->full_name });
	code = read_message(s, &o);
	if (!code)
		code = write_message(s, &o, &item, directory);
	if (!code) {
		handover_send(s->socket, &item, NULL, &end);
		code = conclude(s, &item, &end);
		if (end.kind == HANDOVER_DONE && directory >= 0)
			sendmail_run_queue_behind(s, directory);
	}
	postbag_item_close(&item);
	outgoing_free(&o);
	return code;
}

static int run(struct sendmail *s)
{
	int code = s->mode == 'i' ? EX_OK : find_postern(s), directory;

	if (code || s->mode == 'i')
		return code;
	if (s->mode == 's')
		return handover_relay(s->socket, STDIN_FILENO, STDOUT_FILENO);
	directory = postbag_open(s->outbox);
	if (s->mode == 'q')
		code = directory < 0 ? EX_CANTCREAT : sendmail_run_queue(s, directory);
	else
		code = s->mode == 'p' ? sendmail_show_queue(s, directory) : send_message(s, directory);
	if (directory >= 0)
		close(directory);
	return code;
}

static const char *base_name(const char *program)
{
	const char *slash = strrchr(program, '/');

	return slash ? slash + 1 : program;
}

int sendmail_is_name(const char *program)
{
	const char *name = base_name(program);

	return !strcmp(name, "sendmail") || !strcmp(name, "mailq") || !strcmp(name, "newaliases");
}

int sendmail_main(int count, char **words)
{
	struct sendmail s = { .arena = arena_new(ARENA_BYTES), .mode = 'm', .envelope_id = SPAN(""), .sender = SPAN(""), .full_name = SPAN("") };
	const char *name = base_name(words[0]);
	int code;

	if (!strcmp(name, "mailq"))
		s.mode = 'p';
	if (!strcmp(name, "newaliases"))
		s.mode = 'i';
	code = sendmail_take_words(&s, count, words);
	if (!code)
		code = run(&s);
	fflush(stdout);
	arena_free(&s.arena);
	return code;
}
