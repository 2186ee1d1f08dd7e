"""What people read: sizes, times, tables, templates."""
