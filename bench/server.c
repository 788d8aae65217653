#include "bench/server.h"

#include <string.h>
#include <strings.h>

enum { BUFFER_BYTES = 64 * 1024 };

struct session {
	const struct server *server;
	struct connection connection;
};

static bool hello(struct session *s, const char *line)
{
	(void)line;
	return connection_say(
		&s->connection,
		s->server->tls && !s->connection.tls
			? "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
			: "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n");
}

static bool start_tls(struct session *s, const char *line)
{
	(void)line;
	return connection_say(&s->connection, "220 go ahead\r\n") &&
	       connection_start_tls(&s->connection, s->server->tls, true);
}

static bool login(struct session *s, const char *line)
{
	if (!line[strlen("AUTH LOGIN")] &&
	    (!connection_say(&s->connection, "334 VXNlcm5hbWU6\r\n") || !connection_line(&s->connection)))
		return false;
	return connection_say(&s->connection, "334 UGFzc3dvcmQ6\r\n") && connection_line(&s->connection) &&
	       connection_say(&s->connection, "235 2.7.0 good\r\n");
}

static bool auth(struct session *s, const char *line)
{
	if (!strchr(line + strlen("AUTH "), ' ') &&
	    (!connection_say(&s->connection, "334 \r\n") || !connection_line(&s->connection)))
		return false;
	return connection_say(&s->connection, "235 2.7.0 good\r\n");
}

static bool data(struct session *s, const char *line)
{
	(void)line;
	return connection_say(&s->connection, "354 go ahead\r\n") && s->server->take(&s->connection) &&
	       connection_say(&s->connection, "250 2.0.0 taken\r\n");
}

static bool quit(struct session *s, const char *line)
{
	(void)line;
	connection_say(&s->connection, "221 2.0.0 bye\r\n");
	return false;
}

static bool other(struct session *s, const char *line)
{
	(void)line;
	return connection_say(&s->connection, "250 2.0.0 good\r\n");
}

static const struct {
	const char *verb;
	bool (*act)(struct session *, const char *line);
} verbs[] = { { "EHLO", hello }, { "HELO", other }, { "STARTTLS", start_tls }, { "AUTH LOGIN", login },
	      { "AUTH ", auth }, { "DATA", data },  { "QUIT", quit },          { "", other } };

void server_session_take(const struct server *server, int fd)
{
	struct session s = { .server = server };
	bool goes_on;
	char *line;

	connection_init_take(&s.connection, fd, BUFFER_BYTES);
	goes_on = connection_say(&s.connection, "220 sink ESMTP\r\n");
	while (goes_on && (line = connection_line(&s.connection))) {
		size_t i = 0;

		while (strncasecmp(line, verbs[i].verb, strlen(verbs[i].verb)) != 0)
			i++;
		goes_on = verbs[i].act(&s, line);
	}
	connection_fini(&s.connection);
}
