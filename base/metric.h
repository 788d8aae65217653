/* base/metric.h - counters and gauges of one process, from tables/metrics.def.
 *
 * Why       A closed list with closed labels cannot grow without bound or carry a secret.
 * Promise   Adding costs one addition.
 * Owns      One number for each row and label value.
 * Refuses   A label value outside its list: panics.
 * See       tables/metrics.def; desk gathers the exposition of every role */
#pragma once
#include "base/buf.h"

enum metric {
#define METRIC(name, ...) METRIC_##name,
#include "tables/metrics.def"
#undef METRIC
	METRIC_COUNT
};

enum { METRIC_LABELS_MAX = 24 };

/* Adds to a counter, or to a gauge; `label` is NULL where the row has none. */
void metric_add(enum metric, const char *label, int64_t by);

/* Sets a gauge. */
void metric_set(enum metric, const char *label, int64_t to);

/* Leaves a gauge out until it is set again: there is nothing that it could tell. */
void metric_hide(enum metric, const char *label);

/* Prometheus text (version 0.0.4) of this process's numbers, each with `role` and `index` as labels; `with_help` adds HELP and TYPE lines. */
bool metric_expose(struct buf *out, const char *role, unsigned index, bool with_help);
