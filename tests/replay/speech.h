/* tests/replay/speech.h - what every sender of a play says alike.
 *
 * Why       The application and the flood are two clients of one protocol.
 * Promise   Words go out as they are given, with CRLF behind them.
 * Owns      Nothing.
 * Refuses   Lines over 1,000 octets: they are cut. */
#pragma once
#include "loop/stream.h"

#include <stdarg.h>

/* One command. */
void speech_put(struct stream *, const char *format, va_list arguments);

/* AUTH PLAIN with an initial response (RFC 4616). */
void speech_auth(struct stream *, const char *user, const char *password);
