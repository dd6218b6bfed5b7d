"""What starts runs by itself: vendors' uploads, and tenants' schedules."""
