/* wire/import_graph.h - the configuration of SMTP2Graph.
 *
 * Why       It sends for a whole tenant with one app registration; Postern does the same, mailbox by mailbox.
 * Promise   Each sender that it names becomes a mailbox that signs in as the application, each of its users a client, its list of networks a client
 *           without a password where it asks for none.
 * Owns      Nothing.
 * Refuses   As wire/import.h; texts that are no YAML.
 * See       its config.example.yml; libyaml reads it */
#pragma once
#include "wire/import.h"

enum { IMPORT_GRAPH_NODES_MAX = 20000 };

/* Reads the text of the file. */
MUST_CHECK enum fault import_graph_read(struct import *, struct span text);
