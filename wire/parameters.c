#include "wire/parameters.h"

#include "base/text.h"
#include "wire/mail_address.h"

enum { ENVELOPE_ID_BYTES = 100, ORIGINAL_BYTES = 500, DECODED_BYTES = 512 };

static bool is_xtext_byte(char c)
{
	return c > 0x20 && c < 0x7f && c != '+' && c != '=';
}

bool parameters_xtext(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if (is_xtext_byte(s.at[i]) ? !buf_put_byte(out, s.at[i])
					   : !buf_print(out, "+%02X", (unsigned)(unsigned char)s.at[i]))
			return false;
	return true;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

bool parameters_from_xtext(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.size; i++) {
		if (s.at[i] != '+') {
			if (!is_xtext_byte(s.at[i]) || !buf_put_byte(out, s.at[i]))
				return false;
			continue;
		}
		if (i + 2 >= s.size || !is_hex(s.at[i + 1]) || !is_hex(s.at[i + 2]) ||
		    !text_from_hex(out, span_slice(s, i + 1, 2)))
			return false;
		i += 2;
	}
	return true;
}

/* Decodes to text that can stand in one line of a report: no control byte (RFC 3461 4.2, 4.4). */
static bool is_clean_xtext(struct span s)
{
	char memory[DECODED_BYTES];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	if (!parameters_from_xtext(&text, s))
		return false;
	for (size_t i = 0; i < text.size; i++)
		if (text.at[i] < 0x20 || text.at[i] > 0x7e)
			return false;
	return true;
}

struct reading {
	struct parameters_mail *mail;
	struct parameters_recipient *recipient;
};

static bool take_size(struct reading r, struct span value)
{
	return value.size <= 20 && span_number(value, &r.mail->size_bytes);
}

static bool take_body(struct reading r, struct span value)
{
	static const char *const names[] = { "7BIT", "8BITMIME", "BINARYMIME" };

	for (unsigned i = 0; i < 3; i++)
		if (span_equal_fold(value, span_of(names[i]))) {
			r.mail->body = (enum parameters_body)i;
			return true;
		}
	return false;
}

static bool take_utf8(struct reading r, struct span value)
{
	r.mail->utf8 = true;
	return !value.at;
}

static bool take_return(struct reading r, struct span value)
{
	bool full = span_equal_fold(value, SPAN("FULL"));

	r.mail->returns = full ? PARAMETERS_RETURN_FULL : PARAMETERS_RETURN_HEADERS;
	return full || span_equal_fold(value, SPAN("HDRS"));
}

static bool take_envelope_id(struct reading r, struct span value)
{
	r.mail->envelope_id = value;
	return value.size && value.size <= ENVELOPE_ID_BYTES && is_clean_xtext(value);
}

static bool take_auth(struct reading r, struct span value)
{
	char memory[DECODED_BYTES];
	struct mail_address address;
	struct buf text;

	if (span_equal(value, SPAN("<>")))
		return true;
	buf_over(&text, memory, sizeof memory);
	return parameters_from_xtext(&text, value) && mail_address_parse(&address, buf_span(&text)) == FAULT_OK;
}

static bool take_notify(struct reading r, struct span value)
{
	static const char *const names[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };
	struct span name;

	while (span_cut(&value, ',', &name)) {
		unsigned i = 0;

		while (i < 4 && !span_equal_fold(name, span_of(names[i])))
			i++;
		if (i == 4)
			return false;
		r.recipient->notify |= 1u << i;
	}
	return r.recipient->notify == PARAMETERS_NOTIFY_NEVER || (r.recipient->notify && !(r.recipient->notify & 1));
}

/* "rfc822;xtext", or RFC 6533's "utf-8;" with its own escapes, which are xtext bytes as well */
static bool take_original(struct reading r, struct span value)
{
	size_t type = span_find_byte(value, ';');

	r.recipient->original = value;
	if (!type || type + 1 >= value.size || value.size > ORIGINAL_BYTES)
		return false;
	for (size_t i = 0; i < type; i++)
		if (!is_xtext_byte(value.at[i]))
			return false;
	return is_clean_xtext(span_slice(value, type + 1, value.size));
}

struct parameter {
	struct span name;
	bool (*take)(struct reading, struct span value);
};

static const struct parameter for_mail[] = {
	{ { "SIZE", 4 }, take_size },  { { "BODY", 4 }, take_body },         { { "SMTPUTF8", 8 }, take_utf8 },
	{ { "RET", 3 }, take_return }, { { "ENVID", 5 }, take_envelope_id }, { { "AUTH", 4 }, take_auth },
};

static const struct parameter for_recipient[] = {
	{ { "NOTIFY", 6 }, take_notify },
	{ { "ORCPT", 5 }, take_original },
};

static enum fault read_one(struct reading r, struct span word, const struct parameter *known, size_t count,
			   unsigned *seen)
{
	size_t equals = span_find_byte(word, '=');
	struct span name = span_slice(word, 0, equals), value = { 0 };

	if (equals < word.size)
		value = span_slice(word, equals + 1, word.size);
	for (size_t i = 0; i < count; i++) {
		if (!span_equal_fold(known[i].name, name))
			continue;
		if (*seen & 1u << i || !known[i].take(r, value))
			return FAULT_BAD_ARGUMENT;
		*seen |= 1u << i;
		return FAULT_OK;
	}
	return FAULT_BAD_PARAMETER;
}

static enum fault read_all(struct reading r, struct span text, const struct parameter *known, size_t count)
{
	unsigned seen = 0;
	struct span word;

	while (span_cut(&text, ' ', &word)) {
		enum fault f = word.size ? read_one(r, word, known, count, &seen) : FAULT_OK;

		if (f != FAULT_OK)
			return f;
	}
	return FAULT_OK;
}

enum fault parameters_mail(struct parameters_mail *out, struct span text)
{
	*out = (struct parameters_mail){ .envelope_id = SPAN("") };
	return read_all((struct reading){ .mail = out }, text, for_mail, sizeof for_mail / sizeof *for_mail);
}

enum fault parameters_recipient(struct parameters_recipient *out, struct span text)
{
	*out = (struct parameters_recipient){ .original = SPAN("") };
	return read_all((struct reading){ .recipient = out }, text, for_recipient,
			sizeof for_recipient / sizeof *for_recipient);
}
