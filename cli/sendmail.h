/* cli/sendmail.h - `postern sendmail`: mail from programs that know a command and no server.
 *
 * Why       Cron, mail, PHP, git and a thousand scripts send through /usr/sbin/sendmail; with a link of that name they send through Postern.
 * Promise   Exit code 0: Postern has the message, or it is on this disk and goes by itself. Otherwise a code of sysexits.h, and one sentence on standard error.
 * Owns      Nothing that lasts but the outbox of its user (cli/postbag.h).
 * Refuses   To be a server (-bd) or a resolver (-bt, -bv).
 * See       tables/sendmail_flags.def, docs/decisions/0083-sendmail.md */
#pragma once

/* Whether a program called so is this one: sendmail, mailq, newaliases. */
int sendmail_is_name(const char *program);

/* The whole of it; `words` begins with the name it was called by. Returns the exit code. */
int sendmail_main(int count, char **words);
