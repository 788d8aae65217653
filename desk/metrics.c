#include "base/metric.h"

#include "desk/gather.h"
#include "desk/visit.h"

#include <string.h>

enum { TEXT_BYTES_MAX = 8 * 1024 * 1024, OWN_BYTES_MAX = 256 * 1024, WAIT_MS = 2000, PREFIX_BYTES = 160 };

static const struct { enum metric metric; const char *name, *kind, *help, *advice; } rows[] = {
#define COUNTER "counter"
#define GAUGE "gauge"
#define METRIC(name, kind, exported, label, values, help, advice) { METRIC_##name, exported, kind, help, advice },
#include "tables/metrics.def"
#undef METRIC
#undef GAUGE
#undef COUNTER
};

/* One role's numbers. */
struct source {
	const char *role;
	unsigned index;
	struct span text;
	bool up;
};

/* A row whose name begins with a role's belongs to that role; the zeros of the others say nothing. */
static bool belongs_to_another(const char *name, const char *role)
{
	static const enum role roles[] = { ROLE_KEEPER, ROLE_GATE, ROLE_VAULT, ROLE_POST, ROLE_DESK };
	struct span rest = span_slice(span_of(name), strlen("postern_"), 100), word;

	if (!span_cut(&rest, '_', &word))
		return false;
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (span_equal(word, span_of(role_name(roles[i]))))
			return !span_equal(word, span_of(role));
	return false;
}

static bool is_printable(struct span line)
{
	for (size_t i = 0; i < line.size; i++)
		if (line.at[i] < ' ' || line.at[i] > '~')
			return false;
	return true;
}

/* Only lines of this row that the role says of itself: a captured gate cannot speak for the vault. */
static void put_lines(struct buf *out, const char *name, const struct source *from)
{
	char memory[PREFIX_BYTES];
	struct span rest = from->text, line, behind;
	struct buf prefix;

	buf_over(&prefix, memory, sizeof memory);
	buf_print(&prefix, "%s{role=\"%s\",index=\"%u\"", name, from->role, from->index);
	while (span_cut(&rest, '\n', &line)) {
		behind = span_slice(line, prefix.size, line.size);
		if (span_starts(line, buf_span(&prefix)) && behind.size && (behind.at[0] == ',' || behind.at[0] == '}') && is_printable(behind)) {
			buf_put(out, line);
			buf_put_byte(out, '\n');
		}
	}
}

/* The format wants all lines of a name together, behind its HELP and TYPE. */
static void put_row(struct buf *out, size_t row, const struct source *sources, size_t count)
{
	const char *name = rows[row].name;

	buf_print(out, "# HELP %s %s.%s%s\n# TYPE %s %s\n", name, rows[row].help, *rows[row].advice ? " " : "", rows[row].advice, name, rows[row].kind);
	for (size_t i = 0; i < count; i++)
		if (rows[row].metric == METRIC_ROLE_UP)
			buf_print(out, "%s{role=\"%s\",index=\"%u\"} %d\n", name, sources[i].role, sources[i].index, sources[i].up);
		else if (!belongs_to_another(name, sources[i].role))
			put_lines(out, name, &sources[i]);
}

static void on_gathered(void *self, const struct gather_part *parts, size_t count)
{
	struct visit *v = self;
	struct source sources[ERRAND_PEERS_MAX + 3];
	struct buf own, out;

	metric_set(METRIC_ROLE_UP, NULL, 1);
	buf_init(&own, OWN_BYTES_MAX);
	buf_init(&out, TEXT_BYTES_MAX);
	metric_expose(&own, "desk", 0, false);
	sources[0] = (struct source){ "desk", 0, buf_span(&own), true };
	for (size_t i = 0; i < count; i++)
		sources[i + 1] = (struct source){ role_name(parts[i].role), parts[i].index, parts[i].result, parts[i].came };
	for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
		put_row(&out, row, sources, count + 1);
	visit_answer(v, 200, SPAN("text/plain; version=0.0.4; charset=utf-8"), buf_span(&out));
	buf_free(&own);
	buf_free(&out);
}

void visit_metrics(struct visit *v)
{
	if (v->realm == ROUTE_PUBLIC && !site_may_measure(v->desk->site, &v->from)) {
		visit_fault_json(v, FAULT_FORBIDDEN, SPAN("numbers are shown to loopback and trusted_proxies alone"));
		return;
	}
	gather_start(v->desk->errands, ROLE_VAULT | ROLE_POST | ROLE_GATE, SPAN("metrics"), WAIT_MS, on_gathered, v);
}
