"""One module per command, imported when it is called. The table of commands is `levada.cli.app.COMMANDS`."""
