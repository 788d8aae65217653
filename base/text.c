#include "base/text.h"

#include <string.h>
#include <time.h>

static const char plain64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool encode64(struct buf *out, struct span s, const char *alphabet, bool pad)
{
	const unsigned char *at = (const unsigned char *)s.at;
	char *to = buf_room(out, pad ? (s.size + 2) / 3 * 4 : (s.size * 4 + 2) / 3);
	size_t size = 0;

	if (!to)
		return false;
	for (size_t i = 0; i < s.size; i += 3) {
		size_t left = s.size - i;
		unsigned bits = (unsigned)at[i] << 16 | (left > 1 ? (unsigned)at[i + 1] << 8 : 0) |
				(left > 2 ? at[i + 2] : 0);

		to[size++] = alphabet[bits >> 18];
		to[size++] = alphabet[bits >> 12 & 63];
		if (left > 1 || pad)
			to[size++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
		if (left > 2 || pad)
			to[size++] = left > 2 ? alphabet[bits & 63] : '=';
	}
	buf_grew(out, size);
	return true;
}

static int value64(char c, const char *alphabet)
{
	const char *found = c ? strchr(alphabet, c) : NULL;

	return found ? (int)(found - alphabet) : -1;
}

static bool decode64(struct buf *out, struct span s, const char *alphabet)
{
	unsigned bits = 0, count = 0;
	size_t padding = 0;

	while (s.size && s.at[s.size - 1] == '=' && padding < 2) {
		s.size--;
		padding++;
	}
	if (s.size % 4 == 1 || (padding && (s.size + padding) % 4))
		return false;
	for (size_t i = 0; i < s.size; i++) {
		int value = value64(s.at[i], alphabet);

		if (value < 0)
			return false;
		bits = bits << 6 | (unsigned)value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			if (!buf_put_byte(out, (char)(bits >> count & 255)))
				return false;
		}
	}
	return !(bits & ((1u << count) - 1)); /* left-over bits must be 0: one text, one value */
}

bool text_base64(struct buf *out, struct span bytes)
{
	return encode64(out, bytes, plain64, true);
}

bool text_base64_url(struct buf *out, struct span bytes)
{
	return encode64(out, bytes, url64, false);
}

bool text_from_base64(struct buf *out, struct span text)
{
	return decode64(out, text, plain64);
}

bool text_from_base64_url(struct buf *out, struct span text)
{
	return decode64(out, text, url64);
}

static const char hex[] = "0123456789abcdef";

bool text_hex(struct buf *out, struct span s)
{
	char *to = buf_room(out, s.size * 2);

	if (!to)
		return false;
	for (size_t i = 0; i < s.size; i++) {
		to[i * 2] = hex[(unsigned char)s.at[i] >> 4];
		to[i * 2 + 1] = hex[s.at[i] & 15];
	}
	buf_grew(out, s.size * 2);
	return true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool put_hex_pair(struct buf *out, const char *pair)
{
	int high = hex_value(pair[0]), low = hex_value(pair[1]);

	return high >= 0 && low >= 0 && buf_put_byte(out, (char)(high << 4 | low));
}

bool text_from_hex(struct buf *out, struct span s)
{
	if (s.size % 2)
		return false;
	for (size_t i = 0; i < s.size; i += 2)
		if (!put_hex_pair(out, s.at + i))
			return false;
	return true;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~", c));
}

bool text_percent(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.size; i++) {
		if (is_unreserved(s.at[i]) ? !buf_put_byte(out, s.at[i])
					   : !buf_print(out, "%%%02X", (unsigned char)s.at[i]))
			return false;
	}
	return true;
}

bool text_from_percent(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.size; i++) {
		if (s.at[i] != '%') {
			if (!buf_put_byte(out, s.at[i] == '+' ? ' ' : s.at[i]))
				return false;
			continue;
		}
		if (i + 2 >= s.size || !put_hex_pair(out, s.at + i + 1))
			return false;
		i += 2;
	}
	return true;
}

bool text_html(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.size; i++) {
		struct span put = { s.at + i, 1 };

		switch (s.at[i]) {
		case '<': put = SPAN("&lt;"); break;
		case '>': put = SPAN("&gt;"); break;
		case '&': put = SPAN("&amp;"); break;
		case '"': put = SPAN("&quot;"); break;
		case '\'': put = SPAN("&#39;"); break;
		default: break;
		}
		if (!buf_put(out, put))
			return false;
	}
	return true;
}

/* The size of the well-formed UTF-8 character at the start, 0 when there is none (RFC 3629 4). */
static size_t utf8_size(struct span s, uint32_t *code_out)
{
	static const struct { unsigned char mask, lead; uint32_t least; } forms[] = {
		{ 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 },
	};
	unsigned char first = s.size ? (unsigned char)s.at[0] : 0xff;

	for (size_t more = 0; more < 4; more++) {
		if ((first & forms[more].mask) != forms[more].lead)
			continue;
		if (s.size < more + 1)
			return 0;
		*code_out = first & (unsigned char)~forms[more].mask;
		for (size_t i = 1; i <= more; i++) {
			if (((unsigned char)s.at[i] & 0xc0) != 0x80)
				return 0;
			*code_out = *code_out << 6 | ((unsigned char)s.at[i] & 0x3f);
		}
		if (*code_out < forms[more].least || *code_out > 0x10ffff ||
		    (*code_out >= 0xd800 && *code_out <= 0xdfff))
			return 0;
		return more + 1;
	}
	return 0;
}

/* One character that is not printable ASCII. */
static bool put_odd(struct buf *out, struct span s, size_t *size_out)
{
	uint32_t code = 0;
	size_t size = utf8_size(s, &code);
	bool odd = !size || code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
		   (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);

	*size_out = size ? size : 1;
	return odd ? buf_put_byte(out, code == '\t' ? ' ' : '?') : buf_put(out, span_slice(s, 0, size));
}

static size_t printable_size(struct span s)
{
	size_t size = 0;

	while (size < s.size && s.at[size] >= 0x20 && s.at[size] < 0x7f)
		size++;
	return size;
}

bool text_plain(struct buf *out, struct span s)
{
	for (size_t i = 0, run; i < s.size; i += run) {
		run = printable_size(span_slice(s, i, s.size));
		if (!buf_put(out, span_slice(s, i, run)))
			return false;
		if (!run && !put_odd(out, span_slice(s, i, 4), &run))
			return false;
	}
	return true;
}

static void split_time(int64_t wall_ms, struct tm *tm, int *ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);

	*ms = (int)(wall_ms % 1000);
	gmtime_r(&seconds, tm);
}

bool text_mail_date(struct buf *out, int64_t wall_ms)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct tm tm;
	int ms;

	split_time(wall_ms, &tm, &ms);
	return buf_print(out, "%s, %02d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
			 months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

bool text_date(struct buf *out, int64_t wall_ms)
{
	struct tm tm;
	int ms;

	split_time(wall_ms, &tm, &ms);
	return buf_print(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
			 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ms);
}

/* A number of exactly so many digits within limits, taken from the front. */
static bool take_digits(struct span *text, size_t digits, int least, int most, int *out)
{
	*out = 0;
	if (text->size < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (text->at[i] < '0' || text->at[i] > '9')
			return false;
		*out = *out * 10 + (text->at[i] - '0');
	}
	*text = span_slice(*text, digits, text->size);
	return *out >= least && *out <= most;
}

static bool take_mark(struct span *text, const char *marks)
{
	if (!text->size || !strchr(marks, *text->at) || !*text->at)
		return false;
	*text = span_slice(*text, 1, text->size);
	return true;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar; years begin with March, so that the odd day is the last. */
static int64_t days_until(int year, int month, int day)
{
	int64_t y = year - (month <= 2), m = (month + 9) % 12;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1 - 719468;
}

/* What follows the seconds: a fraction, which counts to the millisecond, and the zone. */
static bool take_zone(struct span *text, int *ms, int *ahead_minutes)
{
	int scale = 100, hours, minutes, digit;
	char sign;

	*ms = *ahead_minutes = 0;
	if (take_mark(text, ".")) {
		if (!text->size || *text->at < '0' || *text->at > '9')
			return false;
		for (; text->size && *text->at >= '0' && *text->at <= '9' && take_digits(text, 1, 0, 9, &digit); scale /= 10)
			*ms += digit * scale;
	}
	if (take_mark(text, "Zz"))
		return !text->size;
	sign = text->size ? *text->at : 0;
	if (!take_mark(text, "+-") || !take_digits(text, 2, 0, 23, &hours) || !take_mark(text, ":") || !take_digits(text, 2, 0, 59, &minutes))
		return false;
	*ahead_minutes = (hours * 60 + minutes) * (sign == '-' ? -1 : 1);
	return !text->size;
}

bool text_from_date(struct span text, int64_t *wall_ms_out)
{
	static const unsigned char lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year, month, day, hour = 0, minute = 0, second = 0, ms = 0, ahead = 0;
	bool leap;

	if (!take_digits(&text, 4, 1970, 9999, &year) || !take_mark(&text, "-") || !take_digits(&text, 2, 1, 12, &month) || !take_mark(&text, "-") ||
	    !take_digits(&text, 2, 1, 31, &day))
		return false;
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (day > lengths[month - 1] + (month == 2 && leap))
		return false;
	if (text.size && (!take_mark(&text, "Tt ") || !take_digits(&text, 2, 0, 23, &hour) || !take_mark(&text, ":") ||
			  !take_digits(&text, 2, 0, 59, &minute) || !take_mark(&text, ":") || !take_digits(&text, 2, 0, 60, &second) ||
			  !take_zone(&text, &ms, &ahead)))
		return false;
	*wall_ms_out = (((days_until(year, month, day) * 24 + hour) * 60 + minute - ahead) * 60 + second) * 1000 + ms;
	return *wall_ms_out >= 0;
}

bool text_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if ((unsigned char)s.at[i] > 127)
			return false;
	return true;
}

bool text_is_utf8(struct span s)
{
	uint32_t code;

	for (size_t i = 0, size; i < s.size; i += size)
		if (!(size = utf8_size(span_slice(s, i, 4), &code)))
			return false;
	return true;
}

bool text_hides_nothing(struct span s)
{
	static const struct { uint32_t first, last; } hidden[] = {
		{ 0x00, 0x1f }, { 0x7f, 0xa0 }, { 0xad, 0xad }, { 0x34f, 0x34f }, { 0x61c, 0x61c }, { 0x115f, 0x1160 }, { 0x1680, 0x1680 },
		{ 0x17b4, 0x17b5 }, { 0x180b, 0x180f }, { 0x2000, 0x200f }, { 0x2028, 0x202f }, { 0x205f, 0x206f }, { 0x3000, 0x3002 },
		{ 0x3164, 0x3164 }, { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff }, { 0xff00, 0xff61 }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xffff },
		{ 0xe0000, 0x10ffff },
	};
	uint32_t code;

	for (size_t i = 0, size; i < s.size; i += size) {
		if (!(size = utf8_size(span_slice(s, i, 4), &code)))
			return false;
		for (size_t at = 0; at < sizeof hidden / sizeof *hidden; at++)
			if (code >= hidden[at].first && code <= hidden[at].last)
				return false;
	}
	return true;
}
