/* cli/outgoing.h - a message as a program writes it on standard input, made whole: line ends, recipients, what the header lacks.
 *
 * Why       Programs leave to `sendmail` what they do not know: who they are, when it is, how mail ends its lines.
 * Promise   The bytes that come out are what is sent, each time it is tried: with Message-ID and Date. Nobody sees Bcc. Only the header is held in memory.
 * Owns      Its buffers, until outgoing_free().
 * Refuses   Headers past OUTGOING_HEADER_BYTES, NUL in a header, addresses that cannot be read. `wrong` then says why.
 * See       RFC 5322 3.6, RFC 6409 8 */
#pragma once
#include "cli/addressee.h"
#include "wire/header.h"
#include "wire/line_mend.h"

enum { OUTGOING_HEADER_BYTES = 1 << 20, OUTGOING_PIECE_BYTES = 64 * 1024 };

struct outgoing_settings {
	int fd;                /* where it is read from */
	bool reads_recipients; /* from To, Cc and Bcc */
	bool ignores_dots;     /* a lone dot is a line like others */
	bool has_sender;       /* `sender` is meant, even if empty */
	struct span sender, full_name;
	uint64_t size_max;
};

struct outgoing {
	struct outgoing_settings settings;
	struct addressees to;
	struct line_mend mend;
	struct header header;
	struct buf block, rest, head;     /* as read; behind the header; as it goes out */
	struct buf sender;                /* of the envelope; empty: none */
	char wrong[500];
	bool is_over, has_given; /* all was read; `rest` was given to the caller */
};

/* Reads the header and completes it into `head`; recipients of the command line are in `to` before. 0, or a code of sysexits.h. */
void outgoing_init(struct outgoing *, const struct outgoing_settings *);
int outgoing_read_head(struct outgoing *);

/* Reads on: the next piece of the body, valid until the next call; empty at the end. 0, or a code of sysexits.h. */
int outgoing_read_body(struct outgoing *, struct span *piece_out);
void outgoing_free(struct outgoing *);
