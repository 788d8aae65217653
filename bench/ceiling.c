/* The ceiling: what a relay could reach on this machine that parsed nothing and recovered nothing, with the same
 * promise to the disk. Messages that arrive together share one fdatasync before their 250; kept connections take them
 * on.
 *
 * usage: ceiling --to PORT --log FILE [--port N] [--relays N] [--certificate FILE --key FILE] */
#include "bench/server.h"

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIECES = 256, FIRST_BYTES = 16384, LOG_BYTES_MAX = 512 * 1024 * 1024, RELAYS = 8, BUFFER_BYTES = 4096 };

/* The session that waits for its message to be on the disk. */
struct waiter {
	bool is_committed;
	pthread_cond_t changed;
};

struct message {
	struct message *next;
	char *bytes;
	size_t size, capacity;
	struct waiter *waiter; /* gone once it is told */
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct message *first, **end;
};

static struct server server;
static struct queue arrived = { .lock = PTHREAD_MUTEX_INITIALIZER,
				.filled = PTHREAD_COND_INITIALIZER,
				.end = &arrived.first };
static struct queue committed = { .lock = PTHREAD_MUTEX_INITIALIZER,
				  .filled = PTHREAD_COND_INITIALIZER,
				  .end = &committed.first };
static const char *log_path;
static int next_port;

/* --- the log */

static void write_all(int fd, struct iovec *pieces, int count, off_t at)
{
	while (count) {
		ssize_t written = pwritev(fd, pieces, count, at);

		if (written < 0)
			err(1, "%s", log_path);
		at += written;
		while (count && (size_t)written >= pieces->iov_len) {
			written -= (ssize_t)pieces->iov_len;
			pieces++;
			count--;
		}
		if (count) {
			pieces->iov_base = (char *)pieces->iov_base + written;
			pieces->iov_len -= (size_t)written;
		}
	}
}

static off_t write_group(int fd, struct message *first, off_t at)
{
	struct iovec pieces[PIECES];
	off_t bytes = 0;
	int count = 0;

	for (struct message *m = first; m; m = m->next) {
		pieces[count++] = (struct iovec){ &m->size, sizeof m->size };
		pieces[count++] = (struct iovec){ m->bytes, m->size };
		bytes += (off_t)(sizeof m->size + m->size);
		if (count == PIECES || !m->next) {
			write_all(fd, pieces, count, at);
			at += bytes;
			bytes = count = 0;
		}
	}
	if (fdatasync(fd))
		err(1, "%s", log_path);
	if (at < LOG_BYTES_MAX)
		return at;
	if (ftruncate(fd, 0))
		err(1, "%s", log_path);
	return 0;
}

static struct message *take_all(struct queue *q)
{
	struct message *first;

	pthread_mutex_lock(&q->lock);
	while (!q->first)
		pthread_cond_wait(&q->filled, &q->lock);
	first = q->first;
	q->first = NULL;
	q->end = &q->first;
	pthread_mutex_unlock(&q->lock);
	return first;
}

static void *commit(void *unused)
{
	int fd = open(log_path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	off_t at = 0;

	(void)unused;
	if (fd < 0)
		err(1, "%s", log_path);
	for (;;) {
		struct message *first = take_all(&arrived), *last = first;

		at = write_group(fd, first, at);
		pthread_mutex_lock(&arrived.lock);
		for (struct message *m = first; m; m = m->next) {
			m->waiter->is_committed = true;
			pthread_cond_signal(&m->waiter->changed);
			last = m;
		}
		pthread_mutex_unlock(&arrived.lock);
		pthread_mutex_lock(&committed.lock);
		*committed.end = first;
		committed.end = &last->next;
		pthread_cond_broadcast(&committed.filled);
		pthread_mutex_unlock(&committed.lock);
	}
	return NULL;
}

/* --- out */

static struct message *take_one(struct queue *q)
{
	struct message *m;

	pthread_mutex_lock(&q->lock);
	while (!q->first)
		pthread_cond_wait(&q->filled, &q->lock);
	m = q->first;
	q->first = m->next;
	if (!q->first)
		q->end = &q->first;
	pthread_mutex_unlock(&q->lock);
	return m;
}

static void *relay(void *unused)
{
	static const char envelope[] = "MAIL FROM:<user@example.com>\r\nRCPT TO:<reader@example.org>\r\nDATA\r\n";
	struct connection c;

	(void)unused;
	if (!connection_dial(&c, next_port, BUFFER_BYTES) || connection_reply(&c) != 220 ||
	    !connection_say(&c, "EHLO ceiling\r\n") || connection_reply(&c) != 250)
		errx(1, "port %d takes no mail", next_port);
	for (;;) {
		struct message *m = take_one(&committed);

		if (!connection_say(&c, envelope) || connection_reply(&c) != 250 || connection_reply(&c) != 250 ||
		    connection_reply(&c) != 354 || !connection_write(&c, m->bytes, m->size) ||
		    connection_reply(&c) != 250)
			errx(1, "a message was not taken");
		free(m->bytes);
		free(m);
	}
	return NULL;
}

/* --- in */

static bool collect(struct connection *c, struct message *m)
{
	static const char end[] = "\r\n.\r\n";
	const size_t tail = sizeof end - 2;

	for (;;) {
		size_t size = c->end - c->start, from = m->size > tail ? m->size - tail : 0;
		char *found;

		while (m->size + size > m->capacity) {
			m->capacity = m->capacity ? m->capacity * 2 : FIRST_BYTES;
			m->bytes = realloc(m->bytes, m->capacity);
			if (!m->bytes)
				err(1, "memory");
		}
		memcpy(m->bytes + m->size, c->bytes + c->start, size);
		found = memmem(m->bytes + from, m->size + size - from, end, sizeof end - 1);
		if (found) {
			size_t whole = (size_t)(found + sizeof end - 1 - m->bytes);

			c->start += whole - m->size;
			m->size = whole;
			return true;
		}
		m->size += size;
		c->start = c->end;
		if (!connection_fill(c))
			return false;
	}
}

static bool take(struct connection *c)
{
	struct waiter waiter = { .changed = PTHREAD_COND_INITIALIZER };
	struct message *m = calloc(1, sizeof *m);

	if (!m)
		err(1, "memory");
	m->waiter = &waiter;
	if (!collect(c, m)) {
		free(m->bytes);
		free(m);
		return false;
	}
	pthread_mutex_lock(&arrived.lock);
	*arrived.end = m;
	arrived.end = &m->next;
	pthread_cond_signal(&arrived.filled);
	while (!waiter.is_committed)
		pthread_cond_wait(&waiter.changed, &arrived.lock);
	pthread_mutex_unlock(&arrived.lock);
	return true;
}

static void *serve(void *fd)
{
	server_session_take(&server, (int)(intptr_t)fd);
	return NULL;
}

int main(int count, char **words)
{
	static const struct option options[] = { { "port", required_argument, NULL, 'p' },
						 { "to", required_argument, NULL, 't' },
						 { "log", required_argument, NULL, 'l' },
						 { "relays", required_argument, NULL, 'r' },
						 { "certificate", required_argument, NULL, 'C' },
						 { "key", required_argument, NULL, 'K' },
						 { 0 } };
	const char *certificate = NULL, *key = NULL;
	int port = 0, relays = RELAYS, option;
	pthread_t thread;

	while ((option = getopt_long(count, words, "", options, NULL)) != -1)
		switch (option) {
		case 'p': port = atoi(optarg); break;
		case 't': next_port = atoi(optarg); break;
		case 'l': log_path = optarg; break;
		case 'r': relays = atoi(optarg); break;
		case 'C': certificate = optarg; break;
		case 'K': key = optarg; break;
		default: return 2;
		}
	signal(SIGPIPE, SIG_IGN);
	if (!next_port || !log_path)
		errx(2, "--to and --log are needed");
	server = (struct server){ certificate ? connection_tls(certificate, key) : NULL, take };
	if (pthread_create(&thread, NULL, commit, NULL))
		err(1, "thread");
	for (int i = 0; i < relays; i++)
		if (pthread_create(&thread, NULL, relay, NULL))
			err(1, "thread");
	connection_serve(port, serve);
}
