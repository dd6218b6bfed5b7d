"""What a run is and every rule of its life; pure: no Dagster, no AWS, no clock of its own."""
