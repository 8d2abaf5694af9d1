"""The root command: names its subcommands by string, imports them when they are used."""
