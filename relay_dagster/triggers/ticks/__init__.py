"""The ticks of triggers: what is due is found and started, uploads are taken in."""
