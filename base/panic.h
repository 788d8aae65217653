/* base/panic.h - the end of a process that found a bug of ours, or a machine that cannot serve.
 *
 * Why       Going on after a broken assumption loses mail; the keeper restarts the role instead.
 * Promise   Neither returns. Both write one line to standard error.
 * Owns      Nothing.
 * Refuses   Secrets: the text is a literal with numbers and names, never input. */
#pragma once

/* Our bug: message, abort. */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The machine's fault (no memory, no descriptors at start): message, exit 1. */
void fatal(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Stays on in production. */
#define ASSERT(what) ((what) ? (void)0 : panic("%s:%d: %s", __FILE__, __LINE__, #what))
