"""The root command and the tools that check the others."""
