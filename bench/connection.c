#include "bench/connection.h"

#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 4096, STACK_BYTES = 256 * 1024, RECORD_BYTES = 64 * 1024 };

double connection_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void connection_init_take(struct connection *c, int fd, size_t capacity)
{
	const struct timeval wait = { .tv_sec = CONNECTION_WAIT_S };
	const int yes = 1;

	*c = (struct connection){ .fd = fd, .bytes = malloc(capacity), .capacity = capacity };
	if (!c->bytes)
		err(1, "memory");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

bool connection_dial(struct connection *c, int port, size_t capacity)
{
	const struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	connection_init_take(c, fd, capacity);
	if (!connect(fd, (const struct sockaddr *)&address, sizeof address))
		return true;
	connection_fini(c);
	return false;
}

void connection_fini(struct connection *c)
{
	if (c->tls) {
		SSL_set_quiet_shutdown(c->tls, 1);
		SSL_shutdown(c->tls);
		SSL_free(c->tls);
	}
	if (c->bytes)
		close(c->fd);
	free(c->bytes);
	*c = (struct connection){ .fd = -1 };
}

bool connection_write(struct connection *c, const char *bytes, size_t size)
{
	while (size) {
		size_t most = size < RECORD_BYTES ? size : RECORD_BYTES;
		ssize_t sent = c->tls ? SSL_write(c->tls, bytes, (int)most) : send(c->fd, bytes, size, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		bytes += sent;
		size -= (size_t)sent;
	}
	return true;
}

bool connection_say(struct connection *c, const char *text)
{
	return connection_write(c, text, strlen(text));
}

bool connection_start_tls(struct connection *c, SSL_CTX *context, bool is_server)
{
	c->tls = SSL_new(context);
	return c->tls && SSL_set_fd(c->tls, c->fd) == 1 && (is_server ? SSL_accept(c->tls) : SSL_connect(c->tls)) == 1;
}

bool connection_fill(struct connection *c)
{
	ssize_t got;

	if (c->start) {
		memmove(c->bytes, c->bytes + c->start, c->end - c->start);
		c->end -= c->start;
		c->start = 0;
	}
	if (c->end == c->capacity)
		return false;
	got = c->tls ? SSL_read(c->tls, c->bytes + c->end, (int)(c->capacity - c->end))
		     : recv(c->fd, c->bytes + c->end, c->capacity - c->end, 0);
	if (got <= 0)
		return false;
	c->end += (size_t)got;
	return true;
}

char *connection_line(struct connection *c)
{
	char *line, *end;

	while (!(end = memchr(c->bytes + c->start, '\n', c->end - c->start)))
		if (!connection_fill(c))
			return NULL;
	line = c->bytes + c->start;
	c->start = (size_t)(end + 1 - c->bytes);
	if (end > line && end[-1] == '\r')
		end--;
	*end = 0;
	return line;
}

int connection_reply(struct connection *c)
{
	char *line;

	do
		line = connection_line(c);
	while (line && strlen(line) > 3 && line[3] == '-');
	return line ? atoi(line) : -1;
}

_Noreturn void connection_serve(int port, void *(*serve)(void *fd))
{
	struct sockaddr_in address = loopback(port);
	socklen_t size = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int yes = 1;
	pthread_attr_t attributes;
	pthread_t thread;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, BACKLOG) ||
	    getsockname(listener, (struct sockaddr *)&address, &size))
		err(1, "port %d", port);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	printf("ready %d\n", ntohs(address.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0 && pthread_create(&thread, &attributes, serve, (void *)(intptr_t)fd))
			close(fd);
	}
}

SSL_CTX *connection_tls(const char *certificate, const char *key)
{
	SSL_CTX *context = SSL_CTX_new(certificate ? TLS_server_method() : TLS_client_method());

	if (!context)
		errx(1, "TLS");
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
	if (!certificate)
		SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	else if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
		 SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		errx(1, "%s, %s: no certificate with its key", certificate, key);
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	return context;
}
