/* bench/server.h - the SMTP server of sink and ceiling: every command is good, every sign-in right.
 *
 * Why       Two programs take mail alike and differ in what they do with it.
 * Promise   Pipelined commands are answered in order.
 * Owns      A connection, for as long as server_session() runs.
 * Refuses   Nothing.
 * See       docs/bench.md */
#pragma once
#include "bench/connection.h"

struct server {
	SSL_CTX *tls; /* NULL: no STARTTLS */
	/* Reads the message, to its final dot; false ends the session. */
	bool (*take)(struct connection *);
};

/* Until the client leaves. Takes the descriptor. */
void server_session_take(const struct server *, int fd);
