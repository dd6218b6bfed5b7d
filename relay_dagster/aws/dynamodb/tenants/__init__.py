"""What belongs to tenants in their table, beside their configs."""
