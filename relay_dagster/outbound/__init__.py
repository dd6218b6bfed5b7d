"""Calls to hosts outside: to judged addresses alone, bounded in time and in number."""
