"""Languages whose interpreter only has to be there: each has `Commands` (a shell) and `Script` (a file for the program)."""

from levada.plugins.scripts.scripting import CommandsTask, ScriptTask
from levada.sdk import Task


class NodeCommands(CommandsTask, kw_only=True):
    """Runs shell commands for Node.js. Without a `taskRunner` they run as a process of the worker."""

    TYPE = "scripts.node.Commands"


class NodeScript(ScriptTask, kw_only=True):
    """Runs a Node.js script. Without a `taskRunner` it runs as a process of the worker."""

    TYPE = "scripts.node.Script"
    PROGRAM = "node"
    SUFFIX = ".js"


class RubyCommands(CommandsTask, kw_only=True):
    """Runs shell commands for Ruby. Without a `taskRunner` they run as a process of the worker."""

    TYPE = "scripts.ruby.Commands"


class RubyScript(ScriptTask, kw_only=True):
    """Runs a Ruby script. Without a `taskRunner` it runs as a process of the worker."""

    TYPE = "scripts.ruby.Script"
    PROGRAM = "ruby"
    SUFFIX = ".rb"


class PerlCommands(CommandsTask, kw_only=True):
    """Runs shell commands for Perl. Without a `taskRunner` they run as a process of the worker."""

    TYPE = "scripts.perl.Commands"


class PerlScript(ScriptTask, kw_only=True):
    """Runs a Perl script. Without a `taskRunner` it runs as a process of the worker."""

    TYPE = "scripts.perl.Script"
    PROGRAM = "perl"
    SUFFIX = ".pl"


class RCommands(CommandsTask, kw_only=True):
    """Runs shell commands for R. Without a `taskRunner` they run as a process of the worker."""

    TYPE = "scripts.r.Commands"


class RScript(ScriptTask, kw_only=True):
    """Runs an R script. Without a `taskRunner` it runs as a process of the worker."""

    TYPE = "scripts.r.Script"
    PROGRAM = "Rscript"
    SUFFIX = ".R"


TASKS: list[type[Task]] = [
    NodeCommands,
    NodeScript,
    RubyCommands,
    RubyScript,
    PerlCommands,
    PerlScript,
    RCommands,
    RScript,
]
