/* The end of the line: takes every message and counts it.
 *
 * usage: sink [--port N] [--count FILE] [--certificate FILE --key FILE] */
#include "bench/counter.h"
#include "bench/server.h"

#include <err.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static struct server server;
static _Atomic long uncounted, *counted = &uncounted;

/* The end is a dot alone in its line; nothing else of the message is looked at. */
static bool take(struct connection *c)
{
	static const char end[] = "\r\n.\r\n";
	const size_t tail = sizeof end - 2;

	for (;;) {
		char *found = memmem(c->bytes + c->start, c->end - c->start, end, sizeof end - 1);

		if (found) {
			c->start = (size_t)(found + sizeof end - 1 - c->bytes);
			atomic_fetch_add(counted, 1);
			return true;
		}
		if (c->end - c->start > tail)
			c->start = c->end - tail;
		if (!connection_fill(c))
			return false;
	}
}

static void *serve(void *fd)
{
	server_session_take(&server, (int)(intptr_t)fd);
	return NULL;
}

int main(int count, char **words)
{
	static const struct option options[] = { { "port", required_argument, NULL, 'p' },
						 { "count", required_argument, NULL, 'c' },
						 { "certificate", required_argument, NULL, 'C' },
						 { "key", required_argument, NULL, 'K' },
						 { 0 } };
	const char *certificate = NULL, *key = NULL;
	int port = 0, option;

	while ((option = getopt_long(count, words, "", options, NULL)) != -1)
		switch (option) {
		case 'p': port = atoi(optarg); break;
		case 'c': counted = counter_open(optarg); break;
		case 'C': certificate = optarg; break;
		case 'K': key = optarg; break;
		default: return 2;
		}
	signal(SIGPIPE, SIG_IGN);
	if (certificate && !key)
		errx(2, "--key is missing");
	server = (struct server){ certificate ? connection_tls(certificate, key) : NULL, take };
	connection_serve(port, serve);
}
