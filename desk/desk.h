/* desk/desk.h - the role that serves HTTP: the pages of a consent, health, numbers, and the control socket.
 *
 * User      postern-desk, or the user that Postern was started by.
 * Files     none. Keys of its listeners, passwd and group come from the keeper as texts.
 * Peers     vault and post (operations by `call`), gate (numbers).
 * Sandbox   no file, no outgoing connection.
 *
 * Why       What browsers and people ask is parsed away from everything that holds mail or secrets.
 * Promise   Public listeners serve pages, health and numbers, never an operation. The control socket serves every row of tables/operations.def to
 *           root, our own user and the control group, in the name of whoever asks. Nothing is kept between two requests.
 * Owns      Its listeners and links.
 * Refuses   Plain HTTP on anything but loopback; hosts that are not ours; buttons pressed on pages of other sites.
 * See       tables/routes.def, tables/operations.def, docs/decisions/0053-pages-without-script.md, 0054-who-asks-and-from-where.md */
#pragma once
#include "loop/role.h"
