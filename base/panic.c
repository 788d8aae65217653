#include "base/panic.h"

#include "base/trail.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void say(const char *kind, const char *format, va_list list)
{
	fprintf(stderr, "postern: %s: ", kind);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
}

void panic(const char *format, ...)
{
	va_list list;

	trail_flush();
	va_start(list, format);
	say("panic", format, list);
	va_end(list);
	abort();
}

void fatal(const char *format, ...)
{
	va_list list;

	trail_flush();
	va_start(list, format);
	say("fatal", format, list);
	va_end(list);
	exit(1);
}
