#include "loop/real/resolv.h"

#include <string.h>

enum { DNS_PORT = 53 };

/* The next word of a line, or an empty span at its end. */
static struct span cut_word(struct span *line)
{
	size_t start = 0, end;

	while (start < line->size && strchr(" \t\r", line->at[start]))
		start++;
	end = start;
	while (end < line->size && !strchr(" \t\r", line->at[end]))
		end++;
	struct span word = span_slice(*line, start, end - start);
	*line = span_slice(*line, end, line->size);
	return word;
}

static struct span without_comment(struct span line, const char *marks)
{
	for (size_t i = 0; i < line.size; i++)
		if (line.at[i] && strchr(marks, line.at[i]))
			return span_slice(line, 0, i);
	return line;
}

/* "192.0.2.1", "fe80::1%2", or with a port as OpenBSD writes it, "[192.0.2.1]:5353". */
static bool read_server(struct address *out, struct span text)
{
	size_t bracket = span_find(text, SPAN("]:"));
	uint64_t port;

	if (!span_starts(text, SPAN("[")) || bracket == text.size)
		return address_parse(out, text, DNS_PORT) && out->family != ADDRESS_PATH;
	return span_number(span_slice(text, bracket + 2, text.size), &port) && port && port < 65536 &&
	       address_parse(out, span_slice(text, 1, bracket - 1), (uint16_t)port) && out->family != ADDRESS_PATH;
}

static void read_domains(struct resolv *r, struct span line)
{
	struct span word;

	r->domain_count = 0; /* the last line counts */
	while ((word = cut_word(&line)).size && r->domain_count < RESOLV_DOMAINS_MAX) {
		if (word.size >= RESOLV_NAME_BYTES || span_equal(word, SPAN(".")))
			continue;
		memcpy(r->domains[r->domain_count], word.at, word.size);
		r->domains[r->domain_count++][word.size] = '\0';
	}
}

static void read_number(struct span word, struct span name, int low, int high, int scale, int *out)
{
	uint64_t number;

	if (!span_starts(word, name) || !span_number(span_slice(word, name.size, word.size), &number))
		return;
	*out = (number < (uint64_t)low ? low : number > (uint64_t)high ? high : (int)number) * scale;
}

static void read_options(struct resolv *r, struct span line)
{
	struct span word;

	while ((word = cut_word(&line)).size) {
		read_number(word, SPAN("ndots:"), 0, 15, 1, &r->ndots);
		read_number(word, SPAN("timeout:"), 1, 5, 1000, &r->timeout_ms);
		read_number(word, SPAN("attempts:"), 1, 5, 1, &r->tries);
		if (span_equal(word, SPAN("rotate")))
			r->rotate = true;
	}
}

static void read_line(struct resolv *r, struct span line)
{
	struct span word = cut_word(&line);

	if (span_equal(word, SPAN("nameserver")) && r->server_count < RESOLV_SERVERS_MAX)
		r->server_count += read_server(&r->servers[r->server_count], cut_word(&line));
	else if (span_equal(word, SPAN("search")) || span_equal(word, SPAN("domain")))
		read_domains(r, line);
	else if (span_equal(word, SPAN("options")))
		read_options(r, line);
}

void resolv_read(struct resolv *out, struct span text)
{
	struct span line;

	*out = (struct resolv){ .ndots = 1, .timeout_ms = 2000, .tries = 3 };
	while (span_cut(&text, '\n', &line))
		read_line(out, without_comment(line, "#;"));
	if (!out->server_count)
		out->server_count = address_parse(&out->servers[0], SPAN("127.0.0.1"), DNS_PORT);
}

void resolv_hosts(struct span text, struct span name, void (*each)(void *self, const struct address *), void *self)
{
	struct span line, word;

	while (span_cut(&text, '\n', &line)) {
		struct address a;

		line = without_comment(line, "#");
		if (!address_parse(&a, cut_word(&line), 0) || a.family == ADDRESS_PATH)
			continue;
		while ((word = cut_word(&line)).size)
			if (span_equal_fold(word, name)) {
				each(self, &a);
				break;
			}
	}
}
