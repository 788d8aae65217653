#include "cli/sendmail_inner.h"

#include "cli/cli.h"
#include "cli/handover.h"
#include "cli/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

/* False when nobody is there, so that the rest need not be tried. */
static bool hand_over_one(struct sendmail *s, int directory, struct span name)
{
	struct postbag_item item;
	struct handover_end end = { .kind = HANDOVER_AWAY, .has_answered = true };
	char words[OUTCOME_WORDS_BYTES];

	if (postbag_take(&item, directory, name)) {
		handover_send(s->socket, &item, postbag_strike, &end);
		outcome_words(&end.outcome, words);
	} else if (errno == EBADMSG) {
		end.kind = HANDOVER_REFUSED;
		snprintf(words, sizeof words, "%s", strerror(EBADMSG));
	}
	if (end.kind == HANDOVER_REFUSED || (end.kind == HANDOVER_DONE && end.refused)) {
		syslog(LOG_MAIL | LOG_WARNING, "%s: not taken: %s", item.name, words);
		if (end.kind == HANDOVER_REFUSED && !postbag_give_up(&item, span_of(words)))
			syslog(LOG_MAIL | LOG_ERR, "%s: cannot be set aside: %s", item.name, strerror(errno));
	}
	postbag_item_close(&item);
	return end.kind != HANDOVER_AWAY || end.has_answered;
}

int sendmail_run_queue(struct sendmail *s, int directory)
{
	struct span rest, name;
	bool goes_on = true;
	struct buf names;

	openlog("sendmail", LOG_PID, LOG_MAIL);
	postbag_sweep(directory);
	if (s->retries_failed && !postbag_retry_all(directory))
		return EX_IOERR;
	buf_init(&names, SENDMAIL_NAMES_BYTES);
	postbag_list(directory, false, &names);
	rest = buf_span(&names);
	while (goes_on && rest.size && span_cut(&rest, '\n', &name))
		goes_on = hand_over_one(s, directory, name);
	buf_free(&names);
	return goes_on ? EX_OK : EX_TEMPFAIL;
}

void sendmail_run_queue_behind(struct sendmail *s, int directory)
{
	struct buf names;
	bool has_some;
	int nothing;

	buf_init(&names, SENDMAIL_NAMES_BYTES);
	has_some = postbag_list(directory, false, &names) && names.size;
	buf_free(&names);
	if (!has_some || fork())
		return;
	setsid();
	nothing = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3 && nothing >= 0; fd++)
		dup2(nothing, fd);
	_exit(sendmail_run_queue(s, directory));
}

static void show_one(int directory, bool failed, struct span name)
{
	struct postbag_item item;
	struct buf why;
	char text[POSTBAG_NAME_BYTES];

	buf_init(&why, 4096);
	if (postbag_look(&item, directory, failed, name)) {
		struct span rest = item.envelope.recipients, line;

		printf("%.*s\t%llu\t<%.*s>\n", SPAN_ARGS(name), (unsigned long long)item.size_bytes, SPAN_ARGS(item.envelope.sender));
		while (rest.size && span_cut(&rest, '\n', &line))
			printf("\t%.*s\n", SPAN_ARGS(span_slice(line, 3, line.size)));
	}
	postbag_item_close(&item);
	if (failed) {
		postbag_reason(directory, name, &why);
		buf_put_byte(&why, 0);
		span_text(text, sizeof text, name);
		printf("\t");
		printf(cli_word(CLI_WORD_SENDMAIL_FAILED), text, why.at);
		putchar('\n');
	}
	buf_free(&why);
}

int sendmail_show_queue(struct sendmail *s, int directory)
{
	static const bool both[] = { false, true };
	struct cli cli = { .arena = s->arena, .language = cli_language(), .data = s->data ? s->data : cli_data(s->arena, NULL) };
	struct span rest, name;
	struct buf names;
	char path[POSTBAG_PATH_BYTES];

	for (size_t i = 0; i < 2 && directory >= 0; i++) {
		buf_init(&names, SENDMAIL_NAMES_BYTES);
		postbag_list(directory, both[i], &names);
		rest = buf_span(&names);
		while (rest.size && span_cut(&rest, '\n', &name))
			show_one(directory, both[i], name);
		buf_free(&names);
	}
	snprintf(path, sizeof path, "%s/control.sock", cli.data);
	if (!access(path, W_OK))
		return operation_run(operation_find(SPAN("queue"), SPAN("list")), &cli) == CLI_FAILED ? EX_UNAVAILABLE : EX_OK;
	return EX_OK;
}
