#include "base/config.h"

#include "base/arena.h"
#include "base/panic.h"

#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1024 * 1024, ARENA_BYTES = 8 * 1024 * 1024 };

/* A row of tables/config.def. */
struct config_row {
	const char *name, *type, *preset;
	int64_t min, max;
	const char *unit, *sentence;
	bool of_listener;
};

static const struct config_row rows[] = {
#define CONFIG(name, type, preset, min, max, unit, sentence) { #name, #type, preset, min, max, unit, sentence, false },
#define CONFIG_LISTENER(name, type, preset, min, max, unit, sentence) { #name, #type, preset, min, max, unit, sentence, true },
#include "tables/config.def"
#undef CONFIG
#undef CONFIG_LISTENER
};

enum { ROW_COUNT = sizeof rows / sizeof *rows };

/* libconfuse is not re-entrant and reports through a callback without a handle; one thread reads. */
struct reading {
	struct config *config;
	const char *file_name;
	char *why;
	size_t why_size;
	bool failed;
};
static struct reading *reading_now;

static void complain(cfg_t *cfg, const char *format, va_list list)
{
	struct reading *r = reading_now;
	char text[400];

	if (!r || r->failed)
		return;
	r->failed = true;
	vsnprintf(text, sizeof text, format, list);
	snprintf(r->why, r->why_size, "%s:%d: %s", r->file_name, cfg ? cfg->line : 0, text);
}

static bool refuse(struct reading *r, int line, const char *key, const char *what)
{
	if (!r->failed)
		snprintf(r->why, r->why_size, "%s:%d: %s: %s", r->file_name, line, key, what);
	r->failed = true;
	return false;
}

static bool read_number(const struct config_row *row, struct span text, int64_t *out)
{
	uint64_t number;

	if (!span_number(text, &number) || number > INT64_MAX)
		return false;
	*out = (int64_t)number;
	return *out >= row->min && *out <= row->max;
}

static bool read_bool(struct span text, bool *out)
{
	*out = span_equal_fold(text, SPAN("yes")) || span_equal_fold(text, SPAN("on")) || span_equal_fold(text, SPAN("true"));
	return *out || span_equal_fold(text, SPAN("no")) || span_equal_fold(text, SPAN("off")) || span_equal_fold(text, SPAN("false"));
}

static bool read_list(struct reading *r, cfg_t *cfg, const struct config_row *row, cfg_opt_t *opt, struct config_list *out)
{
	struct span rest = span_of(row->preset), piece;
	unsigned count = cfg_opt_size(opt);

	out->count = 0;
	if (opt->flags & CFGF_MODIFIED) {
		if (count > CONFIG_LIST_MAX)
			return refuse(r, cfg->line, row->name, "too many items");
		for (unsigned i = 0; i < count; i++)
			out->items[out->count++] = arena_copy(r->config->arena, span_of(cfg_opt_getnstr(opt, i)));
		return true;
	}
	while (span_cut(&rest, ' ', &piece))
		if (piece.size)
			out->items[out->count++] = piece;
	return true;
}

/* Puts the value of one key where the struct has it; `at` is that field. */
static bool read_key(struct reading *r, cfg_t *cfg, const struct config_row *row, void *at)
{
	cfg_opt_t *opt = cfg_getopt(cfg, row->name);
	struct span text;
	char range[120];

	if (!strcmp(row->type, "LIST"))
		return read_list(r, cfg, row, opt, at);
	text = span_of(cfg_opt_size(opt) && cfg_opt_getstr(opt) ? cfg_opt_getstr(opt) : row->preset);
	if (!strcmp(row->type, "TEXT")) {
		*(struct span *)at = arena_copy(r->config->arena, text);
		return true;
	}
	if (!strcmp(row->type, "BOOL"))
		return read_bool(text, at) || refuse(r, cfg->line, row->name, "yes or no is wanted");
	snprintf(range, sizeof range, "a number from %lld to %lld is wanted", (long long)row->min, (long long)row->max);
	return read_number(row, text, at) || refuse(r, cfg->line, row->name, range);
}

static bool read_listener(struct reading *r, cfg_t *cfg, struct config_listener *out)
{
	size_t at = 0;

	out->name = arena_copy(r->config->arena, span_of(cfg_title(cfg)));
#define CONFIG(...) at++;
#define CONFIG_LISTENER(name, ...)                             \
	if (!read_key(r, cfg, &rows[at++], &out->name))        \
		return false;
#include "tables/config.def"
#undef CONFIG
#undef CONFIG_LISTENER
	return true;
}

static bool read_top(struct reading *r, cfg_t *cfg)
{
	struct config *c = r->config;
	size_t at = 0;

#define CONFIG(name, ...)                                      \
	if (!read_key(r, cfg, &rows[at++], &c->name))          \
		return false;
#define CONFIG_LISTENER(...) at++;
#include "tables/config.def"
#undef CONFIG
#undef CONFIG_LISTENER
	if (cfg_size(cfg, "listener") > CONFIG_LISTENERS_MAX)
		return refuse(r, cfg->line, "listener", "too many listeners");
	for (unsigned i = 0; i < cfg_size(cfg, "listener"); i++)
		if (!read_listener(r, cfg_getnsec(cfg, "listener", i), &c->listeners[c->listener_count++]))
			return false;
	return true;
}

static bool is_one_of(struct span word, const char *words)
{
	struct span rest = span_of(words), piece;

	while (span_cut(&rest, ' ', &piece))
		if (span_equal(piece, word))
			return true;
	return false;
}

static bool check_listener(struct reading *r, const struct config_listener *l)
{
	bool needs = !span_equal(l->tls, SPAN("none")), has = l->certificate.size && l->key.size;

	if (!is_one_of(l->protocol, "smtp http"))
		return refuse(r, 0, "listener protocol", "smtp or http is wanted");
	if (!is_one_of(l->tls, "implicit starttls required none"))
		return refuse(r, 0, "listener tls", "implicit, starttls, required or none is wanted");
	if (!is_one_of(l->lowest_tls, "1.0 1.1 1.2 1.3"))
		return refuse(r, 0, "listener lowest_tls", "1.0, 1.1, 1.2 or 1.3 is wanted");
	if (needs && !has)
		return refuse(r, 0, "listener certificate", "TLS needs a certificate and its key");
	if (l->rsa_certificate.size && !l->rsa_key.size)
		return refuse(r, 0, "listener rsa_key", "the second certificate needs its key");
	for (size_t i = 0; i < l->mechanisms.count; i++)
		if (!is_one_of(l->mechanisms.items[i], "plain login xoauth2 oauthbearer"))
			return refuse(r, 0, "listener mechanisms", "plain, login, xoauth2, oauthbearer are known");
	if (!l->addresses.count)
		return refuse(r, 0, "listener addresses", "at least one is wanted");
	return true;
}

static bool check(struct reading *r)
{
	const struct config *c = r->config;

	if (!is_one_of(c->log_level, "debug info notice warning error"))
		return refuse(r, 0, "log_level", "debug, info, notice, warning or error is wanted");
	for (size_t i = 0; i < c->listener_count; i++) {
		if (!check_listener(r, &c->listeners[i]))
			return false;
		for (size_t k = 0; k < i; k++)
			if (span_equal(c->listeners[i].name, c->listeners[k].name))
				return refuse(r, 0, "listener", "two have the same name");
	}
	return true;
}

static cfg_opt_t option_for(const struct config_row *row)
{
	if (!strcmp(row->type, "LIST"))
		return (cfg_opt_t)CFG_STR_LIST(row->name, NULL, CFGF_NODEFAULT);
	return (cfg_opt_t)CFG_STR(row->name, NULL, CFGF_NODEFAULT);
}

static bool parse(struct reading *r, const char *text)
{
	cfg_opt_t top[ROW_COUNT + 2], listener[ROW_COUNT + 1];
	size_t tops = 0, listeners = 0;
	cfg_t *cfg;
	bool good;

	for (size_t i = 0; i < ROW_COUNT; i++)
		if (rows[i].of_listener)
			listener[listeners++] = option_for(&rows[i]);
		else
			top[tops++] = option_for(&rows[i]);
	listener[listeners] = (cfg_opt_t)CFG_END();
	top[tops++] = (cfg_opt_t)CFG_SEC("listener", listener, CFGF_MULTI | CFGF_TITLE);
	top[tops] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(top, CFGF_NONE);
	if (!cfg)
		panic("out of memory");
	cfg_set_error_function(cfg, complain);
	good = cfg_parse_buf(cfg, text) == CFG_SUCCESS && !r->failed && read_top(r, cfg) && check(r);
	if (!good && !r->failed)
		refuse(r, cfg->line, "syntax", "not understood");
	cfg_free(cfg);
	return good;
}

enum fault config_read(struct config **out, const char *file_name, struct span text, char *why_out, size_t why_size)
{
	struct reading r = { .file_name = file_name, .why = why_out, .why_size = why_size };
	struct arena *arena = arena_new(ARENA_BYTES);
	bool good;

	*out = NULL;
	why_out[0] = 0;
	r.config = arena_take(arena, sizeof *r.config);
	r.config->arena = arena;
	reading_now = &r;
	if (text.size > TEXT_BYTES_MAX || memchr(text.at, 0, text.size))
		good = refuse(&r, 0, "file", "not a text of at most 1 MB");
	else
		good = parse(&r, arena_text(arena, text));
	reading_now = NULL;
	if (good)
		*out = r.config;
	else
		arena_free(&arena);
	return good ? FAULT_OK : FAULT_MALFORMED;
}

void config_free(struct config **config)
{
	struct arena *arena = *config ? (*config)->arena : NULL;

	arena_free(&arena);
	*config = NULL;
}
