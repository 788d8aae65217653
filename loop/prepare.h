/* loop/prepare.h - what the libraries under the loop must do once, while files may still be opened.
 *
 * Why       After confinement a role opens no file; OpenSSL, libcurl and the C library read theirs at their first use.
 * Promise   Afterwards no library call of ours opens a file outside the role's own directory.
 * Owns      The libraries' global state.
 * Refuses   Nothing. */
#pragma once

/* To be called once, before threads are started and before confinement; panics when a library can't begin. */
void loop_prepare(void);
