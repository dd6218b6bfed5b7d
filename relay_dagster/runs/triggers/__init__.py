"""What a tenant's triggers have seen and are waiting for."""
