/* /etc/passwd and /etc/group as somebody wrote them: the first byte is whom we ask for, passwd and group are parted by \1. Nobody is admitted whom neither
 * names, but root and ourselves. */
#include "desk/roster.h"

#include "base/panic.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { OWN_UID = 777 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span rest = { (const char *)bytes, size }, passwd = { "", 0 };
	struct roster *roster;
	struct buf name;

	if (!size)
		return 0;
	rest = span_slice(rest, 1, size);
	span_cut(&rest, '\x01', &passwd);
	roster = roster_new(&(struct roster_settings){ .passwd = passwd, .group = rest, .group_name = SPAN("postern"), .user_name = SPAN("mail"), .own_uid = OWN_UID });
	buf_init(&name, 256);
	ASSERT(roster_admits(roster, 0, 65534) && roster_admits(roster, OWN_UID, 65534));
	if (!passwd.size && !rest.size)
		ASSERT(!roster_admits(roster, 1000u + bytes[0], 1000u));
	(void)roster_admits(roster, 1000u + bytes[0], 100);
	if (roster_name(roster, 1000u + bytes[0], &name))
		ASSERT(name.size);
	buf_free(&name);
	roster_free(&roster);
	return 0;
}
