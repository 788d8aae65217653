/* keeper/twin_main.h - `postern twin`: the simulated tenant as a process, and the commands that steer one.
 *
 * Why       One program for the gateway and for something to try it against.
 * Promise   Prints `ready smtp=ADDRESS:PORT http=URL ca=FILE` as the first line of standard output once it serves. SIGTERM and SIGINT end it.
 * Owns      Its data directory, under a lock: keys and CA, so that grants outlive a restart.
 * Refuses   A data directory that another twin uses; a configuration that does not hold.
 * See       twin/twin.h, twin/twin_control.h */
#pragma once

/* `words[0]` is "twin". The exit code: 0 done, 1 failed or refused, 2 not understood, 3 no twin answers. */
int twin_main(int count, char **words);

/* The commands that ask a running twin: mail, switch, fault, faults, code, user, state, reset. */
int twin_ask(int count, char **words);
