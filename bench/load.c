/* The load: sessions that send messages as fast as they are taken, and wait until the last is at the sink.
 *
 * usage: load --port N [--sessions N] [--messages N] [--size BYTES] [--per-connection N] [--tls] [--user NAME --password TEXT]
 *             [--senders N] [--count FILE]
 *
 * Messages come from user1@bench.example to userN@bench.example (--senders), a sender for each session. With --per-connection 0, the default,
 * each session keeps its connection, and the clock starts when all have signed in. Prints one line of JSON; `stalls` are replies that took about
 * 40 ms, which is what a missing TCP_NODELAY costs. */
#include "bench/connection.h"
#include "bench/counter.h"

#include <err.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 4096, HEADER_BYTES = 512, LINE_BYTES = 78, POLL_US = 500, ARRIVAL_WAIT_S = 120 };

/* Nagle's algorithm against a delayed acknowledgement: 40 ms, and what the machine adds. */
enum { STALL_FROM_MS = 38, STALL_TO_MS = 46 };

static struct {
	int port, sessions, senders, per_connection;
	long messages;
	size_t size;
	SSL_CTX *tls;
	const char *user, *password;
	_Atomic long *counted;
} load = { .sessions = 1, .senders = 1, .messages = 100, .size = 10240 };

static _Atomic long next_message, accepted, failures, stalls;
static double *waits_s;
static pthread_barrier_t all_ready;

struct session {
	struct connection connection;
	int number;
	bool is_open;
	char sender[64];
	char *message;
};

static bool expect(struct connection *c, int code)
{
	double begun = connection_now(), waited_ms;
	int got = connection_reply(c);

	waited_ms = (connection_now() - begun) * 1e3;
	if (waited_ms >= STALL_FROM_MS && waited_ms < STALL_TO_MS)
		atomic_fetch_add(&stalls, 1);
	if (got != code)
		fprintf(stderr, "load: %d instead of %d\n", got, code);
	return got == code;
}

static bool sign_in(struct connection *c)
{
	unsigned char plain[256];
	char line[512];
	int size = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, load.user, 0, load.password);

	strcpy(line, "AUTH PLAIN ");
	EVP_EncodeBlock((unsigned char *)line + strlen(line), plain, size);
	strcat(line, "\r\n");
	return connection_say(c, line) && expect(c, 235);
}

static bool open_connection(struct session *s)
{
	struct connection *c = &s->connection;

	if (!connection_dial(c, load.port, BUFFER_BYTES))
		return false;
	s->is_open = true;
	if (!expect(c, 220) || !connection_say(c, "EHLO load.example\r\n") || !expect(c, 250))
		return false;
	if (load.tls &&
	    (!connection_say(c, "STARTTLS\r\n") || !expect(c, 220) || !connection_start_tls(c, load.tls, false) ||
	     !connection_say(c, "EHLO load.example\r\n") || !expect(c, 250)))
		return false;
	return !load.user || sign_in(c);
}

static void close_connection(struct session *s)
{
	if (s->is_open)
		connection_fini(&s->connection);
	s->is_open = false;
}

/* The header, with a Message-ID of its own; then the body up to the size, and the final dot. */
static bool send_message(struct session *s, long number)
{
	struct connection *c = &s->connection;
	char command[128];
	int head = snprintf(s->message, HEADER_BYTES,
			    "From: <%s>\r\nTo: <reader@fabrikam.example>\r\nSubject: load\r\nMessage-ID: "
			    "<%ld.%d.%ld@load.example>\r\n"
			    "Date: Sun, 29 Nov 2026 12:00:00 +0000\r\n\r\n",
			    s->sender, number, s->number, (long)getpid());
	const char *body = s->message + HEADER_BYTES;
	size_t rest = load.size > (size_t)head ? load.size - (size_t)head : 2;

	/* Not in the middle of a line end. */
	if (body[rest - 1] == '\r')
		rest--;
	snprintf(command, sizeof command, "MAIL FROM:<%s>\r\n", s->sender);
	return connection_say(c, command) && expect(c, 250) &&
	       connection_say(c, "RCPT TO:<reader@fabrikam.example>\r\n") && expect(c, 250) &&
	       connection_say(c, "DATA\r\n") && expect(c, 354) && connection_write(c, s->message, (size_t)head) &&
	       connection_write(c, body, rest) && connection_say(c, "\r\n.\r\n") && expect(c, 250);
}

static void send_all(struct session *s)
{
	long number;
	int on_this = 0;

	while ((number = atomic_fetch_add(&next_message, 1)) < load.messages) {
		double begun = connection_now();

		if ((!s->is_open && !open_connection(s)) || !send_message(s, number)) {
			atomic_fetch_add(&failures, 1);
			close_connection(s);
			continue;
		}
		waits_s[atomic_fetch_add(&accepted, 1)] = connection_now() - begun;
		if (load.per_connection && ++on_this % load.per_connection == 0) {
			connection_say(&s->connection, "QUIT\r\n");
			connection_reply(&s->connection);
			close_connection(s);
		}
	}
}

static void *run_session(void *self)
{
	struct session *s = self;

	if (!load.per_connection && !open_connection(s)) {
		atomic_fetch_add(&failures, 1);
		close_connection(s);
	}
	pthread_barrier_wait(&all_ready);
	send_all(s);
	if (s->is_open)
		connection_say(&s->connection, "QUIT\r\n");
	close_connection(s);
	return NULL;
}

static void prepare(struct session *s, int number)
{
	size_t room = HEADER_BYTES + load.size + LINE_BYTES;

	*s = (struct session){ .number = number, .message = malloc(room) };
	if (!s->message)
		err(1, "memory");
	snprintf(s->sender, sizeof s->sender, "user%d@bench.example", number % load.senders + 1);
	for (size_t i = 0; i < room; i++)
		s->message[i] = i % LINE_BYTES == LINE_BYTES - 2   ? '\r'
				: i % LINE_BYTES == LINE_BYTES - 1 ? '\n'
								   : (char)('a' + i % 26);
}

static int longer(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double wait_ms(long of_thousand)
{
	return accepted ? waits_s[(accepted - 1) * of_thousand / 1000] * 1e3 : 0;
}

static void report(double accepted_s, double arrived_s)
{
	qsort(waits_s, (size_t)accepted, sizeof *waits_s, longer);
	printf("{\"accepted\": %ld, \"failures\": %ld, \"seconds\": %.4f, \"accepted_per_s\": %.1f, \"arrived_per_s\": "
	       "%.1f, \"wait_ms_median\": %.3f, "
	       "\"wait_ms_99\": %.3f, \"wait_ms_longest\": %.3f, \"stalls\": %ld}\n",
	       (long)accepted, (long)failures, arrived_s, (double)accepted / accepted_s, (double)accepted / arrived_s,
	       wait_ms(500), wait_ms(990), wait_ms(1000), (long)stalls);
}

static void run(void)
{
	struct session *sessions = calloc((size_t)load.sessions, sizeof *sessions);
	pthread_t *threads = calloc((size_t)load.sessions, sizeof *threads);
	long before = load.counted ? *load.counted : 0;
	double begun, accepted_s;

	waits_s = calloc((size_t)load.messages + 1, sizeof *waits_s);
	if (!sessions || !threads || !waits_s)
		err(1, "memory");
	pthread_barrier_init(&all_ready, NULL, (unsigned)load.sessions + 1);
	for (int i = 0; i < load.sessions; i++) {
		prepare(&sessions[i], i);
		if (pthread_create(&threads[i], NULL, run_session, &sessions[i]))
			err(1, "thread");
	}
	pthread_barrier_wait(&all_ready);
	begun = connection_now();
	for (int i = 0; i < load.sessions; i++)
		pthread_join(threads[i], NULL);
	accepted_s = connection_now() - begun;
	while (load.counted && *load.counted < before + accepted &&
	       connection_now() - begun < accepted_s + ARRIVAL_WAIT_S)
		usleep(POLL_US);
	if (load.counted && *load.counted < before + accepted)
		errx(1, "%ld of %ld messages arrived", *load.counted - before, (long)accepted);
	report(accepted_s, connection_now() - begun);
}

int main(int count, char **words)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "sessions", required_argument, NULL, 's' },
		{ "messages", required_argument, NULL, 'm' },
		{ "size", required_argument, NULL, 'l' },
		{ "per-connection", required_argument, NULL, 'k' },
		{ "tls", no_argument, NULL, 't' },
		{ "user", required_argument, NULL, 'u' },
		{ "password", required_argument, NULL, 'w' },
		{ "senders", required_argument, NULL, 'f' },
		{ "count", required_argument, NULL, 'c' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(count, words, "", options, NULL)) != -1)
		switch (option) {
		case 'p': load.port = atoi(optarg); break;
		case 's': load.sessions = atoi(optarg); break;
		case 'm': load.messages = atol(optarg); break;
		case 'l': load.size = (size_t)atol(optarg); break;
		case 'k': load.per_connection = atoi(optarg); break;
		case 't': load.tls = connection_tls(NULL, NULL); break;
		case 'u': load.user = optarg; break;
		case 'w': load.password = optarg; break;
		case 'f': load.senders = atoi(optarg); break;
		case 'c': load.counted = counter_open(optarg); break;
		default: return 2;
		}
	signal(SIGPIPE, SIG_IGN);
	if (!load.port || load.sessions < 1 || load.senders < 1 || (load.user && !load.password))
		errx(2, "--port is needed; --password with --user");
	run();
	return failures != 0;
}
