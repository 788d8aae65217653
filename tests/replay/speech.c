#include "tests/replay/speech.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

void speech_put(struct stream *stream, const char *format, va_list arguments)
{
	char text[1024];

	vsnprintf(text, sizeof text - 2, format, arguments);
	strcat(text, "\r\n");
	stream_write(stream, span_of(text));
}

void speech_auth(struct stream *stream, const char *user, const char *password)
{
	struct buf plain, line;

	buf_init(&plain, 1024);
	buf_init(&line, 1024);
	buf_put_byte(&plain, 0);
	buf_put(&plain, span_of(user));
	buf_put_byte(&plain, 0);
	buf_put(&plain, span_of(password));
	buf_put(&line, SPAN("AUTH PLAIN "));
	text_base64(&line, buf_span(&plain));
	buf_put(&line, SPAN("\r\n"));
	stream_write(stream, buf_span(&line));
	buf_wipe(&plain);
	buf_wipe(&line);
}
