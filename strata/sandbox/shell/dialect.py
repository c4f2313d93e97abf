# SPDX-License-Identifier: MIT
"""What the resident shell is told, in its own language: bash's, or that of any POSIX sh.

There is no loop of ours in the shell: it is an interactive shell that reads its commands from a pipe, and every line
that we write there is one of these. So what ends a loop, a function or a script in a command can end nothing of ours,
an error ends a line and not the shell, and an interrupt leads back to the prompt (bash(1), SIGNALS).

An exec is two lines: the command's file is sourced with descriptors of its own; then the end is reported, also when
the first line came to nothing because the command sent its shell SIGINT. While it runs, our descriptors are closed;
the shell keeps its copies above 9, closed on exec. That also undoes whatever `exec >file` did to them. `\\builtin`
keeps out of reach of aliases and functions of the user.
"""

from __future__ import annotations

from typing import NamedTuple

UNWIND = 60
"""A real-time signal that nobody uses: trapped, it turns into an interrupt between two commands, also where the user
ignores SIGINT, and where the shell takes a killed child for one that has dealt with the interrupt."""

BEGIN, END, TEXT, INPUT = "begin", "end", "text", "input"
"""Files in the shell's directory: what it reads first, how it reports, the command, what the command reads."""


class Descriptors(NamedTuple):
    """Numbers that the shell has them under: output, errors, reports."""

    out: int
    err: int
    report: int


class Dialect(NamedTuple):
    """How to talk to one kind of shell. Paths in a line are absolute, ours, and need no quoting.

    `forgets`: an error makes it forget all that it has read ahead, so it must be given one line at a time.
    """

    arguments: tuple[str, ...]
    numbers: Descriptors
    forgets: bool
    begin: str
    end: str
    report_text: str
    source_word: str
    errexit_text: str
    exec_word: str

    def first(self, directory: str, number: int) -> str:
        """Settle in, then report as `number`."""
        return f"{self.source_word} {directory}/{BEGIN};{self.report(directory, number)}"

    def run(self, directory: str, number: int, source: str, errexit: bool) -> str:
        """Run the command in TEXT with its input from the file `source`, then report as `number`."""
        out, err, report = self.numbers
        hidden = f"{out}>&- {err}>&- {report}>&-"
        text = f"{self.source_word} {directory}/{TEXT} <{source} >&{out} 2>&{err} {hidden}"
        return (self.errexit_text if errexit else "") + f"{text}\n{self.report(directory, number)}"

    def move(self, directory: str, number: int, out: str, err: str) -> str:
        """Write to other pipes from now on, then report as `number`."""
        to = self.numbers
        opened = f"{self.exec_word} {to.out}<>{directory}/{out} {to.err}<>{directory}/{err}"
        return f"{opened};{self.report(directory, number)}"

    def back(self, directory: str, number: int) -> str:
        """Report as `number`, after an interrupt: it may swallow what is read first."""
        return f"\n\n\n{self.report(directory, number)}"

    def report(self, directory: str, number: int) -> str:
        """Say `NUMBER CODE ERREXIT DIRECTORY` and a NUL."""
        return self.report_text.format(directory=directory, number=number, to=self.numbers.report) + "\n"


# Above 9, which people use, and what bash takes from 10 upwards; below 63, from where it goes down, and `ulimit -n 64`.
_HIGH, _LOW = Descriptors(40, 41, 42), Descriptors(7, 8, 9)

# `set -e` is the user's, yet a command that fails must end the exec and not the shell. So it is in force only while a
# command runs, and there the ERR trap, which bash runs just where `set -e` would exit, returns from function after
# function instead. Between execs the variable remembers it.
#
# UNWIND may also come while no command runs, and bash 5.2 crashes when a trap interrupts it as it reads a line.
_BASH_BEGIN = f"""\
PS1= PS2=
\\builtin set +o history +H
\\builtin unset HISTFILE
\\builtin shopt -u checkwinsize
\\builtin shopt -s execfail
\\builtin trap 'if [[ ${{BASH_SOURCE-}} ]]; then \\builtin trap - INT; \\builtin kill -INT "$$"; fi' {UNWIND}
\\builtin trap 'if [[ $BASH_SUBSHELL == 0 && ( -o errexit || -v __strata_errexit ) ]]; then
\\builtin set +e; __strata_errexit=1; \\builtin return; fi' ERR
\\builtin set -E
"""

# Sourced, so that `$?` is what it was when the next command asks for it.
_BASH_END = f"""\
if [[ -o errexit ]]; then \\builtin set +e; __strata_errexit=1; fi
\\builtin printf '%s %s %s %s\\0' "$2" "$1" "${{__strata_errexit-0}}" "${{PWD-}}" >&{_HIGH.report}
\\builtin return "$1"
"""

BASH = Dialect(
    arguments=("--norc", "--noprofile", "--noediting", "-i"),
    numbers=_HIGH,
    forgets=False,
    begin=_BASH_BEGIN,
    end=_BASH_END,
    report_text='\\builtin . {directory}/end "$?" {number}',
    source_word="\\builtin .",
    errexit_text="\\builtin unset __strata_errexit;\\builtin set -e;",
    exec_word="\\exec",  # `builtin exec` would undo its redirections
)

# dash reads one digit only before `>`. Special built-ins are found before functions there (POSIX XCU 2.9.1.1).
SH = Dialect(
    arguments=("-i",),
    numbers=_LOW,
    forgets=True,
    begin=f"PS1= PS2=\ntrap 'trap - INT;kill -INT \"$$\"' {UNWIND}\n",
    end="",
    report_text='command printf \'%s %s 0 %s\\000\' {number} "$?" "${{PWD-}}" >&{to}',
    source_word=".",
    errexit_text="",
    exec_word="exec",
)


def dialect(shell: str) -> Dialect:
    """Of the shell at this path."""
    return BASH if shell.rpartition("/")[2] == "bash" else SH
