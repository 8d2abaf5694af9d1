"""Loans against monitored goods: a pure decision core and its records."""
