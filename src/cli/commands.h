/*
 * The commands of the program. Each is one file, takes its own name as argv[0], and returns the exit status:
 * EXIT_SUCCESS, EXIT_FAILURE (wrong file, refused problem, failed comparison) or EXIT_USAGE.
 * The program's names do not start with softattn_: that prefix is the library's, which may be linked in
 * statically.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

int command_info(int argc, char **argv);
int command_softmax(int argc, char **argv);
int command_attend(int argc, char **argv);
int command_compare(int argc, char **argv);
int command_stability(int argc, char **argv);
int command_scale_study(int argc, char **argv);

#endif
